//! Whoever reads along.

/// Is shown what has passed. It cannot hold it up, change it, or make it fail.
pub trait Tap {
    /// Shows it what has passed next of a body: its content, or its chunks where it passes as chunks.
    fn see(&self, passed: &[u8]);
}
