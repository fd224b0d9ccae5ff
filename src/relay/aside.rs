//! What few flows have beside their bytes. All others pay one pointer for it, and look at it once.

use std::rc::Rc;

use super::pulse::Pulse;
use super::tap::Tap;

/// Who is shown what passes.
#[derive(Default)]
pub(super) struct Aside {
    /// Whoever reads along.
    pub(super) tap: Option<Rc<dyn Tap>>,
    /// Says something while the source does not.
    pub(super) pulse: Option<Pulse>,
}

impl Aside {
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
