//! What has to happen at once. Machines that run tests are busy: of several times, one has to be as short as promised.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, PATIENCE, Proxy, Script, Upstream, write_private};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";
const TRIES: usize = 10;

fn shortest(limit: Duration, mut measure: impl FnMut() -> Duration) {
    let mut times = Vec::new();
    while times.len() < TRIES {
        times.push(measure());
        if times[times.len() - 1] < limit {
            return;
        }
    }
    panic!("never in {limit:?}: {times:?}");
}

/// How long it takes from the client's leaving to the end of the upstream's connection.
fn gone(
    request: &str,
    reset: bool,
    begin: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static,
    meanwhile: impl Fn(&mut Client),
) {
    let (begun, has_begun) = channel();
    let (left, has_left) = channel();
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        begin(script)?;
        let _ = begun.send(());
        let _ = script.until_closed();
        let _ = left.send(Instant::now());
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    shortest(Duration::from_millis(100), || {
        let mut client = proxy.client();
        client.send(request);
        has_begun.recv_timeout(PATIENCE).expect("a request");
        meanwhile(&mut client);
        let left = Instant::now();
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        has_left.recv_timeout(PATIENCE).expect("the upstream is let go").saturating_duration_since(left)
    });
}

#[test]
fn a_client_that_leaves_ends_the_upstream_at_once() {
    const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";

    let upload = "POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\nhello";
    for reset in [false, true] {
        gone(GET, reset, |_| Ok(()), |_| {});
        gone(
            GET,
            reset,
            |script| script.send(STREAM),
            |client| {
                client.head();
                client.hears("a");
            },
        );
        gone(upload, reset, |script| script.bytes(5).map(|_| ()), |_| {});
    }
}

#[test]
fn the_end_closes_the_door_at_once() {
    let (_go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
        Ok(())
    });
    shortest(Duration::from_millis(250), || {
        let proxy = Proxy::to(&upstream);
        let mut streams: Vec<_> = (0..5).map(|_| proxy.client()).collect();
        for stream in &mut streams {
            stream.send(GET).head();
        }
        let begun = Instant::now();
        proxy.signal("TERM");
        while TcpStream::connect(proxy.address()).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "it still listens");
        }
        begun.elapsed()
    });
}

#[test]
fn a_second_signal_waits_for_nothing() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\na")?;
        script.until_closed()
    });
    shortest(Duration::from_millis(500), || {
        let mut proxy = Proxy::to(&upstream);
        let mut stream = proxy.client();
        stream.send(GET).head();
        proxy.signal("TERM");
        proxy.says("Stopping");
        let begun = Instant::now();
        proxy.signal("TERM");
        assert_eq!(proxy.ended().code(), Some(130));
        begun.elapsed()
    });
}

#[test]
fn a_changed_file_is_in_force_within_two_seconds() {
    let upstream = Upstream::ok();
    let mut config = json!({
        "server": {"reload_interval": 0},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let proxy = Proxy::start(&config);
    let (mut client, mut number) = (proxy.client(), 0);
    shortest(Duration::from_secs(2), || {
        number += 1;
        config["routes"][format!("r{number}")] = json!({"target_url": upstream.url()});
        write_private(&proxy.config_path(), &config.to_string());
        let begun = Instant::now();
        while client.ask(format!("GET /r{number} HTTP/1.1\r\nHost: p\r\n\r\n")).status() != 200 {
            assert!(begun.elapsed() < PATIENCE, "not in force");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        begun.elapsed()
    });
}
