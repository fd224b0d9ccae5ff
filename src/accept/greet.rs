//! What comes before a client's first request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::arrival::{Arrival, prepared};
use super::tls::Tls;
use super::{BadHeader, Client, ProxyHeader, Seat, Trusted};
use crate::drain::Ticket;
use crate::peer::Peer;
use crate::wire::{Stream, Wire};

/// How clients are received. It holds for those who come while it is in force; for them it holds to the end.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    /// Whether each begins by saying for whom it speaks, in the words of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whose word is taken for that.
    pub trusted: Trusted,
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
    /// It is not one of those who may say for whom they speak, and nobody else may come in.
    NotTrusted,
    /// It does not say for whom it speaks.
    NoHeader(BadHeader),
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
        let peer = self.peer();
        if greeting.proxy_protocol && !greeting.trusted.contains(peer) {
            return Err(NoGreeting::NotTrusted);
        }
        if !greeting.proxy_protocol && greeting.tls.is_none() {
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
        match done? {
            Done::Agreed(wire, peer, protocol) => Ok((Client::new(wire, peer, ticket, seat), protocol)),
            Done::Broken(error, ..) if is_departure(&error) => Err(NoGreeting::Gone),
            Done::Broken(error, wire, peer) => {
                Err(NoGreeting::Tls(error, Box::new(Client::new(wire, peer, ticket, seat))))
            }
        }
    }

    async fn steps(self, greeting: &Greeting) -> Result<Done, NoGreeting> {
        let mut peer = self.peer();
        let wire = match (self, &greeting.tls) {
            (Self::Tcp(tcp, _), Some(tls)) if !greeting.proxy_protocol => {
                return Ok(match tls.accept(prepared(tcp)).await {
                    Ok((tls, protocol)) => Done::Agreed(Wire::new(Stream::Tls(Box::new(tls))), peer, protocol),
                    Err((error, tcp)) => Done::Broken(error, Wire::new(Stream::Tcp(tcp)), peer),
                });
            }
            (arrival, _) => {
                let mut wire = arrival.into_wire();
                if greeting.proxy_protocol {
                    peer = proxy_header(&mut wire).await?.unwrap_or(peer);
                }
                wire
            }
        };
        let Some(tls) = &greeting.tls else { return Ok(Done::Agreed(wire, peer, Protocol::Http1)) };
        Ok(match tls.accept(wire).await {
            Ok((tls, protocol)) => Done::Agreed(Wire::new(Stream::Layered(Box::new(tls))), peer, protocol),
            Err((error, wire)) => Done::Broken(error, wire, peer),
        })
    }
}

/// What came of the steps.
enum Done {
    Agreed(Wire, Peer, Protocol),
    Broken(io::Error, Wire, Peer),
}

/// Reads for whom the other side speaks, if for somebody else. What comes behind that is left in the input.
async fn proxy_header(wire: &mut Wire) -> Result<Option<Peer>, NoGreeting> {
    loop {
        if let Some(header) = ProxyHeader::read(wire.input.filled()).map_err(NoGreeting::NoHeader)? {
            wire.input.consume(header.length);
            return Ok(header.peer);
        }
        if !matches!(wire.fill().await, Ok(1..)) {
            return Err(NoGreeting::Gone);
        }
    }
}

/// Whether an error only says that the client is no longer there, as when somebody looks whether a port is open.
fn is_departure(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
