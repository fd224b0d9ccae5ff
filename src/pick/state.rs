//! What is known of entries, shared between the workers, whichever configuration names them.
//!
//! An entry is known by the name of its route and by a print of what it is, keyed at random: a configuration that is put
//! in the place of another finds what was known of the entries that are in both, and no key is kept for that.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::standing::{Begun, Pauses, Rest, Standing};

/// How many lines may be told of one entry at once, and how long it takes until there may be one more.
const TOLD_AT_ONCE: u64 = 6;
const TOLD_EVERY: u64 = 10_000;

/// What is known of entries.
#[derive(Debug)]
pub struct States {
    clock: Clock,
    prints: RandomState,
    known: Mutex<HashMap<Name, Weak<State>>>,
}

/// What an entry is known by: the name of its route, and its print.
type Name = (Box<str>, u64);

/// One entry. Written to where something becomes known of it, and read where one is picked.
#[derive(Debug)]
pub(super) struct State {
    clock: Clock,
    standing: AtomicU64,
    /// How many attempts use it, where that is asked for.
    running: AtomicUsize,
    /// By when all that was told would have been told one by one, in milliseconds.
    told: AtomicU64,
    /// How many changes were not told since.
    untold: AtomicU32,
}

/// The moment from which time is counted here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

/// The use of an entry by one attempt. An attempt that goes without a word says nothing about it.
#[must_use]
#[derive(Debug)]
pub struct Turn {
    state: Arc<State>,
    place: usize,
    begun: Begun,
    /// Whether the entry counts who uses it.
    is_counted: bool,
}

/// A change in how an entry stands, to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What has changed.
    pub change: Change,
    /// How many changes of this entry were not told before it, since there were too many.
    pub others: u32,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It rests for so long, since it was used too much.
    Limited(Duration),
    /// It does not work, and is tried again after so long.
    Out(Duration),
    /// It works again.
    Good,
}

impl Default for States {
    fn default() -> Self {
        Self { clock: Clock(Instant::now()), prints: RandomState::new(), known: Mutex::default() }
    }
}

impl States {
    /// What is known of an entry of this route.
    pub(super) fn of(&self, route: &str, entry: &impl Hash) -> Arc<State> {
        let name = (route.into(), self.prints.hash_one(entry));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(&name).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(State::new(self.clock));
        known.insert(name, Arc::downgrade(&state));
        state
    }

    /// Forgets the entries that no configuration names which is still in use.
    pub fn forget_unused(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, state| state.strong_count() > 0);
    }
}

impl Clock {
    fn at(self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0).as_millis()).unwrap_or(u64::MAX)
    }
}

impl State {
    fn new(clock: Clock) -> Self {
        let standing = AtomicU64::new(Standing::GOOD.pack());
        Self { clock, standing, running: AtomicUsize::new(0), told: AtomicU64::new(0), untold: AtomicU32::new(0) }
    }

    fn standing(&self) -> Standing {
        Standing::unpack(self.standing.load(Ordering::Relaxed))
    }

    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.standing().is_free(self.clock.at(now))
    }

    /// When it may be used again.
    pub(super) fn due(&self) -> u64 {
        match self.standing() {
            Standing { rest: Rest::No, .. } => 0,
            Standing { due, .. } => due,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Takes it, if it may be used: where it is out, only one finds out whether it works again.
    pub(super) fn take(self: &Arc<Self>, now: Instant, place: usize, is_counted: bool) -> Option<Turn> {
        let now = self.clock.at(now);
        let (before, _) = self.change(|standing| if standing.is_free(now) { standing.begin(now).0 } else { standing });
        before.is_free(now).then(|| self.turn(before.begin(now).1, place, is_counted))
    }

    /// Takes it, since there is nothing else.
    pub(super) fn take_anyway(self: &Arc<Self>, now: Instant, place: usize, is_counted: bool) -> Turn {
        let now = self.clock.at(now);
        let (before, _) = self.change(|standing| standing.begin(now).0);
        self.turn(before.begin(now).1, place, is_counted)
    }

    fn turn(self: &Arc<Self>, begun: Begun, place: usize, is_counted: bool) -> Turn {
        if is_counted {
            self.running.fetch_add(1, Ordering::Relaxed);
        }
        Turn { state: Arc::clone(self), place, begun, is_counted }
    }

    /// Changes how it stands, and gives how it stood and stands. What stays as it is is not written.
    fn change(&self, to: impl Fn(Standing) -> Standing) -> (Standing, Standing) {
        let mut now = self.standing.load(Ordering::Relaxed);
        loop {
            let (before, after) = (Standing::unpack(now), to(Standing::unpack(now)));
            if before == after {
                return (before, after);
            }
            let (relaxed, written) = (Ordering::Relaxed, after.pack());
            match self.standing.compare_exchange_weak(now, written, relaxed, relaxed) {
                Ok(_) => return (before, after),
                Err(other) => now = other,
            }
        }
    }

    /// What is to be told of a change, if it is one, and if there was not too much of late.
    fn tell(&self, (before, after): (Standing, Standing), now: u64) -> Option<Told> {
        let rests = |standing: Standing| standing.rest == Rest::Out || standing.due > now;
        let pause = Duration::from_millis(after.due.saturating_sub(now));
        let change = match (before.rest, after.rest) {
            _ if before == after => return None,
            (Rest::Out | Rest::Limited, Rest::No) if rests(before) => Change::Good,
            (Rest::Limited, Rest::Limited) if rests(before) => return None,
            (_, Rest::Limited) if rests(after) => Change::Limited(pause),
            (_, Rest::Out) if after.stamp != before.stamp => Change::Out(pause),
            _ => return None,
        };
        let turn = |told: u64| {
            let next = told.max(now) + TOLD_EVERY;
            (next <= now + TOLD_AT_ONCE * TOLD_EVERY).then_some(next)
        };
        if self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, turn).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Told { change, others: self.untold.swap(0, Ordering::Relaxed) })
    }
}

impl Turn {
    /// Which entry it is, counted from 0.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    pub(super) fn worked(&mut self, now: Instant) -> Option<Told> {
        let begun = self.begun;
        self.ends(now, |standing, _| standing.worked(begun))
    }

    pub(super) fn limited(&mut self, now: Instant, pause: Duration) -> Option<Told> {
        let begun = self.begun;
        self.ends(now, |standing, now| standing.limited(begun, now, pause))
    }

    pub(super) fn failed(&mut self, now: Instant, pauses: Pauses) -> Option<Told> {
        let begun = self.begun;
        self.ends(now, |standing, now| standing.failed(begun, now, pauses))
    }

    fn ends(&mut self, now: Instant, to: impl Fn(Standing, u64) -> Standing) -> Option<Told> {
        let now = self.state.clock.at(now);
        let changed = self.state.change(|standing| to(standing, now));
        self.state.tell(changed, now)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_counted {
            self.state.running.fetch_sub(1, Ordering::Relaxed);
        }
        if self.begun.is_probe {
            self.state.change(|standing| standing.let_go(self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses { first: Duration::from_secs(60), longest: Duration::from_secs(1800) };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_known_belongs_to_the_route_and_the_entry() {
        let (states, now) = (States::default(), Instant::now());
        let old = states.of("a", &"key");
        old.take(now, 0, false).expect("free").limited(now, seconds(9));
        assert!(!states.of("a", &"key").is_free(now), "a configuration that comes after");
        assert!(states.of("b", &"key").is_free(now) && states.of("a", &"other").is_free(now));
        assert!(!format!("{states:?}").contains("key"));
        states.forget_unused();
        assert_eq!(states.known.lock().expect("not poisoned").len(), 1);
        drop(old);
        states.forget_unused();
        assert!(states.known.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn of_all_threads_one_finds_out() {
        let (states, now) = (States::default(), Instant::now());
        let state = states.of("a", &"key");
        state.take(now, 0, false).expect("free").failed(now, PAUSES);
        assert!(state.take(now, 0, false).is_none());
        let due = now + seconds(61);
        let takers: usize = std::thread::scope(|scope| {
            let take = || scope.spawn(|| state.take(due, 0, false).map(std::mem::forget).is_some());
            let threads: Vec<_> = (0..8).map(|_| take()).collect();
            threads.into_iter().filter(|_| true).map(|thread| usize::from(thread.join().expect("no failure"))).sum()
        });
        assert_eq!(takers, 1);
    }

    #[test]
    fn who_goes_without_a_word_lets_others_try() {
        let (states, now) = (States::default(), Instant::now());
        let state = states.of("a", &"key");
        state.take(now, 0, true).expect("free").failed(now, PAUSES);
        let due = now + seconds(61);
        let probe = state.take(due, 0, true).expect("due");
        assert_eq!((state.running(), state.take(due, 0, true).is_some()), (1, false));
        drop(probe);
        assert_eq!(state.running(), 0);
        assert!(state.take(due, 0, true).is_some());
    }

    #[test]
    fn changes_are_told_once_and_not_too_often() {
        let (states, now) = (States::default(), Instant::now());
        let state = states.of("a", &"key");
        let told = |change| Some(Told { change, others: 0 });
        let (mut one, mut two) = (state.take_anyway(now, 0, false), state.take_anyway(now, 0, false));
        assert_eq!(one.worked(now), None);
        assert_eq!(one.failed(now, PAUSES), told(Change::Out(seconds(60))));
        assert_eq!(two.failed(now, PAUSES), None);
        let later = now + seconds(60);
        let mut probe = state.take(later, 0, false).expect("due");
        assert_eq!(probe.failed(later, PAUSES), told(Change::Out(seconds(120))));
        let later = later + seconds(120);
        assert_eq!(state.take(later, 0, false).expect("due").worked(later), told(Change::Good));
        // A rest that is over needs no word.
        assert_eq!(
            state.take(later, 0, false).expect("good").limited(later, seconds(5)),
            told(Change::Limited(seconds(5)))
        );
        let later = later + seconds(5);
        assert_eq!(state.take(later, 0, false).expect("due").worked(later), None);
        // Many in a moment.
        let mut lines = 0;
        for _ in 0..100 {
            lines += usize::from(state.take_anyway(later, 0, false).limited(later, seconds(1)).is_some());
            lines += usize::from(state.take_anyway(later, 0, false).worked(later).is_some());
        }
        assert!((4..=6).contains(&lines), "{lines}");
        let later = later + seconds(100);
        let told = state.take(later, 0, false).expect("good").failed(later, PAUSES).expect("told");
        assert_eq!(u64::from(told.others), 200 - lines as u64);
    }
}
