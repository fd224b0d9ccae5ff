//! What is kept of a request while it streams out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use serde_json::json;

use super::{BUSY, OK, attempts, in_turn, nobody, retrying};
use crate::support::{Proxy, Script, Upstream};

#[test]
fn a_chunked_body_is_said_again_as_it_came() {
    let upstream = in_turn(&[BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    let body = "5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n";
    let request = format!("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert_eq!(attempts(&proxy.client().ask(request)), (200, Some("2"), Some("a")));
    for _ in 0..2 {
        assert_eq!(String::from_utf8_lossy(&upstream.request().raw_body), body);
    }
}

#[test]
fn what_is_larger_than_the_buffer_is_sent_once_if_it_was_sent() {
    let upstream = in_turn(&[BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({"body_buffer": "100KiB"}));
    let ask = |length: usize| {
        let body = "x".repeat(length);
        proxy.client().ask(format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    assert_eq!(attempts(&ask((100 << 10) + 1)), (503, Some("1"), Some("a")));
    let upstream = in_turn(&[BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({"body_buffer": "100KiB"}));
    let body = "x".repeat(100 << 10);
    let request = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(attempts(&proxy.client().ask(request)), (200, Some("2"), Some("a")));
    for _ in 0..2 {
        assert_eq!(upstream.request().text(), body);
    }
}

#[test]
fn however_large_it_is_it_can_go_elsewhere_while_nothing_was_sent() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": nobody(), "retry": {"body_buffer": 0}, "fallback": ["b"]},
        "b": {"target_url": upstream.url()},
    }}));
    let body = "0123456789".repeat(100_000);
    let request = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(attempts(&proxy.client().ask(request)), (200, Some("2"), Some("b")));
    assert!(upstream.request().text() == body);
}

/// Answers the first request before it is whole, and reads the others to their end.
fn impatient(is_rude: bool) -> Upstream {
    let next = AtomicUsize::new(0);
    Upstream::playing(move |script: &mut Script| {
        if next.fetch_add(1, Ordering::SeqCst) > 0 {
            script.request()?;
            return script.send(OK);
        }
        script.head()?;
        script.some()?;
        script.send(BUSY)?;
        if is_rude { Ok(()) } else { script.until_closed() }
    })
}

#[test]
fn an_upload_goes_on_in_the_second_attempt_behind_what_was_kept() {
    for is_rude in [false, true] {
        let upstream = impatient(is_rude);
        let proxy = retrying(&upstream.url(), &json!({}));
        let mut client = proxy.client();
        client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\n01234");
        upstream.request();
        // The connection of the first attempt is given up, and that of the second is there, before the rest is sent.
        crate::support::eventually("a second connection", || upstream.connections() == 2);
        client.send("56789");
        assert_eq!(attempts(&client.answer()), (200, Some("2"), Some("a")), "{is_rude}");
        assert_eq!(upstream.request().text(), "0123456789");
        // The connection goes on with the next request.
        assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    }
}

#[test]
fn nothing_is_held_back_for_it() {
    let (seen, has_seen) = channel();
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        let mut length = 0;
        while length < 10 {
            length += script.some()?.len();
            let _ = seen.send(length);
        }
        script.send(OK)
    });
    let proxy = retrying(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\n");
    upstream.request();
    client.send("01234");
    assert_eq!(has_seen.recv(), Ok(5));
    assert_eq!(client.send("56789").answer().status(), 200);
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told_once() {
    let upstream = in_turn(&[BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(attempts(&client.send("hello").answer()), (200, Some("2"), Some("a")));
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_kept_is_given_back_when_the_answer_begins() {
    const STREAMS: usize = 40;
    const BODY: usize = 1 << 20;
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")?;
        script.until_closed()
    });
    let proxy = retrying(&upstream.url(), &json!({"body_buffer": "2MiB"}));
    let request = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    let open = || {
        let mut client = proxy.client();
        client.send(&request).head();
        client
    };
    let first = open();
    let before = proxy.memory("status", "VmRSS:");
    let streams: Vec<_> = (0..STREAMS).map(|_| open()).collect();
    let grown = proxy.memory("status", "VmRSS:").saturating_sub(before);
    assert!(grown < 10 * 1024, "{grown} KiB for {} streams of {BODY} bytes", streams.len());
    drop(first);
}
