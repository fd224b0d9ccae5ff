//! What happens when an upstream fails.

use super::Compiler;
use crate::config::listed::TargetUrl;
use crate::config::raw::{self, Route};
use crate::jsonc::Path;
use crate::retry::{On, Policy};
use crate::text::{Problem, RetryProblem};

/// The most of a body that can be kept, in bytes.
const MAX_BODY_BUFFER: u64 = 1 << 30;

/// What fallbacks need to know of the routes, in the order of the file.
pub(super) struct Names(Vec<Name>);

struct Name {
    key: String,
    enabled: bool,
    is_universal: bool,
    has_target: bool,
    fallback: Vec<String>,
}

impl Names {
    pub(super) fn of(routes: &[(String, Route)]) -> Self {
        let name = |(key, route): &(String, Route)| Name {
            key: key.clone(),
            enabled: route.enabled,
            is_universal: route.universal_proxy,
            has_target: route.target_url.iter().flat_map(TargetUrl::urls).any(|url| !url.trim().is_empty()),
            fallback: route.fallback.clone(),
        };
        Self(routes.iter().map(name).collect())
    }

    fn find(&self, key: &str) -> Option<(usize, &Name)> {
        self.0.iter().enumerate().find(|(_, name)| name.key == key)
    }

    /// Whether fallbacks lead from one route to the other, over however many.
    fn leads(&self, from: &str, to: &str) -> bool {
        let (mut seen, mut next) = (vec![from], vec![from]);
        while let Some(key) = next.pop() {
            if key == to {
                return true;
            }
            let further = self.find(key).into_iter().flat_map(|(_, name)| &name.fallback);
            for key in further.map(String::as_str) {
                if !seen.contains(&key) {
                    seen.push(key);
                    next.push(key);
                }
            }
        }
        false
    }
}

impl Compiler<'_> {
    /// How failed attempts are met. `None`: not at all, and nothing is kept or said for it.
    pub(super) fn retry(&mut self, raw: &Route, path: &Path) -> Option<Policy> {
        if raw.retry.is_none() && raw.fallback.is_empty() {
            return None;
        }
        let path = path.key("retry");
        let raw::Retry { attempts, on, backoff, max_wait, body_buffer, detect_stream_errors } =
            raw.retry.clone().unwrap_or_default();
        let buffer = usize::try_from(body_buffer.0).unwrap_or(usize::MAX);
        if body_buffer.0 > MAX_BODY_BUFFER {
            let maximum = i64::try_from(MAX_BODY_BUFFER).ok();
            self.error(&path.key("body_buffer"), Problem::OutOfRange { minimum: Some(0), maximum });
        }
        if on.is_empty() {
            self.warn(&path.key("on"), RetryProblem::NothingMet.into());
        }
        if attempts < 2 && raw.fallback.is_empty() && raw.retry.is_some() {
            self.warn(&path, RetryProblem::OneAttempt.into());
        }
        Some(Policy {
            attempts,
            on: On::new(on.into_iter().map(|on| on.0)),
            backoff: backoff.0,
            max_wait: max_wait.0,
            body_buffer: buffer,
            detects_stream_errors: detect_stream_errors,
        })
    }

    /// The places of the routes that are asked when this one fails.
    pub(super) fn fallback(&mut self, key: &str, raw: &Route, names: &Names, path: &Path) -> Box<[usize]> {
        let path = path.key("fallback");
        if raw.universal_proxy && !raw.fallback.is_empty() {
            self.error(&path, RetryProblem::OfUniversal.into());
            return Box::default();
        }
        let mut places = Vec::new();
        for (number, other) in raw.fallback.iter().enumerate() {
            let found = names.find(other);
            let problem = match found {
                _ if other == key => RetryProblem::Itself,
                None => RetryProblem::UnknownRoute,
                Some((_, name)) if !name.enabled => RetryProblem::DisabledRoute,
                Some((_, name)) if name.is_universal => RetryProblem::UniversalRoute,
                Some((_, name)) if !name.has_target => RetryProblem::NoTarget,
                Some((place, _)) if places.contains(&place) => RetryProblem::Repeated,
                Some(_) if names.leads(other, key) => RetryProblem::Circle,
                Some((place, _)) => {
                    places.push(place);
                    continue;
                }
            };
            self.error(&path.index(number), problem.into());
        }
        places.into()
    }
}
