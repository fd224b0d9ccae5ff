//! Every wait has a limit with a name.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

fn proxy(url: &str, timeouts: &Value) -> Proxy {
    Proxy::start(&json!({"timeouts": timeouts, "routes": {"a": {"target_url": url}}}))
}

fn limits(upstream: &Upstream, limits: &Value) -> Proxy {
    Proxy::start(&json!({"server": {"limits": limits}, "routes": {"a": {"target_url": upstream.url()}}}))
}

/// A 504 that names the limit, and a line of the log that does too.
fn timed_out(proxy: &Proxy, limit: &str) {
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
    let text = format!("The target server did not answer in time: the '{limit}' limit ran out.");
    assert_eq!(answer.json()["error"], text);
    assert_eq!(proxy.logged(|_| true)["end"], format!("{limit}_timeout"));
}

/// An address whose connections neither come about nor fail.
pub(crate) fn black_hole() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("a port");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("bound");
    // Nobody accepts: when the queue is full, the kernel lets further ones wait.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    (address, waiting, listener)
}

#[test]
fn connect() {
    let (address, _waiting, _listener) = black_hole();
    timed_out(&proxy(&format!("http://{address}"), &json!({"connect": "300ms"})), "connect");
}

#[test]
fn first_byte() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.until_closed()
    });
    timed_out(&proxy(&upstream.url(), &json!({"first_byte": 0.3})), "first_byte");
}

#[test]
fn a_head_that_does_not_end() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nA: b")?;
        script.until_closed()
    });
    timed_out(&proxy(&upstream.url(), &json!({"first_byte": "300ms"})), "first_byte");
}

#[test]
fn total() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.until_closed()
    });
    timed_out(&proxy(&upstream.url(), &json!({"total": "300ms"})), "total");
}

#[test]
fn silence_cuts_an_answer_visibly() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        script.until_closed()
    });
    let proxy = proxy(&upstream.url(), &json!({"idle": "300ms"}));
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.text().as_str(), answer.is_whole), (200, "a", false));
    let line = proxy.logged(|_| true);
    assert_eq!((line["end"].as_str(), line["bytes_out"].as_u64()), (Some("idle_timeout"), Some(1)));
}

#[test]
fn silence_and_not_length_ends_a_stream() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let start = Instant::now();
        // Three times as long as the limit, and never silent for half of it.
        while start.elapsed() < Duration::from_secs(3) {
            script.send("1\r\na\r\n")?;
            script.stream().set_read_timeout(Some(Duration::from_millis(100)))?;
            let _ = script.some();
        }
        script.send("0\r\n\r\n")
    });
    let answer = proxy(&upstream.url(), &json!({"idle": 1, "first_byte": 1})).client().ask(GET);
    assert!(answer.is_whole);
}

#[test]
fn the_whole_exchange_can_be_limited() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        script.until_closed()
    });
    let proxy = proxy(&upstream.url(), &json!({"total": "300ms"}));
    assert!(!proxy.client().ask(GET).is_whole);
    assert_eq!(proxy.logged(|_| true)["end"], "total_timeout");
}

#[test]
fn a_route_can_have_its_own_limits() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.until_closed()
    });
    let route = json!({"target_url": upstream.url(), "timeouts": {"first_byte": "200ms"}});
    timed_out(&Proxy::start(&json!({"timeouts": {"first_byte": 0}, "routes": {"a": route}})), "first_byte");
}

#[test]
fn an_upstream_that_takes_nothing_is_idle() {
    let upstream = Upstream::playing(|script| {
        script.head()?;
        std::thread::park();
        Ok(())
    });
    let proxy = proxy(&upstream.url(), &json!({"idle": "300ms"}));
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000000\r\n\r\n");
    let mut writer = client.stream().try_clone().expect("a socket");
    std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        while std::io::Write::write_all(&mut writer, &piece).is_ok() {}
    });
    let answer = client.answer();
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
}

#[test]
fn a_head_has_to_come_in_time() {
    let upstream = Upstream::ok();
    let proxy = limits(&upstream, &json!({"head_timeout": "300ms"}));
    for part in ["G", "GET /a HTTP/1.1\r\nHost: p\r\n", "GET /a HTTP/1.1\r\nHost: p\r\nX: y"] {
        let mut client = proxy.client();
        let answer = client.send(part).answer();
        assert_eq!(
            (answer.status(), answer.json()["code"].as_str(), answer.field("connection")),
            (408, Some("request_timeout"), Some("close"))
        );
    }
    assert!(upstream.has_no_request());
}

#[test]
fn a_body_has_to_go_on() {
    let upstream = Upstream::playing(|script| {
        script.head()?;
        script.until_closed()
    });
    let proxy = limits(&upstream, &json!({"body_timeout": "300ms"}));
    let answer = proxy.client().send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\nhello").answer();
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (408, Some("request_timeout")));
    assert_eq!(proxy.logged(|_| true)["end"], "client_stalled");
}

#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::ok();
    let proxy = limits(&upstream, &json!({"keep_alive_timeout": "300ms"}));
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status(), 200);
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let (closed, is_closed) = channel();
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\n")?;
        let piece = vec![b'x'; 1 << 20];
        while script.send(&piece).is_ok() {}
        let _ = closed.send(());
        Ok(())
    });
    let proxy = limits(&upstream, &json!({"write_timeout": "300ms"}));
    let mut client = proxy.client();
    client.send(GET);
    is_closed.recv_timeout(crate::support::PATIENCE).expect("the upstream is let go");
    assert_eq!(proxy.logged(|_| true)["end"], "client_stalled");
}
