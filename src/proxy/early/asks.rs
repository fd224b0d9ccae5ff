//! Whether a client asks for a stream of events: in the head of its request, or in the body, which is read along.

use std::rc::Rc;

use memchr::memchr2;

use super::super::meter::Reads;
use crate::h1::{Framing, RequestHead, is_media_type, list};
use crate::relay::{Early, Sign};
use crate::sse;

/// How much of a body is read along, in bytes.
const MAX_READ: usize = 1 << 20;
/// The member that says it, with this value.
const NAME: &[u8] = b"stream";
const VALUE: &[u8] = b"true";
/// The last segment of Gemini's paths ends so.
const GEMINI: &[u8] = b"streamGenerateContent";

/// Where a request asks for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// In its head.
    InHead,
    /// In its body, if at all.
    PerhapsInBody,
}

impl Asks {
    /// As far as the head says.
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        if in_head(head) { Some(Self::InHead) } else { may_be_in_body(head).then_some(Self::PerhapsInBody) }
    }
}

/// Whether the head asks for a stream.
fn in_head(head: &RequestHead) -> bool {
    let ranges = head.fields.values(b"accept").flat_map(list);
    let is_accepted = |range: &[u8]| is_media_type(range, sse::MEDIA_TYPE) && !has_no_weight(range);
    let alt = alt(head.raw_target());
    alt == Some(b"sse") || (alt.is_none() && is_gemini(head.raw_target())) || ranges.into_iter().any(is_accepted)
}

/// Whether the body may ask for one: it is, or may be, JSON as it is.
fn may_be_in_body(head: &RequestHead) -> bool {
    let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
    let is_json = |value: &[u8]| {
        let name = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        name == b"application/json" || name.ends_with(b"+json")
    };
    has_body
        && head.fields.values(b"content-type").all(is_json)
        && head.fields.values(b"content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// What is said in the silence of an answer to this: the reader of Google's SDK for Python takes a comment for the text of
/// an error.
pub(in super::super) fn sign(target: &[u8]) -> Sign {
    if is_gemini(target) { Sign::EmptyLine } else { Sign::Comment }
}

/// Whether this is a path of Gemini's under which answers come as a stream.
pub(super) fn is_gemini(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let Some(before) = path.strip_suffix(GEMINI) else { return false };
    before.ends_with(b":") || before.ends_with(b"%3A") || before.ends_with(b"%3a")
}

/// In which form Google is to answer, where the query says so.
fn alt(target: &[u8]) -> Option<&[u8]> {
    let (_, query) = target.split_at(memchr::memchr(b'?', target)?);
    let mut parameters = query[1..].split(|&byte| byte == b'&');
    parameters.find_map(|parameter| parameter.strip_prefix(b"alt=").or_else(|| parameter.strip_prefix(b"$alt=")))
}

/// Whether a media range says that it is not wanted (RFC 9110 section 12.4.2).
fn has_no_weight(range: &[u8]) -> bool {
    range.split(|&byte| byte == b';').skip(1).any(|parameter| {
        let weight = parameter.trim_ascii();
        let weight = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="));
        weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
    })
}

/// Reads the members of a JSON object that comes in pieces, until it knows whether it asks for a stream.
pub(super) struct Members {
    early: Rc<Early>,
    at: At,
    read: usize,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the object.
    Start,
    /// Before a name.
    Name,
    /// In a name. `Some`: so many bytes of the one that is looked for.
    InName(Option<usize>),
    /// Behind a `\` in a name. One that is written so is none that anybody looks for.
    Escape,
    /// Behind a name.
    Colon { is_wanted: bool },
    /// In the value that says it, behind so many bytes.
    Wanted(usize),
    /// In another value, so deep inside.
    Value { depth: usize },
    /// In a text in there.
    Text { depth: usize, escaped: bool },
    /// Nothing more can come of it.
    Over,
}

impl Members {
    /// Tells the stream if it is asked for.
    pub(super) fn for_stream(early: &Rc<Early>) -> Self {
        Self { early: Rc::clone(early), at: At::Start, read: 0 }
    }

    fn next(&self, byte: u8) -> At {
        let is_blank = byte.is_ascii_whitespace();
        match (self.at, byte) {
            (At::Start, b'{') => At::Name,
            // A mark of byte order means nothing.
            (At::Start, 0xef | 0xbb | 0xbf) => At::Start,
            (At::Name, b'"') => At::InName(Some(0)),
            (At::InName(matched), b'"') => At::Colon { is_wanted: matched == Some(NAME.len()) },
            (At::InName(_), b'\\') => At::Escape,
            (At::InName(matched), byte) => {
                At::InName(matched.filter(|&matched| NAME.get(matched) == Some(&byte)).map(|matched| matched + 1))
            }
            (At::Escape, _) => At::InName(None),
            (At::Colon { is_wanted: true }, b':') => At::Wanted(0),
            (At::Colon { is_wanted: false }, b':') => At::Value { depth: 0 },
            (At::Start | At::Name | At::Colon { .. } | At::Wanted(0), _) if is_blank => self.at,
            (At::Wanted(matched), byte) if VALUE.get(matched) == Some(&byte) => At::Wanted(matched + 1),
            (At::Value { depth }, b'"') => At::Text { depth, escaped: false },
            (At::Value { depth }, b'{' | b'[') => At::Value { depth: depth + 1 },
            (At::Value { depth: 0 }, b',') => At::Name,
            (At::Value { depth: 0 }, b'}' | b']') => At::Over,
            (At::Value { depth }, b'}' | b']') => At::Value { depth: depth - 1 },
            (At::Value { .. } | At::Text { .. }, _) => self.at,
            _ => At::Over,
        }
    }
}

impl Reads for Members {
    fn read(&mut self, content: &[u8]) {
        let mut rest = &content[..content.len().min(MAX_READ - self.read)];
        self.read += rest.len();
        while let (Some(&byte), true) = (rest.first(), self.at != At::Over) {
            let At::Text { depth, escaped } = self.at else {
                self.at = self.next(byte);
                rest = &rest[1..];
                if self.at == At::Wanted(VALUE.len()) {
                    self.early.ask();
                    self.at = At::Over;
                }
                continue;
            };
            if escaped {
                self.at = At::Text { depth, escaped: false };
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'"', b'\\', rest) else { return };
            self.at = if rest[end] == b'"' { At::Value { depth } } else { At::Text { depth, escaped: true } };
            rest = &rest[end + 1..];
        }
        if self.read == MAX_READ {
            self.at = At::Over;
        }
    }
}

#[cfg(test)]
mod tests;
