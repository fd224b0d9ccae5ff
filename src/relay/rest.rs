//! What an upstream still says when the client has left: it is paid for, and somebody wants to know how much it was.
//!
//! It is read and thrown away, by whoever reads along alone. To the client nothing is written any more, and how the
//! exchange ended is decided: nothing that happens here is told as anything else.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::answers::Answers;
use super::overdue::{self, Overdue, Wait};
use super::{Break, Flow, Relay};
use crate::deadline::Now;
use crate::error::Limit;
use crate::h1::ResponseHead;
use crate::wire::Wire;

/// For how long an answer is read on that nobody hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Since the client left. `None`: for as long as the other limits allow.
    pub limit: Option<Duration>,
}

/// Whether and since when a relay goes on without its client.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Leaving {
    drain: Option<Drain>,
    since: Option<Instant>,
}

impl Leaving {
    /// Whether the client has left, and the answer is read on.
    pub(super) fn is_gone(&self) -> bool {
        self.since.is_some()
    }

    fn wait(&self) -> Wait {
        let limit = self.drain.and_then(|drain| drain.limit);
        (self.since.zip(limit).map(|(since, limit)| since + limit), Overdue::Upstream(Limit::Total))
    }
}

impl Relay<'_> {
    /// Lets the answer be read to its end though the client leaves, once the whole request has been sent.
    pub fn drain(&mut self, drain: Drain) {
        self.leaving.drain = Some(drain);
    }

    /// Lets the exchange end with its client after all: in this answer there is nothing to hear.
    pub fn end_with_client(&mut self) {
        self.leaving = Leaving::default();
    }

    /// Whether this is the end of the client alone; it is noted then.
    pub(super) fn goes_on_after(&mut self, broken: &Break) -> bool {
        let goes_on = self.leaving.drain.is_some()
            && matches!(broken, Break::ClientGone | Break::ClientStalled)
            && self.is_request_sent();
        if goes_on {
            self.leaving.since.get_or_insert_with(Instant::now);
        }
        goes_on
    }

    /// The head of the answer, when nobody waits for it any more.
    pub(super) async fn head_of_rest(
        &mut self,
        upstream: &mut Wire,
        answers: &mut Answers,
    ) -> Result<ResponseHead, Break> {
        self.passes_interim = false;
        let first_byte = self.timeouts.first_byte.map(|limit| Instant::now() + limit);
        let waits = [self.leaving.wait(), self.total(), (first_byte, Overdue::Upstream(Limit::FirstByte))];
        let head = poll_fn(|cx| match self.poll_head(cx, upstream, answers) {
            Poll::Ready(head) => Poll::Ready(head),
            Poll::Pending => overdue::poll(self.deadline, cx, &waits, None),
        });
        head.await.map_err(|_| Break::ClientGone)
    }

    /// The rest of the answer.
    pub(super) async fn rest_of_body(&mut self, upstream: &mut Wire, answer: &mut Flow) {
        let (leaving, total) = (self.leaving.wait(), self.total());
        poll_fn(|cx| {
            let now = &mut Now::default();
            if answer.poll_unheard(cx, now, upstream).is_ready() {
                return Poll::Ready(());
            }
            let idle = self.timeouts.idle.map(|limit| answer.waits_since(now) + limit);
            let waits = [leaving, total, (idle, Overdue::Upstream(Limit::Idle))];
            overdue::poll::<()>(self.deadline, cx, &waits, None).map(|_| ())
        })
        .await;
    }

    fn total(&self) -> Wait {
        (self.total_at, Overdue::Upstream(Limit::Total))
    }
}
