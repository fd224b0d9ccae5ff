//! What may be spent in a day or a month, by the calendar in UTC.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::bucket::number;

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In tokens.
    pub tokens: Option<u64>,
    /// In money, in millionths of a millionth of a dollar.
    pub picodollars: Option<u64>,
    /// In what time.
    pub per: Per,
}

/// For how long a budget has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

/// A day or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    per: Per,
    first: Date,
}

/// What has been spent in a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// In tokens.
    pub(super) tokens: u64,
    /// In money.
    pub(super) picodollars: u64,
}

impl Budget {
    /// The part in money, in dollars.
    #[must_use]
    pub fn dollars(&self) -> Option<f64> {
        self.picodollars.map(|picodollars| number(picodollars) / 1e12)
    }

    /// Whether nothing may be spent any more.
    pub(super) fn is_exhausted(&self, spent: Spent) -> bool {
        self.tokens.is_some_and(|tokens| spent.tokens >= tokens)
            || self.picodollars.is_some_and(|picodollars| spent.picodollars >= picodollars)
    }
}

impl Per {
    /// How several instances call the period of this moment. Later ones come later in the alphabet.
    pub(super) fn name(self, now: Timestamp) -> String {
        let first = self.period(now).first;
        match self {
            Self::Day => format!("d{first}"),
            Self::Month => format!("m{first}"),
        }
    }

    /// The period of this moment.
    pub(super) fn period(self, now: Timestamp) -> Period {
        let date = TimeZone::UTC.to_datetime(now).date();
        let first = match self {
            Self::Day => date,
            Self::Month => date.first_of_month(),
        };
        Period { per: self, first }
    }
}

impl Period {
    /// Whether this moment is in it.
    pub(super) fn is_at(self, now: Timestamp) -> bool {
        self.per.period(now) == self
    }

    /// How long it goes on.
    pub(super) fn left(self, now: Timestamp) -> Duration {
        let next = match self.per {
            Per::Day => self.first.tomorrow(),
            Per::Month => self.first.last_of_month().tomorrow(),
        };
        let end = next.and_then(|next| TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0)));
        end.map_or(Duration::MAX, |end| Duration::try_from(end.duration_since(now)).unwrap_or_default())
    }
}

impl Spent {
    pub(super) fn add(&mut self, more: Self) {
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.picodollars = self.picodollars.saturating_add(more.picodollars);
    }

    pub(super) fn take_off(&mut self, less: Self) {
        self.tokens = self.tokens.saturating_sub(less.tokens);
        self.picodollars = self.picodollars.saturating_sub(less.picodollars);
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    #[test]
    fn days_and_months_end_at_midnight_in_utc() {
        let now = at("2028-02-28T23:59:30Z");
        let (day, month) = (Per::Day.period(now), Per::Month.period(now));
        assert_eq!(day.left(now), Duration::from_secs(30));
        // A leap year.
        assert_eq!(month.left(now), Duration::from_secs(30 + 24 * 3600));
        let later = at("2028-02-29T00:00:00Z");
        assert_ne!(Per::Day.period(later), day);
        assert_eq!(Per::Month.period(later), month);
        assert_ne!(Per::Month.period(at("2028-03-01T00:00:00Z")), month);
        assert_eq!(Per::Month.period(at("2028-12-31T12:00:00Z")).left(at("2028-12-31T12:00:00Z")).as_secs(), 12 * 3600);
    }

    #[test]
    fn a_day_is_not_a_month_though_both_begin_at_once() {
        let now = at("2028-03-01T00:00:00Z");
        assert_ne!(Per::Day.period(now), Per::Month.period(now));
    }

    #[test]
    fn a_budget_is_exhausted_when_either_part_is() {
        let budget = Budget { tokens: Some(10), picodollars: Some(5), per: Per::Day };
        for (tokens, picodollars, is_exhausted) in [(9, 4, false), (10, 0, true), (0, 5, true), (11, 6, true)] {
            assert_eq!(budget.is_exhausted(Spent { tokens, picodollars }), is_exhausted);
        }
    }
}
