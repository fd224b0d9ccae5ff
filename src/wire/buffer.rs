//! Read buffers that are only there while there is something in them.
//!
//! A stream that is silent holds no buffer at all: storage comes from a small stock of the thread and goes back as
//! soon as the last byte has been passed on. Ten thousand open streams then cost what their sockets cost.

use std::cell::RefCell;
use std::io;
use std::task::Poll;

/// The size of a read buffer, in bytes: what is held of a body, per direction, while its recipient does not read.
pub const SIZE: usize = 64 * 1024;
/// A little content that has to wait moves into storage of this size, in bytes.
const PARKED: usize = 4 * 1024;
/// How many read buffers a thread keeps for the next use.
const STOCK: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that have arrived and are not yet used.
#[derive(Default)]
pub struct Buffer {
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What has arrived.
    #[inline]
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// How many bytes have arrived.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is waiting.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first bytes as used.
    ///
    /// # Panics
    /// If so many have not arrived.
    #[inline]
    pub fn consume(&mut self, length: usize) {
        assert!(length <= self.len(), "more bytes used than had arrived");
        self.start += length;
        if self.is_empty() {
            self.release();
        }
    }

    /// Forgets what has arrived.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Lets `read` put bytes behind those that are there, and gives what it returned: the number of bytes read.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.make_room();
        let result = read(&mut self.storage[self.end..]);
        if let Poll::Ready(Ok(length)) = result {
            self.end += length;
        }
        if self.is_empty() {
            self.release();
        }
        result
    }

    /// Nothing more has arrived: a little content that waits for more moves out of the large storage.
    #[inline]
    pub fn rest(&mut self) {
        if self.storage.len() > PARKED && self.len() <= PARKED {
            self.park();
        }
    }

    fn make_room(&mut self) {
        if self.storage.len() < SIZE {
            let mut storage = take();
            storage[..self.len()].copy_from_slice(self.filled());
            self.replace(storage);
        } else if self.end == self.storage.len() {
            if self.start > 0 {
                self.storage.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.len());
            } else {
                // Only a head can need this: bodies are used up before more is read.
                self.storage.resize(self.storage.len() * 2, 0);
            }
        }
    }

    fn park(&mut self) {
        let mut storage = vec![0; self.len()];
        storage.copy_from_slice(self.filled());
        self.replace(storage);
    }

    fn replace(&mut self, storage: Vec<u8>) {
        (self.start, self.end) = (0, self.len());
        give(std::mem::replace(&mut self.storage, storage));
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        give(std::mem::take(&mut self.storage));
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

fn take() -> Vec<u8> {
    SPARE.with(|spare| spare.borrow_mut().pop()).unwrap_or_else(|| vec![0; SIZE])
}

fn give(storage: Vec<u8>) {
    if storage.len() != SIZE {
        return;
    }
    // The stock is gone when a thread ends; then the storage simply is freed.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < STOCK {
            spare.push(storage);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut Buffer, bytes: &[u8]) {
        let result = buffer.fill(|room| {
            room[..bytes.len()].copy_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        });
        assert!(matches!(result, Poll::Ready(Ok(length)) if length == bytes.len()));
    }

    #[test]
    fn what_arrives_is_there_until_it_is_used() {
        let mut buffer = Buffer::default();
        put(&mut buffer, b"hello");
        put(&mut buffer, b" you");
        buffer.consume(6);
        assert_eq!((buffer.filled(), buffer.len()), (&b"you"[..], 3));
        buffer.clear();
        assert!(buffer.is_empty() && buffer.storage.is_empty());
    }

    #[test]
    fn silence_holds_no_storage_and_little_content_holds_little() {
        let mut buffer = Buffer::default();
        assert!(buffer.fill(|_| Poll::Pending).is_pending());
        assert!(buffer.storage.is_empty());
        buffer.rest();
        put(&mut buffer, b"half a head");
        assert!(buffer.fill(|_| Poll::Pending).is_pending());
        buffer.rest();
        assert_eq!((buffer.filled(), buffer.storage.len()), (&b"half a head"[..], 11));
        put(&mut buffer, b", the rest");
        assert_eq!(buffer.filled(), b"half a head, the rest");
    }

    #[test]
    fn it_moves_content_before_it_grows() {
        let mut buffer = Buffer::default();
        put(&mut buffer, &[b'a'; SIZE]);
        buffer.consume(SIZE - 2);
        put(&mut buffer, &[b'b'; SIZE - 2]);
        assert_eq!((buffer.len(), buffer.storage.len()), (SIZE, SIZE));
        put(&mut buffer, b"c");
        assert_eq!((buffer.len(), buffer.storage.len()), (SIZE + 1, 2 * SIZE));
    }
}
