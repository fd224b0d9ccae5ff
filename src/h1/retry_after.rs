//! How long an upstream asks to be left alone: `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), and
//! `retry-after-ms`, which providers say besides.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::Fields;

/// How long is to be waited from now on. `None`: nothing is said of that, or nothing that can be understood.
#[must_use]
pub fn retry_after(fields: &Fields, now: Timestamp) -> Option<Duration> {
    let milliseconds = fields.values(b"retry-after-ms").find_map(|value| seconds(value, 1000.0));
    milliseconds
        .or_else(|| fields.values(b"retry-after").find_map(|value| seconds(value, 1.0).or_else(|| until(value, now))))
}

/// A number, of which so many make a second. Some providers say fractions.
fn seconds(value: &[u8], per_second: f64) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    // What is longer than can be said is too long for everybody.
    Some(Duration::try_from_secs_f64(text.parse::<f64>().ok()? / per_second).unwrap_or(Duration::MAX))
}

/// A date. What has passed is no wait.
fn until(value: &[u8], now: Timestamp) -> Option<Duration> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    let at = PARSER.parse_timestamp(value).ok()?;
    Some(at.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, ResponseReader};
    use super::*;

    fn said(lines: &str) -> Option<Duration> {
        let answer = format!("HTTP/1.1 429 x\r\n{lines}\r\n");
        let read = ResponseReader::default().read(answer.as_bytes(), false, &Limits::RESPONSE);
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = Timestamp::from_second(784_111_777).expect("a time");
        retry_after(&read.expect("valid").expect("whole").0.fields, now)
    }

    #[test]
    fn seconds_dates_and_milliseconds() {
        assert_eq!(said("Retry-After: 20\r\n"), Some(Duration::from_secs(20)));
        assert_eq!(said("retry-after: 0.5\r\n"), Some(Duration::from_millis(500)));
        assert_eq!(said("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n"), Some(Duration::from_secs(30)));
        assert_eq!(said("Retry-After: Sun, 06 Nov 1994 08:49:07 GMT\r\n"), Some(Duration::ZERO));
        assert_eq!(said("Retry-After: 2\r\nretry-after-ms: 1500\r\n"), Some(Duration::from_millis(1500)));
        assert_eq!(said("Retry-After: 99999999999999999999999\r\n"), Some(Duration::MAX));
    }

    #[test]
    fn what_cannot_be_understood_says_nothing() {
        for line in [
            "",
            "Retry-After: soon\r\n",
            "Retry-After: -1\r\n",
            "Retry-After: \r\n",
            "Retry-After: 1.2.3\r\n",
            "Retry-After: inf\r\n",
        ] {
            assert_eq!(said(line), None, "{line}");
        }
    }
}
