//! Clients: where they come in, and how their requests are read.

mod arrival;
mod client;
mod gate;
mod greet;
mod inherited;
mod listen;
mod local;
mod place;
mod proxy_header;
mod streams;
pub mod tls;
mod trusted;

pub use arrival::{Arrival, Door, Handed, Listener};
pub use client::{Client, NoRequest};
pub use gate::{Gate, Seat};
pub use greet::{Greeting, NoGreeting, Protocol};
pub use inherited::{At, Given, Inherited, Opener};
pub use listen::{BindError, bind, bind_beside};
pub use local::{SocketFile, bind_local};
pub use place::{BadPlace, Place};
pub use proxy_header::{BadHeader, OWN_HEADER, ProxyHeader};
pub use streams::Streams;
pub use trusted::Trusted;

use std::time::Duration;

use crate::{h1, h2};

/// What a client may take of us before its request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For heads.
    pub head: h1::Limits,
    /// From the first byte of a head to its end. `None`: no limit.
    pub head_timeout: Option<Duration>,
    /// For connections of HTTP/2.
    pub http2: h2::Limits,
    /// How long a connection may wait for its next request. `None`: no limit.
    pub keep_alive_timeout: Option<Duration>,
    /// How long a client may leave unread what it is sent. `None`: no limit.
    pub write_timeout: Option<Duration>,
}
