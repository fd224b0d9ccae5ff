//! What is counted under one name, and the limits that hold for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::bucket::{Bucket, number, until_one, whole};
use super::budget::{Budget, Period, Spent};
use super::refused::{Levels, Refused};
use crate::error::{Kind, Scope, Unit};

/// The limits of one name: a client, a route, or all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may begin in a minute.
    pub requests_per_minute: Option<u64>,
    /// How many tokens may be used in a minute.
    pub tokens_per_minute: Option<u64>,
    /// How many requests may be under way at once.
    pub max_concurrency: Option<usize>,
    /// What may be spent in a day or a month.
    pub budget: Option<Budget>,
}

/// Limits, and the account against which they hold.
#[derive(Debug)]
pub struct Rule {
    pub(super) scope: Scope,
    pub(super) name: Box<str>,
    pub(super) limits: Limits,
    pub(super) account: Arc<Account>,
}

/// What is counted under one name, by all workers.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// How many exchanges are under way.
    running: AtomicUsize,
    books: Mutex<Books>,
}

/// What is counted and not only under way.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) requests: Bucket,
    pub(super) tokens: Bucket,
    period: Option<Period>,
    spent: Spent,
    /// What of it other instances have not heard of.
    unsent: Spent,
}

/// This moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For minutes.
    pub(super) instant: Instant,
    /// For days and months.
    pub(super) timestamp: Timestamp,
}

impl Limits {
    /// Whether there is any.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it has to be known what an answer has used.
    #[must_use]
    pub fn need_usage(&self) -> bool {
        self.tokens_per_minute.is_some() || self.budget.is_some()
    }

    /// Whether they count tokens.
    pub(super) fn need_tokens(&self) -> bool {
        self.tokens_per_minute.is_some() || self.budget.is_some_and(|budget| budget.tokens.is_some())
    }

    /// Whether they count money.
    pub(super) fn need_money(&self) -> bool {
        self.budget.is_some_and(|budget| budget.picodollars.is_some())
    }

    /// Whether there are books to be kept.
    pub(super) fn need_books(&self) -> bool {
        self.requests_per_minute.is_some() || self.need_usage()
    }
}

impl Rule {
    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The books as they are now, for as long as nobody else is to look into them.
    pub(super) fn books(&self, now: Now) -> Option<MutexGuard<'_, Books>> {
        if !self.limits.need_books() {
            return None;
        }
        let mut books = self.account.books();
        books.turn_to(now, &self.limits);
        Some(books)
    }

    /// Why nothing more may begin by these books, if so. Of several reasons it is the one that lasts longest.
    pub(super) fn refusal(&self, books: &Books, now: Now) -> Option<Refused> {
        let Limits { requests_per_minute, tokens_per_minute, budget, .. } = self.limits;
        let rate = |unit, bucket: &Bucket, per_minute: Option<u64>| {
            let per_minute = number(per_minute?);
            let kind = Kind::RateLimited(self.scope, unit);
            (!bucket.has_one(per_minute)).then(|| (kind, until_one(bucket.taken(), per_minute)))
        };
        let budget = budget.filter(|budget| budget.is_exhausted(books.spent)).map(|budget| {
            let unit = match budget.tokens {
                Some(tokens) if books.spent.tokens >= tokens => Unit::Tokens,
                _ => Unit::Dollars,
            };
            (Kind::BudgetExhausted(self.scope, unit), budget.per.period(now.timestamp).left(now.timestamp))
        });
        let requests = rate(Unit::Requests, &books.requests, requests_per_minute);
        let tokens = rate(Unit::Tokens, &books.tokens, tokens_per_minute);
        let (kind, wait) = [requests, tokens, budget].into_iter().flatten().max_by_key(|(_, wait)| *wait)?;
        Some(Refused { kind, wait, levels: self.levels(books) })
    }

    /// What a client may know of how far it has come.
    pub(super) fn levels(&self, books: &Books) -> Levels {
        let level = |per_minute: Option<u64>, bucket: &Bucket| per_minute.map(|limit| (limit, bucket.taken()));
        Levels {
            requests: level(self.limits.requests_per_minute, &books.requests),
            tokens: level(self.limits.tokens_per_minute, &books.tokens),
        }
    }

    /// Takes a place for an exchange, if there is one or none is needed.
    pub(super) fn take_place(&self) -> bool {
        let Some(max) = self.limits.max_concurrency else { return true };
        let enter = |running| (running < max).then_some(running + 1);
        self.account.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok()
    }

    /// Gives the place back.
    pub(super) fn leave_place(&self) {
        if self.limits.max_concurrency.is_some() {
            self.account.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Notes what an exchange has used.
    pub(super) fn spend(&self, spent: Spent, now: Now, is_shared: bool) {
        let Some(mut books) = self.books(now).filter(|_| self.limits.need_usage()) else { return };
        if self.limits.tokens_per_minute.is_some() {
            books.tokens.take(number(spent.tokens));
        }
        if self.limits.budget.is_some() {
            books.spent.add(spent);
        }
        if is_shared {
            books.unsent.add(spent);
        }
    }

    /// The name under which several instances count this.
    pub(super) fn key(&self) -> String {
        let scope = match self.scope {
            Scope::Client => "client",
            Scope::Route => "route",
            Scope::Server => "all",
        };
        // In braces: all of it lies on one server of a cluster.
        format!("{{aqueduct}}:{scope}:{}", self.name)
    }

    /// What others have not heard of, if there is anything, and all else that is known: from here on they have.
    pub(super) fn take_unsent(&self, now: Now) -> Option<(Spent, Spent)> {
        let mut books = self.books(now)?;
        let unsent = std::mem::take(&mut books.unsent);
        let mut known = books.spent;
        known.take_off(unsent);
        (!unsent.is_nothing()).then_some((unsent, known))
    }

    /// They have not heard of it after all.
    pub(super) fn put_back_unsent(&self, unsent: Spent) {
        self.account.books().unsent.add(unsent);
    }
}

impl Account {
    fn books(&self) -> MutexGuard<'_, Books> {
        // What is done under the lock cannot leave it half done.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something that a limit would have to know if it came back.
    pub(super) fn remembers(&self, now: Now) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);

        let books = self.books();
        let is_current = books.period.is_some_and(|period| period.is_at(now.timestamp));
        let is_recent =
            |bucket: &Bucket| bucket.at().is_some_and(|at| now.instant.saturating_duration_since(at) < MINUTE);
        is_current && !books.spent.is_nothing() || is_recent(&books.requests) || is_recent(&books.tokens)
    }

    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

impl Books {
    /// Lets what is over be over.
    fn turn_to(&mut self, now: Now, limits: &Limits) {
        if let Some(per_minute) = limits.requests_per_minute.map(number) {
            self.requests.fill(per_minute, now.instant);
            // Under limits of old there may have been more. Nobody owes more than a minute of requests.
            self.requests.limit(per_minute);
        }
        if let Some(per_minute) = limits.tokens_per_minute.map(number) {
            self.tokens.fill(per_minute, now.instant);
        }
        if let Some(budget) = limits.budget {
            let period = Some(budget.per.period(now.timestamp));
            if self.period != period {
                (self.period, self.spent, self.unsent) = (period, Spent::default(), Spent::default());
            }
        }
    }

    /// Takes over what several instances have counted together: requests and tokens of this minute, and what is spent.
    pub(super) fn adopt(&mut self, [requests, tokens, spent_tokens, spent_picodollars]: [f64; 4], now: Now) {
        self.requests = Bucket::with(requests, now.instant);
        self.tokens = Bucket::with(tokens, now.instant);
        self.spent = Spent { tokens: whole(spent_tokens), picodollars: whole(spent_picodollars) };
        let unsent = self.unsent;
        self.spent.add(unsent);
    }
}

impl Now {
    pub(super) fn at(instant: Instant) -> Self {
        Self { instant, timestamp: Timestamp::now() }
    }
}
