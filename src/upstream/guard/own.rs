//! This program's own listeners: a universal route that led to them would lead in circles, past whatever stands in front.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::{Forbidden, forbidden, ranges};
use crate::error::Ban;
use crate::origin::Origin;

/// Where this program listens.
#[derive(Debug, Clone, Default)]
pub struct Own(Arc<[SocketAddr]>);

impl Own {
    /// The addresses that were bound.
    #[must_use]
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.into())
    }

    /// Refuses our port at any address of this machine.
    pub(in crate::upstream) fn check(&self, target: &Origin, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        if !self.0.iter().any(|own| own.port() == target.port) {
            return Ok(());
        }
        let inside = addresses.iter().flat_map(|address| ranges::inside(*address));
        match inside.map(|address| address.to_canonical()).find(|address| self.is_here(*address)) {
            Some(address) => Err(forbidden(Ban::Own, &target.host, SocketAddr::new(address, target.port))),
            None => Ok(()),
        }
    }

    fn is_here(&self, address: IpAddr) -> bool {
        // Only an address of this machine can be bound here.
        address.is_loopback()
            || address.is_unspecified()
            || self.0.iter().any(|own| own.ip().to_canonical() == address)
            || UdpSocket::bind((address, 0)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Scheme;

    #[test]
    fn our_port_is_refused_at_any_address_of_ours() {
        let own = Own::new(&["0.0.0.0:3000".parse().expect("an address")]);
        let check = |authority: &str, address: &str| {
            let origin = Origin::parse(Scheme::Http, authority.as_bytes()).expect("valid").0;
            own.check(&origin, &[address.parse().expect("an address")]).map_err(|forbidden| forbidden.ban())
        };
        for address in ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1"] {
            assert_eq!(check("h:3000", address), Err(Ban::Own), "{address}");
            assert_eq!(check("h:3001", address), Ok(()), "{address}");
        }
        assert_eq!(check("h:3000", "192.0.2.1"), Ok(()));
        assert_eq!(Own::default().check(&Origin::parse(Scheme::Http, b"h").expect("valid").0, &[]), Ok(()));
    }
}
