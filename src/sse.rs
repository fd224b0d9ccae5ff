//! Server-sent events (WHATWG HTML, section 9.2), read along without being taken apart: where events end in a stream of
//! bytes, and what stands in one.
//!
//! Lines end with CRLF, LF or CR, also mixed, and bytes arrive in any pieces. An event ends with an empty line.
//! [`Scanner`] only knows where that is and holds no bytes; [`Reader`] puts together what came in pieces, up to a limit,
//! and gives each [`Event`] as it came. Neither ever fails: whatever is no event is a line that means nothing.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::h1::{ResponseHead, is_media_type};

/// What such a stream is called.
pub const MEDIA_TYPE: &[u8] = b"text/event-stream";

/// What may stand before the first line, and means nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether the content of this answer is events as they are, as far as its head says: not coded ones, and no answer that
/// is a failure.
#[must_use]
pub fn is_plain_stream(answer: &ResponseHead) -> bool {
    let mut types = answer.fields.values(b"content-type");
    let is_events = types.next().is_some_and(|value| is_media_type(value, MEDIA_TYPE));
    let mut codings = answer.fields.values(b"content-encoding");
    let is_plain = codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"));
    answer.status == 200 && is_events && types.next().is_none() && is_plain
}

/// Sees where events end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scanner {
    /// Something stands in the line that has not ended yet.
    is_in_line: bool,
    /// A line that is not empty has ended since the last event did.
    has_lines: bool,
    /// The last byte was a CR: an LF behind it belongs to the same end of a line.
    was_return: bool,
}

impl Scanner {
    /// Looks at what comes next, up to the end of an event: gives how many bytes that is. `None`: none ends here.
    /// Empty lines before an event belong to it.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.was_return && !bytes.is_empty() {
            self.was_return = false;
            at = usize::from(bytes[0] == b'\n');
        }
        while let Some(length) = memchr2(b'\n', b'\r', &bytes[at..]) {
            let is_empty = length == 0 && !self.is_in_line;
            at += length + 1;
            if bytes[at - 1] == b'\r' {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.was_return = true,
                }
            }
            self.is_in_line = false;
            if !is_empty {
                self.has_lines = true;
            } else if std::mem::take(&mut self.has_lines) {
                return Some(at);
            }
        }
        self.is_in_line |= at < bytes.len();
        None
    }

    /// Whether something may be put in here without falling into an event, or between the two bytes of a line's end.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        !self.is_in_line && !self.has_lines && !self.was_return
    }
}

/// Puts events together that arrive in pieces.
#[derive(Debug)]
pub struct Reader {
    scanner: Scanner,
    /// The beginning of an event whose end has not arrived.
    begun: Vec<u8>,
    max: usize,
    /// The event that has begun is larger than the limit.
    is_too_large: bool,
}

impl Reader {
    /// A reader of events of at most so many bytes. Larger ones are passed over.
    #[must_use]
    pub fn of(max: usize) -> Self {
        Self { scanner: Scanner::default(), begun: Vec::new(), max, is_too_large: false }
    }

    /// Looks at the next bytes, and tells each event that ends in them. What arrives whole is not copied.
    pub fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Event<'_>)) {
        while let Some(end) = self.scanner.end(bytes) {
            let (last, rest) = bytes.split_at(end);
            let is_too_large = std::mem::take(&mut self.is_too_large) || self.begun.len() + last.len() > self.max;
            if is_too_large {
                self.begun = Vec::new();
            } else if self.begun.is_empty() {
                tell(Event(last));
            } else {
                self.begun.extend_from_slice(last);
                tell(Event(&self.begun));
                self.begun.clear();
            }
            bytes = rest;
        }
        if self.is_too_large || self.begun.len() + bytes.len() > self.max {
            (self.is_too_large, self.begun) = (true, Vec::new());
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// Whether what comes next begins an event.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        self.scanner.is_between_events()
    }

    /// Whether the event that is arriving is larger than the limit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }
}

/// One event as it came, with the empty line at its end. It may consist of nothing but comments.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a>(&'a [u8]);

impl<'a> Event<'a> {
    /// What its `event` field says. `None`: a message like others.
    #[must_use]
    pub fn name(self) -> Option<&'a [u8]> {
        self.fields().filter(|(name, _)| *name == b"event").last().map(|(_, value)| value)
    }

    /// What its `data` fields say, line by line. `None`: it has none, and means nothing to a program.
    #[must_use]
    pub fn data(self) -> Option<Cow<'a, [u8]>> {
        let mut lines = self.fields().filter(|(name, _)| *name == b"data").map(|(_, value)| value);
        let first = lines.next()?;
        let Some(second) = lines.next() else { return Some(first.into()) };
        let mut data = [first, b"\n", second].concat();
        for line in lines {
            data.push(b'\n');
            data.extend_from_slice(line);
        }
        Some(data.into())
    }

    /// Its fields, by name and value. Comments are none.
    pub fn fields(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.0.strip_prefix(BYTE_ORDER_MARK).unwrap_or(self.0);
        let lines = std::iter::from_fn(move || {
            let (line, after) = match memchr2(b'\n', b'\r', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            let is_over = rest.is_empty();
            rest = after;
            (!is_over).then_some(line)
        });
        lines.filter(|line| !line.is_empty() && line[0] != b':').map(|line| match memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Told = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn read(pieces: &[&[u8]], max: usize) -> Vec<Told> {
        let (mut reader, mut told) = (Reader::of(max), Vec::new());
        for piece in pieces {
            reader.read(piece, |event| {
                told.push((event.name().map(<[u8]>::to_vec), event.data().map(Cow::into_owned)));
            });
        }
        told
    }

    fn told(name: Option<&str>, data: Option<&str>) -> Told {
        (name.map(Into::into), data.map(Into::into))
    }

    #[test]
    fn events_end_with_an_empty_line_however_lines_end() {
        let expected = [told(Some("a"), Some("1\n2")), told(None, Some("")), told(None, None)];
        for end in ["\n", "\r\n", "\r"] {
            let text = "\nevent: a\ndata:1\ndata: 2\n\n\ndata\n\n: comment\n\ndata: cut".replace('\n', end);
            assert_eq!(read(&[text.as_bytes()], 1000), expected, "{end:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes, 1000), expected, "{end:?}");
        }
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let event = "\u{feff}data:  two\nevent\nid: 7\nevent: late\nx : y\n:c\n\n".as_bytes();
        let fields: Vec<_> = Event(event).fields().collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"data", b" two"), (b"event", b""), (b"id", b"7"), (b"event", b"late"), (b"x ", b"y")];
        assert_eq!(fields, expected);
        assert_eq!(Event(event).name(), Some(&b"late"[..]));
    }

    #[test]
    fn what_is_too_large_is_passed_over_and_not_held() {
        let large = format!("data: {}\n\n", "x".repeat(100));
        let text = format!("data: 1\n\n{large}data: 2\n\n");
        let expected = [told(None, Some("1")), told(None, Some("2"))];
        assert_eq!(read(&[text.as_bytes()], 50), expected);
        let mut reader = Reader::of(50);
        let mut told = 0;
        for byte in text.as_bytes() {
            reader.read(&[*byte], |_| told += 1);
            assert!(reader.begun.len() <= 50);
        }
        assert_eq!((told, reader.is_too_large()), (2, false));
    }

    #[test]
    fn nothing_falls_into_an_event_or_the_end_of_a_line() {
        let after = |text: &str| {
            let mut scanner = Scanner::default();
            let mut bytes = text.as_bytes();
            while let Some(end) = scanner.end(bytes) {
                bytes = &bytes[end..];
            }
            scanner.is_between_events()
        };
        for text in ["", "\n", "data: 1\n\n", "data: 1\r\n\r\n", ": c\n\n", "a\r\rb\n\n"] {
            assert!(after(text), "{text:?}");
        }
        for text in ["d", "data: 1\n", "data: 1\r\n\r", "a\r\r", "\r", ": c\n", "a\n\nb"] {
            assert!(!after(text), "{text:?}");
        }
    }

    /// The same with everything at hand.
    fn whole(text: &[u8]) -> Vec<Vec<u8>> {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
        let ended = text.rsplit_once("\n\n").map_or("", |(ended, _)| ended);
        let events = ended.split("\n\n").map(|event| event.trim_matches('\n'));
        events.filter(|event| !event.is_empty()).map(|event| event.as_bytes().to_vec()).collect()
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_they_arrive(text in "[ad:\\n\\r]{0,40}", cuts in prop::collection::vec(0..40usize, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            let mut events = Vec::new();
            let mut reader = Reader::of(1000);
            for piece in pieces {
                reader.read(piece, |Event(bytes)| {
                    let event = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
                    events.push(event.trim_matches('\n').as_bytes().to_vec());
                });
            }
            prop_assert_eq!(events, whole(text.as_bytes()));
        }
    }
}
