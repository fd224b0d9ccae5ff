//! Tunnels through SOCKS proxies: version 5 (RFC 1928) with user and password (RFC 1929), version 4 and 4a.

mod handshake;

use std::io;

pub use handshake::{Handshake, Heard, NoTunnel};

use super::error::ProxyFault;
use crate::wire::Wire;

/// Makes a wire to a proxy the wire to its target.
pub(super) async fn open(wire: &mut Wire, mut handshake: Handshake<'_>) -> Result<(), ProxyFault> {
    wire.write_all(&handshake.greeting()).await.map_err(ProxyFault::Cut)?;
    loop {
        match handshake.hear(wire.input.filled())? {
            Heard::Starved => {
                if wire.fill().await.map_err(ProxyFault::Cut)? == 0 {
                    return Err(ProxyFault::Cut(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            Heard::Say(used, bytes) => {
                wire.input.consume(used);
                wire.write_all(&bytes).await.map_err(ProxyFault::Cut)?;
            }
            Heard::Open(used) => {
                wire.input.consume(used);
                return Ok(());
            }
        }
    }
}

impl From<NoTunnel> for ProxyFault {
    fn from(no_tunnel: NoTunnel) -> Self {
        match no_tunnel {
            NoTunnel::Auth => Self::Auth,
            NoTunnel::Refused(refusal) => Self::Refused(refusal),
            NoTunnel::Garbage(..) => Self::BadAnswer(no_tunnel.to_string()),
        }
    }
}
