//! Clients that speak HTTP/2: many requests at once, each on a stream that looks like a connection of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Client, Limits, Seat};
use crate::deadline::Deadline;
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
    _seat: Option<Seat>,
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
        Some(Self { server: server.ok()?, deadline, ticket, _seat: seat })
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
        let mut is_ending = false;
        let mut idle_since = None;
        poll_fn(|cx| {
            loop {
                if !is_ending && begun.as_mut().poll(cx).is_ready() {
                    is_ending = true;
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
                let since = if is_idle { *idle_since.get_or_insert(now) } else { now };
                if !is_idle {
                    idle_since = None;
                }
                let limit = if is_ending { Some(LAST_WORD) } else { limits.keep_alive_timeout };
                deadline.set(limit.map(|limit| since + limit));
                match deadline.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    // A stream that ended without a word to the connection is noticed here.
                    Poll::Ready(()) if !is_idle => {}
                    Poll::Ready(()) if is_ending => return Poll::Ready(None),
                    Poll::Ready(()) => {
                        (is_ending, idle_since) = (true, None);
                        server.end();
                    }
                }
            }
        })
        .await
    }
}
