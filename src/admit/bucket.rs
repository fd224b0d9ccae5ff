//! A bucket that holds what may be used in a minute, and fills as the minute goes by.

use std::time::Duration;

use tokio::time::Instant;

/// What has been taken out of a bucket and has not come back yet. More may have been taken than it holds: what an answer
/// has used is known at its end only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bucket {
    taken: f64,
    /// When it was last looked at; never, if nothing was ever taken.
    at: Option<Instant>,
}

impl Bucket {
    /// A bucket out of which so much is taken at this moment.
    pub(super) fn with(taken: f64, now: Instant) -> Self {
        Self { taken, at: Some(now) }
    }

    /// Lets come back what does by now, in a bucket that holds `per_minute`.
    pub(super) fn fill(&mut self, per_minute: f64, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.taken = (self.taken - per_minute * since.as_secs_f64() / 60.0).max(0.0);
        // Requests on several threads do not come in the order of their clocks.
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    /// Whether one more can be taken.
    pub(super) fn has_one(&self, per_minute: f64) -> bool {
        self.taken + 1.0 <= per_minute
    }

    /// Takes so much, whether it is there or not.
    pub(super) fn take(&mut self, amount: f64) {
        self.taken += amount;
    }

    /// Forgets what is taken beyond this.
    pub(super) fn limit(&mut self, most: f64) {
        self.taken = self.taken.min(most);
    }

    /// When it was last looked at.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// How much of it is taken.
    pub(super) fn taken(&self) -> f64 {
        self.taken
    }
}

/// How much may be taken of a bucket that holds `per_minute`, in whole ones.
pub(super) fn left(taken: f64, per_minute: f64) -> u64 {
    whole((per_minute - taken).floor())
}

/// How long it takes until one can be taken.
pub(super) fn until_one(taken: f64, per_minute: f64) -> Duration {
    time_for(taken + 1.0 - per_minute, per_minute)
}

/// How long it takes until the bucket is full.
pub(super) fn until_full(taken: f64, per_minute: f64) -> Duration {
    time_for(taken, per_minute)
}

fn time_for(amount: f64, per_minute: f64) -> Duration {
    Duration::try_from_secs_f64((amount / per_minute * 60.0).max(0.0)).unwrap_or(Duration::MAX)
}

/// A whole number that was counted with floating point, where fractions come up on the way.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range becomes the nearest")]
pub(super) fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// The same the other way. Limits are small enough to be exact (see `config::raw`).
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts single ones")]
pub(super) fn number(whole: u64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_full_bucket_lets_a_minute_go_at_once_and_then_as_much_as_comes_back() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let mut taken_at = |now: Instant| {
            let mut count = 0;
            bucket.fill(60.0, now);
            while bucket.has_one(60.0) {
                bucket.take(1.0);
                count += 1;
            }
            count
        };
        assert_eq!(taken_at(start), 60);
        assert_eq!(taken_at(after(start, 999)), 0);
        assert_eq!(taken_at(after(start, 1000)), 1);
        assert_eq!(taken_at(after(start, 3500)), 2);
        // The half that had come back already is not lost.
        assert_eq!(taken_at(after(start, 4000)), 1);
        assert_eq!(taken_at(after(start, 3_600_000)), 60);
    }

    #[test]
    fn fractions_do_not_add_up_to_one_more() {
        let start = Instant::now();
        for per_minute in [1.0, 3.0, 7.0, 59.0, 61.0, 997.0] {
            let mut bucket = Bucket::default();
            let mut count = 0;
            for step in 0..60_000 {
                bucket.fill(per_minute, after(start, step));
                if bucket.has_one(per_minute) {
                    bucket.take(1.0);
                    count += 1;
                }
            }
            // A minute less a millisecond has gone by.
            assert!((per_minute * 2.0 - 1.0..per_minute * 2.0).contains(&f64::from(count)), "{per_minute}: {count}");
        }
    }

    #[test]
    fn clocks_that_go_back_give_nothing_twice() {
        let start = Instant::now();
        let mut bucket = Bucket::with(60.0, after(start, 10_000));
        bucket.fill(60.0, start);
        assert!((bucket.taken() - 60.0).abs() < f64::EPSILON);
        bucket.fill(60.0, after(start, 11_000));
        assert!((bucket.taken() - 59.0).abs() < 1e-9);
    }

    #[test]
    fn what_was_taken_beyond_the_bottom_has_to_come_back_first() {
        let start = Instant::now();
        let mut bucket = Bucket::with(0.0, start);
        bucket.take(250.0);
        assert!(!bucket.has_one(100.0));
        assert_eq!((left(bucket.taken(), 100.0), until_one(bucket.taken(), 100.0).as_millis()), (0, 90_600));
        assert_eq!(until_full(bucket.taken(), 100.0), Duration::from_secs(150));
        bucket.fill(100.0, after(start, 90_599));
        assert!(!bucket.has_one(100.0));
        bucket.fill(100.0, after(start, 90_601));
        assert!(bucket.has_one(100.0));
    }
}
