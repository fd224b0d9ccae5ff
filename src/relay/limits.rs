//! How long anybody may keep the others waiting, and how much a client may send.

use std::time::Duration;

/// The time limits of an exchange. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection: name, TCP, proxy and TLS together.
    pub connect: Option<Duration>,
    /// From the last byte of the request to the head of the answer.
    pub first_byte: Option<Duration>,
    /// For silence inside an answer, and for an upstream that takes no more of the request.
    pub idle: Option<Duration>,
    /// For the whole exchange.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// No limits.
    pub const NONE: Self = Self { connect: None, first_byte: None, idle: None, total: None };
}

/// For how long what is sent of a request is kept, so that it can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Not at all.
    Not,
    /// For about as long as it takes to learn that it came too late for its connection. A prompt may be large, and the
    /// answer to it may take minutes.
    Shortly,
    /// Until the answer begins.
    UntilAnswer,
}

/// The limits that hold for the client's side of an exchange. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// For silence inside the request's body.
    pub body_timeout: Option<Duration>,
    /// For a client that does not read.
    pub write_timeout: Option<Duration>,
    /// The largest body of a request, in bytes.
    pub max_body: Option<u64>,
}
