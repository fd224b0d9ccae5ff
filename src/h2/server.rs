//! Connections of clients, and the streams on them.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ::h2::server::{Connection, SendResponse};
use ::h2::{Reason, RecvStream, ext::Protocol};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::allowance::Allowance;
use super::incoming::Incoming;
use super::outgoing::{Outgoing, reset_error};
use super::watch::{Watch, Watched};
use super::{FRAME, SEND_BUFFER, STREAM_WINDOW, WHOLE_PREFACE, failure, head, unfit};
use crate::h1::{self, Framing, ResponseReader, encode};
use crate::wire::{Layer, Wire};

/// How many streams may end before their answers, at once and in a second on the average: those that the client breaks
/// off, and those that we have to because of what it sends on them. Who needs more asks for work that nobody waits for
/// (CVE-2023-44487, CVE-2025-8671). An editor that asks for a completion with each key, and takes it back with the
/// next, needs ten in a second.
const BROKEN_OFF_AT_ONCE: u32 = 400;
const BROKEN_OFF_A_SECOND: u32 = 50;
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
    connection: Connection<Watched, Bytes>,
    watch: Rc<Watch>,
    patience: Rc<Allowance>,
    is_ending: bool,
    is_given_up: bool,
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
    /// Whether nothing more is to be heard either.
    is_shut: bool,
    /// How many streams may still break off. `None`: this one is counted.
    patience: Option<Rc<Allowance>>,
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
        let (wire, watch) = Watch::over(wire, WHOLE_PREFACE);
        let connection = builder.handshake(wire).await.map_err(failure)?;
        let patience = Rc::new(Allowance::new(BROKEN_OFF_AT_ONCE, BROKEN_OFF_A_SECOND));
        Ok(Self { connection, watch, patience, is_ending: false, is_given_up: false })
    }

    /// The next stream. Whoever waits for it keeps the whole connection going.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        loop {
            if !self.is_given_up && (self.patience.is_exceeded() || self.watch.is_flooded()) {
                (self.is_given_up, self.is_ending) = (true, true);
                self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            let (request, mut respond) = match self.connection.poll_accept(cx) {
                // What has just arrived may have been too much.
                Poll::Pending if !self.is_given_up && self.watch.is_flooded() => continue,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(accepted))) => accepted,
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Accepted::End),
            };
            // Nobody waits for the answer to what is already broken off, so nobody is asked for it.
            if respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
                self.patience.take(1);
                continue;
            }
            if !head::has_good_protocol(request.extensions()) {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                self.patience.take(1);
                continue;
            }
            return Poll::Ready(Accepted::Stream(Box::new(ServerStream::new(request, respond, &self.patience))));
        }
    }

    /// Whether no new streams are accepted.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Since when the client owes the rest of a head that it has begun, or the SETTINGS with which it has to begin.
    #[must_use]
    pub fn unfinished_since(&self) -> Option<Instant> {
        self.watch.unfinished_since()
    }

    /// Since when the client has read nothing, though there was something to read.
    #[must_use]
    pub fn stalled_since(&self) -> Option<Instant> {
        self.watch.stalled_since()
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn has_streams(&mut self) -> bool {
        !self.is_given_up && self.connection.has_streams()
    }

    /// Accepts no new streams, and ends when those that run have ended. The client is told which those are.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ending, true) {
            self.connection.graceful_shutdown();
        }
    }
}

impl ServerStream {
    fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, patience: &Rc<Allowance>) -> Self {
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
        Self {
            incoming,
            answer,
            to_head: parts.method == Method::HEAD,
            is_shut: false,
            patience: Some(Rc::clone(patience)),
        }
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
            self.count_break();
            self.answer = Answer::Ended;
        }
        reset
    }

    /// Counts the stream among those that ended before their answers.
    fn count_break(&mut self) {
        if let Some(patience) = self.patience.take() {
            patience.take(1);
        }
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
            // Some clients say by a frame of its own that they have said all, and are at a loss if the stream is gone by
            // then.
            return if stream.is_shut { Poll::Ready(Ok(())) } else { stream.incoming.poll_last(cx).map(Ok) };
        }
        let before = room.filled().len();
        match ready!(stream.incoming.poll_read(cx, room)) {
            Ok(()) if room.filled().len() > before || matches!(stream.answer, Answer::Tunnel(_)) => Poll::Ready(Ok(())),
            // The request is whole. A client that stays says no more.
            Ok(()) => stream.poll_reset(cx).map(Err),
            Err(error) => {
                stream.count_break();
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
        stream.is_shut = true;
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
