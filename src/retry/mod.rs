//! Whether a request is sent once more after an attempt failed, and how soon. Nothing here waits or sends: an outcome, a
//! policy and a situation go in, the next step comes out.
//!
//! The wait before an attempt is a random time up to `backoff`, which doubles with each attempt ("full jitter": Brooker,
//! "Exponential Backoff and Jitter", AWS 2015; "Handling Overload" of Google's SRE book asks for the same): clients that
//! failed together must not come back together. What an upstream itself asks for is kept to, up to `max_wait`; a little
//! chance is added to it, since it asks the same of everybody.

mod event;

use std::time::Duration;

pub use event::stream_error;

/// How failed attempts are met on one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// What is met with another attempt.
    pub on: On,
    /// Up to how long is waited before the second attempt; twice as long before each further one.
    pub backoff: Duration,
    /// What is not waited beyond, whoever asks for it.
    pub max_wait: Duration,
    /// Up to how many bytes of a request's body are kept to be sent again.
    pub body_buffer: usize,
    /// Whether an error at the very beginning of a stream counts as a failed attempt.
    pub detects_stream_errors: bool,
}

/// A set of outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On(Vec<Outcome>);

/// What can come of an attempt that another one may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It ended before a byte of the request was sent.
    Connect,
    /// The upstream was lost after the request was sent, or said what is no answer.
    Reset,
    /// No answer in time.
    Timeout,
    /// An answer of this status.
    Status(u16),
}

/// What else decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// How many attempts were made on this route.
    pub made: u32,
    /// Whether all that was sent of the request is still at hand.
    pub is_repeatable: bool,
    /// How long the upstream asks to be left alone.
    pub asked: Option<Duration>,
    /// How much is left of the time for the whole exchange.
    pub time_left: Option<Duration>,
    /// The next attempt goes to somebody who has nothing to do with the failure: there is nothing to wait for.
    pub is_fresh: bool,
}

/// What comes after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The client is told what came of it.
    Tell,
    /// Another attempt on the same route, after this time.
    Again(Duration),
    /// The next fallback, if there is one; otherwise the client is told.
    Fallback,
}

impl Default for On {
    fn default() -> Self {
        let statuses = [429, 502, 503, 504, 529].map(Outcome::Status);
        Self::new([Outcome::Connect].into_iter().chain(statuses))
    }
}

impl On {
    /// The set of these.
    pub fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        Self(outcomes.into_iter().collect())
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, outcome: Outcome) -> bool {
        self.0.contains(&outcome)
    }

    /// They, in the order in which they were written.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.0
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 1,
            on: On::default(),
            backoff: Duration::from_millis(200),
            max_wait: Duration::from_secs(10),
            body_buffer: 1 << 20,
            detects_stream_errors: false,
        }
    }
}

impl Policy {
    /// What comes after this outcome. `chance` is between 0 and 1.
    #[must_use]
    pub fn next(&self, outcome: Outcome, now: Situation, chance: f64) -> Next {
        if !self.on.has(outcome) || !now.is_repeatable {
            return Next::Tell;
        }
        if now.made >= self.attempts {
            return Next::Fallback;
        }
        if now.is_fresh {
            return Next::Again(Duration::ZERO);
        }
        let wait = match now.asked {
            Some(asked) if asked > self.max_wait => return Next::Fallback,
            Some(asked) => (asked + part(self.backoff, chance)).min(self.max_wait),
            None => part(self.longest_backoff(now.made), chance),
        };
        // A wait that ends with the time for all of it would only put off the answer that is there.
        if now.time_left.is_some_and(|left| wait >= left) { Next::Fallback } else { Next::Again(wait) }
    }

    /// Up to how long is waited after so many attempts.
    fn longest_backoff(&self, made: u32) -> Duration {
        let doubled = 2_u32.checked_pow(made.saturating_sub(1)).and_then(|factor| self.backoff.checked_mul(factor));
        doubled.unwrap_or(self.max_wait).min(self.max_wait)
    }
}

fn part(of: Duration, chance: f64) -> Duration {
    of.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Situation = Situation { made: 1, is_repeatable: true, asked: None, time_left: None, is_fresh: false };

    fn policy(attempts: u32) -> Policy {
        Policy { attempts, ..Policy::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn by_default_nothing_is_repeated_that_may_have_been_acted_on() {
        for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::Status(500), Outcome::Status(401)] {
            assert_eq!(policy(3).next(outcome, NOW, 0.5), Next::Tell, "{outcome:?}");
        }
        for outcome in [Outcome::Connect].into_iter().chain([429, 502, 503, 504, 529].map(Outcome::Status)) {
            assert_eq!(policy(3).next(outcome, NOW, 0.5), Next::Again(Duration::from_millis(100)), "{outcome:?}");
        }
    }

    #[test]
    fn attempts_are_spent_and_then_somebody_else_is_asked() {
        let status = Outcome::Status(503);
        assert_eq!(policy(1).next(status, NOW, 0.0), Next::Fallback);
        assert_eq!(policy(2).next(status, NOW, 0.0), Next::Again(Duration::ZERO));
        assert_eq!(policy(2).next(status, Situation { made: 2, ..NOW }, 0.0), Next::Fallback);
        assert_eq!(policy(2).next(status, Situation { is_repeatable: false, ..NOW }, 0.0), Next::Tell);
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let wait = |made| policy(20).next(Outcome::Connect, Situation { made, ..NOW }, 1.0);
        let waits = [1, 2, 3, 6, 7, 19].map(wait);
        let expected = [200, 400, 800, 6_400, 10_000, 10_000].map(|wait| Next::Again(Duration::from_millis(wait)));
        assert_eq!(waits, expected);
    }

    #[test]
    fn what_an_upstream_asks_for_is_kept_to_or_somebody_else_is_asked() {
        let next =
            |asked, chance| policy(2).next(Outcome::Status(429), Situation { asked: Some(asked), ..NOW }, chance);
        assert_eq!(next(seconds(3), 0.0), Next::Again(seconds(3)));
        assert_eq!(next(seconds(3), 1.0), Next::Again(Duration::from_millis(3_200)));
        assert_eq!(next(seconds(10), 1.0), Next::Again(seconds(10)));
        assert_eq!(next(seconds(11), 0.0), Next::Fallback);
        let fresh = Situation { asked: Some(seconds(60)), is_fresh: true, ..NOW };
        assert_eq!(policy(2).next(Outcome::Status(429), fresh, 1.0), Next::Again(Duration::ZERO));
    }

    #[test]
    fn nobody_waits_for_a_time_that_will_not_come() {
        let now = Situation { time_left: Some(seconds(2)), asked: Some(seconds(2)), ..NOW };
        assert_eq!(policy(2).next(Outcome::Status(429), now, 0.0), Next::Fallback);
        let now = Situation { asked: Some(seconds(1)), ..now };
        assert_eq!(policy(2).next(Outcome::Status(429), now, 0.0), Next::Again(seconds(1)));
    }

    proptest! {
        /// Whatever is said and however it comes, no wait is longer than the limit, and there is an end.
        #[test]
        fn waits_and_attempts_have_limits(
            attempts in 1..=10_u32,
            made in 1..=12_u32,
            backoff in 0..100_000_u64,
            max_wait in 0..100_000_u64,
            asked in prop::option::of(0..u64::MAX),
            chance in 0.0..=1.0_f64,
        ) {
            let (backoff, max_wait) = (Duration::from_millis(backoff), Duration::from_millis(max_wait));
            let policy = Policy { attempts, backoff, max_wait, ..Policy::default() };
            let now = Situation { made, asked: asked.map(Duration::from_millis), ..NOW };
            match policy.next(Outcome::Status(429), now, chance) {
                Next::Again(wait) => {
                    prop_assert!(made < attempts && wait <= max_wait);
                    prop_assert!(now.asked.is_none_or(|asked| wait >= asked));
                }
                Next::Fallback => prop_assert!(made >= attempts || now.asked.is_some_and(|asked| asked > max_wait)),
                Next::Tell => prop_assert!(false),
            }
        }
    }
}
