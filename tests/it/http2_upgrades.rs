//! WebSocket from clients that speak HTTP/2: extended CONNECT (RFC 8441) becomes an upgrade, and back.

use std::io::{self, Read, Write};
use std::sync::mpsc::channel;

use bytes::Bytes;
use h2::Reason;
use h2::client::Builder;
use h2::ext::Protocol;
use http::Request;
use serde_json::json;

use crate::support::http2::{Http2Client, hear, hears, run};
use crate::support::{PATIENCE, Proxy, Script, Upstream};
use crate::upgrades::{SWITCH, switching};

fn websocket(path: &str) -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(format!("http://proxy{path}"));
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "realtime");
    let mut request = request.body(()).expect("a request");
    request.extensions_mut().insert(Protocol::from("websocket"));
    request
}

/// A client that has been told that extended CONNECT is understood.
async fn connect(proxy: &Proxy) -> Http2Client {
    let mut client = Http2Client::connect_as(proxy.address(), &Builder::new()).await;
    // The settings have arrived when the first answer has.
    client.get("/").await;
    assert!(client.requests().is_extended_connect_protocol_enabled());
    client
}

fn echo(script: &mut Script) -> io::Result<()> {
    let mut stream = script.stream().try_clone()?;
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.write_all(b"goodbye"),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

#[test]
fn an_extended_connect_is_an_upgrade_to_the_upstream() {
    let upstream = switching(echo);
    let proxy = Proxy::start(&json!({
        "routes": {"a": {"target_url": upstream.url(), "custom_headers": {"Authorization": "Bearer ours"}}},
    }));
    run(async {
        let mut client = connect(&proxy).await;
        let (answer, mut send) = client.begin(websocket("/a/realtime?model=x"), false).await;
        let mut answer = answer.await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        assert!(!answer.headers().contains_key("sec-websocket-accept") && !answer.headers().contains_key("upgrade"));
        for word in ["hello", "again"] {
            send.send_data(Bytes::from_static(word.as_bytes()), false).expect("a stream");
            hears(answer.body_mut(), word).await;
        }
        // Both directions end by themselves.
        send.send_data(Bytes::new(), true).expect("a stream");
        let end = hear(answer).await;
        assert_eq!((&end.body[..], end.cut), (&b"goodbye"[..], None));
        assert_eq!(client.get("/").await.status, 200);
    });
    let seen = upstream.request();
    assert_eq!(seen.line(), "GET /realtime?model=x HTTP/1.1");
    assert_eq!((seen.field("upgrade"), seen.field("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(
        (seen.field("sec-websocket-protocol"), seen.field("authorization")),
        (Some("realtime"), Some("Bearer ours"))
    );
    assert_eq!(seen.field("sec-websocket-key").map(str::len), Some(24));
    let line = proxy.logged(|line| line["path"] == "/a/realtime?model=x");
    assert_eq!(
        (&line["status"], &line["end"], &line["bytes_in"], &line["bytes_out"]),
        (&json!(101), &json!("done"), &json!(10), &json!(17))
    );
}

#[test]
fn what_the_upstream_says_first_and_its_end_come_through() {
    let upstream = Upstream::playing(|script: &mut Script| {
        script.request()?;
        script.send([SWITCH.as_bytes(), b"first"].concat())?;
        script.stream().shutdown(std::net::Shutdown::Write)?;
        let mut rest = String::new();
        script.stream().read_to_string(&mut rest)?;
        assert_eq!(rest, "last");
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = connect(&proxy).await;
        let (answer, mut send) = client.begin(websocket("/a"), false).await;
        let heard = hear(answer.await.expect("an answer")).await;
        assert_eq!((&heard.body[..], heard.cut), (&b"first"[..], None));
        send.send_data(Bytes::from_static(b"last"), true).expect("a stream");
        assert_eq!(proxy.logged(|line| line["path"] == "/a")["end"], "done");
    });
}

#[test]
fn nothing_is_sent_before_the_agreement() {
    let upstream = Upstream::playing(|script: &mut Script| {
        script.request()?;
        script.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")?;
        // Whatever comes now would be a request.
        assert!(script.request()?.is_none());
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = connect(&proxy).await;
        let (answer, mut send) = client.begin(websocket("/a"), false).await;
        send.send_data(Bytes::from_static(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"), false).expect("a stream");
        let heard = hear(answer.await.expect("an answer")).await;
        assert_eq!((heard.status, &heard.body[..]), (401, &b"no"[..]));
        assert_eq!(client.get("/").await.status, 200);
    });
    assert_eq!(upstream.request().line(), "GET / HTTP/1.1");
    assert!(upstream.has_no_request());
}

#[test]
fn an_answer_that_agrees_to_nothing_does_not_look_like_one_that_does() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "upgrade": false}}}));
    run(async {
        let mut client = connect(&proxy).await;
        let (answer, _send) = client.begin(websocket("/a"), false).await;
        assert_eq!(answer.await.expect("an answer").status().as_u16(), 502);
    });
    assert_eq!(upstream.request().field("upgrade"), None);
}

#[test]
fn a_side_that_breaks_off_ends_the_other() {
    let (ended, has_ended) = channel();
    let upstream = switching(move |script| {
        let mut word = [0; 4];
        script.stream().read_exact(&mut word)?;
        script.send(word)?;
        if &word == b"stay" {
            let _ = ended.send(script.until_closed().is_ok());
            return Ok(());
        }
        script.reset();
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    run(async {
        let mut client = connect(&proxy).await;
        let (answer, mut send) = client.begin(websocket("/a/stay"), false).await;
        let mut answer = answer.await.expect("an answer");
        send.send_data(Bytes::from_static(b"stay"), false).expect("a stream");
        hears(answer.body_mut(), "stay").await;
        send.send_reset(Reason::CANCEL);
        has_ended.recv_timeout(PATIENCE).expect("the upstream sees the end");
        assert_eq!(proxy.logged(|line| line["path"] == "/a/stay")["end"], "client_gone");
        let (answer, mut send) = client.begin(websocket("/a/go"), false).await;
        send.send_data(Bytes::from_static(b"go!!"), false).expect("a stream");
        assert_eq!(hear(answer.await.expect("an answer")).await.cut, Some(Reason::CANCEL));
        assert_eq!(proxy.logged(|line| line["path"] == "/a/go")["end"], "upstream_cut");
    });
}
