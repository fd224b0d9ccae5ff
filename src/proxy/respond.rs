//! The answer on its way to the client.

use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use super::exchange::{After, Exchange};
use crate::drain::Phase;
use crate::ending::End;
use crate::h1::{Body, Framing, RequestHead, ResponseHead, Trailers, Version};
use crate::headers::{self, Said};
use crate::relay::{Break, Ends, Flow, Outbox, Relay};
use crate::stock;
use crate::upstream::{self, Key};
use crate::wire::Wire;

/// Carries the answer to its end, and decides what becomes of both connections.
pub(super) async fn carry(
    exchange: &mut Exchange,
    mut relay: Relay<'_>,
    head: &RequestHead,
    worker: &Worker,
    key: &Arc<Key>,
    mut upstream: Wire,
    answer: ResponseHead,
) -> After {
    exchange.record.answered(answer.status);
    let plan = Plan::of(worker.drain().phase(), &relay, head, &answer);
    let mut flow = plan.flow(&answer);
    let keep_alive = if answer.keep_alive { upstream::keep_alive_limit(&answer.fields) } else { Duration::ZERO };
    // A stream may be open for hours, and its head has been written.
    drop(answer);
    let result = relay.answer_body(&mut upstream, &mut flow, plan.ends).await;
    exchange.record.carried(relay.request_payload(), flow.payload(), flow.longest_silence());
    if let Err(broken) = result {
        let after = match broken {
            Break::ClientGone | Break::ClientStalled => After::Cut,
            _ if plan.ends == Ends::WithConnection => After::VisibleCut,
            _ if relay.is_request_sent() => After::Close,
            _ => After::Linger,
        };
        return exchange.ends(end(&broken), after);
    }
    let request_sent = relay.is_request_sent();
    if keep_alive > Duration::ZERO && request_sent && upstream.input.is_empty() {
        worker.upstreams().keep(key, upstream, keep_alive);
    }
    let after = match (request_sent, plan.client_stays) {
        (true, true) => After::NextRequest,
        (true, false) => After::Close,
        (false, _) => After::Linger,
    };
    exchange.ends(End::Done, after)
}

/// How the client will see the answer end.
struct Plan {
    said: Said,
    ends: Ends,
    /// The body goes out without chunks, though it came in them: the client knows none.
    plain: bool,
    /// The body comes without a known end, and goes out in chunks of our own.
    makes_chunks: bool,
    client_stays: bool,
}

impl Plan {
    fn of(phase: Phase, relay: &Relay<'_>, head: &RequestHead, answer: &ResponseHead) -> Self {
        let is_old = head.version == Version::Http10;
        let is_endless = matches!(answer.framing, Framing::Chunked | Framing::UntilClose);
        // To a client that knows no chunks, the end of the connection is the end of the body.
        let ends_with_connection = is_old && is_endless;
        // A refusal that comes before the request is whole should also end the sending (RFC 9112 section 9.6).
        let is_early_refusal = answer.status >= 400 && !relay.is_request_sent();
        let is_draining = phase > Phase::Serving;
        let client_stays = head.keep_alive && !ends_with_connection && !is_early_refusal && !is_draining;
        let connection = match (client_stays, is_old) {
            (false, false) => Some("close"),
            (true, true) => Some("keep-alive"),
            (true, false) | (false, true) => None,
        };
        Self {
            said: Said { chunked: is_endless && !is_old, connection },
            ends: if ends_with_connection { Ends::WithConnection } else { Ends::Itself },
            plain: is_old,
            makes_chunks: answer.framing == Framing::UntilClose && !is_old,
            client_stays,
        }
    }

    fn flow(&self, answer: &ResponseHead) -> Flow {
        let mut out = stock::take_bytes();
        headers::write_answer(answer, self.said, &mut out);
        let body = if self.plain { Body::without_chunks(answer.framing) } else { answer.body(Trailers::Pass) };
        Flow::new(Outbox::new(out), body).making_chunks(self.makes_chunks)
    }
}

fn end(broken: &Break) -> End {
    match broken {
        Break::ClientGone => End::ClientGone,
        Break::ClientStalled | Break::RequestTimeout | Break::BadBody(_) | Break::BodyTooLarge => End::ClientStalled,
        Break::UpstreamClosed(_) | Break::BadAnswer(_) => End::UpstreamCut,
        Break::Timeout(limit) => (*limit).into(),
    }
}
