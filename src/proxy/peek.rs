//! A look at how a stream begins, before its head goes to the client: an upstream may say 200 and then that it cannot.
//!
//! Nothing is taken out of what has arrived. Whatever the upstream says first decides, a comment or a ping too: it is a
//! sign of life, and the client is not to wait for it.

use std::io;

use crate::h1::{Body, ResponseHead, Step};
use crate::retry::{Outcome, stream_error};
use crate::sse::Reader;
use crate::wire::Wire;

/// How much is looked at, at most, in bytes.
const MAX_LOOK: usize = 64 * 1024;

/// Waits for the first event, and gives the status that it stands for if it is an error.
pub(super) async fn first_event(upstream: &mut Wire, answer: &ResponseHead) -> io::Result<Option<u16>> {
    let mut body = Body::without_chunks(answer.framing);
    let (mut reader, mut seen) = (Reader::of(MAX_LOOK), 0);
    while seen < MAX_LOOK && !reader.is_too_large() {
        let arrived = &upstream.input.filled()[seen..];
        match body.step(arrived) {
            Ok(Step::Pass(length)) => {
                let mut first = None;
                reader.read(&arrived[..length], |event| _ = first.get_or_insert_with(|| stream_error(event)));
                if let Some(error) = first {
                    return Ok(error.and_then(|error| match error {
                        Outcome::Status(status) => Some(status),
                        Outcome::Connect | Outcome::Reset | Outcome::Timeout => None,
                    }));
                }
                seen += length;
            }
            Ok(Step::Skip(length)) => seen += length,
            // Faults are found again by whoever carries it on.
            Ok(Step::Done) | Err(_) => return Ok(None),
            Ok(Step::Starved) => {
                if upstream.fill().await? == 0 {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}
