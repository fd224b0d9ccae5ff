//! Upstreams that speak HTTP/2: connections that are shared, and streams that come to every kind of end.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::support::http2::{Heard, Http2Client, Http2Upstream, Manner, Turn, get, hear, hears, post, run};
use crate::support::{PATIENCE, Proxy, TlsUpstream, eventually, write_private};

const GET: &str = "GET /a/v1?x=1 HTTP/1.1\r\nHost: p\r\n\r\n";
const POST: &str = "POST /a/v1 HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello";

fn route(upstream: &Http2Upstream) -> Value {
    json!({"target_url": upstream.url(), "http2": true})
}

fn proxy_to(upstream: &Http2Upstream) -> Proxy {
    let config = json!({"routes": {"a": route(upstream)}});
    match &upstream.certificate {
        None => Proxy::start(&config),
        Some(certificate) => trusting(config, certificate),
    }
}

fn trusting(mut config: Value, certificate: &str) -> Proxy {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("ca.pem");
    write_private(&path, certificate);
    config["ca_file"] = json!(path);
    Proxy::start(&config)
}

/// Asks over HTTP/2.
fn ask(proxy: &Proxy, body: &'static [u8]) -> Heard {
    let request = if body.is_empty() { get("/a/x") } else { post("/a/x") };
    run(async { Http2Client::connect(proxy.address()).await.ask(request, body).await })
}

#[test]
fn requests_share_a_connection() {
    let upstream = Http2Upstream::ok();
    let proxy = proxy_to(&upstream);
    let mut client = proxy.client();
    for _ in 0..5 {
        let answer = client.ask(GET);
        assert_eq!((answer.status(), answer.text()), (200, "ok".into()));
        // It has no length, so it came in chunks.
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(client.ask(POST).text(), "ok");
    let asked = upstream.asked();
    assert_eq!((asked.uri.path(), asked.uri.query()), ("/v1", Some("x=1")));
    assert_eq!(asked.uri.scheme_str(), Some("http"));
    assert_eq!(format!("http://{}", asked.uri.authority().expect("one")), upstream.url());
    assert!(asked.headers.is_empty(), "{:?}", asked.headers);
    assert_eq!((upstream.unseen(), upstream.connections()), (5, 1));
}

#[test]
fn over_tls_it_is_asked_for_and_what_is_chosen_is_spoken() {
    let modern =
        Http2Upstream::with(Manner { alpn: vec!["h2", "http/1.1"], ..Manner::default() }, |turn| turn.say("2"));
    let proxy = proxy_to(&modern);
    for _ in 0..3 {
        assert_eq!(proxy.client().ask(GET).text(), "2");
    }
    assert_eq!(modern.asked().uri.scheme_str(), Some("https"));
    assert_eq!(modern.connections(), 1);
}

#[test]
fn an_upstream_that_knows_only_the_older_version_is_spoken_to_in_it() {
    let older = TlsUpstream::offering("localhost", &["http/1.1"]);
    let config = json!({"routes": {"a": {"target_url": format!("https://localhost:{}", older.port()), "http2": true}}});
    let proxy = trusting(config, &older.certificate);
    for _ in 0..3 {
        assert_eq!(proxy.client().ask(GET).text(), "ok");
        let session = older.session();
        assert_eq!((session.protocol.as_deref(), session.request.line()), (Some("http/1.1"), "GET /v1?x=1 HTTP/1.1"));
    }
    // Request trailers do not pass then.
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(post("/a/v1"), false).await;
        send.send_data(Bytes::from_static(b"x"), false).expect("a stream");
        send.send_trailers(trailers()).expect("a stream");
        assert_eq!(hear(answer.await.expect("an answer")).await.status, 200);
    });
    assert_eq!(older.session().request.raw_body, b"1\r\nx\r\n0\r\n\r\n");
}

#[test]
fn a_crowd_shares_few_connections() {
    let (go, wait) = channel::<()>();
    let upstream = Http2Upstream::playing(|turn| async move {
        // Everybody is answered when everybody is there.
        ARRIVED.send_modify(|arrived| *arrived += 1);
        let _ = ARRIVED.subscribe().wait_for(|arrived| *arrived >= 150).await;
        turn.say("ok").await;
    });
    let proxy = proxy_to(&upstream);
    let mut clients: Vec<_> = (0..150).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    drop((go, wait));
    assert_eq!(upstream.connections(), 2);
}

static ARRIVED: std::sync::LazyLock<tokio::sync::watch::Sender<usize>> =
    std::sync::LazyLock::new(|| tokio::sync::watch::channel(0).0);

#[test]
fn an_upstream_that_allows_few_streams_gets_few_on_each_connection() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let upstream = Http2Upstream::with(Manner { builder, ..Manner::default() }, |turn| turn.say("ok"));
    let proxy = proxy_to(&upstream);
    assert_eq!(proxy.client().ask(GET).status(), 200);
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(POST);
    }
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    assert_eq!(upstream.unseen(), 21);
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().expect("a value"));
    trailers.insert("content-length", "5".parse().expect("a value"));
    trailers
}

/// Answers with what it was told, and with trailers.
async fn echo(mut turn: Turn) {
    let (body, told) = turn.read().await;
    let mut answer = turn.begin();
    answer.send_data(body.into(), false).expect("a stream");
    let mut trailers = told.unwrap_or_default();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    answer.send_trailers(trailers).expect("a stream");
}

#[test]
fn trailers_pass_on_every_pairing_and_those_of_requests_from_http2_to_http2_only() {
    let upstream = Http2Upstream::playing(echo);
    let proxy = proxy_to(&upstream);
    // From HTTP/1.1: the request's are left out, the answer's come in chunks.
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n");
    let answer = client.answer();
    assert!(answer.raw_body.ends_with(b"1\r\nx\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{:?}", answer.raw_body);
    // From HTTP/2: both pass, but for what frames a message.
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut request = post("/a");
        request.headers_mut().insert("te", "trailers".parse().expect("a value"));
        request.headers_mut().insert("trailer", "x-sum".parse().expect("a value"));
        let (answer, mut send) = client.begin(request, false).await;
        send.send_data(Bytes::from_static(b"x"), false).expect("a stream");
        send.send_trailers(trailers()).expect("a stream");
        let heard = hear(answer.await.expect("an answer")).await;
        let trailers = heard.trailers.expect("trailers");
        assert_eq!((trailers["x-sum"].as_bytes(), trailers["grpc-status"].as_bytes()), (&b"1"[..], &b"0"[..]));
        assert_eq!((trailers.len(), &heard.body[..]), (2, &b"x"[..]));
    });
    upstream.asked();
    let asked = upstream.asked();
    assert_eq!(
        (asked.headers["te"].as_bytes(), asked.headers["trailer"].as_bytes()),
        (&b"trailers"[..], &b"x-sum"[..])
    );
}

#[test]
fn an_answer_of_a_head_alone_stays_one() {
    // gRPC tells failures so.
    let upstream = Http2Upstream::playing(|mut turn| async move {
        let answer = Response::builder().header("grpc-status", "5").body(()).expect("an answer");
        turn.respond.send_response(answer, true).expect("a stream");
    });
    let proxy = proxy_to(&upstream);
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, _) = client.begin(get("/a"), true).await;
        let answer = answer.await.expect("an answer");
        assert!(answer.body().is_end_stream());
        assert_eq!(answer.headers().len(), 1, "{:?}", answer.headers());
    });
    assert_eq!(proxy.client().ask(GET).raw_body, b"0\r\n\r\n");
    let head = proxy.client().ask("HEAD /a HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!((head.status(), head.names()), (200, vec!["grpc-status"]));
}

#[test]
fn every_event_is_there_before_the_next_is_sent() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Arc::new(Mutex::new(wait));
    let upstream = Http2Upstream::playing(move |mut turn| {
        let wait = std::sync::Arc::clone(&wait);
        async move {
            let mut answer = turn.begin();
            for number in 0..3 {
                let wait = std::sync::Arc::clone(&wait);
                tokio::task::spawn_blocking(move || wait.lock().expect("not poisoned").recv())
                    .await
                    .expect("no bug")
                    .expect("told");
                answer.send_data(format!("data: {number}\n\n").into(), number == 2).expect("a stream");
            }
        }
    });
    let proxy = proxy_to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
    for number in 0..3 {
        go.send(()).expect("the upstream waits");
        client.hears(&format!("data: {number}\n\n"));
    }
}

#[test]
fn what_was_not_looked_at_is_sent_again_whatever_it_asks_for() {
    let refusing = Http2Upstream::playing(|mut turn| async move {
        if turn.number == 0 {
            turn.respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            turn.say("ok").await;
        }
    });
    assert_eq!(proxy_to(&refusing).client().ask(POST).text(), "ok");
    assert_eq!((refusing.unseen(), refusing.connections()), (2, 1));
    // A stream that was perhaps looked at is not.
    let resetting = Http2Upstream::playing(|mut turn| async move { turn.respond.send_reset(Reason::INTERNAL_ERROR) });
    let answer = proxy_to(&resetting).client().ask(POST);
    assert_eq!((answer.status(), &answer.json()["code"]), (502, &json!("upstream_reset")));
    assert_eq!(resetting.unseen(), 1);
    // And nobody is asked for ever.
    let unwilling = Http2Upstream::playing(|mut turn| async move { turn.respond.send_reset(Reason::REFUSED_STREAM) });
    assert_eq!(proxy_to(&unwilling).client().ask(POST).status(), 502);
    assert_eq!(unwilling.unseen(), 3);
}

#[test]
fn after_a_goodbye_the_next_request_takes_another_connection_and_streams_that_run_go_on() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        match (turn.connection, turn.number) {
            (0, 0) => {}
            (0, _) => return turn.say("too early").await,
            _ => return turn.say("second").await,
        }
        let mut answer = turn.begin();
        answer.send_data(Bytes::from_static(b"begun"), false).expect("a stream");
        turn.go_away();
        // It goes on when the second connection has been asked.
        let _ = SECOND.subscribe().wait_for(|asked| *asked).await;
        answer.send_data(Bytes::from_static(b"done"), true).expect("a stream");
    });
    let proxy = proxy_to(&upstream);
    let mut first = proxy.client();
    first.send(GET);
    first.hears("begun");
    eventually("the goodbye is heard", || proxy.client().ask(POST).text() == "second");
    SECOND.send_replace(true);
    first.hears("done");
    assert_eq!(upstream.connections(), 2);
}

static SECOND: std::sync::LazyLock<tokio::sync::watch::Sender<bool>> =
    std::sync::LazyLock::new(|| tokio::sync::watch::channel(false).0);

#[test]
fn a_client_that_leaves_cancels_its_stream_and_no_other() {
    let (reset, resets) = channel();
    let upstream = Http2Upstream::playing(move |mut turn| {
        let reset = reset.clone();
        async move {
            if turn.request.uri.path() == "/ok" {
                return turn.say("ok").await;
            }
            if turn.request.uri.path() == "/silent" {
                let reason = std::future::poll_fn(|cx| turn.respond.poll_reset(cx)).await;
                let _ = reset.send(reason.expect("a reset"));
                return;
            }
            let mut answer = turn.begin();
            answer.send_data(Bytes::from_static(b"begun"), false).expect("a stream");
            let reason = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
            let _ = reset.send(reason.expect("a reset"));
        }
    });
    let proxy = proxy_to(&upstream);
    let mut stream = proxy.client();
    stream.send("GET /a/stream HTTP/1.1\r\nHost: p\r\n\r\n").hears("begun");
    drop(stream);
    assert_eq!(resets.recv_timeout(PATIENCE), Ok(Reason::CANCEL));
    upstream.asked();
    let mut silent = proxy.client();
    silent.send("GET /a/silent HTTP/1.1\r\nHost: p\r\n\r\n");
    upstream.asked();
    drop(silent);
    assert_eq!(resets.recv_timeout(PATIENCE), Ok(Reason::CANCEL));
    // The same on a stream of a client's connection.
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(get("/a/stream"), true).await;
        hears(answer.await.expect("an answer").body_mut(), "begun").await;
        send.send_reset(Reason::CANCEL);
        assert_eq!(client.get("/a/ok").await.body, b"ok");
    });
    assert_eq!(resets.recv_timeout(PATIENCE), Ok(Reason::CANCEL));
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_cut_answer_is_seen_to_be_cut() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        let mut answer = turn.begin();
        answer.send_data(Bytes::from_static(b"hello"), false).expect("a stream");
        // What has been sent leaves before the reset does.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        answer.send_reset(Reason::INTERNAL_ERROR);
    });
    let proxy = proxy_to(&upstream);
    let mut client = proxy.client();
    client.send(GET).hears("hello");
    assert_eq!(client.rest(), b"", "no last chunk");
    let heard = ask(&proxy, b"");
    assert_eq!((&heard.body[..], heard.cut), (&b"hello"[..], Some(Reason::CANCEL)));
    assert_eq!(proxy.logged(|line| line["path"] == "/a/x")["end"], "upstream_cut");
}

#[test]
fn large_bodies_arrive_whole_in_both_directions() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        let (body, _) = turn.read().await;
        let mut answer = turn.begin();
        answer.send_data(body.into(), true).expect("a stream");
    });
    let proxy = proxy_to(&upstream);
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| u8::try_from(number % 251).expect("small")).collect();
    let body: &'static [u8] = Box::leak(body.into());
    assert!(ask(&proxy, body).body == body);
    let mut client = proxy.client();
    client.send(format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len())).send(body);
    assert!(client.answer().body == body);
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        if turn.request.uri.path() == "/small" {
            return turn.say("ok").await;
        }
        let mut answer = turn.begin();
        answer.send_data(Bytes::from(vec![b'x'; 8 << 20]), true).expect("a stream");
        std::future::pending::<()>().await;
    });
    let proxy = proxy_to(&upstream);
    let slow: Vec<_> = (0..60)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /a/large HTTP/1.1\r\nHost: p\r\n\r\n");
            client.head();
            client
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(proxy.client().ask("GET /a/small HTTP/1.1\r\nHost: p\r\n\r\n").text(), "ok");
    }
    assert_eq!(upstream.connections(), 1);
    drop(slow);
}

#[test]
fn an_early_answer_ends_the_upload() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        let answer = Response::builder().status(413).body(()).expect("an answer");
        let mut send = turn.respond.send_response(answer, false).expect("a stream");
        send.send_data(Bytes::from_static(b"no"), true).expect("a stream");
    });
    let proxy = proxy_to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\nhalf");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text(), answer.field("connection")), (413, "no".into(), Some("close")));
}

#[test]
fn an_upstream_in_the_clear_that_does_not_speak_it_is_told_of() {
    let upstream = crate::support::Upstream::answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "http2": true}}}));
    let answer = proxy.client().ask(GET);
    assert_eq!(answer.status(), 502);
    assert!(answer.json()["code"].as_str().is_some_and(|code| code.starts_with("upstream_")), "{}", answer.text());
}

#[test]
fn time_limits_hold() {
    let upstream = Http2Upstream::playing(|mut turn| async move {
        if turn.request.uri.path() == "/begun" {
            let mut answer = turn.begin();
            answer.send_data(Bytes::from_static(b"begun"), false).expect("a stream");
            return std::future::pending().await;
        }
        std::future::pending::<()>().await;
    });
    let mut route = route(&upstream);
    route["timeouts"] = json!({"first_byte": "100ms", "idle": "100ms"});
    let proxy = Proxy::start(&json!({"routes": {"a": route}}));
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), &answer.json()["code"]), (504, &json!("upstream_timeout")));
    let mut client = proxy.client();
    client.send("GET /a/begun HTTP/1.1\r\nHost: p\r\n\r\n").hears("begun");
    client.rest();
    assert_eq!(proxy.logged(|line| line["path"] == "/a/begun")["end"], "idle_timeout");
}
