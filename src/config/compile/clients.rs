//! Who may use the proxy.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Compiler;
use crate::admit::{Client, Keys, MIN_KEY, Pattern, Standing};
use crate::config::finding::Severity;
use crate::config::raw;
use crate::config::snapshot::{Route, Target};
use crate::headers::{Cors, Origins};
use crate::jsonc::Path;
use crate::secret::{self, Digest};
use crate::text::{ClientProblem, CorsProblem, Problem};

impl Compiler<'_> {
    /// The keys of clients, if there shall be any. `routes` are the keys of those that exist.
    pub(super) fn clients(
        &mut self,
        raw: Option<Vec<(String, raw::ClientKey)>>,
        routes: &[String],
        path: &Path,
    ) -> Option<Keys> {
        let raw = raw?;
        let mut keys = Keys::default();
        let mark = self.found.len();
        for (name, client) in raw {
            let path = path.key(&name);
            if name.is_empty() || name.chars().any(char::is_control) {
                self.error(&path, ClientProblem::BadName.into());
            }
            let digest = self.digest(client.key.as_deref(), &path);
            let expires = client.expires.as_deref().and_then(|text| self.expiry(text, &path.key("expires")));
            let limits = self.use_limits(&client.limits, &path.key("limits"));
            let client = Client {
                name: name.as_str().into(),
                routes: client.routes.map(|list| self.patterns(&list, routes, &path.key("routes"))),
                expires,
                enabled: client.enabled,
                limits: self.context.tallies.of_client(&name, limits),
            };
            if client.standing(Timestamp::now()) == Standing::Expired {
                self.warn(&path.key("expires"), ClientProblem::IsExpired.into());
            }
            let Some(digest) = digest else { continue };
            if let Err(owner) = keys.add(digest, client) {
                self.error(&path.key("key"), ClientProblem::RepeatedKey { owner: owner.to_string() }.into());
            }
        }
        let is_good = |client: &Arc<Client>| client.standing(Timestamp::now()) == Standing::Good;
        let is_refused = self.found[mark..].iter().any(|(severity, ..)| *severity == Severity::Error);
        if !is_refused && !keys.clients().iter().any(is_good) {
            self.warn(path, ClientProblem::NoneGood.into());
        }
        Some(keys)
    }

    fn digest(&mut self, key: Option<&str>, path: &Path) -> Option<Digest> {
        let Some(key) = key else {
            self.error(path, ClientProblem::NoKey.into());
            return None;
        };
        let problem = if Digest::is_meant(key) {
            match Digest::parse(key) {
                Some(digest) => return Some(digest),
                None => ClientProblem::BadDigest,
            }
        } else if key.chars().count() < MIN_KEY {
            ClientProblem::ShortKey
        } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            ClientProblem::BadKey
        } else {
            return Some(Digest::of(key.as_bytes()));
        };
        self.error(&path.key("key"), problem.into());
        None
    }

    /// A time, or a date, which ends with the day.
    fn expiry(&mut self, text: &str, path: &Path) -> Option<Timestamp> {
        let text = text.trim();
        // A date may not be taken for the beginning of a time that lacks its zone.
        let date = || text.parse::<Date>().ok().filter(|_| text.len() == "2027-01-01".len());
        let end_of_day = |date: Date| TimeZone::UTC.to_timestamp(date.tomorrow().ok()?.at(0, 0, 0, 0)).ok();
        let expiry = text.parse::<Timestamp>().ok().or_else(|| end_of_day(date()?));
        if expiry.is_none() {
            self.error(path, ClientProblem::BadExpiry.into());
        }
        expiry
    }

    fn patterns(&mut self, list: &[String], routes: &[String], path: &Path) -> Vec<Pattern> {
        let patterns: Vec<_> = list.iter().map(|written| Pattern::new(written)).collect();
        for (number, pattern) in patterns.iter().enumerate() {
            if !routes.iter().any(|route| pattern.fits(route)) {
                self.warn(&path.index(number), ClientProblem::NoSuchRoute.into());
            }
        }
        patterns
    }

    /// Warns of pages in browsers that need no key and may come from anywhere: they reach what their readers reach.
    pub(super) fn open_pages(&mut self, routes: &[Arc<Route>], is_open: bool, cors: Option<&Arc<Cors>>, root: &Path) {
        let is_any = |cors: Option<&Arc<Cors>>| cors.is_some_and(|cors| cors.origins == Origins::Any);
        let mut open = routes.iter().filter(|route| route.enabled && (is_open || route.is_public) && has_secret(route));
        let Some(route) = open.find(|route| is_any(route.cors.as_ref().or(cors))) else { return };
        let path = if route.cors.is_some() { root.key("routes").key(&route.key).key("cors") } else { root.key("cors") };
        self.warn(&path.key("origins"), CorsProblem::OpenToPages.into());
    }

    /// Warns of what everybody can use who reaches the port, in one line: there may be many such routes.
    pub(super) fn open_routes(&mut self, routes: &[Arc<Route>], keys: Option<&Keys>, is_exposed: bool, path: &Path) {
        if keys.is_none()
            && let Some(route) = routes.iter().find(|route| route.is_public)
        {
            self.warn(&path.key(&route.key).key("public"), ClientProblem::UnusedPublic.into());
        }
        let is_open = |route: &&Arc<Route>| route.enabled && (keys.is_none() || route.is_public) && has_secret(route);
        let mut open = routes.iter().filter(is_open);
        if let (true, Some(first)) = (is_exposed, open.next()) {
            let problem = ClientProblem::OpenSecrets { others: open.count(), is_public: keys.is_some() };
            self.warn(&path.key(&first.key), problem.into());
        }
    }
}

/// Whether requests along a route go out with something that is the operator's alone.
fn has_secret(route: &Route) -> bool {
    let mut configured = route.headers.configured().iter();
    let is_target = !matches!(route.target, Target::Missing);
    // Where a key stands in the URL, what is shown of it is not what it is.
    let in_url = || route.shown_target.contains(secret::MASK);
    is_target && (configured.any(|header| secret::is_sensitive(header.name().as_bytes())) || in_url())
}

impl From<ClientProblem> for Problem {
    fn from(problem: ClientProblem) -> Self {
        Self::Client(problem)
    }
}
