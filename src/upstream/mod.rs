//! Connections to upstreams: kept while they are good, made where there is none.

mod dial;
mod error;
mod key;
mod pool;
mod proxy;
mod resolve;
pub mod tls;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use error::DialError;
pub use key::Key;
pub use pool::keep_alive_limit;
pub use proxy::{BadProxy, Login, Proxy, ProxyScheme};

use crate::wire::Wire;
use pool::Pool;
use resolve::Resolver;

/// How often connections that nobody asks for are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// The upstream connections of one worker. Nothing is shared between workers.
#[derive(Default)]
pub struct Upstreams {
    pool: RefCell<Pool>,
    resolver: Resolver,
    filled: Notify,
}

impl Upstreams {
    /// A connection that was used before and still is good, the most recent first.
    #[must_use]
    pub fn reuse(&self, key: &Key, now: Instant) -> Option<Wire> {
        self.pool.borrow_mut().take(key, now)
    }

    /// Makes a connection. It has no time limit of its own: whoever waits for it has one.
    ///
    /// # Errors
    /// Which step failed, and how.
    pub async fn dial(&self, key: &Key) -> Result<Wire, DialError> {
        // Boxed: a connection is made rarely, and what it needs must not weigh on every open stream.
        Box::pin(dial::dial(&self.resolver, key)).await
    }

    /// Keeps a connection on which nothing is under way, until then.
    pub fn keep(&self, key: &Arc<Key>, wire: Wire, until: Instant) {
        let mut pool = self.pool.borrow_mut();
        let was_empty = pool.is_empty();
        pool.put(key, wire, until);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Closes what has been idle for too long, or was closed by the other side. Runs for as long as the worker.
    pub async fn sweep(&self) {
        loop {
            while self.pool.borrow().is_empty() {
                self.filled.notified().await;
            }
            tokio::time::sleep(SWEEP).await;
            self.pool.borrow_mut().sweep(Instant::now());
        }
    }
}
