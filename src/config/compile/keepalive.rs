//! What is said in a silence.

use std::time::Duration;

use super::Compiler;
use crate::config::listed::HeaderValue;
use crate::config::raw::Route;
use crate::config::scalar::Time;
use crate::jsonc::Path;
use crate::relay::Timeouts;
use crate::text::KeepAliveProblem;

/// The shortest silence that can be asked to end with a comment.
const MIN: Duration = Duration::from_millis(10);

impl Compiler<'_> {
    /// How long a stream of events may be silent before a comment goes out.
    pub(super) fn sse_keepalive(&mut self, raw: Time, timeouts: &Timeouts, path: &Path) -> Option<Duration> {
        let every = raw.limit()?;
        if every < MIN {
            self.error(path, KeepAliveProblem::TooShort.into());
        } else if timeouts.idle.is_some_and(|idle| idle <= every) {
            self.warn(path, KeepAliveProblem::TooLate.into());
        }
        Some(every)
    }

    /// Whether a stream of events begins before its upstream has answered.
    pub(super) fn begins_early(&mut self, raw: &Route, is_kept_alive: bool, path: &Path) -> bool {
        if !raw.sse_keepalive_before_head {
            return false;
        }
        if !is_kept_alive {
            self.error(&path.key("sse_keepalive_before_head"), KeepAliveProblem::BeforeHeadWithout.into());
        }
        let is_plain = |value: &HeaderValue| match value {
            HeaderValue::Absent => true,
            HeaderValue::One(value) => value.expose().trim_ascii().eq_ignore_ascii_case(b"identity"),
            HeaderValue::Several(_) => false,
        };
        for (name, value) in &raw.custom_headers {
            if name.trim().eq_ignore_ascii_case("accept-encoding") && !is_plain(value) {
                self.warn(&path.key("custom_headers").key(name), KeepAliveProblem::Coded.into());
            }
        }
        true
    }
}
