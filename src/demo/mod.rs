//! A fake provider: it answers as OpenAI, Anthropic and Gemini do, plain and streamed, and asks for a key.
//!
//! It is what `aqueduct demo` shows the proxy with, and what the tests run the official SDKs against.

mod anthropic;
mod gemini;
mod openai;
mod server;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The only key that the provider accepts.
pub const KEY: &str = "demo-key";
/// The time between two pieces of a streamed answer.
const GAP: Duration = Duration::from_millis(40);

/// A provider that runs on a thread of its own, for as long as the process.
pub struct Provider {
    address: SocketAddr,
}

impl Provider {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// The system refuses a socket or a thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        thread::Builder::new().name("provider".to_owned()).spawn(move || server::run(listener))?;
        Ok(Self { address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What it answers.
enum Answer {
    /// A whole JSON document.
    Whole(u16, Value),
    /// Events, one after another.
    Events(Vec<Event>),
}

/// One event of a stream.
struct Event {
    name: Option<&'static str>,
    data: String,
}

impl Event {
    fn named(name: &'static str, data: &Value) -> Self {
        Self { name: Some(name), data: data.to_string() }
    }

    fn unnamed(data: &Value) -> Self {
        Self { name: None, data: data.to_string() }
    }
}

/// What was said in the three places in which providers expect a key.
#[derive(Default)]
struct Keys {
    /// `Authorization: Bearer`
    bearer: Option<String>,
    /// `x-api-key`
    anthropic: Option<String>,
    /// `x-goog-api-key`
    google: Option<String>,
}

/// Answers one request, as the provider whose way of asking it is.
fn answer(method: &str, path: &str, keys: &Keys, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (key, answer) = match (method, &segments[..]) {
        ("POST", ["v1", "messages"]) => (&keys.anthropic, anthropic::messages(&body)),
        ("POST", ["v1", "messages", "count_tokens"]) => {
            (&keys.anthropic, Answer::Whole(200, json!({"input_tokens": 7})))
        }
        ("GET", ["v1" | "v1beta", "models"]) if keys.google.is_some() => {
            (&keys.google, Answer::Whole(200, gemini::models()))
        }
        ("POST", ["v1" | "v1beta", "models", model]) => (&keys.google, gemini::generate(model, &body)),
        ("GET", ["v1", "models"]) => (&keys.bearer, Answer::Whole(200, openai::models())),
        ("POST", ["v1", "chat", "completions"]) => (&keys.bearer, openai::chat(&body)),
        ("POST", ["v1", "responses"]) => (&keys.bearer, openai::responses(&body)),
        ("POST", ["v1", "embeddings"]) => (&keys.bearer, Answer::Whole(200, openai::embeddings(&body))),
        _ => return Answer::Whole(404, json!({"error": {"message": "Not found.", "type": "not_found_error"}})),
    };
    if key.as_deref() == Some(KEY) {
        answer
    } else {
        Answer::Whole(401, json!({"error": {"message": "Invalid API key.", "type": "authentication_error"}}))
    }
}

/// The answer to whatever was asked, word by word.
fn words(question: &str) -> Vec<String> {
    let text = format!("Hello from the fake provider! You said: {question}");
    text.split_inclusive(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key: &str) -> Keys {
        let key = Some(key.to_owned());
        Keys { bearer: key.clone(), anthropic: key, google: None }
    }

    fn status(method: &str, path: &str, keys: &Keys) -> u16 {
        match answer(method, path, keys, br#"{"messages": []}"#) {
            Answer::Whole(status, _) => status,
            Answer::Events(_) => 200,
        }
    }

    #[test]
    fn it_asks_for_the_key() {
        assert_eq!(status("GET", "/v1/models", &Keys::default()), 401);
        assert_eq!(status("GET", "/v1/models", &keys("other")), 401);
        assert_eq!(status("GET", "/v1/models", &keys(KEY)), 200);
        assert_eq!(status("POST", "/v1/models/m:generateContent", &keys(KEY)), 401);
        assert_eq!(status("GET", "/v1/nothing", &keys(KEY)), 404);
    }

    #[test]
    fn it_streams_when_it_is_asked_to() {
        let stream = br#"{"stream": true, "messages": [{"role": "user", "content": "a b"}]}"#;
        let keys = Keys { google: Some(KEY.to_owned()), ..keys(KEY) };
        for path in ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:streamGenerateContent"] {
            assert!(
                matches!(answer("POST", path, &keys, stream), Answer::Events(events) if events.len() > 3),
                "{path}"
            );
        }
    }
}
