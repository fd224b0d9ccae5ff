//! Connections to upstreams: kept while they are good, made where there is none.

mod dial;
mod error;
mod guard;
mod habit;
mod http_connect;
mod key;
mod no_proxy;
mod pool;
mod proxy;
mod resolve;
mod shared;
mod socks;
mod tcp;
pub mod tls;
mod way_out;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use error::{DialError, ProxyFault};
pub use guard::{Forbidden, Guard, Hosts, Own};
pub use http_connect::LOGIN_WANTED;
pub use key::Key;
pub use no_proxy::NoProxy;
pub use pool::keep_alive_limit;
pub use proxy::{BadProxy, Login, Proxy, ProxyScheme};
pub use socks::{Handshake, Heard, NoTunnel};
pub use tcp::MAX_BESIDE;
pub use way_out::{BadVariable, Environment, Reason, Taken, WayOut};

use crate::drain::Drain;
use crate::error::Step;
use crate::wire::Wire;
use dial::Dial;
use pool::Pool;
use resolve::Resolver;
use shared::Shared;

/// How often connections that nobody asks for are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// What the upstreams of one worker may use of what is there for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections are kept that nobody uses.
    pub idle: usize,
    /// How many names are asked for at once: of those of the operator, and of those of clients.
    pub lookups: usize,
}

/// The upstream connections of one worker. Nothing is shared between workers.
pub struct Upstreams {
    pool: RefCell<Pool>,
    shared: Shared,
    drain: Drain,
    resolver: Resolver,
    /// For names of universal routes.
    clients_resolver: Resolver,
    own: Own,
    filled: Notify,
}

impl Limits {
    /// How many threads they need: each question has its own.
    #[must_use]
    pub fn threads(self) -> usize {
        2 * self.lookups
    }
}

impl Upstreams {
    /// Those of a worker, whose runtime drives what is shared among exchanges. To where the program itself listens no
    /// client can make them lead.
    #[must_use]
    pub fn new(drain: Drain, own: Own, limits: Limits) -> Self {
        let (pool, shared) = (RefCell::new(Pool::of(limits.idle)), Shared::default());
        let (resolver, clients_resolver) = (Resolver::of(limits.lookups), Resolver::of(limits.lookups));
        Self { pool, shared, drain, resolver, clients_resolver, own, filled: Notify::new() }
    }

    /// A connection that was used before and still is good, the most recent first, with the time that it has been
    /// idle; a stream of one where they are shared. One that may be about to be closed is only given out for a request
    /// that is `repeatable`.
    #[must_use]
    pub fn reuse(&self, key: &Key, now: Instant, repeatable: bool) -> Option<(Wire, Duration)> {
        let shared = if key.http2 { self.shared.open(key) } else { None };
        let shared = shared.map(|stream| (stream, Duration::ZERO));
        shared.or_else(|| self.pool.borrow_mut().take(key, now, repeatable))
    }

    /// Notes that a connection which had been idle for so long turned out to be closed when it was used.
    pub fn was_closed(&self, key: &Key, rest: Duration) {
        // Streams of a shared connection begin whenever they are wanted: they have no rest.
        if rest > Duration::ZERO {
            self.pool.borrow_mut().was_closed(key, rest);
        }
    }

    /// Makes a connection, or waits for one that is being made and can be shared. It has no time limit of its own:
    /// whoever waits for it has one, and finds in `step` how far it went.
    ///
    /// # Errors
    /// Which step failed, and how.
    pub async fn connect(&self, key: &Arc<Key>, step: &Cell<Option<Step>>) -> Result<Wire, DialError> {
        match self.make(key, step).await {
            Err(error) if error.is_for_want_of_files() && self.make_room() => self.make(key, step).await,
            made => made,
        }
    }

    /// Closes the idle connections, since what they take is needed. Gives whether there were any.
    pub fn make_room(&self) -> bool {
        let were_shared = self.shared.keep_idle(0);
        self.pool.borrow_mut().clear() || were_shared
    }

    async fn make(&self, key: &Arc<Key>, step: &Cell<Option<Step>>) -> Result<Wire, DialError> {
        if !self.shared.is_empty() {
            self.shared.keep_idle(self.pool.borrow().room());
        }
        let Self { resolver, clients_resolver, own, .. } = self;
        let dial = Dial { resolver, clients_resolver, key, own, step };
        // Boxed: a connection is made rarely, and what it needs must not weigh on every open stream.
        if key.http2 {
            Box::pin(self.shared.connect(dial, key, &self.drain, &self.filled)).await
        } else {
            Box::pin(async { Ok(dial.dial().await?.wire) }).await
        }
    }

    /// Keeps a connection on which nothing is under way any more, for so long.
    pub fn keep(&self, key: &Arc<Key>, wire: Wire, now: Instant, limit: Duration) {
        // A stream serves once; its connection is kept by those who share it. And a proxy that was sent one whole
        // request may by now lead straight to the target, which the next one, with our login in it, is not for.
        if wire.is_http2() || key.takes_whole_requests() {
            return;
        }
        let mut pool = self.pool.borrow_mut();
        let was_empty = pool.is_empty();
        pool.put(key, wire, now, now + limit);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Closes what has been idle for too long, or was closed by the other side. Runs for as long as the worker.
    pub async fn sweep(&self) {
        loop {
            while self.pool.borrow().is_empty() && self.shared.is_empty() {
                self.filled.notified().await;
            }
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.pool.borrow_mut().sweep(now);
            self.shared.sweep(now);
            self.shared.keep_idle(self.pool.borrow().room());
        }
    }
}
