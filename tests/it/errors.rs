//! Answers of our own: statuses, codes, texts, and what they do not tell.

use std::net::TcpListener;

use serde_json::json;

use crate::support::{Proxy, Upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

fn proxy_to(url: &str) -> Proxy {
    Proxy::start(&json!({"routes": {"a": {"target_url": url}}}))
}

/// Statuses and codes, and no internal detail.
fn failed(proxy: &Proxy, secret: &str) -> (u16, String) {
    let answer = proxy.client().ask(GET);
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert!(!answer.head.contains(secret) && !answer.text().contains(secret), "{}", answer.text());
    assert_eq!(answer.field("x-aqueduct-error"), answer.json()["code"].as_str());
    if answer.status() == 502 {
        assert_eq!(answer.json()["error"], "Proxy failed to connect to the target server.");
    }
    (answer.status(), answer.json()["code"].as_str().expect("a code").to_owned())
}

#[test]
fn an_upstream_that_does_not_listen() {
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let proxy = proxy_to(&format!("http://{address}"));
    assert_eq!(failed(&proxy, &address.port().to_string()), (502, "upstream_unreachable".into()));
    let line = proxy.logged(|_| true);
    assert_eq!(
        (line["code"].as_str(), line["end"].as_str(), line["status"].as_u64()),
        (Some("upstream_unreachable"), Some("refused"), Some(502))
    );
}

#[test]
fn a_name_that_does_not_exist() {
    let proxy = proxy_to("http://nowhere.invalid");
    assert_eq!(failed(&proxy, "nowhere"), (502, "upstream_dns".into()));
}

#[test]
fn an_upstream_that_speaks_no_tls() {
    let upstream = Upstream::playing(|script| {
        script.some()?;
        script.send("HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let proxy = proxy_to(&format!("https://{}", upstream.address()));
    assert_eq!(failed(&proxy, "127.0.0.1"), (502, "upstream_tls".into()));
}

#[test]
fn an_upstream_that_closes_without_a_word() {
    let upstream = Upstream::playing(|script| script.request().map(|_| ()));
    assert_eq!(failed(&Proxy::to(&upstream), "127.0.0.1"), (502, "upstream_reset".into()));
}

#[test]
fn an_upstream_that_answers_nonsense() {
    let upstream = Upstream::answering_once("SSH-2.0-secretversion\r\n");
    assert_eq!(failed(&Proxy::to(&upstream), "secretversion"), (502, "upstream_bad_answer".into()));
}

#[test]
fn malformed_requests_are_refused_and_forwarded_nowhere() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    for (request, status) in [
        ("GET /a HTTP/1.1\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", 400),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        ("GET /a HTTP/1.1\nHost: a\n\n", 400),
        ("GET  /a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a\r\nHost: a\r\n\r\n", 400),
        ("GET /a HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n", 400),
    ] {
        let mut client = proxy.client();
        let answer = client.ask(request);
        assert_eq!((answer.status(), answer.field("connection")), (status, Some("close")), "{request:?}");
        assert!(
            answer.json()["error"].as_str().is_some_and(|text| text.starts_with("Invalid request: ")),
            "{}",
            answer.text()
        );
        assert!(client.rest().is_empty() && upstream.has_no_request() && upstream.connections() == 0, "{request:?}");
    }
    assert_eq!(proxy.client().ask(GET).status(), 200);
}

#[test]
fn heads_have_limits_that_can_be_set() {
    let upstream = Upstream::ok();
    let limits = json!({"max_head_size": "4KiB", "max_request_line": 100, "max_head_fields": 5});
    let proxy = Proxy::start(&json!({"server": {"limits": limits}, "routes": {"a": {"target_url": upstream.url()}}}));
    let status = |request: String| proxy.client().ask(request).status();
    assert_eq!(status(format!("GET /a?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100))), 414);
    assert_eq!(status(format!("GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(5))), 431);
    assert_eq!(status(format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000))), 431);
    assert_eq!(status(format!("GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(4))), 200);
    assert_eq!(status(format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(3000))), 200);
}

#[test]
fn a_crowd_is_told_to_come_back() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(
        &json!({"server": {"limits": {"max_connections": 2}}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    let mut inside = [proxy.client(), proxy.client()];
    for client in &mut inside {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let mut third = proxy.client();
    let answer = third.answer();
    assert_eq!(
        (answer.status(), answer.field("retry-after"), answer.json()["code"].as_str()),
        (503, Some("1"), Some("overloaded"))
    );
    drop(inside);
    crate::support::eventually("there is room again", || {
        proxy.client().send(GET).try_answer().is_ok_and(|answer| answer.status() == 200)
    });
}
