//! Between two attempts: the answer that nobody gets goes, its connection is kept if that is cheap, and time passes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Worker;
use super::again::Answered;
use super::exchange::Failure;
use crate::h1::{Body, Step, Trailers};
use crate::relay::Relay;
use crate::upstream::{self, Key};
use crate::wire::Wire;

/// How much of the body of an answer that nobody gets is read, so that its connection can be kept, in bytes.
const MAX_UNWANTED: usize = 64 * 1024;
/// How long that may take. It happens while there is something to be waited for anyway.
const UNWANTED_WAIT: Duration = Duration::from_secs(1);

/// Lets an answer go that nobody gets, and waits. The end of the program, which is not waited for, ends the wait.
pub(super) async fn pass(
    relay: &mut Relay<'_>,
    worker: &Worker,
    key: &Arc<Key>,
    answered: Answered,
    wait: Duration,
) -> Result<(), Failure> {
    let until = Instant::now() + wait;
    let mut kept = None;
    if let Ok((upstream, answer)) = answered
        && answer.keep_alive
        && relay.is_request_sent()
        && !upstream.is_http2()
    {
        let limit = upstream::keep_alive_limit(&answer.fields);
        let mut unwanted = Unwanted { upstream, body: answer.body(Trailers::Drop), left: MAX_UNWANTED };
        kept = match unwanted.skip() {
            Skipped::All => Some((unwanted.upstream, limit)),
            Skipped::Part if !wait.is_zero() => {
                let whole = relay.pause(timeout(wait.min(UNWANTED_WAIT), unwanted.read())).await?.unwrap_or_default();
                whole.then_some((unwanted.upstream, limit))
            }
            Skipped::Part | Skipped::Broken => None,
        };
    }
    if let Some((upstream, limit)) = kept.filter(|(upstream, _)| upstream.input.is_empty()) {
        worker.upstreams().keep(key, upstream, Instant::now(), limit);
    }
    let left = until.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        let ending = async {
            tokio::select! {
                () = sleep(left) => {}
                () = worker.drain().begun() => {}
            }
        };
        relay.pause(ending).await?;
    }
    Ok(())
}

/// The body of an answer that nobody gets.
struct Unwanted {
    upstream: Wire,
    body: Body,
    left: usize,
}

enum Skipped {
    All,
    Part,
    Broken,
}

impl Unwanted {
    /// Throws away what has arrived.
    fn skip(&mut self) -> Skipped {
        loop {
            match self.body.step(self.upstream.input.filled()) {
                Ok(Step::Pass(length) | Step::Skip(length)) if length <= self.left => {
                    self.left -= length;
                    self.upstream.input.consume(length);
                }
                Ok(Step::Starved) => return Skipped::Part,
                Ok(Step::Done) => return Skipped::All,
                Ok(Step::Pass(_) | Step::Skip(_)) | Err(_) => return Skipped::Broken,
            }
        }
    }

    /// Waits for all of it. Gives whether it came.
    async fn read(&mut self) -> bool {
        while matches!(self.upstream.fill().await, Ok(1..)) {
            match self.skip() {
                Skipped::All => return true,
                Skipped::Part => {}
                Skipped::Broken => return false,
            }
        }
        false
    }
}
