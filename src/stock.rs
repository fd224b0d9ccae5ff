//! Small storage that is used over and over.
//!
//! What a request needs for a moment comes from a stock of its thread and goes back there, so that serving one costs
//! the allocator nothing. What has grown large is not kept.

use std::cell::RefCell;

/// How many pieces of a kind a thread keeps.
const KEPT: usize = 64;
/// The capacity of bytes that are newly made, and of those that are too large to be kept, in bytes.
const BYTES: usize = 4 * 1024;
const LARGE: usize = 32 * 1024;

thread_local! {
    static SPARE: Stock<u8> = const { Stock::new(BYTES, LARGE) };
}

/// Empty bytes with some capacity.
#[must_use]
pub fn take_bytes() -> Vec<u8> {
    SPARE.with(Stock::take)
}

/// Takes bytes back. What was in them is forgotten.
#[inline]
pub fn give_bytes(bytes: Vec<u8>) {
    if bytes.capacity() == 0 {
        return;
    }
    // The stock is gone when a thread ends; then the storage simply is freed.
    let _ = SPARE.try_with(|stock| stock.give(bytes));
}

/// One kind of storage.
pub(crate) struct Stock<T> {
    spare: RefCell<Vec<Vec<T>>>,
    capacity: usize,
    large: usize,
}

impl<T> Stock<T> {
    /// An empty stock: pieces are made with this capacity, and not kept when they have grown beyond the other.
    pub(crate) const fn new(capacity: usize, large: usize) -> Self {
        Self { spare: RefCell::new(Vec::new()), capacity, large }
    }

    /// An empty piece.
    pub(crate) fn take(&self) -> Vec<T> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(self.capacity))
    }

    /// Takes a piece back.
    pub(crate) fn give(&self, mut piece: Vec<T>) {
        let mut spare = self.spare.borrow_mut();
        if (self.capacity..=self.large).contains(&piece.capacity()) && spare.len() < KEPT {
            piece.clear();
            spare.push(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_comes_back_empty_and_large_storage_does_not() {
        let mut bytes = take_bytes();
        bytes.extend_from_slice(b"secret");
        let at = bytes.as_ptr();
        give_bytes(bytes);
        let again = take_bytes();
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        give_bytes(Vec::with_capacity(LARGE + 1));
        give_bytes(Vec::new());
        assert_eq!(take_bytes().capacity(), BYTES);
    }
}
