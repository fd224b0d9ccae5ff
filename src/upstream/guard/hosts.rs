//! Lists of hosts: `allow_hosts` and `deny_hosts`.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::origin::Host;

/// A list of names and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Hosts(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    written: Arc<str>,
    whom: Whom,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whom {
    /// One name.
    Name(Box<str>),
    /// The names below this one.
    Below(Box<str>),
    Network(IpNet),
}

impl Hosts {
    /// Adds a name (`example.com`), the names below one (`*.example.com`), an address or a network (`10.0.0.0/8`).
    /// `None`: it is none of these.
    #[must_use]
    pub fn with(mut self, written: &str) -> Option<Self> {
        let text = written.trim();
        let whom = if let Ok(network) = text.parse::<IpNet>() {
            Whom::Network(network)
        } else if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Whom::Network(address.to_canonical().into())
        } else {
            let (is_below, name) = match text.strip_prefix("*.") {
                Some(name) => (true, name),
                None => (false, text),
            };
            let Ok((Host::Name(name), None)) = Host::with_port(name) else { return None };
            let name: Box<str> = name.trim_end_matches('.').into();
            // `h:` names a port too.
            if text.contains(':') || name.starts_with('.') || name.contains("..") {
                return None;
            }
            if is_below { Whom::Below(name) } else { Whom::Name(name) }
        };
        self.0.push(Entry { written: text.into(), whom });
        Some(self)
    }

    /// Whether it says anything about addresses.
    pub(super) fn has_networks(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry.whom, Whom::Network(_)))
    }

    /// The entry that means this name.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        let name = name.trim_end_matches('.');
        let means = |entry: &&Entry| match &entry.whom {
            Whom::Name(known) => **known == *name,
            Whom::Below(known) => {
                name.strip_suffix(&**known).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
            Whom::Network(_) => false,
        };
        self.0.iter().find(means).map(|entry| &*entry.written)
    }

    /// The entry that means this address.
    pub(super) fn address(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let means = |entry: &&Entry| matches!(&entry.whom, Whom::Network(network) if network.contains(&address));
        self.0.iter().find(means).map(|entry| &*entry.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entries: &[&str]) -> Hosts {
        entries.iter().fold(Hosts::default(), |hosts, entry| hosts.with(entry).expect(entry))
    }

    #[test]
    fn names_mean_themselves_or_what_is_below() {
        let hosts = hosts(&["API.example.com", "*.openai.com", "in.example."]);
        for name in ["api.example.com", "api.example.com.", "a.openai.com", "a.b.openai.com.", "in.example"] {
            assert!(hosts.name(name).is_some(), "{name}");
        }
        for name in
            ["example.com", "x.api.example.com", "openai.com", ".openai.com", "xopenai.com", "openai.com.evil.org"]
        {
            assert_eq!(hosts.name(name), None, "{name}");
        }
    }

    #[test]
    fn networks_mean_addresses() {
        let hosts = hosts(&["10.0.0.0/8", "192.0.2.1", "[2001:db8::1]", "fd00::/8"]);
        for address in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.1", "2001:db8::1", "fd12::1"] {
            assert!(hosts.address(address.parse().expect("an address")).is_some(), "{address}");
        }
        for address in ["11.0.0.1", "192.0.2.2", "2001:db8::2", "::1"] {
            assert_eq!(hosts.address(address.parse().expect("an address")), None, "{address}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for entry in
            ["", "*", "*.", ".", "a b", "h:80", "h:", "http://h", "10.0.0.0/33", "*x.example", "a.*.b", "u@h", "a..b"]
        {
            assert_eq!(Hosts::default().with(entry), None, "{entry}");
        }
    }
}
