//! The official SDKs: what they make of a stream that begins early, and of one that fails then.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::json;

use super::{a_while, proxy};
use crate::keepalive::{CHUNKED, EVENTS, chunk};
use crate::support::{Script, Upstream, python};

/// What each provider says in a good stream, in two pieces, by the path.
fn pieces(path: &str) -> [String; 2] {
    let event = |name: &str, data: serde_json::Value| {
        let name = if name.is_empty() { String::new() } else { format!("event: {name}\n") };
        format!("{name}data: {data}\n\n")
    };
    let both = |make: &dyn Fn(&str) -> String| ["one ", "two"].map(make);
    if path.contains("/chat/completions") {
        both(&|word| {
            let choice = json!({"index": 0, "delta": {"content": word}, "finish_reason": null});
            let base =
                json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
            event("", base) + if word == "two" { "data: [DONE]\n\n" } else { "" }
        })
    } else if path.contains("/responses") {
        both(&|word| {
            event(
                "response.output_text.delta",
                json!({"type": "response.output_text.delta", "item_id": "i", "output_index": 0,
                "content_index": 0, "delta": word, "sequence_number": 1, "logprobs": []}),
            )
        })
    } else if path.contains("/messages") {
        both(&|word| {
            event(
                "content_block_delta",
                json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": word}}),
            )
        })
    } else {
        both(&|word| event("", json!({"candidates": [{"content": {"role": "model", "parts": [{"text": word}]}}]})))
    }
}

/// What each says of a failure, by the path; of others only the status is known.
fn refusal(path: &str) -> String {
    let (status, body) = if path.contains("/openai-says/") {
        (
            "429 Slow",
            json!({"error": {"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}),
        )
    } else if path.contains("/anthropic-says/") {
        ("529 Overloaded", json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    } else if path.contains("/gemini-says/") {
        ("503 Busy", json!({"error": {"code": 503, "message": "Busy", "status": "UNAVAILABLE"}}))
    } else {
        ("429 Slow", json!("slow"))
    };
    let body = format!("{body:#}");
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn the_official_sdks_read_streams_that_begin_early_and_errors_in_them() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        let Some(request) = script.request()? else { return Ok(()) };
        let path = request.target().to_owned();
        if path == "/witness" {
            return script.until_closed();
        }
        let wait = || wait.lock().expect("not poisoned").recv().expect("the test goes on");
        wait();
        if !path.starts_with("/good/") {
            return script.send(refusal(&path));
        }
        let [one, two] = pieces(&path);
        script.send(format!("{EVENTS}{CHUNKED}{}", chunk(&one)))?;
        wait();
        script.send(chunk(&two) + "0\r\n\r\n")
    });
    let proxy = proxy(&upstream.url(), &json!({}));
    let url = format!("http://{}/a", proxy.address());
    std::thread::scope(|scope| {
        let said = scope.spawn(|| python("early_streams.py", &[&url]));
        // Four good streams, four failures told by the upstream and four that only have a status.
        for number in 0..12 {
            let request = loop {
                let request = upstream.request();
                if request.target() != "/witness" {
                    break request;
                }
            };
            assert_eq!(request.target().starts_with("/good/"), number < 4, "{}", request.target());
            for _ in 0..if number < 4 { 2 } else { 1 } {
                a_while(&proxy);
                go.send(()).expect("the upstream waits");
            }
        }
        let said = said.join().expect("no bug");
        assert!(said.ends_with("all ok\n"), "{said}");
    });
    let log = proxy.log();
    let exchanges = log.iter().filter(|line| line["method"] == "POST");
    assert!(exchanges.clone().count() == 12 && exchanges.clone().all(|line| line["status"] == 200), "{log:?}");
}
