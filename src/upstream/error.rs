//! How a connection can fail to come about.

use std::fmt;
use std::io;

use super::guard::Forbidden;
use crate::error::{Error, Kind, Refusal};
use crate::os;

/// The step that failed. Addresses and error texts are for the log alone.
#[derive(Debug)]
pub enum DialError {
    /// The name could not be resolved.
    Dns(String),
    /// The client may not reach what the name stands for.
    Forbidden(Forbidden),
    /// No address took a TCP connection.
    Connect(io::Error),
    /// TLS could not be agreed upon.
    Tls(io::Error),
    /// The other side does not speak HTTP/2, though it should.
    Http2(io::Error),
    /// There is a proxy on the way, and that is as far as it went.
    Proxy(ProxyFault),
}

/// What went wrong with an upstream proxy.
#[derive(Debug)]
pub enum ProxyFault {
    /// Its name could not be resolved.
    Dns(String),
    /// It takes no TCP connection.
    Connect(io::Error),
    /// TLS with it could not be agreed upon.
    Tls(io::Error),
    /// It wants a login, or does not accept ours.
    Auth,
    /// It does not make the connection.
    Refused(Refusal),
    /// What it said has no meaning in its protocol.
    BadAnswer(String),
    /// It closed the connection in the middle of that.
    Cut(io::Error),
}

impl DialError {
    fn kind(&self) -> Kind {
        match self {
            Self::Dns(_) => Kind::UpstreamDns,
            Self::Forbidden(forbidden) => Kind::TargetForbidden(forbidden.ban()),
            Self::Connect(_) => Kind::UpstreamConnect,
            Self::Tls(_) => Kind::UpstreamTls,
            Self::Http2(_) => Kind::UpstreamBadAnswer,
            Self::Proxy(fault) => match fault {
                ProxyFault::Dns(_) => Kind::UpstreamProxyDns,
                ProxyFault::Connect(_) => Kind::UpstreamProxyConnect,
                ProxyFault::Tls(_) => Kind::UpstreamProxyTls,
                ProxyFault::Auth => Kind::UpstreamProxyAuth,
                ProxyFault::Refused(refusal) => Kind::UpstreamProxyRefused(*refusal),
                ProxyFault::BadAnswer(_) => Kind::UpstreamProxyBadAnswer,
                ProxyFault::Cut(_) => Kind::UpstreamProxyReset,
            },
        }
    }

    /// Whether no more files could be opened.
    pub(super) fn is_for_want_of_files(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Proxy(ProxyFault::Connect(error)) => os::is_out_of_files(error),
            _ => false,
        }
    }

    /// What the kind does not say.
    fn detail(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::Dns(why) | Self::Proxy(ProxyFault::Dns(why) | ProxyFault::BadAnswer(why)) => Some(why),
            Self::Forbidden(forbidden) => Some(forbidden),
            Self::Connect(error)
            | Self::Tls(error)
            | Self::Http2(error)
            | Self::Proxy(ProxyFault::Connect(error) | ProxyFault::Tls(error) | ProxyFault::Cut(error)) => Some(error),
            Self::Proxy(ProxyFault::Auth | ProxyFault::Refused(_)) => None,
        }
    }
}

impl From<Forbidden> for DialError {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden)
    }
}

impl From<ProxyFault> for DialError {
    fn from(fault: ProxyFault) -> Self {
        Self::Proxy(fault)
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail() {
            Some(detail) => write!(f, "{detail}"),
            None => f.write_str(self.kind().code()),
        }
    }
}

impl std::error::Error for DialError {}

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        let told = Self::new(error.kind());
        match error.detail() {
            Some(detail) => told.detail(detail),
            None => told,
        }
    }
}
