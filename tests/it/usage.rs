//! What answers say of the tokens they took, in the log, and nothing else changed.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use aqueduct::demo::{KEY, Provider};
use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};

/// A proxy with one route `a` to this upstream, that reads along.
fn metered(upstream: &Upstream) -> Proxy {
    Proxy::start(&json!({"usage": true, "routes": {"a": {"target_url": upstream.url()}}}))
}

/// A POST with this body.
fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Whole answers of this content, in each of the three framings.
fn framed(fields: &str, content: &str) -> [String; 3] {
    let chunks: String = content.as_bytes().chunks(50).fold(String::new(), |mut chunks, piece| {
        chunks += &format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece));
        chunks
    });
    [
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{content}", content.len()),
        format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{fields}Connection: close\r\n\r\n{content}"),
    ]
}

fn figures(line: &Value) -> Value {
    json!([
        line["model"],
        line["tokens_in"],
        line["tokens_out"],
        line["tokens_cached"],
        line["tokens_reasoning"],
        line["usage_partial"]
    ])
}

const CHAT: &str = r#"{"id": "1", "model": "gpt-4o", "choices": [{"message": {"content": "\"usage\": {\"prompt_tokens\": 1}"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21, "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2}}}"#;

#[test]
fn figures_are_logged_whatever_the_framing_and_the_client_and_every_byte_passes() {
    for answer in framed("Content-Type: application/json\r\n", CHAT) {
        let upstream = Upstream::answering_once(&answer);
        let proxy = metered(&upstream);
        let mut client = proxy.client();
        let received = client.send(post("/a/v1/chat/completions", r#"{"model": "asked"}"#)).answer();
        assert!(received.is_whole && received.text() == CHAT, "{answer}");
        let line = proxy.logged(|line| line["route"] == "a");
        assert_eq!(figures(&line), json!(["gpt-4o", 9, 12, 4, 2, false]), "{answer}");

        let mut client = proxy.client();
        let old = post("/a/old", "{}").replace("HTTP/1.1", "HTTP/1.0");
        client.send(old);
        assert!(String::from_utf8_lossy(&client.rest()).ends_with(CHAT));
        let line = proxy.logged(|line| line["path"] == "/a/old");
        assert_eq!(figures(&line), json!(["gpt-4o", 9, 12, 4, 2, false]), "{answer}");
    }
}

#[test]
fn where_nobody_reads_along_the_log_is_as_it_was() {
    let [answer, ..] = framed("", CHAT);
    let upstream = Upstream::answering(answer);
    let proxy = Proxy::start(&json!({"usage": true, "routes": {
        "a": {"target_url": upstream.url(), "usage": false}, "b": {"target_url": upstream.url()}}}));
    let mut client = proxy.client();
    client.send(post("/a/x", "{}")).answer();
    client.send("GET /b/v1/responses/1 HTTP/1.1\r\nHost: p\r\n\r\n").answer();
    client.send(post("/b/x", "{}")).answer();
    let has = |line: &Value| line.get("tokens_in").is_some();
    assert!(!has(&proxy.logged(|line| line["route"] == "a")));
    // What is only looked up again is not counted again.
    assert!(!has(&proxy.logged(|line| line["method"] == "GET")));
    assert_eq!(proxy.logged(|line| line["path"] == "/b/x")["tokens_in"], 9);
}

#[test]
fn people_read_one_line() {
    let [answer, ..] = framed("", CHAT);
    let upstream = Upstream::answering(answer);
    let config =
        json!({"server": {"log_format": "pretty"}, "usage": true, "routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start(&config);
    proxy.client().send(post("/a/x", "{}")).answer();
    proxy.says("📊 Tokens:           in 9 (cached 4), out 12 (reasoning 2), gpt-4o  (a, ");
}

#[test]
fn the_model_is_that_of_the_request_where_the_answer_names_none() {
    let content = r#"{"usage": {"prompt_tokens": 9}}"#;
    let [answer, ..] = framed("", content);
    let upstream = Upstream::answering(answer);
    let proxy = metered(&upstream);
    let mut client = proxy.client();
    let long = format!(r#"{{"messages": ["{}"], "model": "asked"}}"#, "x".repeat(100_000));
    client.send(post("/a/x", &long)).answer();
    let chunked = "5\r\n{\"mod\r\n14\r\nel\": \"also asked\"  }\r\n0\r\n\r\n";
    client.send(format!("POST /a/y HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")).answer();
    client.send(post("/a/v1beta/models/gemini-2.5-pro:generateContent", "{}")).answer();
    for (path, model) in [
        ("/a/x", "asked"),
        ("/a/y", "also asked"),
        ("/a/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
    ] {
        assert_eq!(figures(&proxy.logged(|line| line["path"] == path)), json!([model, 9, null, null, null, false]));
    }
}

#[test]
fn refusals_and_nonsense_are_unknown_and_pass() {
    for (answer, expected) in [
        (
            "HTTP/1.1 429 No\r\nContent-Length: 32\r\n\r\n{\"usage\": {\"prompt_tokens\": 99}}",
            json!([null, null, null, null, null, false]),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n{\"usage\": x{\"prompt_tokens\": 99}}",
            json!([null, null, null, null, null, true]),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\x01\x02", json!([null, null, null, null, null, false])),
    ] {
        let upstream = Upstream::answering(answer);
        let proxy = metered(&upstream);
        let received = proxy.client().send(post("/a/x", "[]")).answer();
        assert!(received.is_whole && answer.ends_with(&received.text()), "{answer}");
        assert_eq!(figures(&proxy.logged(|line| line["route"] == "a")), expected, "{answer}");
    }
}

#[test]
fn what_broke_off_is_partial() {
    let start = "event: message_start\ndata: {\"type\": \"message_start\", \"message\": {\"model\": \"claude\", \"usage\": {\"input_tokens\": 25, \"cache_read_input_tokens\": 100, \"output_tokens\": 1}}}\n\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send(format!("{head}{:x}\r\n{start}\r\n", start.len()))?;
        let _ = wait.lock().expect("not poisoned").recv();
        Ok(())
    });
    let config = json!({"server": {"shutdown_timeout": "300ms"}, "usage": true, "routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start(&config);
    let expected = json!(["claude", 125, 1, 100, null, true]);
    // The upstream cuts the answer.
    let mut client = proxy.client();
    client.send(post("/a/cut", "{}")).head();
    go.send(()).expect("the upstream waits");
    client.rest();
    let line = proxy.logged(|line| line["path"] == "/a/cut");
    assert_eq!((figures(&line), &line["end"]), (expected.clone(), &json!("upstream_cut")));
    // The client leaves.
    let mut client = proxy.client();
    client.send(post("/a/left", "{}")).hears("claude");
    drop(client);
    let line = proxy.logged(|line| line["path"] == "/a/left");
    assert_eq!((figures(&line), &line["end"]), (expected.clone(), &json!("client_gone")));
    go.send(()).expect("the upstream waits");
    // The program ends.
    let mut client = proxy.client();
    client.send(post("/a/ended", "{}")).hears("claude");
    proxy.signal("TERM");
    let line = proxy.logged(|line| line["path"] == "/a/ended");
    assert_eq!((figures(&line), &line["end"]), (expected, &json!("drained")));
}

#[test]
fn the_fake_provider_tells_its_figures_in_every_shape() {
    let provider = Provider::start().expect("starts");
    let url = format!("http://{}", provider.address());
    let proxy = Proxy::start(&json!({"usage": true, "routes": {"a": {"target_url": url, "custom_headers": {
        "Authorization": format!("Bearer {KEY}"), "x-api-key": KEY, "x-goog-api-key": KEY}}}}));
    let question = r#""messages": [{"role": "user", "content": "usage"}]"#;
    let words = 8;
    for (path, body, tokens_in, tokens_out) in [
        ("/a/v1/chat/completions", format!(r#"{{"model": "m", {question}}}"#), json!(7), json!(words)),
        (
            "/a/v1/chat/completions?1",
            format!(r#"{{"model": "m", "stream": true, "stream_options": {{"include_usage": true}}, {question}}}"#),
            json!(7),
            json!(words),
        ),
        (
            "/a/v1/chat/completions?2",
            format!(r#"{{"model": "m", "stream": true, {question}}}"#),
            json!(null),
            json!(null),
        ),
        ("/a/v1/responses", r#"{"model": "m", "input": "usage"}"#.to_owned(), json!(7), json!(words)),
        ("/a/v1/responses?1", r#"{"model": "m", "stream": true, "input": "usage"}"#.to_owned(), json!(7), json!(words)),
        ("/a/v1/embeddings", r#"{"model": "m", "input": "usage"}"#.to_owned(), json!(3), json!(0)),
        ("/a/v1/messages", format!(r#"{{"model": "m", {question}}}"#), json!(7), json!(words)),
        ("/a/v1/messages?1", format!(r#"{{"model": "m", "stream": true, {question}}}"#), json!(7), json!(words)),
        (
            "/a/v1beta/models/m:generateContent",
            r#"{"contents": [{"parts": [{"text": "usage"}]}]}"#.to_owned(),
            json!(7),
            json!(words),
        ),
        (
            "/a/v1beta/models/m:streamGenerateContent",
            r#"{"contents": [{"parts": [{"text": "usage"}]}]}"#.to_owned(),
            json!(7),
            json!(words),
        ),
    ] {
        assert_eq!(proxy.client().send(post(path, &body)).answer().status(), 200, "{path}");
        let line = proxy.logged(|line| line["path"] == path);
        let told = json!([line["model"], line["tokens_in"], line["tokens_out"], line["usage_partial"]]);
        assert_eq!(told, json!(["m", tokens_in, tokens_out, false]), "{path}");
    }
}

#[test]
fn a_body_that_is_kept_to_be_sent_again_is_read_along_too() {
    let [answer, ..] = framed("", r#"{"usage": {"prompt_tokens": 9}}"#);
    let upstream = Upstream::answering(answer);
    let route = json!({"target_url": upstream.url(), "retry": {"attempts": 2, "backoff": 0}});
    let proxy = Proxy::start(&json!({"usage": true, "routes": {"a": route}}));
    proxy.client().send(post("/a/x", r#"{"model": "asked"}"#)).answer();
    assert_eq!(proxy.logged(|_| true)["model"], "asked");
}
