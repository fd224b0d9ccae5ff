//! Upstreams that speak HTTP/2 and mean no good, or know no better.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Upstream;
use crate::support::frames::*;

/// What an upstream does, once, in the place of an answer or before any request.
pub(super) type Deed = dyn Fn(&mut Peer, u32) -> io::Result<()> + Send + Sync;

/// An upstream that does one thing wrong, and then answers whatever it is asked.
pub(super) struct BadUpstream {
    upstream: Upstream,
    asked: Arc<AtomicUsize>,
}

/// When it goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// On the first connection, in the place of the greeting.
    AtOnce,
    /// On the first request.
    Asked,
}

/// One connection of such an upstream.
pub(super) struct Peer {
    pub(super) frames: Frames,
    asked: Arc<AtomicUsize>,
}

impl BadUpstream {
    pub(super) fn doing(when: When, does: Arc<Deed>) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, connections) = (Arc::clone(&asked), AtomicUsize::new(0));
        let upstream = Upstream::playing(move |script| {
            let mut frames = Frames::on(script.stream().try_clone()?);
            let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
            frames.take_preface()?;
            let mut peer = Peer { frames, asked: Arc::clone(&count) };
            if is_first && when == When::AtOnce {
                does(&mut peer, 0)?;
            } else {
                peer.greet();
            }
            loop {
                let (stream, number) = peer.request()?;
                if when == When::Asked && number == 0 {
                    does(&mut peer, stream)?;
                } else {
                    peer.answer(stream, "200", &[]).content(stream, END_STREAM, "ok");
                }
            }
        });
        Self { upstream, asked }
    }

    pub(super) fn url(&self) -> String {
        self.upstream.url()
    }

    /// How many requests it has got.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Begins as it should.
    pub(super) fn greet(&mut self) -> &mut Self {
        self.frames.frame(SETTINGS, 0, 0, settings(&[(HEADER_TABLE_SIZE, 0)]));
        self
    }

    /// The stream of the next request, and how many came before it on any connection.
    pub(super) fn request(&mut self) -> io::Result<(u32, usize)> {
        let head = self.frames.until(|frame| frame.kind == HEADERS)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((head.stream, self.asked.fetch_add(1, Ordering::SeqCst)))
    }

    /// The head of an answer, with something to come behind it.
    pub(super) fn answer(&mut self, stream: u32, status: &str, fields: &[(&str, &str)]) -> &mut Self {
        self.head(stream, 0, [&[(":status", status)], fields].concat().as_slice())
    }

    /// A head of exactly these fields.
    pub(super) fn head(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> &mut Self {
        self.frame(HEADERS, END_HEADERS | flags, stream, block(fields))
    }

    /// Content of an answer.
    pub(super) fn content(&mut self, stream: u32, flags: u8, content: impl AsRef<[u8]>) -> &mut Self {
        self.frame(DATA, flags, stream, content)
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> &mut Self {
        self.frames.frame(kind, flags, stream, payload);
        self
    }

    /// A number as the payload of a frame: an error, an increment of a window.
    pub(super) fn number(&mut self, kind: u8, stream: u32, number: u32) -> &mut Self {
        self.frame(kind, 0, stream, number.to_be_bytes())
    }

    /// A farewell, with the last stream that will be answered.
    pub(super) fn goodbye(&mut self, last: u32, code: u32) -> &mut Self {
        self.frame(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// Says what is said, and leaves when it has been heard.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        self.frames.flush()?;
        self.frames.stream().shutdown(Shutdown::Write)?;
        self.frames.keep_silent().until(|_| false)?;
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
