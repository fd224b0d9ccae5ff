//! Those who read slowly, and what is held for them meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::{PATIENCE, Proxy, eventually};

/// So many at once.
const CROWD: usize = 64;
/// What may be held for each, in KiB: a buffer for a direction, and what an idle stream may cost.
const MOST: usize = 64 + 8;
/// What else may come and go, in KiB: a thread keeps 2 MiB of buffers for the next use, and the allocator what it likes.
const SLACK: usize = 3584;

/// A connection into which the system puts little.
fn narrow(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket");
    socket.connect(&to.into()).expect("the proxy listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// An upstream for which `play` is done with each connection, and which counts bytes.
fn upstream(play: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Connections inherit it.
    listener.set_recv_buffer_size(4096).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(128).expect("a port");
    let listener = TcpListener::from(listener);
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let bytes = Arc::new(AtomicUsize::new(0));
    let (play, count) = (Arc::new(play), Arc::clone(&bytes));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let (play, count) = (Arc::clone(&play), Arc::clone(&count));
            std::thread::spawn(move || play(stream, &count));
        }
    });
    (url, bytes)
}

/// Waits until a number stands still, and gives it.
fn stands_still(number: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    eventually("nothing moves any more", || {
        let before = std::mem::replace(&mut last, number.load(Ordering::SeqCst));
        std::thread::park_timeout(Duration::from_millis(300));
        before == last && last > 0
    });
    last
}

#[cfg(target_os = "linux")]
fn memory(proxy: &Proxy) -> usize {
    usize::try_from(proxy.memory("smaps_rollup", "Anonymous:")).expect("KiB")
}

#[cfg(target_os = "linux")]
#[test]
fn one_byte_at_a_time_of_an_endless_answer() {
    let (url, sent) = upstream(|mut stream, sent| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let piece = [b'x'; 16 << 10];
        while stream.write_all(&piece).is_ok() {
            sent.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": url}}}));
    let before = memory(&proxy);
    let mut clients: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut client = narrow(proxy.address());
            client.write_all(b"GET /a HTTP/1.1\r\nHost: p\r\n\r\n").expect("the proxy reads");
            client
        })
        .collect();
    stands_still(&sent);
    for _ in 0..10 {
        for client in &mut clients {
            client.read_exact(&mut [0]).expect("a byte");
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let grown = memory(&proxy).saturating_sub(before);
    assert!(grown < CROWD * MOST + SLACK, "{grown} KiB for {CROWD} clients");
    // Who reads on gets more: nothing was cut.
    let before = sent.load(Ordering::SeqCst);
    let mut read = 0;
    let mut piece = vec![0; 64 << 10];
    eventually("the upstream goes on", || {
        read += clients[0].read(&mut piece).expect("more");
        sent.load(Ordering::SeqCst) > before
    });
    assert!(read > 0);
}

#[cfg(target_os = "linux")]
#[test]
fn endless_uploads_that_nobody_reads() {
    let stop = Arc::new(AtomicBool::new(false));
    let (url, _) = upstream(|mut stream, _| {
        let _ = stream.read(&mut [0; 64]);
        // It holds the connection, and reads nothing more.
        std::thread::park_timeout(PATIENCE);
    });
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": url}}}));
    let before = memory(&proxy);
    // All of them have sent what they can before anything of it is read, as on a busy machine.
    proxy.signal("STOP");
    let sent = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut client = narrow(proxy.address());
            client.set_write_timeout(Some(Duration::from_millis(100))).expect("a socket");
            let (sent, stop) = (Arc::clone(&sent), Arc::clone(&stop));
            std::thread::spawn(move || {
                let head = b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000000000\r\n\r\n";
                client.write_all(head).expect("the proxy reads");
                let piece = [b'x'; 16 << 10];
                while !stop.load(Ordering::SeqCst) {
                    sent.fetch_add(client.write(&piece).unwrap_or_default(), Ordering::SeqCst);
                }
            })
        })
        .collect();
    stands_still(&sent);
    proxy.signal("CONT");
    stands_still(&sent);
    let grown = memory(&proxy).saturating_sub(before);
    assert!(grown < CROWD * MOST + SLACK, "{grown} KiB for {CROWD} clients");
    stop.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(|client| client.join().expect("no panic"));
}
