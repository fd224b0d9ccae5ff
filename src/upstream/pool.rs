//! Idle connections, by key.
//!
//! There is room for so many in all, and any place may fill it: who asks for a thousand answers at once, again and again,
//! needs a thousand connections each time, and to make one costs far more than to keep it. Where the room is full, the one
//! goes that has rested longest, so that what nobody uses any more does not keep out what somebody does.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Key;
use super::habit::Habit;
use super::key::Taken;
use crate::h1::{Fields, Known, list};
use crate::wire::Wire;

/// Of how many places something is remembered that clients have chosen.
const MAX_PLACES: usize = 1024;
/// How long a connection is kept unless its origin says less. Origins commonly close at 60 to 75 seconds; who closes
/// first does not run into the other's closing.
const LIMIT: Duration = Duration::from_secs(55);
/// How much earlier than the origin has announced a connection is given up.
const MARGIN: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    places: HashMap<Arc<Key>, Place, BuildHasherDefault<Taken>>,
    len: usize,
    /// How many idle connections are kept in all.
    max: usize,
}

/// The idle connections to one place, the latest last, and what is known of their closing.
#[derive(Default)]
struct Place {
    idle: VecDeque<Idle>,
    habit: Habit,
}

struct Idle {
    wire: Wire,
    since: Instant,
    until: Instant,
}

impl Place {
    /// Whether a connection is still good; if it was closed, that is noted.
    fn is_good(habit: &mut Habit, idle: &Idle, now: Instant) -> bool {
        let rest = now.saturating_duration_since(idle.since);
        let is_quiet = idle.wire.is_quiet();
        if is_quiet {
            habit.was_open(rest);
        } else {
            habit.was_closed(rest);
        }
        is_quiet && now < idle.until
    }
}

impl Pool {
    /// One for so many idle connections.
    pub(super) fn of(max: usize) -> Self {
        Self { places: HashMap::default(), len: 0, max }
    }

    /// The most recently used good connection, and how long it has been idle. Its path through the network is the
    /// warmest, and the others grow old and go. One that may be about to be closed is not given out unless the request
    /// is `repeatable`.
    pub(super) fn take(&mut self, key: &Key, now: Instant, repeatable: bool) -> Option<(Wire, Duration)> {
        let Place { idle, habit } = self.places.get_mut(key)?;
        while let Some(last) = idle.back() {
            let is_good = Place::is_good(habit, last, now);
            let rest = now.saturating_duration_since(last.since);
            if is_good && !repeatable && habit.is_risky(rest) {
                // The oldest shows whether there still is reason to fear that.
                if let Some(oldest) = idle.front() {
                    Place::is_good(habit, oldest, now);
                }
                if habit.is_risky(rest) {
                    return None;
                }
            }
            self.len -= 1;
            let wire = idle.pop_back()?.wire;
            if is_good {
                return Some((wire, rest));
            }
        }
        None
    }

    /// Keeps a connection. Where there is no room, the one that has rested longest makes some.
    pub(super) fn put(&mut self, key: &Arc<Key>, wire: Wire, since: Instant, until: Instant) {
        // Clients choose the places of universal routes. What they choose must not push out what the operator has chosen.
        let is_chosen_by_client = key.guard.is_some();
        let max = if is_chosen_by_client { self.max.div_ceil(2) } else { self.max };
        let is_strange = is_chosen_by_client && self.places.len() >= MAX_PLACES && !self.places.contains_key(key);
        if is_strange || (self.len >= max && !self.close_oldest(is_chosen_by_client)) {
            return;
        }
        let place = self.places.entry(Arc::clone(key)).or_default();
        place.idle.push_back(Idle { wire, since, until });
        self.len += 1;
    }

    /// Closes the connection that has rested longest, of those to places that clients have chosen or of all. Gives
    /// whether there was one.
    fn close_oldest(&mut self, only_of_clients: bool) -> bool {
        let may_go = self.places.iter_mut().filter(|(key, _)| key.guard.is_some() || !only_of_clients);
        let oldest =
            may_go.filter_map(|(_, place)| Some((place.idle.front()?.since, place))).min_by_key(|found| found.0);
        let closed = oldest.and_then(|(_, place)| place.idle.pop_front());
        self.len -= usize::from(closed.is_some());
        closed.is_some()
    }

    /// Notes that a connection which had been idle for so long turned out to be closed when it was used.
    pub(super) fn was_closed(&mut self, key: &Key, rest: Duration) {
        if let Some(place) = self.places.get_mut(key) {
            place.habit.was_closed(rest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Closes everything. Gives whether there was anything.
    pub(super) fn clear(&mut self) -> bool {
        self.places.values_mut().for_each(|place| place.idle.clear());
        std::mem::take(&mut self.len) > 0
    }

    /// How many more connections could be kept.
    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.len)
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        // Not everything can be known of all places.
        let keeps_habits = self.places.len() < MAX_PLACES;
        self.places.retain(|_, Place { idle, habit }| {
            idle.retain(|idle| Place::is_good(habit, idle, now));
            !idle.is_empty() || (keeps_habits && habit.is_known())
        });
        self.len = self.places.values().map(|place| place.idle.len()).sum();
    }
}

/// How long a connection may be kept after an answer with these fields. `Keep-Alive: timeout=5` says when the origin
/// will close it.
#[must_use]
pub fn keep_alive_limit(fields: &Fields) -> Duration {
    let announced = fields.of(Known::KeepAlive).flat_map(list).filter_map(|member| {
        let (name, value) = member.split_at_checked(member.iter().position(|&byte| byte == b'=')?)?;
        let seconds: u64 = std::str::from_utf8(&value[1..]).ok()?.trim().parse().ok()?;
        name.trim_ascii().eq_ignore_ascii_case(b"timeout").then(|| Duration::from_secs(seconds))
    });
    announced.map(|limit| limit.saturating_sub(MARGIN)).min().unwrap_or(LIMIT).min(LIMIT)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::h1::{Limits, ResponseReader};
    use crate::origin::{Origin, Scheme};
    use crate::wire::Stream;

    fn key(host: &str) -> Arc<Key> {
        Arc::new(Key::new(Origin::parse(Scheme::Http, host.as_bytes()).expect("valid").0, None, None))
    }

    async fn pair(listener: &TcpListener) -> (Wire, TcpStream) {
        let near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (far, _) = listener.accept().await.expect("accepts");
        (Wire::new(Stream::Tcp(near)), far)
    }

    #[tokio::test]
    async fn connections_go_to_the_same_place_only_and_the_latest_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(100), Instant::now());
        let until = now + LIMIT;
        let (first, _far1) = pair(&listener).await;
        let (mut second, mut far2) = pair(&listener).await;
        second.write_all(b"2").await.expect("writes");
        pool.put(&key("a"), first, now, until);
        pool.put(&key("a"), second, now, until);
        assert!(pool.take(&key("b"), now, true).is_none());
        let (mut taken, _) = pool.take(&key("a"), now, true).expect("there");
        taken.write_all(b"!").await.expect("writes");
        let mut seen = [0; 2];
        tokio::io::AsyncReadExt::read_exact(&mut far2, &mut seen).await.expect("reads");
        assert_eq!(&seen, b"2!");
        assert!(pool.take(&key("a"), now, true).is_some() && pool.take(&key("a"), now, true).is_none());
    }

    #[tokio::test]
    async fn what_is_closed_noisy_or_old_is_not_given_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(100), Instant::now());
        let (closed, far) = pair(&listener).await;
        drop(far);
        let (noisy, mut noisy_far) = pair(&listener).await;
        tokio::io::AsyncWriteExt::write_all(&mut noisy_far, b"HTTP/1.1 408").await.expect("writes");
        let (old, _old_far) = pair(&listener).await;
        for (wire, until) in [(closed, now + LIMIT), (noisy, now + LIMIT), (old, now)] {
            // The kernel needs a moment to carry what was said over.
            while wire.is_quiet() && until > now {
                tokio::task::yield_now().await;
            }
            pool.put(&key("a"), wire, now, until);
        }
        assert!(pool.take(&key("a"), now, true).is_none());
        pool.sweep(now);
        assert_eq!(pool.len, 0);
    }

    #[tokio::test]
    async fn what_may_be_about_to_be_closed_is_given_out_for_what_can_be_repeated() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(100), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let (wire, _far) = pair(&listener).await;
        pool.put(&key("a"), wire, now, now + LIMIT);
        pool.was_closed(&key("a"), Duration::from_secs(4));
        assert!(pool.take(&key("a"), after(3), false).is_none());
        let (wire, rest) = pool.take(&key("a"), after(3), true).expect("still there");
        assert_eq!(rest.as_secs(), 3);
        pool.put(&key("a"), wire, now, now + LIMIT);
        assert!(pool.take(&key("a"), after(2), false).is_some());
    }

    #[tokio::test]
    async fn the_oldest_shows_that_there_is_nothing_to_fear() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(100), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let ((oldest, _far1), (latest, _far2)) = (pair(&listener).await, pair(&listener).await);
        pool.put(&key("a"), oldest, now, now + LIMIT);
        pool.put(&key("a"), latest, after(6), now + LIMIT);
        pool.was_closed(&key("a"), Duration::from_secs(4));
        assert!(pool.take(&key("a"), after(9), false).is_some());
    }

    #[tokio::test]
    async fn no_more_are_kept_than_there_is_room_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(4), Instant::now());
        let chosen = |host: &str| Arc::new((*key(host)).clone().guarded(&Arc::default()));
        let mut ends = Vec::new();
        let mut put = async |pool: &mut Pool, key: &Arc<Key>| {
            let (wire, far) = pair(&listener).await;
            ends.push(far);
            pool.put(key, wire, Instant::now(), now + LIMIT);
        };
        for host in ["a", "b", "c"] {
            put(&mut pool, &chosen(host)).await;
        }
        assert_eq!((pool.len, pool.places.len()), (2, 3), "clients' places get half of it");
        for _ in 0..5 {
            put(&mut pool, &key("ours")).await;
        }
        assert_eq!((pool.len, pool.room()), (4, 0));
        put(&mut pool, &chosen("d")).await;
        assert!(pool.take(&chosen("d"), now, true).is_none(), "what is the operator's stays");
        assert_eq!(std::iter::from_fn(|| pool.take(&key("ours"), now, true)).count(), 4);

        let mut pool = Pool::of(2 * MAX_PLACES);
        for number in 0..MAX_PLACES {
            pool.places.insert(chosen(&format!("h{number}")), Place::default());
        }
        put(&mut pool, &chosen("stranger")).await;
        put(&mut pool, &chosen("h1")).await;
        put(&mut pool, &key("ours")).await;
        assert_eq!((pool.len, pool.places.len()), (2, MAX_PLACES + 1));
        pool.sweep(now);
        assert_eq!(pool.places.len(), 2, "of the others nothing was known");
    }

    #[tokio::test]
    async fn any_place_may_fill_the_room_and_who_has_rested_longest_makes_some() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::of(200), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut ends = Vec::new();
        let mut put = async |pool: &mut Pool, host: &str, seconds: u64| {
            let (wire, far) = pair(&listener).await;
            ends.push(far);
            pool.put(&key(host), wire, after(seconds), after(100));
        };
        put(&mut pool, "busy", 2).await;
        put(&mut pool, "quiet", 1).await;
        for _ in 0..198 {
            put(&mut pool, "busy", 3).await;
        }
        assert_eq!(pool.room(), 0);
        put(&mut pool, "new", 4).await;
        assert!(pool.take(&key("quiet"), after(5), true).is_none());
        put(&mut pool, "new", 5).await;
        put(&mut pool, "new", 5).await;
        let rests: Vec<u64> =
            std::iter::from_fn(|| pool.take(&key("busy"), after(5), true)).map(|(_, rest)| rest.as_secs()).collect();
        assert_eq!(rests, [2; 197], "those that had rested longer are gone");
        assert_eq!(pool.len, 3);
    }

    #[test]
    fn an_announced_limit_counts_if_it_is_lower() {
        let limit = |fields: &str| {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let read = ResponseReader::default().read(text.as_bytes(), false, &Limits::RESPONSE);
            keep_alive_limit(&read.expect("valid").expect("whole").0.fields).as_secs()
        };
        assert_eq!(limit(""), 55);
        assert_eq!(limit("Keep-Alive: timeout=5, max=100\r\n"), 4);
        assert_eq!(limit("Keep-Alive: max=100, Timeout = 20\r\n"), 19);
        assert_eq!(limit("Keep-Alive: timeout=600\r\n"), 55);
        assert_eq!(limit("Keep-Alive: timeout=0\r\n"), 0);
        assert_eq!(limit("Keep-Alive: timeout=x\r\n"), 55);
    }
}
