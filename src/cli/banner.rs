//! What the program says of itself when it starts. The words and their order are an interface.

use std::fmt::Write;

use super::{clients, notes, ways};
use crate::accept::{At, Opener};
use crate::app::{App, Site};
use crate::config::{Live, Route, Snapshot, Target};
use crate::headers::{Cors, Origins};
use crate::text::{ClientSay, CorsSay, Lang, Say, Speak, shown};

const RULE: &str = "============================================================";

/// The banner of a running proxy.
#[must_use]
pub(super) fn banner(live: &Live, running: &App) -> String {
    let snapshot = &live.current();
    let lang = snapshot.lang;
    let mut text = String::new();
    let mut line = |say: &Say<'_>| push(&mut text, lang, say);
    let base_path = snapshot.table.base_path().as_str();

    line(&Say::Rule(RULE));
    line(&Say::Started);
    line(&Say::Rule(RULE));
    line(&Say::Rule(""));
    line(&Say::GlobalPart);
    line(&Say::Version(env!("CARGO_PKG_VERSION")));
    line(&Say::ConfigFile(&shown(&live.source().name())));
    let scheme = if snapshot.greeting.tls.is_some() { "https" } else { "http" };
    for Site { at, opener, .. } in &running.sites {
        let is_given = *opener == Opener::Manager;
        match at {
            At::Port(address) => line(&Say::Listening { at: &format_args!("{scheme}://{address}"), is_given }),
            At::Local(_) => line(&Say::Listening { at: &shown(&at.to_string()), is_given }),
        }
    }
    line(&Say::BasePath(base_path));
    if !base_path.is_empty() {
        line(&Say::BasePathExample(base_path));
    }
    line(&Say::RequestLog(snapshot.log.is_some()));
    line(&Say::HotReload(snapshot.reload));
    line(&Say::GlobalPolicy { force: snapshot.force });
    ways::global_lines(snapshot, &mut line);
    if !snapshot.headers_to_drop.is_empty() {
        line(&Say::DroppedHeaders(&shown(&snapshot.headers_to_drop.join(", ")).to_string()));
    }
    if let Some(keys) = &snapshot.keys {
        let _ = writeln!(text, "{}", clients::count(keys).in_lang(lang));
    }
    if let Some(cors) = &snapshot.cors {
        let _ = writeln!(text, "{}", CorsSay::Pages(&pages(cors)).in_lang(lang));
    }
    push(&mut text, lang, &Say::Rule(""));
    text.push_str(&routes(snapshot));
    let mut line = |say: &Say<'_>| push(&mut text, lang, say);
    line(&Say::Rule(""));
    line(&Say::Rule(RULE));
    line(&Say::Waiting);
    text
}

/// The part of the banner on routes.
#[must_use]
pub(super) fn routes(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    push(&mut text, snapshot.lang, &Say::RoutePart);
    if snapshot.routes.is_empty() {
        push(&mut text, snapshot.lang, &Say::NoRoutes);
    }
    let base_path = snapshot.table.base_path().as_str();
    for route in &snapshot.routes {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", route_line(base_path, route, snapshot));
    }
    text
}

fn route_line(base_path: &str, route: &Route, snapshot: &Snapshot) -> String {
    let say = |say: &Say<'_>| say.in_lang(snapshot.lang).to_string();
    let mark = if route.enabled { "✅" } else { "❌" };
    let target = match &route.target {
        Target::Universal(_) => say(&Say::Universal),
        Target::Missing if route.shown_target.is_empty() => say(&Say::MissingTarget),
        Target::Missing | Target::Fixed { .. } | Target::Several(_) | Target::NoWayOut(_) => {
            shown(&*route.shown_target).to_string()
        }
    };
    let mut notes = Vec::new();
    if !route.enabled {
        notes.push(say(&Say::Disabled));
    }
    if route.enabled && route.is_public {
        notes.push(ClientSay::Public.in_lang(snapshot.lang).to_string());
    }
    if let (true, Some(cors)) = (route.enabled, &route.cors) {
        notes.push(CorsSay::RoutePages(&pages(cors)).in_lang(snapshot.lang).to_string());
    }
    if let (true, Some(force)) = (route.enabled, route.force) {
        notes.push(say(&Say::RoutePolicy { force }));
    }
    if let (true, Some(way)) = (route.enabled, ways::of_route(route, snapshot)) {
        notes.push(say(&Say::RouteProxy(&shown(&way))));
    }
    if route.enabled {
        notes.extend(notes::of_route(route, snapshot));
    }
    let notes = if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) };
    format!("  {mark} {base_path}/{} -> {target}{notes}", shown(&*route.key))
}

/// Whose pages may read answers. There may be many.
fn pages(cors: &Cors) -> String {
    match &cors.origins {
        Origins::Any => "*".to_owned(),
        Origins::Listed(origins) if origins.is_empty() => "-".to_owned(),
        Origins::Listed(origins) => origins.join(", "),
    }
}

fn push(text: &mut String, lang: Lang, say: &Say<'_>) {
    let _ = writeln!(text, "{}", say.in_lang(lang));
}
