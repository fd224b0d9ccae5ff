//! Why an exchange can break off.

use std::fmt;
use std::io;

use super::flow::Broken;
use crate::error::Limit;
use crate::h1::Violation;

/// Why an exchange broke off.
#[derive(Debug)]
pub enum Break {
    /// The client left.
    ClientGone,
    /// The client does not read.
    ClientStalled,
    /// The client was silent inside its request's body.
    RequestTimeout,
    /// The framing of the request's body is broken.
    BadBody(Violation),
    /// The request's body is larger than its limit.
    BodyTooLarge,
    /// The upstream closed the connection before its answer was whole.
    UpstreamClosed(io::Error),
    /// What the upstream sent is no valid answer.
    BadAnswer(BadAnswer),
    /// A time limit ran out.
    Timeout(Limit),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAnswer {
    /// It is not HTTP/1.1, or exceeds a limit.
    Violation(Violation),
    /// 101 without a request to switch protocols.
    UnaskedSwitch,
    /// 101 to something else than what was asked for.
    ForeignSwitch,
    /// Interim answers without end.
    TooManyInterim,
}

impl Break {
    /// What a request that broke off says of the client.
    pub(super) fn in_request(broken: &Broken) -> Self {
        match broken {
            Broken::Source(_) | Broken::Sink(_) => Self::ClientGone,
            Broken::Framing(violation) => Self::BadBody(*violation),
            Broken::TooLarge => Self::BodyTooLarge,
        }
    }

    /// What an answer that broke off says of either side.
    pub(super) fn in_answer(broken: Broken) -> Self {
        match broken {
            Broken::Source(error) => Self::UpstreamClosed(error),
            Broken::Sink(_) => Self::ClientGone,
            Broken::Framing(violation) => Self::bad_answer(violation),
            Broken::TooLarge => unreachable!("answers have no limit"),
        }
    }

    pub(super) fn bad_answer(violation: Violation) -> Self {
        Self::BadAnswer(BadAnswer::Violation(violation))
    }
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation(violation) => violation.fmt(f),
            Self::UnaskedSwitch => f.write_str("101 without a request to switch protocols (RFC 9110 section 15.2.2)"),
            Self::ForeignSwitch => f.write_str("101 to a protocol that was not asked for (RFC 9110 section 7.8)"),
            Self::TooManyInterim => f.write_str("too many interim answers"),
        }
    }
}
