//! Targets to which no proxy leads: `no_proxy` in the configuration, `NO_PROXY` in the environment.
//!
//! Programs differ in how they read such lists. This is what curl, Python's requests and Go agree on, and where they
//! do not, the reading that a person would expect: see the entries of [`NoProxy::parse`].

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::origin::{Host, Origin};

/// A list of targets that are reached directly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    written: Arc<str>,
    whom: Whom,
    /// Only on this port, if one is named.
    port: Option<u16>,
}

/// Whom an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    Everybody,
    /// A name and those below it; the name itself is not meant by `*.name`.
    Name {
        name: Box<str>,
        itself: bool,
    },
    Network(IpNet),
}

impl NoProxy {
    /// Reads a list whose entries are set apart by commas or white space:
    ///
    /// - `*`: everybody
    /// - `example.com`, `.example.com`: this name and every name below it; `*.example.com`: only those below it
    /// - `10.0.0.1`, `::1`, `[::1]`: this address, if the target is written as an address
    /// - `10.0.0.0/8`, `fd00::/8`: such addresses. Names are not resolved to see whether they lie there
    /// - `example.com:8443`, `[::1]:8443`: the same on this port only
    ///
    /// Entries that cannot be read are handed to `unread` and mean nobody.
    pub fn parse<'a>(list: &'a str, unread: impl FnMut(&'a str)) -> Self {
        let mut no_proxy = Self::default();
        no_proxy.add(list, unread);
        no_proxy
    }

    /// Adds the entries of another list.
    pub fn add<'a>(&mut self, list: &'a str, mut unread: impl FnMut(&'a str)) {
        for written in list.split([',', ' ', '\t', '\r', '\n']).filter(|written| !written.is_empty()) {
            match Entry::parse(written) {
                Some(entry) => self.entries.push(entry),
                None => unread(written),
            }
        }
    }

    /// The entry by which this target is reached directly, if there is one.
    #[must_use]
    pub fn find(&self, target: &Origin) -> Option<&Arc<str>> {
        self.entries.iter().find(|entry| entry.means(target)).map(|entry| &entry.written)
    }

    /// The entries as written.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.written)
    }
}

impl Entry {
    fn parse(written: &str) -> Option<Self> {
        let (whom, port) = if written == "*" {
            (Whom::Everybody, None)
        } else if let Ok(network) = written.parse() {
            (Whom::Network(network), None)
        } else if let Ok(address) = written.parse::<IpAddr>() {
            (Whom::Network(address.to_canonical().into()), None)
        } else {
            let (itself, rest) = match written.strip_prefix("*.") {
                Some(rest) => (false, rest),
                None => (true, written.trim_start_matches('.')),
            };
            match Host::with_port(rest).ok()? {
                (Host::Address(address), port) => (Whom::Network(address.to_canonical().into()), port),
                (Host::Name(name), port) => {
                    let name = name.trim_end_matches('.');
                    (!name.is_empty()).then(|| (Whom::Name { name: name.into(), itself }, port))?
                }
            }
        };
        Some(Self { written: written.into(), whom, port })
    }

    fn means(&self, target: &Origin) -> bool {
        if self.port.is_some_and(|port| port != target.port) {
            return false;
        }
        match (&self.whom, &target.host) {
            (Whom::Everybody, _) => true,
            (Whom::Network(network), Host::Address(address)) => network.contains(&address.to_canonical()),
            (Whom::Name { name, itself }, Host::Name(target)) => {
                match target.trim_end_matches('.').strip_suffix(&**name) {
                    Some("") => *itself,
                    Some(below) => below.ends_with('.'),
                    None => false,
                }
            }
            (Whom::Network(_), Host::Name(_)) | (Whom::Name { .. }, Host::Address(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::origin::Scheme;

    fn origin(authority: &str) -> Origin {
        Origin::parse(Scheme::Https, authority.as_bytes()).expect(authority).0
    }

    /// The entry by which a target is reached directly.
    fn entry(list: &str, target: &str) -> Option<String> {
        let no_proxy = NoProxy::parse(list, |entry| panic!("not read: {entry}"));
        no_proxy.find(&origin(target)).map(ToString::to_string)
    }

    #[test]
    fn names_mean_what_is_below_them_too() {
        for list in ["example.com", ".example.com", "EXAMPLE.com", "example.com.", "x, example.com ,y", "x example.com"]
        {
            for target in ["example.com", "api.example.com", "a.b.Example.com:8443", "example.com."] {
                assert!(entry(list, target).is_some(), "{list} {target}");
            }
            for target in ["notexample.com", "example.com.evil.org", "com", "example.co", "exampleXcom", "127.0.0.1"] {
                assert_eq!(entry(list, target), None, "{list}");
            }
        }
        assert_eq!(entry("*.example.com", "a.example.com").as_deref(), Some("*.example.com"));
        assert_eq!(entry("*.example.com", "example.com"), None);
        assert!(entry("localhost", "localhost:11434").is_some());
        assert_eq!(entry("localhost", "127.0.0.1"), None);
    }

    #[test]
    fn everybody_is_a_star() {
        for target in ["example.com", "127.0.0.1", "[::1]:5"] {
            assert_eq!(entry("a, *", target).as_deref(), Some("*"));
        }
        assert_eq!(entry("", "example.com"), None);
        assert_eq!(entry(" , ,", "example.com"), None);
    }

    #[test]
    fn addresses_and_networks_mean_addresses() {
        for (list, target) in [
            ("127.0.0.1", "127.0.0.1:8080"),
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.1.2.3/8", "10.255.0.1"),
            ("0.0.0.0/0", "8.8.8.8"),
            ("192.168.1.0/24,fd00::/8", "[fd12::1]"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]:80"),
            ("127.0.0.1", "[::ffff:127.0.0.1]"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("127.0.0.0/8", "[::ffff:127.9.9.9]"),
        ] {
            assert!(entry(list, target).is_some(), "{list} {target}");
        }
        for (list, target) in [
            ("127.0.0.1", "127.0.0.2"),
            ("0.0.1", "10.0.0.1"),
            (".0.0.1", "127.0.0.1"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/8", "ten.example"),
            ("0.0.0.0/0", "[::1]"),
            ("::1", "[::2]"),
        ] {
            assert_eq!(entry(list, target), None, "{list} {target}");
        }
    }

    #[test]
    fn a_port_narrows_an_entry() {
        for (list, target) in [
            ("example.com:8443", "api.example.com:8443"),
            ("example.com:443", "example.com"),
            ("*.example.com:443", "a.example.com"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert!(entry(list, target).is_some(), "{list} {target}");
        }
        for (list, target) in
            [("example.com:8443", "example.com"), ("127.0.0.1:80", "127.0.0.1"), ("[::1]:80", "[::1]:81")]
        {
            assert_eq!(entry(list, target), None, "{list} {target}");
        }
    }

    #[test]
    fn what_cannot_be_read_means_nobody() {
        let list = "http://h, 10.0.0.0/33, [::1, h:0, h:x, a*b, *x, **, ., *., <local>, u@h, good";
        let mut unread = Vec::new();
        let no_proxy = NoProxy::parse(list, |entry| unread.push(entry));
        assert_eq!(unread.join(", ") + ", good", list);
        assert_eq!(no_proxy.entries().collect::<Vec<_>>(), ["good"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Labels decide, not letters.
        #[test]
        fn a_name_means_exactly_what_ends_with_its_labels(name in "[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", target in "[a-c]{1,2}(\\.[a-c]{1,2}){0,4}") {
            let ends = target == name || target.ends_with(&format!(".{name}"));
            prop_assert_eq!(entry(&name, &target).is_some(), ends);
            prop_assert_eq!(entry(&format!(".{name}"), &target).is_some(), ends);
            prop_assert_eq!(entry(&format!("*.{name}"), &target).is_some(), ends && target != name);
        }

        /// Any text is a list, and one entry has no say in what another means.
        #[test]
        fn entries_stand_alone(list in "[a-c0-9.:*/\\[\\], -]{0,40}", target in "([a-c]{1,3}(\\.[a-c]{1,3}){0,3}|[0-9]{1,2}\\.0\\.0\\.1)") {
            let target = origin(&target);
            let found = |list: &str| NoProxy::parse(list, |_| {}).find(&target).is_some();
            prop_assert_eq!(found(&list), list.split([',', ' ']).any(found));
        }
    }
}
