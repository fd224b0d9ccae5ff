//! What arrives on a stream, as the bytes of an HTTP/1.1 message.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use ::h2::RecvStream;
use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::{failure, head};
use crate::h1::{Framing, encode};

/// The half of a stream that arrives.
pub(super) struct Incoming {
    recv: Option<RecvStream>,
    framing: Framing,
    /// Bytes of the HTTP/1.1 form that wait to be read: at most one frame of content with what frames it.
    waiting: VecDeque<Bytes>,
}

impl Incoming {
    /// Bytes that wait to be read, with no body behind them yet.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let waiting = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([Bytes::from(bytes)]) };
        Self { recv: None, framing: Framing::None, waiting }
    }

    /// Adds bytes behind those that wait.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.waiting.push_back(bytes.into());
    }

    /// Adds a body behind those that wait. [`Framing::UntilClose`]: its bytes are no message, and its end is the end.
    pub(super) fn begin(&mut self, recv: RecvStream, framing: Framing) {
        self.framing = framing;
        self.recv = Some(recv);
        if self.framing == Framing::None {
            self.recv = None;
        }
    }

    /// Whether bytes wait.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the body has arrived as a whole, read or not.
    pub(super) fn is_complete(&self) -> bool {
        self.recv.is_none()
    }

    /// Reads what waits, then what arrives. Ready without a byte: there is nothing more to come.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(first) = self.waiting.front_mut() {
                let length = first.len().min(room.remaining());
                room.put_slice(&first[..length]);
                first.advance(length);
                if !first.is_empty() {
                    break;
                }
                self.waiting.pop_front();
            }
            if !self.waiting.is_empty() || room.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                // What is read is told first. An error stays, and is met again.
                _ if !room.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Waits for the end, however it comes. What comes before it is of no use to anybody.
    pub(super) fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waiting.clear();
        while let Ok(true) = ready!(self.poll_more(cx)) {
            self.waiting.clear();
        }
        Poll::Ready(())
    }

    /// Lets what arrives wait to be read. Ready with `false`: there is nothing more to come.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(recv) = &mut self.recv else { return Poll::Ready(Ok(false)) };
        match ready!(recv.poll_data(cx)).transpose().map_err(failure)? {
            Some(data) => self.content(data)?,
            None => ready!(self.poll_end(cx))?,
        }
        Poll::Ready(Ok(true))
    }

    fn content(&mut self, data: Bytes) -> io::Result<()> {
        if let Some(recv) = &mut self.recv {
            recv.flow_control().release_capacity(data.len()).map_err(failure)?;
        }
        if data.is_empty() {
            return Ok(());
        }
        if self.framing == Framing::Chunked {
            let mut size = Vec::with_capacity(20);
            encode::chunk_size(data.len(), &mut size);
            self.waiting.extend([size.into(), data, Bytes::from_static(b"\r\n")]);
        } else {
            self.waiting.push_back(data);
        }
        Ok(())
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(recv) = &mut self.recv else { return Poll::Ready(Ok(())) };
        let trailers = ready!(recv.poll_trailers(cx)).map_err(failure)?;
        if self.framing == Framing::Chunked {
            self.waiting.push_back(head::trailers_to_h1(trailers.as_ref()).into());
        }
        self.recv = None;
        Poll::Ready(Ok(()))
    }
}
