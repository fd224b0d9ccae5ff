//! Field lines as they came: the bytes, and an index of where each name and value lies in them.
//!
//! Order, case and repetition survive because nothing is taken apart: an edited head is made by copying lines.

use std::ops::Range;

use memchr::memchr;

use super::{Known, Limits, Violation, token};
use crate::stock::{self, Stock};

thread_local! {
    /// Most heads have fewer fields than that, and few have many more.
    static PLACES: Stock<Place> = const { Stock::new(32, 128) };
}

/// The field lines of one head, in the order in which they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
    index: Vec<Place>,
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    head: &'a [u8],
    place: &'a Place,
}

/// Where a line lies in the bytes of its head. Heads are far below 4 GiB (see [`Limits::max_head`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    end: u32,
    known: Option<Known>,
}

impl Fields {
    /// Every field, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + ExactSizeIterator {
        self.index.iter().map(|place| Field { head: &self.bytes, place })
    }

    /// The values of every field of this name, in any case.
    pub fn values<'a, const N: usize>(&'a self, name: &'a [u8; N]) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        self.iter().filter(move |field| field.is(name)).map(|field| field.value())
    }

    /// The values of every field of this known name.
    pub fn of(&self, known: Known) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.iter().filter(move |field| field.known() == Some(known)).map(|field| field.value())
    }

    /// Some lines that follow each other, as they came, by their numbers.
    #[must_use]
    pub fn lines(&self, numbers: Range<usize>) -> &[u8] {
        match self.index.get(numbers) {
            Some([first, .., last]) => &self.bytes[first.start as usize..last.end as usize],
            Some([only]) => &self.bytes[only.start as usize..only.end as usize],
            Some([]) | None => &[],
        }
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
        self.of(Known::Connection).flat_map(list)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        if self.bytes.capacity() == 0 {
            return;
        }
        stock::give_bytes(std::mem::take(&mut self.bytes));
        let _ = PLACES.try_with(|stock| stock.give(std::mem::take(&mut self.index)));
    }
}

impl<'a> Field<'a> {
    /// The name, in the case in which it came.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        &self.head[self.place.start as usize..self.place.name_end as usize]
    }

    /// The value, without the white space around it.
    #[inline]
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        &self.head[self.place.value_start as usize..self.place.value_end as usize]
    }

    /// The whole line with its CRLF.
    #[inline]
    #[must_use]
    pub fn line(&self) -> &'a [u8] {
        &self.head[self.place.start as usize..self.place.end as usize]
    }

    /// Which of the names it has that are known.
    #[inline]
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        self.place.known
    }

    /// Whether the field has this name, in any case. The name is given in lower case, and has letters, digits and
    /// hyphens only.
    // Always: asked of every line, and told apart by the first letter, which is less than a call.
    #[inline(always)]
    #[must_use]
    pub fn is<const N: usize>(&self, name: &[u8; N]) -> bool {
        is_name(self.name(), name)
    }
}

/// Whether a field name is this one, in any case. Of all bytes that a name can have (tokens), only the two cases of a
/// letter become the same by this one bit.
#[inline]
#[must_use]
pub(crate) fn is_name<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    // Most names of the right length are told apart by their first letter.
    match <&[u8; N]>::try_from(name) {
        Ok(name) if name[0] | 0x20 == known[0] => {
            name.iter().zip(known).fold(true, |same, (byte, known)| same & (byte | 0x20 == *known))
        }
        _ => false,
    }
}

impl Place {
    /// Reads one line from the start of `rest`, which lies at `at` in its head. `None`: it is not whole.
    #[inline(always)]
    fn read(rest: &[u8], at: usize) -> Result<Option<Self>, Violation> {
        let name_end = token::end_of_token(rest);
        match rest.get(name_end) {
            None => return Ok(None),
            Some(b':') if name_end > 0 => {}
            Some(b' ' | b'\t') if name_end == 0 => return Err(Violation::FoldedLine),
            Some(b' ' | b'\t') => return Err(Violation::SpaceBeforeColon),
            Some(b'\0') => return Err(Violation::Nul),
            Some(b'\r') if rest.get(name_end + 1) != Some(&b'\n') => return Err(Violation::BareCarriageReturn),
            Some(b'\n') => return Err(Violation::BareLineFeed),
            Some(_) => return Err(Violation::BadFieldName),
        }
        let Some(text_end) = token::end_of_text(rest, name_end + 1) else { return Ok(None) };
        if !ends_line(rest, text_end)? {
            return Ok(None);
        }
        // Text has no control characters but tabs, so what is not above a space is a space or a tab.
        let mut value = &rest[name_end + 1..text_end];
        while let [..=b' ', inner @ ..] = value {
            value = inner;
        }
        let start = text_end - value.len();
        while let [inner @ .., ..=b' '] = value {
            value = inner;
        }
        let end = start + value.len();
        let line_end = u32::try_from(at + text_end + 2).expect("a head is limited to far less than 4 GiB");
        #[expect(clippy::cast_possible_truncation, reason = "none lies behind the end of the line, which fits")]
        let place = |offset: usize| (at + offset) as u32;
        Ok(Some(Self {
            start: place(0),
            name_end: place(name_end),
            value_start: place(start),
            value_end: place(end),
            end: line_end,
            known: Known::of(&rest[..name_end]),
        }))
    }
}

/// Whether CRLF stands at `at`, where text has ended. `false`: its LF has not arrived.
pub(super) fn ends_line(bytes: &[u8], at: usize) -> Result<bool, Violation> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Ok(true),
        (b'\r', None) => Ok(false),
        (b'\r', Some(_)) => Err(Violation::BareCarriageReturn),
        (b'\n', _) => Err(Violation::BareLineFeed),
        (b'\0', _) => Err(Violation::Nul),
        _ => Err(Violation::ControlCharacter),
    }
}

/// Reads a head that arrives in pieces. Lines that are whole are read once; one that is not is read again when its
/// end has arrived, and not before.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// Where the next line begins.
    at: usize,
    /// How much of it has been searched for its end in vain.
    searched: usize,
    /// How long the first line is, CRLF included; 0 while it is not whole.
    first_line: usize,
    index: Vec<Place>,
}

impl HeadReader {
    /// The length of the first line once it is whole.
    ///
    /// # Errors
    /// It is longer than the limit, or does not end in CRLF.
    #[inline]
    pub(super) fn first_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Violation> {
        if self.first_line > 0 {
            return Ok(Some(self.first_line));
        }
        let Some(distance) = memchr(b'\n', &bytes[self.searched..]) else {
            self.searched = bytes.len();
            let is_long = bytes.len() > limits.max_first_line;
            return if is_long { Err(Violation::RequestLineTooLong) } else { Ok(None) };
        };
        let feed = self.searched + distance;
        if feed == 0 || bytes[feed - 1] != b'\r' {
            return Err(Violation::BareLineFeed);
        }
        if feed + 1 > limits.max_first_line {
            return Err(Violation::RequestLineTooLong);
        }
        (self.first_line, self.at, self.searched) = (feed + 1, feed + 1, feed + 1);
        self.index = PLACES.with(Stock::take);
        Ok(Some(self.first_line))
    }

    /// The field lines after the first, and the length of the whole head, once it is whole.
    ///
    /// # Errors
    /// The first fault in them.
    #[inline]
    pub(super) fn fields(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<(Fields, usize)>, Violation> {
        if self.searched > self.at && memchr(b'\n', &bytes[self.searched..]).is_none() {
            return self.wait(bytes, limits);
        }
        if !read_lines(bytes, &mut self.at, &mut self.index, limits)? {
            return self.wait(bytes, limits);
        }
        let length = self.at + 2;
        if length > limits.max_head {
            return Err(Violation::HeadTooLong);
        }
        let mut head = stock::take_bytes();
        head.extend_from_slice(&bytes[..length]);
        Ok(Some((Fields { bytes: head, index: std::mem::take(&mut self.index) }, length)))
    }

    fn wait<T>(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<T>, Violation> {
        self.searched = bytes.len();
        if bytes.len() >= limits.max_head { Err(Violation::HeadTooLong) } else { Ok(None) }
    }
}

/// Reads the lines from `at` on that are whole, and moves `at` behind them. Whether the empty line was among them,
/// which ends a head.
fn read_lines(bytes: &[u8], at: &mut usize, index: &mut Vec<Place>, limits: &Limits) -> Result<bool, Violation> {
    loop {
        let rest = &bytes[*at..];
        let place = match Place::read(rest, *at) {
            Ok(Some(place)) => place,
            Ok(None) => return Ok(false),
            // No name stands in the line that ends a head.
            Err(_) if rest.starts_with(b"\r\n") => return Ok(true),
            // However a line arrives, it is judged when it is whole.
            Err(_) if memchr(b'\n', rest).is_none() => return Ok(false),
            Err(violation) => return Err(violation),
        };
        if index.len() == limits.max_fields {
            return Err(Violation::TooManyFields);
        }
        *at = place.end as usize;
        if *at > limits.max_head {
            return Err(Violation::HeadTooLong);
        }
        index.push(place);
    }
}

/// Checks one line of a trailer section, CRLF included, and gives its name.
pub(super) fn trailer_name(line: &[u8]) -> Result<&[u8], Violation> {
    match Place::read(line, 0)? {
        Some(place) if place.end as usize == line.len() => Ok(&line[place.start as usize..place.name_end as usize]),
        _ => Err(Violation::BareLineFeed),
    }
}

/// Whether an option of `Connection` names a field, and not what becomes of the connection.
#[must_use]
pub fn names_field(option: &[u8]) -> bool {
    !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
}

/// Whether the value of a `Content-Type` is this media type, whatever its parameters (RFC 9110 section 8.3.1).
#[must_use]
pub fn is_media_type(value: &[u8], known: &[u8]) -> bool {
    let name = value.split(|&byte| byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(known)
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), empty ones left out.
pub fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &str) -> Result<Fields, Violation> {
        let text = format!("first\r\n{lines}");
        let mut reader = HeadReader::default();
        reader.first_line(text.as_bytes(), &Limits::REQUEST)?;
        let (fields, length) = reader.fields(text.as_bytes(), &Limits::REQUEST)?.expect("whole");
        assert_eq!(length, text.len());
        Ok(fields)
    }

    #[test]
    fn lines_keep_order_case_and_bytes() {
        let fields = parse("Cookie: a\r\nX-b:\t c \r\ncookie:b\r\nempty:\r\n\r\n").expect("valid");
        let seen: Vec<_> = fields.iter().map(|f| (f.name(), f.value(), f.line())).collect();
        assert_eq!(
            seen,
            [
                (&b"Cookie"[..], &b"a"[..], &b"Cookie: a\r\n"[..]),
                (b"X-b", b"c", b"X-b:\t c \r\n"),
                (b"cookie", b"b", b"cookie:b\r\n"),
                (b"empty", b"", b"empty:\r\n"),
            ]
        );
        assert_eq!(fields.values(b"cookie").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(fields.lines(1..3), b"X-b:\t c \r\ncookie:b\r\n");
        assert_eq!((fields.lines(0..1), fields.lines(2..2)), (&b"Cookie: a\r\n"[..], &b""[..]));
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
            ("a: b\n", Violation::BareLineFeed),
            ("a\n", Violation::BareLineFeed),
            ("\n", Violation::BareLineFeed),
            ("a: \x07\r\n", Violation::ControlCharacter),
        ] {
            assert_eq!(parse(&format!("{line}\r\n")), Err(violation), "{line:?}");
        }
    }

    #[test]
    fn names_are_the_same_in_any_case_and_no_others_are() {
        assert!(is_name(b"Content-LENGTH", b"content-length") && is_name(b"te", b"te"));
        // Of the bytes that differ in this one bit, none but letters can be in a name.
        for name in [&b"content_length"[..], b"content-lengt", b"content-lengthx", b"", b"cOntent.length"] {
            assert!(!is_name(name, b"content-length"), "{name:?}");
        }
        for (byte, known) in (0..=255_u8).flat_map(|byte| b"abcxyz059-".map(|known| (byte, known))) {
            if token::is_token_byte(byte) {
                assert_eq!(is_name(&[byte], &[known]), byte.eq_ignore_ascii_case(&known), "{byte} {known}");
            }
        }
    }

    #[test]
    fn connection_options_are_gathered_from_every_line() {
        let fields = parse("Connection: close, X-a\r\nConnection: ,Upgrade\r\n\r\n").expect("valid");
        assert_eq!(fields.connection_options().collect::<Vec<_>>(), [&b"close"[..], b"X-a", b"Upgrade"]);
    }

    #[test]
    fn the_reader_finds_the_same_lines_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nLong: 0123456789012345678901234567890\r\n\r\nrest";
        for first in 0..head.len() {
            for second in first..head.len() {
                let mut reader = HeadReader::default();
                let whole = [first, second, head.len()].into_iter().find_map(|end| {
                    reader.first_line(&head[..end], &Limits::REQUEST).expect("valid")?;
                    reader.fields(&head[..end], &Limits::REQUEST).expect("valid")
                });
                let (fields, length) = whole.expect("whole");
                assert_eq!((length, fields.len()), (head.len() - 4, 2), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        let limits = Limits { max_head: 64, max_first_line: 20, max_fields: 2 };
        let read = |bytes: &[u8]| {
            let mut reader = HeadReader::default();
            match reader.first_line(bytes, &limits)? {
                Some(_) => Ok(reader.fields(bytes, &limits)?.map(|(_, length)| length)),
                None => Ok(None),
            }
        };
        assert_eq!(read(&[b'a'; 20]), Ok(None));
        assert_eq!(read(&[b'a'; 21]), Err(Violation::RequestLineTooLong));
        assert_eq!(read(b"GET / HTTP/1.1\r\na:\r\nb:\r\n\r\n"), Ok(Some(26)));
        assert_eq!(read(b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n"), Err(Violation::TooManyFields));
        let long = [&b"GET / HTTP/1.1\r\na: "[..], &[b'x'; 60]].concat();
        assert_eq!(read(&long), Err(Violation::HeadTooLong));
        assert_eq!(read(b"GET / HTTP/1.1\n"), Err(Violation::BareLineFeed));
        assert_eq!(read(b"\n"), Err(Violation::BareLineFeed));
    }
}
