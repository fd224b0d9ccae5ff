//! A wire under frames, and what is seen on it that the frames do not say: heads that do not end, a peer that does not
//! read, one that talks without saying anything.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::allowance::Allowance;
use super::passing::Passing;
use crate::wire::Wire;

/// What frames without content may cost, at once and in a second, in bytes; every byte that is sent pays for one more.
/// That are some 2,500 frames at once to which nothing is said but what has to be. A request pays for its answer, an
/// answer for its request, and each DATA frame for the two updates and the PING that a very talkative recipient has to
/// say of it.
const CHATTER_AT_ONCE: u32 = 10_000;
const CHATTER_A_SECOND: u32 = 1_000;
/// How many bytes are read at a time before others have their turn: the tasks of the streams, and other connections.
const TURN: usize = 64 * 1024;

/// What is seen on a wire.
pub(super) struct Watch {
    arriving: RefCell<Passing>,
    chatter: Allowance,
    /// Since when something has been begun that is not whole.
    unfinished_since: Cell<Option<Instant>>,
    /// Since when nothing could be written.
    stalled_since: Cell<Option<Instant>>,
    /// How many bytes have arrived.
    heard: Cell<u64>,
}

/// A wire that is watched.
pub(super) struct Watched {
    wire: Wire,
    watch: Rc<Watch>,
    /// How much has been read since the last pause.
    in_turn: usize,
}

impl Watch {
    /// Watches a wire on which a preface of this length comes before the first frame.
    pub(super) fn over(wire: Wire, preface: usize) -> (Watched, Rc<Self>) {
        let watch = Rc::new(Self {
            arriving: RefCell::new(Passing::behind(preface)),
            chatter: Allowance::new(CHATTER_AT_ONCE, CHATTER_A_SECOND),
            unfinished_since: Cell::new(Some(Instant::now())),
            stalled_since: Cell::new(None),
            heard: Cell::new(0),
        });
        (Watched { wire, watch: Rc::clone(&watch), in_turn: 0 }, watch)
    }

    /// Since when the peer owes the rest of what it has begun: a message's head, or the SETTINGS with which it has to
    /// begin. Its next frames can only follow that.
    pub(super) fn unfinished_since(&self) -> Option<Instant> {
        self.unfinished_since.get()
    }

    /// Since when the peer has read nothing, though there was something to read.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since.get()
    }

    /// Whether the peer has sent the SETTINGS with which it has to begin.
    pub(super) fn has_settings(&self) -> bool {
        self.arriving.borrow().has_settings()
    }

    /// How many bytes have arrived so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// Whether the peer has sent more frames without content than anybody has a use for.
    pub(super) fn is_flooded(&self) -> bool {
        self.chatter.is_exceeded()
    }

    fn arrive(&self, bytes: &[u8]) {
        self.heard.set(self.heard.get() + bytes.len() as u64);
        let mut arriving = self.arriving.borrow_mut();
        let heads = arriving.message_heads();
        match arriving.pass(bytes) {
            0 => {}
            cost => self.chatter.take(cost),
        }
        if !arriving.has_settings() {
            return;
        }
        if !arriving.is_in_message_head() {
            self.unfinished_since.set(None);
        } else if self.unfinished_since.get().is_none() || arriving.message_heads() > heads {
            self.unfinished_since.set(Some(Instant::now()));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.in_turn >= TURN {
            self.in_turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = room.filled().len();
        let polled = Pin::new(&mut self.wire).poll_read(cx, room);
        if polled.is_pending() {
            self.in_turn = 0;
        }
        ready!(polled)?;
        let arrived = &room.filled()[before..];
        self.in_turn += arrived.len();
        self.watch.arrive(arrived);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write(cx, bytes);
        let stalled_since = &self.watch.stalled_since;
        match &polled {
            Poll::Pending if stalled_since.get().is_none() => stalled_since.set(Some(Instant::now())),
            Poll::Pending => {}
            Poll::Ready(written) => {
                stalled_since.set(None);
                let written = written.as_ref().map_or(0, |written| u32::try_from(*written).unwrap_or(u32::MAX));
                self.watch.chatter.give(written);
            }
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::advance;

    use super::*;
    use crate::wire::Stream;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    fn watched(room: usize) -> (Watched, Rc<Watch>, tokio::io::DuplexStream) {
        let (ours, theirs) = duplex(room);
        let (watched, watch) = Watch::over(Wire::new(Stream::Layered(Box::new(ours))), 0);
        (watched, watch, theirs)
    }

    #[tokio::test]
    async fn others_have_their_turn_though_more_has_arrived() {
        let (mut watched, _, mut peer) = watched(4 * TURN);
        peer.write_all(&vec![0; 3 * TURN]).await.expect("room");
        let mut read = |most: usize| {
            let mut room = vec![0; most];
            let mut room = ReadBuf::new(&mut room);
            let waker = std::task::Waker::noop();
            let polled = Pin::new(&mut watched).poll_read(&mut Context::from_waker(waker), &mut room);
            polled.is_ready().then(|| room.filled().len())
        };
        for _ in 0..3 {
            assert_eq!([read(TURN / 2), read(TURN / 2), read(1)], [Some(TURN / 2), Some(TURN / 2), None]);
        }
        assert_eq!(read(1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_begun_is_owed_from_its_own_beginning() {
        let (mut watched, watch, mut peer) = watched(1 << 16);
        let begun = Instant::now();
        let mut hear = async |bytes: &[u8]| {
            peer.write_all(bytes).await.expect("room");
            watched.read_exact(&mut vec![0; bytes.len()]).await.expect("bytes");
            advance(Duration::from_secs(1)).await;
            watch.unfinished_since().map(|since| since - begun).map(|after| after.as_secs())
        };
        let half = &[0, 0, 5, 1, 4, 0, 0, 0, 1, 9, 9][..];
        assert_eq!(hear(&SETTINGS[..4]).await, Some(0));
        assert_eq!(hear(&SETTINGS[4..]).await, None);
        assert_eq!(hear(half).await, Some(2));
        assert_eq!(hear(&[9]).await, Some(2));
        // The rest of one head, and the beginning of another.
        assert_eq!(hear(&[&[9, 9], half].concat()).await, Some(4));
        assert_eq!(hear(&[9, 9, 9]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_again_has_not_stalled() {
        let (mut watched, watch, mut peer) = watched(10);
        watched.write_all(&[0; 10]).await.expect("room");
        assert_eq!(watch.stalled_since(), None);
        let stalled_at = Instant::now();
        for _ in 0..3 {
            let written = tokio::time::timeout(Duration::from_secs(1), watched.write_all(&[0])).await;
            assert!(written.is_err());
            assert_eq!(watch.stalled_since(), Some(stalled_at));
        }
        peer.read_exact(&mut [0; 1]).await.expect("a byte");
        watched.write_all(&[0]).await.expect("room");
        assert_eq!(watch.stalled_since(), None);
    }
}
