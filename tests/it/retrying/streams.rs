//! Streams that begin with an error.

use std::sync::mpsc::channel;

use serde_json::json;

use super::{OK, POST, attempts, in_turn, retrying};
use crate::support::{Proxy, Upstream};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";

/// A whole stream of one chunk for each text.
fn stream(chunks: &[&str]) -> String {
    let chunks = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect::<String>();
    format!("{HEAD}{chunks}0\r\n\r\n")
}

#[test]
fn an_error_as_the_first_event_is_met_like_its_status() {
    let (begun, rest) = OVERLOADED.split_at(20);
    for failing in
        [stream(&[OVERLOADED]), stream(&[begun, rest]), stream(&["data: {\"error\": {\"code\": 429}}\r\n\r\n"])]
    {
        let upstream = in_turn(&[&failing, OK]);
        let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true}));
        assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")), "{failing}");
        let upstream = in_turn(&[&failing, OK]);
        let proxy = retrying(&upstream.url(), &json!({}));
        let answer = proxy.client().ask(POST);
        assert_eq!(attempts(&answer), (200, Some("1"), Some("a")));
        assert!(answer.text().contains("error"));
    }
}

#[test]
fn the_last_stream_is_the_clients_unchanged() {
    let failing = stream(&[OVERLOADED, "data: more\n\n"]);
    let upstream = in_turn(&[&failing]);
    let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true, "attempts": 2}));
    let answer = proxy.client().ask(POST);
    assert_eq!(
        (attempts(&answer), answer.text()),
        ((200, Some("2"), Some("a")), format!("{OVERLOADED}data: more\n\n"))
    );
}

#[test]
fn an_error_that_is_not_in_the_list_is_the_clients_unchanged() {
    let failing = stream(&["data: {\"error\": {\"type\": \"server_error\"}}\n\n", "data: more\n\n"]);
    let upstream = in_turn(&[&failing, OK]);
    let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true}));
    let answer = proxy.client().ask(POST);
    assert_eq!(attempts(&answer), (200, Some("1"), Some("a")));
    assert!(answer.text().ends_with("data: more\n\n"));
}

#[test]
fn what_comes_first_is_passed_on_at_once() {
    for first in [": ping\n\n", "event: ping\ndata: {}\n\n", "data: {\"id\":\"1\"}\n\n"] {
        let (go, goes) = channel::<()>();
        let goes = std::sync::Mutex::new(goes);
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            script.send(format!("{HEAD}{:x}\r\n{first}\r\n", first.len()))?;
            let _ = goes.lock().expect("not poisoned").recv();
            script.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        });
        let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true}));
        let mut client = proxy.client();
        client.send(POST);
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.hears(first.trim_end());
        go.send(()).expect("an upstream");
        client.hears("data: 2");
    }
}

#[test]
fn what_is_no_plain_stream_is_not_waited_for() {
    for fields in
        ["Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n", "Content-Type: application/json\r\n"]
    {
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            script.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 100\r\n\r\n"))?;
            script.until_closed()
        });
        let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true}));
        let mut client = proxy.client();
        client.send(POST);
        assert!(client.head().starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn a_stream_that_does_not_begin_is_the_clients_after_a_while() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send(HEAD)?;
        script.until_closed()
    });
    let proxy = Proxy::start(&json!({"routes": {"a": {
        "target_url": upstream.url(),
        "timeouts": {"first_byte": "200ms"},
        "retry": {"attempts": 2, "detect_stream_errors": true},
    }}}));
    let mut client = proxy.client();
    client.send(POST);
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_long_first_event_is_not_held() {
    let long = format!("data: {}\n\n", "x".repeat(200_000));
    let upstream = in_turn(&[&stream(&[&long])]);
    let proxy = retrying(&upstream.url(), &json!({"detect_stream_errors": true}));
    let answer = proxy.client().ask(POST);
    assert!((attempts(&answer), answer.text()) == ((200, Some("1"), Some("a")), long));
}
