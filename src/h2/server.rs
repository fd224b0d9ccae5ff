//! Connections of clients, and the streams on them.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::h2::server::{Connection, SendResponse};
use ::h2::{Reason, RecvStream, ext::Protocol};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::incoming::Incoming;
use super::outgoing::{Outgoing, reset_error};
use super::{FRAME, SEND_BUFFER, STREAM_WINDOW, failure, head, unfit};
use crate::h1::{self, Framing, ResponseReader, encode};
use crate::wire::{Layer, Wire};

/// How many streams a client may break off in a second, on the average and at once. What breaks off more often asks
/// for work that nobody waits for (CVE-2023-44487).
const BROKEN_OFF_A_SECOND: u32 = 50;
const BROKEN_OFF_AT_ONCE: u32 = 400;
/// How many streams that were broken off are remembered, before and after they were looked at.
const REMEMBERED: usize = 64;
/// How long a stream that was broken off here may still be spoken on by the other side.
const AFTERLIFE: Duration = Duration::from_secs(5);

/// What a client may take of us on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many of its streams may run at once.
    pub max_streams: u32,
    /// The longest list of fields, in bytes as RFC 9113 section 6.5.2 counts them.
    pub max_head: u32,
}

/// The connection of a client.
pub struct Server {
    connection: Connection<Wire, Bytes>,
    patience: Rc<Patience>,
    is_ending: bool,
}

/// What may come next on a connection.
pub enum Accepted {
    /// A stream.
    Stream(Box<ServerStream>),
    /// The end.
    End,
}

/// One stream of a client's connection: a wire on which one request arrives, and one answer goes out.
pub struct ServerStream {
    incoming: Incoming,
    answer: Answer,
    /// Whether the answer to the request has no body.
    to_head: bool,
    patience: Rc<Patience>,
}

/// How far the answer has come.
enum Answer {
    /// Its head is not there, or not as a whole.
    Head {
        respond: SendResponse<Bytes>,
        reader: ResponseReader,
        arrived: Vec<u8>,
        /// What waits for the agreement to switch protocols: what comes then is no body.
        upgrade: Option<RecvStream>,
    },
    Body(Outgoing),
    /// The other protocol is spoken.
    Tunnel(Outgoing),
    Ended,
}

/// How many more streams a client may break off.
struct Patience {
    left: Cell<u32>,
    since: Cell<Instant>,
}

impl Server {
    /// Begins to speak HTTP/2 with a client whose preface has arrived or will.
    ///
    /// # Errors
    /// It does not speak HTTP/2.
    pub async fn handshake(wire: Wire, limits: Limits) -> io::Result<Self> {
        let mut builder = ::h2::server::Builder::new();
        builder
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(limits.max_head)
            .initial_window_size(STREAM_WINDOW)
            // As much as all streams together: one whose recipient is slow never holds up another.
            .initial_connection_window_size(STREAM_WINDOW.saturating_mul(limits.max_streams).min(i32::MAX as u32))
            .max_frame_size(FRAME)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(REMEMBERED)
            .max_pending_accept_reset_streams(REMEMBERED)
            .reset_stream_duration(AFTERLIFE)
            .enable_connect_protocol();
        let connection = builder.handshake(wire).await.map_err(failure)?;
        Ok(Self { connection, patience: Rc::default(), is_ending: false })
    }

    /// The next stream. Whoever waits for it keeps the whole connection going.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        if self.patience.is_over() {
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        match ready!(self.connection.poll_accept(cx)) {
            Some(Ok((request, respond))) => {
                Poll::Ready(Accepted::Stream(Box::new(ServerStream::new(request, respond, &self.patience))))
            }
            Some(Err(_)) | None => Poll::Ready(Accepted::End),
        }
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn has_streams(&mut self) -> bool {
        self.connection.has_streams()
    }

    /// Accepts no new streams, and ends when those that run have ended. The client is told which those are.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ending, true) {
            self.connection.graceful_shutdown();
        }
    }
}

impl ServerStream {
    fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, patience: &Rc<Patience>) -> Self {
        let (parts, recv) = request.into_parts();
        let is_upgrade = parts.extensions.get::<Protocol>().is_some();
        let has_body = !is_upgrade && !recv.is_end_stream();
        let mut incoming = Incoming::new(head::request_to_h1(&parts, has_body));
        let mut upgrade = None;
        if is_upgrade {
            upgrade = Some(recv);
        } else if has_body {
            let is_sized = parts.headers.contains_key(http::header::CONTENT_LENGTH);
            // The reader of the head judges the length, and counts; here only its being there matters.
            incoming.begin(recv, if is_sized { Framing::Length(0) } else { Framing::Chunked });
        }
        let answer = Answer::Head { respond, reader: ResponseReader::default(), arrived: Vec::new(), upgrade };
        Self { incoming, answer, to_head: parts.method == Method::HEAD, patience: Rc::clone(patience) }
    }

    /// Takes bytes of the head; what comes behind it is left.
    fn take_head(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let Answer::Head { respond, reader, arrived, upgrade } = &mut self.answer else { return Ok(0) };
        let before = arrived.len();
        arrived.extend_from_slice(bytes);
        let read = reader.read(arrived, self.to_head, &h1::Limits::RESPONSE).map_err(|_| unfit("the answer's head"))?;
        let Some((head, length)) = read else { return Ok(bytes.len()) };
        let mut taken = length - before;
        (*reader, *arrived) = (ResponseReader::default(), Vec::new());
        let mut response = head::response_from_h1(&head)?;
        if head.is_interim() && head.status != 101 {
            respond.send_informational(response).map_err(failure)?;
            return Ok(taken);
        }
        if head.status == 101 {
            let recv = upgrade.take().ok_or_else(|| unfit("101 to a request that asked for no other protocol"))?;
            let send = respond.send_response(response, false).map_err(failure)?;
            self.incoming.begin(recv, Framing::UntilClose);
            // Whoever has waited for the end of the client now waits for what it says.
            cx.waker().wake_by_ref();
            self.answer = Answer::Tunnel(Outgoing::new(send, Framing::UntilClose));
            return Ok(taken);
        }
        if upgrade.is_some() && response.status().is_success() {
            // It would say that the other protocol is agreed upon (RFC 8441 section 5), which it is not.
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        // An answer that has nothing behind its head is told in one frame, as gRPC has to have it.
        let is_empty_chunked = head.framing == Framing::Chunked && bytes[taken..] == *encode::LAST_CHUNK;
        taken += if is_empty_chunked { encode::LAST_CHUNK.len() } else { 0 };
        let is_empty = is_empty_chunked || matches!(head.framing, Framing::None | Framing::Length(0));
        let send = respond.send_response(response, is_empty).map_err(failure)?;
        self.answer = if is_empty { Answer::Ended } else { Answer::Body(Outgoing::new(send, head.framing)) };
        Ok(taken)
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let reset = match &mut self.answer {
            Answer::Head { respond, .. } => respond.poll_reset(cx).map(reset_error),
            Answer::Body(outgoing) | Answer::Tunnel(outgoing) => outgoing.poll_reset(cx),
            Answer::Ended => Poll::Pending,
        };
        if reset.is_ready() {
            self.patience.lose();
            self.answer = Answer::Ended;
        }
        reset
    }

    /// Ends an answer that is not whole so that this is seen.
    fn break_off(&mut self) {
        if let Answer::Head { respond, .. } = &mut self.answer {
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
        // Once an answer has begun, a reset of our own would throw away what has not left yet. A stream that is let go
        // before its end is cancelled after that.
        self.answer = Answer::Ended;
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if let Answer::Ended = stream.answer {
            return Poll::Ready(Ok(()));
        }
        let before = room.filled().len();
        match ready!(stream.incoming.poll_read(cx, room)) {
            Ok(()) if room.filled().len() > before || matches!(stream.answer, Answer::Tunnel(_)) => Poll::Ready(Ok(())),
            // The request is whole. A client that stays says no more.
            Ok(()) => stream.poll_reset(cx).map(Err),
            Err(error) => {
                stream.patience.lose();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let (written, has_ended) = match &mut stream.answer {
            Answer::Head { .. } => return Poll::Ready(stream.take_head(cx, bytes)),
            Answer::Body(outgoing) => (ready!(outgoing.poll_write(cx, bytes))?, outgoing.has_ended()),
            Answer::Tunnel(outgoing) => (ready!(outgoing.poll_write(cx, bytes))?, false),
            Answer::Ended => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        if has_ended {
            stream.answer = Answer::Ended;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends by itself what its streams have given it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        Poll::Ready(match &mut stream.answer {
            Answer::Tunnel(outgoing) => outgoing.end(),
            Answer::Ended => Ok(()),
            Answer::Head { .. } | Answer::Body(_) => {
                stream.break_off();
                Ok(())
            }
        })
    }
}

impl Layer for ServerStream {
    fn is_quiet(&self) -> bool {
        false
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_reset(cx).is_ready()
    }

    fn end_visibly(&mut self) {
        self.break_off();
    }

    fn is_http2(&self) -> bool {
        true
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        let has_said_all = matches!(&self.answer, Answer::Tunnel(outgoing) if outgoing.has_ended());
        if !(has_said_all && self.incoming.is_complete()) {
            self.break_off();
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: Cell::new(BROKEN_OFF_AT_ONCE), since: Cell::new(Instant::now()) }
    }
}

impl Patience {
    fn lose(&self) {
        let elapsed = u32::try_from(self.since.get().elapsed().as_secs()).unwrap_or(u32::MAX);
        if elapsed > 0 {
            self.since.set(Instant::now());
        }
        let left = self.left.get().saturating_add(elapsed.saturating_mul(BROKEN_OFF_A_SECOND)).min(BROKEN_OFF_AT_ONCE);
        self.left.set(left.saturating_sub(1));
    }

    fn is_over(&self) -> bool {
        self.left.get() == 0
    }
}
