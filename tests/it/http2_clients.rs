//! Clients that speak HTTP/2: the same proxy, the same rules, and many requests at once.

use std::future::poll_fn;
use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request};
use serde_json::json;

use crate::support::http2::{Http2Client, get, hear, hears, post, run};
use crate::support::{PATIENCE, Proxy, Script, Upstream, eventually};

#[test]
fn a_request_is_forwarded_as_one_of_http_1_1() {
    let upstream = Upstream::answering(
        "HTTP/1.1 201 Made\r\nSet-Cookie: a\r\nX-Mixed: Case\r\nset-cookie: b\r\nContent-Length: 2\r\nConnection: x-hop\r\nx-hop: 1\r\n\r\nok",
    );
    let proxy = Proxy::start(&json!({
        "headers_to_drop": ["x-drop"],
        "routes": {"a": {"target_url": upstream.url(), "custom_headers": {"Authorization": "Bearer ours"}}},
    }));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut request = post("/a/v1%2Fx?b=1&b=2");
        *request.method_mut() = Method::PUT;
        for (name, value) in [("x-one", "1"), ("cookie", "a=1"), ("x-drop", "2"), ("cookie", "b=2")] {
            request.headers_mut().append(name, value.parse().expect("a value"));
        }
        let heard = client.ask(request, b"hello").await;
        assert_eq!((heard.status, &heard.body[..]), (201, &b"ok"[..]));
        assert_eq!(heard.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(heard.headers["content-length"], "2");
        assert!(!heard.headers.contains_key("x-hop") && !heard.headers.contains_key("connection"));
        assert!(!heard.headers.contains_key("date") && !heard.headers.contains_key("server"));
    });
    let seen = upstream.request();
    assert_eq!(seen.line(), "PUT /v1%2Fx?b=1&b=2 HTTP/1.1");
    assert_eq!((seen.field("host"), seen.text()), (Some(upstream.address().to_string().as_str()), "hello".into()));
    assert_eq!(seen.fields("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.names(), ["Host", "x-one", "cookie", "Transfer-Encoding", "Authorization"]);
}

#[test]
fn a_length_is_kept_and_an_empty_body_says_so() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut sized = post("/a");
        sized.headers_mut().insert("content-length", "3".parse().expect("a value"));
        client.ask(sized, b"abc").await;
        client.ask(post("/a"), b"").await;
        client.ask(get("/a"), b"").await;
    });
    let framing = |_| {
        let seen = upstream.request();
        (seen.field("content-length").map(str::to_owned), seen.field("transfer-encoding").map(str::to_owned))
    };
    let framings: Vec<_> = (0..3).map(framing).collect();
    assert_eq!(framings, [(Some("3".into()), None), (Some("0".into()), None), (None, None)]);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn the_proxys_own_answers_come_too() {
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": "http://127.0.0.1:1"}}}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let health = client.get("/").await;
        assert_eq!(health.status, 200);
        assert!(String::from_utf8_lossy(&health.body).contains("Python Proxy is running."));
        for (path, status, code) in [("/b", 404, "route_not_found"), ("/a", 502, "upstream_unreachable")] {
            let heard = client.get(path).await;
            assert_eq!((heard.status, heard.headers["x-aqueduct-error"].as_bytes()), (status, code.as_bytes()));
            assert!(String::from_utf8_lossy(&heard.body).contains(code));
        }
        let trace = Request::builder().method("TRACE").uri("http://p/a").body(()).expect("a request");
        assert_eq!(client.ask(trace, b"").await.status, 405);
        let head = client.ask(Request::head("http://p/").body(()).expect("a request"), b"").await;
        assert_eq!((head.status, head.body.len(), head.headers.contains_key("content-length")), (200, 0, true));
        let tunnel = Request::builder().method("CONNECT").uri("h:443").body(()).expect("a request");
        assert_eq!(client.ask(tunnel, b"").await.status, 405);
    });
}

#[test]
fn every_event_is_there_before_the_next_is_sent() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let wait = wait.lock().expect("not poisoned");
        for number in 0.. {
            if wait.recv().is_err() {
                break;
            }
            script.send(format!("9\r\ndata: {number}\n\n\r\n"))?;
        }
        script.send("0\r\nx-sum: 3\r\n\r\n")
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, _) = client.begin(get("/a"), true).await;
        let mut answer = answer.await.expect("an answer");
        for number in 0..3 {
            go.send(()).expect("the upstream waits");
            hears(answer.body_mut(), &format!("data: {number}\n\n")).await;
        }
        drop(go);
        let end = hear(answer).await;
        assert_eq!((end.body.len(), end.cut), (0, None));
        assert_eq!(end.trailers.expect("trailers")["x-sum"], "3");
    });
    assert_eq!(proxy.logged(|line| line["end"] == "done")["bytes_out"], 27);
}

#[test]
fn many_requests_run_at_once_and_a_slow_reader_holds_up_nobody() {
    let upstream = Upstream::playing(|script: &mut Script| {
        while let Some(request) = script.request()? {
            let length = if request.target() == "/large" { 8 << 20 } else { 5 };
            script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
            script.send(vec![b'x'; length])?;
        }
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        // The window of the whole connection is the client's own affair: here it is no limit.
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(16 << 20);
        let mut client = Http2Client::connect_as(proxy.address(), &builder).await;
        let mut unread = Vec::new();
        for _ in 0..20 {
            unread.push(client.begin(get("/a/large"), true).await.0.await.expect("an answer"));
        }
        for _ in 0..100 {
            assert_eq!(client.get("/a/small").await.body, b"xxxxx");
        }
        let heard = hear(unread.pop().expect("one")).await;
        assert_eq!((heard.body.len(), heard.cut), (8 << 20, None));
    });
}

#[test]
fn a_slow_upload_holds_up_nobody() {
    let upstream = Upstream::playing(|script: &mut Script| {
        let head = script.head()?;
        if head.contains("/stuck") {
            return script.until_closed();
        }
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut stuck = Vec::new();
        for _ in 0..10 {
            let (answer, mut send) = client.begin(post("/a/stuck"), false).await;
            send.send_data(Bytes::from(vec![b'x'; 2 << 20]), true).expect("a stream");
            stuck.push((answer, send));
        }
        for _ in 0..20 {
            assert_eq!(client.ask(post("/a/quick"), b"").await.status, 200);
        }
    });
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    let upstream = Upstream::playing(|script: &mut Script| {
        let Some(request) = script.request()? else { return Ok(()) };
        script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()))?;
        script.send(&request.body)
    });
    let proxy = Proxy::to(&upstream);
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let heard = run(async { Http2Client::connect(proxy.address()).await.ask(post("/a"), &body).await });
    assert!(heard.body == body, "{} bytes", heard.body.len());
}

#[test]
fn a_client_that_cancels_ends_its_upstream_and_nothing_else() {
    for path in ["/a/silent", "/a/stream"] {
        let upstream = Upstream::playing(|script: &mut Script| {
            let request = script.request()?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            if request.target() == "/ok" {
                return script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            if request.target() == "/stream" {
                script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
            }
            script.until_closed()?;
            script.send("").map(|()| CLOSED.lock().expect("not poisoned").push(request.target().to_owned()))
        });
        let proxy = Proxy::to(&upstream);
        run(async {
            let mut client = Http2Client::connect(proxy.address()).await;
            let (answer, mut send) = client.begin(get(path), true).await;
            upstream.request();
            if path == "/a/stream" {
                hears(answer.await.expect("an answer").body_mut(), "hello").await;
            }
            send.send_reset(Reason::CANCEL);
            assert_eq!(client.get("/a/ok").await.body, b"ok");
        });
        eventually("the upstream sees the end", || {
            CLOSED.lock().expect("not poisoned").iter().any(|target| path.ends_with(target.as_str()))
        });
        assert_eq!(proxy.logged(|line| line["path"] == path)["end"], "client_gone");
    }
}

/// What upstreams of the test above have seen the end of.
static CLOSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn a_client_that_cancels_its_upload_is_seen_by_the_upstream() {
    let (ended, has_ended) = channel();
    let upstream = Upstream::playing(move |script: &mut Script| {
        script.head()?;
        let whole = script.some().and_then(|_| script.until_closed());
        let _ = ended.send(whole.is_ok());
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (_answer, mut send) = client.begin(post("/a"), false).await;
        send.send_data(Bytes::from_static(b"half"), false).expect("a stream");
        upstream.request();
        send.send_reset(Reason::CANCEL);
        proxy.logged(|line| line["end"] == "client_gone");
    });
    assert!(has_ended.recv_timeout(PATIENCE).is_ok());
}

#[test]
fn a_cut_answer_is_seen_to_be_cut() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
    ] {
        let upstream = Upstream::answering_once(answer);
        let proxy = Proxy::to(&upstream);
        let heard = run(async { Http2Client::connect(proxy.address()).await.get("/a").await });
        assert_eq!((&heard.body[..], heard.cut), (&b"hello"[..], Some(Reason::CANCEL)), "{answer:?}");
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_whole() {
    let upstream = Upstream::answering_once("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    let proxy = Proxy::to(&upstream);
    let heard = run(async { Http2Client::connect(proxy.address()).await.get("/a").await });
    assert_eq!((&heard.body[..], heard.cut), (&b"hello"[..], None));
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::playing(|script: &mut Script| {
        script.head()?;
        script.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(post("/a"), false).await;
        send.send_data(Bytes::from(vec![b'x'; 1 << 20]), false).expect("a stream");
        let heard = hear(answer.await.expect("an answer")).await;
        assert_eq!((heard.status, &heard.body[..], heard.cut), (413, &b"no"[..], None));
        // The rest is not wanted, and that is no error (RFC 9113 section 8.1).
        let reset = poll_fn(|cx| send.poll_reset(cx)).await;
        assert_eq!(reset.expect("a reset"), Reason::NO_ERROR);
        assert_eq!(client.get("/").await.status, 200);
    });
}

#[test]
fn interim_answers_are_passed_on_as_such() {
    let upstream = Upstream::playing(|script: &mut Script| {
        script.request()?;
        script.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX: y\r\n\r\n")?;
        script.send("HTTP/1.1 204 No Content\r\n\r\n")
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut request = post("/a");
        request.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
        let (mut answer, mut send) = client.begin(request, false).await;
        let interim = poll_fn(|cx| answer.poll_informational(cx)).await.expect("one").expect("no cut");
        assert_eq!(interim.status().as_u16(), 100);
        send.send_data(Bytes::from_static(b"x"), true).expect("a stream");
        let hints = poll_fn(|cx| answer.poll_informational(cx)).await.expect("one").expect("no cut");
        assert_eq!((hints.status().as_u16(), hints.headers().len()), (103, 1));
        assert_eq!(hear(answer.await.expect("an answer")).await.status, 204);
    });
}

#[test]
fn a_connection_that_nobody_uses_is_ended_with_a_word() {
    let proxy = Proxy::start(&json!({"server": {"limits": {"keep_alive_timeout": "200ms"}}}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        assert_eq!(client.get("/").await.status, 200);
        client.ended().await.expect("an orderly end");
    });
}

#[test]
fn an_end_lets_running_streams_finish_and_begins_no_others() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        let _ = wait.lock().expect("not poisoned").recv();
        script.send("world")
    });
    let mut proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, _) = client.begin(get("/a"), true).await;
        let mut answer = answer.await.expect("an answer");
        hears(answer.body_mut(), "hello").await;
        proxy.signal("TERM");
        proxy.says("Stopping");
        let mut refused = client.requests().clone();
        // The word that no new stream is taken may need a moment.
        while let Ok(ready) = refused.ready().await {
            refused = ready;
            let Ok((answer, _)) = refused.send_request(get("/"), true) else { break };
            if answer.await.is_err() {
                break;
            }
        }
        go.send(()).expect("the upstream waits");
        hears(answer.body_mut(), "world").await;
        assert_eq!(hear(answer).await.cut, None);
    });
    assert!(proxy.ended().success());
}

#[test]
fn a_crowd_on_one_connection_is_told_to_come_back() {
    let upstream = Upstream::playing(|script: &mut Script| {
        script.request()?;
        script.until_closed()
    });
    let proxy = Proxy::start(
        &json!({"server": {"limits": {"max_connections": 4}}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut inside = Vec::new();
        for _ in 0..3 {
            inside.push(client.begin(get("/a"), true).await);
            upstream.request();
        }
        let heard = client.get("/a").await;
        assert_eq!((heard.status, heard.headers["x-aqueduct-error"].as_bytes()), (503, &b"overloaded"[..]));
        assert_eq!(heard.headers["retry-after"], "1");
        for (_, send) in &mut inside {
            send.send_reset(Reason::CANCEL);
        }
        let mut status = 503;
        while status == 503 {
            status = client.get("/").await.status;
        }
        assert_eq!(status, 200);
    });
}

#[test]
fn the_preface_is_understood_in_any_number_of_pieces_and_only_at_the_start() {
    let proxy = Proxy::start(&json!({}));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut client = proxy.client();
    for byte in preface {
        client.send([*byte]);
    }
    // SETTINGS on stream 0.
    let settings = client.raw(9);
    assert_eq!((settings[3], &settings[5..9]), (4, &[0; 4][..]));
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    client.stream().write_all(preface).expect("the proxy reads");
    assert_eq!(client.answer().status(), 505);
}

#[test]
fn each_stream_is_a_line_of_the_log() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        for number in 0..3 {
            client.get(&format!("/a/{number}?key=secret")).await;
        }
    });
    for number in 0..3 {
        let line = proxy.logged(|line| line["path"] == format!("/a/{number}?key=***"));
        assert_eq!((&line["status"], &line["end"], &line["bytes_out"]), (&json!(200), &json!("done"), &json!(2)));
    }
}
