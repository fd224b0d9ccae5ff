//! How many connections each worker has.
//!
//! The kernel shares new connections out by a hash of their addresses. That is even for many that come and go. Of a few
//! that stay for hours, as event streams do, one worker may get five and another none, whose core then rests. So a worker
//! that has clearly more than the one with the fewest gives what comes in to that one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The counts of all workers.
#[derive(Clone)]
pub(super) struct Crowd(Arc<[Arc<AtomicUsize>]>);

/// One connection of a worker. It is counted until this goes.
#[must_use]
pub(super) struct Presence(Arc<AtomicUsize>);

impl Crowd {
    pub(super) fn of(workers: usize) -> Self {
        Self((0..workers).map(|_| Arc::default()).collect())
    }

    /// Counts one more connection of this worker.
    pub(super) fn join(&self, worker: usize) -> Presence {
        let count = Arc::clone(&self.0[worker]);
        count.fetch_add(1, Ordering::Relaxed);
        Presence(count)
    }

    /// Whose a connection becomes that has come in at this worker's own door: its own, unless it has more than the one
    /// with the fewest by more than one and a quarter. To hand on costs two system calls and a wake-up, and small
    /// differences even out by themselves.
    pub(super) fn balance(&self, own: usize) -> usize {
        let (fewest, least) = self.fewest(own);
        if self.count(own) <= least + 1 + least / 4 { own } else { fewest }
    }

    /// The worker with the fewest; of several, the first from this one on.
    pub(super) fn fewest(&self, first: usize) -> (usize, usize) {
        let counts = (first..self.0.len()).chain(0..first).map(|worker| (worker, self.count(worker)));
        counts.min_by_key(|&(_, count)| count).unwrap_or((first, 0))
    }

    fn count(&self, worker: usize) -> usize {
        self.0[worker].load(Ordering::Relaxed)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_has_clearly_more_gives_to_the_one_with_the_fewest() {
        let crowd = Crowd::of(3);
        let mut there = vec![crowd.join(0)];
        assert_eq!(crowd.balance(0), 0, "one more is no crowd");
        there.push(crowd.join(0));
        assert_eq!((crowd.balance(0), crowd.balance(1)), (1, 1));
        there.push(crowd.join(1));
        assert_eq!(crowd.balance(0), 2);
        there.clear();
        assert_eq!(crowd.balance(0), 0);
    }

    #[test]
    fn of_several_the_first_comes_first() {
        let crowd = Crowd::of(3);
        assert_eq!((crowd.fewest(0), crowd.fewest(2)), ((0, 0), (2, 0)));
        let _one = crowd.join(2);
        assert_eq!(crowd.fewest(2), (0, 0));
    }

    proptest! {
        /// Wherever connections come in, no worker has many more than another.
        #[test]
        fn no_worker_starves(doors in prop::collection::vec(0..8_usize, 1..300)) {
            let crowd = Crowd::of(8);
            let _all: Vec<_> = doors.iter().map(|&door| crowd.join(crowd.balance(door))).collect();
            let counts: Vec<_> = (0..8).map(|worker| crowd.count(worker)).collect();
            let (fewest, most) = (counts.iter().min().expect("eight"), counts.iter().max().expect("eight"));
            prop_assert!(*most <= fewest + 2 + fewest / 4, "{counts:?}");
        }
    }
}
