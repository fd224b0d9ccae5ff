//! Which of several targets an attempt goes to.

use std::cmp::Reverse;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::standing::Pauses;
use super::state::{State, States, Told, Turn};

/// For how long a target is out that cannot be reached. One failure may be a moment's; a machine that is off is not to
/// cost somebody the connect limit every other second.
const UNREACHABLE: Pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// The targets of one route.
#[derive(Debug)]
pub struct Targets {
    targets: Box<[Target]>,
    turn: AtomicU64,
}

/// How much of the work a target does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Beside others of the same priority.
    pub weight: u32,
    /// One with a higher number works only where all with lower ones rest.
    pub priority: u32,
}

#[derive(Debug)]
struct Target {
    share: Share,
    state: Arc<State>,
}

impl Targets {
    /// How many there may be.
    pub const MAX: usize = 100;

    /// The targets of this route, of which something may be known already.
    #[must_use]
    pub fn new<T: Hash>(states: &States, route: &str, targets: impl Iterator<Item = (T, Share)>) -> Self {
        let target = |(name, share)| Target { share, state: states.of(route, &("target", name)) };
        Self { targets: targets.map(target).collect(), turn: AtomicU64::new(0) }
    }

    /// Picks one for an attempt that has not been tried yet: of those that do not rest the first by priority, shared out by
    /// weight; else the one that is due soonest.
    pub fn pick(&self, now: Instant, tried: &[usize]) -> Turn {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // Somebody else may take it in between.
        for _ in 0..self.targets.len() {
            let Some(place) = self.free(now, tried, turn) else { break };
            if let Some(turn) = self.targets[place].state.take(now, place, false) {
                return turn;
            }
        }
        let resting = |place: &usize| (self.targets[*place].state.due(), self.targets[*place].share.priority);
        let places = 0..self.targets.len();
        let soonest = places.clone().filter(|place| !tried.contains(place)).min_by_key(resting);
        let place = soonest.or_else(|| places.min_by_key(resting)).unwrap_or_default();
        self.targets[place].state.take_anyway(now, place, false)
    }

    /// Whether one is left that has not been tried and does not rest.
    #[must_use]
    pub fn is_one_left(&self, now: Instant, tried: &[usize]) -> bool {
        (0..self.targets.len()).any(|place| self.is_free(place, now, tried))
    }

    /// A connection was there.
    pub fn reached(&self, turn: &mut Turn, now: Instant) -> Option<Told> {
        turn.worked(now)
    }

    /// There was none.
    pub fn not_reached(&self, turn: &mut Turn, now: Instant) -> Option<Told> {
        turn.failed(now, UNREACHABLE)
    }

    fn is_free(&self, place: usize, now: Instant, tried: &[usize]) -> bool {
        !tried.contains(&place) && self.targets[place].state.is_free(now)
    }

    fn free(&self, now: Instant, tried: &[usize], turn: u64) -> Option<usize> {
        let free = || (0..self.targets.len()).filter(|place| self.is_free(*place, now, tried));
        let first = free().map(|place| self.targets[place].share.priority).min()?;
        let of_first = || free().filter(|place| self.targets[*place].share.priority == first);
        let weights = of_first().map(|place| u64::from(self.targets[place].share.weight)).sum::<u64>();
        // Multiples of the golden ratio fall evenly into every interval, whatever its length: turns of one target are
        // neither bunched nor left to chance.
        let at = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut at = u64::try_from((u128::from(at) * u128::from(weights)) >> 64).unwrap_or_default();
        let is_here = |place: &usize| {
            let weight = u64::from(self.targets[*place].share.weight);
            let is_here = at < weight;
            at = at.saturating_sub(weight);
            is_here
        };
        // One may have begun to rest in between.
        of_first().find(is_here).or_else(|| of_first().min_by_key(|place| Reverse(self.targets[*place].share.weight)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec as several;
    use proptest::{prop_assert, proptest};

    use super::super::Change;
    use super::*;

    fn targets(shares: &[(u32, u32)]) -> Targets {
        let share =
            |(place, (weight, priority)): (usize, &(u32, u32))| (place, Share { weight: *weight, priority: *priority });
        Targets::new(&States::default(), "a", shares.iter().enumerate().map(share))
    }

    fn counts(targets: &Targets, now: Instant, times: usize) -> Vec<usize> {
        let mut counts = vec![0; targets.targets.len()];
        (0..times).for_each(|_| counts[targets.pick(now, &[]).place()] += 1);
        counts
    }

    fn fails(targets: &Targets, now: Instant, place: usize) -> Option<Told> {
        let others: Vec<_> = (0..targets.targets.len()).filter(|other| *other != place).collect();
        targets.not_reached(&mut targets.pick(now, &others), now)
    }

    #[test]
    fn weights_share_the_work_out() {
        let (targets, now) = (targets(&[(1, 0), (3, 0), (6, 0), (5, 1)]), Instant::now());
        for _ in 0..20 {
            let counts = counts(&targets, now, 100);
            let is_near = |(count, expected): (&usize, &usize)| count.abs_diff(*expected) <= 3;
            assert!(counts.iter().zip(&[10, 30, 60, 0]).all(is_near), "{counts:?}");
        }
        fails(&targets, now, 2);
        let counts = counts(&targets, now, 400);
        assert!(counts[0].abs_diff(100) <= 4 && counts[1].abs_diff(300) <= 4 && counts[2..] == [0, 0], "{counts:?}");
    }

    #[test]
    fn a_lower_priority_works_only_where_all_before_it_rest() {
        let (targets, now) = (targets(&[(1, 5), (1, 0), (1, 0)]), Instant::now());
        assert_eq!(counts(&targets, now, 10)[0], 0);
        fails(&targets, now, 1);
        assert_eq!(counts(&targets, now, 10), [0, 0, 10]);
        fails(&targets, now, 2);
        assert_eq!(counts(&targets, now, 10), [10, 0, 0]);
        assert!(targets.is_one_left(now, &[]) && !targets.is_one_left(now, &[0]));
        fails(&targets, now, 0);
        // All rest, and are due at the same time: the first by priority.
        assert_eq!(counts(&targets, now, 10), [0, 10, 0]);
    }

    #[test]
    fn who_cannot_be_reached_is_asked_again_by_one_request_at_a_time() {
        let (targets, start) = (targets(&[(1, 0), (1, 0)]), Instant::now());
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let told = fails(&targets, now, 0);
            let pause = Duration::from_secs(pause);
            assert!(told.is_none_or(|told| told.change == Change::Out(pause)), "{told:?}");
            assert_eq!(counts(&targets, now + pause - Duration::from_millis(1), 20), [0, 20]);
            now += pause;
            let probe = targets.pick(now, &[1]);
            assert_eq!((probe.place(), counts(&targets, now, 20)), (0, vec![0, 20]));
        }
        assert!(targets.reached(&mut targets.pick(now, &[1]), now).is_some());
        assert!(counts(&targets, now, 20)[0] >= 8);
    }

    proptest! {
        #[test]
        fn there_is_always_a_target(
            shares in several((1..9_u32, 0..3_u32), 1..6),
            steps in several((0..3_usize, 0..90_000_u64, several(0..6_usize, 0..4)), 0..60),
        ) {
            let (targets, mut now) = (targets(&shares), Instant::now());
            for (outcome, later, tried) in steps {
                now += Duration::from_millis(later);
                let has_one = targets.is_one_left(now, &tried);
                let mut turn = targets.pick(now, &tried);
                prop_assert!(turn.place() < shares.len());
                prop_assert!(!has_one || !tried.contains(&turn.place()));
                let _ = match outcome {
                    0 => targets.reached(&mut turn, now),
                    1 => targets.not_reached(&mut turn, now),
                    _ => None,
                };
            }
        }
    }
}
