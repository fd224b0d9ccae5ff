//! Connections to upstreams, and the streams on them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::watch::Watch;
use super::{FRAME, SEND_BUFFER, STREAM_WINDOW, failure, head, unfit};
use crate::h1::{self, Framing, RequestReader};
use crate::origin::Scheme;
use crate::wire::{Layer, Wire};

/// How many streams run on one connection at once. A further one gets another connection.
const MAX_STREAMS: usize = 100;
/// The largest table that compressed fields of answers may fill, and the longest list of them, in bytes.
const MAX_HEAD: u32 = 64 * 1024;
/// What may be held on a connection beside content where that comes in small frames, in bytes: `h2` reckons with 256
/// for each. It is what all streams need together whose recipients are slow, if frames have some 60 bytes on the
/// average. Beyond that the connection ends with everybody's streams on it, so it has to be more than a few clients
/// that do not read can bring about.
const SMALL_FRAMES: usize = 3 * STREAM_WINDOW as usize * MAX_STREAMS;
/// For how long an upstream may be silent in the wrong place before its connection takes no new streams: inside a head
/// or its greeting, where it reads nothing, where it says nothing at all to somebody who then gives up.
const STUCK: Duration = Duration::from_secs(10);
/// How long a connection that nobody uses has for its last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// What a request may have: it has been read once already, and only what we added can have made it longer.
const REQUEST: h1::Limits =
    h1::Limits { max_head: usize::MAX >> 1, max_first_line: usize::MAX >> 1, max_fields: 20_000 };

/// A connection to an upstream, shared by many streams.
pub struct Connection {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    watch: Rc<Watch>,
    streams: Cell<usize>,
    is_over: Cell<bool>,
    idle_since: Cell<Instant>,
    /// Tells the driver when this goes.
    gone: Rc<Notify>,
}

/// One stream of a connection to an upstream: a wire on which one request goes out, and one answer arrives.
pub struct ClientStream {
    connection: Rc<Connection>,
    requests: SendRequest<Bytes>,
    request: Request,
    answer: Answer,
    incoming: Incoming,
    to_head: bool,
    /// When the request went out, and how much had been heard from the upstream by then.
    asked: Option<(Instant, u64)>,
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
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES);
    let (wire, watch) = Watch::over(wire, 0);
    let (requests, mut driver) = builder.handshake(wire).await.map_err(failure)?;
    let connection = Rc::new(Connection {
        requests,
        scheme,
        watch: Rc::clone(&watch),
        streams: Cell::new(0),
        is_over: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
        gone: Rc::default(),
    });
    let (weak, gone) = (Rc::downgrade(&connection), Rc::clone(&connection.gone));
    let driver = async move {
        // Every stream learns by itself how the connection ended.
        let ended = poll_fn(move |cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Pending if !watch.is_flooded() => Poll::Pending,
            _ => Poll::Ready(()),
        });
        let mut ended = pin!(ended);
        tokio::select! {
            biased;
            () = &mut ended => {}
            // An upstream that does not read would keep it going for ever.
            () = gone.notified() => {
                let _ = timeout(LAST_WORD, ended).await;
            }
        }
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
        if self.is_over() || self.streams.get() >= room {
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
            asked: None,
        })
    }

    /// Whether no new stream can be had on it, now or ever.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_stuck = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() >= STUCK);
        self.is_over.get() || is_stuck(self.watch.stalled_since()) || is_stuck(self.watch.unfinished_since())
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
        self.asked = Some((Instant::now(), self.connection.watch.heard()));
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

impl Drop for Connection {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

/// A stream that goes before it is over is cancelled: dropping its halves tells the upstream at once.
impl Drop for ClientStream {
    fn drop(&mut self) {
        self.end_visibly();
        // Where not a byte has come since the request, there may be nobody any more.
        if let (Answer::Awaited(_), Some((at, heard))) = (&self.answer, self.asked)
            && heard == self.connection.watch.heard()
            && at.elapsed() >= STUCK
        {
            self.connection.is_over.set(true);
        }
        let left = self.connection.streams.get().saturating_sub(1);
        self.connection.streams.set(left);
        if left == 0 {
            self.connection.idle_since.set(Instant::now());
        }
    }
}
