//! Who may say for whom it speaks.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::h1;
use crate::peer::Peer;

/// The proxies in front of this one whose word is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Vec<IpNet>,
    /// Whether every program on a local socket is.
    local: bool,
}

impl Trusted {
    /// Adds an address, a network such as `10.0.0.0/8`, or `unix:` for local sockets. `None`: it is none of these.
    #[must_use]
    pub fn with(mut self, text: &str) -> Option<Self> {
        match text.trim() {
            "unix:" => self.local = true,
            text => match text.parse::<IpAddr>() {
                Ok(address) => self.networks.push(address.to_canonical().into()),
                Err(_) => self.networks.push(text.parse().ok()?),
            },
        }
        Some(self)
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.local
    }

    /// Whether a peer is one of them.
    #[must_use]
    pub fn contains(&self, peer: Peer) -> bool {
        match peer {
            Peer::Local => self.local,
            Peer::Address(address) => self.covers(address.ip()),
            Peer::Host(address) => self.covers(address),
        }
    }

    fn covers(&self, address: IpAddr) -> bool {
        // A socket for both families shows the addresses of the old one in the dress of the new one.
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who asks, by the values of `X-Forwarded-For` in the order in which they came. Each proxy adds the address from
    /// which it was asked at the end, so they are read from the end for as long as those who wrote them are trusted.
    #[must_use]
    pub fn client<'a>(&self, peer: Peer, values: impl DoubleEndedIterator<Item = &'a [u8]>) -> Peer {
        let mut client = peer;
        for word in values.rev().flat_map(|value| h1::list(value).rev()) {
            if !self.contains(client) {
                break;
            }
            let Some(named) = named(word) else { break };
            client = named;
        }
        client
    }
}

/// An address with a port or without.
fn named(word: &[u8]) -> Option<Peer> {
    let text = std::str::from_utf8(word).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Some(Peer::Host(address)),
        Err(_) => text.parse::<SocketAddr>().ok().map(Peer::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(texts: &[&str]) -> Trusted {
        texts.iter().fold(Trusted::default(), |trusted, text| trusted.with(text).expect("good"))
    }

    fn peer(address: &str) -> Peer {
        Peer::Address(SocketAddr::new(address.parse().expect("an address"), 5))
    }

    #[test]
    fn networks_and_addresses_are_trusted() {
        let trusted = trusted(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:198.51.100.7"]);
        for address in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.1", "2001:db8::5", "198.51.100.7"] {
            assert!(trusted.contains(peer(address)), "{address}");
        }
        for address in ["11.0.0.1", "192.0.2.2", "::a00:1", "2001:db9::"] {
            assert!(!trusted.contains(peer(address)), "{address}");
        }
        assert!(!trusted.contains(Peer::Local));
        assert!(Trusted::default().with("unix:").expect("good").contains(Peer::Local));
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "unix:/x", "*", "10.0.0.1:80"] {
            assert_eq!(Trusted::default().with(text), None, "{text}");
        }
    }

    #[test]
    fn the_client_is_the_last_who_is_not_trusted() {
        let trusted = trusted(&["10.0.0.0/8", "unix:"]);
        let client = |from: &str, values: &[&str]| {
            let from = if from == "unix:" { Peer::Local } else { peer(from) };
            trusted.client(from, values.iter().map(|value| value.as_bytes())).to_string()
        };
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "2.2.2.2 ,10.0.0.2", " 10.0.0.3,, "]), "2.2.2.2");
        assert_eq!(client("unix:", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client("unix:", &["1.1.1.1:80"]), "1.1.1.1:80");
        assert_eq!(client("unix:", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client("unix:", &["[2001:db8::1]:80"]), "[2001:db8::1]:80");
        // All of them are ours: then it is the one who was asked first.
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        // Who is not trusted can say what he likes, and nothing is believed beyond what nobody can read.
        assert_eq!(client("9.9.9.9", &["1.1.1.1"]), "9.9.9.9:5");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, unknown"]), "10.0.0.1:5");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, \u{ff}, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1:5");
    }
}
