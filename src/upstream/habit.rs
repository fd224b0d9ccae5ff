//! When an origin closes idle connections, as far as it can be seen from here.
//!
//! Few origins announce it. A request that goes out at that very moment is lost if it cannot be repeated, so that such
//! requests had better go out on a connection that is not about to be closed.

use std::time::Duration;

/// How exactly programs keep to the moment at which they mean to close: timers are coarse, and busy programs late.
const COARSE: Duration = Duration::from_millis(5);

/// What has been seen of the connections to one place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Habit {
    /// The shortest rest after which one was found closed.
    closes_after: Option<Duration>,
}

impl Habit {
    /// Notes that a connection turned out to be closed after a rest.
    pub(super) fn was_closed(&mut self, rest: Duration) {
        self.closes_after = Some(self.closes_after.map_or(rest, |known| known.min(rest)));
    }

    /// Notes that a connection was open after a rest. One that is still open long after others were closed shows that
    /// it was no habit: an origin that is started again closes everything at once.
    pub(super) fn was_open(&mut self, rest: Duration) {
        self.closes_after = self.closes_after.filter(|known| rest < *known * 2 + COARSE);
    }

    /// Whether a connection may be about to be closed after a rest.
    pub(super) fn is_risky(self, rest: Duration) -> bool {
        self.closes_after.is_some_and(|known| rest >= known - known / 4)
    }

    /// Whether anything is known.
    pub(super) fn is_known(self) -> bool {
        self.closes_after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_closes_after_a_rest_is_risky_some_time_before() {
        let mut habit = Habit::default();
        assert!(!habit.is_known() && !habit.is_risky(seconds(3600.0)));
        habit.was_closed(seconds(60.0));
        habit.was_closed(seconds(5.0));
        habit.was_closed(seconds(7.0));
        habit.was_open(seconds(4.9));
        assert_eq!([3.7, 3.8, 5.0, 6.0].map(|rest| habit.is_risky(seconds(rest))), [false, true, true, true]);
    }

    #[test]
    fn what_is_open_long_after_shows_that_it_was_no_habit() {
        let mut habit = Habit::default();
        habit.was_closed(seconds(0.1));
        habit.was_open(seconds(0.15));
        assert!(habit.is_risky(seconds(0.1)));
        habit.was_open(seconds(0.3));
        assert!(!habit.is_known());
    }
}
