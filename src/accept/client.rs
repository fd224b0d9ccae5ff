//! One client's connection, from request to request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Limits, Seat};
use crate::deadline::Deadline;
use crate::drain::{Phase, Ticket};
use crate::h1::{RequestHead, RequestReader, Violation};
use crate::h2::PREFACE;
use crate::peer::Peer;
use crate::wire::Wire;

/// How long a client is listened to after its last answer, so that it reads the answer before it meets a closed
/// door: in silence, and in all. The same as nginx's.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(30);
/// How long the last bytes of a broken answer have to leave.
const BEFORE_RESET: Duration = Duration::from_millis(200);

/// A client's connection.
pub struct Client {
    /// The connection itself.
    pub wire: Wire,
    /// The one timer for everything that this connection waits for.
    pub deadline: Deadline,
    /// Who is at the other end.
    pub peer: Peer,
    /// When it became idle, if somebody has just asked the clock.
    pub rests_since: Option<Instant>,
    /// Whether it has not asked for anything yet.
    is_new: bool,
    pub(super) ticket: Ticket,
    pub(super) seat: Option<Seat>,
}

/// Why there is no next request.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// The connection is over, and nobody waits for an answer.
    Over,
    /// What came is no request.
    Bad(Violation),
    /// The head did not come in time.
    TooSlow,
}

impl Client {
    /// A client whose first request is awaited.
    #[must_use]
    pub fn new(wire: Wire, peer: Peer, ticket: Ticket, seat: Seat) -> Self {
        Self { wire, deadline: Deadline::default(), peer, rests_since: None, is_new: true, ticket, seat: Some(seat) }
    }

    /// One stream of a client that speaks HTTP/2.
    #[must_use]
    pub fn of_stream(wire: Wire, peer: Peer, ticket: Ticket, seat: Option<Seat>) -> Self {
        Self { wire, deadline: Deadline::default(), peer, rests_since: None, is_new: true, ticket, seat }
    }

    /// Whether what has arrived is the preface of HTTP/2 (RFC 9113 section 3.4): a client may begin with it where it
    /// knows that it is understood.
    #[must_use]
    pub fn begins_http2(&self) -> bool {
        self.wire.input.filled().starts_with(PREFACE)
    }

    /// How far the end of the program has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.ticket.phase()
    }

    /// The next request. Its head is taken out of the input; its body, or as much as is there, is left in it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn next_request(&mut self, limits: &Limits) -> Result<RequestHead, NoRequest> {
        let mut reader = RequestReader::default();
        let (mut waiting_since, mut head_since) = (self.rests_since.take(), None);
        let (mut has_begun, is_new) = (false, std::mem::take(&mut self.is_new));
        let head = poll_fn(|cx| {
            loop {
                if !self.wire.input.is_empty() {
                    self.ticket.set_idle(false);
                    has_begun = true;
                    match reader.read(self.wire.input.filled(), &limits.head) {
                        Ok(None) => {}
                        Ok(Some((head, length))) => {
                            self.wire.input.consume(length);
                            return Poll::Ready(Ok(head));
                        }
                        Err(violation) => return Poll::Ready(Err(NoRequest::Bad(violation))),
                    }
                }
                match self.wire.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoRequest::Over)),
                    Poll::Ready(Ok(_)) => continue,
                    // Who has just come in is about to ask: the end of the program grants a moment for that.
                    Poll::Pending if !has_begun && !is_new && self.ticket.phase() > Phase::GivingWay => {
                        return Poll::Ready(Err(NoRequest::Over));
                    }
                    Poll::Pending => {}
                }
                self.ticket.set_idle(!has_begun);
                let (since, limit, over) = if has_begun {
                    (&mut head_since, limits.head_timeout, NoRequest::TooSlow)
                } else {
                    (&mut waiting_since, limits.keep_alive_timeout, NoRequest::Over)
                };
                // The time is asked for only if there is something to wait for.
                let since = *since.get_or_insert_with(Instant::now);
                self.deadline.set(limit.map(|limit| since + limit));
                return self.deadline.poll(cx).map(|()| Err(over));
            }
        })
        .await;
        self.ticket.set_idle(false);
        head
    }

    /// Ends the connection after an answer to a request that has been read to its end.
    pub async fn close(&mut self) {
        // What the client may have sent since would turn the end into a reset, which takes the answer with it.
        let may_send = poll_fn(|cx| Poll::Ready(matches!(self.wire.poll_fill(cx), Poll::Ready(Ok(1..))))).await;
        if may_send || !self.wire.input.is_empty() {
            self.linger().await;
        }
    }

    /// Ends the connection so that what was written last still arrives, though the client may be sending. To close
    /// at once would make its system throw the answer away (RFC 9112 section 9.6).
    pub async fn linger(&mut self) {
        let goodbye = async {
            if self.wire.shutdown().await.is_err() {
                return;
            }
            loop {
                self.wire.input.clear();
                match timeout(LINGER_SILENCE, self.wire.fill()).await {
                    Ok(Ok(length)) if length > 0 => {}
                    _ => return,
                }
            }
        };
        // Whatever remains after that is the client's own loss.
        let _ = timeout(LINGER, goodbye).await;
    }

    /// Waits before the end of a connection whose end must be seen to be a cut: a reset throws away what has not left
    /// yet, and what came before the cut should still arrive.
    pub async fn cut(&mut self) {
        tokio::time::sleep(BEFORE_RESET).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::task::{Context, Waker};

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;
    use crate::accept::Gate;
    use crate::drain::Drain;
    use crate::h1;
    use crate::h2;
    use crate::wire::Stream;

    #[test]
    fn at_the_end_a_first_request_is_waited_for_and_a_second_is_not() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut other = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
            let (tcp, from) = listener.accept().await.expect("a connection");
            let seat = Gate::to(1).enter(1).expect("free");
            let http2 = h2::Limits { max_streams: 1, max_head: 1024 };
            let head = h1::Limits::REQUEST;
            let limits = Limits { head, http2, head_timeout: None, keep_alive_timeout: None, write_timeout: None };
            let (done, is_done) = std::sync::mpsc::channel();
            let drain = Drain::default();
            drain.begin(Phase::Draining);
            drain.spawn(|ticket| async move {
                let mut client = Client::new(Wire::new(Stream::Tcp(tcp)), from.into(), ticket, seat);
                {
                    let mut first = std::pin::pin!(client.next_request(&limits));
                    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                    other.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("writes");
                    assert!(first.await.is_ok());
                }
                assert_eq!(client.next_request(&limits).await, Err(NoRequest::Over));
                done.send(()).expect("the test waits");
            });
            drain.empty().await;
            is_done.try_recv().expect("no assertion failed");
        });
    }
}
