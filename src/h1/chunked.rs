//! The chunked transfer coding (RFC 9112 section 7.1), read without being taken apart.
//!
//! Sizes and line ends are checked byte by byte and pass as they came, so one read is one write. Chunk extensions
//! never pass: they belong to one connection, nobody uses them, and parsers disagree about them.

use memchr::memchr;

use super::body::{Step, Trailers};
use super::{Violation, fields};

/// The longest chunk extension, in bytes.
const MAX_EXTENSION: u16 = 4 * 1024;
/// The longest trailer section, in bytes.
const MAX_TRAILERS: usize = 8 * 1024;
/// As many hexadecimal digits as a 64-bit size can have.
const MAX_SIZE_DIGITS: u8 = 16;

/// What of a chunked body is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Chunks as they are.
    Framing(Trailers),
    /// The content of the chunks.
    Payload,
    /// The content of the chunks, and the lines of the trailer section that may pass.
    PayloadAndTrailers,
}

#[derive(Debug, Clone)]
pub(super) struct Scanner {
    state: State,
    keep: Keep,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk size.
    Size {
        digits: u8,
        size: u64,
    },
    /// In white space after a size: only an extension may follow (RFC 9112 section 7.1.1, BWS).
    BeforeExtension {
        length: u16,
        size: u64,
    },
    /// In a chunk extension.
    Extension {
        length: u16,
        size: u64,
    },
    /// Before the LF of a size line.
    SizeFeed {
        size: u64,
    },
    /// In the data of a chunk.
    Data {
        left: u64,
    },
    /// Before the CR after the data.
    DataReturn,
    /// Before the LF after the data.
    DataFeed,
    /// At the start of a line of the trailer section.
    Trailers,
    Done,
}

/// A run of bytes and what comes after it.
struct Run {
    length: usize,
    pass: bool,
    next: State,
}

impl Scanner {
    pub(super) fn new(keep: Keep) -> Self {
        Self { state: State::Size { digits: 0, size: 0 }, keep, trailer_bytes: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn passes_framing(&self) -> bool {
        matches!(self.keep, Keep::Framing(_))
    }

    pub(super) fn is_in_trailers(&self) -> bool {
        self.state == State::Trailers
    }

    /// Leaves the trailer section out from here on.
    pub(super) fn drop_trailers(&mut self) {
        if self.keep == Keep::Framing(Trailers::Pass) {
            self.keep = Keep::Framing(Trailers::Drop);
        }
    }

    /// How much of the present chunk is still to come.
    pub(super) fn run(&self) -> u64 {
        if let State::Data { left } = self.state { left } else { 0 }
    }

    /// Counts so much of the present chunk as gone.
    pub(super) fn pass_unseen(&mut self, length: u64) {
        if let State::Data { left } = &mut self.state {
            *left -= length;
        }
        if self.state == (State::Data { left: 0 }) {
            self.state = State::DataReturn;
        }
    }

    /// The longest run from the start of `arrived` that is all passed on or all left out.
    pub(super) fn step(&mut self, arrived: &[u8], payload: &mut u64) -> Result<Step, Violation> {
        if self.is_done() {
            return Ok(Step::Done);
        }
        let mut at = 0;
        let mut passing = None;
        while at < arrived.len() && self.state != State::Done {
            // Most chunks arrive whole and plain, and are looked at as one.
            if self.is_between_chunks()
                && passing != Some(false)
                && let Some((length, size)) = whole_chunk(&arrived[at..])
            {
                *payload += size as u64;
                at += length;
                passing = Some(true);
                continue;
            }
            let run = match self.next_run(&arrived[at..]) {
                Ok(Some(run)) => run,
                Ok(None) => break,
                // What came before the fault is good; the fault is found again when that has been taken.
                Err(_) if at > 0 => break,
                Err(violation) => return Err(violation),
            };
            if *passing.get_or_insert(run.pass) != run.pass {
                break;
            }
            match self.state {
                State::Data { .. } => *payload += run.length as u64,
                State::Trailers => self.trailer_bytes += run.length,
                _ => {}
            }
            self.state = run.next;
            at += run.length;
        }
        Ok(match passing {
            None => Step::Starved,
            Some(true) => Step::Pass(at),
            Some(false) => Step::Skip(at),
        })
    }

    /// Whether the next byte is the first of a chunk that passes as it is.
    fn is_between_chunks(&self) -> bool {
        matches!((self.state, self.keep), (State::Size { digits: 0, .. }, Keep::Framing(_)))
    }

    fn next_run(&self, rest: &[u8]) -> Result<Option<Run>, Violation> {
        let framing = matches!(self.keep, Keep::Framing(_));
        let byte = rest[0];
        let one = |pass, next| Ok(Some(Run { length: 1, pass, next }));
        match self.state {
            State::Size { digits, size } => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits == MAX_SIZE_DIGITS => Err(Violation::BadChunkSize),
                (Some(digit), _) => {
                    one(framing, State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
                }
                _ if digits == 0 => Err(Violation::BadChunkSize),
                (None, b'\r') => one(framing, State::SizeFeed { size }),
                (None, b';') => one(false, State::Extension { length: 1, size }),
                (None, b' ' | b'\t') => one(false, State::BeforeExtension { length: 1, size }),
                _ => Err(Violation::BadChunkSize),
            },
            State::BeforeExtension { length, size } => match byte {
                _ if length == MAX_EXTENSION => Err(Violation::ChunkExtensionTooLong),
                b' ' | b'\t' => one(false, State::BeforeExtension { length: length + 1, size }),
                b';' => one(false, State::Extension { length: length + 1, size }),
                _ => Err(Violation::BadChunkSize),
            },
            State::Extension { length, size } => match byte {
                b'\r' => one(framing, State::SizeFeed { size }),
                b'\t' | b' '..=b'~' | 0x80.. if length < MAX_EXTENSION => {
                    one(false, State::Extension { length: length + 1, size })
                }
                b'\t' | b' '..=b'~' | 0x80.. => Err(Violation::ChunkExtensionTooLong),
                _ => Err(Violation::BadChunkExtension),
            },
            State::SizeFeed { size } => match byte {
                b'\n' if size == 0 => one(framing, State::Trailers),
                b'\n' => one(framing, State::Data { left: size }),
                _ => Err(Violation::BadChunkSize),
            },
            State::Data { left } => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let left = left - length as u64;
                let next = if left == 0 { State::DataReturn } else { State::Data { left } };
                Ok(Some(Run { length, pass: true, next }))
            }
            State::DataReturn if byte == b'\r' => one(framing, State::DataFeed),
            State::DataFeed if byte == b'\n' => one(framing, State::Size { digits: 0, size: 0 }),
            State::DataReturn | State::DataFeed => Err(Violation::BadChunkEnd),
            State::Trailers => self.trailer_line(rest, framing),
            State::Done => Ok(None),
        }
    }

    /// One whole line of the trailer section. It is looked at only when it is whole: half a line that has been
    /// passed on could not be taken back.
    fn trailer_line(&self, rest: &[u8], framing: bool) -> Result<Option<Run>, Violation> {
        let room = MAX_TRAILERS - self.trailer_bytes;
        let Some(feed) = memchr(b'\n', rest) else {
            return if rest.len() >= room { Err(Violation::TrailersTooLong) } else { Ok(None) };
        };
        let line = &rest[..=feed];
        if line.len() > room {
            return Err(Violation::TrailersTooLong);
        }
        if line == b"\r\n" {
            return Ok(Some(Run { length: 2, pass: framing, next: State::Done }));
        }
        let name = fields::trailer_name(line)?;
        let keeps_trailers = matches!(self.keep, Keep::Framing(Trailers::Pass) | Keep::PayloadAndTrailers);
        let pass = keeps_trailers && may_trail(name);
        Ok(Some(Run { length: line.len(), pass, next: State::Trailers }))
    }
}

/// The length of a chunk, framing included, and of its data: if it is all there, is not the last one, and has no
/// extension. Whatever else it is, byte by byte it will be seen.
fn whole_chunk(rest: &[u8]) -> Option<(usize, usize)> {
    let (mut digits, mut size) = (0, 0);
    while let Some(digit) = char::from(*rest.get(digits)?).to_digit(16) {
        if digits == usize::from(MAX_SIZE_DIGITS) {
            return None;
        }
        (digits, size) = (digits + 1, size << 4 | digit as usize);
    }
    let data = digits + 2;
    let end = data.checked_add(size)?.checked_add(2)?;
    let is_plain = size > 0 && rest.get(digits..data)? == b"\r\n" && rest.get(end - 2..end)? == b"\r\n";
    is_plain.then_some((end, size))
}

/// Whether a field may stand in a trailer section: not if it frames, routes or authenticates a message
/// (RFC 9110 section 6.5.1), or belongs to one connection (section 7.6.1).
fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&str; 15] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a scanner over the body in pieces of the given sizes; gives what it passed on and what it left over.
    fn scan(keep: Keep, body: &[u8], piece: usize) -> Result<(Vec<u8>, usize, u64), Violation> {
        let (mut scanner, mut payload, mut passed) = (Scanner::new(keep), 0, Vec::new());
        let (mut start, mut end) = (0, 0);
        loop {
            match scanner.step(&body[start..end], &mut payload)? {
                Step::Pass(length) => {
                    passed.extend_from_slice(&body[start..start + length]);
                    start += length;
                }
                Step::Skip(length) => start += length,
                Step::Starved if end < body.len() => end = (end + piece).min(body.len()),
                Step::Starved | Step::Done => return Ok((passed, body.len() - start, payload)),
            }
        }
    }

    const FRAMING: Keep = Keep::Framing(Trailers::Drop);

    #[test]
    fn chunks_pass_as_they_came() {
        let body = b"005\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nGET";
        for piece in 1..body.len() {
            let (passed, left, payload) = scan(FRAMING, body, piece).expect("valid");
            assert_eq!((&passed[..], payload), (&body[..body.len() - 3], 15));
            assert!(left <= 3);
            assert_eq!(scan(Keep::Payload, body, piece).expect("valid").0, b"hello0123456789");
        }
    }

    #[test]
    fn one_read_of_many_chunks_is_one_run() {
        let body = b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
        assert_eq!(Scanner::new(FRAMING).step(body, &mut 0), Ok(Step::Pass(body.len())));
    }

    #[test]
    fn a_chunk_that_is_not_whole_and_plain_is_looked_at_byte_by_byte() {
        assert_eq!(whole_chunk(b"00a\r\n0123456789\r\n5"), Some((17, 10)));
        for other in [
            &b""[..],
            b"3",
            b"3\r",
            b"3\r\nab",
            b"3\r\nabc\r",
            b"3\r\nabcd\n",
            b"3\nabc\r\n",
            b"3;x\r\nabc\r\n",
            b"0\r\n\r\n",
            b"\r\n",
            b"ffffffffffffffff\r\n",
            b"fffffffffffffffe\r\n",
            b"00000000000000003\r\nabc\r\n",
        ] {
            assert_eq!(whole_chunk(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn extensions_and_request_trailers_are_left_out() {
        let body = b"3 ;a=\"b;c\"\r\nabc\r\n0;x\r\nA: b\r\nC: d\r\n\r\n";
        for piece in 1..body.len() {
            assert_eq!(scan(FRAMING, body, piece).expect("valid").0, b"3\r\nabc\r\n0\r\n\r\n");
        }
    }

    #[test]
    fn answer_trailers_pass_but_for_framing_ones() {
        let body = b"0\r\ngrpc-status: 0\r\nContent-Length: 5\r\nX-b: c\r\n\r\n";
        for piece in 1..body.len() {
            let passed = scan(Keep::Framing(Trailers::Pass), body, piece).expect("valid").0;
            assert_eq!(passed, b"0\r\ngrpc-status: 0\r\nX-b: c\r\n\r\n");
        }
    }

    #[test]
    fn content_and_trailers_can_be_had_without_the_framing() {
        let body = b"3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 5\r\nC: d\r\n\r\n";
        for piece in 1..body.len() {
            assert_eq!(scan(Keep::PayloadAndTrailers, body, piece).expect("valid").0, b"abcA: b\r\nC: d\r\n");
        }
    }

    #[test]
    fn broken_framing_is_named() {
        for (body, violation) in [
            (&b"\r\n"[..], Violation::BadChunkSize),
            (b"g\r\n", Violation::BadChunkSize),
            (b"-1\r\n", Violation::BadChunkSize),
            (b"+1\r\n", Violation::BadChunkSize),
            (b"0x1\r\n", Violation::BadChunkSize),
            (b" 1\r\n", Violation::BadChunkSize),
            (b"1 \r\n", Violation::BadChunkSize),
            (b"1\n", Violation::BadChunkSize),
            (b"1\rx", Violation::BadChunkSize),
            (b"00000000000000001\r\n", Violation::BadChunkSize),
            (b"1;a\nb", Violation::BadChunkExtension),
            (b"1;a\0b", Violation::BadChunkExtension),
            (b"1;a\rb", Violation::BadChunkSize),
            (b"1\r\nab", Violation::BadChunkEnd),
            (b"1\r\na\n", Violation::BadChunkEnd),
            (b"1\r\na\rb", Violation::BadChunkEnd),
            (b"0\r\na: b\n\r\n", Violation::BareLineFeed),
            (b"0\r\n\n", Violation::BareLineFeed),
            (b"0\r\na b: c\r\n\r\n", Violation::SpaceBeforeColon),
            (b"0\r\nGET / HTTP/1.1\r\n\r\n", Violation::SpaceBeforeColon),
            (b"0\r\na: b\0\r\n\r\n", Violation::Nul),
            (b"0\r\na: b\r\n c\r\n\r\n", Violation::FoldedLine),
        ] {
            for piece in 1..=body.len() {
                assert_eq!(
                    scan(FRAMING, body, piece),
                    Err(violation),
                    "{:?} by {piece}",
                    String::from_utf8_lossy(body)
                );
            }
        }
        assert_eq!(scan(FRAMING, b"FFFFFFFFFFFFFFFF\r\n", 99).expect("valid").2, 0);
    }

    #[test]
    fn what_came_before_a_fault_passes() {
        let mut scanner = Scanner::new(FRAMING);
        assert_eq!(scanner.step(b"3\r\nabc\r\nzz", &mut 0), Ok(Step::Pass(8)));
        assert_eq!(scanner.step(b"zz", &mut 0), Err(Violation::BadChunkSize));
        assert_eq!(scanner.step(b"zz", &mut 0), Err(Violation::BadChunkSize));
    }

    #[test]
    fn extensions_and_trailers_have_an_end() {
        let long = |start: &[u8], length: usize| [start, &vec![b'a'; length]].concat();
        assert!(scan(FRAMING, &long(b"1;", 4095), 1000).is_ok());
        assert_eq!(scan(FRAMING, &long(b"1;", 4097), 1000), Err(Violation::ChunkExtensionTooLong));
        assert_eq!(scan(FRAMING, &long(b"0\r\n", 9000), 1000), Err(Violation::TrailersTooLong));
        let many = [&b"0\r\n"[..], &b"a: b\r\n".repeat(1400)].concat();
        assert_eq!(scan(FRAMING, &many, 1000), Err(Violation::TrailersTooLong));
    }

    proptest! {
        /// However a body is cut into reads, the same bytes pass, and what passes reads back as the same content.
        #[test]
        fn pieces_do_not_matter(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,5}(=\"[^\r\n\0-\x1f\x7f]{0,5}\")?)?"), 0..6),
            piece in 1_usize..50,
        ) {
            let (mut body, mut content, mut plain) = (Vec::new(), Vec::new(), Vec::new());
            for (data, extension) in &chunks {
                body.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
                plain.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                for out in [&mut body, &mut plain] {
                    out.extend_from_slice(data);
                    out.extend_from_slice(b"\r\n");
                }
                content.extend_from_slice(data);
            }
            body.extend_from_slice(b"0\r\n\r\n");
            plain.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(scan(FRAMING, &body, piece).expect("valid"), (plain, 0, content.len() as u64));
            prop_assert_eq!(scan(Keep::Payload, &body, piece).expect("valid").0, content);
        }

        #[test]
        fn no_bytes_make_it_panic_or_pass_more_than_came(body in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..20) {
            if let Ok((passed, left, _)) = scan(FRAMING, &body, piece) {
                prop_assert!(passed.len() + left <= body.len());
            }
        }
    }
}
