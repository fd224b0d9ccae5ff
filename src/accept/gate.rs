//! How many may be inside at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts connections over all workers.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicUsize>);

/// One connection's place. It is free again when this goes.
#[derive(Debug)]
pub struct Seat(Gate);

impl Gate {
    /// A place, or `None` if `max` are taken.
    #[must_use]
    pub fn enter(&self, max: usize) -> Option<Seat> {
        let enter = |taken| (taken < max).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok().map(|_| Seat(self.clone()))
    }

    /// How many are inside.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_free_again_when_they_are_left() {
        let gate = Gate::default();
        let one = gate.enter(2).expect("free");
        let two = gate.enter(2).expect("free");
        assert!(gate.enter(2).is_none());
        drop(one);
        assert!(gate.enter(2).is_some());
        drop(two);
        assert_eq!(gate.taken(), 0);
    }
}
