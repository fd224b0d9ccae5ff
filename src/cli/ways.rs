//! Ways out, as they are told.

use std::sync::Arc;

use crate::config::{Route, Snapshot, Target};
use crate::origin::Origin;
use crate::text::{Decided, Lang, Say, Speak, Way, shown};
use crate::upstream::{BadProxy, Proxy, Reason, Taken};

/// What stands in the place of a proxy that cannot be used.
const UNUSABLE: &str = "⚠️";

/// The way that requests to one target take, and why.
pub(super) fn told(taken: &Taken, lang: Lang) -> String {
    sentence(taken.proxy.as_ref().map(|proxy| &**proxy.shown()), &taken.because, lang)
}

/// The lines of the banner on the ways of all routes that name none themselves.
pub(super) fn global_lines(snapshot: &Snapshot, mut line: impl FnMut(&Say<'_>)) {
    for (proxy, because) in snapshot.way_out.proxies() {
        line(&Say::GlobalProxy(&candidate(&proxy, &because, snapshot.lang)));
    }
    for (no_proxy, variable) in snapshot.way_out.exceptions() {
        let targets = no_proxy.entries().collect::<Vec<_>>().join(", ");
        line(&Say::NoProxy { name: variable.unwrap_or("no_proxy"), targets: &shown(&targets) });
    }
}

/// What the banner says of a route's way, where there is something to say.
pub(super) fn of_route(route: &Route, snapshot: &Snapshot) -> Option<String> {
    let lang = snapshot.lang;
    match &route.target {
        Target::Missing => None,
        Target::Fixed { url, .. } => to_origin(url.origin(), route, snapshot),
        Target::Several(several) => {
            let ways = several.places.iter().filter_map(|place| to_origin(&place.key.origin, route, snapshot));
            let mut ways: Vec<_> = ways.collect();
            ways.dedup();
            (!ways.is_empty()).then(|| ways.join(", "))
        }
        Target::NoWayOut(bad) => Some(sentence(Some(UNUSABLE), &Reason::Variable(bad.name), lang)),
        Target::Universal(_) => {
            let candidates = route.way_out.proxies();
            let told: Vec<_> = candidates.iter().map(|(proxy, because)| candidate(proxy, because, lang)).collect();
            (!told.is_empty()).then(|| told.join(", "))
        }
    }
}

fn to_origin(origin: &Origin, route: &Route, snapshot: &Snapshot) -> Option<String> {
    match route.way_out.take(origin).ok()? {
        Taken { proxy: None, because: Reason::Nobody | Reason::Global } => None,
        // Worth a word only where others go through a proxy.
        Taken { proxy: None, because: Reason::Route } if snapshot.way_out.proxies().is_empty() => None,
        Taken { proxy: Some(proxy), because: Reason::Route } => Some(proxy.to_string()),
        taken => Some(told(&taken, snapshot.lang)),
    }
}

/// A proxy that may be taken. What the file says of itself needs no word.
fn candidate(proxy: &Result<Arc<Proxy>, BadProxy>, because: &Reason, lang: Lang) -> String {
    let shown = proxy.as_ref().map_or(UNUSABLE, |proxy| proxy.shown());
    match because {
        Reason::Route | Reason::Global => shown.to_owned(),
        _ => sentence(Some(shown), because, lang),
    }
}

fn sentence(proxy: Option<&str>, because: &Reason, lang: Lang) -> String {
    let say = |decided| Way { proxy, decided }.in_lang(lang).to_string();
    match because {
        Reason::Route => say(Decided::Route),
        Reason::Global => say(Decided::Global),
        Reason::NoProxy(entry) => say(Decided::NoProxy(entry)),
        Reason::Variable(name) => say(Decided::Variable(name)),
        Reason::NoProxyVariable(name, entry) => say(Decided::NoProxyVariable(name, entry)),
        Reason::Nobody => say(Decided::Nobody),
    }
}
