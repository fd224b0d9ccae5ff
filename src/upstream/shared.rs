//! Connections that many exchanges share: HTTP/2, by key.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::dial::{Dial, Dialed};
use super::key::Taken;
use super::{DialError, Key};
use crate::drain::Drain;
use crate::h2::{self, Connection};
use crate::wire::{Stream, Wire};

/// How long a connection is kept on which no stream runs: as long as one that is not shared.
const LIMIT: Duration = Duration::from_secs(55);

#[derive(Default)]
pub(super) struct Shared {
    places: RefCell<HashMap<Arc<Key>, Rc<Place>, BuildHasherDefault<Taken>>>,
}

/// The connections to one place.
#[derive(Default)]
struct Place {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// The other side, when it was last asked, chose HTTP/1.1.
    prefers_http1: Cell<bool>,
    /// Somebody makes a connection; the others wait for it.
    is_dialing: Cell<bool>,
    dialed: Notify,
}

/// The making of a connection. However it ends, those who wait are told.
struct Dialing(Rc<Place>);

impl Shared {
    /// A stream on a connection that is there.
    pub(super) fn open(&self, key: &Key) -> Option<Wire> {
        let place = self.places.borrow().get(key).map(Rc::clone)?;
        place.open()
    }

    /// A stream on a connection that is there, is being made, or is made now; or a connection of HTTP/1.1 where the
    /// other side wants that.
    pub(super) async fn connect(
        &self,
        dial: Dial<'_>,
        key: &Arc<Key>,
        drain: &Drain,
        filled: &Notify,
    ) -> Result<Wire, DialError> {
        let place = Rc::clone(self.places.borrow_mut().entry(Arc::clone(key)).or_default());
        loop {
            if let Some(stream) = place.open() {
                return Ok(stream);
            }
            let dialing = match place.begin() {
                None if !place.prefers_http1.get() => {
                    place.dialed.notified().await;
                    continue;
                }
                dialing => dialing,
            };
            let Dialed { wire, http2 } = dial.dial().await?;
            place.prefers_http1.set(!http2);
            if !http2 {
                return Ok(wire);
            }
            let (connection, driver) = h2::connect(wire, key.origin.scheme).await.map_err(DialError::Http2)?;
            drain.attend(driver);
            place.connections.borrow_mut().push(connection);
            filled.notify_one();
            drop(dialing);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Closes what nobody has used for long, and forgets what is closed.
    pub(super) fn sweep(&self, now: Instant) {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= LIMIT;
        self.places.borrow_mut().retain(|_, place| {
            let mut connections = place.connections.borrow_mut();
            connections.retain(|connection| !connection.is_over() && !connection.idle_since().is_some_and(is_old));
            !connections.is_empty() || place.is_dialing.get()
        });
    }
}

impl Place {
    fn open(&self) -> Option<Wire> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_over());
        // The first ones are filled first, so that those that are too many grow old and go.
        let stream = connections.iter().find_map(Connection::open)?;
        Some(Wire::new(Stream::Layered(Box::new(stream))))
    }

    fn begin(self: &Rc<Self>) -> Option<Dialing> {
        (!self.is_dialing.replace(true)).then(|| Dialing(Rc::clone(self)))
    }
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.0.is_dialing.set(false);
        self.0.dialed.notify_waiters();
    }
}
