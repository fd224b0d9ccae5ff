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

/// Of how many places something is remembered. Clients choose those of universal routes; what is made beyond that serves
/// one exchange.
const MAX_PLACES: usize = 1024;

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
        let place = self.place(key);
        filled.notify_one();
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
            let stream = connection.open();
            place.connections.borrow_mut().push(Rc::clone(&connection));
            // The others wait until the upstream has said how many of them it takes.
            drain.attend(async move {
                connection.greeted().await;
                drop(dialing);
            });
            if let Some(stream) = stream {
                return Ok(Wire::new(Stream::Layered(Box::new(stream))));
            }
        }
    }

    fn place(&self, key: &Arc<Key>) -> Rc<Place> {
        let mut places = self.places.borrow_mut();
        if places.len() >= MAX_PLACES && !places.contains_key(key) {
            places.retain(|_, place| place.is_in_use());
            if places.len() >= MAX_PLACES {
                return Rc::default();
            }
        }
        Rc::clone(places.entry(Arc::clone(key)).or_default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Closes the connections that nobody uses but so many, those first that have rested longest. Gives whether there were
    /// more.
    pub(super) fn keep_idle(&self, max: usize) -> bool {
        let places = self.places.borrow();
        let mut idle: Vec<Instant> = Vec::new();
        for place in places.values() {
            idle.extend(place.connections.borrow().iter().filter_map(|connection| connection.idle_since()));
        }
        if idle.len() <= max {
            return false;
        }
        idle.sort_unstable_by(|one, other| other.cmp(one));
        // Of several that rest equally long all go: a connection too few costs a new one, one too many somebody's own.
        let last_to_go = idle[max];
        for place in places.values() {
            let goes = |since| since <= last_to_go;
            place.connections.borrow_mut().retain(|connection| !connection.idle_since().is_some_and(goes));
        }
        true
    }

    /// Closes what nobody has used for long, and forgets what is closed.
    pub(super) fn sweep(&self, now: Instant) {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= LIMIT;
        self.places.borrow_mut().retain(|_, place| {
            let mut connections = place.connections.borrow_mut();
            connections.retain(|connection| !connection.is_over() && !connection.idle_since().is_some_and(is_old));
            drop(connections);
            place.is_in_use()
        });
    }
}

impl Place {
    fn is_in_use(&self) -> bool {
        !self.connections.borrow().is_empty() || self.is_dialing.get()
    }

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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::super::{Limits, Own, Upstreams};
    use super::*;
    use crate::origin::{Origin, Scheme};

    fn key(host: &str) -> Arc<Key> {
        let origin = Origin::parse(Scheme::Http, host.as_bytes()).expect("valid").0;
        Arc::new(Key::new(origin, None, None).speaking_http2(true))
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_rest_longest_go_first_and_those_in_use_stay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let shared = Shared::default();
        let mut ends = Vec::new();
        for number in 0..5 {
            let near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
            ends.push(listener.accept().await.expect("accepts").0);
            let (connection, driver) = h2::connect(Wire::new(Stream::Tcp(near)), Scheme::Http).await.expect("begins");
            ends_with(driver);
            shared.place(&key(&format!("h{}", number % 2))).connections.borrow_mut().push(connection);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let used = shared.open(&key("h0")).expect("room");
        let left = |shared: &Shared| {
            let places = shared.places.borrow();
            places.values().map(|place| place.connections.borrow().len()).sum::<usize>()
        };
        assert_eq!((shared.keep_idle(4), left(&shared)), (false, 5));
        assert_eq!((shared.keep_idle(1), left(&shared)), (true, 2));
        assert!(shared.open(&key("h0")).is_some() && shared.open(&key("h1")).is_none());
        drop(used);
        shared.keep_idle(0);
        assert_eq!(left(&shared), 0);
    }

    /// What drives a connection goes with the test.
    fn ends_with(driver: impl Future<Output = ()>) {
        std::mem::forget(Box::pin(driver));
    }

    #[test]
    fn not_every_place_is_remembered() {
        let shared = Shared::default();
        let kept: Vec<_> = (0..MAX_PLACES).map(|number| shared.place(&key(&format!("h{number}")))).collect();
        kept.iter().for_each(|place| place.is_dialing.set(true));
        assert_eq!(Rc::strong_count(&shared.place(&key("another"))), 1, "nobody else has it");
        assert_eq!(Rc::strong_count(&shared.place(&key("h5"))), 3);
        kept.iter().for_each(|place| place.is_dialing.set(false));
        shared.place(&key("another"));
        assert_eq!(shared.places.borrow().len(), 1);
    }

    #[test]
    fn places_that_cannot_be_reached_are_forgotten() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build_local(tokio::runtime::LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let upstreams = Upstreams::new(Drain::default(), Own::default(), Limits { idle: 10, lookups: 1 });
            let step = Cell::new(None);
            let dials = async {
                for port in 1..4 {
                    let refused = upstreams.connect(&key(&format!("127.0.0.97:{port}")), &step).await;
                    assert!(refused.is_err(), "nobody listens there");
                }
                assert_eq!(upstreams.shared.places.borrow().len(), 3);
                while !upstreams.shared.is_empty() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            tokio::select! {
                () = dials => {}
                () = upstreams.sweep() => {}
            }
        });
    }
}
