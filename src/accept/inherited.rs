//! Sockets that listened before this program did: whoever started it has opened them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Listener, Place};

/// Who opened a socket. To him belongs the file of a local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// This program.
    Us,
    /// The manager of services.
    Manager,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// On a port.
    Port(SocketAddr),
    /// On this machine only, by the path of its file.
    Local(PathBuf),
}

/// Sockets that were handed to this program, and have not found their door yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Given>);

/// All of them at one place.
#[derive(Debug)]
pub struct Given {
    /// The place.
    pub at: At,
    /// Who opened them.
    pub opener: Opener,
    /// The sockets.
    pub listeners: Vec<Listener>,
}

impl Inherited {
    /// Adds a socket.
    ///
    /// # Errors
    /// It is not one at which connections come in.
    #[cfg(unix)]
    pub fn add(&mut self, descriptor: std::os::fd::OwnedFd, opener: Opener) -> std::io::Result<()> {
        use socket2::{Socket, Type};

        let socket = Socket::from(descriptor);
        // What this program starts gets what it is given and nothing else.
        socket.set_cloexec(true)?;
        if socket.r#type()? != Type::STREAM || !crate::os::listens(&socket)? {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let (at, listener) = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => (At::Port(address), Listener::Tcp(socket.into())),
            (None, Some(path)) => (At::Local(path.to_owned()), Listener::Local(socket.into())),
            (None, None) => return Err(std::io::ErrorKind::InvalidInput.into()),
        };
        match self.0.iter_mut().find(|given| given.at == at) {
            Some(given) => given.listeners.push(listener),
            None => self.0.push(Given { at, opener, listeners: vec![listener] }),
        }
        Ok(())
    }

    /// Takes those at an address. Port 0 is met by any port of the same host that is not `named` elsewhere.
    pub fn take_port(&mut self, wanted: SocketAddr, named: &[SocketAddr]) -> Option<(SocketAddr, Given)> {
        let fits = |given: &Given| match given.at {
            At::Port(address) if wanted.port() == 0 => address.ip() == wanted.ip() && !named.contains(&address),
            At::Port(address) => address == wanted,
            At::Local(_) => false,
        };
        let given = self.0.remove(self.0.iter().position(fits)?);
        let At::Port(address) = given.at else { unreachable!("only ports fit") };
        Some((address, given))
    }

    /// Takes the one with this file.
    pub fn take_local(&mut self, path: &Path) -> Option<Given> {
        let place = self.0.iter().position(|given| matches!(&given.at, At::Local(at) if at == path))?;
        Some(self.0.remove(place))
    }

    /// Those that no door has taken.
    #[must_use]
    pub fn left(&self) -> &[Given] {
        &self.0
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(address) => write!(f, "{address}"),
            Self::Local(path) => write!(f, "{}", Place::Local(path.clone())),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn port(inherited: &mut Inherited) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        inherited.add(listener.into(), Opener::Manager).expect("listens");
        address
    }

    #[test]
    fn what_fits_is_taken_and_the_rest_is_left() {
        let mut inherited = Inherited::default();
        let (one, other) = (port(&mut inherited), port(&mut inherited));
        let any = SocketAddr::new(one.ip(), 0);
        assert!(inherited.take_port("127.0.0.2:0".parse().expect("valid"), &[]).is_none());
        assert_eq!(inherited.take_port(any, &[one]).expect("there").0, other);
        assert_eq!(inherited.left().len(), 1);
        let (address, given) = inherited.take_port(one, &[one]).expect("there");
        assert_eq!((address, given.opener, given.listeners.len()), (one, Opener::Manager, 1));
        assert!(inherited.left().is_empty() && inherited.take_port(any, &[]).is_none());
    }

    #[test]
    fn sockets_of_one_place_stay_together() {
        let mut inherited = Inherited::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        inherited.add(listener.try_clone().expect("a socket").into(), Opener::Us).expect("listens");
        inherited.add(listener.into(), Opener::Us).expect("listens");
        assert_eq!(inherited.left()[0].listeners.len(), 2);
    }

    #[test]
    fn local_sockets_are_known_by_their_paths() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.sock");
        let mut inherited = Inherited::default();
        inherited.add(UnixListener::bind(&path).expect("binds").into(), Opener::Manager).expect("listens");
        assert_eq!(inherited.left()[0].at.to_string(), format!("unix:{}", path.display()));
        assert!(inherited.take_local(&directory.path().join("y.sock")).is_none());
        assert!(inherited.take_local(&path).is_some());
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let file = tempfile::tempfile().expect("a file");
        let (pair, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        for descriptor in [stream.into(), datagrams.into(), file.into(), pair.into()] {
            assert!(Inherited::default().add(descriptor, Opener::Manager).is_err());
        }
    }
}
