//! Who may begin: whose key is good for it ([`Keys`]), how many exchanges run at once, how many begin in a minute, what
//! they may use up; for each client, on each route, and in all.
//!
//! An exchange is let in when its route is known, and holds its places up to its last byte, however it ends. Where there
//! is no room it is told so at once: nothing waits. What an answer uses is known at its end only, so limits on that are
//! held against what was used until then. The limits are part of the configuration and are swapped with it; what is
//! counted is not. An account belongs to the name of what it counts, so that a limit that is lowered is a limit on those
//! that run already, too. Where there is no limit nothing is counted: it would cost every request something, for an answer
//! that nobody asks for.

mod account;
mod admission;
mod bucket;
mod budget;
mod client;
mod keys;
mod refused;
mod state;
mod tallies;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::time::Instant;

pub use account::{Limits, Rule};
use admission::Rules;
pub use admission::{Admission, Uncounted};
pub use budget::{Budget, Per};
pub use client::{Client, Pattern, Standing};
pub use keys::{Credentials, Keys, MIN_KEY};
pub use refused::Refused;
pub use state::{BadUrl, Failure, News, Setting, State, speaks_tls};
pub use tallies::Tallies;

/// The limits that hold on one route.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Those of this route.
    pub route: Option<Arc<Rule>>,
    /// Those of all routes together.
    pub server: Option<Arc<Rule>>,
    /// Who else counts.
    pub state: Option<Arc<State>>,
}

impl Policy {
    /// Lets an exchange begin, if nothing speaks against it. Where there is no limit there is nothing to hold.
    ///
    /// # Errors
    /// Which limit speaks against it.
    pub async fn enter(&self, client: Option<&Arc<Rule>>, began: Instant) -> Result<Option<Box<Admission>>, Refused> {
        if client.is_none() && self.route.is_none() && self.server.is_none() {
            return Ok(None);
        }
        self.leave([client.cloned(), self.route.clone(), self.server.clone()], began).await.map(Some)
    }

    /// Changes the leave of an exchange that goes on along this route instead of another: what it holds there is given up
    /// for the same here. What speaks of its client and of all routes stays as it is.
    ///
    /// # Errors
    /// Which limit of this route speaks against it. Then nothing has changed.
    pub async fn take_over(&self, admission: &mut Option<Box<Admission>>, now: Instant) -> Result<(), Refused> {
        if self.route.is_none() && admission.is_none() {
            return Ok(());
        }
        let other = self.leave([None, self.route.clone(), None], now).await?;
        match admission {
            Some(admission) => admission.change_route(*other),
            None => *admission = Some(other),
        }
        Ok(())
    }

    async fn leave(&self, rules: Rules, now: Instant) -> Result<Box<Admission>, Refused> {
        let admission = match &self.state {
            None => Admission::under(rules, now)?,
            // Boxed: it is over before the exchange has begun, and must not weigh on every one.
            Some(state) => Box::pin(Admission::shared(rules, now, state)).await?,
        };
        Ok(Box::new(admission))
    }
}
