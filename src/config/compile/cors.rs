//! Which pages in browsers may read answers.

use std::sync::Arc;

use super::Compiler;
use crate::config::raw;
use crate::h1::token;
use crate::headers::{Cors, Origins};
use crate::jsonc::Path;
use crate::origin::{Origin, Scheme};
use crate::text::{CorsProblem, Problem};

impl Compiler<'_> {
    /// The rules for pages, if there are any.
    pub(super) fn cors(&mut self, raw: Option<&raw::Cors>, path: &Path) -> Option<Arc<Cors>> {
        let raw = raw?;
        let list = path.key("origins");
        let origins = if raw.origins.iter().any(|origin| origin.trim() == "*") {
            if raw.origins.len() > 1 {
                self.error(&list, CorsProblem::NotAlone.into());
            }
            Origins::Any
        } else {
            Origins::Listed(self.origins(&raw.origins, &list))
        };
        if raw.origins.is_empty() {
            self.warn(path, CorsProblem::NoOrigin.into());
        }
        let headers = raw.headers.as_ref().filter(|headers| !headers.iter().any(|name| name.trim() == "*"));
        let expose = self.names(&raw.expose, &path.key("expose"));
        Some(Arc::new(Cors {
            origins,
            headers: headers.map(|headers| self.names(headers, &path.key("headers"))),
            expose: (!expose.is_empty()).then(|| expose.join(", ").into()),
            max_age: raw.max_age.0.as_secs(),
        }))
    }

    fn origins(&mut self, list: &[String], path: &Path) -> Vec<Box<str>> {
        let mut origins = Vec::with_capacity(list.len());
        for (number, written) in list.iter().enumerate() {
            match origin(written.trim()) {
                Some(origin) => origins.push(origin),
                None => self.error(&path.index(number), CorsProblem::BadOrigin.into()),
            }
        }
        origins
    }

    /// Names of headers. `*` is one here: it stands for all that there are, where there are no credentials.
    fn names(&mut self, list: &[String], path: &Path) -> Vec<Box<str>> {
        let mut names = Vec::with_capacity(list.len());
        for (number, written) in list.iter().enumerate() {
            let name = written.trim();
            if !token::is_token(name.as_bytes()) {
                self.error(&path.index(number), Problem::BadHeaderName(name.to_owned()));
            }
            names.push(name.into());
        }
        names
    }
}

/// An origin as browsers write it: in small letters, without the port that goes without saying, and with nothing behind.
/// `null` is none: every page that a browser shuts in has it.
fn origin(written: &str) -> Option<Box<str>> {
    let origin = written.to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://")?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.bytes().next()?.is_ascii_alphabetic() || !scheme.bytes().all(is_word) {
        return None;
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    if rest.is_empty() || !rest.bytes().all(is_part) {
        return None;
    }
    let Some(known) = Scheme::parse(scheme.as_bytes()) else {
        // Extensions and programs with pages of their own have schemes of their own.
        return Some(origin.into());
    };
    let (_, authority) = Origin::parse(known, rest.as_bytes()).ok()?;
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = authority.host_and_port.strip_suffix(usual).unwrap_or(authority.host_and_port);
    Some(format!("{scheme}://{host}").into())
}

impl From<CorsProblem> for Problem {
    fn from(problem: CorsProblem) -> Self {
        Self::Cors(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_do() {
        for (written, known) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("https://h:80", "https://h:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert_eq!(origin(written).as_deref(), Some(known), "{written}");
        }
        for bad in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://h/",
            "https://h/path",
            "https://h?x",
            "https://u:p@h",
            "https://*.example.com",
            "https://h:99999",
            "https://h x",
            "https://a, https://b",
            "https://ä.example",
            "://h",
            "1a://h",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }
}
