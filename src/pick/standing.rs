//! How one entry stands: whether it may be used, and when again. Pure: time is passed in, and nothing is shared.

use std::time::Duration;

/// How an entry stands. It fits into one number, so that many threads can change it without a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) rest: Rest,
    /// When it may be used again, in milliseconds. Meaningless while it does not rest.
    pub(super) due: u64,
    /// How often it has failed in a row.
    failures: u8,
    /// Whether a request is finding out if it is good again.
    is_probed: bool,
    /// Counts the changes: what was begun before the last one says nothing about what came of it.
    pub(super) stamp: u16,
}

/// Why an entry rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It does not.
    No,
    /// It was used too much, and is good again when the time has come.
    Limited,
    /// It does not work, and is out until one request shows that it does.
    Out,
}

/// For how long an entry that does not work is out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// After the first failure; each one that follows doubles it.
    pub(super) first: Duration,
    /// What it is not doubled beyond.
    pub(super) longest: Duration,
}

/// An attempt, as its outcome is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// How many changes there had been when it began.
    pub(super) stamp: u16,
    /// Whether it was to find out if the entry is good again.
    pub(super) is_probe: bool,
}

const DUE_BITS: u32 = 40;
const STAMP_BITS: u32 = 15;
const FAILURE_BITS: u32 = 6;
/// Some thirty years: beyond that nobody waits.
const MAX_DUE: u64 = (1 << DUE_BITS) - 1;
const MAX_STAMP: u16 = (1 << STAMP_BITS) - 1;
const MAX_FAILURES: u8 = (1 << FAILURE_BITS) - 1;

impl Standing {
    /// That of an entry of which nothing is known.
    pub(super) const GOOD: Self = Self { rest: Rest::No, due: 0, failures: 0, is_probed: false, stamp: 0 };

    /// Whether it may be used.
    pub(super) fn is_free(self, now: u64) -> bool {
        match self.rest {
            Rest::No => true,
            Rest::Limited => self.due <= now,
            Rest::Out => self.due <= now && !self.is_probed,
        }
    }

    /// An attempt begins with it. Where it was out and its time has come, that one is the probe.
    pub(super) fn begin(self, now: u64) -> (Self, Begun) {
        let is_probe = self.rest == Rest::Out && self.due <= now && !self.is_probed;
        (Self { is_probed: self.is_probed || is_probe, ..self }, Begun { stamp: self.stamp, is_probe })
    }

    /// An attempt ends, and nothing was learned of the entry.
    pub(super) fn let_go(self, begun: Begun) -> Self {
        if begun.is_probe && begun.stamp == self.stamp { Self { is_probed: false, ..self } } else { self }
    }

    /// It worked.
    pub(super) fn worked(self, begun: Begun) -> Self {
        // Who began before the last change says nothing about what has been since.
        if self.rest == Rest::No || begun.stamp != self.stamp {
            return self.let_go(begun);
        }
        Self { stamp: self.next_stamp(), ..Self::GOOD }
    }

    /// It was used too much, and is to rest for so long.
    pub(super) fn limited(self, begun: Begun, now: u64, pause: Duration) -> Self {
        if self.rest == Rest::Out && begun.stamp != self.stamp {
            return self;
        }
        let due = after(now, pause);
        let due = if self.rest == Rest::Limited { due.max(self.due) } else { due };
        Self { rest: Rest::Limited, due, failures: 0, is_probed: false, stamp: self.next_stamp() }
    }

    /// It does not work.
    pub(super) fn failed(self, begun: Begun, now: u64, pauses: Pauses) -> Self {
        let is_news = match self.rest {
            // Many that began together and fail together are one failure; so are those that had nothing else to take.
            Rest::Out => begun.is_probe && begun.stamp == self.stamp,
            Rest::No => begun.stamp == self.stamp,
            Rest::Limited => true,
        };
        if !is_news {
            return self;
        }
        let before = if self.rest == Rest::Out { self.failures } else { 0 };
        let pause = pauses.first.saturating_mul(1 << before.min(30)).min(pauses.longest);
        let failures = before.saturating_add(1).min(MAX_FAILURES);
        Self { rest: Rest::Out, due: after(now, pause), failures, is_probed: false, stamp: self.next_stamp() }
    }

    fn next_stamp(self) -> u16 {
        (self.stamp + 1) & MAX_STAMP
    }

    /// All of it as one number.
    pub(super) fn pack(self) -> u64 {
        let rest = match self.rest {
            Rest::No => 0,
            Rest::Limited => 1,
            Rest::Out => 2,
        };
        let high = u64::from(self.failures) << 3 | u64::from(self.is_probed) << 2 | rest;
        (high << STAMP_BITS | u64::from(self.stamp)) << DUE_BITS | self.due
    }

    /// What the number stands for.
    pub(super) fn unpack(number: u64) -> Self {
        let low = |number: u64, bits: u32| number & ((1 << bits) - 1);
        let high = number >> (DUE_BITS + STAMP_BITS);
        Self {
            rest: match low(high, 2) {
                0 => Rest::No,
                1 => Rest::Limited,
                _ => Rest::Out,
            },
            due: low(number, DUE_BITS),
            failures: u8::try_from(low(high >> 3, FAILURE_BITS)).unwrap_or(MAX_FAILURES),
            is_probed: high & 4 != 0,
            stamp: u16::try_from(low(number >> DUE_BITS, STAMP_BITS)).unwrap_or_default(),
        }
    }
}

fn after(now: u64, pause: Duration) -> u64 {
    now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)).min(MAX_DUE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSES: Pauses = Pauses { first: Duration::from_secs(60), longest: Duration::from_secs(1800) };
    const MINUTE: u64 = 60_000;

    /// Fails at each probe, from the moment at which it is due.
    fn failing(mut standing: Standing, mut now: u64, times: usize) -> Vec<u64> {
        let mut pauses = Vec::new();
        for _ in 0..times {
            let (probed, begun) = standing.begin(now);
            standing = probed.failed(begun, now, PAUSES);
            pauses.push((standing.due - now) / MINUTE);
            now = standing.due;
        }
        pauses
    }

    #[test]
    fn who_fails_is_out_for_longer_and_longer() {
        assert_eq!(failing(Standing::GOOD, 5, 8), [1, 2, 4, 8, 16, 30, 30, 30]);
        // However often: it neither wraps nor forgets.
        assert!(failing(Standing::GOOD, 5, 100)[6..].iter().all(|pause| *pause == 30));
    }

    #[test]
    fn those_that_fail_together_have_failed_once() {
        let (standing, begun) = Standing::GOOD.begin(0);
        let once = standing.failed(begun, 0, PAUSES);
        assert_eq!(once.failed(begun, 10, PAUSES), once);
        // Nor do those that had nothing else to take make it worse before its time has come.
        let (early, begun) = once.begin(10);
        assert!(!begun.is_probe && early == once && once.failed(begun, 20, PAUSES) == once);
    }

    #[test]
    fn one_at_a_time_finds_out() {
        let (standing, begun) = Standing::GOOD.begin(0);
        let out = standing.failed(begun, 0, PAUSES);
        assert!(!out.is_free(MINUTE - 1) && out.is_free(MINUTE));
        let (probed, probe) = out.begin(MINUTE);
        assert!(probe.is_probe && !probed.is_free(MINUTE) && !probed.begin(MINUTE).1.is_probe);
        // Nothing was learned: the next one may try.
        assert!(probed.let_go(probe).is_free(MINUTE));
        let good = probed.worked(probe);
        assert_eq!((good.rest, failing(good, MINUTE, 1)), (Rest::No, vec![1]));
        // The key is good, but used up.
        let limited = probed.limited(probe, MINUTE, Duration::from_secs(1));
        assert_eq!((limited.rest, limited.due), (Rest::Limited, MINUTE + 1000));
    }

    #[test]
    fn what_began_before_says_nothing_of_what_came_since() {
        let (standing, old) = Standing::GOOD.begin(0);
        let limited = standing.limited(old, 0, Duration::from_secs(20));
        assert_eq!(limited.worked(old), limited);
        assert!(!limited.is_free(19_999) && limited.is_free(20_000));
        // One more that was under way can only make it longer.
        assert_eq!(limited.limited(old, 1000, Duration::from_secs(1)).due, 20_000);
        assert_eq!(limited.limited(old, 1000, Duration::from_secs(50)).due, 51_000);
        // Who had nothing else to take, and was let through, knows better.
        let (_, early) = limited.begin(5);
        assert_eq!(limited.worked(early).rest, Rest::No);
        // Refused is refused, whenever it began.
        let out = limited.failed(old, 0, PAUSES);
        assert_eq!(out.rest, Rest::Out);
        assert_eq!((out.worked(old), out.limited(old, 0, Duration::from_secs(1))), (out, out));
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        let rest = prop_oneof![Just(Rest::No), Just(Rest::Limited), Just(Rest::Out)];
        (rest, 0..=MAX_DUE, 0..=MAX_FAILURES, any::<bool>(), 0..=MAX_STAMP)
            .prop_map(|(rest, due, failures, is_probed, stamp)| Standing { rest, due, failures, is_probed, stamp })
    }

    proptest! {
        #[test]
        fn it_is_one_number(standing in any_standing()) {
            prop_assert_eq!(Standing::unpack(standing.pack()), standing);
        }

        /// Whatever happens in whatever order, it is free again within the longest pause, and a probe ends.
        #[test]
        fn it_heals(steps in prop::collection::vec((0..5_u8, 0..100_000_u64, 0..4_usize), 0..60)) {
            let (mut standing, mut now, mut running) = (Standing::GOOD, 0, Vec::new());
            for (step, later, which) in steps {
                now += later;
                if step == 0 || running.is_empty() {
                    let begun;
                    (standing, begun) = standing.begin(now);
                    running.push(begun);
                    continue;
                }
                let begun = running.swap_remove(which % running.len());
                standing = match step {
                    1 => standing.worked(begun),
                    2 => standing.limited(begun, now, Duration::from_secs(later % 3600)),
                    3 => standing.failed(begun, now, PAUSES),
                    _ => standing.let_go(begun),
                };
                prop_assert!(running.iter().filter(|begun| begun.is_probe && begun.stamp == standing.stamp).count() <= 1);
            }
            for begun in running {
                standing = standing.let_go(begun);
            }
            prop_assert!(standing.is_free(now + 3_600_000));
        }
    }
}
