//! How a connection can fail to come about.

use std::fmt;
use std::io;

use crate::error::{Error, Kind};

/// The step that failed. Addresses and error texts are for the log alone.
#[derive(Debug)]
pub enum DialError {
    /// The name could not be resolved.
    Dns(String),
    /// No address took a TCP connection.
    Connect(io::Error),
    /// TLS could not be agreed upon.
    Tls(io::Error),
    /// The other side does not speak HTTP/2, though it should.
    Http2(io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(why) => write!(f, "{why}"),
            Self::Connect(error) | Self::Tls(error) | Self::Http2(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dns(_) => None,
            Self::Connect(error) | Self::Tls(error) | Self::Http2(error) => Some(error),
        }
    }
}

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        let kind = match &error {
            DialError::Dns(_) => Kind::UpstreamDns,
            DialError::Connect(_) => Kind::UpstreamConnect,
            DialError::Tls(_) => Kind::UpstreamTls,
            DialError::Http2(_) => Kind::UpstreamBadAnswer,
        };
        Self::new(kind).detail(error)
    }
}
