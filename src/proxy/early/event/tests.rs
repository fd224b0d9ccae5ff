use super::*;
use crate::error::Limit;
use crate::h1::{Limits, RequestReader};

const ALL: [Shape; 3] = [Shape::OpenAi, Shape::Anthropic, Shape::Gemini];

fn event(shape: Shape, kind: Kind, said: &str) -> String {
    let said = Some(said.as_bytes()).filter(|said| !said.is_empty());
    String::from_utf8(shape.event(&Error::new(kind), said)).expect("text")
}

/// What the data of an event holds, and whether it is named an error.
fn data(event: &str) -> (Value, bool) {
    let data = event.strip_prefix("event: error\n").unwrap_or(event);
    let line = data.strip_prefix("data: ").and_then(|data| data.strip_suffix("\n\n")).expect("one event");
    assert!(!line.contains(['\r', '\n']), "{event:?}");
    (serde_json::from_str(line).expect("JSON"), data.len() < event.len())
}

#[test]
fn whose_words_they_are_is_seen_from_the_request() {
    for (target, fields, shape) in [
        ("/a/v1/chat/completions", "", Shape::OpenAi),
        ("/a/v1/responses?x=/v1/messages", "", Shape::OpenAi),
        ("/a/v1/messages?beta=true", "", Shape::Anthropic),
        ("/a/x", "Anthropic-Version: 2023-06-01\r\n", Shape::Anthropic),
        ("/a/v1beta/models/m:streamGenerateContent?alt=sse", "", Shape::Gemini),
    ] {
        let text = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let read = RequestReader::default().read(text.as_bytes(), &Limits::REQUEST);
        assert_eq!(Shape::of(&read.expect("valid").expect("whole").0), shape, "{target}");
    }
}

#[test]
fn failures_of_ours_have_the_words_of_each() {
    let kind = Kind::UpstreamTimeout(Limit::FirstByte);
    let message = "The target server did not answer in time: the 'first_byte' limit ran out.";
    let expected = [
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": "upstream_timeout"}}),
        json!({"type": "error", "error": {"type": "timeout_error", "message": message}}),
        json!({"error": {"code": 504, "message": message, "status": "DEADLINE_EXCEEDED"}}),
    ];
    for (shape, expected) in ALL.into_iter().zip(expected) {
        let (data, is_named) = data(&event(shape, kind, ""));
        assert_eq!((data, is_named), (expected, shape == Shape::Anthropic));
    }
}

#[test]
fn statuses_have_the_words_of_each() {
    for (status, openai, anthropic, code, gemini) in [
        (401, "authentication_error", "authentication_error", 401, "UNAUTHENTICATED"),
        (403, "permission_error", "permission_error", 403, "PERMISSION_DENIED"),
        (404, "invalid_request_error", "not_found_error", 404, "NOT_FOUND"),
        (413, "invalid_request_error", "request_too_large", 413, "INVALID_ARGUMENT"),
        (429, "rate_limit_error", "rate_limit_error", 429, "RESOURCE_EXHAUSTED"),
        (500, "server_error", "api_error", 500, "INTERNAL"),
        (503, "server_error", "overloaded_error", 503, "UNAVAILABLE"),
        (529, "server_error", "overloaded_error", 529, "UNAVAILABLE"),
        (302, "server_error", "api_error", 502, "UNAVAILABLE"),
    ] {
        let said = |shape| data(&event(shape, Kind::UpstreamStatus(status), "")).0["error"].clone();
        assert_eq!(said(Shape::OpenAi)["type"], openai, "{status}");
        assert_eq!(said(Shape::OpenAi)["message"], format!("The target server answered with status {status}."));
        assert_eq!(said(Shape::Anthropic)["type"], anthropic, "{status}");
        assert_eq!((&said(Shape::Gemini)["code"], &said(Shape::Gemini)["status"]), (&json!(code), &json!(gemini)));
    }
}

#[test]
fn what_the_upstream_says_passes_as_it_is_in_one_line() {
    let kind = Kind::UpstreamStatus(429);
    let openai = "{\r\n  \"error\": {\n    \"message\": \"a\\nb 你好\", \"code\": 1.50\n  }\n}\n";
    assert_eq!(
        event(Shape::OpenAi, kind, openai),
        "data: {    \"error\": {     \"message\": \"a\\nb 你好\", \"code\": 1.50   } }\n\n"
    );
    let anthropic = "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"},\"request_id\":\"r\"}";
    assert_eq!(event(Shape::Anthropic, kind, anthropic), format!("event: error\ndata: {anthropic}\n\n"));
    let gemini = "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}";
    assert_eq!(event(Shape::Gemini, kind, gemini), format!("data: {gemini}\n\n"));
    assert_eq!(event(Shape::Gemini, kind, &format!("[\n{gemini}\n]\n")), format!("data: {gemini}\n\n"));
}

#[test]
fn what_would_not_be_understood_is_put_into_words_that_are() {
    let kind = Kind::UpstreamStatus(429);
    for (shape, said) in [
        (Shape::OpenAi, r#"{"error": "slow down"}"#),
        (Shape::Anthropic, r#"{"error": {"message": "slow down", "type": "tokens"}}"#),
        (Shape::Anthropic, r#"{"error": "slow down", "code": "rate_limited"}"#),
        (Shape::Gemini, r#"{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}"#),
        (Shape::Gemini, r#"{"type": "error", "error": {"message": "slow down", "code": 429}}"#),
    ] {
        let (data, _) = data(&event(shape, kind, said));
        assert_eq!(data["error"]["message"], "slow down", "{said}");
        assert!(shape == Shape::Gemini || data["error"]["type"] == "rate_limit_error", "{data}");
    }
    for said in [
        "busy",
        "<html>",
        "{\"message\": \"x\"}",
        "{\"error\": null}",
        "{\"error\": 5}",
        "[]",
        "{\"error\": {}",
        "\u{0}",
    ] {
        for shape in ALL {
            let (data, _) = data(&event(shape, kind, said));
            assert_eq!(data["error"]["message"], "The target server answered with status 429.", "{said}");
        }
    }
    assert_eq!(Shape::OpenAi.event(&Error::new(kind), Some(b"\xff")), event(Shape::OpenAi, kind, "").into_bytes());
}
