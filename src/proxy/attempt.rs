//! Getting an answer: on a connection that is there, or on a new one.

use super::exchange::Failure;
use crate::h1::ResponseHead;
use crate::relay::{Break, Relay};
use crate::upstream::{Key, Upstreams};
use crate::wire::Wire;

/// Sends the request and gives the head of the answer, with the connection on which the rest will come.
///
/// A kept connection may have been closed by the origin at the very moment of its use. Only then is the request sent
/// again by itself, on a new connection, and only if no byte of an answer has come and either nothing of the request
/// had gone out or it does no harm to say it twice (RFC 9110 section 9.2.2). A POST that may have been read is not
/// repeated: somebody might pay twice.
pub(super) async fn answer_head(
    relay: &mut Relay<'_>,
    upstreams: &Upstreams,
    key: &Key,
    is_idempotent: bool,
) -> Result<(Wire, ResponseHead), Failure> {
    if let Some(mut upstream) = upstreams.reuse(key, relay.began()) {
        match relay.answer_head(&mut upstream, is_idempotent).await {
            Err(Break::UpstreamClosed(_)) if relay.can_repeat(is_idempotent) => relay.repeat(),
            Err(broken) => return Err(broken.into()),
            Ok(answer) => return Ok((upstream, answer)),
        }
    }
    let mut upstream = relay.meanwhile(upstreams.dial(key)).await?.map_err(|error| Failure::Answer(error.into()))?;
    let answer = relay.answer_head(&mut upstream, false).await?;
    Ok((upstream, answer))
}
