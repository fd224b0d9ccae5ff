//! Comments in streams of events that are silent: where they stand, and where they do not.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use crate::support::http2::{Http2Client, get, run};
use crate::support::{Client, Proxy, Script, Upstream, aqueduct, python, write_private};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";
const WITNESS: &str = "GET /a/witness HTTP/1.1\r\nHost: p\r\n\r\n";
pub(crate) const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
pub(crate) const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
pub(crate) const COMMENT: &str = ": keep-alive\n\n";

fn proxy(upstream: &Upstream, route: &Value) -> Proxy {
    let mut config =
        json!({"server": {"workers": 1}, "routes": {"a": {"target_url": upstream.url(), "sse_keepalive": "50ms"}}});
    for (name, value) in route.as_object().expect("an object") {
        config["routes"]["a"][name] = value.clone();
    }
    Proxy::start(&config)
}

/// An upstream that sends one piece after the other, each when it is told to, and closes the connection behind the last.
/// To witnesses it sends one event, and is silent.
pub(crate) fn stepwise(pieces: &[String]) -> (Upstream, Sender<()>) {
    let (pieces, (go, wait)) = (pieces.to_vec(), channel());
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        if script.request()?.is_some_and(|request| request.target() == "/witness") {
            script.send(format!("{EVENTS}{CHUNKED}3\r\n:\n\n\r\n"))?;
            return script.until_closed();
        }
        let wait = wait.lock().expect("not poisoned");
        for piece in &pieces {
            if wait.recv().is_err() {
                return Ok(());
            }
            script.send(piece)?;
        }
        Ok(())
    });
    (upstream, go)
}

pub(crate) fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

/// What chunks hold, all of them and the last.
pub(crate) fn content(mut chunks: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        content.push_str(&rest[..size]);
        chunks = rest[size..].strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            assert_eq!(chunks, "");
            return content;
        }
    }
}

fn some(client: &mut Client) -> Vec<u8> {
    let bytes = client.some();
    assert!(!bytes.is_empty(), "it is not over");
    bytes
}

/// Reads on until so many comments are there.
pub(crate) fn comments(client: &mut Client, count: usize) -> String {
    let mut seen = String::new();
    while seen.matches(COMMENT).count() < count {
        seen.push_str(&String::from_utf8(some(client)).expect("text"));
    }
    seen
}

#[test]
fn a_comment_comes_whenever_a_stream_is_silent_between_events() {
    let (one, two) = ("data: 1\n\n", "event: b\r\ndata: 2\r\n\r\n");
    let chunked = [format!("{EVENTS}{CHUNKED}"), chunk(one), chunk(two), "0\r\n\r\n".to_owned()];
    let closed = [format!("{EVENTS}\r\n"), one.to_owned(), two.to_owned(), String::new()];
    for (pieces, version) in [(&chunked, "1.1"), (&closed, "1.1"), (&chunked, "1.0"), (&closed, "1.0")] {
        let (upstream, go) = stepwise(pieces);
        let proxy = proxy(&upstream, &json!({}));
        let mut client = proxy.client();
        client.send(format!("GET /a HTTP/{version}\r\nHost: p\r\nConnection: close\r\n\r\n"));
        go.send(()).expect("the upstream waits");
        client.head();
        let mut seen = comments(&mut client, 1);
        for _ in 0..2 {
            go.send(()).expect("the upstream waits");
            seen.push_str(&comments(&mut client, 3));
        }
        go.send(()).expect("the upstream waits");
        seen.push_str(&String::from_utf8(client.rest()).expect("text"));
        let content = if version == "1.1" { content(&seen) } else { seen };
        assert!(content.starts_with(COMMENT) && content.ends_with(COMMENT), "{content}");
        assert_eq!(content.replace(COMMENT, ""), [one, two].concat());
        let line = proxy.logged(|_| true);
        assert_eq!((line["end"].as_str(), line["bytes_out"].as_u64()), (Some("done"), Some(30)));
    }
}

#[test]
fn none_stands_where_it_would_fall_into_something() {
    let plain = format!("{EVENTS}{CHUNKED}");
    let with = |head: &str| format!("HTTP/1.1 {head}\r\n{CHUNKED}");
    let (event, end) = ("9\r\ndata: 1\n\n\r\n", "0\r\n\r\n");
    for (head, first, then) in [
        // Half an event.
        (&plain, "8\r\ndata: 2\n\r\n", "1\r\n\n\r\n"),
        (&plain, "3\r\ndat\r\n", "6\r\na: 2\n\n\r\n"),
        // Half of the end of a line.
        (&plain, "a\r\ndata: 1\r\n\r\r\n", "1\r\n\n\r\n"),
        // Half a chunk, though the event in it has ended.
        (&plain, "12\r\ndata: 1\n\n", "data: 2\n\n\r\n"),
        (&plain, "9\r\ndata: 1\n\n", "\r\n"),
        (&plain, "9\r\ndata: 1\n\n\r", "\n"),
        // Something else than events.
        (&with("200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip"), event, event),
        (&with("200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: identity, br"), event, event),
        (&with("201 Made\r\nContent-Type: text/event-stream"), event, event),
        (&with("200 OK\r\nContent-Type: text/event-stream-of-mine"), event, event),
        (&with("200 OK\r\nContent-Type: application/json; a=text/event-stream"), event, event),
        (&with("200 OK"), event, event),
    ] {
        let (upstream, go) = stepwise(&[format!("{head}{first}"), format!("{then}{end}")]);
        let proxy = proxy(&upstream, &json!({}));
        let mut client = proxy.client();
        go.send(()).expect("the upstream waits");
        client.send(GET).head();
        let mut seen = Vec::new();
        while seen.len() < first.trim_end_matches(['\r', '\n']).len() {
            seen.extend(some(&mut client));
        }
        // So much time has passed that there would be some.
        comments(proxy.client().send(WITNESS), 4);
        go.send(()).expect("the upstream waits");
        while !seen.ends_with(end.as_bytes()) {
            seen.extend(some(&mut client));
        }
        assert_eq!(String::from_utf8_lossy(&seen), format!("{first}{then}{end}"), "{head}");
    }
}

#[test]
fn none_stands_in_a_length_that_was_told() {
    let (one, two) = ("data: 1\n\n", "data: 2\n\n");
    let (upstream, go) = stepwise(&[format!("{EVENTS}Content-Length: 18\r\n\r\n{one}"), two.to_owned()]);
    let proxy = proxy(&upstream, &json!({}));
    let mut client = proxy.client();
    go.send(()).expect("the upstream waits");
    client.send(GET).head();
    client.hears(one);
    comments(proxy.client().send(WITNESS), 4);
    go.send(()).expect("the upstream waits");
    assert_eq!(client.raw(9), two.as_bytes());
}

#[test]
fn none_comes_without_the_field() {
    let (one, end) = (chunk("data: 1\n\n"), chunk("data: 2\n\n") + "0\r\n\r\n");
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{one}"), end.clone()]);
    let proxy = Proxy::start(&json!({"server": {"workers": 1}, "routes": {
        "a": {"target_url": upstream.url(), "sse_keepalive": 0},
        "w": {"target_url": upstream.url(), "sse_keepalive": "50ms"},
    }}));
    let mut client = proxy.client();
    go.send(()).expect("the upstream waits");
    client.send(GET).head();
    client.hears("data: 1\n\n");
    comments(proxy.client().send(WITNESS.replace("/a/", "/w/")), 4);
    go.send(()).expect("the upstream waits");
    let seen = client.raw(end.len());
    assert_eq!(String::from_utf8_lossy(&seen), end);
}

#[test]
fn comments_are_no_sign_of_life_of_the_upstream() {
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{}", chunk("data: 1\n\n")), String::new()]);
    let proxy = proxy(&upstream, &json!({"timeouts": {"idle": "600ms"}}));
    let mut client = proxy.client();
    go.send(()).expect("the upstream waits");
    client.send(GET).head();
    let seen = String::from_utf8(client.rest()).expect("text");
    assert!(seen.contains(COMMENT), "{seen}");
    assert!(!seen.ends_with("0\r\n\r\n"), "it is not whole: {seen}");
    let line = proxy.logged(|_| true);
    assert_eq!((line["end"].as_str(), line["bytes_out"].as_u64()), (Some("idle_timeout"), Some(9)));
}

#[test]
fn the_longest_silence_on_record_is_that_of_the_upstream() {
    let chunked = chunk("data: 1\n\n");
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{chunked}"), format!("{chunked}0\r\n\r\n")]);
    let proxy = proxy(&upstream, &json!({}));
    let mut client = proxy.client();
    go.send(()).expect("the upstream waits");
    client.send(GET).head();
    comments(&mut client, 4);
    go.send(()).expect("the upstream waits");
    client.hears("0\r\n\r\n");
    let gap = proxy.logged(|_| true)["max_gap_ms"].as_f64().expect("a number");
    assert!(gap >= 200.0, "{gap}");
}

#[test]
fn who_does_not_read_gets_events_as_they_are_later() {
    let events: String = (0..150_000).map(|number| format!("data: {{\"number\": {number:060}}}\n\n")).collect();
    let chunks: String = events.as_bytes().chunks(1000).map(|piece| chunk(&String::from_utf8_lossy(piece))).collect();
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{chunks}0\r\n\r\n")]);
    let proxy = proxy(&upstream, &json!({}));
    let mut client = proxy.client();
    go.send(()).expect("the upstream waits");
    client.send(GET).head();
    comments(proxy.client().send(WITNESS), 4);
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n0\r\n\r\n") {
        seen.extend(some(&mut client));
    }
    let seen = content(&String::from_utf8(seen).expect("text"));
    assert!(seen.replace(COMMENT, "") == events);
}

#[test]
fn clients_that_speak_http_2_get_them_too() {
    let (one, two) = ("data: 1\n\n", "data: 2\n\n");
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{}", chunk(one)), format!("{}0\r\n\r\n", chunk(two))]);
    let proxy = proxy(&upstream, &json!({}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        go.send(()).expect("the upstream waits");
        let (answer, _) = client.begin(get("/a"), true).await;
        let mut body = answer.await.expect("an answer").into_body();
        let mut seen = String::new();
        let mut has_gone = false;
        while let Some(data) = body.data().await {
            let data = data.expect("no cut");
            let _ = body.flow_control().release_capacity(data.len());
            seen.push_str(&String::from_utf8_lossy(&data));
            if seen.matches(COMMENT).count() >= 2 && !has_gone {
                go.send(()).expect("the upstream waits");
                has_gone = true;
            }
        }
        assert!(seen.starts_with(&format!("{one}{COMMENT}{COMMENT}")), "{seen}");
        assert_eq!(seen.replace(COMMENT, ""), [one, two].concat());
    });
}

#[test]
fn an_official_sdk_takes_no_notice_of_them() {
    let event = |content: &str| {
        let delta = json!({"content": content});
        let choice = json!({"index": 0, "delta": delta, "finish_reason": null});
        let event =
            json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        chunk(&format!("data: {event}\n\n"))
    };
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let pieces = [event("one "), event("two"), format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n"))];
    let upstream = Upstream::playing(move |script: &mut Script| {
        if script.request()?.is_some_and(|request| request.target() == "/witness") {
            script.send(format!("{EVENTS}{CHUNKED}3\r\n:\n\n\r\n"))?;
            return script.until_closed();
        }
        script.send(format!("{EVENTS}{CHUNKED}"))?;
        for piece in &pieces {
            let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
            script.send(piece)?;
        }
        Ok(())
    });
    let proxy = proxy(&upstream, &json!({}));
    let url = format!("http://{}/a", proxy.address());
    std::thread::scope(|scope| {
        let said = scope.spawn(|| python("openai_stream.py", &[&url]));
        assert_eq!(upstream.request().target(), "/v1/chat/completions");
        for _ in 0..3 {
            comments(proxy.client().send(WITNESS), 3);
            go.send(()).expect("the upstream waits");
        }
        assert_eq!(said.join().expect("no bug"), "one two\n");
    });
}

#[test]
fn what_is_refused_and_what_is_odd() {
    let check = |value: &Value, lang: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({"routes": {"a": {"target_url": "http://h", "sse_keepalive": value}}});
        write_private(&directory.path().join("config.json"), &config.to_string());
        let output = aqueduct().current_dir(directory.path()).args(["check", "--lang", lang]).output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    };
    for (value, is_good, en, zh) in [
        (json!("1ms"), false, "sse_keepalive: expected at least \"10ms\"", "至少应为 \"10ms\""),
        (json!("soon"), false, "sse_keepalive: expected a duration", ""),
        (json!(-1), false, "sse_keepalive: expected a number of at least 0", ""),
        (json!(true), false, "sse_keepalive: expected", ""),
        (json!("5m"), true, "sse_keepalive: no comment is ever sent: 'timeouts.idle' ends", "不会发送任何注释"),
        (json!(15), true, "", ""),
        (json!("15s"), true, "", ""),
        (json!(0.5), true, "", ""),
    ] {
        let (succeeded, said) = check(&value, "en");
        assert!(succeeded == is_good && said.contains(en), "{value}: {said}");
        assert!(said.contains("sse_keepalive") != en.is_empty(), "{value}: {said}");
        let (_, said) = check(&value, "zh");
        assert!(said.contains(zh), "{value}: {said}");
    }
}
