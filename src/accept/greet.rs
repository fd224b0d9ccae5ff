//! What comes before a client's first request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::arrival::{Arrival, prepared};
use super::tls::Tls;
use super::{Client, Seat};
use crate::drain::Ticket;
use crate::peer::Peer;
use crate::wire::{Stream, Wire};

/// How clients are received. It holds for those who come while it is in force; for them it holds to the end.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// How TLS is spoken, if it is.
    pub tls: Option<Arc<Tls>>,
    /// How long all of it may take. `None`: no limit.
    pub timeout: Option<Duration>,
}

/// What will be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, or whatever the first bytes turn out to be.
    Http1,
    /// HTTP/2, as agreed upon in the TLS handshake.
    Http2,
}

/// Why a client does not come to its first request.
pub enum NoGreeting {
    /// It has left, and there is nothing to tell of it.
    Gone,
    /// It did not get done in time.
    TooSlow,
    /// What it sent is no TLS, or none that we accept. It has been told so, and should be able to hear it.
    Tls(io::Error, Box<Client>),
}

impl Arrival {
    /// Brings a client to its first request.
    ///
    /// # Errors
    /// Why there will be no request.
    pub async fn greet(
        self,
        ticket: Ticket,
        seat: Seat,
        greeting: &Greeting,
    ) -> Result<(Client, Protocol), NoGreeting> {
        if greeting.tls.is_none() {
            let peer = self.peer();
            return Ok((Client::new(self.into_wire(), peer, ticket, seat), Protocol::Http1));
        }
        // Nobody has asked for anything yet, so nothing is lost if an end comes.
        ticket.set_idle(true);
        // These steps are done with soon, and what they need should not be held for as long as the connection lasts.
        let steps = Box::pin(self.steps(greeting));
        let done = match greeting.timeout {
            Some(limit) => timeout(limit, steps).await.map_err(|_| NoGreeting::TooSlow)?,
            None => steps.await,
        };
        match done {
            Done::Agreed(wire, peer, protocol) => Ok((Client::new(wire, peer, ticket, seat), protocol)),
            Done::Broken(error, ..) if is_departure(&error) => Err(NoGreeting::Gone),
            Done::Broken(error, wire, peer) => {
                Err(NoGreeting::Tls(error, Box::new(Client::new(wire, peer, ticket, seat))))
            }
        }
    }

    async fn steps(self, greeting: &Greeting) -> Done {
        let peer = self.peer();
        let Some(tls) = &greeting.tls else { return Done::Agreed(self.into_wire(), peer, Protocol::Http1) };
        match self {
            Self::Tcp(tcp, _) => match tls.accept(prepared(tcp)).await {
                Ok((tls, protocol)) => Done::Agreed(Wire::new(Stream::Tls(Box::new(tls))), peer, protocol),
                Err((error, tcp)) => Done::Broken(error, Wire::new(Stream::Tcp(tcp)), peer),
            },
            #[cfg(unix)]
            Self::Local(_) => begin_tls(tls, self.into_wire(), peer).await,
        }
    }
}

/// TLS over what is no bare connection.
async fn begin_tls(tls: &Tls, wire: Wire, peer: Peer) -> Done {
    match tls.accept(wire).await {
        Ok((tls, protocol)) => Done::Agreed(Wire::new(Stream::Layered(Box::new(tls))), peer, protocol),
        Err((error, wire)) => Done::Broken(error, wire, peer),
    }
}

/// What came of it.
enum Done {
    Agreed(Wire, Peer, Protocol),
    Broken(io::Error, Wire, Peer),
}

/// Whether an error only says that the client is no longer there, as when somebody looks whether a port is open.
fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
