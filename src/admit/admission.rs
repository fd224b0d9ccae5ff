//! The leave to begin: what one exchange holds while it is under way, and what it gives back.

use std::sync::Arc;

use tokio::time::Instant;

use super::account::{Limits, Now, Rule};
use super::budget::Spent;
use super::refused::{Levels, Refused};
use super::state::State;
use crate::error::Kind;

/// The rules of one exchange, from the narrow to the wide: those of its client, of its route, of all.
pub(super) type Rules = [Option<Arc<Rule>>; 3];

/// The leave of an exchange to be under way. Its places are free again when this goes.
#[must_use]
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    /// Where others hear of what is used.
    state: Option<Arc<State>>,
}

impl Admission {
    /// Lets an exchange begin, if all of its rules do.
    pub(super) fn under(rules: Rules, began: Instant) -> Result<Self, Refused> {
        begin(&rules, Now::at(began), Takes { places: true, requests: true })?;
        Ok(Self { rules, state: None })
    }

    /// The same where other instances are asked, too. Whoever is over a limit by what is known here is told without
    /// asking; there is nothing that others could know that would help him.
    pub(super) async fn shared(rules: Rules, began: Instant, state: &Arc<State>) -> Result<Self, Refused> {
        begin(&rules, Now::at(began), Takes { places: true, requests: false })?;
        let admission = Self { rules, state: Some(Arc::clone(state)) };
        state.take(&admission.rules, began).await?;
        Ok(admission)
    }

    /// Puts the rule of a route with its place in the stead of the one before, which goes.
    pub(super) fn change_route(&mut self, mut other: Self) {
        std::mem::swap(&mut self.rules[1], &mut other.rules[1]);
    }

    /// Whether it has to be known what the answer has used.
    #[must_use]
    pub fn needs_usage(&self) -> bool {
        self.rules.iter().flatten().any(|rule| rule.limits.need_usage())
    }

    /// Notes what the exchange has used: tokens, and money in millionths of a millionth of a dollar. What is unknown
    /// cannot be noted; gives what that is, if a limit would have to know.
    pub fn settle(&self, tokens: Option<u64>, picodollars: Option<u64>) -> Option<Uncounted> {
        let is_any = |needs: fn(&Limits) -> bool| self.rules.iter().flatten().any(|rule| needs(&rule.limits));
        let uncounted = match (tokens, picodollars) {
            (None, _) if is_any(Limits::need_tokens) => Some(Uncounted::Tokens),
            (_, None) if is_any(Limits::need_money) => Some(Uncounted::Money),
            _ => None,
        };
        let spent = Spent { tokens: tokens.unwrap_or(0), picodollars: picodollars.unwrap_or(0) };
        if spent.is_nothing() {
            return uncounted;
        }
        let now = Now::at(Instant::now());
        for rule in self.rules.iter().flatten().filter(|rule| rule.limits.need_usage()) {
            rule.spend(spent, now, self.state.is_some());
            if let Some(state) = &self.state {
                state.settle(rule);
            }
        }
        uncounted
    }
}

/// What limits would have to know of an exchange, and do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncounted {
    /// How many tokens it took.
    Tokens,
    /// What it costs.
    Money,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.rules.iter().flatten().for_each(|rule| rule.leave_place());
    }
}

/// What is taken of an exchange that may begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Takes {
    pub(super) places: bool,
    pub(super) requests: bool,
}

/// Looks whether an exchange may begin under all of these rules, and takes what it needs.
///
/// All books are open at once while this is decided, so whoever is refused by one has used up nothing of the others,
/// not even for a moment. They are opened in the same order by everybody, so nobody waits in a circle.
pub(super) fn begin(rules: &Rules, now: Now, takes: Takes) -> Result<(), Refused> {
    let mut books = rules.each_ref().map(|rule| rule.as_ref().and_then(|rule| rule.books(now)));
    let refusals = rules.iter().zip(&books).filter_map(|(rule, books)| match (rule, books) {
        (Some(rule), Some(books)) => rule.refusal(books, now),
        _ => None,
    });
    if let Some(refused) = refusals.max_by_key(|refused| refused.wait) {
        return Err(refused);
    }
    for (place, rule) in rules.iter().enumerate().filter(|_| takes.places) {
        let Some(rule) = rule else { continue };
        if !rule.take_place() {
            rules[..place].iter().flatten().for_each(|rule| rule.leave_place());
            let levels = books[place].as_ref().map_or_else(Levels::default, |books| rule.levels(books));
            return Err(Refused::at_once(Kind::ConcurrencyLimited(rule.scope), levels));
        }
    }
    for (rule, books) in rules.iter().zip(&mut books).filter(|_| takes.requests) {
        if let (Some(rule), Some(books)) = (rule, books)
            && rule.limits.requests_per_minute.is_some()
        {
            books.requests.take(1.0);
        }
    }
    Ok(())
}
