//! Answers: they pass as they are.

use serde_json::json;

use crate::support::{Proxy, Upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

#[test]
fn heads_pass_as_they_came() {
    let head = "HTTP/1.1 201 Very Fine\r\nx-lower: 1\r\nSet-Cookie: a=1; Path=/\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nServer: me\r\nSet-Cookie: b=2\r\nretry-after: 7\r\nx-ratelimit-remaining-tokens: 5\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n";
    let upstream = Upstream::answering(format!("{head}\u{1}\u{2}\u{3}"));
    let proxy = Proxy::to(&upstream);
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.head.as_str(), &answer.body[..]), (head, &b"\x01\x02\x03"[..]));
}

#[test]
fn nothing_is_invented() {
    let upstream = Upstream::answering("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    assert_eq!(Proxy::to(&upstream).client().ask(GET).head, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn redirects_and_every_other_status_are_passed_on() {
    for status in [
        200, 206, 226, 299, 300, 301, 302, 303, 307, 308, 399, 400, 401, 403, 404, 418, 429, 451, 499, 500, 502, 503,
        504, 529, 599,
    ] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 {status} Whatever\r\nLocation: http://else.where/x\r\nContent-Length: 2\r\n\r\nok"
        ));
        let answer = Proxy::to(&upstream).client().ask(GET);
        assert_eq!(
            (answer.status(), answer.field("location"), answer.text().as_str()),
            (status, Some("http://else.where/x"), "ok")
        );
        assert_eq!(answer.field("x-aqueduct-error"), None);
    }
}

#[test]
fn answers_without_body_have_none() {
    let upstream = Upstream::answering("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).head, "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n");
    assert_eq!(client.ask(GET).status(), 204);
    let upstream = Upstream::answering("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).field("content-length"), Some("99"));
    assert_eq!(client.ask(GET).status(), 304);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn head_answers_keep_their_length() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask("HEAD /a HTTP/1.1\r\nHost: p\r\n\r\n");
        assert_eq!((answer.field("content-length"), client.unused()), (Some("1234"), &b""[..]));
    }
}

#[test]
fn fields_of_the_connection_stay_behind() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nContent-Length: 0\r\nX-End: 1\r\n\r\n",
    );
    assert_eq!(Proxy::to(&upstream).client().ask(GET).names(), ["Content-Length", "X-End"]);
}

#[test]
fn bodies_pass_whatever_their_framing() {
    for (answer, coding) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", None),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            Some("chunked"),
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", Some("chunked")),
        ("HTTP/1.0 200 OK\r\n\r\nhello", Some("chunked")),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", Some("chunked")),
    ] {
        let upstream = Upstream::answering_once(answer);
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        for _ in 0..2 {
            let received = client.ask(GET);
            assert_eq!(
                (received.text().as_str(), received.is_whole, received.field("transfer-encoding")),
                ("hello", true, coding),
                "{answer:?}"
            );
            assert_eq!(received.field("connection"), None);
        }
    }
}

#[test]
fn trailers_pass_but_for_those_that_frame() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 5\r\nContent-Length: 9\r\n\r\n",
    );
    let answer = Proxy::to(&upstream).client().ask(GET);
    assert_eq!(String::from_utf8_lossy(&answer.raw_body), "1\r\na\r\n0\r\nX-Sum: 5\r\n\r\n");
    assert_eq!(answer.field("trailer"), Some("X-Sum"));
}

#[test]
fn interim_answers_do_not_disturb() {
    let upstream = Upstream::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nSet-Cookie: no\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    // A client of HTTP/1.0 understands none.
    let answer = proxy.client().ask("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn an_old_client_gets_no_chunks() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
    );
    let proxy = Proxy::to(&upstream);
    let answer = proxy.client().ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (answer.head.as_str(), answer.text().as_str(), answer.is_whole),
        ("HTTP/1.1 200 OK\r\n\r\n", "hello", true)
    );
}

#[test]
fn an_old_client_can_keep_its_connection() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("ok", Some("keep-alive")));
    }
    client.ask("GET /a HTTP/1.0\r\n\r\n");
    assert!(client.is_closed());
}

#[test]
fn a_cut_answer_is_visibly_cut_and_what_came_before_is_delivered() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    ] {
        let upstream = Upstream::answering_once(answer);
        let proxy = Proxy::to(&upstream);
        for version in ["1.1", "1.0"] {
            let received = proxy.client().ask(format!("GET /a HTTP/{version}\r\nHost: p\r\n\r\n"));
            assert_eq!(
                (received.text().trim_end_matches("\r\n"), received.is_whole),
                ("hello", false),
                "{answer:?} {version}"
            );
        }
        assert_eq!(proxy.logged(|line| line["status"] == 200)["end"], "upstream_cut");
    }
}

#[test]
fn a_reset_upstream_is_a_cut_answer_though_it_ends_with_the_connection() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\nhello")?;
        // The reset follows when the proxy has what came before it.
        script.stream().set_read_timeout(Some(std::time::Duration::from_millis(300)))?;
        let _ = script.some();
        script.reset();
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    for version in ["1.1", "1.0"] {
        let received = proxy.client().ask(format!("GET /a HTTP/{version}\r\nHost: p\r\n\r\n"));
        assert_eq!((received.text().as_str(), received.is_whole), ("hello", false), "{version}");
    }
}

#[test]
fn connections_stay_and_requests_may_come_early() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client
        .send(GET.repeat(3))
        .send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nhi")
        .send("GET /none HTTP/1.1\r\nHost: p\r\n\r\n")
        .send(GET);
    for status in [200, 200, 200, 200, 404, 200] {
        assert_eq!(client.answer().status(), status);
    }
    assert_eq!(upstream.connections(), 1);
    let answer = client.ask("GET /a HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn one_connection_serves_many_clients_and_routes_to_one_place() {
    let upstream = Upstream::ok();
    let url = upstream.url();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": url, "custom_headers": {"X": "a"}},
        "b": {"target_url": format!("{url}/base"), "custom_headers": {"X": "b"}},
        "u": {"universal_proxy": true},
    }}));
    for target in ["/a/x".to_owned(), "/b/x".into(), format!("/u/{url}/x"), "/a/y".into()] {
        assert_eq!(proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n")).status(), 200);
    }
    // What was made for targets of the operator's choice is not for those of a client's.
    assert_eq!(upstream.connections(), 2);
    assert_eq!(
        [upstream.request(), upstream.request(), upstream.request()]
            .map(|request| request.field("x").map(str::to_owned)),
        [Some("a".into()), Some("b".into()), None]
    );
}

#[test]
fn bytes_after_an_answer_are_nobodys() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(GET).text(), "ok");
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn broken_answers_are_a_clean_502() {
    for answer in [
        "garbage",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nHalf: a head",
        "",
    ] {
        let upstream = Upstream::answering_once(answer);
        let received = Proxy::to(&upstream).client().ask(GET);
        assert_eq!((received.status(), received.is_whole), (502, true), "{answer:?}");
        assert_eq!(received.json()["error"], "Proxy failed to connect to the target server.");
        let code = received.json()["code"].as_str().map(str::to_owned);
        assert!(matches!(code.as_deref(), Some("upstream_bad_answer" | "upstream_reset")), "{answer:?}: {code:?}");
    }
}

#[test]
fn heads_and_interim_answers_have_limits() {
    let many = "A: b\r\n".repeat(257);
    let long = format!("A: {}\r\n", "x".repeat(70_000));
    let interim = "HTTP/1.1 102 x\r\n\r\n".repeat(17);
    let wordy = format!("HTTP/1.1 102 x\r\nA: {}\r\n\r\n", "x".repeat(9000));
    for answer in [
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\n{long}\r\n"),
        format!("{interim}HTTP/1.1 200 OK\r\n\r\n"),
        format!("{wordy}HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let upstream = Upstream::answering_once(&answer);
        assert_eq!(Proxy::to(&upstream).client().ask(GET).json()["code"], "upstream_bad_answer");
    }
}

#[test]
fn broken_chunks_cut_the_answer() {
    let upstream =
        Upstream::answering_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n");
    let proxy = Proxy::to(&upstream);
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.is_whole), (200, false));
    assert_eq!(proxy.logged(|_| true)["end"], "upstream_cut");
}
