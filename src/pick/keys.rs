//! Which of several keys a request takes.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::reset;
use super::standing::Pauses;
use super::state::{State, States, Told, Turn};
use crate::h1::Fields;

/// How long a key rests that is limited, where the answer does not say it.
const USUAL_REST: Duration = Duration::from_secs(60);
/// How long it rests at most, whatever the answer says.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// For how long a key is out that is refused.
const REFUSED: Pauses = Pauses { first: Duration::from_secs(60), longest: Duration::from_secs(1800) };

/// The keys of one route.
#[derive(Debug)]
pub struct Keys {
    keys: Box<[Key]>,
    strategy: Strategy,
    /// Whose turn it is.
    turn: AtomicUsize,
}

/// How one of them is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one that the fewest requests under way use.
    LeastUsed,
    /// The same for the same client.
    StickyClient,
    /// The same for the same value of this header.
    StickyHeader(Box<str>),
}

/// What belongs together, where that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session(u64);

#[derive(Debug)]
struct Key {
    /// What it is told from the others by when one is picked for a session. The same after a restart.
    print: u64,
    state: Arc<State>,
}

impl Keys {
    /// How many there may be.
    pub const MAX: usize = 1000;

    /// The keys of this route, of which something may be known already.
    #[must_use]
    pub fn new(states: &States, route: &str, strategy: Strategy, keys: &[impl Hash]) -> Self {
        let key = |key| Key { print: steady(key), state: states.of(route, key) };
        // What is to be random should not be the same after each start.
        let first = if strategy == Strategy::Random { RandomState::new().hash_one(route) } else { 0 };
        let turn = AtomicUsize::new(usize::try_from(first >> 32).unwrap_or_default());
        Self { keys: keys.iter().map(key).collect(), strategy, turn }
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How one of them is picked.
    #[must_use]
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// Picks one for an attempt of this session, if it is known, that has not been tried yet: one that does not rest, else
    /// the one that is due soonest.
    pub fn pick(&self, now: Instant, session: Option<Session>, tried: &[usize]) -> Turn {
        let is_counted = self.strategy == Strategy::LeastUsed;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Somebody else may take it in between.
        for _ in 0..self.keys.len() {
            let Some(place) = self.free(now, session, tried, turn) else { break };
            if let Some(turn) = self.keys[place].state.take(now, place, is_counted) {
                return turn;
            }
        }
        let resting = |place: &usize| self.keys[*place].state.due();
        let places = 0..self.keys.len();
        let soonest = places.clone().filter(|place| !tried.contains(place)).min_by_key(resting);
        let place = soonest.or_else(|| places.min_by_key(resting)).unwrap_or_default();
        self.keys[place].state.take_anyway(now, place, is_counted)
    }

    /// Whether one is left that has not been tried and does not rest.
    #[must_use]
    pub fn is_one_left(&self, now: Instant, tried: &[usize]) -> bool {
        (0..self.keys.len()).any(|place| self.is_free(place, now, tried))
    }

    /// Takes note of an answer to an attempt, and gives what is to be told of it.
    pub fn answered(&self, turn: &mut Turn, status: u16, fields: &Fields, now: Instant) -> Option<Told> {
        match status {
            429 => {
                let told = reset::pause(fields, Timestamp::now());
                turn.limited(now, told.unwrap_or(USUAL_REST).min(LONGEST_REST))
            }
            401..=403 => turn.failed(now, REFUSED),
            // Whoever is told that the request is wrong has got past the door.
            100..500 => turn.worked(now),
            _ => None,
        }
    }

    fn is_free(&self, place: usize, now: Instant, tried: &[usize]) -> bool {
        !tried.contains(&place) && self.keys[place].state.is_free(now)
    }

    /// The one to take of those that do not rest.
    fn free(&self, now: Instant, session: Option<Session>, tried: &[usize], turn: usize) -> Option<usize> {
        let free = (0..self.keys.len()).filter(|place| self.is_free(*place, now, tried));
        match (&self.strategy, session) {
            (Strategy::LeastUsed, _) => {
                // Among equals it is one's turn.
                let count = self.keys.len();
                let after = |place: usize| (place + count - turn % count) % count;
                free.min_by_key(|place| (self.keys[*place].state.running(), after(*place)))
            }
            (Strategy::StickyClient | Strategy::StickyHeader(_), Some(session)) => {
                // Whoever scores highest: a key that rests, or is taken out, moves its own sessions and no others.
                free.max_by_key(|place| mix(self.keys[*place].print ^ session.0))
            }
            (Strategy::Random, _) => {
                let any = usize::try_from(mix(turn as u64) >> 32).unwrap_or_default();
                self.nth_free(free.count(), any, now, tried)
            }
            (Strategy::RoundRobin | Strategy::StickyClient | Strategy::StickyHeader(_), _) => {
                self.nth_free(free.count(), turn, now, tried)
            }
        }
    }

    /// Counted among those that are free: the one behind a key that rests must not do the work of two.
    fn nth_free(&self, count: usize, turn: usize, now: Instant, tried: &[usize]) -> Option<usize> {
        let mut free = (0..self.keys.len()).filter(|place| self.is_free(*place, now, tried));
        let last = turn.checked_rem(count)?;
        free.nth(last)
    }
}

impl Session {
    /// The session of this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        Self(steady(name))
    }
}

/// A hash that is the same in every process.
fn steady(value: &(impl Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Neighbours look nothing alike (the finalizer of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec as several;
    use proptest::{prop_assert, proptest};

    use super::super::Change;
    use super::*;
    use crate::h1::{Limits, ResponseReader};

    fn keys(strategy: Strategy, count: usize) -> Keys {
        let names: Vec<String> = (0..count).map(|place| format!("sk-{place}")).collect();
        Keys::new(&States::default(), "a", strategy, &names)
    }

    fn fields(lines: &str) -> Fields {
        let head = format!("HTTP/1.1 429 Too Many Requests\r\n{lines}\r\n");
        let read = ResponseReader::default().read(head.as_bytes(), false, &Limits::RESPONSE);
        read.expect("valid").expect("whole").0.fields
    }

    fn session(number: usize) -> Session {
        Session::of(format!("s{number}").as_bytes())
    }

    /// Uses one, with this outcome.
    fn used(keys: &Keys, now: Instant, status: u16) -> usize {
        let mut turn = keys.pick(now, None, &[]);
        let _ = keys.answered(&mut turn, status, &fields(""), now);
        turn.place()
    }

    fn counts(keys: &Keys, now: Instant, session: impl Fn(usize) -> Option<Session>, times: usize) -> Vec<usize> {
        let mut counts = vec![0; keys.len()];
        for number in 0..times {
            counts[keys.pick(now, session(number), &[]).place()] += 1;
        }
        counts
    }

    #[test]
    fn one_after_the_other() {
        let (keys, now) = (keys(Strategy::RoundRobin, 3), Instant::now());
        let places: Vec<_> = (0..7).map(|_| keys.pick(now, None, &[]).place()).collect();
        assert_eq!(places, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_key_that_rests_leaves_its_share_to_all_others() {
        for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::StickyClient] {
            let (keys, now) = (keys(strategy, 4), Instant::now());
            let place = used(&keys, now, 429);
            let of = |number| (*keys.strategy() == Strategy::StickyClient).then(|| session(number));
            let counts = counts(&keys, now, of, 3000);
            assert_eq!(counts[place], 0);
            let others = counts.iter().enumerate().filter(|(other, _)| *other != place);
            assert!(others.into_iter().all(|(_, count)| (850..1150).contains(count)), "{counts:?}");
            // And is back in time.
            let later = now + USUAL_REST;
            assert!((0..400).any(|number| keys.pick(later, of(number), &[]).place() == place));
        }
    }

    #[test]
    fn only_the_sessions_of_a_key_that_rests_move() {
        let (keys, now) = (keys(Strategy::StickyHeader("x".into()), 5), Instant::now());
        let place = |number: usize| keys.pick(now, Some(session(number)), &[]).place();
        let before: Vec<_> = (0..500).map(place).collect();
        assert_eq!(before, (0..500).map(place).collect::<Vec<_>>());
        assert!((0..5).all(|key| before.iter().filter(|place| **place == key).count() > 50));
        let resting = before[0];
        let mut turn = keys.pick(now, Some(session(0)), &[]);
        assert!(keys.answered(&mut turn, 429, &fields(""), now).is_some());
        for (number, before) in before.iter().enumerate() {
            assert_eq!(place(number) != *before, *before == resting);
        }
    }

    #[test]
    fn the_fewest_requests_under_way() {
        let (keys, now) = (keys(Strategy::LeastUsed, 3), Instant::now());
        let mut running: Vec<_> = (0..6).map(|_| keys.pick(now, None, &[])).collect();
        let mut places: Vec<_> = running.iter().map(Turn::place).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 0, 1, 1, 2, 2]);
        running.retain(|turn| turn.place() != 1);
        assert_eq!([keys.pick(now, None, &[]), keys.pick(now, None, &[])].map(|turn| turn.place()), [1, 1]);
    }

    #[test]
    fn if_all_rest_the_one_due_soonest_is_used() {
        let (keys, now) = (keys(Strategy::RoundRobin, 3), Instant::now());
        for _ in 0..3 {
            let mut turn = keys.pick(now, None, &[]);
            let after = [30, 10, 20][turn.place()];
            let told = keys.answered(&mut turn, 429, &fields(&format!("Retry-After: {after}\r\n")), now).expect("told");
            assert_eq!(told.change, Change::Limited(Duration::from_secs(after)));
        }
        assert!(!keys.is_one_left(now, &[]));
        assert_eq!(keys.pick(now, None, &[]).place(), 1);
        assert_eq!(keys.pick(now, None, &[1]).place(), 2);
        assert_eq!(keys.pick(now, None, &[0, 1, 2]).place(), 1);
        // It turns out to be good before its time.
        assert_eq!(used(&keys, now, 200), 1);
        assert!(keys.is_one_left(now, &[]) && !keys.is_one_left(now, &[1]));
    }

    #[test]
    fn what_answers_say_of_a_key() {
        for (status, rest) in [
            (429, 60),
            (401, 60),
            (402, 60),
            (403, 60),
            (200, 0),
            (400, 0),
            (404, 0),
            (500, 0),
            (503, 0),
            (529, 0),
            (101, 0),
        ] {
            let (keys, now) = (keys(Strategy::RoundRobin, 1), Instant::now());
            used(&keys, now, status);
            let is_free = |after| keys.is_one_left(now + Duration::from_secs(after), &[]);
            assert!(is_free(rest) && (rest == 0 || !is_free(rest - 1)), "{status}");
        }
        let (keys, now) = (keys(Strategy::RoundRobin, 1), Instant::now());
        let mut turn = keys.pick(now, None, &[]);
        let _ = keys.answered(&mut turn, 429, &fields("Retry-After: 86400\r\n"), now);
        assert!(!keys.is_one_left(now + LONGEST_REST - Duration::from_secs(1), &[]));
        assert!(keys.is_one_left(now + LONGEST_REST, &[]));
    }

    #[test]
    fn a_failure_of_the_upstream_says_nothing_of_a_key_that_is_probed() {
        let (keys, now) = (keys(Strategy::RoundRobin, 2), Instant::now());
        assert_eq!(used(&keys, now, 401), 0);
        let due = now + REFUSED.first;
        for status in [500, 502, 401] {
            let mut turn = keys.pick(due, None, &[1]);
            assert_eq!((turn.place(), keys.is_one_left(due, &[1])), (0, false), "one at a time");
            let _ = keys.answered(&mut turn, status, &fields(""), due);
            drop(turn);
            assert_eq!(keys.is_one_left(due, &[1]), status != 401, "{status}");
        }
        // Refused once more: for twice as long.
        assert_eq!(counts(&keys, due + REFUSED.first, |_| None, 10), [0, 10]);
        assert_ne!(counts(&keys, due + 2 * REFUSED.first, |_| None, 10), [0, 10]);
    }

    proptest! {
        /// Whatever comes of it, a key is always picked, and one that has not been tried if there is one.
        #[test]
        fn there_is_always_one(
            count in 1..6_usize,
            steps in several((0..5_usize, 0..90_u64, several(0..6_usize, 0..4)), 0..60),
        ) {
            for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::LeastUsed, Strategy::StickyClient] {
                let (keys, mut now) = (keys(strategy, count), Instant::now());
                for (outcome, later, tried) in &steps {
                    now += Duration::from_secs(*later);
                    let has_one = keys.is_one_left(now, tried);
                    let mut turn = keys.pick(now, Some(session(0)), tried);
                    prop_assert!(turn.place() < count);
                    prop_assert!(!tried.contains(&turn.place()) || (0..count).all(|place| tried.contains(&place)));
                    prop_assert!(!has_one || !tried.contains(&turn.place()));
                    let status = [200, 429, 401, 500, 404][*outcome];
                    let _ = keys.answered(&mut turn, status, &fields(""), now);
                }
            }
        }
    }
}
