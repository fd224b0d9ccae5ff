//! Idle connections, by key.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Key;
use super::key::Taken;
use crate::h1::{Fields, list};
use crate::wire::Wire;

/// How many idle connections are kept to one place, and in all.
const MAX_PER_KEY: usize = 128;
const MAX_IN_ALL: usize = 1024;
/// How long a connection is kept unless its origin says less. Origins commonly close at 60 to 75 seconds; who closes
/// first does not run into the other's closing.
const LIMIT: Duration = Duration::from_secs(55);
/// How much earlier than the origin has announced a connection is given up.
const MARGIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Pool {
    idle: HashMap<Arc<Key>, Vec<Idle>, BuildHasherDefault<Taken>>,
    len: usize,
}

struct Idle {
    wire: Wire,
    until: Instant,
}

impl Idle {
    fn is_good(&self, now: Instant) -> bool {
        now < self.until && self.wire.is_quiet()
    }
}

impl Pool {
    /// The most recently used good connection. Its path through the network is the warmest, and the others grow old
    /// and go.
    pub(super) fn take(&mut self, key: &Key, now: Instant) -> Option<Wire> {
        let idle = self.idle.get_mut(key)?;
        while let Some(last) = idle.pop() {
            self.len -= 1;
            if last.is_good(now) {
                return Some(last.wire);
            }
        }
        None
    }

    pub(super) fn put(&mut self, key: &Arc<Key>, wire: Wire, until: Instant) {
        if self.len >= MAX_IN_ALL {
            return;
        }
        let idle = self.idle.entry(Arc::clone(key)).or_default();
        if idle.len() < MAX_PER_KEY {
            idle.push(Idle { wire, until });
            self.len += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        self.idle.retain(|_, idle| {
            idle.retain(|idle| idle.is_good(now));
            !idle.is_empty()
        });
        self.len = self.idle.values().map(Vec::len).sum();
    }
}

/// How long a connection may be kept after an answer with these fields. `Keep-Alive: timeout=5` says when the origin
/// will close it.
#[must_use]
pub fn keep_alive_limit(fields: &Fields) -> Duration {
    let announced = fields.values(b"keep-alive").flat_map(list).filter_map(|member| {
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
        let (mut pool, now) = (Pool::default(), Instant::now());
        let until = now + LIMIT;
        let (first, _far1) = pair(&listener).await;
        let (mut second, mut far2) = pair(&listener).await;
        second.write_all(b"2").await.expect("writes");
        pool.put(&key("a"), first, until);
        pool.put(&key("a"), second, until);
        assert!(pool.take(&key("b"), now).is_none());
        let mut taken = pool.take(&key("a"), now).expect("there");
        taken.write_all(b"!").await.expect("writes");
        let mut seen = [0; 2];
        tokio::io::AsyncReadExt::read_exact(&mut far2, &mut seen).await.expect("reads");
        assert_eq!(&seen, b"2!");
        assert!(pool.take(&key("a"), now).is_some() && pool.take(&key("a"), now).is_none());
    }

    #[tokio::test]
    async fn what_is_closed_noisy_or_old_is_not_given_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (mut pool, now) = (Pool::default(), Instant::now());
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
            pool.put(&key("a"), wire, until);
        }
        assert!(pool.take(&key("a"), now).is_none());
        pool.sweep(now);
        assert!(pool.is_empty());
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
