//! One direction of an exchange: bytes from one wire to the other, each written as soon as it is there.

mod bulk;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::aside::Aside;
use super::outbox::Outbox;
use super::pulse::{Pulse, Sign};
use super::tap::Tap;
use crate::deadline::Now;
use crate::h1::{Body, Step, Violation, encode};
use crate::wire::{BUFFER_SIZE, Conduit, Wire};

/// One direction. Nothing more is read before all that was read has been written: whoever reads slowly slows the
/// other side down, and at most one buffer is held.
pub struct Flow {
    /// Bytes of ours that go first: a head, or chunks made here.
    out: Outbox,
    body: Body,
    makes_chunks: bool,
    max_payload: Option<u64>,
    aside: Option<Box<Aside>>,
    /// What has been written of `out` is kept, so that it can be written again.
    keeps_written: bool,
    /// Up to how many bytes of ours and of the body go through `out`, where what is written can be kept. Zero: the body
    /// goes past it.
    collects: usize,
    /// How many of the first bytes of the source's input are checked and wait to be written.
    passing: usize,
    /// What is on its way past the program, behind all that is not.
    passing_by: Option<Conduit>,
    /// Much came at once when something came last.
    is_fast: bool,
    /// The body is over.
    ended: bool,
    /// All of it has left, also what a TLS session had kept for a while.
    finished: bool,
    /// Whether anything went out that is not in `out` any more.
    streamed: bool,
    waits_for: Side,
    /// Since when nothing has moved; set when somebody first asks, since most flows end before anybody does.
    waits_since: Option<Instant>,
    last_arrival: Option<Instant>,
    longest_silence: Duration,
}

/// The two ends of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where bytes come from.
    Source,
    /// Where they go.
    Sink,
}

/// Why a flow broke off.
#[derive(Debug)]
pub enum Broken {
    /// The source ended inside the body, or failed.
    Source(io::Error),
    /// The sink takes no more.
    Sink(io::Error),
    /// The framing is broken.
    Framing(Violation),
    /// The body is larger than its limit.
    TooLarge,
}

impl Flow {
    /// A flow of this body behind these bytes of ours.
    #[must_use]
    pub fn new(out: Outbox, body: Body) -> Self {
        Self {
            out,
            body,
            makes_chunks: false,
            max_payload: None,
            aside: None,
            keeps_written: false,
            collects: 0,
            passing: 0,
            passing_by: None,
            is_fast: false,
            ended: false,
            finished: false,
            streamed: false,
            waits_for: Side::Source,
            waits_since: None,
            last_arrival: None,
            longest_silence: Duration::ZERO,
        }
    }

    /// Puts the body into chunks of our own: its end is then visible to the recipient.
    #[must_use]
    pub fn making_chunks(mut self, makes_chunks: bool) -> Self {
        self.makes_chunks = makes_chunks;
        self
    }

    /// Breaks the flow off when its content exceeds this many bytes.
    #[must_use]
    pub fn with_limit(mut self, max_payload: Option<u64>) -> Self {
        self.max_payload = max_payload;
        self
    }

    /// Puts bytes of ours in front of the body, in the place of so many that stood there before.
    pub fn put_first(&mut self, bytes: Vec<u8>, replaces: usize) {
        self.out.replace_first(replaces, bytes);
    }

    /// Keeps what is written, ours and the body's, until [`Flow::keep_written`] says otherwise or there are more bytes
    /// than so many.
    pub fn collect(&mut self, most: usize) {
        (self.collects, self.keeps_written) = (most, true);
    }

    /// Lets somebody read along, beside whoever does already.
    pub fn tap(&mut self, tap: Rc<dyn Tap>) {
        self.aside.get_or_insert_default().tap(tap);
    }

    /// Lets a sign of ours go out whenever these events have been silent for so long.
    #[must_use]
    pub fn with_signs(mut self, every: Option<(Duration, Sign)>) -> Self {
        if let Some((every, sign)) = every {
            let pulse = Pulse::new(every, sign, &self.body, self.makes_chunks);
            self.aside.get_or_insert_default().pulse = Some(pulse);
        }
        self
    }

    /// Puts the bytes of the body that have already arrived behind ours, so that one write takes both.
    ///
    /// # Errors
    /// [`Broken::Framing`] and [`Broken::TooLarge`].
    pub fn preload(&mut self, source: &mut Wire) -> Result<(), Broken> {
        while self.out.len() < BUFFER_SIZE {
            match self.step(source)? {
                Step::Pass(length) => {
                    let bytes = &source.input.filled()[..length];
                    self.out.extend(bytes);
                    self.show(bytes);
                    source.input.consume(length);
                    self.passing = 0;
                }
                Step::Skip(_) => {}
                Step::Starved | Step::Done => break,
            }
        }
        Ok(())
    }

    /// Leaves the trailer section out from here on.
    pub fn drop_trailers(&mut self) {
        self.body.drop_trailers();
    }

    /// Moves what can be moved. Ready when the body is over and all of it is written.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        source: &mut Wire,
        sink: &mut Wire,
    ) -> Poll<Result<(), Broken>> {
        loop {
            self.waits_for = Side::Sink;
            if !self.out.is_empty() {
                ready!(self.out.poll_write(cx, sink)).map_err(Broken::Sink)?;
                self.forget_written();
                self.progress();
                continue;
            }
            if self.passing > 0 {
                let bytes = &source.input.filled()[..self.passing];
                let length = ready!(sink.poll_write(cx, bytes)).map_err(Broken::Sink)?;
                self.show(&bytes[..length]);
                source.input.consume(length);
                self.passing -= length;
                self.streamed = true;
                self.progress();
                continue;
            }
            if self.passing_by.is_some() {
                ready!(self.poll_give(cx, sink))?;
                continue;
            }
            if self.ended {
                ready!(sink.poll_flush(cx)).map_err(Broken::Sink)?;
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            match self.step(source)? {
                Step::Pass(_) | Step::Skip(_) => {}
                Step::Done => self.end(),
                Step::Starved => {
                    // What a TLS session still holds goes out while we wait; that it waits too holds up nothing.
                    let _ = sink.poll_flush(cx).map_err(Broken::Sink)?;
                    self.waits_for = Side::Source;
                    if self.can_pass_by(source, sink) && ready!(self.poll_take(cx, now, source))? {
                        continue;
                    }
                    let Poll::Ready(filled) = source.poll_fill(cx) else {
                        if self.speak(cx, now, sink).map_err(Broken::Sink)? {
                            continue;
                        }
                        return Poll::Pending;
                    };
                    match filled {
                        Ok(0) if self.body.may_end_here() => self.end(),
                        Ok(0) => return Poll::Ready(Err(Broken::Source(io::ErrorKind::UnexpectedEof.into()))),
                        Ok(length) => {
                            self.came(length);
                            self.arrival(now.get());
                        }
                        Err(error) => return Poll::Ready(Err(Broken::Source(error))),
                    }
                }
            }
        }
    }

    /// Moves on without a sink: what comes is shown to whoever reads along, and thrown away.
    pub(super) fn poll_unheard(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        source: &mut Wire,
    ) -> Poll<Result<(), Broken>> {
        loop {
            self.out.forget();
            if self.passing > 0 {
                self.show(&source.input.filled()[..self.passing]);
                source.input.consume(std::mem::take(&mut self.passing));
                self.progress();
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match self.step(source)? {
                Step::Pass(_) | Step::Skip(_) => {}
                Step::Done => self.ended = true,
                Step::Starved => match ready!(source.poll_fill(cx)) {
                    Ok(0) if self.body.may_end_here() => self.ended = true,
                    Ok(0) => return Poll::Ready(Err(Broken::Source(io::ErrorKind::UnexpectedEof.into()))),
                    Ok(_) => self.arrival(now.get()),
                    Err(error) => return Poll::Ready(Err(Broken::Source(error))),
                },
            }
        }
    }

    /// Whether all of the body is written, and nothing of it waits inside the sink.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the body is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended || self.is_read()
    }

    /// Whether all of the body has been taken out of the source's input.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.body.is_done() && self.passing == 0 && self.passing_by.is_none()
    }

    /// Whether all that ever went out can go out again, and did so as one piece.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        !self.streamed && self.is_read()
    }

    /// How many bytes wait that are in no input any more.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.out.len() + self.passing_by.as_ref().map_or(0, Conduit::held)
    }

    /// Whether all that ever went out is still at hand. The rest of the body may be with its source.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.streamed
    }

    /// Whether nothing at all has gone out.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.streamed && self.out.is_untouched()
    }

    /// Begins again with the first byte, to another sink. Only for what [`Flow::is_repeatable`] or
    /// [`Flow::is_untouched`] allows.
    pub fn rewind(&mut self) {
        self.out.rewind();
        (self.ended, self.finished) = (false, false);
        self.progress();
    }

    /// Says whether what is written of our own bytes is kept for a repetition. Otherwise its storage goes back as
    /// soon as all of it has been written.
    pub fn keep_written(&mut self, keeps_written: bool) {
        self.keeps_written = keeps_written;
        if !keeps_written {
            self.collects = 0;
        }
        self.forget_written();
    }

    /// For which side the flow waits.
    #[must_use]
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Since when nothing has moved.
    pub fn waits_since(&mut self, now: &mut Now) -> Instant {
        *self.waits_since.get_or_insert_with(|| now.get())
    }

    /// When something of ours has to be said, if the source stays silent.
    pub fn speaks_at(&mut self, now: &mut Now) -> Option<Instant> {
        let pulse = self.aside.as_ref()?.pulse.as_ref().filter(|_| self.waits_for == Side::Source)?;
        let since = *self.waits_since.get_or_insert_with(|| now.get());
        pulse.due_at(since)
    }

    /// The longest time between two arrivals.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        self.longest_silence
    }

    /// How much content has gone by.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.body.payload()
    }

    /// Takes the next run of the body. What is to be passed is left in the input and owed; the rest is gone.
    #[inline]
    fn step(&mut self, source: &mut Wire) -> Result<Step, Broken> {
        match self.body.step(source.input.filled()).map_err(Broken::Framing)? {
            step @ (Step::Pass(_) | Step::Skip(_)) => self.take(step, source),
            step @ (Step::Starved | Step::Done) => Ok(step),
        }
    }

    fn take(&mut self, step: Step, source: &mut Wire) -> Result<Step, Broken> {
        if self.max_payload.is_some_and(|max| self.body.payload() > max) {
            return Err(Broken::TooLarge);
        }
        match step {
            Step::Pass(length) if self.makes_chunks => {
                let bytes = &source.input.filled()[..length];
                self.out.make(|out| encode::chunk(bytes, out));
                self.show(bytes);
                source.input.consume(length);
                self.streamed = true;
                return Ok(Step::Skip(length));
            }
            Step::Pass(length) if self.collects > 0 && self.out.held() + length <= self.collects => {
                let bytes = &source.input.filled()[..length];
                self.out.extend(bytes);
                self.show(bytes);
                source.input.consume(length);
                return Ok(Step::Skip(length));
            }
            Step::Pass(length) => {
                self.passing = length;
                self.stop_collecting();
            }
            Step::Skip(length) => source.input.consume(length),
            Step::Starved | Step::Done => {}
        }
        Ok(step)
    }

    /// There is more than may be kept.
    fn stop_collecting(&mut self) {
        if self.collects > 0 {
            self.keep_written(false);
        }
    }

    #[inline]
    fn show(&mut self, passed: &[u8]) {
        if let Some(aside) = &mut self.aside {
            aside.see(passed);
        }
    }

    /// Says what is due in a silence of the source, which goes on as if nothing had been said. Gives whether a part of it
    /// waits for the sink.
    fn speak(&mut self, cx: &mut Context<'_>, now: &mut Now, sink: &mut Wire) -> io::Result<bool> {
        let Some(pulse) = self.aside.as_mut().and_then(|aside| aside.pulse.as_mut()) else { return Ok(false) };
        self.waits_since = pulse.resumes(self.last_arrival).or(self.waits_since);
        let since = *self.waits_since.get_or_insert_with(|| now.get());
        let Some(comment) = pulse.comment(since, now.get()) else { return Ok(false) };
        let Poll::Ready(written) = sink.poll_write(cx, comment)? else { return Ok(false) };
        let rest = &comment[written..];
        if rest.is_empty() {
            let _ = sink.poll_flush(cx)?;
            return Ok(false);
        }
        pulse.halts(since);
        self.out.make(|out| out.extend_from_slice(rest));
        self.waits_since = Some(now.get());
        Ok(true)
    }

    /// The body is over. Chunks of ours have an end of ours.
    fn end(&mut self) {
        if self.makes_chunks {
            self.out.make(|out| out.extend_from_slice(encode::LAST_CHUNK));
        }
        self.ended = true;
    }

    fn forget_written(&mut self) {
        if !self.keeps_written && self.out.is_empty() && !self.out.is_untouched() {
            self.streamed = true;
            self.out.forget();
        }
    }

    fn progress(&mut self) {
        self.waits_since = None;
    }

    fn arrival(&mut self, now: Instant) {
        // Before the first arrival, the silence began when the head had gone out and the wait began.
        let last = self.last_arrival.replace(now).or(self.waits_since).unwrap_or(now);
        self.longest_silence = self.longest_silence.max(now - last);
        self.waits_since = Some(now);
    }
}
