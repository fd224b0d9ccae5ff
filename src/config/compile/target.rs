//! Where routes lead, and how.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Compiler;
use crate::config::listed::{TargetEntry, TargetUrl};
use crate::config::raw;
use crate::config::snapshot::{Place, Several, Target};
use crate::jsonc::Path;
use crate::pick::{Share, Targets};
use crate::route::{BadUrl, Fixed};
use crate::secret;
use crate::text::{PickProblem, Problem};
use crate::upstream::tls::{Tls, Trust};
use crate::upstream::{BadVariable, Key, WayOut};

impl Compiler<'_> {
    /// Where a route leads, and the password that stood in its URL.
    pub(super) fn target(
        &mut self,
        route: &str,
        raw: &raw::Route,
        way_out: &WayOut,
        tls: Option<&Arc<Tls>>,
        path: &Path,
    ) -> (Target, Option<Zeroizing<String>>) {
        let guard = self.guard(raw, path);
        if raw.universal_proxy {
            if matches!(raw.target_url, Some(TargetUrl::Several(_))) {
                self.error(&path.key("target_url"), PickProblem::OnUniversal.into());
            }
            return (Target::Universal(Arc::new(guard)), None);
        }
        let way = Way { way_out, tls, http2: raw.http2 };
        let path = path.key("target_url");
        match &raw.target_url {
            None => (Target::Missing, None),
            Some(TargetUrl::One(url)) => self.only_target(url, &way, &path),
            // A list of one is a single target.
            Some(TargetUrl::Several(entries)) => match &entries[..] {
                [entry] if !entry.url.trim().is_empty() => {
                    self.only_target(&entry.url, &way, &entry_path(entry, 0, &path))
                }
                entries => (self.several(route, entries, &way, &path), None),
            },
        }
    }

    fn only_target(&mut self, url: &str, way: &Way<'_>, path: &Path) -> (Target, Option<Zeroizing<String>>) {
        if url.trim().is_empty() {
            return (Target::Missing, None);
        }
        match self.target_at(url, way, path) {
            Some(Ok((url, key, name, userinfo))) => (Target::Fixed { url, key, name }, userinfo),
            Some(Err(bad)) => (Target::NoWayOut(bad), None),
            None => (Target::Missing, None),
        }
    }

    /// One of several targets.
    fn several(&mut self, route: &str, entries: &[TargetEntry], way: &Way<'_>, path: &Path) -> Target {
        if entries.is_empty() && self.is_whole {
            self.error(path, PickProblem::Empty.into());
        }
        if entries.len() > Targets::MAX {
            self.error(path, PickProblem::TooMany(Targets::MAX).into());
            return Target::Missing;
        }
        let (mut places, mut no_way_out) = (Vec::with_capacity(entries.len()), None);
        for (number, entry) in entries.iter().enumerate() {
            let path = entry_path(entry, number, path);
            if entry.url.trim().is_empty() {
                if self.is_whole {
                    self.error(&path, PickProblem::NoUrl.into());
                }
                continue;
            }
            match self.target_at(&entry.url, way, &path) {
                Some(Ok((url, key, name, userinfo))) => {
                    let authorization = userinfo.map(|userinfo| secret::basic(&userinfo));
                    places.push(Place { url, key, name, authorization });
                }
                Some(Err(bad)) => no_way_out = Some(bad),
                None => {}
            }
        }
        match no_way_out {
            Some(bad) => Target::NoWayOut(bad),
            // What is wrong has been told of.
            None if places.len() < entries.len() || places.is_empty() => Target::Missing,
            None => {
                let share = |entry: &TargetEntry| Share { weight: entry.weight, priority: entry.priority };
                let shares = places.iter().map(|place| &place.key.origin).zip(entries.iter().map(share));
                let picks = Targets::new(self.context.states, route, shares);
                Target::Several(Box::new(Several { places: places.into(), picks }))
            }
        }
    }

    /// A place by its URL, with the login that stood in it; or the variable that names no proxy for it.
    fn target_at(&mut self, url: &str, way: &Way<'_>, path: &Path) -> Option<Result<Found, BadVariable>> {
        match Fixed::parse(url) {
            Ok((url, userinfo)) => {
                let userinfo = userinfo.map(|userinfo| Zeroizing::new(userinfo.to_owned()));
                let origin = url.origin().clone();
                let name = origin.to_string().into();
                Some(way.way_out.take(&origin).map(|taken| {
                    let key = Key::new(origin, taken.proxy, way.tls).speaking_http2(way.http2);
                    (url, Arc::new(key), name, userinfo)
                }))
            }
            Err(bad) => {
                let problem = match bad {
                    BadUrl::NoScheme => Problem::NoScheme,
                    BadUrl::OtherScheme => Problem::OtherScheme,
                    BadUrl::BadByte => Problem::BadUrlByte,
                    BadUrl::Authority(bad) => Problem::BadAuthority(bad),
                };
                self.error(path, problem);
                None
            }
        }
    }

    pub(super) fn tls(&mut self, ca_file: Option<&str>, needed: bool, path: &Path) -> Option<Arc<Tls>> {
        let mut trust = Trust::from_environment(self.context.around.variable);
        if let Some(name) = ca_file.filter(|name| !name.is_empty()) {
            let file = self.context.around.directory.join(name);
            let read = std::fs::read(&file).map_err(|error| error.to_string());
            match read.and_then(|pem| crate::pem::certificates(&pem).map(|_| pem)) {
                Ok(pem) => trust.besides = Some(pem),
                Err(why) => self.error(path, Problem::UnreadableFile { file: file.display().to_string(), why }),
            }
        }
        if !needed {
            return None;
        }
        let previous = self.context.previous.and_then(|previous| previous.tls.as_ref());
        if let Some(previous) = previous.filter(|previous| *previous.trust() == trust) {
            return Some(Arc::clone(previous));
        }
        match Tls::new(trust) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(why) => {
                let (file, why) = why.split_once(": ").unwrap_or(("", &why));
                self.error(path, Problem::UnreadableFile { file: file.to_owned(), why: why.to_owned() });
                None
            }
        }
    }
}

/// How the requests of a route leave.
struct Way<'a> {
    way_out: &'a WayOut,
    tls: Option<&'a Arc<Tls>>,
    http2: bool,
}

/// A place: its URL, which connections lead there, its name, and the login that stood in the URL.
type Found = (Fixed, Arc<Key>, Arc<str>, Option<Zeroizing<String>>);

fn entry_path(entry: &TargetEntry, number: usize, list: &Path) -> Path {
    let path = list.index(number);
    if entry.is_object && !entry.url.is_empty() { path.key("url") } else { path }
}

/// What the banner says of where a route leads. The words in brackets are names of fields.
pub(super) fn shown_target(written: Option<&TargetUrl>, is_missing: bool) -> Box<str> {
    let shown = |url: &str| match url.trim() {
        // In what is no URL nobody knows what is a password.
        url if is_missing && !url.is_empty() => secret::MASK.to_owned(),
        // A fragment is never sent, and may hold a key as a query does.
        url => {
            String::from_utf8_lossy(&secret::mask_target(url.split('#').next().unwrap_or_default().as_bytes())).into()
        }
    };
    match written {
        None => "".into(),
        Some(TargetUrl::One(url)) => shown(url).into(),
        Some(TargetUrl::Several(entries)) => {
            let entry = |entry: &TargetEntry| {
                let share = [("weight", entry.weight, 1), ("priority", entry.priority, 0)];
                let share = share.iter().filter(|(_, number, usual)| number != usual);
                let share: Vec<_> = share.map(|(name, number, _)| format!("{name} {number}")).collect();
                let share = if share.is_empty() { String::new() } else { format!(" [{}]", share.join(", ")) };
                format!("{}{share}", shown(&entry.url))
            };
            entries.iter().map(entry).collect::<Vec<_>>().join(", ").into()
        }
    }
}

/// Whether a route may lead to TLS, at its target or at its proxy.
pub(super) fn may_need_tls(route: &raw::Route) -> bool {
    let targets = route.target_url.iter().flat_map(TargetUrl::urls);
    route.universal_proxy || targets.chain(route.proxy.as_deref()).any(is_https)
}

pub(super) fn is_https(url: &str) -> bool {
    url.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:"))
}
