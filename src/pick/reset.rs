//! When an answer says that one may come back. Providers have found many ways to say it.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::h1::{Field, Fields, http_date, retry_after, sent_at, until};

/// Numbers from here on are no seconds to wait, but a time in seconds since 1970; and from there on one in milliseconds.
const MIN_EPOCH: f64 = 1e9;
const MIN_EPOCH_MS: f64 = 1e12;

/// How long the answer says to wait, if it says so. In this order: `retry-after-ms`, `Retry-After`, and whatever says
/// when a limit is reset of which nothing remains.
///
/// Of such a limit there are two fields, whose names differ in one word: `x-ratelimit-remaining-tokens` and
/// `x-ratelimit-reset-tokens`, `anthropic-ratelimit-tokens-remaining` and `anthropic-ratelimit-tokens-reset`,
/// `ratelimit-remaining` and `ratelimit-reset`. Of several that are used up, the one that is reset last decides.
#[must_use]
pub fn pause(fields: &Fields, now: Timestamp) -> Option<Duration> {
    retry_after(fields, now).or_else(|| {
        let now = sent_at(fields, now);
        let used_up = fields.iter().filter(|field| is_reset(field.name()) && is_used_up(fields, field));
        used_up.filter_map(|field| value(text(field.value())?, now)).max()
    })
}

/// What one value says, in whatever form: `6m0s`, `20ms`, seconds, a time in seconds or milliseconds since 1970, RFC 3339,
/// or the date of HTTP.
#[must_use]
pub fn value(value: &str, now: Timestamp) -> Option<Duration> {
    if let Some(number) = number(value) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is a fraction of a year in which nobody reads this any more"
        )]
        let at = |milliseconds: f64| Timestamp::from_millisecond(milliseconds as i64).ok();
        return if number >= MIN_EPOCH_MS {
            Some(until(at(number)?, now))
        } else if number >= MIN_EPOCH {
            Some(until(at(number * 1000.0)?, now))
        } else {
            span(number)
        };
    }
    units(value)
        .or_else(|| Some(until(Timestamp::from_str(value).ok()?, now)))
        .or_else(|| Some(until(http_date(value)?, now)))
}

fn is_reset(name: &[u8]) -> bool {
    let has = |word: &[u8]| name.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    has(b"reset") && (has(b"ratelimit") || has(b"rate-limit"))
}

/// Whether nothing remains of what this field says is reset.
fn is_used_up(fields: &Fields, reset: &Field<'_>) -> bool {
    let Some(name) = text(reset.name()) else { return false };
    let remaining = name.to_ascii_lowercase().replace("reset", "remaining");
    let of_limit = |field: &Field<'_>| field.name().eq_ignore_ascii_case(remaining.as_bytes());
    fields.iter().any(|field| of_limit(&field) && text(field.value()).and_then(number).is_some_and(|left| left <= 0.0))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim)
}

/// Digits, perhaps with a fraction or a sign.
fn number(value: &str) -> Option<f64> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    value.parse().ok().filter(|_| is_digits)
}

fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// `1h2m3.5s`, `20ms`: numbers, each with its unit.
fn units(value: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (value, Duration::ZERO);
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|letter: char| letter.is_ascii_alphabetic())?);
        let end = behind.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(behind.len());
        let factor = match &behind[..end] {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        sum = sum.checked_add(span(number(digits)? * factor)?)?;
        rest = &behind[end..];
    }
    (!value.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, ResponseReader};

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().expect("a time")
    }

    fn told(lines: &str) -> Option<f64> {
        let head = format!("HTTP/1.1 429 Too Many Requests\r\n{lines}\r\n\r\n");
        let read = ResponseReader::default().read(head.as_bytes(), false, &Limits::RESPONSE);
        pause(&read.expect("valid").expect("whole").0.fields, now()).map(|pause| pause.as_secs_f64())
    }

    #[test]
    fn the_fields_of_providers() {
        for (lines, expected) in [
            // OpenAI
            ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s", Some(360.0)),
            ("x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 20ms", Some(0.02)),
            ("x-ratelimit-remaining-requests: 12\r\nx-ratelimit-reset-requests: 6m0s", None),
            ("x-ratelimit-reset-requests: 6m0s", None),
            (
                "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-requests: 1s\r\nx-ratelimit-reset-tokens: 1h2m3.5s",
                Some(3723.5),
            ),
            // Groq, Azure, Cerebras
            ("x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 7.66s", Some(7.66)),
            ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 27", Some(27.0)),
            ("x-ratelimit-remaining-tokens-minute: 0\r\nx-ratelimit-reset-tokens-minute: 11.38", Some(11.38)),
            // Anthropic
            (
                "anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2026-01-01T12:00:30Z",
                Some(30.0),
            ),
            (
                "Anthropic-Ratelimit-Input-Tokens-Remaining: 0\r\nanthropic-ratelimit-input-tokens-reset: 2026-01-01T13:00:30+01:00",
                Some(30.0),
            ),
            (
                "anthropic-ratelimit-tokens-remaining: 5000\r\nanthropic-ratelimit-tokens-reset: 2026-01-01T12:00:30Z",
                None,
            ),
            // GitHub in seconds, OpenRouter in milliseconds since 1970; the draft of the IETF in seconds to go.
            ("x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1767268860", Some(60.0)),
            ("X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1767268860000", Some(60.0)),
            ("RateLimit-Remaining: 0\r\nRateLimit-Reset: 50", Some(50.0)),
            ("X-Rate-Limit-Remaining: 0\r\nX-Rate-Limit-Reset: 50", Some(50.0)),
            // What is meant for it comes first.
            ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\nRetry-After: 3", Some(3.0)),
            ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\nRetry-After: soon", Some(360.0)),
            ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6x", None),
            ("password-remaining: 0\r\npassword-reset: 5", None),
        ] {
            assert_eq!(told(lines), expected, "{lines}");
        }
    }

    #[test]
    fn values_that_say_nothing() {
        for text in
            ["", "s", "-", ".", "1.2.3", "5 s", "1h-5m", "2026-01-01", "9e9", "NaN", "99999999999999999999999999d", "é"]
        {
            let value = value(text, now());
            assert!(value.is_none() || text == "1h-5m", "{text}: {value:?}");
        }
        assert!(value("99999999999999999999999", now()).is_none());
    }
}
