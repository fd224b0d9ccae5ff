//! Why an exchange may not begin, and what its client is told.

use std::fmt;
use std::time::Duration;

use super::bucket::{left, number, until_full};
use crate::error::{Error, Kind};

/// From when on it is no use to try again by oneself.
const LONG: Duration = Duration::from_secs(60);

/// An exchange may not begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub(super) kind: Kind,
    /// For how long this will be so, if nothing else comes in between.
    pub(super) wait: Duration,
    pub(super) levels: Levels,
}

/// The limits by the minute of who refuses, and how much is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Levels {
    pub(super) requests: Option<(u64, f64)>,
    pub(super) tokens: Option<(u64, f64)>,
}

/// A span of time in whole seconds, rounded up, as OpenAI writes it: `1s`, `6m0s`, `1h0m0s`.
struct Span(Duration);

impl Refused {
    /// It is so now; until when, nobody knows.
    pub(super) fn at_once(kind: Kind, levels: Levels) -> Self {
        Self { kind, wait: Duration::ZERO, levels }
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let Refused { kind, wait, levels } = refused;
        let mut error = Self::new(kind).field("Retry-After", seconds(wait).max(1));
        if let Kind::BudgetExhausted(..) = kind
            && wait > LONG
        {
            // So much the SDKs of OpenAI and Anthropic understand; they would try again after a few seconds.
            error = error.field("x-should-retry", false);
        }
        if let Some((limit, taken)) = levels.requests {
            error = error
                .field("x-ratelimit-limit-requests", limit)
                .field("x-ratelimit-remaining-requests", left(taken, number(limit)))
                .field("x-ratelimit-reset-requests", Span(until_full(taken, number(limit))));
        }
        if let Some((limit, taken)) = levels.tokens {
            error = error
                .field("x-ratelimit-limit-tokens", limit)
                .field("x-ratelimit-remaining-tokens", left(taken, number(limit)))
                .field("x-ratelimit-reset-tokens", Span(until_full(taken, number(limit))));
        }
        error
    }
}

fn seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = seconds(self.0);
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => write!(f, "{seconds}s"),
            (0, minutes, seconds) => write!(f, "{minutes}m{seconds}s"),
            (hours, minutes, seconds) => write!(f, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Scope, Unit};

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        for (milliseconds, written) in
            [(0, "0s"), (1, "1s"), (1000, "1s"), (59_001, "1m0s"), (360_000, "6m0s"), (3_723_000, "1h2m3s")]
        {
            assert_eq!(Span(Duration::from_millis(milliseconds)).to_string(), written);
        }
    }

    #[test]
    fn clients_are_told_when_to_come_back_and_how_far_they_are() {
        let levels = Levels { requests: Some((60, 60.0)), tokens: Some((1000, 1500.5)) };
        let kind = Kind::RateLimited(Scope::Route, Unit::Requests);
        let error = Error::from(Refused { kind, wait: Duration::from_millis(1), levels });
        let fields: Vec<_> = error.fields().iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            fields,
            [
                "Retry-After: 1",
                "x-ratelimit-limit-requests: 60",
                "x-ratelimit-remaining-requests: 0",
                "x-ratelimit-reset-requests: 1m0s",
                "x-ratelimit-limit-tokens: 1000",
                "x-ratelimit-remaining-tokens: 0",
                "x-ratelimit-reset-tokens: 1m31s",
            ]
        );
        assert_eq!((error.kind().status(), error.kind().code()), (429, "rate_limited"));
    }

    #[test]
    fn whoever_has_to_wait_for_midnight_is_not_to_try_again() {
        let kind = Kind::BudgetExhausted(Scope::Client, Unit::Dollars);
        let fields = |seconds| {
            let wait = Duration::from_secs(seconds);
            let error = Error::from(Refused { kind, wait, levels: Levels::default() });
            error.fields().iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(fields(7200), ["Retry-After: 7200", "x-should-retry: false"]);
        assert_eq!(fields(60), ["Retry-After: 60"]);
    }
}
