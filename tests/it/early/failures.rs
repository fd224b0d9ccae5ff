//! What is said in a stream that has begun when nothing comes of it: an event in the words of each provider, and an end in
//! order.

use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use super::{ASKS, a_while, begun, events, proxy, proxy_with, when_told};
use crate::keepalive::{CHUNKED, COMMENT, EVENTS, chunk, comments};
use crate::support::http2::{Http2Client, hear, run};
use crate::support::{Proxy, Script, Upstream, free_port};
use crate::time_limits::black_hole;

fn saying(answer: &str) -> (Upstream, Sender<()>) {
    let answer = answer.to_owned();
    when_told(move |script| {
        script.send(&answer)?;
        script.until_closed()
    })
}

/// The document in one event, which is named an error or not.
fn document(event: &str, is_named: bool) -> Value {
    let data = if is_named { event.strip_prefix("event: error\n").expect("a name") } else { event };
    let data = data.strip_prefix("data: ").and_then(|data| data.strip_suffix("\n\n")).expect("one event");
    assert!(!data.contains('\n'), "one line: {event}");
    serde_json::from_str(data).expect("JSON")
}

/// What comes of it when an upstream fails, as the client is told and as the log says it.
fn fails(proxy: &Proxy, go: Option<&Sender<()>>) -> (Value, Value) {
    let mut client = proxy.client();
    begun(client.send(ASKS));
    if let Some(go) = go {
        comments(&mut client, 2);
        go.send(()).expect("the upstream waits");
    }
    let document = document(&events(&mut client), false);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200, "the connection goes on");
    let line = proxy.logged(|line| line["route"] == "a");
    assert_eq!(line["status"], 200, "{line}");
    (document["error"].clone(), line)
}

#[test]
fn every_failure_becomes_an_event() {
    let head = |status: &str, fields: &str| format!("HTTP/1.1 {status}\r\n{fields}\r\n");
    let coded = head("200 OK", "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n");
    let page = head("200 OK", "Content-Type: text/html\r\nContent-Length: 6\r\n") + "<html>";
    let twice = head("200 OK", "Content-Type: text/event-stream\r\nContent-Type: text/html\r\nContent-Length: 0\r\n");
    for (answer, code, end, message) in [
        ("nonsense\r\n\r\n", "upstream_bad_answer", "upstream_cut", "Proxy failed to connect to the target server."),
        (
            &head("500 Broken", "Content-Length: 4\r\n"),
            "upstream_status",
            "refused",
            "The target server answered with status 500.",
        ),
        (
            &head("302 Found", "Location: /x\r\nContent-Length: 0\r\n"),
            "upstream_status",
            "refused",
            "The target server answered with status 302.",
        ),
        (&head("204 None", ""), "upstream_status", "refused", "The target server answered with status 204."),
        (&coded, "upstream_no_stream", "refused", "The target server did not answer with a stream of events."),
        (&page, "upstream_no_stream", "refused", "The target server did not answer with a stream of events."),
        (&twice, "upstream_no_stream", "refused", "The target server did not answer with a stream of events."),
    ] {
        let (upstream, go) = if answer.contains("500") {
            // It breaks off in what it has to say.
            let answer = answer.to_owned();
            when_told(move |script| script.send(&answer))
        } else {
            saying(answer)
        };
        let proxy = proxy(&upstream.url(), &json!({}));
        let (error, line) = fails(&proxy, Some(&go));
        assert_eq!(error, json!({"message": message, "type": "server_error", "param": null, "code": code}), "{answer}");
        assert_eq!((&line["code"], &line["end"]), (&json!(code), &json!(end)), "{answer}");
        let status = if code == "upstream_status" { answer[9..12].parse().expect("a number") } else { Value::Null };
        assert_eq!(line["upstream_status"], status, "{line}");
    }
    let (upstream, go) = when_told(|_| Ok(()));
    let (error, line) = fails(&proxy(&upstream.url(), &json!({})), Some(&go));
    assert_eq!((&error["code"], &line["end"]), (&json!("upstream_reset"), &json!("upstream_cut")));
}

#[test]
fn time_limits_go_on_and_become_events() {
    let (upstream, _go) = when_told(Script::until_closed);
    for limit in ["first_byte", "total"] {
        let (error, line) = fails(&proxy(&upstream.url(), &json!({"timeouts": {limit: "400ms"}})), None);
        let text = format!("The target server did not answer in time: the '{limit}' limit ran out.");
        assert_eq!((&error["message"], &error["code"]), (&json!(text), &json!("upstream_timeout")));
        assert_eq!((&line["code"], &line["end"]), (&json!("upstream_timeout"), &json!(format!("{limit}_timeout"))));
    }
    let (address, _waiting, _listener) = black_hole();
    let (error, line) = fails(&proxy(&format!("http://{address}"), &json!({"timeouts": {"connect": "300ms"}})), None);
    assert_eq!((&error["code"], &line["end"]), (&json!("upstream_timeout"), &json!("connect_timeout")));
    // None of the attempts takes so long that a client would notice, but all of them together do.
    let retry = json!({"attempts": 6, "backoff": 0, "on": ["connect"]});
    let route = json!({"sse_keepalive": "300ms", "timeouts": {"connect": "100ms"}, "retry": retry});
    let (_, line) = fails(&proxy(&format!("http://{address}"), &route), None);
    assert_eq!((&line["attempts"], &line["end"]), (&json!(6), &json!("connect_timeout")));
}

#[test]
fn spent_attempts_become_an_event_of_the_last() {
    let (upstream, go) = saying("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let proxy =
        proxy_with(&upstream.url(), &json!({"fallback": ["b"]}), &json!({"routes": {"b": {"target_url": nobody}}}));
    let (error, line) = fails(&proxy, Some(&go));
    assert_eq!((&error["code"], &line["code"]), (&json!("upstream_unreachable"), &json!("upstream_unreachable")));
    assert_eq!((&line["attempts"], &line["fallback"]), (&json!(2), &json!("b")));
}

#[test]
fn what_the_upstream_says_of_it_is_passed_on_if_it_comes_in_time_and_is_not_too_long() {
    let body =
        |text: &str| format!("{{\r\n  \"error\": {{\"message\": \"{text}\", \"type\": \"own\", \"code\": null}}\r\n}}");
    let sized = |text: &str| {
        let body = body(text);
        format!("HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let chunks = |text: &str| {
        let body = body(text);
        let (first, rest) = body.split_at(20);
        format!("HTTP/1.1 429 Slow\r\n{CHUNKED}{}{}0\r\n\r\n", chunk(first), chunk(rest))
    };
    let long = "x".repeat(60_000);
    for answer in [sized("slow down"), chunks("slow down"), sized(&long)] {
        let (upstream, go) = saying(&answer);
        let (error, _) = fails(&proxy(&upstream.url(), &json!({})), Some(&go));
        let text = error["message"].as_str().expect("text");
        assert!(error["type"] == "own" && (text == "slow down" || text == long), "{error:.200}");
    }
    // Ends with the connection.
    let until_close = format!("HTTP/1.1 429 Slow\r\n\r\n{}", body("slow down"));
    let (upstream, go) = when_told(move |script| script.send(&until_close));
    let (error, _) = fails(&proxy(&upstream.url(), &json!({})), Some(&go));
    assert_eq!(error["type"], "own");
    // Too long, coded, and one that never comes to its end.
    let coded = sized("slow down").replace("\r\nContent-Length", "\r\nContent-Encoding: br\r\nContent-Length");
    let endless = format!("HTTP/1.1 429 Slow\r\n{CHUNKED}{}", chunk("{\"error\": "));
    for answer in [sized(&"x".repeat(70_000)), coded, endless] {
        let (upstream, go) = saying(&answer);
        let (error, _) = fails(&proxy(&upstream.url(), &json!({})), Some(&go));
        assert_eq!((&error["type"], &error["code"]), (&json!("rate_limit_error"), &json!("upstream_status")));
    }
}

#[test]
fn each_provider_has_words_of_its_own() {
    let overloaded = r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#;
    let busy = r#"[{"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}]"#;
    for (path, fields, body, expected) in [
        ("/v1/messages?beta=true", "", overloaded, serde_json::from_str(overloaded).expect("JSON")),
        (
            "/x",
            "anthropic-version: 2023-06-01\r\n",
            "busy",
            json!({"type": "error", "error": {
            "type": "overloaded_error", "message": "The target server answered with status 529."}}),
        ),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            "",
            busy,
            json!({"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}),
        ),
        (
            "/v1beta/models/m:streamGenerateContent",
            "",
            "",
            json!({"error": {
            "code": 529, "message": "The target server answered with status 529.", "status": "UNAVAILABLE"}}),
        ),
    ] {
        let answer = format!("HTTP/1.1 529 Overloaded\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (upstream, go) = saying(&answer);
        let proxy = proxy(&upstream.url(), &json!({}));
        let mut client = proxy.client();
        let ask = r#"{"stream": true}"#;
        client.send(format!("POST /a{path} HTTP/1.1\r\nHost: p\r\n{fields}Content-Length: 16\r\n\r\n{ask}"));
        begun(&mut client);
        go.send(()).expect("the upstream waits");
        let is_gemini = path.contains("stream");
        let said = events(&mut client);
        // What says there that the stream is alive is an empty line.
        let said = if is_gemini { said.trim_start_matches('\n') } else { &said };
        assert_eq!(document(said, !is_gemini), expected, "{path}");
    }
}

#[test]
fn who_has_not_sent_all_of_a_request_is_not_waiting_and_hears_what_any_other_would() {
    let (upstream, _go) = when_told(Script::until_closed);
    let limits = json!({"server": {"limits": {"max_body_size": 40}}});
    let proxy = proxy_with(&upstream.url(), &json!({}), &limits);
    for (rest, status) in [("x\r\n".to_owned(), 400), (chunk(&"x".repeat(60)), 413)] {
        let mut client = proxy.client();
        client.send("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"stream\": true}\r\n");
        a_while(&proxy);
        assert_eq!(client.send(rest).answer().status(), status);
    }
}

#[test]
fn an_old_client_sees_that_it_is_over_and_one_of_http_2_too() {
    let (upstream, go) = saying("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n");
    let proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    begun(client.send(ASKS.replace("HTTP/1.1", "HTTP/1.0")));
    go.send(()).expect("the upstream waits");
    let seen = String::from_utf8(client.until_end().expect("an end in order")).expect("text");
    assert_eq!(document(&seen.replace(COMMENT, ""), false)["error"]["type"], "rate_limit_error");
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let request = http::Request::get("http://p/a").header("accept", "text/event-stream");
        let (answer, _) = client.begin(request.body(()).expect("a request"), true).await;
        let answer = answer.await.expect("an answer");
        go.send(()).expect("the upstream waits");
        let heard = hear(answer).await;
        assert_eq!((heard.status, heard.cut), (200, None));
        let seen = String::from_utf8(heard.body).expect("text");
        assert_eq!(document(&seen.replace(COMMENT, ""), false)["error"]["type"], "rate_limit_error");
    });
}

#[test]
fn what_breaks_off_after_its_first_event_is_cut_as_ever() {
    let event = chunk("data: 1\n\n");
    for answer in [format!("{EVENTS}{CHUNKED}{event}"), format!("{EVENTS}Content-Length: 18\r\n\r\ndata: 1\n\n")] {
        let (upstream, go) = when_told(move |script| script.send(&answer));
        let proxy = proxy(&upstream.url(), &json!({}));
        let mut client = proxy.client();
        begun(client.send(ASKS));
        go.send(()).expect("the upstream waits");
        let seen = String::from_utf8(client.rest()).expect("text");
        assert!(seen.contains("data: 1\n\n") && !seen.ends_with("0\r\n\r\n"), "{seen}");
        assert_eq!(proxy.logged(|_| true)["end"], "upstream_cut");
    }
}

#[test]
fn people_read_what_happened() {
    let (upstream, go) = saying("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n");
    let proxy = proxy_with(&upstream.url(), &json!({}), &json!({"server": {"log_format": "pretty"}}));
    let mut client = proxy.client();
    begun(client.send(ASKS));
    go.send(()).expect("the upstream waits");
    events(&mut client);
    proxy.says("Status:           200");
    proxy.complains("the upstream answered with status 429 to a client that had been told 200");
}
