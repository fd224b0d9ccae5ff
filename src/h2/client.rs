//! Connections to upstreams, and the streams on them.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::{FRAME, SEND_BUFFER, STREAM_WINDOW, failure, head, unfit};
use crate::h1::{self, Framing, RequestReader};
use crate::origin::Scheme;
use crate::wire::{Layer, Wire};

/// How many streams run on one connection at once. A further one gets another connection.
const MAX_STREAMS: usize = 100;
/// The largest table that compressed fields of answers may fill, and the longest list of them, in bytes.
const MAX_HEAD: u32 = 64 * 1024;
/// What a request may have: it has been read once already, and only what we added can have made it longer.
const REQUEST: h1::Limits =
    h1::Limits { max_head: usize::MAX >> 1, max_first_line: usize::MAX >> 1, max_fields: 20_000 };

/// A connection to an upstream, shared by many streams.
pub struct Connection {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    streams: Cell<usize>,
    is_over: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// One stream of a connection to an upstream: a wire on which one request goes out, and one answer arrives.
pub struct ClientStream {
    connection: Rc<Connection>,
    requests: SendRequest<Bytes>,
    request: Request,
    answer: Answer,
    incoming: Incoming,
    to_head: bool,
}

/// How far the request has come.
enum Request {
    Head { reader: RequestReader, arrived: Vec<u8> },
    Body(Outgoing),
    Sent,
}

/// How far the answer has come.
enum Answer {
    /// Nothing has been asked.
    Unasked,
    Awaited(ResponseFuture),
    /// Its head is there; what is behind it arrives.
    Arriving,
    /// Nothing could be asked, or not as it was meant.
    Failed(Option<io::Error>),
}

/// Begins to speak HTTP/2 with an upstream. The future that comes with the connection has to be kept going for as
/// long as it is used: it is over when the connection is.
///
/// # Errors
/// The upstream does not speak HTTP/2.
pub async fn connect(wire: Wire, scheme: Scheme) -> io::Result<(Rc<Connection>, impl Future<Output = ()>)> {
    let mut builder = ::h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .initial_window_size(STREAM_WINDOW)
        // As much as all streams together: one whose recipient is slow never holds up another.
        .initial_connection_window_size(STREAM_WINDOW * 100)
        .max_frame_size(FRAME)
        .max_send_buffer_size(SEND_BUFFER);
    let (requests, driver) = builder.handshake(wire).await.map_err(failure)?;
    let connection = Rc::new(Connection {
        requests,
        scheme,
        streams: Cell::new(0),
        is_over: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
    });
    let weak = Rc::downgrade(&connection);
    let driver = async move {
        // Every stream learns by itself how the connection ended.
        let _ = driver.await;
        if let Some(connection) = weak.upgrade() {
            connection.is_over.set(true);
        }
    };
    Ok((connection, driver))
}

impl Connection {
    /// A new stream, if there is room for one.
    #[must_use]
    pub fn open(self: &Rc<Self>) -> Option<ClientStream> {
        let room = self.requests.current_max_send_streams().min(MAX_STREAMS);
        if self.is_over.get() || self.streams.get() >= room {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        Some(ClientStream {
            connection: Rc::clone(self),
            requests: self.requests.clone(),
            request: Request::Head { reader: RequestReader::default(), arrived: Vec::new() },
            answer: Answer::Unasked,
            incoming: Incoming::new(Vec::new()),
            to_head: false,
        })
    }

    /// Whether no new stream can be had on it, now or ever.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Since when no stream has run on it.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }
}

impl ClientStream {
    /// Takes bytes of the head; what comes behind it is left.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Request::Head { reader, arrived } = &mut self.request else { return Ok(0) };
        let before = arrived.len();
        arrived.extend_from_slice(bytes);
        let read = reader.read(arrived, &REQUEST).map_err(|_| unfit("the request's head"))?;
        let Some((head, length)) = read else { return Ok(bytes.len()) };
        let request = head::request_from_h1(&head, self.connection.scheme)?;
        self.to_head = *request.method() == Method::HEAD;
        let is_empty = matches!(head.framing, Framing::None | Framing::Length(0));
        let (answer, send) = match self.requests.send_request(request, is_empty) {
            Ok(sent) => sent,
            Err(error) => {
                // What cannot be asked here any more can be asked elsewhere.
                self.connection.is_over.set(true);
                return Err(failure(error));
            }
        };
        self.answer = Answer::Awaited(answer);
        self.request = if is_empty { Request::Sent } else { Request::Body(Outgoing::new(send, head.framing)) };
        Ok(length - before)
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Answer::Awaited(awaited) = &mut self.answer else { return Poll::Pending };
        while let Poll::Ready(Some(interim)) = awaited.poll_informational(cx) {
            let parts = interim.map_err(failure)?.into_parts().0;
            self.incoming.push(head::response_to_h1(&parts, false));
        }
        match Pin::new(awaited).poll(cx) {
            Poll::Pending if self.incoming.waits() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(answer) => {
                let (parts, recv) = answer.map_err(|error| self.learn(error))?.into_parts();
                self.begin(&Response::from_parts(parts, ()), recv);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn begin(&mut self, response: &Response<()>, recv: RecvStream) {
        let status = response.status().as_u16();
        let has_no_body = self.to_head || matches!(status, 204 | 304);
        let is_sized = response.headers().contains_key(http::header::CONTENT_LENGTH);
        let framing = match (has_no_body, is_sized) {
            (true, _) => Framing::None,
            // The reader of the head judges the length, and counts; here only its being there matters.
            (false, true) => Framing::Length(0),
            (false, false) => Framing::Chunked,
        };
        let (parts, ()) = response.clone().into_parts();
        self.incoming.push(head::response_to_h1(&parts, framing == Framing::Chunked));
        self.incoming.begin(recv, framing);
        self.answer = Answer::Arriving;
    }

    /// What an error says of the whole connection.
    fn learn(&self, error: ::h2::Error) -> io::Error {
        if error.is_go_away() || error.is_io() {
            self.connection.is_over.set(true);
        }
        failure(error)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.answer {
            Answer::Unasked => return Poll::Pending,
            Answer::Failed(ref mut why) => {
                return Poll::Ready(Err(why.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
            }
            Answer::Awaited(_) => ready!(self.poll_answer(cx))?,
            Answer::Arriving => {}
        }
        self.incoming.poll_read(cx, room)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (written, has_ended) = match &mut self.request {
            Request::Head { .. } => {
                let ready = ready!(self.requests.poll_ready(cx)).map_err(|error| self.learn(error));
                let taken = ready.and_then(|()| self.take_head(bytes));
                return Poll::Ready(taken.map_err(|why| {
                    // Whoever waits for the answer is told why there is none.
                    self.answer = Answer::Failed(Some(why));
                    io::ErrorKind::BrokenPipe.into()
                }));
            }
            Request::Body(outgoing) => (ready!(outgoing.poll_write(cx, bytes))?, outgoing.has_ended()),
            Request::Sent => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        if has_ended {
            self.request = Request::Sent;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection sends by itself what its streams have given it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Layer for ClientStream {
    fn is_quiet(&self) -> bool {
        false
    }

    fn has_ended(&mut self, _: &mut Context<'_>) -> bool {
        false
    }

    fn end_visibly(&mut self) {
        if let Request::Body(outgoing) = &mut self.request {
            outgoing.reset(Reason::CANCEL);
        }
    }

    fn is_http2(&self) -> bool {
        true
    }
}

/// A stream that goes before it is over is cancelled: dropping its halves tells the upstream at once.
impl Drop for ClientStream {
    fn drop(&mut self) {
        self.end_visibly();
        let left = self.connection.streams.get().saturating_sub(1);
        self.connection.streams.set(left);
        if left == 0 {
            self.connection.idle_since.set(Instant::now());
        }
    }
}
