//! What is written as the bytes of an HTTP/1.1 body, as frames of a stream.

use std::io;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use bytes::Bytes;
use http::HeaderMap;

use super::{FRAME, failure, head, unfit};
use crate::h1::{Body, Framing, Step};

/// The half of a stream that goes out.
pub(super) struct Outgoing {
    send: SendStream<Bytes>,
    body: Body,
    /// How many of the next bytes are known to be content.
    content: usize,
    /// Bytes of which nothing can be said before more come: a line of trailers that is not whole.
    held: Vec<u8>,
    trailers: HeaderMap,
    has_ended: bool,
}

impl Outgoing {
    /// A body of this framing. With [`Framing::UntilClose`] what is written are no message's bytes.
    pub(super) fn new(send: SendStream<Bytes>, framing: Framing) -> Self {
        let body = Body::unframed(framing);
        Self { send, body, content: 0, held: Vec::new(), trailers: HeaderMap::new(), has_ended: false }
    }

    /// Whether the last byte, or what stands for it, is on its way.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes as many of the bytes as the other side has room for.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.held.is_empty() || (self.content == 0 && self.body.is_in_trailers()) {
            return Poll::Ready(self.take_trailers(bytes));
        }
        if self.content == 0 {
            match self.body.step(bytes).map_err(|_| unfit("the framing of the body"))? {
                Step::Pass(length) => self.content = length,
                Step::Skip(length) => {
                    self.end_if_done()?;
                    return Poll::Ready(Ok(length));
                }
                Step::Starved => return Poll::Ready(Ok(0)),
                Step::Done => return Poll::Ready(Err(unfit("bytes behind the body"))),
            }
        }
        let wanted = self.content.min(FRAME as usize);
        self.send.reserve_capacity(wanted);
        let room = match ready!(self.send.poll_capacity(cx)) {
            Some(room) => room.map_err(failure)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let length = room.min(wanted);
        self.content -= length;
        let is_last = self.content == 0 && self.body.is_done();
        self.send.send_data(Bytes::copy_from_slice(&bytes[..length]), is_last).map_err(failure)?;
        self.has_ended |= is_last;
        Poll::Ready(Ok(length))
    }

    /// Ends the stream where what is written is no message, and has no end of its own.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.send.send_data(Bytes::new(), true).map_err(failure)?;
        }
        Ok(())
    }

    /// Breaks the stream off.
    pub(super) fn reset(&mut self, reason: Reason) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.send.send_reset(reason);
        }
    }

    /// Ready when the other side has broken the stream off.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.send.poll_reset(cx).map(reset_error)
    }

    fn take_trailers(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = &held[..];
        loop {
            let in_trailers = self.body.is_in_trailers();
            match self.body.step(rest).map_err(|_| unfit("the trailers of the body"))? {
                Step::Pass(length) if in_trailers => {
                    head::trailers_from_h1(&rest[..length], &mut self.trailers)?;
                    rest = &rest[length..];
                }
                Step::Skip(length) => rest = &rest[length..],
                Step::Starved => break,
                Step::Done if rest.is_empty() => break,
                Step::Pass(_) | Step::Done => return Err(unfit("bytes behind the body")),
            }
        }
        self.held = rest.to_vec();
        self.end_if_done()?;
        Ok(bytes.len())
    }

    fn end_if_done(&mut self) -> io::Result<()> {
        if !self.body.is_done() || std::mem::replace(&mut self.has_ended, true) {
            return Ok(());
        }
        match std::mem::take(&mut self.trailers) {
            none if none.is_empty() => self.send.send_data(Bytes::new(), true).map_err(failure),
            trailers => self.send.send_trailers(trailers).map_err(failure),
        }
    }
}

/// What was learned of the other side's breaking off.
pub(super) fn reset_error(reset: Result<Reason, ::h2::Error>) -> io::Error {
    match reset {
        Ok(reason) => io::Error::new(io::ErrorKind::ConnectionReset, format!("reset: {reason}")),
        Err(error) => failure(error),
    }
}
