//! HTTP/1.1 without sockets: bytes in, meaning out.
//!
//! Both sides of the proxy speak through this module: [`RequestReader`] and [`ResponseReader`] find and check heads,
//! [`Body`] says which bytes belong to a message, [`encode`] writes what is ours. It keeps what came as it came
//! (order, case and repetition of fields, the bytes of a target, the framing of chunks) and accepts only what has
//! one reading: see [`Violation`].

mod body;
mod chunked;
mod content;
mod edit;
pub mod encode;
mod fields;
mod framing;
mod known;
mod request;
mod response;
mod retry_after;
pub mod token;
mod upgrade;
mod violation;

pub use body::{Body, Step, Trailers};
pub use content::Content;
pub use edit::Edit;
pub(crate) use fields::is_name;
pub use fields::{Field, Fields, is_media_type, list, names_field};
pub use framing::Framing;
pub use known::Known;
pub use request::{RequestHead, RequestReader, Target};
pub use response::{ResponseHead, ResponseReader, is_to_head};
pub use retry_after::{http_date, retry_after, sent_at, until};
pub use upgrade::Upgrade;
pub use violation::Violation;

/// How many interim answers may come before a final one, and how many bytes they may have in all.
pub const MAX_INTERIM: usize = 16;
/// See [`MAX_INTERIM`].
pub const MAX_INTERIM_BYTES: usize = 8 * 1024;

/// How much of a head is read before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest head in bytes, its first line and its empty line included.
    pub max_head: usize,
    /// The longest first line in bytes, its CRLF included.
    pub max_first_line: usize,
    /// The largest number of field lines.
    pub max_fields: usize,
}

impl Limits {
    /// What a request may have unless the operator says otherwise.
    pub const REQUEST: Self = Self { max_head: 64 * 1024, max_first_line: 16 * 1024, max_fields: 128 };
    /// What an answer may have.
    pub const RESPONSE: Self = Self { max_head: 64 * 1024, max_first_line: 64 * 1024, max_fields: 256 };
}

/// The version of a message (RFC 9112 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, no interim answers, connections end unless both sides say otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// As it stands in a first line.
    #[must_use]
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Http10 => b"HTTP/1.0",
            Self::Http11 => b"HTTP/1.1",
        }
    }

    /// `None`: not written as a version at all.
    fn parse(text: &[u8]) -> Option<Result<Self, Violation>> {
        match text {
            b"HTTP/1.1" => Some(Ok(Self::Http11)),
            b"HTTP/1.0" => Some(Ok(Self::Http10)),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                Some(Err(Violation::UnsupportedVersion))
            }
            _ => None,
        }
    }
}
