//! How many may be inside at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts connections over all workers.
#[derive(Debug, Clone)]
pub struct Gate {
    taken: Arc<AtomicUsize>,
    room: usize,
}

/// One connection's place, or that of one stream of an HTTP/2 connection. It is free again when this goes.
#[derive(Debug)]
pub struct Seat(Gate);

impl Gate {
    /// A gate to so much room.
    #[must_use]
    pub fn to(room: usize) -> Self {
        Self { taken: Arc::default(), room }
    }

    /// A place, or `None` if `max` are taken, or all that there are.
    #[must_use]
    pub fn enter(&self, max: usize) -> Option<Seat> {
        let enter = |taken| (taken < max.min(self.room)).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).ok().map(|_| Seat(self.clone()))
    }

    /// How many are inside.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// Another place in the same room, or `None` if `max` are taken.
    #[must_use]
    pub fn another(&self, max: usize) -> Option<Self> {
        self.0.enter(max)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_free_again_when_they_are_left() {
        let gate = Gate::to(5);
        let one = gate.enter(2).expect("free");
        let two = gate.enter(2).expect("free");
        assert!(gate.enter(2).is_none());
        drop(one);
        assert!(gate.enter(2).is_some());
        drop(two);
        assert_eq!(gate.taken(), 0);
    }

    #[test]
    fn whoever_is_inside_can_have_more_places_up_to_the_room_there_is() {
        let gate = Gate::to(2);
        let one = gate.enter(10).expect("free");
        assert!(one.another(1).is_none());
        let _two = one.another(10).expect("free");
        assert!(one.another(10).is_none() && gate.enter(10).is_none());
    }
}
