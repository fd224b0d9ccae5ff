//! Errors that come as the first event of a stream: providers say 200 before they know that they cannot answer.

use serde_json::Value;

use super::Outcome;
use crate::sse::Event;

/// The status that an event stands for, if it says that the whole answer is an error. `None`: it says something else.
///
/// OpenAI and those who speak as it does say `data: {"error": {"type": …, "code": …}}`; Anthropic `event: error` with
/// `{"type": "error", "error": {"type": "overloaded_error"}}`; Gemini `{"error": {"code": 503, "status": "UNAVAILABLE"}}`.
#[must_use]
pub fn stream_error(event: Event<'_>) -> Option<Outcome> {
    let data = event.data()?;
    let value: Value = serde_json::from_slice(&data).unwrap_or(Value::Null);
    let error = value.get("error").filter(|error| !error.is_null() && **error != Value::Bool(false));
    let is_error = error.is_some() || event.name() == Some(b"error") || value["type"] == "error";
    is_error.then(|| Outcome::Status(status(error.unwrap_or(&value))))
}

fn status(error: &Value) -> u16 {
    let words = ["type", "code", "status"].map(|name| error[name].as_str().unwrap_or_default().to_ascii_lowercase());
    let says = |parts: &[&str]| words.iter().any(|word| parts.iter().any(|part| word.contains(part)));
    if says(&["overloaded"]) {
        529
    } else if says(&["rate_limit", "resource_exhausted", "too_many_requests", "insufficient_quota"]) {
        429
    } else if says(&["authentication", "unauthenticated", "unauthorized", "invalid_api_key"]) {
        401
    } else {
        // A number is a status where it can be one.
        let code = error["code"].as_u64().or_else(|| error["status"].as_u64());
        code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..=599).contains(code)).unwrap_or(500)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Reader;

    fn said(text: &str) -> Option<u16> {
        let mut said = None;
        Reader::of(1000).read(text.as_bytes(), |event| said = stream_error(event));
        said.map(|outcome| match outcome {
            Outcome::Status(status) => status,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn errors_of_every_provider_have_their_status() {
        let anthropic =
            |kind| format!("event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\"}}}}\n\n");
        assert_eq!(said(&anthropic("overloaded_error")), Some(529));
        assert_eq!(said(&anthropic("rate_limit_error")), Some(429));
        assert_eq!(said(&anthropic("authentication_error")), Some(401));
        assert_eq!(said(&anthropic("api_error")), Some(500));
        let openai = |error| format!("data: {{\"error\": {error}}}\n\n");
        assert_eq!(said(&openai(r#"{"message":"m","type":"tokens","code":"rate_limit_exceeded"}"#)), Some(429));
        assert_eq!(said(&openai(r#"{"message":"m","code":"invalid_api_key"}"#)), Some(401));
        assert_eq!(said(&openai(r#"{"message":"m","type":"server_error","code":null}"#)), Some(500));
        assert_eq!(said(&openai(r#""plain text""#)), Some(500));
        assert_eq!(said(&openai(r#"{"code":503,"status":"UNAVAILABLE","message":"m"}"#)), Some(503));
        assert_eq!(said(&openai(r#"{"code":429,"status":"RESOURCE_EXHAUSTED"}"#)), Some(429));
        assert_eq!(said(&openai(r#"{"code":70000}"#)), Some(500));
        assert_eq!(said("event: error\ndata: no JSON\n\n"), Some(500));
        assert_eq!(said("data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\"}\n\n"), Some(429));
    }

    #[test]
    fn what_is_no_error_is_none() {
        for text in [
            "data: {\"id\":\"1\",\"error\":null}\n\n",
            "data: [DONE]\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"error\"}}]}\n\n",
            ": comment\n\n",
            "event: error\n\n",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
