//! What serving takes from the allocator, once a worker has served a little: nothing.
//!
//! The worker runs on the thread of the test and its clients and upstreams on others, so that only its own allocations
//! are counted. The crate that counts puts itself in the place of the allocator, and so this is a program of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use aqueduct::accept::{Arrival, Gate};
use aqueduct::config::{Live, Overrides, Source};
use aqueduct::proxy::{self, Worker};
use aqueduct::record::{Log, Output};
use aqueduct::text::Lang;
use aqueduct::upstream::{Limits, Own};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

/// How many units are served before those that count, so that every stock is filled, and how many count.
const BEFORE: usize = 20;
const COUNTED: usize = 100;

const QUESTION: &[u8] = b"POST /a/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nAuthorization: Bearer theirs\r\nUser-Agent: test\r\nAccept-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc";
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: 1\r\nContent-Length: 2\r\n\r\nok";
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 0\n\r\n1\r\n\n\r\n";
const EVENT: &[u8] = b"d\r\ndata: hello\n\n\r\n";

/// Where requests are not logged.
const SILENT: &str = r#"{"log_requests": false}"#;

/// What a unit is.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Request,
    Event,
}

/// How many allocations a worker with such a route makes in [`COUNTED`] units.
fn allocations(unit: Unit, server: &str, route: &str) -> u64 {
    let (next, event) = mpsc::channel();
    let upstream = upstream(unit, event);
    let config = format!(
        r#"{{"server": {server}, "routes": {{"a": {{"target_url": "http://{upstream}/base", "custom_headers": {{"Authorization": "Bearer ours"}}{route}}}}}}}"#
    );
    let (live, _) = Live::start(Source::text(&config, Overrides::default(), Lang::En)).expect("a good configuration");
    let log = Log::start(Output { out: Box::new(io::sink()), err: Box::new(io::sink()) }, Lang::En).expect("a thread");
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let turns = Turns::with(unit, door.local_addr().expect("bound"), next);
    let worker = runtime.block_on(async {
        let limits = Limits { idle: 8, lookups: 1 };
        let worker = Rc::new(Worker::new(0, Arc::new(live), log, Own::default(), limits));
        let (tcp, from) = door.accept().expect("a client");
        tcp.set_nonblocking(true).expect("a socket");
        let arrival = Arrival::Tcp(tokio::net::TcpStream::from_std(tcp).expect("a socket"), from);
        let seat = Gate::to(1).enter(1).expect("free");
        let host = Rc::clone(&worker);
        worker.drain().spawn(|ticket| proxy::serve(arrival, ticket, seat, host));
        worker
    });
    runtime.block_on(turns.take(BEFORE));
    let taken = turns.take(COUNTED);
    let counted = allocation_counter::measure(|| runtime.block_on(taken));
    drop(worker);
    counted.count_total
}

/// An upstream on a thread of its own, for one connection: it answers what it is asked, or sends one event after the
/// other as it is told.
fn upstream(unit: Unit, event: Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        while until(&mut stream, b"abc")? {
            match unit {
                Unit::Request => stream.write_all(ANSWER)?,
                Unit::Event => {
                    stream.write_all(STREAM)?;
                    while event.recv().is_ok() {
                        stream.write_all(EVENT)?;
                    }
                }
            }
        }
        Ok(())
    });
    address
}

/// A client on a thread of its own, which takes as many turns as it is told.
struct Turns(Sender<(usize, oneshot::Sender<()>)>);

impl Turns {
    fn with(unit: Unit, to: SocketAddr, next: Sender<()>) -> Self {
        let (told, tell) = mpsc::channel::<(usize, oneshot::Sender<()>)>();
        thread::spawn(move || -> io::Result<()> {
            let mut stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            if unit == Unit::Event {
                stream.write_all(QUESTION)?;
                until(&mut stream, b"\n\r\n1\r\n\n\r\n")?;
            }
            while let Ok((count, done)) = tell.recv() {
                for _ in 0..count {
                    match unit {
                        Unit::Request => stream.write_all(QUESTION)?,
                        Unit::Event => next.send(()).map_err(io::Error::other)?,
                    }
                    let end: &[u8] = if unit == Unit::Request { b"\r\n\r\nok" } else { b"hello\n\n\r\n" };
                    assert!(until(&mut stream, end)?, "the proxy has left");
                }
                done.send(()).expect("the test waits");
            }
            Ok(())
        });
        Self(told)
    }

    /// Says that so many are to be taken, and waits for them. What that takes is taken here and now.
    fn take(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let (done, is_done) = oneshot::channel();
        self.0.send((count, done)).expect("the client waits");
        async { is_done.await.expect("the client took them") }
    }
}

/// Reads until this has come. Gives whether it came before the end.
fn until(stream: &mut TcpStream, end: &[u8]) -> io::Result<bool> {
    let (mut seen, mut filled) = ([0; 4096], 0);
    while !seen[..filled].ends_with(end) {
        match stream.read(&mut seen[filled..])? {
            0 => return Ok(false),
            length => filled += length,
        }
    }
    Ok(true)
}

#[test]
fn a_request_is_relayed_without_an_allocation() {
    assert_eq!(allocations(Unit::Request, SILENT, ""), 0);
    assert_eq!(allocations(Unit::Request, SILENT, r#", "usage": false, "timeouts": {"total": 60}"#), 0);
}

#[test]
fn an_event_is_relayed_without_an_allocation() {
    assert_eq!(allocations(Unit::Event, SILENT, ""), 0);
    assert_eq!(allocations(Unit::Event, SILENT, r#", "usage": true"#), 0, "whoever reads along");
}

/// They go to the thread that writes, and so cannot come back into a stock of this one: what is known of the exchange,
/// its method and its target.
#[test]
fn a_line_of_the_log_takes_three_allocations() {
    let counted = allocations(Unit::Request, r#"{"log_format": "json"}"#, "");
    assert!(counted <= 3 * COUNTED as u64, "{counted}");
}

/// What has been done so far, the future that judges, which weighs on no other request, and the two fields that the client
/// is told: their values are texts.
#[test]
fn a_request_that_may_be_sent_again_takes_four() {
    let counted = allocations(Unit::Request, SILENT, r#", "retry": {"attempts": 2}"#);
    assert!(counted <= 4 * COUNTED as u64, "{counted}");
}
