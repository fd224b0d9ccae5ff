//! Which worker stands behind which door.

use std::io;
use std::net::SocketAddr;

use tokio::sync::mpsc;

use super::StartError;
use crate::accept::{self, BindError, Handed, Listener, Place, SocketFile};
use crate::os;

/// How many connections may be on their way to a worker.
const ON_THE_WAY: usize = 256;

/// How connections come to a worker, and how they go on from it.
#[derive(Default)]
pub(super) struct Doors {
    /// Listeners of its own: the kernel shares connections out.
    pub(super) own: Vec<Listener>,
    /// Listeners for all workers. Connections that come in here are shared out in turn.
    pub(super) shared: Vec<Listener>,
    /// Where connections come from another worker.
    pub(super) handed: Option<mpsc::Receiver<Handed>>,
    /// Where connections go to the others.
    pub(super) hand_on: Vec<mpsc::Sender<Handed>>,
}

/// Where the program listens.
pub(super) struct Opened {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) sockets: Vec<SocketFile>,
    /// One for each worker.
    pub(super) doors: Vec<Doors>,
}

/// Listens at every place.
pub(super) fn open(places: &[Place], workers: usize) -> Result<Opened, StartError> {
    let mut own: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let (mut addresses, mut sockets, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        match place {
            Place::Port { host, port } => {
                let wanted = resolve(host, *port)?;
                for (address, listeners) in listen(wanted, if os::LISTENERS_SHARE { workers } else { 1 })? {
                    addresses.push(address);
                    if os::LISTENERS_SHARE {
                        own.iter_mut().zip(listeners).for_each(|(own, listener)| own.push(listener));
                    } else {
                        shared.extend(listeners);
                    }
                }
            }
            Place::Local(path) => {
                let (socket, listener) = accept::bind_local(path).map_err(StartError::Socket)?;
                sockets.push(socket);
                shared.push(listener);
            }
        }
    }
    Ok(Opened { addresses, sockets, doors: share(own, shared) })
}

/// Listens at all addresses of one host, `sockets` times at each.
fn listen(mut wanted: Vec<SocketAddr>, sockets: usize) -> Result<Vec<(SocketAddr, Vec<Listener>)>, StartError> {
    let mut opened: Vec<(SocketAddr, Vec<Listener>)> = Vec::new();
    let last = wanted.len() - 1;
    for place in 0..wanted.len() {
        match accept::bind(wanted[place], sockets) {
            Ok(bound) => {
                // Every address of a name gets the port that the first was given.
                wanted.iter_mut().for_each(|address| address.set_port(bound.0.port()));
                opened.push(bound);
            }
            // A name may have an address of a family that this machine does not have.
            Err(BindError { error, .. })
                if error.kind() == io::ErrorKind::AddrNotAvailable && (place < last || !opened.is_empty()) => {}
            Err(error) => return Err(StartError::Bind(error)),
        }
    }
    Ok(opened)
}

/// The first worker accepts for all where the kernel would not share out.
pub(super) fn share(own: Vec<Vec<Listener>>, shared: Vec<Listener>) -> Vec<Doors> {
    let mut doors: Vec<Doors> = own.into_iter().map(|own| Doors { own, ..Doors::default() }).collect();
    if let ([first, others @ ..], false) = (&mut doors[..], shared.is_empty()) {
        first.shared = shared;
        for other in others {
            let (hand_on, handed) = mpsc::channel(ON_THE_WAY);
            first.hand_on.push(hand_on);
            other.handed = Some(handed);
        }
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
        let opened = open(&[Place::Port { host: "localhost".to_owned(), port: 0 }], 2).expect("binds");
        let port = opened.addresses[0].port();
        assert!(opened.addresses.iter().all(|address| address.port() == port && address.ip().is_loopback()));
        assert!(opened.doors.len() == 2 && opened.doors.iter().all(|doors| doors.own.len() == opened.addresses.len()));
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
        assert_eq!(counts.collect::<Vec<_>>(), [(1, 2, false), (0, 0, true), (0, 0, true)]);
    }
}
