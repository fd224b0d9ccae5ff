//! What makes two connections differ.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::tls::Tls;
use crate::origin::Origin;

/// Everything that a connection depends on: two requests may share one only if their keys are equal.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it leads.
    pub origin: Origin,
    /// How TLS is spoken on it, where the scheme asks for TLS.
    pub tls: Option<Arc<Tls>>,
    /// The hash of all that, taken once: a route's key is looked up with every request. It is keyed at random, since
    /// clients choose the origins of universal routes.
    hash: u64,
}

static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Key {
    /// The key of connections to this place.
    #[must_use]
    pub fn new(origin: Origin, tls: Option<Arc<Tls>>) -> Self {
        let hash = RANDOM.hash_one((&origin, &tls));
        Self { origin, tls, hash }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes the hash that a [`Key`] already has.
#[derive(Default)]
pub(super) struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a key writes its hash as one number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
