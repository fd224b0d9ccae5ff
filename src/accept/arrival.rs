//! Connections that have just come in.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::peer::Peer;
use crate::wire::{Stream, Wire};

/// A client that has vanished without a word is noticed by these probes.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// A connection on which nothing has been read yet.
pub enum Arrival {
    /// From another address.
    Tcp(TcpStream, SocketAddr),
}

impl Arrival {
    /// Who came.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(_, from) => Peer::Address(*from),
        }
    }

    pub(super) fn into_wire(self) -> Wire {
        match self {
            Self::Tcp(tcp, _) => Wire::new(Stream::Tcp(prepared(tcp))),
        }
    }
}

/// A connection set up for what it will be used for.
pub(super) fn prepared(tcp: TcpStream) -> TcpStream {
    // Answers go out as they are made; a system that cannot do that is still right, only slower.
    let _ = tcp.set_nodelay(true);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let _ = SockRef::from(&tcp).set_tcp_keepalive(&probes);
    tcp
}
