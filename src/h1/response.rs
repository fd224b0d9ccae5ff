//! Answer heads (RFC 9112 section 4).

use super::body::{Body, Trailers};
use super::fields::HeadReader;
use super::framing::{self, Facts, Framing};
use super::{Fields, Limits, RequestHead, Version, Violation, token};

/// The head of one answer, interim ones included, checked as a whole.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The field lines.
    pub fields: Fields,
    /// The version in which the upstream speaks.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// How the body is framed, given the request that this answers.
    pub framing: Framing,
    /// Whether the upstream lets the connection go on after this exchange (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether `Connection` names fields of this head, which then belong to one connection (RFC 9110 section 7.6.1).
    pub names_fields: bool,
    line_end: usize,
}

/// Reads answer heads from bytes that arrive in pieces. One reader serves one head.
#[derive(Debug, Default)]
pub struct ResponseReader {
    /// Whether this answers CONNECT.
    to_connect: bool,
    lines: HeadReader,
    line: Option<StatusLine>,
}

/// What a status line says.
#[derive(Debug, Clone, Copy)]
struct StatusLine {
    version: Version,
    status: u16,
    end: usize,
}

impl ResponseReader {
    /// A reader for the answer to CONNECT. If that is a success, what follows is the tunnel, whatever fields say of a
    /// length or a coding (RFC 9110 section 9.3.6); if not, nobody reads on. So they are not looked at.
    #[must_use]
    pub fn to_connect() -> Self {
        Self { to_connect: true, ..Self::default() }
    }

    /// The head at the start of `bytes` and its length, or `None` while it is incomplete. `to_head` says that this
    /// answers a HEAD request, so that no body follows whatever the fields say.
    ///
    /// # Errors
    /// The first fault found. The connection has no meaning after it and must be closed.
    pub fn read(
        &mut self,
        bytes: &[u8],
        to_head: bool,
        limits: &Limits,
    ) -> Result<Option<(ResponseHead, usize)>, Violation> {
        // What cannot be an answer is refused at once, not when a line or a limit ends.
        if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
            return Err(Violation::BadStatusLine);
        }
        let Some(length) = self.lines.first_line(bytes, limits)? else { return Ok(None) };
        let line = match self.line {
            Some(line) => line,
            None => *self.line.insert(StatusLine::parse(&bytes[..length - 2])?),
        };
        let Some((fields, length)) = self.lines.fields(bytes, limits)? else { return Ok(None) };
        let facts = if self.to_connect {
            Facts::of_tunnel()
        } else {
            framing::of_response(&fields, line.version, line.status, to_head)?
        };
        Ok(Some((ResponseHead::new(line, fields, facts), length)))
    }
}

impl StatusLine {
    fn parse(line: &[u8]) -> Result<Self, Violation> {
        let (version, rest) = line.split_at_checked(8).ok_or(Violation::BadStatusLine)?;
        let version = Version::parse(version).ok_or(Violation::BadStatusLine)??;
        // The space before an empty reason is often missing; nothing else can be meant.
        let digits = match rest {
            [b' ', digits @ ..] if digits.len() == 3 || digits.get(3) == Some(&b' ') => &digits[..3],
            _ => return Err(Violation::BadStatusLine),
        };
        if !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
            return Err(Violation::BadStatusLine);
        }
        token::check_text(&rest[4..])?;
        let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        Ok(Self { version, status, end: line.len() })
    }
}

impl ResponseHead {
    fn new(line: StatusLine, fields: Fields, facts: Facts) -> Self {
        let StatusLine { version, status, end } = line;
        let Facts { framing, keep_alive, names_fields, .. } = facts;
        Self { fields, version, status, framing, keep_alive, names_fields, line_end: end }
    }

    /// The reason phrase as it came; often empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        let line = &self.fields.bytes()[..self.line_end];
        line.get(13..).unwrap_or_default()
    }

    /// Whether this is an interim answer, after which another head follows (RFC 9110 section 15.2).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// A reader for the body that follows this head.
    #[must_use]
    pub fn body(&self, trailers: Trailers) -> Body {
        Body::new(self.framing, trailers)
    }
}

/// Whether the answer to this request has no body whatever its fields say.
#[must_use]
pub fn is_to_head(request: &RequestHead) -> bool {
    request.is("HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ResponseHead, Violation> {
        let (head, length) = ResponseReader::default().read(text.as_bytes(), false, &Limits::RESPONSE)?.expect("whole");
        assert_eq!(length, text.len());
        Ok(head)
    }

    #[test]
    fn status_lines() {
        for (line, status, reason) in [
            ("HTTP/1.1 200 OK", 200, "OK"),
            ("HTTP/1.1 200 ", 200, ""),
            ("HTTP/1.1 200", 200, ""),
            ("HTTP/1.0 404 Not Found é", 404, "Not Found é"),
            ("HTTP/1.1 999 x", 999, "x"),
        ] {
            let head = read(&format!("{line}\r\n\r\n")).expect(line);
            assert_eq!((head.status, head.reason()), (status, reason.as_bytes()), "{line}");
        }
        for line in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 200OK",
            "HTTP/1.1\t200 OK",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.1 -20 OK",
            "HTTP/1.x 200 OK",
        ] {
            assert_eq!(read(&format!("{line}\r\n\r\n")).map(|_| ()), Err(Violation::BadStatusLine), "{line:?}");
        }
        assert_eq!(read("HTTP/1.2 200 OK\r\n\r\n").map(|_| ()), Err(Violation::UnsupportedVersion));
        assert_eq!(read("HTTP/1.1 200 a\0b\r\n\r\n").map(|_| ()), Err(Violation::Nul));
        assert_eq!(read("HTTP/1.1 200 a\rb\r\n\r\n").map(|_| ()), Err(Violation::BareCarriageReturn));
    }

    #[test]
    fn a_success_of_connect_has_no_body_whatever_it_says() {
        for fields in [
            "",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n",
            "Content-Length: x\r\nContent-Length: y\r\n",
        ] {
            let text = format!("HTTP/1.0 200 Connection established\r\n{fields}\r\nmore");
            let read = ResponseReader::to_connect().read(text.as_bytes(), false, &Limits::RESPONSE);
            let (head, length) = read.expect(fields).expect("whole");
            assert_eq!((head.status, head.framing, &text[length..]), (200, Framing::None, "more"), "{fields}");
        }
    }

    #[test]
    fn garbage_is_known_from_its_first_byte() {
        let read = |bytes: &[u8]| ResponseReader::default().read(bytes, false, &Limits::RESPONSE);
        assert_eq!(read(b"S"), Err(Violation::BadStatusLine));
        assert_eq!(read(b"HTTP/2"), Err(Violation::BadStatusLine));
        assert_eq!(read(b"\r\nHTTP/1.1 200 OK\r\n\r\n"), Err(Violation::BadStatusLine));
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(b"HTTP/1"), Ok(None));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n"), Ok(None));
    }
}
