//! Names to addresses, by the system's own resolver (hosts file, search domains, mDNS: what the user expects),
//! without blocking a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// How long an answer is used again. Connections are kept, so names are asked for rarely; this only keeps a crowd
/// of new connections from asking a thousand times at once.
const FRESH: Duration = Duration::from_secs(5);
/// How many names are remembered.
const MANY: usize = 256;
/// How many addresses of a name are of use. An answer can hold thousands.
const MAX_ADDRESSES: usize = 64;

/// Asks for each name once, however many wait for it and however long they do.
pub(super) struct Resolver {
    names: RefCell<HashMap<Box<str>, Rc<Name>>>,
    ask: Ask,
    /// How many names may be asked for at once. The system may take half a minute to give a name up, and a thread waits
    /// with it; further names wait here, each for as long as the request that wants it.
    room: Arc<Semaphore>,
}

/// Who knows the addresses of a name. The permit is held for as long as the question is open, whoever still waits.
type Ask = Box<dyn Fn(&str, OwnedSemaphorePermit) -> Answer>;
type Answer = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>>>>;

struct Name {
    since: Instant,
    /// Locked by whoever waits for it first. The next one goes on where that one has left.
    lookup: Mutex<Lookup>,
}

#[derive(Default)]
struct Lookup {
    running: Option<Answer>,
    done: Option<Result<Vec<IpAddr>, String>>,
}

impl Resolver {
    /// One that asks the system for so many names at once.
    pub(super) fn of(max_lookups: usize) -> Self {
        Self::asking(max_lookups, |name, permit| Box::pin(ask(name.to_owned(), permit)))
    }

    /// One that asks somebody else than the system.
    pub(super) fn asking(max_lookups: usize, ask: impl Fn(&str, OwnedSemaphorePermit) -> Answer + 'static) -> Self {
        Self { names: RefCell::default(), ask: Box::new(ask), room: Arc::new(Semaphore::new(max_lookups)) }
    }

    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let entry = self.entry(name);
        let mut lookup = entry.lookup.lock().await;
        if let Some(result) = &lookup.done {
            return result.clone();
        }
        let running = match &mut lookup.running {
            Some(running) => running,
            None => {
                let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|closed| closed.to_string())?;
                lookup.running.insert((self.ask)(name, permit))
            }
        };
        let result = running.await;
        lookup.finish(result.clone());
        if result.is_err() {
            self.forget(name, &entry);
        }
        result
    }

    fn entry(&self, name: &str) -> Rc<Name> {
        let now = Instant::now();
        let mut names = self.names.borrow_mut();
        if let Some(entry) = names.get(name).filter(|entry| entry.is_of_use(now)) {
            return Rc::clone(entry);
        }
        let entry = Rc::new(Name { since: now, lookup: Mutex::default() });
        if names.len() >= MANY {
            names.retain(|_, entry| entry.is_of_use(now));
        }
        // Clients may think up names without end. Where there are too many, each is asked for by whoever wants it.
        if names.len() < MANY || names.contains_key(name) {
            names.insert(name.into(), Rc::clone(&entry));
        }
        entry
    }

    fn forget(&self, name: &str, entry: &Rc<Name>) {
        let mut names = self.names.borrow_mut();
        if names.get(name).is_some_and(|known| Rc::ptr_eq(known, entry)) {
            names.remove(name);
        }
    }
}

impl Name {
    /// Whether its answer is fresh, or still to come.
    fn is_of_use(&self, now: Instant) -> bool {
        if now - self.since < FRESH {
            return true;
        }
        // If it is locked, somebody waits. If nobody does, an answer may have come that nobody has seen.
        let Ok(mut lookup) = self.lookup.try_lock() else { return true };
        let Some(running) = &mut lookup.running else { return false };
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                lookup.finish(result);
                false
            }
        }
    }
}

impl Lookup {
    fn finish(&mut self, result: Result<Vec<IpAddr>, String>) {
        (self.running, self.done) = (None, Some(result));
    }
}

async fn ask(name: String, permit: OwnedSemaphorePermit) -> Result<Vec<IpAddr>, String> {
    let shown = name.clone();
    let asking = spawn_blocking(move || {
        #[expect(clippy::disallowed_methods, reason = "this is a thread on which to wait")]
        let found = (&*name, 0).to_socket_addrs();
        drop(permit);
        found
    });
    // That the thread fails is a bug of the system's library.
    match asking.await.unwrap_or_else(|failed| Err(failed.into())) {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|socket| socket.ip()) {
                if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(format!("'{shown}' has no address")) } else { Ok(addresses) }
        }
        Err(error) => Err(format!("'{shown}': {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    const MAX_LOOKUPS: usize = 16;

    #[tokio::test]
    async fn a_name_is_asked_for_once_while_it_is_fresh() {
        let resolver = Resolver::of(MAX_LOOKUPS);
        let addresses = resolver.resolve("localhost").await.expect("every system knows it");
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        let entry = resolver.entry("localhost");
        assert!(matches!(entry.lookup.lock().await.done, Some(Ok(_))));
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let resolver = Resolver::of(MAX_LOOKUPS);
        assert!(resolver.resolve("nowhere.invalid").await.is_err());
        assert!(resolver.names.borrow().is_empty());
    }

    /// A resolver whose answers come when they are told to, how often it was asked, and the way to tell it.
    fn slow() -> (Resolver, Rc<Cell<usize>>, Rc<Notify>) {
        let (asked, go) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        let (count, wait) = (Rc::clone(&asked), Rc::clone(&go));
        let resolver = Resolver::asking(MAX_LOOKUPS, move |_, permit| {
            count.set(count.get() + 1);
            let wait = Rc::clone(&wait);
            Box::pin(async move {
                wait.notified().await;
                drop(permit);
                Ok(vec![IpAddr::from([127, 0, 0, 1])])
            })
        });
        (resolver, asked, go)
    }

    /// An answer that comes while it is waited for.
    async fn answered(resolver: &Resolver, go: &Notify) -> Result<Vec<IpAddr>, String> {
        let goes = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        tokio::join!(resolver.resolve("hangs"), goes).0
    }

    async fn loses_patience(resolver: &Resolver, name: &str) {
        let waited = timeout(FRESH * 2, resolver.resolve(name)).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_stays_open_though_those_who_asked_are_gone() {
        let (resolver, asked, go) = slow();
        for _ in 0..3 {
            loses_patience(&resolver, "hangs").await;
        }
        assert_eq!(asked.get(), 1);
        assert!(answered(&resolver, &go).await.is_ok());
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_waited_for_is_not_fresh() {
        let (resolver, asked, go) = slow();
        loses_patience(&resolver, "hangs").await;
        go.notify_one();
        assert!(answered(&resolver, &go).await.is_ok());
        assert_eq!(asked.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_asked_for_at_once_and_remembered() {
        let (resolver, asked, _go) = slow();
        for number in 0..MAX_LOOKUPS + 300 {
            loses_patience(&resolver, &format!("hangs-{number}")).await;
        }
        assert_eq!(asked.get(), MAX_LOOKUPS);
        assert!(resolver.names.borrow().len() <= MANY);
    }
}
