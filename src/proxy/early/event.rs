//! A failure as an event, in the words of the provider whose interface the client speaks: so that its SDK tells the
//! program of it as it would of the provider's own.

use serde_json::{Value, json};

use super::asks::is_gemini;
use crate::error::{Error, Kind};
use crate::h1::RequestHead;

/// Whose words a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Those of OpenAI, and of the many who speak as it does.
    OpenAi,
    /// Those of Anthropic.
    Anthropic,
    /// Those of Google.
    Gemini,
}

/// What an upstream says of its failure.
enum Said {
    /// As it can be passed on, in one line.
    Whole(String),
    /// In a sentence.
    Sentence(String),
}

impl Shape {
    /// That of a request, by its path and fields.
    pub(super) fn of(head: &RequestHead) -> Self {
        let path = head.raw_target().split(|&byte| byte == b'?').next().unwrap_or_default();
        let is_anthropic = path.ends_with(b"/v1/messages") || head.fields.values(b"anthropic-version").next().is_some();
        match (is_gemini(path), is_anthropic) {
            (true, _) => Self::Gemini,
            (false, true) => Self::Anthropic,
            (false, false) => Self::OpenAi,
        }
    }

    /// The event that tells of an error, in the upstream's own words if it has said some that fit.
    pub(super) fn event(self, error: &Error, said: Option<&[u8]>) -> Vec<u8> {
        let status = match error.kind() {
            Kind::UpstreamStatus(status) => status,
            kind => kind.status(),
        };
        let data = match said.and_then(|body| self.said(body)) {
            Some(Said::Whole(text)) => text,
            Some(Said::Sentence(message)) => self.data(status, error.kind().code(), &message),
            None => self.data(status, error.kind().code(), error.answer()),
        };
        let name = if self == Self::Anthropic { "event: error\n" } else { "" };
        format!("{name}data: {data}\n\n").into_bytes()
    }

    /// What stands in the body of an answer, if it is an error.
    fn said(self, body: &[u8]) -> Option<Said> {
        let text = std::str::from_utf8(body).ok()?.trim();
        let mut document: Value = serde_json::from_str(text).ok()?;
        // Line ends stand between the parts of a document alone, and never inside one.
        let mut line = text.replace(['\r', '\n'], " ");
        // Google says it in a list where it would have answered in one.
        if let Value::Array(list) = &mut document
            && list.len() == 1
        {
            line = line.strip_prefix('[')?.strip_suffix(']')?.trim().to_owned();
            document = list.pop()?;
        }
        let error = document.get("error")?;
        if let Some(message) = error.as_str() {
            return Some(Said::Sentence(message.to_owned()));
        }
        let is_whole = error.is_object()
            && match self {
                Self::OpenAi => true,
                Self::Anthropic => document["type"] == "error",
                // Google's SDK looks how the text begins, and needs the number.
                Self::Gemini => error["code"].is_u64() && document.as_object()?.keys().next()? == "error",
            };
        if is_whole {
            return Some(Said::Whole(line));
        }
        error["message"].as_str().map(|message| Said::Sentence(message.to_owned()))
    }

    /// What an error of this status is in its words.
    fn data(self, status: u16, code: &str, message: &str) -> String {
        let document = match self {
            Self::OpenAi => {
                let kind = openai_type(status);
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": anthropic_type(status), "message": message}})
            }
            Self::Gemini => {
                json!({"error": {"code": gemini_code(status), "message": message, "status": gemini_status(status)}})
            }
        };
        document.to_string()
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    }
}

/// A number that Google's SDKs take for an error.
fn gemini_code(status: u16) -> u16 {
    if (400..=599).contains(&status) { status } else { 502 }
}

fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        400..=499 => "INVALID_ARGUMENT",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        _ => "UNAVAILABLE",
    }
}

#[cfg(test)]
mod tests;
