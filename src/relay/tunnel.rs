//! After a switch to another protocol: bytes of which nothing is known, both ways.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::flow::{Broken, Flow, Side};
use super::outbox::Outbox;
use super::overdue::{self, Overdue, Wait};
use super::{Break, Relay};
use crate::deadline::{Deadline, Now};
use crate::error::Limit;
use crate::h1::{Body, Framing, Trailers};
use crate::wire::Wire;

/// Two connections that have become one.
///
/// Each direction ends by itself: the end of what one side sends is passed on as just that, and the other side may go
/// on. A client that has said all that it has to say has not left, other than in an exchange, where nobody has reason
/// to say so.
pub struct Tunnel<'a> {
    client: &'a mut Wire,
    upstream: Wire,
    deadline: &'a mut Deadline,
    /// What the client sends.
    up: Pipe,
    /// What the upstream sends, behind the head of its answer.
    down: Pipe,
    /// The upstream takes no more. What it said before that is still passed on.
    refused: Option<io::Error>,
    /// Which direction moves first this time. A turn is limited, and neither may take all of every turn.
    is_up_first: bool,
    idle: Option<Duration>,
    write_timeout: Option<Duration>,
    total_at: Option<Instant>,
}

impl<'a> Relay<'a> {
    /// Makes one connection of two after the head of a 101, which is written by `make`. Whatever has arrived behind
    /// that head, and behind that of the request, goes first.
    pub fn into_tunnel(self, mut upstream: Wire, make: impl FnOnce(&mut Vec<u8>)) -> Tunnel<'a> {
        let Self { client, deadline, mut interim, timeouts, client_limits, total_at, .. } = self;
        interim.make(make);
        let mut down = Pipe::behind(interim);
        // Nothing is wrong with bytes of which nothing is known.
        let _ = down.flow.preload(&mut upstream);
        client.set_end_would_lie(true);
        upstream.set_end_would_lie(true);
        Tunnel {
            client,
            upstream,
            deadline,
            up: Pipe::behind(Outbox::default()),
            down,
            refused: None,
            is_up_first: false,
            idle: timeouts.idle,
            write_timeout: client_limits.write_timeout,
            total_at,
        }
    }
}

impl Tunnel<'_> {
    /// Moves what can be moved. Ready when both sides have said all that they had to say, and heard it of each other.
    ///
    /// # Errors
    /// Whatever breaks it off before that. Then both connections end visibly.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Break>> {
        let now = &mut Now::default();
        self.is_up_first = !self.is_up_first;
        let (up, down) = if self.is_up_first {
            let up = self.poll_up(cx, now)?;
            (up, self.poll_down(cx, now)?)
        } else {
            let down = self.poll_down(cx, now)?;
            (self.poll_up(cx, now)?, down)
        };
        if up.is_ready() && down.is_ready() {
            self.client.set_end_would_lie(false);
            self.upstream.set_end_would_lie(false);
            return Poll::Ready(Ok(()));
        }
        if down.is_ready()
            && let Some(error) = self.refused.take()
        {
            return Poll::Ready(Err(Break::UpstreamClosed(error)));
        }
        let waits = self.waits(now);
        overdue::poll(self.deadline, cx, &waits, None)
    }

    /// How many bytes the client has sent.
    #[must_use]
    pub fn bytes_up(&self) -> u64 {
        self.up.flow.payload()
    }

    /// How many bytes the upstream has sent.
    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        self.down.flow.payload()
    }

    /// The longest time between two arrivals from the upstream.
    #[must_use]
    pub fn longest_silence(&self) -> Duration {
        self.down.flow.longest_silence()
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, now: &mut Now) -> Poll<Result<(), Break>> {
        self.down.poll(cx, now, &mut self.upstream, self.client).map_err(Break::in_answer)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>, now: &mut Now) -> Poll<Result<(), Break>> {
        if self.refused.is_some() {
            return Poll::Pending;
        }
        match ready!(self.up.poll(cx, now, self.client, &mut self.upstream)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Broken::Sink(error)) => {
                self.refused = Some(error);
                // Its last words, and its end, may have come in the meantime.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(Break::ClientGone)),
        }
    }

    /// Until when either side may not read, and until when both may be silent together.
    fn waits(&mut self, now: &mut Now) -> [Wait; 3] {
        let after = |limit: Option<Duration>, since: Option<Instant>| Some(since? + limit?);
        let client_reads = self.down.is_blocked().then(|| self.down.still_since(now));
        let upstream_moves = match client_reads {
            _ if self.up.is_blocked() => Some(self.up.still_since(now)),
            Some(_) => None,
            None => Some(self.up.still_since(now).max(self.down.still_since(now))),
        };
        [
            (self.total_at, Overdue::Upstream(Limit::Total)),
            (after(self.idle, upstream_moves), Overdue::Upstream(Limit::Idle)),
            (after(self.write_timeout, client_reads), Overdue::ClientReads),
        ]
    }
}

/// One direction: all that comes from the source, and then its end.
struct Pipe {
    flow: Flow,
    over_since: Option<Instant>,
}

impl Pipe {
    fn behind(out: Outbox) -> Self {
        Self { flow: Flow::new(out, Body::new(Framing::UntilClose, Trailers::Drop)), over_since: None }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        source: &mut Wire,
        sink: &mut Wire,
    ) -> Poll<Result<(), Broken>> {
        if !self.flow.is_finished() {
            ready!(self.flow.poll(cx, now, source, sink))?;
        }
        if self.over_since.is_none() {
            ready!(sink.poll_shutdown(cx)).map_err(Broken::Sink)?;
            self.over_since = Some(now.get());
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it waits for its sink.
    fn is_blocked(&self) -> bool {
        self.over_since.is_none() && self.flow.waits_for() == Side::Sink
    }

    /// Since when nothing has moved.
    fn still_since(&mut self, now: &mut Now) -> Instant {
        self.over_since.unwrap_or_else(|| self.flow.waits_since(now))
    }
}
