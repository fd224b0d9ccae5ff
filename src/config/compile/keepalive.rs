//! What is said in a silence.

use std::time::Duration;

use super::Compiler;
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
}
