//! From one attempt to the next: what is sent of a request, and whether it can be sent once more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::overdue::{self, Overdue};
use super::{Break, Relay, Timeouts, UNREAD_CLIENT_CHECK};
use crate::deadline::Now;
use crate::error::Limit;
use crate::h1::Upgrade;

impl<'a> Relay<'a> {
    /// Begins an attempt to have the request answered: with this head, with the wish to speak another protocol from
    /// then on, and within these limits. The head of the attempt before, which was so long, goes.
    pub fn begin(&mut self, head: Vec<u8>, replaces: usize, upgrade: Option<Upgrade>, timeouts: &'a Timeouts) {
        self.request.put_first(head, replaces);
        self.upgrade = upgrade;
        self.timeouts = timeouts;
        self.total_at = timeouts.total.map(|total| self.began + total);
        if replaces > 0 {
            self.repeat();
        }
    }

    /// Keeps what is sent of the request, head and body, up to so many bytes, until [`Relay::settle`]: the answer to this
    /// attempt may not be the last one.
    pub fn collect(&mut self, most: usize) {
        self.may_repeat = true;
        self.request.collect(most);
    }

    /// There will be no other attempt: what was kept for one goes.
    pub fn settle(&mut self) {
        self.may_repeat = false;
        self.request.keep_written(false);
    }

    /// Whether another attempt can be made: all that went out is at hand, or nothing did.
    #[must_use]
    pub fn can_begin_again(&self) -> bool {
        self.may_repeat && self.request.is_kept()
    }

    /// Whether nothing of the request has been sent in this attempt.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.request.is_untouched()
    }

    /// How much of the time for the whole exchange is left.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.total_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Lets something happen that needs no bytes of either side, for as long as the client stays and `limit` lasts.
    ///
    /// # Errors
    /// [`Break::ClientGone`], and [`Break::Timeout`] with [`Limit::Connect`] or [`Limit::Total`].
    pub fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Break>> {
        // Not a future around a future: what a connection needs would be held twice.
        let connect_at = self.timeouts.connect.map(|connect| Instant::now() + connect);
        self.while_client_stays(work, connect_at)
    }

    /// The same for something that ends by itself.
    ///
    /// # Errors
    /// [`Break::ClientGone`], and [`Break::Timeout`] with [`Limit::Total`].
    pub fn pause<T>(&mut self, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Break>> {
        self.while_client_stays(work, None)
    }

    async fn while_client_stays<T>(
        &mut self,
        work: impl Future<Output = T>,
        connect_at: Option<Instant>,
    ) -> Result<T, Break> {
        let mut work = pin!(work);
        self.first_turn = Now::default();
        let total_at = self.total_at;
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(result));
            }
            // Nobody reads the request meanwhile, so this is the only look at the client.
            self.read_ahead(cx)?;
            let waits = [Limit::Connect, Limit::Total].map(Overdue::Upstream);
            let mut look_again = (!self.reads_ahead()).then(|| Instant::now() + UNREAD_CLIENT_CHECK);
            if self.early.is_some() {
                look_again = self.speak_early(cx, &mut Now::default(), true, look_again)?;
            }
            overdue::poll(self.deadline, cx, &[(connect_at, waits[0]), (total_at, waits[1])], look_again)
        })
        .await
    }

    /// Whether the request can be sent again after its connection died before an answer: nothing of it had gone
    /// out, or it does no harm to say it twice and all of it is still at hand.
    #[must_use]
    pub fn can_repeat(&self, is_idempotent: bool) -> bool {
        !self.answer_begun && (self.request.is_untouched() || (is_idempotent && self.request.is_repeatable()))
    }

    /// Prepares to send the request again, to another upstream connection.
    pub fn repeat(&mut self) {
        self.request.rewind();
        self.request_abandoned = false;
        self.answer_begun = false;
    }
}
