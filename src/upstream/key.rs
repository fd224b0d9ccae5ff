//! What makes two connections differ.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::guard::Guard;
use super::proxy::{Proxy, ProxyScheme};
use super::tls::Tls;
use crate::origin::{Origin, Scheme};

/// Everything that a connection depends on: two requests may share one only if their keys are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it leads.
    pub origin: Origin,
    /// The proxy through which it leads there, with its login.
    pub proxy: Option<Arc<Proxy>>,
    /// Whether an HTTP proxy opens a tunnel although the origin speaks HTTP in the clear, which it could be sent
    /// whole requests for.
    pub tunnel: bool,
    /// How TLS is spoken on it, where the origin or the proxy asks for TLS.
    pub tls: Option<Arc<Tls>>,
    /// Whether HTTP/2 is spoken on it, where the other side agrees: over TLS it is asked, in the clear it has to.
    pub http2: bool,
    /// What its addresses were held against, where a client named its target: a connection that one route may have is
    /// not for another that would have refused to make it.
    pub guard: Option<Arc<Guard>>,
    /// The hash of all that, taken once: a route's key is looked up with every request. It is keyed at random, since
    /// clients choose the origins of universal routes.
    hash: u64,
}

static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Key {
    /// The key of connections to this place, through this proxy if there is one. Of TLS it keeps what it needs.
    #[must_use]
    pub fn new(origin: Origin, proxy: Option<Arc<Proxy>>, tls: Option<&Arc<Tls>>) -> Self {
        let is_tls_to_proxy = proxy.as_ref().is_some_and(|proxy| proxy.scheme == ProxyScheme::Https);
        let tls = tls.filter(|_| origin.scheme == Scheme::Https || is_tls_to_proxy).cloned();
        Self { origin, proxy, tunnel: false, tls, http2: false, guard: None, hash: 0 }.hashed()
    }

    /// The same place by the same way, where HTTP/2 is spoken if it is so wished. Through a proxy it needs a tunnel.
    #[must_use]
    pub fn speaking_http2(self, http2: bool) -> Self {
        if http2 { Self { http2, ..self.in_tunnel() }.hashed() } else { self }
    }

    /// The same place by the same way, if its addresses pass this guard. Where they have to be known for that, a proxy is
    /// not sent whole requests, whose host it would resolve itself, but asked for a tunnel to one of them.
    #[must_use]
    pub fn guarded(self, guard: &Arc<Guard>) -> Self {
        let tunnel = self.tunnel || (guard.needs_addresses() && self.takes_whole_requests());
        Self { guard: Some(Arc::clone(guard)), tunnel, ..self }.hashed()
    }

    /// The same place by the same way, but through a tunnel in any case, and with HTTP/1.1: what is no plain HTTP/1.1
    /// request cannot be sent to a proxy as such.
    #[must_use]
    pub fn in_tunnel(&self) -> Self {
        let needs_tunnel = self.tunnel || self.takes_whole_requests();
        Self { tunnel: needs_tunnel, http2: false, ..self.clone() }.hashed()
    }

    /// Whether the other end is an HTTP proxy that is sent whole requests with the URL in the request line
    /// (RFC 9112 section 3.2.2), and no tunnel.
    #[must_use]
    pub fn takes_whole_requests(&self) -> bool {
        let is_http = self.proxy.as_ref().is_some_and(|proxy| proxy.scheme.is_http());
        is_http && self.origin.scheme == Scheme::Http && !self.tunnel
    }

    fn hashed(self) -> Self {
        let hash = RANDOM.hash_one((&self.origin, &self.proxy, self.tunnel, &self.tls, self.http2, &self.guard));
        Self { hash, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str, proxy: Option<&str>) -> Key {
        let (scheme, authority) = url.split_once("://").expect("a URL");
        let scheme = Scheme::parse(scheme.as_bytes()).expect("a scheme");
        let origin = Origin::parse(scheme, authority.as_bytes()).expect("valid").0;
        Key::new(origin, proxy.map(|url| Arc::new(Proxy::parse(url).expect("valid"))), None)
    }

    #[test]
    fn the_way_makes_keys_differ() {
        let keys = [
            key("http://h", None),
            key("http://h", Some("http://p")),
            key("http://h", Some("http://p")).in_tunnel(),
            key("http://h", Some("http://u:p@p")),
            key("http://h", Some("http://u:q@p")),
            key("http://h", Some("socks5://p:80")),
            key("http://h", Some("socks5h://p:80")),
            key("https://h", Some("http://p")),
            key("http://h", None).guarded(&Arc::default()),
            key("http://h", None).guarded(&public_only()),
        ];
        for (place, one) in keys.iter().enumerate() {
            for (other_place, other) in keys.iter().enumerate() {
                assert_eq!(one == other, place == other_place, "{one:?} {other:?}");
                assert_eq!(one.hash == other.hash, place == other_place, "{one:?} {other:?}");
            }
        }
        assert_eq!(key("http://h", Some("http://p:80")), key("http://h:80", Some("p")));
    }

    fn public_only() -> Arc<Guard> {
        Arc::new(Guard { allow_private: false, ..Guard::default() })
    }

    #[test]
    fn guards_of_the_same_rules_share() {
        assert_eq!(key("http://h", None).guarded(&public_only()), key("http://h", None).guarded(&public_only()));
    }

    #[test]
    fn who_has_to_know_addresses_lets_no_proxy_resolve_them() {
        let key = || key("http://h", Some("http://p"));
        assert!(key().guarded(&Arc::default()).takes_whole_requests());
        assert!(!key().guarded(&public_only()).takes_whole_requests());
        assert!(key().guarded(&public_only()).in_tunnel().guard.is_some());
    }

    #[test]
    fn only_an_http_proxy_is_sent_whole_requests_and_only_in_the_clear() {
        assert!(key("http://h", Some("http://p")).takes_whole_requests());
        assert!(key("http://h", Some("https://p")).takes_whole_requests());
        assert!(!key("http://h", Some("http://p")).in_tunnel().takes_whole_requests());
        for proxy in [None, Some("socks5://p"), Some("socks4a://p")] {
            assert!(!key("http://h", proxy).takes_whole_requests());
            assert_eq!(key("http://h", proxy).in_tunnel(), key("http://h", proxy));
        }
        assert!(!key("https://h", Some("http://p")).takes_whole_requests());
        assert_eq!(key("https://h", Some("http://p")).in_tunnel(), key("https://h", Some("http://p")));
    }
}
