//! What is read, and by what it is known again.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use zeroize::Zeroizing;

/// What a content is known again by, so that a file of secrets need not be kept to see that it has changed. It is keyed at
/// random: that another content has the same is a matter of chance, one in ten to the nineteenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    hash: u64,
    length: usize,
}

static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Print {
    /// The print of a content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self { hash: RANDOM.hash_one(content), length: content.len() }
    }

    /// The print of a file, if it can be read.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        read(path).ok().map(|content| Self::of(&content))
    }
}

/// Reads a file in which secrets may stand.
///
/// # Errors
/// Those of the system.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    std::fs::read(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_known_again_and_no_other() {
        let one = Print::of(b"sk-1");
        assert_eq!(one, Print::of(b"sk-1"));
        for other in [&b"sk-2"[..], b"sk-1\n", b"", b"SK-1"] {
            assert_ne!(one, Print::of(other), "{other:?}");
        }
        assert!(!format!("{one:?}").contains("sk"));
    }
}
