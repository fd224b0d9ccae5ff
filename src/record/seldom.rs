//! Of many lines of one kind, a few: whoever scans ports should not fill a disk.

use std::time::{Duration, Instant};

/// How long after a line the next one of its kind may be written.
const REST: Duration = Duration::from_secs(60);

/// Lines of one kind.
#[derive(Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
    withheld: u64,
}

impl Seldom {
    /// Whether a line is written: if so, how many were not since the one before.
    pub(super) fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < REST) {
            self.withheld += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_minute_is_written_and_the_others_are_counted() {
        let (start, mut seldom) = (Instant::now(), Seldom::default());
        let turns = [0, 1, 59, 60, 61, 200].map(|seconds| seldom.turn(start + Duration::from_secs(seconds)));
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
