//! An output, which may take less than there is.

use std::io::{self, Write};

/// How much storage for text is kept, in bytes. Lines may be long, but seldom are.
const KEPT: usize = 512 << 10;

/// An output, and what is to be written there.
pub(super) struct Sink {
    to: Box<dyn Write + Send>,
    pub(super) text: String,
    /// The last line that was written is not whole.
    is_torn: bool,
    /// It took less than there was.
    is_stuck: bool,
}

impl Sink {
    pub(super) fn to(to: Box<dyn Write + Send>) -> Self {
        Self { to, text: String::new(), is_torn: false, is_stuck: false }
    }

    /// Whether it took less than there was.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Writes what there is, in pieces of at most so many bytes and as far as the output takes it; gives how many lines
    /// it did not take.
    pub(super) fn flush(&mut self, at_once: usize) -> usize {
        if self.text.is_empty() {
            return 0;
        }
        if self.is_torn && matches!(self.to.write(b"\n"), Ok(1)) {
            self.is_torn = false;
        }
        let mut written = 0;
        if !self.is_torn {
            for piece in whole_lines(&self.text, at_once) {
                let length = take(&mut *self.to, piece);
                written += length;
                if length < piece.len() {
                    break;
                }
            }
            self.is_torn = written > 0 && self.text.as_bytes()[written - 1] != b'\n';
        }
        let left = &self.text.as_bytes()[written..];
        self.is_stuck = !left.is_empty();
        let lost = memchr::memchr_iter(b'\n', left).count();
        self.text.clear();
        self.text.shrink_to(KEPT);
        lost
    }
}

/// Writes as much as is taken, and gives how much that is.
fn take(to: &mut dyn Write, bytes: &[u8]) -> usize {
    let mut left = bytes;
    while !left.is_empty() {
        match to.write(left) {
            Ok(0) => break,
            Ok(length) => left = &left[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // What could not leave now leaves before what comes next.
    let _ = to.flush();
    bytes.len() - left.len()
}

/// A text in pieces of whole lines, each of not more than so many bytes unless a single line has more.
fn whole_lines(text: &str, most: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let end = match rest.get(..most) {
            None => rest.len(),
            Some(piece) => match memchr::memrchr(b'\n', piece) {
                Some(last) => last + 1,
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |first| first + 1),
            },
        };
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk, and for how many more bytes it has room.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (content, room) = &mut *self.0.lock().expect("not poisoned");
            let length = bytes.len().min(*room);
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            content.extend_from_slice(&bytes[..length]);
            *room -= length;
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn pieces_end_where_lines_end() {
        let pieces = |most| -> Vec<String> {
            whole_lines("a\nbb\n\ncccc\nd\n", most).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
        };
        assert_eq!(pieces(usize::MAX), ["a\nbb\n\ncccc\nd\n"]);
        assert_eq!(pieces(5), ["a\nbb\n", "\n", "cccc\n", "d\n"]);
        assert_eq!(pieces(3), ["a\n", "bb\n", "\n", "cccc\n", "d\n"]);
        assert_eq!(whole_lines("", 3).count(), 0);
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_spoils_nothing() {
        let disk = Disk::default();
        let mut sink = Sink::to(Box::new(disk.clone()));
        let mut write = |room, at_once| {
            disk.0.lock().expect("not poisoned").1 = room;
            sink.text.push_str("one\ntwo\nthree\n");
            let lost = sink.flush(at_once);
            let written = std::mem::take(&mut disk.0.lock().expect("not poisoned").0);
            (String::from_utf8_lossy(&written).into_owned(), lost, sink.is_stuck())
        };
        assert_eq!(write(6, usize::MAX), ("one\ntw".to_owned(), 2, true));
        assert_eq!(write(0, usize::MAX), (String::new(), 3, true));
        assert_eq!(write(100, usize::MAX), ("\none\ntwo\nthree\n".to_owned(), 0, false));
        assert_eq!(write(8, 4), ("one\ntwo\n".to_owned(), 1, true));
        assert_eq!(write(100, 4), ("one\ntwo\nthree\n".to_owned(), 0, false));
    }
}
