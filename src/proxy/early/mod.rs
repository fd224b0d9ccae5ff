//! Streams that may begin before their upstreams have answered: which ones, how they begin, and what they say when nothing
//! comes of it.
//!
//! The relay begins one in a silence (`relay::Early`). From then on the client has its status, and a failure can only be
//! told as an event: that of the provider whose interface the client speaks.

mod asks;
mod event;

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::exchange::{After, Exchange, Failure};
use super::meter::Ear;
use super::{Worker, reply};
use crate::accept::Client;
use crate::config::Route;
use crate::drain::{Drain, Phase};
use crate::error::{Error, Kind};
use crate::h1::{Body, Edit, RequestHead, ResponseHead, Step, Trailers, Version, encode};
use crate::relay::{Early, Ends, Relay};
use crate::sse;
use crate::wire::Wire;

use asks::Asks;
pub(super) use asks::sign;
use event::Shape;

/// How much of what an upstream says of its failure is read, in bytes, and for how long.
const MAX_REFUSAL: usize = 64 * 1024;
const REFUSAL_WAIT: Duration = Duration::from_secs(5);

/// What is kept for a stream that may begin early.
pub(super) struct Promise {
    early: Rc<Early>,
    shape: Shape,
    /// Lines of the request that do not pass as they came, those with keys of clients among them.
    edits: Box<[Edit]>,
    /// Whether it is still to be found out from the body whether a stream is asked for.
    reads_body: bool,
    /// What an upstream said of its failure.
    said: Option<Vec<u8>>,
}

impl Promise {
    /// That of a request on such a route, if it asks for a stream or may still turn out to.
    pub(super) fn of(head: &RequestHead, route: &Route, exchange: &Exchange, worker: &Worker) -> Option<Box<Self>> {
        let asks = asks(head, route)?;
        let every = route.sse_keepalive?;
        let ends = if head.version == Version::Http10 { Ends::WithConnection } else { Ends::Itself };
        let (cors, drain) = (exchange.cors.clone(), worker.drain().clone());
        let stays = head.keep_alive;
        let opening = Box::new(move |out: &mut Vec<u8>| open(ends, stays, &drain, cors.as_deref(), out));
        let sign = sign(head.raw_target());
        let early = Rc::new(Early::new(every, sign, ends, exchange.began, opening));
        if asks == Asks::InHead {
            early.ask();
        }
        let edits = edits(head, exchange.edits());
        Some(Box::new(Self {
            early,
            shape: Shape::of(head),
            edits,
            reads_body: asks == Asks::PerhapsInBody,
            said: None,
        }))
    }

    /// Lets the relay keep it.
    pub(super) fn attach(&self, relay: &mut Relay<'_>, head: &RequestHead) {
        relay.begin_early(Rc::clone(&self.early));
        if self.reads_body {
            relay.tap_request(Ear::new(asks::Members::for_stream(&self.early), &head.body(Trailers::Drop)));
        }
    }

    /// See [`Exchange::edits`].
    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The stream, if it has begun.
    pub(super) fn begun(&self) -> Option<&Early> {
        Some(&*self.early).filter(|early| early.has_begun())
    }
}

/// Whether the answer to this request may begin early on this route, as far as its head says.
pub(super) fn may_begin(head: &RequestHead, route: &Route) -> bool {
    asks(head, route).is_some()
}

/// Where it asks for that, if it may.
fn asks(head: &RequestHead, route: &Route) -> Option<Asks> {
    let may_begin = route.begins_early && !head.is("HEAD") && head.upgrade.is_none();
    if may_begin { Asks::of(head) } else { None }
}

/// What else does not pass as it came: nothing is put into a coded answer, so that no coding is asked for.
pub(super) fn edits(head: &RequestHead, edits: &[Edit]) -> Box<[Edit]> {
    let codings = head.fields.iter().enumerate().filter(|(_, field)| field.is(b"accept-encoding"));
    let plain = codings.map(|(line, _)| Edit { line, value: Some(b"identity".as_slice().into()) });
    edits.iter().cloned().chain(plain).collect()
}

/// The head of a stream that begins early.
fn open(ends: Ends, stays: bool, drain: &Drain, cors: Option<&[u8]>, out: &mut Vec<u8>) {
    encode::status_line(200, b"OK", out);
    reply::date(out);
    encode::field("Content-Type", sse::MEDIA_TYPE, out);
    encode::field("Cache-Control", b"no-cache", out);
    out.extend_from_slice(cors.unwrap_or_default());
    if ends == Ends::Itself {
        encode::field("Transfer-Encoding", b"chunked", out);
        if !stays || drain.phase() > Phase::Serving {
            encode::field("Connection", b"close", out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What has to be said of an answer that cannot be carried on in a stream. If the upstream says something of that itself,
/// and in time, it is kept.
pub(super) async fn refusal(
    exchange: &mut Exchange,
    relay: &mut Relay<'_>,
    mut upstream: Wire,
    answer: ResponseHead,
) -> Failure {
    let kind = match answer.status {
        200 => Kind::UpstreamNoStream,
        status => Kind::UpstreamStatus(status),
    };
    let is_coded = answer.fields.values(b"content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    let body = Body::without_chunks(answer.framing);
    drop(answer);
    if !is_coded {
        match relay.pause(timeout(REFUSAL_WAIT, read(&mut upstream, body))).await {
            Ok(said) => {
                if let Some(promise) = &mut exchange.early {
                    promise.said = said.ok().flatten();
                }
            }
            Err(broken) => return broken.into(),
        }
    }
    Error::new(kind).into()
}

/// All of a body that is not too large.
async fn read(upstream: &mut Wire, mut body: Body) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let arrived = upstream.input.filled();
        match body.step(arrived).ok()? {
            Step::Pass(length) if content.len() + length <= MAX_REFUSAL => {
                content.extend_from_slice(&arrived[..length]);
                upstream.input.consume(length);
            }
            Step::Pass(_) => return None,
            Step::Skip(length) => upstream.input.consume(length),
            Step::Done => return Some(content),
            Step::Starved => {
                if upstream.fill().await.ok()? == 0 {
                    return body.may_end_here().then_some(content);
                }
            }
        }
    }
}

/// Says in a stream that has begun what went wrong, and ends it.
pub(super) async fn fail(exchange: &mut Exchange, client: &mut Client, head: &RequestHead, error: &Error) -> After {
    exchange.record.failed(error);
    exchange.record.answered(200);
    let Some(promise) = &exchange.early else { return After::Cut };
    let event = promise.shape.event(error, promise.said.as_deref());
    let mut out = promise.early.take_unwritten();
    let is_old = head.version == Version::Http10;
    if is_old {
        out.extend_from_slice(&event);
    } else {
        encode::chunk(&event, &mut out);
        out.extend_from_slice(encode::LAST_CHUNK);
    }
    let is_read = reply::skip_body(exchange, client, head);
    if !matches!(timeout(reply::PATIENCE, client.wire.write_all(&out)).await, Ok(Ok(()))) {
        return After::Cut;
    }
    client.wire.set_end_would_lie(false);
    exchange.record.carried(0, event.len() as u64, Duration::ZERO);
    exchange.ended_at = Some(Instant::now());
    match is_read {
        false => After::Linger,
        true if head.keep_alive && !is_old && client.phase() == Phase::Serving => After::NextRequest,
        true => After::Close,
    }
}
