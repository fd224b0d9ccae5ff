//! What an exchange has used, and what that costs, as the log and the limits are told.
//!
//! The words mean what they mean in OpenTelemetry's conventions for generative AI, whoever the provider is: what goes in
//! includes what a cache has saved, what comes out includes what was thought. What nobody has said is unknown, which is
//! not the same as nothing.

use std::fmt;
use std::ops::{Add, AddAssign};

/// The figures of one exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spending {
    /// The model that has answered, or that was asked for.
    pub model: Option<Box<str>>,
    /// Tokens that went in, with those that a cache has saved.
    pub tokens_in: Option<u64>,
    /// Tokens that came out, with those that were thought.
    pub tokens_out: Option<u64>,
    /// Of those that went in, the ones that a cache has saved.
    pub tokens_cached: Option<u64>,
    /// Of those that went in, the ones that were put into a cache.
    pub tokens_stored: Option<u64>,
    /// Of those that were put into a cache, the ones that stay there for an hour.
    pub tokens_stored_long: Option<u64>,
    /// Of those that came out, the ones that were thought.
    pub tokens_reasoning: Option<u64>,
    /// Whether there may have been more: the answer broke off, or could not be read to its end.
    pub partial: bool,
    /// What all of it costs, where that is known.
    pub cost: Option<Money>,
}

impl Spending {
    /// How many tokens that is in all, if anything is known of them.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        match (self.tokens_in, self.tokens_out) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
        }
    }

    /// Whether anything is known of the tokens.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.tokens_in.is_some() || self.tokens_out.is_some()
    }
}

/// An amount of money, counted in millionths of a millionth of a dollar: prices of single tokens are whole numbers of
/// those, so that sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// One dollar.
    pub const DOLLAR: Self = Self(PER_DOLLAR);

    /// So many millionths of a millionth of a dollar.
    #[must_use]
    pub const fn of_picodollars(picodollars: u64) -> Self {
        Self(picodollars)
    }

    /// An amount in dollars as it is written, if it is one: not negative, and at most some millions.
    #[must_use]
    pub fn of_dollars(dollars: f64) -> Option<Self> {
        const MOST: f64 = 18_000_000.0;
        let is_amount = (0.0..=MOST).contains(&dollars);
        // What is written in fewer than 16 digits comes out as it was meant.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it has just been looked at")]
        is_amount.then(|| Self((dollars * 1e12).round() as u64))
    }

    /// In millionths of a millionth of a dollar.
    #[must_use]
    pub const fn picodollars(self) -> u64 {
        self.0
    }

    /// In dollars, as near as a floating-point number comes.
    #[must_use]
    pub fn dollars(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for people and for JSON; sums are made of the whole numbers")]
        let picodollars = self.0 as f64;
        picodollars / 1e12
    }

    /// So many times this.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

const PER_DOLLAR: u64 = 1_000_000_000_000;

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Money {
    /// Dollars with as many places as are needed, and at least two: `0.0025`, `1.20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = format!("{:012}", self.0 % PER_DOLLAR);
        let needed = places.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / PER_DOLLAR, &places[..needed])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_of_tokens_are_exact() {
        for (written, picodollars) in [
            (7.5e-08, 75_000),
            (1.25e-08, 12_500),
            (3.625e-09, 3_625),
            (0.0006, 600_000_000),
            (0.0, 0),
            (20.0, 20 * PER_DOLLAR),
        ] {
            assert_eq!(Money::of_dollars(written).map(Money::picodollars), Some(picodollars), "{written}");
        }
        for written in [-1e-9, f64::NAN, f64::INFINITY, 1e12] {
            assert_eq!(Money::of_dollars(written), None, "{written}");
        }
        let third = Money::of_dollars(0.1).expect("an amount");
        assert_eq!(third + third + third, Money::of_dollars(0.3).expect("an amount"));
        assert_eq!(Money::DOLLAR.times(u64::MAX), Money::of_picodollars(u64::MAX));
    }

    #[test]
    fn amounts_are_shown_with_the_places_that_they_need() {
        for (picodollars, shown) in [
            (0, "0.00"),
            (1_200_000_000_000, "1.20"),
            (2_500_000_000, "0.0025"),
            (1, "0.000000000001"),
            (3 * PER_DOLLAR + 141_500_000_000, "3.1415"),
        ] {
            assert_eq!(Money::of_picodollars(picodollars).to_string(), shown);
        }
        assert!((Money::of_picodollars(2_500_000_000).dollars() - 0.0025).abs() < 1e-18);
    }

    #[test]
    fn unknown_is_not_nothing() {
        let spending = |tokens_in, tokens_out| Spending { tokens_in, tokens_out, ..Spending::default() };
        assert_eq!(spending(None, None).tokens(), None);
        assert_eq!(spending(Some(0), None).tokens(), Some(0));
        assert_eq!(spending(Some(7), Some(5)).tokens(), Some(12));
        assert!(!spending(None, None).is_known() && spending(None, Some(0)).is_known());
    }
}
