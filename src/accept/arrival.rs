//! Connections that have just come in, and where they do.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::listen::BACKLOG;
use crate::os;
use crate::peer::Peer;
use crate::wire::{Stream, Wire};

/// A socket on which connections come in, before a thread takes it.
#[derive(Debug)]
pub enum Listener {
    /// From other addresses.
    Tcp(std::net::TcpListener),
    /// From this machine.
    #[cfg(unix)]
    Local(std::os::unix::net::UnixListener),
}

/// The same, on the thread that accepts.
pub enum Door {
    /// From other addresses.
    Tcp(TcpListener),
    /// From this machine.
    #[cfg(unix)]
    Local(UnixListener),
}

/// A connection on which nothing has been read yet.
pub enum Arrival {
    /// From another address.
    Tcp(TcpStream, SocketAddr),
    /// From this machine.
    #[cfg(unix)]
    Local(UnixStream),
}

/// The same, on its way to another thread.
#[derive(Debug)]
pub enum Handed {
    /// From another address.
    Tcp(std::net::TcpStream, SocketAddr),
    /// From this machine.
    #[cfg(unix)]
    Local(std::os::unix::net::UnixStream),
}

impl Listener {
    /// Lets clients connect. Where they can already, nothing changes.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => SockRef::from(listener).listen(BACKLOG),
            #[cfg(unix)]
            Self::Local(listener) => SockRef::from(listener).listen(BACKLOG),
        }
    }

    /// The same socket once more: it is there for as long as either is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            #[cfg(unix)]
            Self::Local(listener) => listener.try_clone().map(Self::Local),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Local(listener) => listener.as_fd(),
        }
    }
}

impl Door {
    /// Takes a listener to this thread.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            #[cfg(unix)]
            Listener::Local(listener) => UnixListener::from_std(listener).map(Self::Local),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// Those of the system.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(tcp, from)| Arrival::Tcp(tcp, from)),
            #[cfg(unix)]
            Self::Local(listener) => listener.poll_accept(cx).map_ok(|(local, _)| Arrival::Local(local)),
        }
    }
}

impl Arrival {
    /// Who came.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(_, from) => Peer::Address(*from),
            #[cfg(unix)]
            Self::Local(_) => Peer::Local,
        }
    }

    /// Lets go of it, so that another thread can take it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn hand_over(self) -> io::Result<Handed> {
        match self {
            Self::Tcp(tcp, from) => tcp.into_std().map(|tcp| Handed::Tcp(tcp, from)),
            #[cfg(unix)]
            Self::Local(local) => local.into_std().map(Handed::Local),
        }
    }

    pub(super) fn into_wire(self) -> Wire {
        match self {
            Self::Tcp(tcp, _) => Wire::new(Stream::Tcp(prepared(tcp))),
            #[cfg(unix)]
            Self::Local(local) => Wire::new(Stream::Layered(Box::new(local))),
        }
    }
}

impl Handed {
    /// Takes it to this thread.
    ///
    /// # Errors
    /// Those of the system.
    pub fn take(self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(tcp, from) => TcpStream::from_std(tcp).map(|tcp| Arrival::Tcp(tcp, from)),
            #[cfg(unix)]
            Self::Local(local) => UnixStream::from_std(local).map(Arrival::Local),
        }
    }
}

/// A connection set up for what it will be used for.
pub(super) fn prepared(tcp: TcpStream) -> TcpStream {
    // Answers go out as they are made; a system that cannot do that is still right, only slower.
    let _ = tcp.set_nodelay(true);
    os::probe(&tcp);
    tcp
}
