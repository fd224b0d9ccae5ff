//! Streams of connections to upstreams.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::client::{ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use http::{Method, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::connection::Connection;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::{failure, head, unfit};
use crate::h1::{self, Framing, RequestReader};
use crate::wire::Layer;

/// What a request may have: it has been read once already, and only what we added can have made it longer.
const REQUEST: h1::Limits =
    h1::Limits { max_head: usize::MAX >> 1, max_first_line: usize::MAX >> 1, max_fields: 20_000 };

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

impl ClientStream {
    pub(super) fn new(connection: Rc<Connection>, requests: SendRequest<Bytes>) -> Self {
        let request = Request::Head { reader: RequestReader::default(), arrived: Vec::new() };
        let incoming = Incoming::new(Vec::new());
        Self { connection, requests, request, answer: Answer::Unasked, incoming, to_head: false, asked: None }
    }

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
                self.connection.give_up();
                return Err(failure(error));
            }
        };
        self.answer = Answer::Awaited(answer);
        self.asked = Some((Instant::now(), self.connection.heard()));
        self.request = if is_empty { Request::Sent } else { Request::Body(Outgoing::new(send, head.framing)) };
        Ok(length - before)
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Answer::Awaited(awaited) = &mut self.answer else { return Poll::Pending };
        // One at a time: who reads them counts them, and may have had enough.
        if let Poll::Ready(Some(interim)) = awaited.poll_informational(cx) {
            let parts = interim.map_err(failure)?.into_parts().0;
            self.incoming.push(head::response_to_h1(&parts, false));
            return Poll::Ready(Ok(()));
        }
        let (parts, recv) = ready!(Pin::new(awaited).poll(cx)).map_err(|error| self.learn(error))?.into_parts();
        self.begin(&parts, recv);
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, parts: &response::Parts, recv: RecvStream) {
        let has_no_body = self.to_head || matches!(parts.status.as_u16(), 204 | 304);
        let is_sized = parts.headers.contains_key(http::header::CONTENT_LENGTH);
        let framing = match (has_no_body, is_sized) {
            (true, _) => Framing::None,
            // The reader of the head judges the length, and counts; here only its being there matters.
            (false, true) => Framing::Length(0),
            (false, false) => Framing::Chunked,
        };
        self.incoming.push(head::response_to_h1(parts, framing == Framing::Chunked));
        self.incoming.begin(recv, framing);
        self.answer = Answer::Arriving;
    }

    /// What an error says of the whole connection.
    fn learn(&self, error: ::h2::Error) -> io::Error {
        if error.is_go_away() || error.is_io() {
            self.connection.give_up();
        }
        failure(error)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match &mut stream.answer {
            Answer::Unasked => return Poll::Pending,
            Answer::Failed(why) => {
                return Poll::Ready(Err(why.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
            }
            Answer::Awaited(_) if !stream.incoming.waits() => ready!(stream.poll_answer(cx))?,
            Answer::Awaited(_) | Answer::Arriving => {}
        }
        stream.incoming.poll_read(cx, room)
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
        let is_unheard = |heard: u64| matches!(self.answer, Answer::Awaited(_)) && heard == self.connection.heard();
        let unheard_since = self.asked.filter(|&(_, heard)| is_unheard(heard)).map(|(at, _)| at);
        self.connection.close(unheard_since);
    }
}
