//! Bodies: which of the bytes that arrive belong to the message, which of those are passed on, and where it ends.
//!
//! A body reader owns no bytes. It is shown what has arrived and says how many of the first bytes to pass on as
//! they are, or to leave out; so a body goes from socket to socket through one buffer, without a copy.

use super::chunked::{self, Scanner};
use super::{Framing, Violation};

/// The reader of one body.
#[derive(Debug, Clone)]
pub struct Body {
    rest: Rest,
    payload: u64,
}

/// What to do with the first bytes of what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pass this many bytes on.
    Pass(usize),
    /// Leave this many bytes out.
    Skip(usize),
    /// Nothing can be said before more bytes arrive. What is there stays where it is.
    Starved,
    /// The body is over. What is there belongs to the next message.
    Done,
}

/// What becomes of the trailer section of a chunked body (RFC 9110 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailers {
    /// It is left out.
    Drop,
    /// It is passed on, but for fields that frame or route a message.
    Pass,
}

#[derive(Debug, Clone)]
enum Rest {
    Length(u64),
    Chunked(Scanner),
    UntilClose,
}

impl Body {
    /// A body of this framing, from its first byte. Chunks stay chunks.
    #[must_use]
    pub fn new(framing: Framing, trailers: Trailers) -> Self {
        let rest = match framing {
            Framing::None => Rest::Length(0),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Scanner::new(chunked::Keep::Framing(trailers))),
            Framing::UntilClose => Rest::UntilClose,
        };
        Self { rest, payload: 0 }
    }

    /// A body of this framing of which only the payload is passed on, for a recipient that knows no chunks.
    #[must_use]
    pub fn without_chunks(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => Self { rest: Rest::Chunked(Scanner::new(chunked::Keep::Payload)), payload: 0 },
            framing => Self::new(framing, Trailers::Drop),
        }
    }

    /// A body of this framing of which the payload is passed on, and the lines of its trailer section, which come
    /// when [`Body::is_in_trailers`].
    #[must_use]
    pub fn unframed(framing: Framing) -> Self {
        match framing {
            Framing::Chunked => {
                Self { rest: Rest::Chunked(Scanner::new(chunked::Keep::PayloadAndTrailers)), payload: 0 }
            }
            framing => Self::new(framing, Trailers::Drop),
        }
    }

    /// Leaves the trailer section out from here on.
    pub fn drop_trailers(&mut self) {
        if let Rest::Chunked(scanner) = &mut self.rest {
            scanner.drop_trailers();
        }
    }

    /// Whether what comes next belongs to the trailer section.
    #[must_use]
    pub fn is_in_trailers(&self) -> bool {
        matches!(&self.rest, Rest::Chunked(scanner) if scanner.is_in_trailers())
    }

    /// Looks at what has arrived, and counts what it passes or skips as gone: the caller owes exactly that.
    ///
    /// # Errors
    /// The framing is broken. What was passed on before belongs to a message that never becomes whole.
    #[inline]
    pub fn step(&mut self, arrived: &[u8]) -> Result<Step, Violation> {
        // Two of three questions are about nothing: before something has come, and after all has gone.
        match self.is_done() {
            true => Ok(Step::Done),
            false if arrived.is_empty() => Ok(Step::Starved),
            false => self.advance(arrived),
        }
    }

    fn advance(&mut self, arrived: &[u8]) -> Result<Step, Violation> {
        let step = match &mut self.rest {
            Rest::Chunked(scanner) => return scanner.step(arrived, &mut self.payload),
            Rest::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(arrived.len());
                *left -= length as u64;
                Step::Pass(length)
            }
            Rest::UntilClose => Step::Pass(arrived.len()),
        };
        if let Step::Pass(length) = step {
            self.payload += length as u64;
        }
        Ok(step)
    }

    /// How many of the bytes that come next are content and pass for certain, whatever they are.
    #[must_use]
    pub fn run(&self) -> u64 {
        match &self.rest {
            Rest::Length(left) => *left,
            Rest::Chunked(scanner) => scanner.run(),
            Rest::UntilClose => u64::MAX,
        }
    }

    /// Counts so many bytes of the [run](Body::run) as gone that were not shown.
    pub fn pass_unseen(&mut self, length: u64) {
        debug_assert!(length <= self.run(), "more than is known to belong to it");
        match &mut self.rest {
            Rest::Length(left) => *left -= length,
            Rest::Chunked(scanner) => scanner.pass_unseen(length),
            Rest::UntilClose => {}
        }
        self.payload += length;
    }

    /// Whether the body is over.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.rest {
            Rest::Length(left) => *left == 0,
            Rest::Chunked(scanner) => scanner.is_done(),
            Rest::UntilClose => false,
        }
    }

    /// Whether the connection may end here without cutting the body short.
    #[must_use]
    pub fn may_end_here(&self) -> bool {
        self.is_done() || matches!(self.rest, Rest::UntilClose)
    }

    /// Whether what it passes on are chunks, and not their content alone.
    #[must_use]
    pub fn passes_chunks(&self) -> bool {
        matches!(&self.rest, Rest::Chunked(scanner) if scanner.passes_framing())
    }

    /// How many bytes of content have gone by, framing not counted.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_passes_what_belongs_to_it() {
        let mut body = Body::new(Framing::Length(5), Trailers::Drop);
        assert_eq!(body.step(b""), Ok(Step::Starved));
        assert_eq!(body.step(b"abc"), Ok(Step::Pass(3)));
        assert!(!body.may_end_here());
        assert_eq!(body.step(b"deGET /"), Ok(Step::Pass(2)));
        assert_eq!(body.step(b"GET /"), Ok(Step::Done));
        assert!(body.is_done() && body.may_end_here());
        assert_eq!(body.payload(), 5);
    }

    #[test]
    fn no_body_is_over_at_once() {
        assert_eq!(Body::new(Framing::None, Trailers::Drop).step(b"x"), Ok(Step::Done));
        assert!(Body::new(Framing::Length(0), Trailers::Drop).is_done());
    }

    #[test]
    fn what_is_known_to_belong_to_it_need_not_be_shown() {
        let mut body = Body::new(Framing::Length(5), Trailers::Drop);
        body.pass_unseen(3);
        assert_eq!((body.run(), body.payload(), body.step(b"deX")), (2, 3, Ok(Step::Pass(2))));
        let mut body = Body::new(Framing::Chunked, Trailers::Drop);
        assert_eq!((body.run(), body.step(b"a\r\n012")), (0, Ok(Step::Pass(6))));
        body.pass_unseen(5);
        assert_eq!((body.run(), body.step(b"89\r")), (2, Ok(Step::Pass(3))));
        assert_eq!(body.run(), 0, "nothing is certain but the rest of a chunk");
        assert_eq!(body.step(b"\n1\r\n"), Ok(Step::Pass(4)));
        body.pass_unseen(1);
        assert_eq!((body.run(), body.step(b"X")), (0, Err(Violation::BadChunkEnd)));
        assert_eq!(body.payload(), 11);
        assert_eq!(Body::new(Framing::UntilClose, Trailers::Drop).run(), u64::MAX);
    }

    #[test]
    fn a_body_until_close_never_knows_that_it_is_over() {
        let mut body = Body::new(Framing::UntilClose, Trailers::Drop);
        assert_eq!(body.step(b"abc"), Ok(Step::Pass(3)));
        assert!(!body.is_done() && body.may_end_here());
    }
}
