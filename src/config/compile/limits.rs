//! Limits, of clients and in time.

use std::sync::Arc;
use std::time::Duration;

use super::Compiler;
use crate::config::raw;
use crate::config::scalar::{Per, StateFailure};
use crate::h1;
use crate::jsonc::Path;
use crate::secret::Secret;
use crate::text::{LimitProblem, Problem};
use crate::upstream::tls::Tls;
use crate::{accept, admit, h2, relay};

/// The largest head that can be asked for, in bytes.
const MAX_HEAD: u64 = 16 << 20;
/// The largest budget in dollars.
const MAX_DOLLARS: f64 = 1_000_000.0;
/// How long a request waits for a shared state, and how long it could at most.
const STATE_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_STATE_TIMEOUT: Duration = Duration::from_secs(60);

impl Compiler<'_> {
    pub(super) fn limits(&mut self, raw: &raw::Limits, path: &Path) -> (accept::Limits, relay::ClientLimits) {
        let mut size = |name: &str, size: u64| {
            if !(1..=MAX_HEAD).contains(&size) {
                let maximum = i64::try_from(MAX_HEAD).ok();
                self.error(&path.key(name), Problem::OutOfRange { minimum: Some(1), maximum });
            }
            usize::try_from(size.min(MAX_HEAD)).unwrap_or(usize::MAX)
        };
        let head = h1::Limits {
            max_head: size("max_head_size", raw.max_head_size.0),
            max_first_line: size("max_request_line", raw.max_request_line.0),
            max_fields: raw.max_head_fields as usize,
        };
        let accept = accept::Limits {
            head,
            http2: h2::Limits {
                max_streams: raw.max_concurrent_streams,
                max_head: u32::try_from(head.max_head).unwrap_or(u32::MAX),
            },
            head_timeout: raw.head_timeout.limit(),
            keep_alive_timeout: raw.keep_alive_timeout.limit(),
            write_timeout: raw.write_timeout.limit(),
        };
        let client = relay::ClientLimits {
            body_timeout: raw.body_timeout.limit(),
            write_timeout: raw.write_timeout.limit(),
            max_body: raw.max_body_size.map(|size| size.0),
        };
        (accept, client)
    }

    pub(super) fn use_limits(&mut self, raw: &raw::UseLimits, path: &Path) -> admit::Limits {
        admit::Limits {
            requests_per_minute: raw.requests_per_minute,
            tokens_per_minute: raw.tokens_per_minute,
            max_concurrency: raw.max_concurrency.map(|max| max as usize),
            budget: raw.budget.and_then(|budget| self.budget(&budget, &path.key("budget"))),
        }
    }

    /// Where several instances count their limits together.
    pub(super) fn state(&mut self, file: &raw::File, tls: Option<&Arc<Tls>>, root: &Path) -> Option<Arc<admit::State>> {
        let fields = [("state_failure", file.state_failure.is_some()), ("state_timeout", file.state_timeout.is_some())];
        let Some(url) = file.state.as_deref() else {
            for (field, _) in fields.into_iter().filter(|(_, is_there)| *is_there) {
                self.warn(&root.key(field), LimitProblem::UnusedStateField.into());
            }
            return None;
        };
        let timeout = file.state_timeout.map_or(STATE_TIMEOUT, |timeout| timeout.0);
        if !(Duration::from_millis(1)..=MAX_STATE_TIMEOUT).contains(&timeout) {
            self.error(&root.key("state_timeout"), LimitProblem::BadStateTimeout.into());
        }
        let failure = match file.state_failure {
            Some(StateFailure::Closed) => admit::Failure::Closed,
            Some(StateFailure::Open) | None => admit::Failure::Open,
        };
        let clients = file.client_keys.iter().flatten().map(|(_, client)| &client.limits);
        let mut limits = file.routes.iter().map(|(_, route)| &route.limits).chain(clients).chain([&file.limits]);
        if !limits.any(raw::UseLimits::can_be_shared) {
            self.warn(&root.key("state"), LimitProblem::UnusedState.into());
        }
        let needs_tls = admit::speaks_tls(url);
        if needs_tls && tls.is_none() {
            // Why there is none has been told.
            return None;
        }
        let tls = tls.filter(|_| needs_tls).map(|tls| Arc::clone(tls.bare()));
        let setting = admit::Setting { url: Secret::new(url.as_bytes()), failure, timeout, tls };
        let state = self.context.tallies.state(setting);
        state.map_err(|_| self.error(&root.key("state"), LimitProblem::BadState.into())).ok()
    }

    fn budget(&mut self, raw: &raw::Budget, path: &Path) -> Option<admit::Budget> {
        let picodollars = raw.usd.map(|usd| {
            if !(usd > 0.0 && usd <= MAX_DOLLARS) {
                self.error(&path.key("usd"), LimitProblem::BadAmount.into());
            }
            picodollars(usd)
        });
        if raw.tokens.is_none() && picodollars.is_none() {
            self.error(path, LimitProblem::EmptyBudget.into());
        }
        let per = match raw.per {
            Some(Per::Day) => admit::Per::Day,
            Some(Per::Month) => admit::Per::Month,
            None => {
                self.error(path, LimitProblem::BudgetWithoutPer.into());
                return None;
            }
        };
        Some(admit::Budget { tokens: raw.tokens, picodollars, per })
    }
}

impl raw::UseLimits {
    fn can_be_shared(&self) -> bool {
        self.requests_per_minute.is_some() || self.tokens_per_minute.is_some() || self.budget.is_some()
    }
}

/// The limits on all routes together, of which one may stand in the place of old.
pub(super) fn in_all(limits: &raw::UseLimits, server: &raw::Limits) -> raw::UseLimits {
    let max_concurrency = limits.max_concurrency.into_iter().chain(server.max_concurrency).min();
    raw::UseLimits { max_concurrency, ..*limits }
}

/// So many dollars in millionths of a millionth.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too much has been refused")]
fn picodollars(usd: f64) -> u64 {
    (usd * 1e12).round() as u64
}

pub(super) fn timeouts(global: &raw::Timeouts, own: &raw::RouteTimeouts) -> relay::Timeouts {
    relay::Timeouts {
        connect: own.connect.unwrap_or(global.connect).limit(),
        first_byte: own.first_byte.unwrap_or(global.first_byte).limit(),
        idle: own.idle.unwrap_or(global.idle).limit(),
        total: own.total.unwrap_or(global.total).limit(),
    }
}
