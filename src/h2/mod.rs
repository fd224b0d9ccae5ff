//! HTTP/2 (RFC 9113) behind the same types: each stream looks like a wire on which one HTTP/1.1 exchange happens.
//!
//! Frames, windows and header compression are the `h2` crate's. What is ours is the form in which its messages enter
//! the house: a stream of a client is read as the bytes of an HTTP/1.1 request, and what is written to it is the bytes
//! of the answer; a stream to an upstream likewise, the other way round. So every message, whichever version it came
//! in, is judged by the one strict reader in [`crate::h1`], and what was no valid HTTP/1.1 request can never be made
//! into one on its way to an upstream that speaks HTTP/1.1. Routing, header policy, time limits, log and relay know of
//! one kind of message only.

mod allowance;
mod client;
mod connection;
pub mod head;
mod incoming;
mod outgoing;
mod passing;
mod server;
mod watch;

use std::fmt;
use std::io;

use ::h2::Reason;

pub use client::ClientStream;
pub use connection::{Connection, connect};
pub use passing::Passing;
pub use server::{Accepted, Limits, Server, ServerStream};

/// The first line of what a client that speaks HTTP/2 sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// How long all of it is.
const WHOLE_PREFACE: usize = PREFACE.len() + b"\r\nSM\r\n\r\n".len();
/// How much of a body is under way on one stream before its recipient takes it, in bytes. It is the protocol's own
/// default, and what is held of a body on HTTP/1.1.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// How much of what goes out is held on one stream before the other side takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// The largest frame that is accepted, in bytes: the protocol's own default.
const FRAME: u32 = 16 * 1024;

/// A stream that was refused before anything of it was looked at: its request may be sent again, whatever it asks for
/// (RFC 9113 section 8.7).
#[derive(Debug)]
struct Unprocessed(String);

impl fmt::Display for Unprocessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unprocessed {}

/// Whether an error says that the request was not looked at.
#[must_use]
pub fn is_unprocessed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Unprocessed>)
}

/// An error of a stream as one of a wire.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn failure(error: ::h2::Error) -> io::Error {
    // A stream above the last one that GOAWAY names fails with that GOAWAY (RFC 9113 section 6.8).
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (is_refused || error.is_go_away()) {
        return io::Error::new(io::ErrorKind::ConnectionAborted, Unprocessed(told(&error)));
    }
    let kind = match error.get_io() {
        Some(inner) => inner.kind(),
        // What the other side sent is no HTTP/2.
        None if error.is_library() => io::ErrorKind::InvalidData,
        None => io::ErrorKind::ConnectionReset,
    };
    io::Error::new(kind, told(&error))
}

/// What an error says, without the words of the other side that a GOAWAY may carry (RFC 9113 section 6.8): a request's
/// own keys might be among them.
fn told(error: &::h2::Error) -> String {
    let Some(reason) = error.reason() else { return error.to_string() };
    let what = if error.is_go_away() { "connection" } else { "stream" };
    let how = if error.is_remote() { "received" } else { "detected" };
    format!("{what} error {how}: {reason}")
}

/// What was written is no message that HTTP/2 can carry.
fn unfit(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
