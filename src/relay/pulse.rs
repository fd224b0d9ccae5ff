//! Comments of ours in a stream of events that says nothing for a while, so that whoever stands between here and the
//! client sees that it lives.
//!
//! They mean nothing to whoever reads events, and stand only where an event has ended, and a chunk too. What goes by is
//! read along for that. They are no sign of life of the upstream: no limit on it and no figure knows of them.

use std::time::Duration;

use tokio::time::Instant;

use crate::h1::{Body, Content};
use crate::sse::Scanner;

/// What is said in a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A comment.
    Comment,
    /// An empty line, which ends an event that has not begun. Some readers know no comments.
    EmptyLine,
}

/// Where the next comment may stand, and when it is due.
pub(super) struct Pulse {
    every: Duration,
    sign: Sign,
    scanner: Scanner,
    chunks: Chunks,
    last: Option<Instant>,
    /// Since when the source had been silent when a comment did not go out whole.
    silent_since: Option<Instant>,
}

enum Chunks {
    /// There are none.
    No,
    /// They are made here, each of them whole.
    Made,
    /// They pass as they came.
    Passed(Content),
}

impl Sign {
    /// The bytes of it, as a chunk of a chunked body or as they are.
    pub(super) fn bytes(self, as_chunk: bool) -> &'static [u8] {
        match (self, as_chunk) {
            (Self::Comment, false) => b": keep-alive\n\n",
            (Self::Comment, true) => b"e\r\n: keep-alive\n\n\r\n",
            (Self::EmptyLine, false) => b"\n",
            (Self::EmptyLine, true) => b"1\r\n\n\r\n",
        }
    }
}

impl Pulse {
    /// A sign whenever a body has been silent for so long, or so long after the last one.
    pub(super) fn new(every: Duration, sign: Sign, body: &Body, makes_chunks: bool) -> Self {
        let chunks = match makes_chunks {
            true => Chunks::Made,
            false if body.passes_chunks() => Chunks::Passed(Content::default()),
            false => Chunks::No,
        };
        Self { every, sign, scanner: Scanner::default(), chunks, last: None, silent_since: None }
    }

    /// Is shown what of the body has passed next.
    pub(super) fn see(&mut self, passed: &[u8]) {
        let mut scan = |mut content: &[u8]| {
            while let Some(end) = self.scanner.end(content) {
                content = &content[end..];
            }
        };
        match &mut self.chunks {
            Chunks::No | Chunks::Made => scan(passed),
            Chunks::Passed(chunks) => chunks.each(passed, scan),
        }
    }

    /// When the next comment is due in a silence that began then. `None`: none may stand here.
    pub(super) fn due_at(&self, silent_since: Instant) -> Option<Instant> {
        let is_between_chunks = match &self.chunks {
            Chunks::No | Chunks::Made => true,
            Chunks::Passed(chunks) => chunks.is_between_chunks(),
        };
        let since = self.last.map_or(silent_since, |last| last.max(silent_since));
        (is_between_chunks && self.scanner.is_between_events()).then(|| since + self.every)
    }

    /// The comment that is due in a silence that began then, if one is. There is no other until its time has come again,
    /// whether it can be written or not: nothing is queued for who does not read.
    pub(super) fn comment(&mut self, silent_since: Instant, now: Instant) -> Option<&'static [u8]> {
        self.due_at(silent_since).filter(|at| *at <= now)?;
        self.last = Some(now);
        Some(self.sign.bytes(!matches!(self.chunks, Chunks::No)))
    }

    /// The rest of a comment has to wait. Until it is written, nobody knows whether the source, silent since then, still
    /// is.
    pub(super) fn halts(&mut self, silent_since: Instant) {
        self.silent_since = Some(silent_since);
    }

    /// Since when the source has been silent, if that has gone on behind a comment that had to wait.
    pub(super) fn resumes(&mut self, last_arrival: Option<Instant>) -> Option<Instant> {
        self.silent_since.take().filter(|since| last_arrival.is_none_or(|at| at <= *since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Framing, Trailers, encode};

    const EVERY: Duration = Duration::from_secs(15);

    fn pulse(framing: Framing, makes_chunks: bool) -> Pulse {
        Pulse::new(EVERY, Sign::Comment, &Body::new(framing, Trailers::Pass), makes_chunks)
    }

    #[test]
    fn a_comment_stands_where_an_event_and_a_chunk_have_ended() {
        let start = Instant::now();
        let mut pulse = pulse(Framing::Chunked, false);
        assert!(pulse.due_at(start).is_some());
        // Half a size, half an event in a chunk, half of the end of a chunk; then an event in two chunks.
        for (piece, may) in [
            ("1", false),
            ("1\r\n", false),
            ("data: 1\n\ndata: 2\n", false),
            ("\r\n1\r\n\n", false),
            ("\r", false),
            ("\n", true),
            ("7\r\ndata: 3\r\n", false),
            ("2\r\n\n\n\r\n", true),
            ("0\r\n", false),
            ("\r\n", false),
        ] {
            pulse.see(piece.as_bytes());
            assert_eq!(pulse.due_at(start).is_some(), may, "{piece:?}");
        }
    }

    #[test]
    fn it_is_made_a_chunk_where_there_are_chunks() {
        let start = Instant::now();
        for (framing, makes_chunks, is_chunk) in
            [(Framing::Chunked, false, true), (Framing::UntilClose, true, true), (Framing::UntilClose, false, false)]
        {
            let mut pulse = pulse(framing, makes_chunks);
            assert_eq!(pulse.comment(start, start), None);
            assert_eq!(pulse.comment(start, start + EVERY), Some(Sign::Comment.bytes(is_chunk)));
        }
        for sign in [Sign::Comment, Sign::EmptyLine] {
            let mut chunk = Vec::new();
            encode::chunk(sign.bytes(false), &mut chunk);
            assert_eq!(sign.bytes(true), chunk);
        }
    }

    #[test]
    fn silence_is_what_makes_it_due() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = pulse(Framing::UntilClose, false);
        assert!(pulse.comment(start, at(14)).is_none());
        assert!(pulse.comment(start, at(20)).is_some());
        assert!(pulse.comment(start, at(34)).is_none());
        assert_eq!(pulse.due_at(start), Some(at(35)));
        // An event has come in the meantime.
        assert_eq!(pulse.due_at(at(30)), Some(at(45)));
    }

    #[test]
    fn a_silence_goes_on_behind_a_comment_unless_something_has_come() {
        let start = Instant::now();
        let mut pulse = pulse(Framing::UntilClose, false);
        for (last_arrival, expected) in [(None, Some(start)), (Some(start), Some(start)), (Some(start + EVERY), None)] {
            pulse.halts(start);
            assert_eq!(pulse.resumes(last_arrival), expected);
            assert_eq!(pulse.resumes(last_arrival), None);
        }
    }
}
