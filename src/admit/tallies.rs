//! Accounts by their names: they outlive the configurations that ask for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

use super::account::{Account, Limits, Now, Rule};
use super::state::{BadUrl, Setting, State};
use crate::error::Scope;

/// How many accounts are kept that no configuration asks for.
const MAX_UNUSED: usize = 10_000;

/// What is counted, by name.
#[derive(Debug, Default)]
pub struct Tallies {
    accounts: Mutex<HashMap<Name, Arc<Account>>>,
    state: Mutex<Weak<State>>,
}

/// Whose account it is: names of routes and of clients do not meet.
type Name = (Scope, Box<str>);

impl Tallies {
    /// Limits on all routes together, if there are any.
    #[must_use]
    pub fn of_server(&self, limits: Limits) -> Option<Arc<Rule>> {
        self.rule(Scope::Server, "", limits)
    }

    /// Limits on the route of this name, if there are any.
    #[must_use]
    pub fn of_route(&self, name: &str, limits: Limits) -> Option<Arc<Rule>> {
        self.rule(Scope::Route, name, limits)
    }

    /// Limits on the client of this name, if there are any.
    #[must_use]
    pub fn of_client(&self, name: &str, limits: Limits) -> Option<Arc<Rule>> {
        self.rule(Scope::Client, name, limits)
    }

    fn rule(&self, scope: Scope, name: &str, limits: Limits) -> Option<Arc<Rule>> {
        if limits.is_none() {
            return None;
        }
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = Arc::clone(accounts.entry((scope, name.into())).or_default());
        Some(Arc::new(Rule { scope, name: name.into(), limits, account }))
    }

    /// The server that several instances share: the same as before, if nothing about it has changed.
    ///
    /// # Errors
    /// The URL is none.
    pub fn state(&self, setting: Setting) -> Result<Arc<State>, BadUrl> {
        let mut last = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = last.upgrade().filter(|state| *state.setting() == setting) {
            return Ok(state);
        }
        let state = Arc::new(State::new(setting)?);
        *last = Arc::downgrade(&state);
        Ok(state)
    }

    /// Forgets what no configuration asks for, if nothing runs there and nothing is known of this minute, day or month.
    pub fn forget_unused(&self) {
        let now = Now::at(Instant::now());
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unused = 0;
        accounts.retain(|_, account| {
            if Arc::strong_count(account) > 1 {
                return true;
            }
            unused += 1;
            unused <= MAX_UNUSED && account.remembers(now)
        });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.accounts.lock().expect("not poisoned").len()
    }
}
