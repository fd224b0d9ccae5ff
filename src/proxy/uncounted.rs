//! Answers that limits cannot count, since nobody knows what they have used. A limit that cannot count is a hole: the
//! operator is told.

use std::sync::Arc;

use super::Worker;
use super::exchange::Exchange;
use super::meter::Meter;
use crate::admit::{Admission, Uncounted};
use crate::config::Route;
use crate::h1::ResponseHead;
use crate::record::Log;
use crate::spending::Spending;
use crate::text::Unknown;

/// Whoever has to be told.
pub(super) struct Watch {
    log: Log,
    route: Arc<str>,
}

impl Exchange {
    /// Lets it be noticed if limits cannot count what this answer uses: one that may have to be paid for.
    pub(super) fn watch(&mut self, admission: &Admission, route: &Route, answer: &ResponseHead, worker: &Worker) {
        let is_paid_for = (200..300).contains(&answer.status) || answer.status == 101;
        self.watch = (is_paid_for && admission.needs_usage())
            .then(|| Box::new(Watch { log: worker.log.clone(), route: Arc::clone(&route.key) }));
        if answer.status == 101 {
            self.not_counted(Unknown::Switched);
        }
    }

    /// Says so, once.
    pub(super) fn not_counted(&mut self, why: Unknown) {
        if let Some(watch) = self.watch.take() {
            self.record.uncounted();
            watch.log.uncounted(watch.route, why, self.snapshot.lang);
        }
    }
}

impl Meter {
    /// Why this is not known, if it should be.
    pub(super) fn unknown(&self, what: Uncounted, spending: &Spending) -> Option<Unknown> {
        if self.asks_for_a_count() {
            return None;
        }
        Some(match what {
            Uncounted::Money if spending.is_known() => Unknown::NoPrice(spending.model.clone()),
            _ if !self.hears_answer() => Unknown::NotRead,
            _ if !self.is_whole => Unknown::BrokeOff,
            _ if spending.partial => Unknown::NotRead,
            _ => Unknown::NotTold,
        })
    }
}
