//! Whether it is read along what exchanges use, what that costs, and for how long answers are read on for it.

use std::sync::Arc;

use super::Compiler;
use crate::config::raw::{self, File};
use crate::config::scalar::{OnClientGone, Time};
use crate::jsonc::Path;
use crate::relay::Drain;
use crate::text::{Problem, UsageProblem};
use crate::usage::{BadPrices, Policy, Prices};

/// What routes say otherwise or do not.
pub(super) struct Global {
    is_on: bool,
    /// Whether something that holds on all routes counts tokens or money, which nobody can do who does not read along.
    is_needed: bool,
    prices: Option<Arc<Prices>>,
    on_client_gone: OnClientGone,
    drain_timeout: Time,
}

impl Compiler<'_> {
    pub(super) fn global_usage(&mut self, file: &File, root: &Path) -> Global {
        let clients = file.client_keys.iter().flatten();
        let is_needed = needs(&file.limits) || clients.clone().any(|(_, client)| needs(&client.limits));
        let is_used = is_needed
            || file.usage
            || file.routes.iter().any(|(_, route)| route.usage == Some(true) || needs(&route.limits));
        if file.prices.is_none() {
            let routes = file.routes.iter().map(|(key, route)| (root.key("routes").key(key), &route.limits));
            let clients = clients.map(|(name, client)| (root.key("client_keys").key(name), &client.limits));
            for (path, limits) in [(root.clone(), &file.limits)].into_iter().chain(routes).chain(clients) {
                if limits.budget.is_some_and(|budget| budget.usd.is_some()) {
                    self.warn(&path.key("limits").key("budget"), UsageProblem::UnpricedBudget.into());
                }
            }
        }
        if file.prices.is_some() && !is_used {
            self.warn(&root.key("prices"), UsageProblem::UnusedPrices.into());
        }
        if file.on_client_gone == OnClientGone::Drain && !is_used {
            self.warn(&root.key("on_client_gone"), UsageProblem::UnusedDrain.into());
        }
        let prices = file.prices.as_ref().and_then(|name| self.prices(name, &root.key("prices")));
        Global {
            is_on: file.usage,
            is_needed,
            prices: prices.map(Arc::new),
            on_client_gone: file.on_client_gone,
            drain_timeout: file.drain_timeout,
        }
    }

    /// How it is read along on a route, and for how long answers are read on.
    pub(super) fn usage(&mut self, raw: &raw::Route, global: &Global, path: &Path) -> (Option<Policy>, Option<Drain>) {
        let is_on = raw.usage.unwrap_or(global.is_on) || global.is_needed || needs(&raw.limits);
        if raw.on_client_gone == Some(OnClientGone::Drain) && !is_on {
            self.warn(&path.key("on_client_gone"), UsageProblem::UnusedDrain.into());
        }
        let limit = raw.drain_timeout.unwrap_or(global.drain_timeout).limit();
        let drain = match raw.on_client_gone.unwrap_or(global.on_client_gone) {
            OnClientGone::Drain if is_on => Some(Drain { limit }),
            OnClientGone::Drain | OnClientGone::Cancel => None,
        };
        (is_on.then(|| Policy { prices: global.prices.clone() }), drain)
    }

    fn prices(&mut self, name: &str, path: &Path) -> Option<Prices> {
        let file = self.context.around.directory.join(name);
        let problem = match std::fs::read(&file) {
            Ok(text) => match Prices::parse(&text) {
                Ok(prices) => return Some(prices),
                Err(bad) => UsageProblem::from(bad).into(),
            },
            Err(error) => Problem::UnreadableFile { file: file.display().to_string(), why: error.to_string() },
        };
        self.error(path, problem);
        None
    }
}

/// Whether it has to be known what exchanges use.
fn needs(limits: &raw::UseLimits) -> bool {
    limits.tokens_per_minute.is_some() || limits.budget.is_some()
}

impl From<BadPrices> for UsageProblem {
    fn from(bad: BadPrices) -> Self {
        match bad {
            BadPrices::Syntax(why) => Self::PricesSyntax(why),
            BadPrices::Shape => Self::PricesShape,
            BadPrices::Price { model, field } => Self::BadPrice { model, field },
        }
    }
}
