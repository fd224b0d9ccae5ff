//! Many at once who do little.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, PATIENCE, Proxy, Upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

/// Both ends of so many connections have to fit into this process.
fn may_open(files: u64) {
    let allowed = rlimit::increase_nofile_limit(files).expect("a limit");
    assert!(allowed >= files, "the limit on open files allows {allowed}, and this needs {files}: ulimit -n");
}

#[test]
fn five_hundred_half_open_clients_slow_nobody() {
    may_open(1500);
    let upstream = Upstream::ok();
    let limits = json!({"head_timeout": "3s"});
    let proxy = Proxy::start(&json!({"server": {"limits": limits}, "routes": {"a": {"target_url": upstream.url()}}}));
    let begun = Instant::now();
    let mut half: Vec<_> = (0..500)
        .map(|number| {
            let mut client = proxy.client();
            client.send(&GET[..1 + number % (GET.len() - 1)]);
            client
        })
        .collect();
    let mut good = proxy.client();
    let mut slowest = Duration::ZERO;
    for number in 0..50 {
        let asked = Instant::now();
        let mut client = if number % 2 == 0 { proxy.client() } else { std::mem::replace(&mut good, proxy.client()) };
        assert_eq!(client.ask(GET).status(), 200);
        slowest = slowest.max(asked.elapsed());
        good = client;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?} for a good client");
    for client in &mut half {
        assert_eq!(client.answer().status(), 408);
    }
    // Each has its own limit: all of them together are done when the last is.
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn a_head_that_comes_byte_by_byte_has_to_come_in_time_too() {
    let upstream = Upstream::ok();
    let limits = json!({"head_timeout": "500ms"});
    let proxy = Proxy::start(&json!({"server": {"limits": limits}, "routes": {"a": {"target_url": upstream.url()}}}));
    let mut client = proxy.client();
    let mut writer = client.stream().try_clone().expect("a socket");
    let dripping = std::thread::spawn(move || {
        let mut bytes = b"GET /a HTTP/1.1\r\nHost: p\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
        while writer.write_all(&[*bytes.next().expect("endless")]).is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let answer = client.answer();
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (408, Some("request_timeout")));
    client.stream().shutdown(std::net::Shutdown::Both).expect("a connection");
    dripping.join().expect("the connection ends");
    assert!(upstream.has_no_request());
}

#[cfg(target_os = "linux")]
#[test]
fn two_thousand_silent_streams_cost_little_memory_and_no_time() {
    const STREAMS: usize = 2000;
    // The promise, in KiB.
    const MOST: usize = 8;

    may_open(2 * STREAMS as u64 + 200);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": url}}}));
    let open = |count: usize| -> Vec<(Client, TcpStream)> {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = proxy.client();
            client.send(GET);
            let (mut upstream, _) = listener.accept().expect("the proxy comes");
            let mut head = [0; 1024];
            assert!(upstream.read(&mut head).expect("a request") > 0);
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n";
            upstream.write_all(answer.as_bytes()).expect("the proxy reads");
            client.head();
            client.hears("data: one\n\n");
            open.push((client, upstream));
        }
        open
    };
    // What is needed once, and for the first few, is there before anything counts.
    drop(open(16));
    // Pages of its file are shared with the proxies of other tests, which come and go.
    let memory = || usize::try_from(proxy.memory("smaps_rollup", "Anonymous:")).expect("KiB");
    let before = memory();
    let streams = open(STREAMS);
    let grown = memory().saturating_sub(before);
    assert!(grown <= STREAMS * MOST, "{grown} KiB for {STREAMS} streams");
    let before = proxy.cpu_time();
    std::thread::park_timeout(Duration::from_secs(1));
    let spent = proxy.cpu_time() - before;
    assert!(spent <= Duration::from_millis(50), "{spent:?} in a second of silence");
    drop(streams);
}
