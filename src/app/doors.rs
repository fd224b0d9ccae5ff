//! Which worker stands behind which door.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::sync::mpsc;

use super::StartError;
use super::crowd::Presence;
use crate::accept::{self, At, BindError, Given, Handed, Inherited, Listener, Opener, Place, Seat, SocketFile};
use crate::os;

/// How many connections may be on their way to a worker.
const ON_THE_WAY: usize = 256;

/// A connection on its way, which has its place already and is counted where it goes: what waits there is not more than
/// there is room for.
pub(super) type Led = (Handed, Seat, Presence);

/// How connections come to a worker, and how they go on from it.
#[derive(Default)]
pub(super) struct Doors {
    /// Listeners of its own: the kernel shares connections out.
    pub(super) own: Vec<Listener>,
    /// Listeners for all workers. Connections that come in here are shared out.
    pub(super) shared: Vec<Listener>,
    /// Where connections come from another worker.
    pub(super) handed: Option<mpsc::Receiver<Led>>,
    /// Where connections go to each worker, by number, this one included. Empty where there is only one.
    pub(super) hand_on: Vec<mpsc::Sender<Led>>,
}

/// A place at which the program listens.
#[derive(Debug)]
pub struct Site {
    /// The place.
    pub at: At,
    /// Who opened it.
    pub opener: Opener,
    /// The sockets of the workers once more.
    pub(super) listeners: Vec<Listener>,
    /// The file of a local socket, if it is ours.
    pub(super) file: Option<SocketFile>,
}

/// Where the program listens.
pub(super) struct Opened {
    /// In the order of the configuration.
    pub(super) sites: Vec<Site>,
    /// One for each worker.
    pub(super) doors: Vec<Doors>,
}

/// Who stands where.
struct Floor {
    sites: Vec<Site>,
    own: Vec<Vec<Listener>>,
    shared: Vec<Listener>,
}

/// A place of the configuration, with what its name means.
enum Wanted<'a> {
    Port(Vec<SocketAddr>),
    Local(&'a Path),
}

/// Takes every place, or what is inherited of it. Nobody can connect to what is new before [`Site::open`].
pub(super) fn open(places: &[Place], workers: usize, inherited: &mut Inherited) -> Result<Opened, StartError> {
    let wanted = places.iter().map(|place| match place {
        Place::Port { host, port } => resolve(host, *port).map(Wanted::Port),
        Place::Local(path) => Ok(Wanted::Local(path)),
    });
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    let ports =
        wanted.iter().flat_map(|wanted| if let Wanted::Port(addresses) = wanted { &addresses[..] } else { &[] });
    let named: Vec<SocketAddr> = ports.copied().collect();
    let mut floor = Floor { sites: Vec::new(), own: (0..workers).map(|_| Vec::new()).collect(), shared: Vec::new() };
    for wanted in wanted {
        match wanted {
            Wanted::Port(addresses) => floor.open_port(addresses, &named, inherited)?,
            Wanted::Local(path) => floor.open_local(path, inherited)?,
        }
    }
    let Floor { sites, own, shared } = floor;
    Ok(Opened { sites, doors: share(own, shared) })
}

impl Floor {
    /// Opens all addresses of one host.
    fn open_port(
        &mut self,
        mut wanted: Vec<SocketAddr>,
        named: &[SocketAddr],
        inherited: &mut Inherited,
    ) -> Result<(), StartError> {
        let (before, last) = (self.sites.len(), wanted.len() - 1);
        for place in 0..wanted.len() {
            let address = match inherited.take_port(wanted[place], named) {
                Some((address, given)) => {
                    self.place(self.with_more(given, address), None)?;
                    address
                }
                None => match accept::bind(wanted[place], if os::LISTENERS_SHARE { self.own.len() } else { 1 }) {
                    Ok((address, listeners)) => {
                        self.place(Given { at: At::Port(address), opener: Opener::Us, listeners }, None)?;
                        address
                    }
                    // A name may have an address of a family that this machine does not have.
                    Err(BindError { error, .. })
                        if error.kind() == io::ErrorKind::AddrNotAvailable
                            && (place < last || self.sites.len() > before) =>
                    {
                        continue;
                    }
                    Err(error) => return Err(StartError::Bind(error)),
                },
            };
            // Every address of a name gets the port that the first was given.
            wanted.iter_mut().for_each(|wanted| wanted.set_port(address.port()));
        }
        Ok(())
    }

    fn open_local(&mut self, path: &Path, inherited: &mut Inherited) -> Result<(), StartError> {
        if let Some(given) = inherited.take_local(path) {
            let file = file_of(&given);
            return self.place(given, file);
        }
        let (file, listener) = accept::bind_local(path).map_err(StartError::Socket)?;
        let at = At::Local(path.to_owned());
        self.place(Given { at, opener: Opener::Us, listeners: vec![listener] }, Some(file))
    }

    /// Completes sockets of a process before this one, which had fewer workers. How many the manager of services opens is
    /// his to say.
    fn with_more(&self, mut given: Given, address: SocketAddr) -> Given {
        let missing = self.own.len().saturating_sub(given.listeners.len());
        if os::LISTENERS_SHARE && given.opener == Opener::Us {
            // If the system refuses it, the workers share those that are there.
            given.listeners.extend(accept::bind_beside(address, missing).unwrap_or_default());
        }
        given
    }

    /// Puts the workers behind sockets: each behind some of its own if there are enough of them.
    fn place(&mut self, given: Given, file: Option<SocketFile>) -> Result<(), StartError> {
        let Given { at, opener, listeners } = given;
        let copies =
            listeners.iter().map(Listener::try_clone).collect::<io::Result<_>>().map_err(StartError::System)?;
        self.sites.push(Site { at, opener, listeners: copies, file });
        if listeners.len() < self.own.len() {
            self.shared.extend(listeners);
        } else {
            // Every one must be accepted on, since somebody may be waiting in it.
            let workers = (0..self.own.len()).cycle();
            workers.zip(listeners).for_each(|(worker, listener)| self.own[worker].push(listener));
        }
        Ok(())
    }
}

impl Site {
    /// Leaves it to another process.
    pub(super) fn leave(self) {
        if let Some(file) = self.file {
            file.leave();
        }
    }

    /// Its address, if it has one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.at {
            At::Port(address) => Some(address),
            At::Local(_) => None,
        }
    }

    /// Whether clients find the way to it.
    #[cfg(unix)]
    pub(super) fn can_be_reached(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_there)
    }

    /// Lets clients connect. From now on it is ours.
    pub(super) fn open(&mut self) -> Result<(), BindError> {
        if let Some(file) = &mut self.file {
            file.claim();
        }
        let listen = self.listeners.iter().try_for_each(Listener::listen);
        listen.map_err(|error| BindError { place: self.at.to_string(), error })
    }
}

/// The file of an inherited socket that a process of ours has made.
#[cfg(unix)]
pub(super) fn file_of(given: &Given) -> Option<SocketFile> {
    match &given.at {
        At::Local(path) if given.opener == Opener::Us => SocketFile::of_predecessor(path).ok(),
        At::Local(_) | At::Port(_) => None,
    }
}

/// There is none.
#[cfg(not(unix))]
pub(super) fn file_of(_given: &Given) -> Option<SocketFile> {
    None
}

/// The first worker accepts for all where the kernel would not share out. Each can hand on to every other.
pub(super) fn share(own: Vec<Vec<Listener>>, shared: Vec<Listener>) -> Vec<Doors> {
    let mut doors: Vec<Doors> = own.into_iter().map(|own| Doors { own, ..Doors::default() }).collect();
    if let [first, _, ..] = &mut doors[..] {
        first.shared = shared;
        let mut hand_on = Vec::with_capacity(doors.len());
        for door in &mut doors {
            let (to, handed) = mpsc::channel(ON_THE_WAY);
            hand_on.push(to);
            door.handed = Some(handed);
        }
        doors.iter_mut().for_each(|door| door.hand_on.clone_from(&hand_on));
    } else if let [only] = &mut doors[..] {
        only.own.extend(shared);
    }
    doors
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, StartError> {
    use std::net::ToSocketAddrs;

    let host = match host.trim().trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    #[expect(clippy::disallowed_methods, reason = "once, before anything is served")]
    let found = (host, port).to_socket_addrs();
    let fail = |error| StartError::Resolve { host: host.to_owned(), error };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(fail)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(fail(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_listened_on_with_all_its_addresses() {
        let places = [Place::Port { host: "localhost".to_owned(), port: 0 }];
        let Opened { sites, doors } = open(&places, 2, &mut Inherited::default()).expect("binds");
        let addresses: Vec<SocketAddr> = sites.iter().filter_map(Site::address).collect();
        let port = addresses[0].port();
        assert!(addresses.iter().all(|address| address.port() == port && address.ip().is_loopback()));
        assert!(doors.len() == 2 && doors.iter().all(|doors| doors.own.len() == addresses.len()));
    }

    #[test]
    fn hosts_may_be_written_with_brackets_or_not_at_all() {
        let address = |host: &str| resolve(host, 1).map(|found| found[0].to_string());
        assert_eq!(address("[::1]").expect("valid"), "[::1]:1");
        assert_eq!(address("::1").expect("valid"), "[::1]:1");
        assert_eq!(address("").expect("valid"), "0.0.0.0:1");
        assert!(address("nowhere.invalid").is_err());
    }

    #[test]
    fn one_listener_serves_all_workers() {
        let (_, listeners) = accept::bind("127.0.0.1:0".parse().expect("valid"), 1).expect("binds");
        let doors = share((0..3).map(|_| Vec::new()).collect(), listeners);
        let counts = doors.iter().map(|doors| (doors.shared.len(), doors.hand_on.len(), doors.handed.is_some()));
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 3, true), (0, 3, true), (0, 3, true)]);
    }
}
