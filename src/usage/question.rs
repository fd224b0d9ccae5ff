//! Which model was asked for: told where the answer does not say which one has answered.

use super::figures::Figures;
use super::json::Scanner;

/// How many bytes of a request are looked through. Some clients put the name behind all that was said so far.
const MAX_READ: usize = 1 << 20;

/// Reads a request along, up to the name of the model.
#[derive(Debug, Default)]
pub struct Question {
    scanner: Scanner,
    figures: Figures,
    read: usize,
}

impl Question {
    /// Shows it what comes next of the request's content.
    pub fn read(&mut self, content: &[u8]) {
        if self.read < MAX_READ && !self.figures.has_model() {
            self.read += content.len();
            self.scanner.read(content, &mut self.figures);
        }
    }

    /// The model that the request names: in its content, or in its path as Gemini, Azure and Bedrock do.
    #[must_use]
    pub fn model(self, path: &[u8]) -> Option<Box<str>> {
        self.figures.into_model().or_else(|| in_path(path))
    }
}

/// The model in a path: `/v1beta/models/{model}:generateContent`, `/openai/deployments/{model}/chat/completions`,
/// `/model/{model}/invoke`.
fn in_path(path: &[u8]) -> Option<Box<str>> {
    let path = path.split(|byte| *byte == b'?').next()?;
    let mut segments = path.split(|byte| *byte == b'/');
    segments.find(|segment| matches!(*segment, b"models" | b"model" | b"deployments"))?;
    let name = segments.next()?.split(|byte| *byte == b':').next()?;
    let name = std::str::from_utf8(name).ok().filter(|name| (1..=128).contains(&name.len()))?;
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '@');
    name.chars().all(is_plain).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_stands_in_the_content_or_in_the_path() {
        let body =
            format!(r#"{{"messages": [{{"model": "no", "content": "{}"}}], "model": "yes"}}"#, "\\\"".repeat(9000));
        for piece in [1, 7, 5000, 100_000] {
            let mut question = Question::default();
            body.as_bytes().chunks(piece).for_each(|piece| question.read(piece));
            assert_eq!(question.model(b"/models/path:x").as_deref(), Some("yes"));
        }
        for (path, model) in [
            (&b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"[..], Some("gemini-2.5-pro")),
            (
                b"/v1/projects/p/locations/l/publishers/google/models/gemini-2.0-flash@001:generateContent",
                Some("gemini-2.0-flash@001"),
            ),
            (b"/openai/deployments/my-gpt/chat/completions?api-version=1", Some("my-gpt")),
            (b"/model/anthropic.claude-v2/invoke", Some("anthropic.claude-v2")),
            (b"/v1/chat/completions?x=/models/a", None),
            (b"/v1/models", None),
            (b"/v1/models/", None),
            (b"/v1/models/a%20b", None),
        ] {
            assert_eq!(Question::default().model(path).as_deref(), model, "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn a_request_is_read_for_so_long_and_no_longer() {
        let mut question = Question::default();
        question.read(b"{\"a\": \"");
        for _ in 0..20 {
            question.read(&[b'x'; 64 * 1024]);
        }
        question.read(b"\", \"model\": \"m\"}");
        assert_eq!(question.model(b"/"), None);
    }
}
