//! The end: nothing new comes in, what runs may finish, and then it is over.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Proxy, Upstream, eventually};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

/// An upstream whose streams end when they are told to.
fn stream() -> (Upstream, Sender<()>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let end: Result<(), _> = wait.lock().expect("not poisoned").recv();
        if end.is_ok() { script.send("1\r\nb\r\n0\r\n\r\n") } else { script.until_closed() }
    });
    (upstream, go)
}

fn begun(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(GET).head();
    assert_eq!(client.some(), b"1\r\na\r\n");
    client
}

fn stops_listening(proxy: &Proxy) {
    eventually("nobody listens any more", || {
        TcpStream::connect_timeout(&proxy.address(), Duration::from_secs(1)).is_err()
    });
}

#[test]
fn a_proxy_without_work_ends_at_once() {
    for signal in ["TERM", "INT"] {
        let mut proxy = Proxy::start(&json!({}));
        let mut idle = proxy.client();
        assert_eq!(idle.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
        proxy.signal(signal);
        assert_eq!(proxy.ended().code(), Some(0));
        assert!(idle.is_closed());
        proxy.says("Stopped");
    }
}

#[test]
fn a_running_answer_may_finish() {
    let (upstream, go) = stream();
    let mut proxy = Proxy::to(&upstream);
    let mut client = begun(&proxy);
    proxy.signal("TERM");
    stops_listening(&proxy);
    assert!(proxy.is_alive());
    go.send(()).expect("the upstream waits");
    assert_eq!(client.some(), b"1\r\nb\r\n0\r\n\r\n");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(client.is_closed());
    assert_eq!(proxy.log()[0]["end"], "done");
}

#[test]
fn a_request_that_waits_for_its_answer_may_finish() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let mut proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    upstream.request();
    proxy.signal("TERM");
    stops_listening(&proxy);
    go.send(()).expect("the upstream waits");
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", Some("close")));
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn what_does_not_finish_in_time_is_cut_visibly() {
    let (upstream, _go) = stream();
    let mut proxy = Proxy::start(
        &json!({"server": {"shutdown_timeout": "300ms"}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    let mut client = begun(&proxy);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(client.rest().is_empty(), "no end of the body is made up");
    eventually("the cut is on record", || proxy.log().len() == 1);
    assert_eq!(proxy.log()[0]["end"], "drained");
}

#[test]
fn an_old_client_sees_the_cut_too() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\nhello")?;
        script.until_closed()
    });
    let mut proxy = Proxy::start(
        &json!({"server": {"shutdown_timeout": "300ms"}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.0\r\n\r\n").head();
    assert_eq!(client.some(), b"hello");
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(client.try_answer().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (upstream, _go) = stream();
    let mut proxy = Proxy::to(&upstream);
    let _client = begun(&proxy);
    proxy.signal("TERM");
    proxy.says("Stopping");
    proxy.signal("INT");
    let status = proxy.ended();
    assert_eq!((status.code(), status.signal()), (Some(130), None));
}

#[test]
fn fifty_streams_finish() {
    let (upstream, go) = stream();
    let mut proxy = Proxy::start(&json!({"server": {"workers": 2}, "routes": {"a": {"target_url": upstream.url()}}}));
    let mut clients: Vec<_> = (0..50).map(|_| begun(&proxy)).collect();
    proxy.signal("TERM");
    stops_listening(&proxy);
    for _ in 0..50 {
        go.send(()).expect("the upstream waits");
    }
    for client in &mut clients {
        assert_eq!(client.some(), b"1\r\nb\r\n0\r\n\r\n");
    }
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(proxy.log().iter().all(|line| line["end"] == "done"));
}
