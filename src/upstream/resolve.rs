//! Names to addresses, by the system's own resolver (hosts file, search domains, mDNS: what the user expects),
//! without blocking a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long an answer is used again. Connections are kept, so names are asked for rarely; this only keeps a crowd
/// of new connections from asking a thousand times at once.
const FRESH: Duration = Duration::from_secs(5);
/// How many names are remembered before old ones are thrown out.
const MANY: usize = 256;

/// Asks for each name once, however many wait for it.
pub(super) struct Resolver {
    names: RefCell<HashMap<Box<str>, Rc<Name>>>,
    ask: Ask,
}

/// Who knows the addresses of a name.
type Ask = Box<dyn Fn(&str) -> Answer>;
type Answer = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>>>>;

struct Name {
    since: Instant,
    addresses: OnceCell<Result<Vec<IpAddr>, String>>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::asking(|name| Box::pin(ask(name.to_owned())))
    }
}

impl Resolver {
    /// One that asks somebody else than the system.
    pub(super) fn asking(ask: impl Fn(&str) -> Answer + 'static) -> Self {
        Self { names: RefCell::default(), ask: Box::new(ask) }
    }

    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let entry = self.entry(name);
        let result = entry.addresses.get_or_init(|| (self.ask)(name)).await;
        if result.is_err() {
            self.forget(name, &entry);
        }
        result.clone()
    }

    fn entry(&self, name: &str) -> Rc<Name> {
        let now = Instant::now();
        let mut names = self.names.borrow_mut();
        if let Some(entry) = names.get(name).filter(|entry| now - entry.since < FRESH) {
            return Rc::clone(entry);
        }
        if names.len() >= MANY {
            names.retain(|_, entry| now - entry.since < FRESH);
        }
        let entry = Rc::new(Name { since: now, addresses: OnceCell::new() });
        names.insert(name.into(), Rc::clone(&entry));
        entry
    }

    fn forget(&self, name: &str, entry: &Rc<Name>) {
        let mut names = self.names.borrow_mut();
        if names.get(name).is_some_and(|known| Rc::ptr_eq(known, entry)) {
            names.remove(name);
        }
    }
}

async fn ask(name: String) -> Result<Vec<IpAddr>, String> {
    // The runtime does this on a thread of its own.
    match tokio::net::lookup_host((&*name, 0)).await {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|socket| socket.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(format!("'{name}' has no address")) } else { Ok(addresses) }
        }
        Err(error) => Err(format!("'{name}': {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_once_while_it_is_fresh() {
        let resolver = Resolver::default();
        let addresses = resolver.resolve("localhost").await.expect("every system knows it");
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        let entry = resolver.entry("localhost");
        assert!(entry.addresses.initialized());
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let resolver = Resolver::default();
        assert!(resolver.resolve("nowhere.invalid").await.is_err());
        assert!(resolver.names.borrow().is_empty());
    }
}
