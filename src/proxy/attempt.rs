//! Getting an answer: on a connection that is there, or on a new one.

use std::cell::Cell;
use std::sync::Arc;

use super::exchange::Failure;
use crate::error::{Error, Kind};
use crate::h1::ResponseHead;
use crate::h2;
use crate::relay::{Break, Relay};
use crate::upstream::{Key, LOGIN_WANTED, Upstreams};
use crate::wire::Wire;

/// How often a request is sent again at most. An upstream that refuses it again and again does not want it.
const MAX_REPEATS: usize = 2;

/// Sends the request and gives the head of the answer, with the connection on which the rest will come.
///
/// A kept connection may have been closed by the origin at the very moment of its use. Only then is the request sent
/// again by itself, on a new connection, and only if no byte of an answer has come and either nothing of the request
/// had gone out or it does no harm to say it twice (RFC 9110 section 9.2.2). A POST that may have been read is not
/// repeated: somebody might pay twice. An upstream that speaks HTTP/2 can say of a request that it was not looked at
/// (RFC 9113 section 8.7); that one is sent again whatever it asks for, and on a new connection too.
pub(super) async fn answer_head(
    relay: &mut Relay<'_>,
    upstreams: &Upstreams,
    key: &Arc<Key>,
    is_idempotent: bool,
) -> Result<(Wire, ResponseHead), Failure> {
    let mut kept = upstreams.reuse(key, relay.began());
    let mut repeats = 0;
    loop {
        let may_be_stale = kept.is_some() && is_idempotent;
        let is_kept = kept.is_some();
        let mut upstream = match kept.take() {
            Some(upstream) => upstream,
            None => connect(relay, upstreams, key).await?,
        };
        if key.http2 {
            relay.meet(&upstream)?;
        }
        let may_be_refused = upstream.is_http2();
        match relay.answer_head(&mut upstream, may_be_stale || may_be_refused).await {
            // An upstream proxy that is sent whole requests may answer them itself. Whose an answer is cannot be
            // told, but for the one status that is a matter between it and us alone.
            Ok(answer) if answer.status == LOGIN_WANTED && key.takes_whole_requests() => {
                return Err(Error::new(Kind::UpstreamProxyAuth).into());
            }
            Ok(answer) => return Ok((upstream, answer)),
            Err(Break::UpstreamClosed(error)) if repeats < MAX_REPEATS => {
                let is_unprocessed = h2::is_unprocessed(&error);
                if !(is_kept || is_unprocessed) || !relay.can_repeat(is_idempotent || is_unprocessed) {
                    return Err(Break::UpstreamClosed(error).into());
                }
                relay.repeat();
                repeats += 1;
            }
            Err(broken) => return Err(broken.into()),
        }
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
