//! Where the client of a universal route may go.
//!
//! It is asked twice. Before anything is done, [`Guard::check`] looks at what the client wrote: names, and addresses in
//! any form. When a connection is made, every address that a name has is looked at, and it is these addresses that are
//! connected to: nobody is asked for them again.

mod hosts;
mod literal;
mod own;
mod ranges;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Ban, Error, Kind};
use crate::origin::Host;

pub use hosts::Hosts;
pub use own::Own;

use literal::Literal;

/// Names under which clouds hand out keys. Directly their addresses would be found out; a proxy may resolve them itself.
const METADATA: [&str; 9] = [
    "metadata",
    "instance-data",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "metadata.platformequinix.com",
    "metadata.packet.net",
];

/// What a universal route refuses to reach. Link-local addresses and metadata services are refused by every one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Whether addresses that are not public may be reached.
    pub allow_private: bool,
    /// The only hosts that may be reached, if they are named.
    pub allow: Option<Hosts>,
    /// Hosts that may not be reached, even if they are allowed.
    pub deny: Hosts,
}

/// A target that may not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    ban: Ban,
    /// The host and what of it is meant, for the log alone.
    detail: String,
}

impl Default for Guard {
    fn default() -> Self {
        Self { allow_private: true, allow: None, deny: Hosts::default() }
    }
}

impl Guard {
    /// Looks at a target as the client wrote it.
    ///
    /// # Errors
    /// Why it may not be reached. That it may be is not the last word, where a name has still to be resolved.
    pub fn check(&self, host: &Host) -> Result<(), Forbidden> {
        if let Host::Name(name) = host {
            let bare = name.trim_end_matches('.');
            if literal::read(name) == Literal::Broken {
                return Err(forbidden(Ban::Ambiguous, host, ""));
            }
            if METADATA.contains(&bare) || bare.ends_with(".metadata.google.internal") {
                return Err(forbidden(Ban::Metadata, host, ""));
            }
            if let Some(entry) = self.deny.name(name) {
                return Err(forbidden(Ban::Denied, host, entry));
            }
        }
        let written = written(host);
        self.check_each(host, &written)?;
        match &self.allow {
            // Only its addresses can tell.
            Some(allow) if written.is_empty() && allow.has_networks() => Ok(()),
            Some(_) if written.is_empty() && !self.is_name_allowed(host) => Err(forbidden(Ban::NotAllowed, host, "")),
            _ => self.check_allowed(host, &written),
        }
    }

    /// Looks at all the addresses of a target. One that may not be reached is enough: which one is taken is up to whoever
    /// answers first.
    pub(super) fn check_addresses(&self, host: &Host, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        self.check_each(host, addresses)?;
        self.check_allowed(host, addresses)
    }

    /// Whether a target cannot be judged without its addresses, so that nobody else may resolve its name.
    #[must_use]
    pub fn needs_addresses(&self) -> bool {
        !self.allow_private || self.deny.has_networks() || self.allow.as_ref().is_some_and(Hosts::has_networks)
    }

    fn check_each(&self, host: &Host, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        for address in addresses {
            let inside = ranges::inside(*address);
            if let Some(ban) = inside.iter().find_map(|address| ranges::never(*address)) {
                return Err(forbidden(ban, host, address));
            }
            if let Some(entry) = inside.iter().find_map(|address| self.deny.address(*address)) {
                return Err(forbidden(Ban::Denied, host, format_args!("{address}, {entry}")));
            }
            if !self.allow_private && !inside.into_iter().all(ranges::is_public) {
                return Err(forbidden(Ban::Private, host, address));
            }
        }
        Ok(())
    }

    fn check_allowed(&self, host: &Host, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        let Some(allow) = &self.allow else { return Ok(()) };
        let stranger = addresses.iter().find(|address| allow.address(**address).is_none());
        match stranger {
            Some(address) if !self.is_name_allowed(host) => Err(forbidden(Ban::NotAllowed, host, address)),
            _ => Ok(()),
        }
    }

    fn is_name_allowed(&self, host: &Host) -> bool {
        let Host::Name(name) = host else { return false };
        self.allow.as_ref().is_some_and(|allow| allow.name(name).is_some())
    }
}

/// The addresses that can be seen in what the client wrote.
pub(super) fn written(host: &Host) -> Vec<IpAddr> {
    match host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => match literal::read(name) {
            Literal::Addresses(addresses) => addresses.into_iter().map(IpAddr::V4).collect(),
            // A name of this machine everywhere (RFC 6761 section 6.3).
            Literal::Name if is_localhost(name) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Literal::Name | Literal::Broken => Vec::new(),
        },
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn forbidden(ban: Ban, host: &Host, what: impl fmt::Display) -> Forbidden {
    let what = what.to_string();
    let host = host.to_string();
    let detail = if what.is_empty() || what == host { host } else { format!("{host} ({what})") };
    Forbidden { ban, detail }
}

impl Forbidden {
    /// By which rule.
    #[must_use]
    pub fn ban(&self) -> Ban {
        self.ban
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<Forbidden> for Error {
    fn from(forbidden: Forbidden) -> Self {
        Self::new(Kind::TargetForbidden(forbidden.ban)).detail(forbidden)
    }
}

#[cfg(test)]
mod tests;
