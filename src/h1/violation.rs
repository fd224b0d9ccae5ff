//! What can be wrong with a message, each with the rule that it breaks.
//!
//! A proxy that guesses lets two parties read one message in two ways, which is how requests are smuggled.
//! So nothing here is repaired: a message has one reading or none.

use std::fmt;

/// One way in which a message is not HTTP/1.1 as RFC 9112 has it, or is larger than the limits allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A line feed without the carriage return before it.
    BareLineFeed,
    /// A carriage return without the line feed after it.
    BareCarriageReturn,
    /// A NUL byte.
    Nul,
    /// Another control character, where only text may stand.
    ControlCharacter,
    /// The first line of a request is not `method SP target SP version`.
    BadRequestLine,
    /// The method is not a token.
    BadMethod,
    /// The request target is none of the four forms, or holds a byte that no target may hold.
    BadTarget,
    /// The version is not `HTTP/1.0` or `HTTP/1.1`, though it is written as a version.
    UnsupportedVersion,
    /// The first line of an answer is not `version SP status SP reason`.
    BadStatusLine,
    /// A field line has no colon, or its name is empty or not a token.
    BadFieldName,
    /// White space stands between a field's name and its colon.
    SpaceBeforeColon,
    /// A field line begins with white space (obs-fold, or white space before the first field).
    FoldedLine,
    /// An HTTP/1.1 request without `Host`.
    MissingHost,
    /// More than one `Host`.
    RepeatedHost,
    /// `Host`, or the authority of an absolute target, is not `host [":" port]`.
    BadHost,
    /// `Content-Length` together with `Transfer-Encoding`.
    LengthWithCoding,
    /// More than one `Content-Length`, equal ones too.
    RepeatedLength,
    /// `Content-Length` is not one to nineteen digits.
    BadLength,
    /// `Transfer-Encoding` is not exactly one `chunked`.
    BadCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message.
    CodingInHttp10,
    /// A chunk size is missing, is not hexadecimal, or has more than sixteen digits.
    BadChunkSize,
    /// Bytes of a chunk extension that may not stand there.
    BadChunkExtension,
    /// A chunk extension longer than the limit.
    ChunkExtensionTooLong,
    /// A chunk's data is not followed by CRLF.
    BadChunkEnd,
    /// A trailer section longer than the limit.
    TrailersTooLong,
    /// The first line of a request is longer than the limit.
    RequestLineTooLong,
    /// A head is longer than the limit.
    HeadTooLong,
    /// A head has more fields than the limit.
    TooManyFields,
}

impl Violation {
    /// The status that a client is given for a request with this fault.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::UnsupportedVersion => 505,
            Self::RequestLineTooLong => 414,
            Self::HeadTooLong | Self::TooManyFields => 431,
            _ => 400,
        }
    }

    /// The section of the standard that has the rule, or of the limits that the operator can change.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::BareLineFeed | Self::BareCarriageReturn => "RFC 9112 section 2.2",
            Self::Nul | Self::ControlCharacter => "RFC 9110 section 5.5",
            Self::BadRequestLine => "RFC 9112 section 3",
            Self::BadMethod => "RFC 9112 section 3.1",
            Self::BadTarget => "RFC 9112 section 3.2",
            Self::UnsupportedVersion => "RFC 9112 section 2.3",
            Self::BadStatusLine => "RFC 9112 section 4",
            Self::BadFieldName | Self::SpaceBeforeColon => "RFC 9112 section 5.1",
            Self::FoldedLine => "RFC 9112 section 5.2",
            Self::MissingHost | Self::RepeatedHost | Self::BadHost => "RFC 9112 section 3.2",
            Self::LengthWithCoding | Self::RepeatedLength | Self::BadLength => "RFC 9112 section 6.3",
            Self::BadCoding | Self::CodingInHttp10 => "RFC 9112 section 6.1",
            Self::BadChunkSize | Self::BadChunkEnd => "RFC 9112 section 7.1",
            Self::BadChunkExtension => "RFC 9112 section 7.1.1",
            Self::ChunkExtensionTooLong
            | Self::TrailersTooLong
            | Self::RequestLineTooLong
            | Self::HeadTooLong
            | Self::TooManyFields => "server.limits",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::BareLineFeed => "a line ends in LF without CR",
            Self::BareCarriageReturn => "a CR stands without its LF",
            Self::Nul => "a NUL byte stands in the head",
            Self::ControlCharacter => "a control character stands in a field or a trailer",
            Self::BadRequestLine => "the request line is not 'method target version'",
            Self::BadMethod => "the method is not a token",
            Self::BadTarget => "the request target is not valid",
            Self::UnsupportedVersion => "the version is neither HTTP/1.1 nor HTTP/1.0",
            Self::BadStatusLine => "the status line is not 'version status reason'",
            Self::BadFieldName => "a field line has no valid name before a colon",
            Self::SpaceBeforeColon => "white space stands before a field's colon",
            Self::FoldedLine => "a field line begins with white space",
            Self::MissingHost => "the Host field is missing",
            Self::RepeatedHost => "the Host field is repeated",
            Self::BadHost => "the host is not valid",
            Self::LengthWithCoding => "Content-Length and Transfer-Encoding stand together",
            Self::RepeatedLength => "Content-Length is repeated",
            Self::BadLength => "Content-Length is not a number of one to nineteen digits",
            Self::BadCoding => "Transfer-Encoding is not exactly 'chunked'",
            Self::CodingInHttp10 => "Transfer-Encoding stands in an HTTP/1.0 message",
            Self::BadChunkSize => "a chunk size is not valid",
            Self::BadChunkExtension => "a chunk extension is not valid",
            Self::ChunkExtensionTooLong => "a chunk extension is longer than the limit",
            Self::BadChunkEnd => "a chunk does not end in CRLF",
            Self::TrailersTooLong => "the trailer section is longer than the limit",
            Self::RequestLineTooLong => "the request line is longer than the limit",
            Self::HeadTooLong => "the head is longer than the limit",
            Self::TooManyFields => "the head has more fields than the limit",
        };
        write!(f, "{sentence} ({})", self.rule())
    }
}

impl std::error::Error for Violation {}
