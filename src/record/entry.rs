//! All that is known of one exchange.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::ending::End;
use crate::peer::Peer;
use crate::spending::Spending;

/// What the log says of an exchange at its end. Targets are kept as they came and masked when they are written.
#[derive(Debug)]
pub struct Entry {
    /// Its short name.
    pub id: Id,
    /// When it began, by the clock on the wall.
    pub began_at: Timestamp,
    /// When it began.
    pub began: Instant,
    /// Who asked.
    pub peer: Peer,
    /// Whose key was presented.
    pub client: Option<Arc<str>>,
    /// The key of its route.
    pub route: Option<Arc<str>>,
    /// Its method.
    pub method: Option<Box<[u8]>>,
    /// Its target, unmasked.
    pub target: Option<Box<[u8]>>,
    /// How often the request was sent.
    pub attempts: u32,
    /// The key of the route that was asked last, if it is another than the first.
    pub fallback: Option<Arc<str>>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The code of an answer of our own.
    pub code: Option<&'static str>,
    /// The status with which the upstream answered, if the client could not be sent it.
    pub upstream_status: Option<u16>,
    /// Where it went: `scheme://host:port`.
    pub upstream: Option<Arc<str>>,
    /// The upstream proxy on the way there, masked.
    pub proxy: Option<Arc<str>>,
    /// Which of the route's keys was sent, if one was picked.
    pub key_index: Option<usize>,
    /// How much content the client sent, in bytes.
    pub bytes_in: u64,
    /// How much content the client was sent, in bytes.
    pub bytes_out: u64,
    /// From the request's head to the answer's.
    pub time_to_first_byte: Option<Duration>,
    /// From the request's head to the end.
    pub duration: Duration,
    /// The longest silence inside the answer's body.
    pub longest_silence: Duration,
    /// What it has used, where somebody has read along.
    pub spending: Option<Box<Spending>>,
    /// Whether limits could not count that.
    pub uncounted: bool,
    /// How it ended.
    pub end: Option<End>,
}

impl Entry {
    /// What is known of an exchange that has just begun.
    #[must_use]
    pub fn new(id: Id, peer: Peer, began: Instant) -> Self {
        Self {
            id,
            began_at: Timestamp::now(),
            began,
            peer,
            client: None,
            route: None,
            method: None,
            target: None,
            attempts: 0,
            fallback: None,
            status: None,
            code: None,
            upstream_status: None,
            upstream: None,
            proxy: None,
            key_index: None,
            bytes_in: 0,
            bytes_out: 0,
            time_to_first_byte: None,
            duration: Duration::ZERO,
            longest_silence: Duration::ZERO,
            spending: None,
            uncounted: false,
            end: None,
        }
    }
}

impl Entry {
    /// How much it holds of what others have said, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.method.as_ref().map_or(0, |method| method.len()) + self.target.as_ref().map_or(0, |target| target.len())
    }
}

impl Sent {
    /// How much it holds of what others have said, in bytes.
    pub(super) fn weight(&self) -> usize {
        let stripped = self.stripped.as_ref().map_or(0, |(base, rest)| base.len() + rest.len());
        self.method.len() + self.target.len() + stripped + self.forwarded.as_ref().map_or(0, Forwarded::weight)
    }
}

impl Forwarded {
    fn weight(&self) -> usize {
        let header = |(change, name): &(Change, Box<[u8]>)| size_of_val(change) + size_of_val(name) + name.len();
        self.base.len() + self.target.len() + self.headers.iter().map(header).sum::<usize>()
    }
}

/// The short name of an exchange, by which its lines are told from those of others: seven letters and digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u64);

impl Id {
    /// The name of the `number`th exchange of a worker. Neighbours look nothing alike.
    #[must_use]
    pub fn new(worker: usize, number: u64) -> Self {
        // An odd factor only shuffles the 35 bits, so no name of a worker comes twice before all are used.
        let mixed = ((worker as u64) << 29).wrapping_add(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self(mixed & ((1 << 35) - 1))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        for place in (0..7).rev() {
            let letter = LETTERS[usize::try_from(self.0 >> (5 * place) & 31).unwrap_or_default()];
            fmt::Write::write_char(f, char::from(letter))?;
        }
        Ok(())
    }
}

/// What becomes of a request, as a person reads it when it goes out.
#[derive(Debug)]
pub struct Sent {
    /// Its method.
    pub method: Box<[u8]>,
    /// Its target, unmasked.
    pub target: Box<[u8]>,
    /// Whose key was presented.
    pub client: Option<Arc<str>>,
    /// The base path and what was left of the path, if it was taken off.
    pub stripped: Option<(Box<str>, Box<[u8]>)>,
    /// Where it goes, if it goes anywhere.
    pub forwarded: Option<Forwarded>,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Forwarded {
    /// The key of its route.
    pub route: Arc<str>,
    /// Whether the client named the target.
    pub universal: bool,
    /// `scheme://host`, as the operator or the client wrote it.
    pub base: Box<[u8]>,
    /// Path and query, unmasked.
    pub target: Box<[u8]>,
    /// The way out, masked.
    pub proxy: Option<Arc<str>>,
    /// What was done to its headers.
    pub headers: Vec<(Change, Box<[u8]>)>,
}

/// What was done to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was added.
    Added,
    /// The client's was replaced.
    Overwritten,
    /// The client's was kept though one is configured.
    Kept,
    /// It was removed by `headers_to_drop`.
    Dropped,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_differ_and_have_seven_letters() {
        let names: HashSet<String> =
            (0..4).flat_map(|worker| (0..1000).map(move |number| Id::new(worker, number).to_string())).collect();
        assert_eq!(names.len(), 4000);
        assert!(names.iter().all(|name| name.len() == 7));
    }
}
