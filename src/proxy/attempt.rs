//! One attempt to get an answer: the head as it goes out this time, and a connection, one that is there or a new one.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::choose::Forwarding;
use super::early;
use super::exchange::{Exchange, Failure};
use crate::config::Route;
use crate::error::{Error, Kind};
use crate::h1::{RequestHead, ResponseHead};
use crate::h2;
use crate::relay::{Break, Kept, Relay};
use crate::upstream::{Key, LOGIN_WANTED, Upstreams};
use crate::wire::Wire;

/// How often a request is sent again at most. An upstream that refuses it again and again does not want it.
const MAX_REPEATS: usize = 2;
/// How long the word may take that a request came too late for its connection: more than any round trip.
const REFUSAL_WAIT: Duration = Duration::from_millis(500);

/// Begins an attempt along this route: all of it that needs no waiting, so that it weighs on no open stream.
pub(super) fn begin<'a>(
    exchange: &mut Exchange,
    relay: &mut Relay<'a>,
    head: &mut RequestHead,
    route: &'a Route,
    forward: &mut Forwarding,
) -> Result<(), Failure> {
    if route.sse_keepalive.is_some() {
        forward.sign = early::sign(&forward.forward.target);
    }
    let request = exchange.prepare(relay.is_client_http2(), route, forward, head);
    exchange.take_body(head)?;
    let length = request.len();
    let (replaces, kept) = exchange.course.as_mut().map_or((0, 0), |course| course.begin(length, &forward.key));
    relay.begin(request, replaces, route.upgrade(head).cloned(), &route.timeouts);
    if kept > 0 {
        relay.collect(kept);
    } else {
        head.forget_lines();
        forward.forget_target();
    }
    if !forward.key.http2 {
        relay.preload()?;
    }
    Ok(())
}

/// Sends the request and gives the head of the answer, with the connection on which the rest will come.
///
/// A kept connection may have been closed by the origin at the very moment of its use. Only then is the request sent
/// again by itself, on a new connection, and only if no byte of an answer has come and either nothing of the request
/// had gone out, or it does no harm to say it twice (RFC 9110 section 9.2.2), or the origin's system has sent it back
/// unread. A POST that may have been read is not repeated: somebody might pay twice. An upstream that speaks HTTP/2 can
/// say of a request that it was not looked at (RFC 9113 section 8.7); that one is sent again whatever it asks for, and
/// on a new connection too.
pub(super) async fn answer_head(
    relay: &mut Relay<'_>,
    upstreams: &Upstreams,
    key: &Arc<Key>,
    is_idempotent: bool,
) -> Result<(Wire, ResponseHead), Failure> {
    let (mut upstream, mut rest) = match upstreams.reuse(key, relay.began(), is_idempotent) {
        Some((upstream, rest)) => (upstream, Some(rest)),
        // Boxed, here and below: what is rare must not weigh on all.
        None => (Box::pin(connect(relay, upstreams, key)).await?, None),
    };
    let mut repeats = 0;
    loop {
        if key.http2 {
            relay.meet(&upstream)?;
        }
        let kept = match rest.is_some() {
            _ if upstream.is_http2() => Kept::UntilAnswer,
            true if is_idempotent => Kept::UntilAnswer,
            true => Kept::Shortly,
            false => Kept::Not,
        };
        let error = match relay.answer_head(&mut upstream, kept).await {
            // An upstream proxy that is sent whole requests may answer them itself. Whose an answer is cannot be
            // told, but for the one status that is a matter between it and us alone.
            Ok(answer) if answer.status == LOGIN_WANTED && key.takes_whole_requests() => {
                return Err(Error::new(Kind::UpstreamProxyAuth).into());
            }
            Ok(answer) => return Ok((upstream, answer)),
            Err(Break::UpstreamClosed(error)) if repeats < MAX_REPEATS => error,
            Err(broken) => {
                if matches!(&broken, Break::UpstreamClosed(error) if h2::is_unprocessed(error))
                    && relay.can_repeat(true)
                {
                    // Nobody has looked at it: that is as if nothing had been sent.
                    relay.repeat();
                }
                return Err(broken.into());
            }
        };
        if let Some(rest) = rest.filter(|_| relay.can_repeat(true)) {
            upstreams.was_closed(key, rest);
        }
        let is_unread = h2::is_unprocessed(&error)
            || (rest.is_some() && !is_idempotent && was_refused(relay, &upstream, &error).await?);
        if !(rest.is_some() || is_unread) || !relay.can_repeat(is_idempotent || is_unread) {
            return Err(Break::UpstreamClosed(error).into());
        }
        relay.repeat();
        repeats += 1;
        drop(upstream);
        (upstream, rest) = (Box::pin(connect(relay, upstreams, key)).await?, None);
    }
}

/// A new connection. Where time runs out, the error says on which step.
async fn connect(relay: &mut Relay<'_>, upstreams: &Upstreams, key: &Arc<Key>) -> Result<Wire, Failure> {
    let step = Cell::new(None);
    match relay.meanwhile(upstreams.connect(key, &step)).await {
        Ok(connected) => connected.map_err(|error| Failure::Answer(error.into())),
        Err(Break::Timeout(limit)) => Err(Error::new(Kind::UpstreamTimeout(limit)).during(step.get()).into()),
        Err(broken) => Err(broken.into()),
    }
}

/// Whether the origin had ended the connection before the request arrived, and its system has sent that back. The word
/// of it comes a round trip after the request was sent, and is waited for only where it decides.
async fn was_refused(relay: &mut Relay<'_>, upstream: &Wire, error: &io::Error) -> Result<bool, Break> {
    if error.kind() != io::ErrorKind::UnexpectedEof || relay.can_repeat(false) || !relay.can_repeat(true) {
        return Ok(false);
    }
    let refusal = Box::pin(timeout(REFUSAL_WAIT, upstream.refusal()));
    match relay.meanwhile(refusal).await {
        Ok(refused) => Ok(refused.unwrap_or(false)),
        Err(Break::Timeout(_)) => Ok(false),
        Err(broken) => Err(broken),
    }
}
