//! How much fits into the system's limit on open files.
//!
//! A client needs a second file, for its upstream, and whoever is let in should find one. So files are shared out before
//! anybody comes, to all that ever hold one: clients with their upstreams, upstream connections that rest, clients that are
//! told to come back later, questions to name servers, and the program itself. Each of them has a bound of its own.

use crate::upstream::{Limits, MAX_BESIDE};

/// What the program needs for itself: its output, the configuration, the main thread's runtime.
const OF_PROGRAM: usize = 32;
/// What a worker needs for itself: its runtime, and addresses that are tried beside others.
const OF_WORKER: usize = 8 + MAX_BESIDE;
/// The two ends of a pipe through which a large body goes.
const OF_CONDUIT: usize = 2;
/// A listener, and the copy of it that the main thread holds.
const OF_LISTENER: usize = 2;
/// A question to a name server, and the files that say which one to ask.
const OF_QUESTION: usize = 2;
/// A client and its upstream.
const OF_CLIENT: usize = 2;
/// What there is of each however many files there are. More would not help.
const MOST: Room =
    Room { clients: usize::MAX, turned_away: 256, conduits: 8, upstreams: Limits { idle: 1024, lookups: 16 } };

/// How much there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Connections of clients, and streams on them, with an upstream each.
    pub(super) clients: usize,
    /// Clients that are told that there is no room.
    pub(super) turned_away: usize,
    /// Large bodies of each worker that go from wire to wire without being read.
    pub(super) conduits: usize,
    /// What the upstreams of each worker use beside those in use.
    pub(super) upstreams: Limits,
}

impl Room {
    /// What fits into so many open files, if there is a limit on them.
    pub(super) fn within(files: Option<u64>, workers: usize, places: usize) -> Self {
        let Some(files) = files else { return MOST };
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let lookups = (files / 32 / OF_QUESTION / workers).clamp(1, MOST.upstreams.lookups);
        let questions = Limits { idle: 0, lookups }.threads();
        let turned_away = (files / 16).clamp(1, MOST.turned_away);
        // They can do without.
        let conduits = (files / 64 / OF_CONDUIT / workers).min(MOST.conduits);
        let of_worker = OF_WORKER + OF_LISTENER * places + OF_QUESTION * questions + OF_CONDUIT * conduits;
        let left = files.saturating_sub(OF_PROGRAM + workers * of_worker + turned_away);
        // A fifth, since two fifths are clients and as many are their upstreams.
        let idle = (left / 5 / workers).clamp(1, MOST.upstreams.idle);
        let clients = (left.saturating_sub(workers * idle) / OF_CLIENT).max(1);
        Self { clients, turned_away, conduits, upstreams: Limits { idle, lookups } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_never_needs_more_files_than_there_are() {
        for files in [256, 512, 1024, 4096, 65_536, 1 << 20] {
            for workers in [1, 2, 4, 8] {
                let Room { clients, turned_away, conduits, upstreams } = Room::within(Some(files), workers, 2);
                let of_worker = OF_WORKER
                    + 2 * OF_LISTENER
                    + OF_CONDUIT * conduits
                    + OF_QUESTION * upstreams.threads()
                    + upstreams.idle;
                let needed = OF_PROGRAM + workers * of_worker + turned_away + OF_CLIENT * clients;
                assert!(needed as u64 <= files, "{files} files, {workers} workers: {needed}");
                assert!(files < 1024 || clients as u64 >= files / 5, "{files} files, {workers} workers: {clients}");
            }
        }
    }

    #[test]
    fn many_files_are_room_for_many_clients_and_no_limit_is_room_for_all() {
        let room = Room::within(Some(1 << 20), 4, 1);
        assert!(room.clients > 500_000 && room == Room { clients: room.clients, ..MOST }, "{room:?}");
        assert_eq!(Room::within(None, 4, 1), MOST);
        let least = Room { clients: 1, turned_away: 1, conduits: 0, upstreams: Limits { idle: 1, lookups: 1 } };
        assert_eq!(Room::within(Some(0), 64, 1), least);
    }
}
