//! What few flows have beside their bytes. All others pay one pointer for it, and look at it once.

use std::rc::Rc;

use super::pulse::Pulse;
use super::tap::{Both, Tap};

/// Who is shown what passes.
#[derive(Default)]
pub(super) struct Aside {
    /// Whoever reads along.
    pub(super) tap: Option<Rc<dyn Tap>>,
    /// Says something while the source does not.
    pub(super) pulse: Option<Pulse>,
}

impl Aside {
    /// Lets somebody read along, beside whoever does already.
    pub(super) fn tap(&mut self, tap: Rc<dyn Tap>) {
        self.tap = Some(match self.tap.take() {
            Some(other) => Rc::new(Both(other, tap)),
            None => tap,
        });
    }

    /// Is shown what of the body has passed next.
    pub(super) fn see(&mut self, passed: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.see(passed);
        }
        if let Some(pulse) = &mut self.pulse {
            pulse.see(passed);
        }
    }
}
