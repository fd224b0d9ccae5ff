//! Who may begin: whose key is good for it ([`Keys`]), and how many exchanges run at once, in all and on each route.
//!
//! An exchange takes its places when its route is known and leaves them with its last byte, however it ends. Where there
//! is none it is told so at once: nothing waits for a place. The limits are part of the configuration and are swapped
//! with it; what is counted is not. A tally belongs to the name of what it counts, so that a limit that is lowered is a
//! limit on those that run already, too. Where there is no limit nothing is counted: it would cost every request
//! something, for an answer that nobody asks for.

mod client;
mod keys;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use client::{Client, Pattern, Standing};
pub use keys::{Credentials, Keys, MIN_KEY};

use crate::error::{Error, Kind, Scope};

/// The limits that hold on one route.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// On this route.
    pub route: Option<Limit>,
    /// On all routes together.
    pub server: Option<Limit>,
}

/// How many may run at once of what one tally counts.
#[derive(Debug, Clone)]
pub struct Limit {
    tally: Arc<Tally>,
    max: usize,
}

/// How many run, over all workers.
#[derive(Debug, Default)]
struct Tally(AtomicUsize);

/// The places of one exchange. They are free again when this goes.
#[must_use]
#[derive(Debug)]
pub struct Places<'a> {
    _route: Option<Place<'a>>,
    _server: Option<Place<'a>>,
}

#[derive(Debug)]
struct Place<'a>(&'a Tally);

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full(Scope);

/// What is counted, by name: it outlives the configurations that ask for it.
#[derive(Debug, Default)]
pub struct Tallies {
    server: Arc<Tally>,
    routes: Mutex<HashMap<Box<str>, Weak<Tally>>>,
}

impl Policy {
    /// The places of an exchange that is about to begin, if there are some.
    ///
    /// # Errors
    /// What is full.
    pub fn enter(&self) -> Result<Places<'_>, Full> {
        // A crowd on one route must not touch what all routes share, not even for a moment.
        let route = Place::under(self.route.as_ref(), Scope::Route)?;
        let server = Place::under(self.server.as_ref(), Scope::Server)?;
        Ok(Places { _route: route, _server: server })
    }
}

impl Limit {
    /// How many may run at once.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

impl<'a> Place<'a> {
    /// A place under a limit; none is needed where there is no limit.
    fn under(limit: Option<&'a Limit>, scope: Scope) -> Result<Option<Self>, Full> {
        let Some(Limit { tally, max }) = limit else { return Ok(None) };
        let enter = |running| (running < *max).then_some(running + 1);
        let entered = tally.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter);
        entered.map(|_| Some(Self(tally))).map_err(|_| Full(scope))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Full> for Error {
    fn from(Full(scope): Full) -> Self {
        Self::new(Kind::ConcurrencyLimited(scope))
    }
}

impl Tallies {
    /// A limit on all routes together.
    #[must_use]
    pub fn of_server(&self, max: usize) -> Limit {
        Limit { tally: Arc::clone(&self.server), max }
    }

    /// A limit on the route of this name.
    #[must_use]
    pub fn of_route(&self, name: &str, max: usize) -> Limit {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = routes.get(name).and_then(Weak::upgrade) {
            return Limit { tally, max };
        }
        let tally = Arc::default();
        routes.insert(name.into(), Arc::downgrade(&tally));
        Limit { tally, max }
    }

    /// Forgets what no configuration asks for in which an exchange still runs.
    pub fn forget_unused(&self) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|_, tally| tally.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(tallies: &Tallies, route: Option<usize>, server: Option<usize>) -> Policy {
        let route = route.map(|max| tallies.of_route("a", max));
        Policy { route, server: server.map(|max| tallies.of_server(max)) }
    }

    fn running(limit: Option<&Limit>) -> usize {
        limit.expect("a limit").tally.0.load(Ordering::Relaxed)
    }

    #[test]
    fn without_a_limit_everybody_may_begin() {
        let policy = Policy::default();
        let all: Vec<_> = (0..1000).map(|_| policy.enter().expect("no limit")).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn who_is_refused_by_one_limit_takes_no_place_under_the_other() {
        let tallies = Tallies::default();
        let policy = policy(&tallies, Some(3), Some(2));
        let (_one, two) = (policy.enter().expect("free"), policy.enter().expect("free"));
        assert_eq!(policy.enter().expect_err("full"), Full(Scope::Server));
        assert_eq!((running(policy.route.as_ref()), running(policy.server.as_ref())), (2, 2));
        drop(two);
        let narrow = self::policy(&tallies, Some(1), Some(2));
        assert_eq!(narrow.enter().expect_err("full"), Full(Scope::Route));
        assert_eq!((running(policy.route.as_ref()), running(policy.server.as_ref())), (1, 1));
    }

    #[test]
    fn a_tally_outlives_its_limits_for_as_long_as_somebody_runs() {
        let tallies = Tallies::default();
        let old = policy(&tallies, Some(5), None);
        let place = old.enter().expect("free");
        // A configuration without the limit, in which nobody asks for the tally.
        tallies.forget_unused();
        let new = policy(&tallies, Some(1), None);
        assert_eq!(new.enter().expect_err("the old one still runs"), Full(Scope::Route));
        drop(place);
        assert!(new.enter().is_ok());
        drop((old, new));
        tallies.forget_unused();
        assert!(tallies.routes.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_panic_frees_the_place() {
        let tallies = Tallies::default();
        let policy = policy(&tallies, Some(1), Some(1));
        let caught = std::panic::catch_unwind(|| {
            let _places = policy.enter().expect("free");
            panic!("a bug");
        });
        assert!(caught.is_err() && policy.enter().is_ok());
    }

    #[test]
    fn threads_together_take_as_many_places_as_there_are() {
        let tallies = Tallies::default();
        let policy = policy(&tallies, Some(10), None);
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _places: Vec<_> = (0..3).map_while(|_| policy.enter().ok()).collect();
                        most.fetch_max(running(policy.route.as_ref()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(most.load(Ordering::Relaxed) <= 10);
        assert_eq!(running(policy.route.as_ref()), 0);
    }
}
