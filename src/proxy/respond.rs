//! The answer on its way to the client.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use super::again::Leg;
use super::exchange::{After, Exchange};
use crate::drain::Phase;
use crate::ending::End;
use crate::h1::{Body, Framing, RequestHead, ResponseHead, Trailers, Version};
use crate::headers::{self, Said};
use crate::relay::{Break, Early, Ends, Flow, Outbox, Relay};
use crate::sse;
use crate::stock;
use crate::upstream::{self, Key};
use crate::wire::Wire;

/// How the client will see the answer, from its head to its end.
pub(super) struct Plan {
    flow: Flow,
    ends: Ends,
    /// Whether a cut has to be made to be seen: the end of the connection, or of a stream, would not say it.
    is_cut_by_us: bool,
    client_stays: bool,
    /// For how long the upstream's connection may be kept after it.
    keep_alive: Duration,
}

/// Looks at the head of the answer, and puts the client's on its way. A stream may be open for hours: what arrived as
/// a head is not kept meanwhile.
pub(super) fn plan(
    exchange: &mut Exchange,
    relay: &Relay<'_>,
    head: &RequestHead,
    worker: &Worker,
    leg: &Leg<'_>,
    answer: ResponseHead,
) -> Plan {
    exchange.record.answered(answer.status);
    let is_old = head.version == Version::Http10;
    let begun = exchange.early.as_ref().and_then(|promise| promise.begun());
    // A head of ours that has gone out has told no length.
    let is_endless = begun.is_some() || matches!(answer.framing, Framing::Chunked | Framing::UntilClose);
    // To a client that knows no chunks, the end of the connection is the end of the body.
    let ends_with_connection = is_old && is_endless;
    // A refusal that comes before the request is whole should also end the sending (RFC 9112 section 9.6).
    let is_early_refusal = answer.status >= 400 && !relay.is_request_sent();
    let is_draining = worker.drain().phase() > Phase::Serving;
    let client_stays = head.keep_alive && !ends_with_connection && !is_early_refusal && !is_draining;
    let connection = match (client_stays, is_old) {
        (false, false) => Some("close"),
        (true, true) => Some("keep-alive"),
        (true, false) | (false, true) => None,
    };
    let out = match begun {
        Some(begun) => begun.take_unwritten(),
        None => {
            let mut out = stock::take_bytes();
            let cors = exchange.cors.as_deref();
            let said = Said { chunked: is_endless && !is_old, connection, protocol: None, cors };
            headers::write_answer(&answer, said, &mut out);
            if let Some(course) = &exchange.course {
                course.sign(&mut out);
            }
            out
        }
    };
    let body = if is_old { Body::without_chunks(answer.framing) } else { answer.body(Trailers::Pass) };
    // A body without a known end goes out in chunks of our own.
    let makes_chunks = is_endless && answer.framing != Framing::Chunked && !is_old;
    let every = leg.route.sse_keepalive.or(begun.map(Early::every));
    if leg.route.usage.is_none() {
        exchange.meter = None;
    }
    let tap = exchange.meter.as_mut().and_then(|meter| meter.on_answer(&answer, &body));
    // A length that has been told leaves no room.
    let signs = every.filter(|_| is_endless && sse::is_plain_stream(&answer));
    let signs = signs.map(|every| (every, leg.forward.sign));
    let mut flow = Flow::new(Outbox::new(out), body).making_chunks(makes_chunks).with_signs(signs);
    if let Some(tap) = tap {
        flow.tap(tap);
    }
    let keep_alive = if answer.keep_alive { upstream::keep_alive_limit(&answer.fields) } else { Duration::ZERO };
    drop(answer);
    Plan {
        flow,
        ends: if ends_with_connection { Ends::WithConnection } else { Ends::Itself },
        is_cut_by_us: ends_with_connection || relay.is_client_http2(),
        client_stays,
        keep_alive,
    }
}

/// Carries the answer to its end.
pub(super) async fn carry(
    exchange: &mut Exchange,
    relay: &mut Relay<'_>,
    upstream: &mut Wire,
    plan: &mut Plan,
) -> Result<(), Break> {
    if !exchange.meter.as_ref().is_some_and(|meter| meter.hears_answer()) {
        relay.end_with_client();
    }
    relay.answer_body(upstream, &mut plan.flow, plan.ends).await
}

/// Decides what becomes of both connections.
pub(super) fn end(
    exchange: &mut Exchange,
    relay: &Relay<'_>,
    worker: &Worker,
    key: &Arc<Key>,
    upstream: Wire,
    plan: &Plan,
    carried: Result<(), Break>,
) -> After {
    let flow = &plan.flow;
    exchange.record.carried(relay.request_payload(), flow.payload(), flow.longest_silence());
    if let Some(meter) = &mut exchange.meter {
        meter.is_whole = flow.has_ended();
    }
    if let Err(broken) = carried {
        let after = match broken {
            Break::ClientGone | Break::ClientStalled => After::Cut,
            _ if plan.is_cut_by_us => After::VisibleCut,
            _ if relay.is_request_sent() => After::Close,
            _ => After::Linger,
        };
        return exchange.ends(end_of(&broken), after);
    }
    let request_sent = relay.is_request_sent();
    let now = Instant::now();
    if plan.keep_alive > Duration::ZERO && request_sent && upstream.input.is_empty() {
        worker.upstreams().keep(key, upstream, now, plan.keep_alive);
    }
    exchange.ended_at = Some(now);
    let after = match (request_sent, plan.client_stays) {
        (true, true) => After::NextRequest,
        (true, false) => After::Close,
        (false, _) => After::Linger,
    };
    exchange.ends(End::Done, after)
}

/// How an exchange ended that broke off after the head of its answer.
pub(super) fn end_of(broken: &Break) -> End {
    match broken {
        Break::ClientGone => End::ClientGone,
        Break::ClientStalled | Break::RequestTimeout | Break::BadBody(_) | Break::BodyTooLarge => End::ClientStalled,
        Break::UpstreamClosed(_) | Break::BadAnswer(_) => End::UpstreamCut,
        Break::Timeout(limit) => (*limit).into(),
    }
}
