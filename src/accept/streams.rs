//! Clients that speak HTTP/2: many requests at once, each on a stream that looks like a connection of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Client, Limits, Seat};
use crate::deadline::{Deadline, earlier};
use crate::drain::Ticket;
use crate::h2::{Accepted, Server};
use crate::wire::{Stream, Wire};

/// How long a client that was told to end has for its last word, if no stream runs.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The connection of a client that speaks HTTP/2.
pub struct Streams {
    server: Server,
    deadline: Deadline,
    ticket: Ticket,
    seat: Option<Seat>,
}

impl Streams {
    /// Begins to speak HTTP/2. `None`: the client does not.
    pub async fn begin(client: Client, limits: &Limits) -> Option<Self> {
        let Client { wire, deadline, ticket, seat, .. } = client;
        ticket.set_idle(true);
        let handshake = Server::handshake(wire, limits.http2);
        let server = match limits.head_timeout {
            Some(limit) => timeout(limit, handshake).await.ok()?,
            None => handshake.await,
        };
        Some(Self { server: server.ok()?, deadline, ticket, seat })
    }

    /// A place for one more stream, each of which may cost as much as a connection; `None` if `max` are taken.
    #[must_use]
    pub fn seat(&self, max: usize) -> Option<Seat> {
        self.seat.as_ref()?.another(max)
    }

    /// Accepts no new streams, and lets the connection end when those that run have ended.
    pub fn end(&mut self) {
        self.server.end();
    }

    /// The next stream. Between two of them the connection is kept going, so this has to be waited for at all times.
    /// `None`: the connection is over.
    pub async fn next(&mut self, limits: &Limits) -> Option<Wire> {
        let Self { server, deadline, ticket, .. } = self;
        let mut begun = pin!(ticket.begun());
        let mut idle_since = None;
        poll_fn(|cx| {
            loop {
                if !server.is_ending() && begun.as_mut().poll(cx).is_ready() {
                    server.end();
                }
                match server.poll_accept(cx) {
                    Poll::Ready(Accepted::Stream(stream)) => {
                        return Poll::Ready(Some(Wire::new(Stream::Layered(stream))));
                    }
                    Poll::Ready(Accepted::End) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
                let now = Instant::now();
                let is_idle = !server.has_streams();
                ticket.set_idle(is_idle);
                idle_since = if is_idle { idle_since.or(Some(now)) } else { None };
                let after = |since: Option<Instant>, limit: Option<Duration>| Some(since? + limit?);
                let head_at = after(server.unfinished_since(), limits.head_timeout);
                let (end_at, cut_at) = if server.is_ending() {
                    // Who could not say a whole word has no last one.
                    (None, idle_since.and_then(|since| earlier(Some(since + LAST_WORD), head_at)))
                } else {
                    (earlier(head_at, after(idle_since, limits.keep_alive_timeout)), None)
                };
                // Each stream has this limit, and its end should be told as its own.
                let write_limit = limits.write_timeout.map(|limit| limit + LAST_WORD);
                let cut_at = earlier(cut_at, after(server.stalled_since(), write_limit));
                // A stream that ends without a word to the connection is noticed when somebody looks.
                let idle_limit = if server.is_ending() { Some(LAST_WORD) } else { limits.keep_alive_timeout };
                let look_at = if is_idle { None } else { after(Some(now), idle_limit) };
                deadline.set(earlier(look_at, earlier(end_at, cut_at)));
                if deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let now = Instant::now();
                if cut_at.is_some_and(|at| at <= now) {
                    return Poll::Ready(None);
                }
                if end_at.is_some_and(|at| at <= now) {
                    idle_since = None;
                    server.end();
                }
            }
        })
        .await
    }
}
