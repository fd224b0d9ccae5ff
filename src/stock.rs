//! Small storage that is used over and over: heads on their way in and out.
//!
//! What a request needs for a moment comes from a stock of its thread and goes back there, so that serving one costs
//! the allocator nothing. What has grown large is not kept.

use std::cell::RefCell;

use crate::h1::Place;

/// How many pieces of each kind a thread keeps.
const KEPT: usize = 64;
/// The capacity of bytes that are newly made, and of those that are too large to be kept, in bytes.
const BYTES: usize = 4 * 1024;
const LARGE: usize = 32 * 1024;
/// The same for places of field lines.
const PLACES: usize = 32;
const MANY_PLACES: usize = 128;

thread_local! {
    static SPARE_BYTES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SPARE_PLACES: RefCell<Vec<Vec<Place>>> = const { RefCell::new(Vec::new()) };
}

/// Empty bytes with some capacity.
#[must_use]
pub fn take_bytes() -> Vec<u8> {
    SPARE_BYTES.with(|spare| spare.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(BYTES))
}

/// Takes bytes back. What was in them is forgotten.
pub fn give_bytes(mut bytes: Vec<u8>) {
    if (BYTES..=LARGE).contains(&bytes.capacity()) {
        bytes.clear();
        // The stock is gone when a thread ends; then the storage simply is freed.
        let _ = SPARE_BYTES.try_with(|spare| keep(&mut spare.borrow_mut(), bytes));
    }
}

pub(crate) fn take_places() -> Vec<Place> {
    SPARE_PLACES.with(|spare| spare.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(PLACES))
}

pub(crate) fn give_places(mut places: Vec<Place>) {
    if (PLACES..=MANY_PLACES).contains(&places.capacity()) {
        places.clear();
        let _ = SPARE_PLACES.try_with(|spare| keep(&mut spare.borrow_mut(), places));
    }
}

fn keep<T>(spare: &mut Vec<T>, storage: T) {
    if spare.len() < KEPT {
        spare.push(storage);
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
        assert_ne!(take_bytes().capacity(), LARGE + 1);
    }
}
