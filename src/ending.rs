//! How an exchange ended: every exchange does so exactly once, in exactly one of these ways.

use crate::error::{Kind, Limit};

/// The end of an exchange, as the log and the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The whole answer reached the client.
    Done,
    /// The client left first.
    ClientGone,
    /// The client stopped reading, or stopped sending its own request.
    ClientStalled,
    /// The upstream's answer broke off or was broken.
    UpstreamCut,
    /// No connection in time.
    ConnectTimeout,
    /// No answer in time.
    FirstByteTimeout,
    /// Silence for too long.
    IdleTimeout,
    /// The exchange as a whole took too long.
    TotalTimeout,
    /// The program ended first.
    Drained,
    /// The proxy answered by itself: nothing came from an upstream.
    Refused,
}

impl End {
    /// Its name in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::UpstreamCut => "upstream_cut",
            Self::ConnectTimeout => "connect_timeout",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Drained => "drained",
            Self::Refused => "refused",
        }
    }
}

impl From<Limit> for End {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Connect => Self::ConnectTimeout,
            Limit::FirstByte => Self::FirstByteTimeout,
            Limit::Idle => Self::IdleTimeout,
            Limit::Total => Self::TotalTimeout,
        }
    }
}

impl From<Kind> for End {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::UpstreamTimeout(limit) => limit.into(),
            Kind::UpstreamReset | Kind::UpstreamBadAnswer => Self::UpstreamCut,
            Kind::RequestTimeout => Self::ClientStalled,
            _ => Self::Refused,
        }
    }
}
