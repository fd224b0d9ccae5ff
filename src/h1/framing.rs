//! Where a message ends (RFC 9112 section 6.3), and whether its connection goes on (section 9.3).

use super::fields::names_field;
use super::{Fields, Known, Version, Violation, token};

/// How the length of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no field says so.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends where the connection ends; only answers can have that.
    UntilClose,
}

/// What the fields of a head say about the message and its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) names_fields: bool,
}

impl Facts {
    /// Those of an answer after which the bytes are no longer HTTP.
    pub(super) fn of_tunnel() -> Self {
        Self { framing: Framing::None, keep_alive: false, expects_continue: false, names_fields: false }
    }
}

pub(super) fn of_request(fields: &Fields, version: Version) -> Result<Facts, Violation> {
    let found = Found::gather(fields, version)?;
    match found.hosts {
        0 if version == Version::Http11 => return Err(Violation::MissingHost),
        0 | 1 => {}
        _ => return Err(Violation::RepeatedHost),
    }
    let framing = found.framing()?.unwrap_or(Framing::None);
    // A client of HTTP/1.0 cannot understand an interim answer (RFC 9110 section 10.1.1).
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    let expects_continue = found.expects_continue && version == Version::Http11 && has_body;
    Ok(Facts { framing, keep_alive: found.keep_alive(version), expects_continue, names_fields: found.names_fields })
}

pub(super) fn of_response(fields: &Fields, version: Version, status: u16, to_head: bool) -> Result<Facts, Violation> {
    let found = Found::gather(fields, version)?;
    let stated = found.framing()?;
    let framing = if to_head || status < 200 || status == 204 || status == 304 {
        Framing::None
    } else {
        stated.unwrap_or(Framing::UntilClose)
    };
    let keep_alive = found.keep_alive(version) && framing != Framing::UntilClose;
    Ok(Facts { framing, keep_alive, expects_continue: false, names_fields: found.names_fields })
}

/// What one pass over the fields finds.
#[derive(Default)]
struct Found {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    stays: bool,
    expects_continue: bool,
    names_fields: bool,
}

impl Found {
    fn gather(fields: &Fields, version: Version) -> Result<Self, Violation> {
        let mut found = Self::default();
        for field in fields.iter() {
            match field.known() {
                Some(Known::Host) => {
                    found.hosts += 1;
                    if !token::is_authority(field.value()) {
                        return Err(Violation::BadHost);
                    }
                }
                Some(Known::Expect) => {
                    found.expects_continue |= field.value().eq_ignore_ascii_case(b"100-continue");
                }
                Some(Known::Connection) => {
                    for option in super::fields::list(field.value()) {
                        found.close |= option.eq_ignore_ascii_case(b"close");
                        found.stays |= option.eq_ignore_ascii_case(b"keep-alive");
                        found.names_fields |= names_field(option);
                    }
                }
                Some(Known::ContentLength) => {
                    if found.length.is_some() {
                        return Err(Violation::RepeatedLength);
                    }
                    found.length = Some(length(field.value())?);
                }
                Some(Known::TransferEncoding) => {
                    if version == Version::Http10 {
                        return Err(Violation::CodingInHttp10);
                    }
                    if found.chunked || !field.value().eq_ignore_ascii_case(b"chunked") {
                        return Err(Violation::BadCoding);
                    }
                    found.chunked = true;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn framing(&self) -> Result<Option<Framing>, Violation> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Violation::LengthWithCoding),
            (Some(length), false) => Ok(Some(Framing::Length(length))),
            (None, true) => Ok(Some(Framing::Chunked)),
            (None, false) => Ok(None),
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.stays && !self.close,
        }
    }
}

/// `Content-Length = 1*DIGIT`, and no more digits than 64 bits can hold. Lists (`5, 5`) and signs are refused.
fn length(value: &[u8]) -> Result<u64, Violation> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Violation::BadLength);
    }
    Ok(value.iter().fold(0, |sum, &digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, RequestReader, ResponseReader};
    use super::*;

    fn request(version: &str, fields: &str) -> Result<(Framing, bool, bool), Violation> {
        let text = format!("POST / HTTP/{version}\r\n{fields}\r\n");
        let read = RequestReader::default().read(text.as_bytes(), &Limits::REQUEST)?;
        let head = read.expect("whole").0;
        Ok((head.framing, head.keep_alive, head.expects_continue))
    }

    fn response(line: &str, fields: &str, to_head: bool) -> Result<(Framing, bool), Violation> {
        let text = format!("HTTP/{line}\r\n{fields}\r\n");
        let head = ResponseReader::default().read(text.as_bytes(), to_head, &Limits::RESPONSE)?.expect("whole").0;
        Ok((head.framing, head.keep_alive))
    }

    #[test]
    fn requests_have_one_framing_or_none() {
        let framing = |fields: &str| request("1.1", &format!("Host: h\r\n{fields}")).map(|(framing, ..)| framing);
        assert_eq!(framing(""), Ok(Framing::None));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(Framing::Length(0)));
        assert_eq!(framing("content-length: 0005\r\n"), Ok(Framing::Length(5)));
        assert_eq!(framing("Content-Length: 9999999999999999999\r\n"), Ok(Framing::Length(9_999_999_999_999_999_999)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for (fields, violation) in [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Violation::RepeatedLength),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Violation::LengthWithCoding),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Violation::LengthWithCoding),
            ("Content-Length: \r\n", Violation::BadLength),
            ("Content-Length: +5\r\n", Violation::BadLength),
            ("Content-Length: -5\r\n", Violation::BadLength),
            ("Content-Length: 5, 5\r\n", Violation::BadLength),
            ("Content-Length: 5 5\r\n", Violation::BadLength),
            ("Content-Length: 0x5\r\n", Violation::BadLength),
            ("Content-Length: 5a\r\n", Violation::BadLength),
            ("Content-Length: 10000000000000000000\r\n", Violation::BadLength),
            ("Transfer-Encoding: gzip, chunked\r\n", Violation::BadCoding),
            ("Transfer-Encoding: chunked, chunked\r\n", Violation::BadCoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Violation::BadCoding),
            ("Transfer-Encoding: chunked, identity\r\n", Violation::BadCoding),
            ("Transfer-Encoding: identity\r\n", Violation::BadCoding),
            ("Transfer-Encoding: \r\n", Violation::BadCoding),
            ("Transfer-Encoding: \"chunked\"\r\n", Violation::BadCoding),
            ("Transfer-Encoding: xchunked\r\n", Violation::BadCoding),
        ] {
            assert_eq!(framing(fields), Err(violation), "{fields:?}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(request("1.1", ""), Err(Violation::MissingHost));
        assert_eq!(request("1.1", "Host: a\r\nhost: a\r\n"), Err(Violation::RepeatedHost));
        assert_eq!(request("1.0", "Host: a\r\nhost: a\r\n"), Err(Violation::RepeatedHost));
        assert_eq!(request("1.1", "Host: a/b\r\n"), Err(Violation::BadHost));
        assert!(request("1.0", "").is_ok());
        assert!(request("1.1", "Host:\r\n").is_ok());
    }

    #[test]
    fn connections_go_on_as_the_version_says() {
        let stays = |version, fields: &str| request(version, &format!("Host: h\r\n{fields}")).expect("valid").1;
        assert!(stays("1.1", ""));
        assert!(!stays("1.1", "Connection: Close\r\n"));
        assert!(!stays("1.1", "Connection: keep-alive\r\nConnection: x, close\r\n"));
        assert!(!stays("1.0", ""));
        assert!(stays("1.0", "Connection: Keep-Alive\r\n"));
        assert!(!stays("1.0", "Connection: keep-alive, close\r\n"));
    }

    #[test]
    fn continue_is_expected_only_where_it_can_be_sent() {
        let expects = |version, fields: &str| request(version, &format!("Host: h\r\n{fields}")).expect("valid").2;
        assert!(expects("1.1", "Expect: 100-Continue\r\nContent-Length: 5\r\n"));
        assert!(!expects("1.1", "Expect: 100-continue\r\n"));
        assert!(!expects("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
        assert!(!expects("1.1", "Expect: else\r\nContent-Length: 5\r\n"));
    }

    #[test]
    fn codings_do_not_exist_in_http_1_0() {
        assert_eq!(request("1.0", "Transfer-Encoding: chunked\r\n"), Err(Violation::CodingInHttp10));
        assert_eq!(response("1.0 200 OK", "Transfer-Encoding: chunked\r\n", false), Err(Violation::CodingInHttp10));
    }

    #[test]
    fn answers() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let five = "Content-Length: 5\r\n";
        assert_eq!(response("1.1 200 OK", five, false), Ok((Framing::Length(5), true)));
        assert_eq!(response("1.1 200 OK", five, true), Ok((Framing::None, true)));
        assert_eq!(response("1.1 200 OK", chunked, false), Ok((Framing::Chunked, true)));
        assert_eq!(response("1.1 200 OK", chunked, true), Ok((Framing::None, true)));
        assert_eq!(response("1.1 200 OK", "", false), Ok((Framing::UntilClose, false)));
        assert_eq!(response("1.1 204 No Content", "", false), Ok((Framing::None, true)));
        assert_eq!(response("1.1 304 Not Modified", five, false), Ok((Framing::None, true)));
        assert_eq!(response("1.1 103 Early Hints", "", false), Ok((Framing::None, true)));
        assert_eq!(response("1.0 200 OK", five, false), Ok((Framing::Length(5), false)));
        assert_eq!(
            response("1.0 200 OK", "Content-Length: 5\r\nConnection: keep-alive\r\n", false),
            Ok((Framing::Length(5), true))
        );
        let both = format!("{five}{chunked}");
        assert_eq!(response("1.1 200 OK", &both, false), Err(Violation::LengthWithCoding));
        assert_eq!(response("1.1 304 x", &both, false), Err(Violation::LengthWithCoding));
        assert_eq!(response("1.1 200 OK", &format!("{five}{five}"), false), Err(Violation::RepeatedLength));
    }
}
