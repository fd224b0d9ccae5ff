//! From the fields of a file to what they mean.

mod clients;
mod cors;
mod doors;
mod guard;
mod headers;
mod keepalive;
mod limits;
mod pick;
mod retry;
mod target;
mod usage;
mod way_out;

use std::sync::Arc;
use std::time::Duration;

use super::finding::{Finding, Severity, has_errors};
use super::load::{Loaded, Surroundings};
use super::raw::{self, File};
use super::scalar::{Language, LogFormat};
use super::snapshot::{Listen, Route, Snapshot, Target};
use crate::admit;
use crate::headers::{Configured, Policy};
use crate::jsonc::Path;
use crate::pick::States;
use crate::record::{Format, Style};
use crate::route::{BasePath, Table};
use crate::secret;
use crate::text::{Lang, Problem};
use crate::upstream::WayOut;
use crate::upstream::tls::Tls;

use doors::is_public;
use limits::{in_all, timeouts};
use retry::Names;
use target::{is_https, may_need_tls, shown_target};

/// What else decides besides the file.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The environment and the directory of the file.
    pub around: Surroundings<'a>,
    /// The language of the environment.
    pub lang: Lang,
    /// What is in force: where a reload does not change how TLS is spoken, connections and sessions are kept.
    pub previous: Option<&'a Snapshot>,
    /// What is counted, whichever configuration asks for it.
    pub tallies: &'a admit::Tallies,
    /// What is known of keys, whichever configuration names them.
    pub states: &'a States,
}

/// A configuration and the warnings about it, or what is wrong with it.
pub type Compiled = Result<(Snapshot, Vec<Finding>), Vec<Finding>>;

/// Compiles a configuration. The findings are those of the text and those that come up here.
///
/// # Errors
/// The findings, at least one of which is an error.
pub fn compile(loaded: Loaded, context: Context<'_>) -> Compiled {
    let Loaded { file, findings, places, empty_routes, .. } = loaded;
    let mut compiler = Compiler { context, is_whole: !has_errors(&findings), found: Vec::new() };
    let snapshot = compiler.file(file, |key| empty_routes.contains(key));
    let mut findings = findings;
    let had_errors = has_errors(&findings);
    for (severity, path, problem) in compiler.found {
        // What was taken out because it is wrong would be warned of as missing.
        if !(had_errors && severity == Severity::Warning) {
            let position = (!problem.is_about_environment()).then(|| places.of(&path, &problem));
            findings.push(Finding { severity, path, position, problem });
        }
    }
    findings.sort_by_key(|finding| finding.position);
    match snapshot {
        Some(snapshot) if !has_errors(&findings) => Ok((snapshot, findings)),
        _ => Err(findings),
    }
}

struct Compiler<'a> {
    context: Context<'a>,
    /// Whether nothing has been taken out of the file because it is wrong.
    is_whole: bool,
    found: Vec<(Severity, Path, Problem)>,
}

impl Compiler<'_> {
    fn file(&mut self, file: File, is_empty: impl Fn(&str) -> bool) -> Option<Snapshot> {
        let root = Path::default();
        let usage = self.global_usage(&file, &root);
        let way_out = self.way_out(file.global_proxy.as_deref(), file.no_proxy.as_ref(), &root);
        let needs_tls = file.routes.iter().any(|(_, route)| route.enabled && may_need_tls(route))
            || file.state.as_deref().is_some_and(admit::speaks_tls)
            || way_out.proxies().iter().any(|(proxy, _)| proxy.as_ref().is_ok_and(|proxy| is_https(proxy.shown())));
        let tls = self.tls(file.ca_file.as_deref(), needs_tls, &root.key("ca_file"));
        let state = self.state(&file, tls.as_ref(), &root);
        let server = file.server;
        let base_path = self.base_path(server.base_path.as_deref(), &root.key("server").key("base_path"));
        let (accept, client) = self.limits(&server.limits, &root.key("server").key("limits"));
        let drop = self.headers_to_drop(file.headers_to_drop, &root.key("headers_to_drop"));
        let greeting = self.greeting(&server, accept.head_timeout, &root.key("server"));
        let lang = server.language.map_or(self.context.lang, lang);
        let format = match server.log_format {
            LogFormat::Pretty => Format::Pretty,
            LogFormat::Json => Format::Json,
        };
        let places = self.places(&server, &root.key("server"));
        let is_public = places.iter().any(is_public);

        if file.routes.iter().any(|(_, route)| route.enabled && route.proxy.is_none()) {
            self.bad_variables(&way_out, &root);
        }
        let in_all = self.use_limits(&in_all(&file.limits, &server.limits), &root.key("limits"));
        let in_all = self.context.tallies.of_server(in_all);
        let route_keys: Vec<String> = file.routes.iter().map(|(key, _)| key.clone()).collect();
        let keys = self.clients(file.client_keys, &route_keys, &root.key("client_keys"));
        let cors = self.cors(file.cors.as_ref(), &root.key("cors"));
        let names = Names::of(&file.routes);
        let mut table = Table::new(base_path);
        let mut routes = Vec::with_capacity(file.routes.len());
        for (number, (key, route)) in file.routes.into_iter().enumerate() {
            let path = root.key("routes").key(&key);
            if key.is_empty() || key.contains('/') {
                self.warn(&path, Problem::UnreachableKey);
            }
            let inherited = Inherited {
                drop: &drop,
                force: file.force_header_overwrite,
                timeouts: file.timeouts,
                usage: &usage,
                way_out: &way_out,
                tls: tls.as_ref(),
                limits: in_all.as_ref(),
                names: &names,
                state: state.as_ref(),
            };
            let is_absent = is_empty(&key);
            let route = self.route(&key, route, &inherited, is_absent, &path);
            let is_open = keys.is_none() || route.is_public;
            if let (true, Target::Universal(guard)) = (is_public && is_open && route.enabled, &route.target)
                && guard.allow.is_none()
            {
                self.warn(&path, Problem::OpenUniversal { internal: guard.allow_private });
            }
            if route.enabled && !is_absent {
                table.add(&key, number);
            }
            routes.push(Arc::new(route));
        }
        let asks_for_certificates = server.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        self.open_routes(&routes, keys.as_ref(), is_public && !asks_for_certificates, &root.key("routes"));
        self.open_pages(&routes, keys.is_none(), cors.as_ref(), &root);
        let health = health(table.base_path());
        Some(Snapshot {
            listen: Listen { places, workers: server.workers.map(|count| count as usize) },
            lang,
            log: server.log_requests.then_some(Style { lang, format }),
            reload: (server.reload_interval >= 0.0).then(|| seconds(server.reload_interval)),
            shutdown_timeout: server.shutdown_timeout.0,
            greeting,
            accept,
            client,
            max_connections: server.limits.max_connections as usize,
            keys,
            cors,
            table,
            routes,
            health,
            tls,
            way_out,
            state,
            force: file.force_header_overwrite,
            headers_to_drop: drop,
        })
    }

    fn route(&mut self, key: &str, raw: raw::Route, inherited: &Inherited<'_>, is_absent: bool, path: &Path) -> Route {
        let force = raw.force_header_overwrite.unwrap_or(inherited.force);
        let (usage, drain) = self.usage(&raw, inherited.usage, path);
        let mark = self.found.len();
        let way_out = self.own_way_out(raw.proxy.as_deref(), &path.key("proxy"));
        let way_out = way_out.unwrap_or_else(|| inherited.way_out.clone());
        let retry = self.retry(&raw, path);
        let fallback = self.fallback(key, &raw, inherited.names, path);
        let (target, userinfo) = self.target(key, &raw, &way_out, inherited.tls, path);
        let timeouts = timeouts(&inherited.timeouts, &raw.timeouts);
        let sse_keepalive = self.sse_keepalive(raw.sse_keepalive, &timeouts, &path.key("sse_keepalive"));
        let begins_early = self.begins_early(&raw, sse_keepalive.is_some(), path);
        let mut headers = self.custom_headers(raw.custom_headers, force, &path.key("custom_headers"));
        if let Some(userinfo) = userinfo {
            // What stands in the URL has always won.
            headers.0.retain(|configured| !configured.name().eq_ignore_ascii_case("authorization"));
            headers.0.push(Configured::new("Authorization", secret::basic(&userinfo).expose(), true));
        }
        let keys = self.keys(key, raw.key_strategy, &headers.0, path);
        let limits = self.use_limits(&raw.limits, &path.key("limits"));
        if !raw.enabled {
            // What is switched off may be unfinished.
            self.found[mark..].iter_mut().for_each(|(severity, ..)| *severity = Severity::Warning);
        } else if is_absent {
            self.warn(path, Problem::EmptyRoute);
        } else if matches!(target, Target::Missing) && self.found.len() == mark {
            self.warn(path, Problem::MissingTarget);
        }
        let headers = Policy::new(inherited.drop, headers.0, headers.1);
        let takes_upgrades =
            raw.upgrade.unwrap_or(!matches!(target, Target::Universal(_))) && headers.passes_upgrades();
        let shown_target = shown_target(raw.target_url.as_ref(), matches!(target, Target::Missing));
        Route {
            key: key.into(),
            enabled: raw.enabled,
            target,
            way_out,
            shown_target,
            is_public: raw.public,
            cors: self.cors(raw.cors.as_ref(), &path.key("cors")),
            admit: admit::Policy {
                route: self.context.tallies.of_route(key, limits),
                server: inherited.limits.cloned(),
                state: inherited.state.cloned(),
            },
            keys,
            headers,
            force: raw.force_header_overwrite,
            http2: raw.http2,
            drain: drain.filter(|_| usage.is_some()),
            usage,
            timeouts,
            retry,
            fallback,
            sse_keepalive,
            begins_early,
            takes_upgrades,
        }
    }

    fn base_path(&mut self, written: Option<&str>, path: &Path) -> BasePath {
        let base_path = BasePath::new(written.unwrap_or_default());
        let is_bad = |letter: char| letter.is_control() || letter.is_whitespace() || matches!(letter, '?' | '#');
        if base_path.as_str().contains(is_bad) {
            self.error(path, Problem::BadBasePath);
        }
        base_path
    }

    fn error(&mut self, path: &Path, problem: Problem) {
        self.found.push((Severity::Error, path.clone(), problem));
    }

    fn warn(&mut self, path: &Path, problem: Problem) {
        self.found.push((Severity::Warning, path.clone(), problem));
    }
}

/// What routes take over from the whole.
struct Inherited<'a> {
    drop: &'a [String],
    force: bool,
    timeouts: raw::Timeouts,
    usage: &'a usage::Global,
    way_out: &'a WayOut,
    tls: Option<&'a Arc<Tls>>,
    limits: Option<&'a Arc<admit::Rule>>,
    names: &'a Names,
    state: Option<&'a Arc<admit::State>>,
}

fn health(base_path: &BasePath) -> Box<str> {
    let base_path = match base_path.as_str() {
        "" => "(none)",
        path => path,
    };
    // Monitors look for the first two, word for word.
    format!(
        "{{\"message\": \"Python Proxy is running.\", \"base_path\": {}, \"name\": \"Aqueduct\", \"version\": \"{}\"}}",
        serde_json::Value::from(base_path),
        env!("CARGO_PKG_VERSION"),
    )
    .into()
}

fn lang(language: Language) -> Lang {
    match language {
        Language::En => Lang::En,
        Language::Zh => Lang::Zh,
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
