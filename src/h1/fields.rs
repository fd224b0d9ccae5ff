//! Field lines as they came: the bytes, and an index of where each name and value lies in them.
//!
//! Order, case and repetition survive because nothing is taken apart: an edited head is made by copying lines.

use memchr::memchr;

use super::{Limits, Violation, token};

/// The field lines of one head, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
    index: Vec<Place>,
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in the case in which it came.
    pub name: &'a [u8],
    /// The value, without the white space around it.
    pub value: &'a [u8],
    /// The whole line with its CRLF.
    pub line: &'a [u8],
}

/// Where a line lies in the bytes of its head. Heads are far below 4 GiB (see [`Limits::max_head`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    end: u32,
}

impl Fields {
    /// Every field, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        self.index.iter().map(|place| place.field(&self.bytes))
    }

    /// The values of every field of this name, in any case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |field| field.is(name)).map(|field| field.value)
    }

    /// The value of the first field of this name, in any case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|field| field.is(name)).map(|field| field.value)
    }

    /// How many field lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no field line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The options of every `Connection` field (RFC 9110 section 7.6.1).
    pub fn connection_options(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(|field| field.is("connection")).flat_map(|field| list(field.value))
    }

    /// Whether `Connection` has this option.
    #[must_use]
    pub fn has_connection_option(&self, option: &str) -> bool {
        self.connection_options().any(|given| given.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// Reads the lines from `at` to the empty line that ends the head. The caller has found that line, so every
    /// LF in `head` has its CR (see [`HeadScan`]).
    pub(super) fn parse(head: &[u8], mut at: usize) -> Result<Self, Violation> {
        let mut index = Vec::with_capacity(24);
        while let Some(length) = memchr(b'\n', &head[at..]) {
            let line = &head[at..=at + length];
            if line == b"\r\n" {
                break;
            }
            index.push(Place::parse(line, at)?);
            at += line.len();
        }
        Ok(Self { bytes: head.to_vec(), index })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Field<'_> {
    /// Whether the field has this name, in any case.
    #[inline]
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Place {
    fn parse(line: &[u8], at: usize) -> Result<Self, Violation> {
        let text = &line[..line.len() - 2];
        let name_end = text.iter().position(|&byte| !token::is_token_byte(byte)).unwrap_or(text.len());
        match text.get(name_end) {
            Some(b':') if name_end > 0 => {}
            Some(b' ' | b'\t') if name_end == 0 => return Err(Violation::FoldedLine),
            Some(b' ' | b'\t') => return Err(Violation::SpaceBeforeColon),
            Some(b'\0') => return Err(Violation::Nul),
            Some(b'\r') => return Err(Violation::BareCarriageReturn),
            _ => return Err(Violation::BadFieldName),
        }
        let value = &text[name_end + 1..];
        token::check_text(value)?;
        let lead = value.iter().take_while(|&&byte| is_space(byte)).count();
        let trail = value[lead..].iter().rev().take_while(|&&byte| is_space(byte)).count();
        let start = place(at);
        Ok(Self {
            start,
            name_end: start + place(name_end),
            value_start: start + place(name_end + 1 + lead),
            value_end: start + place(text.len() - trail),
            end: start + place(line.len()),
        })
    }

    #[inline]
    fn field<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        Field {
            name: &bytes[self.start as usize..self.name_end as usize],
            value: &bytes[self.value_start as usize..self.value_end as usize],
            line: &bytes[self.start as usize..self.end as usize],
        }
    }
}

/// The search for the end of a head that arrives in pieces; it looks at each byte once.
#[derive(Debug, Default, Clone)]
pub(super) struct HeadScan {
    at: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScan {
    /// The length of the head at the start of `bytes`, its empty line included, or `None` while it is incomplete.
    ///
    /// # Errors
    /// A line end that is not CRLF, or a limit: both are known before the head is whole.
    pub(super) fn end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Violation> {
        while let Some(distance) = memchr(b'\n', &bytes[self.at..]) {
            let feed = self.at + distance;
            if feed == self.line_start || bytes[feed - 1] != b'\r' {
                return Err(Violation::BareLineFeed);
            }
            let length = feed + 1 - self.line_start;
            if feed + 1 > limits.max_head {
                return Err(Violation::HeadTooLong);
            }
            if self.lines == 0 && length > limits.max_first_line {
                return Err(Violation::RequestLineTooLong);
            }
            self.at = feed + 1;
            self.line_start = feed + 1;
            if length == 2 && self.lines > 0 {
                return Ok(Some(feed + 1));
            }
            // The first line is none of the fields.
            if self.lines > limits.max_fields {
                return Err(Violation::TooManyFields);
            }
            self.lines += 1;
        }
        self.at = bytes.len();
        if self.lines == 0 && bytes.len() > limits.max_first_line {
            return Err(Violation::RequestLineTooLong);
        }
        if bytes.len() >= limits.max_head {
            return Err(Violation::HeadTooLong);
        }
        Ok(None)
    }
}

/// Checks one line of a trailer section, CRLF included, and gives its name.
pub(super) fn trailer_name(line: &[u8]) -> Result<&[u8], Violation> {
    if !line.ends_with(b"\r\n") {
        return Err(Violation::BareLineFeed);
    }
    Ok(Place::parse(line, 0)?.field(line).name)
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), empty ones left out.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[inline]
fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn place(offset: usize) -> u32 {
    u32::try_from(offset).expect("a head is limited to far less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Result<Fields, Violation> {
        Fields::parse(lines.as_bytes(), 0)
    }

    #[test]
    fn lines_keep_order_case_and_bytes() {
        let fields = parse("Cookie: a\r\nX-b:\t c \r\ncookie:b\r\nempty:\r\n\r\n").expect("valid");
        let seen: Vec<_> = fields.iter().map(|f| (f.name, f.value, f.line)).collect();
        assert_eq!(
            seen,
            [
                (&b"Cookie"[..], &b"a"[..], &b"Cookie: a\r\n"[..]),
                (b"X-b", b"c", b"X-b:\t c \r\n"),
                (b"cookie", b"b", b"cookie:b\r\n"),
                (b"empty", b"", b"empty:\r\n"),
            ]
        );
        assert_eq!(fields.values("COOKIE").collect::<Vec<_>>(), [b"a", b"b"]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (line, violation) in [
            ("a : b\r\n", Violation::SpaceBeforeColon),
            ("a\t: b\r\n", Violation::SpaceBeforeColon),
            (" a: b\r\n", Violation::FoldedLine),
            ("\ta: b\r\n", Violation::FoldedLine),
            (": b\r\n", Violation::BadFieldName),
            ("a\r\n", Violation::BadFieldName),
            ("a(b): c\r\n", Violation::BadFieldName),
            ("ä: c\r\n", Violation::BadFieldName),
            ("a\0: c\r\n", Violation::Nul),
            ("a: b\0c\r\n", Violation::Nul),
            ("a: b\rc\r\n", Violation::BareCarriageReturn),
            ("a\r: c\r\n", Violation::BareCarriageReturn),
            ("a: \x07\r\n", Violation::ControlCharacter),
        ] {
            assert_eq!(parse(&format!("{line}\r\n")), Err(violation), "{line:?}");
        }
    }

    #[test]
    fn connection_options_are_gathered_from_every_line() {
        let fields = parse("Connection: close, X-a\r\nConnection: ,Upgrade\r\n\r\n").expect("valid");
        assert_eq!(fields.connection_options().collect::<Vec<_>>(), [&b"close"[..], b"X-a", b"Upgrade"]);
        assert!(fields.has_connection_option("x-A") && !fields.has_connection_option("keep-alive"));
    }

    #[test]
    fn the_scan_finds_the_same_end_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            let first = scan.end(&head[..cut], &Limits::REQUEST);
            let end = match first.expect("valid") {
                Some(end) => end,
                None => scan.end(head, &Limits::REQUEST).expect("valid").expect("whole"),
            };
            assert_eq!(end, head.len() - 4, "cut at {cut}");
        }
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        let limits = Limits { max_head: 64, max_first_line: 20, max_fields: 2 };
        let end = |bytes: &[u8]| HeadScan::default().end(bytes, &limits);
        assert_eq!(end(&[b'a'; 20]), Ok(None));
        assert_eq!(end(&[b'a'; 21]), Err(Violation::RequestLineTooLong));
        assert_eq!(end(b"GET / HTTP/1.1\r\na:\r\nb:\r\n\r\n"), Ok(Some(26)));
        assert_eq!(end(b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n"), Err(Violation::TooManyFields));
        let long = [&b"GET / HTTP/1.1\r\na: "[..], &[b'x'; 60]].concat();
        assert_eq!(end(&long), Err(Violation::HeadTooLong));
        assert_eq!(end(b"GET / HTTP/1.1\n"), Err(Violation::BareLineFeed));
        assert_eq!(end(b"\n"), Err(Violation::BareLineFeed));
    }
}
