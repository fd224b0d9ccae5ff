//! Bytes that we made ourselves and that wait to be written.

use std::io;
use std::task::{Context, Poll, ready};

use crate::stock;
use crate::wire::Wire;

/// Bytes to be written, kept after that until they are forgotten, so that they can be written again.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// Bytes to be written.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    /// Puts these bytes into the place of the first ones, so many, and begins again with them.
    pub(super) fn replace_first(&mut self, length: usize, bytes: Vec<u8>) {
        self.written = 0;
        if self.bytes.len() == length {
            stock::give_bytes(std::mem::replace(&mut self.bytes, bytes));
        } else {
            drop(self.bytes.splice(..length, bytes));
        }
    }

    /// How many bytes there are, written or not.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether nothing has been written yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// Adds bytes behind those that wait.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Lets `make` write new bytes behind those that wait; what has been written before is forgotten.
    pub fn make(&mut self, make: impl FnOnce(&mut Vec<u8>)) {
        if self.is_empty() {
            self.forget();
        }
        make(&mut self.bytes);
    }

    /// Writes until nothing waits.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, sink: &mut Wire) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            self.written += ready!(sink.poll_write(cx, &self.bytes[self.written..]))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives up what waits, to somebody else who writes it.
    pub(super) fn take_unwritten(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        drop(bytes.drain(..std::mem::take(&mut self.written)));
        bytes
    }

    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    pub(super) fn forget(&mut self) {
        self.written = 0;
        stock::give_bytes(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.forget();
    }
}
