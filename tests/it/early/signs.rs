//! Which requests ask for a stream, and what becomes of them on the way.

use std::sync::mpsc::Sender;

use serde_json::json;

use super::{ASKS, a_while, begun, events, is_silent, proxy, when_told};
use crate::keepalive::{CHUNKED, EVENTS, chunk, stepwise};
use crate::support::{Proxy, Upstream};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 2\r\n\r\nok";

/// Sends a request in these pieces, each when the upstream has the one before, and says whether a stream began by itself.
fn begins(pieces: &[String]) -> bool {
    let (upstream, go) = waiting();
    let proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    client.send(&pieces[0]);
    for piece in &pieces[1..] {
        a_while(&proxy);
        client.send(piece);
    }
    a_while(&proxy);
    go.send(()).expect("the upstream waits");
    let head = client.head();
    let is_own = head.contains("X-Own: 1");
    assert_ne!(is_own, head.contains("Cache-Control: no-cache"), "{head}");
    !is_own
}

/// An upstream that answers when it is told to.
fn waiting() -> (Upstream, Sender<()>) {
    when_told(|script| script.send(ANSWER))
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a/x HTTP/1.1\r\nHost: p\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn every_sign_of_a_stream_is_one_and_nothing_else_is() {
    let large = |length: usize| format!(r#"{{"a": "{}", "stream": true}}"#, "x".repeat(length));
    for (request, expected) in [
        (ASKS.to_owned(), true),
        ("GET /a?alt=sse HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), true),
        (
            "POST /a/v1beta/models/m:streamGenerateContent HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n".to_owned(),
            true,
        ),
        (post("", r#"{"model": "m", "stream": true}"#), true),
        (post("Content-Type: application/json\r\n", &large(1 << 19)), true),
        (post("", r#"{"model": "m", "stream": false}"#), false),
        (post("", r#"{"model": "m", "options": {"stream": true}}"#), false),
        (post("", &large(1 << 20)), false),
        (post("Content-Type: text/plain\r\n", r#"{"stream": true}"#), false),
        ("GET /a HTTP/1.1\r\nHost: p\r\nAccept: */*\r\n\r\n".to_owned(), false),
        // It has no body, so that nothing could be said in it.
        (ASKS.replace("GET", "HEAD"), false),
        // It asks for something else than a stream.
        (ASKS.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), false),
    ] {
        assert_eq!(begins(std::slice::from_ref(&request)), expected, "{request:.200}");
    }
}

#[test]
fn a_body_may_say_it_late_and_nothing_is_said_before_it_is_there() {
    let (first, rest) = ("{\"model\": \"m\", \"str", "eam\": true}");
    let head = |framing: &str| format!("POST /a/x HTTP/1.1\r\nHost: p\r\n{framing}\r\n\r\n");
    let sized = head(&format!("Content-Length: {}", first.len() + rest.len()));
    let chunked = head("Transfer-Encoding: chunked");
    assert!(begins(&[sized.clone() + first, rest.to_owned()]));
    assert!(begins(&[sized, format!("{first}{rest}")]));
    assert!(begins(&[chunked.clone() + &chunk(first), chunk(rest) + "0\r\n\r\n"]));
    assert!(begins(&[
        chunked,
        "13\r\n{\"model\": \"m".to_owned(),
        "\", \"str\r\nb\r\neam\": true}\r\n0\r\n\r\n".to_owned()
    ]));
}

#[test]
fn a_client_that_waits_to_be_told_to_send_is_told_so_before() {
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"))]);
    let proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    client.send(
        "POST /a HTTP/1.1\r\nHost: p\r\nAccept: text/event-stream\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    a_while(&proxy);
    assert!(is_silent(&client));
    client.send("{}");
    begun(&mut client);
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), "data: 1\n\n");
}

#[test]
fn interim_answers_come_before_the_head_or_not_at_all() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answer = format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"));
    let (upstream, go) = stepwise(&[hints.to_owned(), hints.to_owned(), answer]);
    let proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    client.send(ASKS);
    go.send(()).expect("the upstream waits");
    let first = client.head();
    if first.starts_with("HTTP/1.1 103 ") {
        begun(&mut client);
    }
    a_while(&proxy);
    go.send(()).expect("the upstream waits");
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), "data: 1\n\n");
}

#[test]
fn no_coding_is_asked_for_where_something_may_have_to_be_said() {
    let upstream = Upstream::ok();
    let url = upstream.url();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": url, "sse_keepalive": 10, "sse_keepalive_before_head": true},
        "b": {"target_url": url, "sse_keepalive": 10},
    }}));
    let mut client = proxy.client();
    let fields = "X-A: 1\r\naccept-encoding: gzip, br\r\nX-B: 2\r\n";
    for (request, expected) in [
        (post(fields, "{}"), vec!["identity"]),
        (post(&fields.replace("X-B: 2", "Accept-Encoding: zstd"), "{}"), vec!["identity", "identity"]),
        (post("", "{}"), vec![]),
        (post(&format!("{fields}Content-Type: image/png\r\n"), "{}"), vec!["gzip, br"]),
        (format!("GET /a HTTP/1.1\r\nHost: p\r\n{fields}\r\n"), vec!["gzip, br"]),
        (format!("GET /a?alt=sse HTTP/1.1\r\nHost: p\r\n{fields}\r\n"), vec!["identity"]),
        (post(fields, "{}").replace("/a/x", "/b/x"), vec!["gzip, br"]),
    ] {
        client.ask(&request);
        let seen = upstream.request();
        assert_eq!(seen.fields("accept-encoding"), expected, "{request}");
        let names = seen.names();
        let place = |name: &str| names.iter().position(|known| *known == name);
        assert!(!names.contains(&"X-A") || place("X-A") < place("accept-encoding"), "in its place: {names:?}");
    }
}

#[test]
fn without_the_field_nothing_is_said_before_the_head() {
    let (upstream, go) = waiting();
    let url = upstream.url();
    let proxy = Proxy::start(&json!({"server": {"workers": 1}, "routes": {
        "a": {"target_url": url, "sse_keepalive": "50ms", "sse_keepalive_before_head": true},
        "b": {"target_url": url, "sse_keepalive": "50ms"},
    }}));
    let mut client = proxy.client();
    client.send(ASKS.replace("/a", "/b"));
    a_while(&proxy);
    go.send(()).expect("the upstream waits");
    assert!(client.head().contains("X-Own: 1"));
}
