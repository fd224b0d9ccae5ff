//! Lists of which one is picked.

use std::collections::BTreeMap;

use super::Compiler;
use super::headers::is_managed;
use crate::config::listed::KeyStrategy;
use crate::h1::token;
use crate::headers::Configured;
use crate::jsonc::Path;
use crate::pick::{Keys, Strategy};
use crate::secret::Secret;
use crate::text::{PickProblem, Problem};

impl Compiler<'_> {
    /// The values of a header that is a list, if it may be one.
    pub(super) fn list(&mut self, name: &str, values: Vec<Secret>, path: &Path) -> Option<Vec<Secret>> {
        if !token::is_token(name.as_bytes()) {
            self.error(path, Problem::BadHeaderName(name.to_owned()));
            return None;
        }
        if is_managed(name) {
            self.warn(path, Problem::ManagedHeader(name.to_owned()));
            return None;
        }
        if values.len() > 1 && name.eq_ignore_ascii_case("host") {
            self.error(path, PickProblem::NotHere(name.to_owned()).into());
            return None;
        }
        // What was wrong has been taken out: nothing can be said of what is left.
        if values.is_empty() && self.is_whole {
            self.error(path, PickProblem::Empty.into());
        }
        if values.len() > Keys::MAX {
            self.error(path, PickProblem::TooMany(Keys::MAX).into());
            return None;
        }
        let mut kept: Vec<Secret> = Vec::with_capacity(values.len());
        for (place, value) in values.into_iter().enumerate() {
            let value = Secret::new(value.expose().trim_ascii());
            let path = path.index(place);
            if value.expose().is_empty() {
                self.error(&path, PickProblem::EmptyEntry.into());
            } else if token::check_text(value.expose()).is_err() {
                self.error(&path, Problem::BadHeaderValue);
            }
            kept.push(value);
        }
        (!kept.is_empty()).then_some(kept)
    }

    /// The keys of a route, if one is picked from several.
    pub(super) fn keys(
        &mut self,
        route: &str,
        strategy: Option<KeyStrategy>,
        headers: &[Configured],
        path: &Path,
    ) -> Option<Keys> {
        let has_strategy = strategy.is_some();
        let strategy = self.strategy(strategy.unwrap_or_default(), &path.key("key_strategy"));
        let lists = headers.iter().filter_map(|header| Some((header.name(), header.list()?)));
        let mut lists: Vec<(&str, &[Secret])> = lists.collect();
        let Some(&(first, values)) = lists.first() else {
            if has_strategy && self.is_whole {
                self.warn(&path.key("key_strategy"), PickProblem::UnusedStrategy.into());
            }
            return None;
        };
        let headers = path.key("custom_headers");
        for (name, others) in &lists[1..] {
            if others.len() != values.len() && self.is_whole {
                let (found, expected, other) = (others.len(), values.len(), first.to_owned());
                self.error(&headers.key(name), PickProblem::OtherLength { found, expected, other }.into());
            }
        }
        if lists.iter().any(|(_, others)| others.len() != values.len()) {
            return None;
        }
        // The same entries are the same keys, in whatever order their headers are written.
        let (first, count) = (first.to_owned(), values.len());
        lists.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        let keys: Vec<Vec<&Secret>> =
            (0..count).map(|place| lists.iter().map(|(_, list)| &list[place]).collect()).collect();
        let mut seen = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let exposed: Vec<_> = key.iter().map(|value| value.expose()).collect();
            if seen.insert(exposed, place).is_some() {
                self.warn(&headers.key(&first).index(place), PickProblem::Repeated.into());
            }
        }
        Some(Keys::new(self.context.states, route, strategy, &keys))
    }

    fn strategy(&mut self, strategy: KeyStrategy, path: &Path) -> Strategy {
        match strategy {
            KeyStrategy::RoundRobin => Strategy::RoundRobin,
            KeyStrategy::Random => Strategy::Random,
            KeyStrategy::LeastUsed => Strategy::LeastUsed,
            KeyStrategy::Sticky(None) => Strategy::StickyClient,
            KeyStrategy::Sticky(Some(header)) => {
                let header = header.trim();
                if !token::is_token(header.as_bytes()) && self.is_whole {
                    self.error(path, PickProblem::NoHeader.into());
                }
                Strategy::StickyHeader(header.into())
            }
        }
    }
}
