//! Large bodies, past the program: while much of a body comes at once and all of what comes next belongs to it, nobody
//! here needs to see the bytes.

use std::io;
use std::task::{Context, Poll, ready};

use super::{Broken, Flow, Side};
use crate::deadline::Now;
use crate::wire::{BUFFER_SIZE, Wire};

/// From how much in one read on a body comes fast enough for it, in bytes. A few events or a piece of an answer that is
/// being written are less, and are as cheap to read.
const MUCH: usize = BUFFER_SIZE / 2;
/// How much of the body has to follow for certain, in bytes.
const TO_COME: u64 = BUFFER_SIZE as u64;

impl Flow {
    /// Notes how much came at once.
    pub(super) fn came(&mut self, length: usize) {
        self.is_fast = length >= MUCH;
    }

    /// Whether what comes next can go past the program: nobody looks at it, keeps it, or puts anything around it.
    pub(super) fn can_pass_by(&self, source: &Wire, sink: &Wire) -> bool {
        self.is_fast
            && self.streamed
            && self.collects == 0
            && !self.makes_chunks
            && self.aside.is_none()
            && self.max_payload.is_none()
            && source.input.is_empty()
            && self.body.run() >= TO_COME
            && source.can_pass_by(sink)
    }

    /// Takes what comes next past the program. Gives whether that could be done.
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        source: &mut Wire,
    ) -> Poll<Result<bool, Broken>> {
        let taken = ready!(source.poll_take(cx, self.body.run())).map_err(Broken::Source)?;
        let Some(conduit) = taken else {
            self.is_fast = false;
            return Poll::Ready(Ok(false));
        };
        let length = conduit.held();
        if length == 0 {
            if !self.body.may_end_here() {
                return Poll::Ready(Err(Broken::Source(io::ErrorKind::UnexpectedEof.into())));
            }
            self.end();
        } else {
            self.came(length);
            self.body.pass_unseen(length as u64);
            self.passing_by = Some(conduit);
            self.arrival(now.get());
        }
        Poll::Ready(Ok(true))
    }

    /// Sends on what has been taken past the program.
    pub(super) fn poll_give(&mut self, cx: &mut Context<'_>, sink: &mut Wire) -> Poll<Result<(), Broken>> {
        debug_assert_eq!(self.waits_for, Side::Sink);
        while let Some(conduit) = &mut self.passing_by {
            ready!(sink.poll_give(cx, conduit)).map_err(Broken::Sink)?;
            if conduit.held() == 0 {
                self.passing_by = None;
            }
            self.progress();
        }
        Poll::Ready(Ok(()))
    }
}
