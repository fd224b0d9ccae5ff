//! Request bodies: streamed, framed once, never longer or shorter than they came.

use std::io::Write;
use std::sync::mpsc::channel;

use serde_json::json;

use crate::support::{Proxy, Upstream};

#[test]
fn bodies_of_any_method_pass() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    for method in ["GET", "DELETE", "POST", "PUT", "OPTIONS"] {
        let answer = proxy.client().ask(format!("{method} /a HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(answer.status(), 200);
        let request = upstream.request();
        assert_eq!((request.text().as_str(), request.fields("content-length")), ("hello", vec!["5"]), "{method}");
    }
}

#[test]
fn chunked_uploads_arrive_chunked() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let body = "5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n";
    proxy.client().ask(format!("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: Chunked\r\n\r\n{body}"));
    let request = upstream.request();
    assert_eq!((request.fields("transfer-encoding"), request.field("content-length")), (vec!["chunked"], None));
    assert_eq!(String::from_utf8_lossy(&request.raw_body), body);
}

#[test]
fn chunk_extensions_and_trailers_are_not_passed_on() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let body = "5;a=b\r\nhello\r\n0;c\r\nX-Trailer: 1\r\n\r\n";
    proxy
        .client()
        .ask(format!("POST /a HTTP/1.1\r\nHost: p\r\nTrailer: X-Trailer\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    let request = upstream.request();
    assert_eq!(String::from_utf8_lossy(&request.raw_body), "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(request.field("trailer"), None);
}

#[test]
fn the_upstream_sees_the_head_before_the_last_byte() {
    let (seen, has_seen) = channel();
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        let mut body = Vec::new();
        while body.len() < 10 {
            body.extend(script.some()?);
            let _ = seen.send(body.len());
        }
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\n");
    assert!(upstream.request().head.starts_with("POST / "));
    client.send("01234");
    assert_eq!(has_seen.recv(), Ok(5));
    client.send("56789");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn expect_continue_is_answered_at_once_and_not_passed_on() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.send("hello").answer().status(), 200);
    let request = upstream.request();
    assert_eq!((request.text().as_str(), request.field("expect")), ("hello", None));
    // Refused before the body is asked for.
    let answer =
        proxy.client().ask("POST /none HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!((answer.status(), answer.field("connection")), (404, Some("close")));
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::playing(|script| {
        script.head()?;
        script.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsmall")
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 100000000\r\n\r\n");
    let mut writer = client.stream().try_clone().expect("a socket");
    let sending = std::thread::spawn(move || {
        // Until the proxy has had enough; such a client reads only when it has sent everything, or cannot.
        let piece = vec![b'x'; 64 * 1024];
        (0..1600).all(|_| writer.write_all(&piece).is_ok())
    });
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str(), answer.field("connection")), (413, "small", Some("close")));
    sending.join().expect("no panic");
}

#[test]
fn a_body_cut_short_never_looks_whole() {
    for (framing, part) in [("Content-Length: 10", "01234"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")] {
        let (cut, was_cut) = channel();
        let upstream = Upstream::playing(move |script| {
            let request = script.request()?;
            let _ = cut.send(request.map(|request| request.is_whole));
            Ok(())
        });
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        client.send(format!("POST /a HTTP/1.1\r\nHost: p\r\n{framing}\r\n\r\n{part}"));
        // The upstream has to have the beginning, or there would be nothing to cut.
        crate::support::eventually("the upstream is connected", || upstream.connections() == 1);
        drop(client);
        assert_eq!(was_cut.recv(), Ok(Some(false)), "{framing}");
    }
}

#[test]
fn broken_framing_inside_a_body_is_refused() {
    for body in [
        "5\r\nhelloX",
        "g\r\n",
        "5\r\nhello\n",
        "-1\r\n",
        "5 \r\nhello\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "1\r\na\r\n0\r\nbad line\r\n\r\n",
    ] {
        let upstream = Upstream::ok();
        let proxy = Proxy::to(&upstream);
        let answer =
            proxy.client().ask(format!("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (400, Some("bad_request")), "{body:?}");
        assert_eq!(answer.field("connection"), Some("close"));
    }
}

#[test]
fn a_body_larger_than_the_limit_is_refused() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(
        &json!({"server": {"limits": {"max_body_size": 10}}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    let answer = proxy.client().ask("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 11\r\n\r\n");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (413, Some("body_too_large")));
    assert!(upstream.has_no_request() && upstream.connections() == 0);
    let answer = proxy
        .client()
        .ask("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n");
    assert_eq!(answer.status(), 413);
    let answer = proxy.client().ask("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(answer.status(), 200);
}

#[test]
fn large_bodies_arrive_whole() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = proxy.client().ask([head.as_bytes(), &body].concat());
    assert_eq!(answer.status(), 200);
    assert!(upstream.request().body == body);
    let mut chunked = b"POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(70_001) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(proxy.client().ask(chunked).status(), 200);
    assert!(upstream.request().body == body);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_however_large_a_body_is() {
    const BODY: usize = 1 << 30;
    const PIECE: usize = 1 << 20;
    // The promise, in KiB.
    const MOST: u64 = 64 << 10;

    let upstream = Upstream::playing(|script| {
        assert!(script.head()?.contains(&format!("Content-Length: {BODY}")));
        let mut left = BODY;
        while left > 0 {
            let length = script.some()?.len();
            assert!(length > 0, "cut short");
            left -= length;
        }
        script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"))?;
        let piece = vec![b'a'; PIECE];
        (0..BODY / PIECE).try_for_each(|_| script.send(&piece))
    });
    let proxy = Proxy::to(&upstream);
    proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
    let peak = || proxy.memory("status", "VmHWM:");
    let before = peak();
    let mut client = proxy.client();
    client.send(format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {BODY}\r\n\r\n"));
    let piece = vec![b'q'; PIECE];
    for _ in 0..BODY / PIECE {
        client.send(&piece);
    }
    client.head();
    let mut left = BODY;
    while left > 0 {
        let length = client.some().len();
        assert!(length > 0, "cut short");
        left -= length;
    }
    let grown = peak() - before;
    assert!(grown < MOST, "{grown} KiB more");
}
