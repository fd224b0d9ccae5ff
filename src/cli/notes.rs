//! What is configured on each route besides where it leads, as people read it.

use crate::admit::{Limits, Per};
use crate::config::{Route, Snapshot, Target};
use crate::pick::Strategy;
use crate::text::{Allowed, Lang, NotesPart, RouteNote, Speak, shown};

/// The routes on which anything is, one a line; nothing at all if there is none.
pub(super) fn list(snapshot: &Snapshot) -> String {
    let lang = snapshot.lang;
    let line = |route: &Route| {
        let notes = of_route(route, snapshot);
        let between = if lang == Lang::Zh { "；" } else { "; " };
        (route.enabled && !notes.is_empty()).then(|| format!("  {}: {}\n", shown(&*route.key), notes.join(between)))
    };
    let lines: String = snapshot.routes.iter().filter_map(|route| line(route)).collect();
    if lines.is_empty() { lines } else { format!("{}\n{lines}", NotesPart.in_lang(lang)) }
}

/// What is on this route.
pub(super) fn of_route(route: &Route, snapshot: &Snapshot) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |note: &RouteNote<'_>| notes.push(note.in_lang(snapshot.lang).to_string());
    if let Target::Several(several) = &route.target {
        note(&RouteNote::Targets(several.places.len()));
    }
    if let Some(keys) = &route.keys {
        note(&RouteNote::Keys { count: keys.len(), strategy: strategy(keys.strategy()) });
    }
    if let Some(policy) = route.retry.as_ref().filter(|policy| policy.attempts > 1) {
        note(&RouteNote::Attempts(policy.attempts));
    }
    if !route.fallback.is_empty() {
        let names: Vec<_> = route.fallback.iter().map(|place| &*snapshot.routes[*place].key).collect();
        note(&RouteNote::Fallback(&shown(&names.join(", "))));
    }
    if let Some(rule) = &route.admit.route {
        note(&RouteNote::Limits(allowed(rule.limits())));
    }
    if route.usage.is_some() {
        note(&RouteNote::Usage { drains: route.drain.is_some() });
    }
    if let Some(every) = route.sse_keepalive {
        note(&RouteNote::KeepAlive { seconds: every.as_secs_f64(), begins_early: route.begins_early });
    }
    notes
}

/// A strategy as it is written in the configuration.
pub(super) fn strategy(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::RoundRobin => "round_robin",
        Strategy::Random => "random",
        Strategy::LeastUsed => "least_used",
        Strategy::StickyClient | Strategy::StickyHeader(_) => "sticky",
    }
}

/// What limits allow, to be said.
pub(super) fn allowed(limits: &Limits) -> Allowed {
    Allowed {
        requests: limits.requests_per_minute,
        tokens: limits.tokens_per_minute,
        at_once: limits.max_concurrency,
        budget_tokens: limits.budget.and_then(|budget| budget.tokens),
        budget_dollars: limits.budget.and_then(|budget| budget.dollars()),
        by_month: limits.budget.is_some_and(|budget| budget.per == Per::Month),
    }
}
