//! Whoever reads along.

use std::rc::Rc;

/// Is shown what has passed. It cannot hold it up, change it, or make it fail.
pub trait Tap {
    /// Shows it what has passed next of a body: its content, or its chunks where it passes as chunks.
    fn see(&self, passed: &[u8]);
}

/// Two who read the same along.
pub(super) struct Both(pub(super) Rc<dyn Tap>, pub(super) Rc<dyn Tap>);

impl Tap for Both {
    fn see(&self, passed: &[u8]) {
        self.0.see(passed);
        self.1.see(passed);
    }
}
