//! Sockets to listen on: one for each worker, on the same address, among which the kernel shares out connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::Listener;
use crate::os;

/// How many connections may wait to be accepted. The kernel lowers it to its own limit.
pub(super) const BACKLOG: i32 = 4096;

/// A place at which nobody can listen.
#[derive(Debug)]
pub struct BindError {
    /// The place.
    pub place: String,
    /// Why not.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Takes an address, `sockets` times; with port 0 all of them on the port that the first was given. Gives the address
/// with its port, too. Nobody can connect before [`Listener::listen`].
///
/// # Errors
/// The address is taken, even by a program that would share it, or is not ours.
pub fn bind(address: SocketAddr, sockets: usize) -> Result<(SocketAddr, Vec<Listener>), BindError> {
    let fail = |error| BindError { place: address.to_string(), error };
    if address.port() != 0 {
        // A socket that does not share fails where any other listens. The shared ones below would not.
        open(address, false).map_err(fail)?;
    }
    let mut bound = address;
    let mut listeners = Vec::with_capacity(sockets);
    for _ in 0..sockets {
        let listener = std::net::TcpListener::from(open(bound, true).map_err(fail)?);
        bound = listener.local_addr().map_err(fail)?;
        listeners.push(Listener::Tcp(listener));
    }
    Ok((bound, listeners))
}

/// Takes an address beside sockets that share it with us.
///
/// # Errors
/// They do not share it.
pub fn bind_beside(address: SocketAddr, sockets: usize) -> io::Result<Vec<Listener>> {
    (0..sockets).map(|_| open(address, true).map(|socket| Listener::Tcp(socket.into()))).collect()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `::` would take the IPv4 port as well on some systems and not on others. Where the user wrote `::` he
        // means every address.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    os::let_address_be_reused(&socket)?;
    if shared {
        os::share_port(&socket)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_has_the_same_port() {
        let (address, listeners) = bind("127.0.0.1:0".parse().expect("valid"), 3).expect("binds");
        let ports = listeners.iter().map(|listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().expect("bound").port(),
            #[cfg(unix)]
            Listener::Local(_) => 0,
        });
        let ports: Vec<u16> = ports.collect();
        assert!(ports[0] != 0 && ports == [address.port(); 3], "{ports:?}");
    }

    #[test]
    fn more_sockets_join_those_that_share_and_no_others() {
        let (address, _listeners) = bind("127.0.0.1:0".parse().expect("valid"), 1).expect("binds");
        let joined = bind_beside(address, 2).map(|listeners| listeners.len());
        assert!(matches!(joined, Ok(2)) || !os::LISTENERS_SHARE, "{joined:?}");
        let alone = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let error = bind_beside(alone.local_addr().expect("bound"), 1).expect_err("not shared");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_taken_port_is_an_error_though_it_could_be_shared() {
        let (address, listeners) = bind("127.0.0.1:0".parse().expect("valid"), 1).expect("binds");
        listeners[0].listen().expect("listens");
        let error = bind(address, 1).expect_err("taken");
        assert_eq!((error.place, error.error.kind()), (address.to_string(), io::ErrorKind::AddrInUse));
    }
}
