//! How much of what nobody profits from is put up with before a connection ends.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// An amount that is used up, and grows again with time up to what it was.
#[derive(Debug)]
pub(super) struct Allowance {
    at_once: u32,
    a_second: u32,
    left: Cell<u32>,
    /// Up to when it has grown. The clock is asked only when there is too little left.
    grown_until: Cell<Instant>,
    is_exceeded: Cell<bool>,
}

impl Allowance {
    /// So much at once, and so much in a second on the average.
    pub(super) fn new(at_once: u32, a_second: u32) -> Self {
        Self {
            at_once,
            a_second,
            left: Cell::new(at_once),
            grown_until: Cell::new(Instant::now()),
            is_exceeded: Cell::new(false),
        }
    }

    /// Uses some of it.
    pub(super) fn take(&self, amount: u32) {
        if self.left.get() < amount {
            self.grow();
        }
        match self.left.get().checked_sub(amount) {
            Some(left) => self.left.set(left),
            None => self.is_exceeded.set(true),
        }
    }

    /// Gives some of it back.
    pub(super) fn give(&self, amount: u32) {
        self.left.set(self.left.get().saturating_add(amount).min(self.at_once));
    }

    /// Whether more was used than there was, ever.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    fn grow(&self) {
        let seconds = self.grown_until.get().elapsed().as_secs();
        self.grown_until.set(self.grown_until.get() + Duration::from_secs(seconds));
        self.give(self.a_second.saturating_mul(u32::try_from(seconds).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_much_at_once_and_no_more() {
        let allowance = Allowance::new(400, 50);
        for _ in 0..400 {
            allowance.take(1);
        }
        assert!(!allowance.is_exceeded());
        allowance.take(1);
        assert!(allowance.is_exceeded());
        advance(Duration::from_secs(60)).await;
        allowance.take(1);
        assert!(allowance.is_exceeded(), "what was too much stays too much");
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_can_be_kept_up_for_ever() {
        let allowance = Allowance::new(400, 50);
        for _ in 0..20_000 {
            allowance.take(1);
            advance(Duration::from_millis(20)).await;
        }
        assert!(!allowance.is_exceeded());
        for _ in 0..2_000 {
            allowance.take(1);
            advance(Duration::from_millis(10)).await;
        }
        assert!(allowance.is_exceeded(), "and twice the average cannot");
    }

    #[tokio::test(start_paused = true)]
    async fn fractions_of_seconds_are_not_lost() {
        let allowance = Allowance::new(3, 1);
        allowance.take(3);
        for _ in 0..10 {
            advance(Duration::from_millis(1_500)).await;
            allowance.take(1);
            advance(Duration::from_millis(500)).await;
            allowance.take(1);
        }
        assert!(!allowance.is_exceeded());
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_grows_beyond_what_it_was() {
        let allowance = Allowance::new(10, 5);
        allowance.give(100);
        advance(Duration::from_secs(1 << 40)).await;
        allowance.take(8);
        allowance.give(3);
        allowance.take(5);
        assert!(!allowance.is_exceeded());
        allowance.take(11);
        assert!(allowance.is_exceeded());
    }
}
