//! Request heads (RFC 9112 section 3).

use memchr::memchr;

use super::body::{Body, Trailers};
use super::fields::HeadReader;
use super::framing::{self, Framing};
use super::{Fields, Limits, Upgrade, Version, Violation, token};

/// The head of one request, checked as a whole: what exists as a value of this type has one reading.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The field lines.
    pub fields: Fields,
    /// The version in which the client speaks.
    pub version: Version,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client lets the connection go on after this exchange (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// Whether `Connection` names fields of this head, which then belong to one connection (RFC 9110 section 7.6.1).
    pub names_fields: bool,
    /// What the client would like to speak from here on instead of HTTP/1.1, if it may.
    pub upgrade: Option<Upgrade>,
    method_end: usize,
    target_end: usize,
}

/// The form of a request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A path with its query: from origin-form, or from absolute-form without scheme and authority.
    Path(&'a [u8]),
    /// `host:port`, as only CONNECT has it.
    Authority(&'a [u8]),
    /// `*`, as only OPTIONS has it.
    Asterisk,
}

/// Reads request heads from bytes that arrive in pieces. One reader serves one head.
#[derive(Debug, Default)]
pub struct RequestReader {
    lines: HeadReader,
    line: Option<RequestLine>,
}

/// Where the parts of a request line lie.
#[derive(Debug, Clone, Copy)]
struct RequestLine {
    method_end: usize,
    target_end: usize,
    version: Version,
}

impl RequestReader {
    /// The head at the start of `bytes` and its length, or `None` while it is incomplete. Call it again with the
    /// same bytes and what came after them.
    ///
    /// # Errors
    /// The first fault found. The connection has no meaning after it and must be closed.
    pub fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<(RequestHead, usize)>, Violation> {
        // One empty line before a request is skipped (RFC 9112 section 2.2): old clients send one after a body.
        let skipped = match bytes {
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return Ok(None),
            _ => 0,
        };
        let bytes = &bytes[skipped..];
        let Some(length) = self.lines.first_line(bytes, limits)? else { return Ok(None) };
        let line = match self.line {
            Some(line) => line,
            None => *self.line.insert(RequestLine::parse(&bytes[..length - 2])?),
        };
        let Some((fields, length)) = self.lines.fields(bytes, limits)? else { return Ok(None) };
        Ok(Some((RequestHead::new(line, fields)?, skipped + length)))
    }
}

impl RequestLine {
    fn parse(line: &[u8]) -> Result<Self, Violation> {
        let method_end = memchr(b' ', line).ok_or(Violation::BadRequestLine)?;
        let target_start = method_end + 1;
        let target_length = memchr(b' ', &line[target_start..]).ok_or(Violation::BadRequestLine)?;
        let target_end = target_start + target_length;
        if !token::is_token(&line[..method_end]) {
            return Err(Violation::BadMethod);
        }
        let version = Version::parse(&line[target_end + 1..]).ok_or(Violation::BadRequestLine)??;
        if !token::is_target(&line[target_start..target_end]) {
            return Err(Violation::BadTarget);
        }
        Ok(Self { method_end, target_end, version })
    }
}

impl RequestHead {
    fn new(line: RequestLine, fields: Fields) -> Result<Self, Violation> {
        let facts = framing::of_request(&fields, line.version)?;
        let has_body = !matches!(facts.framing, Framing::None | Framing::Length(0));
        // What would be sent behind a body of the old protocol is not worth finding out. Most requests name no fields.
        let may_upgrade = facts.names_fields && line.version == Version::Http11 && !has_body;
        let upgrade = if may_upgrade { Upgrade::asked(&fields) } else { None };
        let head = Self {
            fields,
            version: line.version,
            framing: facts.framing,
            keep_alive: facts.keep_alive,
            expects_continue: facts.expects_continue,
            names_fields: facts.names_fields,
            upgrade,
            method_end: line.method_end,
            target_end: line.target_end,
        };
        head.check_target()?;
        Ok(head)
    }

    /// The method, in the case in which it came.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.fields.bytes().get(..self.method_end).unwrap_or_default()
    }

    /// The request target as it stands in the request line.
    #[must_use]
    pub fn raw_target(&self) -> &[u8] {
        self.fields.bytes().get(self.method_end + 1..self.target_end).unwrap_or_default()
    }

    /// The request target by its form.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        let raw = self.raw_target();
        match raw {
            [b'/', ..] => Target::Path(raw),
            b"*" => Target::Asterisk,
            _ => match absolute(raw) {
                Some((_, path)) => Target::Path(path),
                None => Target::Authority(raw),
            },
        }
    }

    /// Whether this is the method, compared as the standard has it: with its case.
    #[must_use]
    pub fn is(&self, method: &str) -> bool {
        self.method() == method.as_bytes()
    }

    /// Gives the storage of the lines back: a request may wait for its answer for minutes. Method, target and fields
    /// are empty from then on; the rest stays.
    pub fn forget_lines(&mut self) {
        self.fields = Fields::default();
    }

    /// A reader for the body that follows this head.
    #[must_use]
    pub fn body(&self, trailers: Trailers) -> Body {
        Body::new(self.framing, trailers)
    }

    fn check_target(&self) -> Result<(), Violation> {
        let raw = self.raw_target();
        match self.target() {
            Target::Path(_) if raw.starts_with(b"/") => Ok(()),
            Target::Path(_) => match absolute(raw) {
                Some((authority, _)) if token::is_authority(authority) && !authority.is_empty() => Ok(()),
                _ => Err(Violation::BadHost),
            },
            Target::Authority(authority) if self.is("CONNECT") => {
                if token::is_authority(authority) {
                    Ok(())
                } else {
                    Err(Violation::BadHost)
                }
            }
            Target::Asterisk if self.is("OPTIONS") => Ok(()),
            Target::Authority(_) | Target::Asterisk => Err(Violation::BadTarget),
        }
    }
}

/// Takes `scheme://authority/path?query` apart into authority and path with query. A target without a path gets `/`
/// (RFC 9112 section 3.2.2), unless a query follows: then there is no slice to point at, and it is no valid target.
fn absolute(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', raw)?;
    if !raw[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
        return None;
    }
    let rest = raw[colon..].strip_prefix(b"://")?;
    match memchr::memchr2(b'/', b'?', rest) {
        Some(end) if rest[end] == b'/' => Some((&rest[..end], &rest[end..])),
        Some(_) => None,
        None => Some((rest, b"/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RequestHead, Violation> {
        let (head, length) = RequestReader::default().read(text.as_bytes(), &Limits::REQUEST)?.expect("whole");
        assert_eq!(length, text.len());
        Ok(head)
    }

    #[test]
    fn a_head_keeps_its_bytes() {
        let head = read("POST /a%2Fb?x=1&x=2 HTTP/1.1\r\nhOST: h\r\nContent-Length: 5\r\n\r\n").expect("valid");
        assert_eq!((head.method(), head.raw_target()), (&b"POST"[..], &b"/a%2Fb?x=1&x=2"[..]));
        assert_eq!(head.framing, Framing::Length(5));
        assert!(head.keep_alive && !head.expects_continue);
    }

    #[test]
    fn one_empty_line_is_skipped_and_no_more() {
        assert!(read("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").is_ok());
        assert_eq!(read("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), Err(Violation::BadRequestLine));
        assert_eq!(read("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), Err(Violation::BareLineFeed));
    }

    #[test]
    fn request_lines() {
        for (line, violation) in [
            ("GET /", Violation::BadRequestLine),
            ("GET", Violation::BadRequestLine),
            (" GET / HTTP/1.1", Violation::BadMethod),
            ("GET  / HTTP/1.1", Violation::BadRequestLine),
            ("GET /  HTTP/1.1", Violation::BadRequestLine),
            ("GET / HTTP/1.1 ", Violation::BadRequestLine),
            ("G(T / HTTP/1.1", Violation::BadMethod),
            ("GET / http/1.1", Violation::BadRequestLine),
            ("GET / HTTP/1.10", Violation::BadRequestLine),
            ("GET / HTTP/2.0", Violation::UnsupportedVersion),
            ("GET / HTTP/1.2", Violation::UnsupportedVersion),
            ("GET / HTTP/0.9", Violation::UnsupportedVersion),
            ("GET /a#b HTTP/1.1", Violation::BadTarget),
            ("GET a HTTP/1.1", Violation::BadTarget),
            ("GET * HTTP/1.1", Violation::BadTarget),
            ("GET h:80 HTTP/1.1", Violation::BadTarget),
            ("GET http://u@h/ HTTP/1.1", Violation::BadHost),
            ("GET http:///a HTTP/1.1", Violation::BadHost),
            ("CONNECT h:x HTTP/1.1", Violation::BadHost),
            ("GET /\rGET / HTTP/1.1", Violation::BadRequestLine),
            ("GET /\0 HTTP/1.1", Violation::BadTarget),
        ] {
            assert_eq!(read(&format!("{line}\r\nHost: h\r\n\r\n")).map(|_| ()), Err(violation), "{line:?}");
        }
    }

    #[test]
    fn target_forms() {
        let target = |line: &str| {
            let head = read(&format!("{line}\r\nHost: h\r\n\r\n")).expect(line);
            match head.target() {
                Target::Path(path) => String::from_utf8_lossy(path).into_owned(),
                Target::Authority(authority) => format!("authority {}", String::from_utf8_lossy(authority)),
                Target::Asterisk => "asterisk".to_owned(),
            }
        };
        assert_eq!(target("GET /a?b HTTP/1.1"), "/a?b");
        assert_eq!(target("GET //a HTTP/1.1"), "//a");
        assert_eq!(target("GET http://h:8/a?b HTTP/1.1"), "/a?b");
        assert_eq!(target("GET HTTPS://h HTTP/1.1"), "/");
        assert_eq!(target("CONNECT h:443 HTTP/1.1"), "authority h:443");
        assert_eq!(target("OPTIONS * HTTP/1.1"), "asterisk");
        assert_eq!(target("GET /é{|}\\ HTTP/1.1"), "/é{|}\\");
    }

    #[test]
    fn it_waits_for_the_rest_of_a_head() {
        let mut reader = RequestReader::default();
        for part in ["", "\r", "\r\n", "\r\nGET / HTTP/1.1\r\nHost: h\r\n", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r"] {
            assert_eq!(reader.read(part.as_bytes(), &Limits::REQUEST), Ok(None), "{part:?}");
        }
        let whole = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nGET";
        let (_, length) = reader.read(whole, &Limits::REQUEST).expect("valid").expect("whole");
        assert_eq!(length, whole.len() - 3);
    }
}
