//! A stream of events that begins before its upstream has answered.
//!
//! Clients, and more so those on the way to them, give up on an answer that does not begin. Where the walk has prepared
//! for that, the relay says by itself `200` and the head of a stream once nothing has been said for so long, whatever
//! is waited for: a connection, the head of the answer, the next attempt. From then on something is said in every
//! further silence, and what the upstream says in its own head is for the proxy alone.
//!
//! Nothing is said while the client is still expected to send: a `100 Continue` has to come before, and whoever speaks is
//! not waiting. None of it is a sign of life of the upstream: its limits know nothing of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::pulse::Sign;
use super::{Break, Ends, Outbox, Relay, Side};
use crate::deadline::{Now, earlier};

/// Writes the head with which the stream begins, when it does.
pub type Opening = Box<dyn FnOnce(&mut Vec<u8>)>;

/// The beginning of a stream that may have to be made here.
pub struct Early {
    every: Duration,
    sign: Sign,
    ends: Ends,
    /// Whether the client is known to want a stream.
    is_asked_for: Cell<bool>,
    turn: RefCell<Turn>,
}

struct Turn {
    /// `None`: the stream has begun.
    opening: Option<Opening>,
    /// What is to be said before anything else.
    out: Outbox,
    /// Since when nothing has been said.
    since: Instant,
    /// The client was still expected to send.
    was_receiving: bool,
}

impl Early {
    /// A stream that begins when nothing has been said for so long since then, if it is asked for: see [`Early::ask`]. How
    /// it ends says whether it consists of chunks.
    #[must_use]
    pub fn new(every: Duration, sign: Sign, ends: Ends, since: Instant, opening: Opening) -> Self {
        let turn = Turn { opening: Some(opening), out: Outbox::default(), since, was_receiving: false };
        Self { every, sign, ends, is_asked_for: Cell::new(false), turn: RefCell::new(turn) }
    }

    /// The client asks for a stream.
    pub fn ask(&self) {
        self.is_asked_for.set(true);
    }

    /// Whether it does.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.is_asked_for.get()
    }

    /// Whether the stream has begun: its head is written, or is about to be.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.turn.borrow().opening.is_none()
    }

    /// After how long a silence something is said.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// What of that has not been written yet. Whoever takes it writes it before anything else.
    #[must_use]
    pub fn take_unwritten(&self) -> Vec<u8> {
        self.turn.borrow_mut().out.take_unwritten()
    }
}

impl Relay<'_> {
    /// Lets the answer begin before the upstream's does.
    pub fn begin_early(&mut self, early: Rc<Early>) {
        self.early = Some(early);
    }

    /// Says what is due, and gives when to look again.
    ///
    /// # Errors
    /// [`Break::ClientGone`] and [`Break::ClientStalled`]; what arrives of the request may be broken, or too large.
    pub(super) fn speak_early(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        is_connecting: bool,
        look_again: Option<Instant>,
    ) -> Result<Option<Instant>, Break> {
        let Some(early) = self.early.clone() else { return Ok(look_again) };
        let is_receiving = self.is_receiving(is_connecting)?;
        let turn = &mut *early.turn.borrow_mut();
        if std::mem::replace(&mut turn.was_receiving, is_receiving) || is_receiving {
            turn.since = now.get();
        }
        let may_speak = early.is_asked_for() && !is_receiving;
        if may_speak && turn.out.is_empty() && turn.since + early.every <= now.get() {
            turn.since = now.get();
            self.say(&early, turn);
        }
        if !turn.out.is_empty() {
            match turn.out.poll_write(cx, self.client) {
                Poll::Ready(Ok(())) => {
                    turn.out.forget();
                    let _ = self.client.poll_flush(cx).map_err(|_| Break::ClientGone)?;
                }
                Poll::Ready(Err(_)) => return Err(Break::ClientGone),
                Poll::Pending => {
                    // Nothing is queued for who does not read, and nobody waits for him for ever.
                    let stalled_at = self.client_limits.write_timeout.map(|limit| turn.since + limit);
                    if stalled_at.is_some_and(|at| at <= now.get()) {
                        return Err(Break::ClientStalled);
                    }
                    return Ok(earlier(look_again, stalled_at));
                }
            }
        }
        Ok(earlier(look_again, may_speak.then_some(turn.since + early.every)))
    }

    fn say(&mut self, early: &Early, turn: &mut Turn) {
        if let Some(opening) = turn.opening.take() {
            // Interim answers stand before the head, and none can come after it.
            turn.out = std::mem::take(&mut self.interim);
            (self.passes_interim, self.continue_is_due) = (false, false);
            self.client.set_end_would_lie(early.ends == Ends::WithConnection);
            turn.out.make(opening);
        }
        turn.out.extend(early.sign.bytes(early.ends == Ends::Itself));
    }

    /// Whether the client is still expected to send something of its request.
    fn is_receiving(&mut self, is_connecting: bool) -> Result<bool, Break> {
        if is_connecting && self.request.is_untouched() {
            // Nobody else takes it in meanwhile.
            self.preload()?;
        }
        if self.request.is_read() || self.request_abandoned {
            return Ok(false);
        }
        // Of a long request only so much is taken in before there is a connection: then the client is the one who waits.
        Ok(if is_connecting { self.reads_ahead() } else { self.request.waits_for() == Side::Source })
    }
}
