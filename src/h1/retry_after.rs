//! How long an upstream asks to be left alone: `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), and
//! `retry-after-ms`, which providers say besides.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

use super::Fields;

/// How long is to be waited from now on. `None`: nothing is said of that, or nothing that can be understood.
#[must_use]
pub fn retry_after(fields: &Fields, now: Timestamp) -> Option<Duration> {
    let milliseconds = fields.values(b"retry-after-ms").find_map(|value| seconds(value, 1000.0));
    let until = |value| Some(until(http_date(std::str::from_utf8(value).ok()?.trim())?, sent_at(fields, now)));
    milliseconds
        .or_else(|| fields.values(b"retry-after").find_map(|value| seconds(value, 1.0).or_else(|| until(value))))
}

/// When an answer was sent that is here now, by the clock of its sender: where clocks differ, that is what its dates go by.
#[must_use]
pub fn sent_at(fields: &Fields, now: Timestamp) -> Timestamp {
    let date = fields.values(b"date").next();
    date.and_then(|date| http_date(std::str::from_utf8(date).ok()?)).unwrap_or(now)
}

/// The date of HTTP, in each of its three forms (RFC 9110 section 5.6.7).
#[must_use]
pub fn http_date(value: &str) -> Option<Timestamp> {
    let old = |format| strtime::parse(format, value).ok()?.to_datetime().ok();
    let in_utc = |date: DateTime| TimeZone::UTC.to_timestamp(date).ok();
    let usual = rfc2822::DateTimeParser::new().parse_timestamp(value).ok();
    usual.or_else(|| in_utc(old("%A, %d-%b-%y %H:%M:%S GMT").or_else(|| old("%a %b %e %H:%M:%S %Y"))?))
}

/// How long it is from one time to another. What has passed is no wait.
#[must_use]
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// A number, of which so many make a second. Some providers say fractions, some what is over already.
fn seconds(value: &[u8], per_second: f64) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')) {
        return None;
    }
    let seconds = text.parse::<f64>().ok()?.max(0.0) / per_second;
    // What is longer than can be said is too long for everybody.
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, ResponseReader};
    use super::*;

    fn said(lines: &str) -> Option<f64> {
        let answer = format!("HTTP/1.1 429 x\r\n{lines}\r\n\r\n");
        let read = ResponseReader::default().read(answer.as_bytes(), false, &Limits::RESPONSE);
        let now = "2026-01-01T12:00:00Z".parse().expect("a time");
        retry_after(&read.expect("valid").expect("whole").0.fields, now).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn seconds_dates_and_milliseconds() {
        for (lines, expected) in [
            ("Retry-After: 20", Some(20.0)),
            ("retry-after: 0.5", Some(0.5)),
            ("Retry-After: 0", Some(0.0)),
            ("Retry-After: -5", Some(0.0)),
            ("retry-after-ms: 250\r\nRetry-After: 1", Some(0.25)),
            ("retry-after-ms: soon\r\nRetry-After: 1", Some(1.0)),
            ("Retry-After: Thu, 01 Jan 2026 12:01:30 GMT", Some(90.0)),
            ("Retry-After: Thursday, 01-Jan-26 12:01:30 GMT", Some(90.0)),
            ("Retry-After: Thu Jan  1 12:01:30 2026", Some(90.0)),
            ("Retry-After: Thu, 01 Jan 2026 11:00:00 GMT", Some(0.0)),
            // Our clock is an hour slow.
            ("Date: Thu, 01 Jan 2026 13:00:00 GMT\r\nRetry-After: Thu, 01 Jan 2026 13:00:10 GMT", Some(10.0)),
        ] {
            assert_eq!(said(lines), expected, "{lines}");
        }
        assert_eq!(said("Retry-After: 99999999999999999999999"), Some(Duration::MAX.as_secs_f64()));
    }

    #[test]
    fn what_cannot_be_understood_says_nothing() {
        for line in [
            "X: y",
            "Retry-After: soon",
            "Retry-After:",
            "Retry-After: -",
            "Retry-After: 1.2.3",
            "Retry-After: 1e9",
            "Retry-After: inf",
            "Retry-After: Thu, 01 Jan 2026",
        ] {
            assert_eq!(said(line), None, "{line}");
        }
    }
}
