//! The configuration that is in force, and how it is exchanged for a new one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::compile::{Compiled, Context, compile};
use super::finding::{Finding, Severity};
use super::load::{Loaded, Surroundings, load};
use super::print::{Print, read};
use super::scalar::{Language, LogFormat, Port};
use super::snapshot::Snapshot;
use crate::admit::Tallies;
use crate::jsonc;
use crate::os;
use crate::pick::States;
use crate::text::{Lang, Problem};

/// What the command line and the environment say instead of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<u16>,
    /// `--base-path`
    pub base_path: Option<String>,
    /// `--lang`
    pub lang: Option<Lang>,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
    /// `--log-requests`
    pub log_requests: Option<bool>,
    /// `--workers`
    pub workers: Option<u32>,
}

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub struct Source {
    origin: Origin,
    overrides: Overrides,
    /// The language of the environment.
    lang: Lang,
}

#[derive(Debug, Clone)]
enum Origin {
    File(PathBuf),
    Text(Box<str>),
}

/// The configuration in force.
pub struct Live {
    source: Source,
    current: ArcSwap<Snapshot>,
    tallies: Tallies,
    states: States,
    seen: Mutex<Seen>,
}

/// What was last looked at, good or bad: the same again is no news. What stood in it is not kept.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    text: Option<Print>,
    files: Vec<(PathBuf, Option<Print>)>,
}

/// What came of looking at the file.
pub enum Outcome {
    /// It is as it was.
    Unchanged,
    /// A new configuration is in force.
    Swapped {
        /// What was found in it.
        warnings: Vec<Finding>,
        /// Whether it changes what takes effect at a start only.
        needs_restart: bool,
    },
    /// The old configuration stays in force.
    Refused(Vec<Finding>),
}

impl Source {
    /// A configuration in a file.
    #[must_use]
    pub fn file(path: PathBuf, overrides: Overrides, lang: Lang) -> Self {
        Self { origin: Origin::File(path), overrides, lang }
    }

    /// A configuration that is there already and does not change.
    #[must_use]
    pub fn text(text: &str, overrides: Overrides, lang: Lang) -> Self {
        Self { origin: Origin::Text(text.into()), overrides, lang }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path) => Some(path),
            Origin::Text(_) => None,
        }
    }

    /// What to call it.
    #[must_use]
    pub fn name(&self) -> String {
        self.path().map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    /// Whether there is no text to read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.bytes().is_err()
    }

    /// Reads and compiles it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Compiled {
        self.read_seen(None, &Tallies::default(), &States::default()).1
    }

    /// Reads and compiles it, and gives every limit that holds, by its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_settings(&self) -> Result<(Snapshot, Vec<Finding>, Value), Vec<Finding>> {
        let loaded = self.loaded(&mut Seen::default())?;
        let mut settings = json!({"server.limits": loaded.file.server.limits, "timeouts": loaded.file.timeouts});
        settings["limits"] = json!(loaded.file.limits);
        for (name, client) in loaded.file.client_keys.iter().flatten() {
            settings[format!("client_keys.{name}.limits")] = json!(client.limits);
        }
        for (key, route) in &loaded.file.routes {
            settings[format!("routes.{key}.limits")] = json!(route.limits);
        }
        let (snapshot, findings) = self.compiled(loaded, None, &Tallies::default(), &States::default())?;
        Ok((snapshot, findings, settings))
    }

    fn read_seen(&self, previous: Option<&Snapshot>, tallies: &Tallies, states: &States) -> (Seen, Compiled) {
        let mut seen = Seen::default();
        let compiled = self.loaded(&mut seen).and_then(|loaded| self.compiled(loaded, previous, tallies, states));
        (seen, compiled)
    }

    fn loaded(&self, seen: &mut Seen) -> Result<Loaded, Vec<Finding>> {
        let text = self.bytes().map_err(|error| vec![self.unreadable(&error)])?;
        let loaded = load(&text, self.around());
        seen.text = Some(Print::of(&text));
        let mut loaded = loaded?;
        seen.files = std::mem::take(&mut loaded.files);
        let tls = loaded.file.server.tls.iter().flat_map(|tls| [&tls.cert, &tls.key, &tls.client_ca]).flatten();
        let tls = tls.filter_map(|pem| pem.file(self.directory()));
        for path in
            loaded.file.ca_file.iter().chain(&loaded.file.prices).map(|name| self.directory().join(name)).chain(tls)
        {
            let print = Print::of_file(&path);
            seen.files.push((path, print));
        }
        if loaded.has_literal_keys && self.path().is_some_and(os::is_readable_by_all) {
            let (path, problem) = (jsonc::Path::default(), Problem::WorldReadable);
            loaded.findings.push(Finding { severity: Severity::Warning, path, position: None, problem });
        }
        self.overrides.apply(&mut loaded.file.server);
        Ok(loaded)
    }

    fn compiled(&self, loaded: Loaded, previous: Option<&Snapshot>, tallies: &Tallies, states: &States) -> Compiled {
        compile(loaded, Context { around: self.around(), lang: self.lang, previous, tallies, states })
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings { variable: &variable, directory: self.directory() }
    }

    fn bytes(&self) -> std::io::Result<Zeroizing<Vec<u8>>> {
        match &self.origin {
            Origin::File(path) => read(path),
            Origin::Text(text) => Ok(text.as_bytes().to_vec().into()),
        }
    }

    fn directory(&self) -> &Path {
        let parent = self.path().and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn unreadable(&self, error: &std::io::Error) -> Finding {
        let problem = Problem::UnreadableFile { file: self.name(), why: error.to_string() };
        Finding { severity: Severity::Error, path: jsonc::Path::default(), position: None, problem }
    }
}

/// The environment of the process.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Overrides {
    fn apply(&self, server: &mut super::raw::Server) {
        let Self { host, port, base_path, lang, log_format, log_requests, workers } = self;
        if host.is_some() || port.is_some() {
            server.listen = None;
        }
        if let Some(host) = host {
            server.host.clone_from(host);
        }
        if let Some(port) = port {
            server.port = Port(*port);
        }
        if base_path.is_some() {
            server.base_path.clone_from(base_path);
        }
        if let Some(lang) = lang {
            server.language = Some(match lang {
                Lang::En => Language::En,
                Lang::Zh => Language::Zh,
            });
        }
        server.log_format = log_format.unwrap_or(server.log_format);
        server.log_requests = log_requests.unwrap_or(server.log_requests);
        server.workers = workers.or(server.workers);
    }
}

impl Live {
    /// Reads a configuration for the first time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn start(source: Source) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let (tallies, states) = (Tallies::default(), States::default());
        let (seen, read) = source.read_seen(None, &tallies, &states);
        let (snapshot, warnings) = read?;
        let live = Self { source, current: ArcSwap::from_pointee(snapshot), tallies, states, seen: Mutex::new(seen) };
        Ok((live, warnings))
    }

    /// The configuration in force. Whoever works with it keeps it, whatever comes after.
    #[must_use]
    pub fn current(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Looks at the file and every file it refers to, and puts a new configuration in force if they have changed and
    /// are good. With `always`, an unchanged file is read anew too: the environment of what it refers to may differ.
    pub fn look(&self, always: bool) -> Outcome {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !always && *seen == seen.again(&self.source) {
            return Outcome::Unchanged;
        }
        let previous = self.current.load_full();
        let (now, read) = self.source.read_seen(Some(&previous), &self.tallies, &self.states);
        *seen = now;
        self.tallies.forget_unused();
        self.states.forget_unused();
        match read {
            Ok((snapshot, warnings)) => {
                let needs_restart = snapshot.listen != previous.listen;
                self.current.store(Arc::new(snapshot));
                Outcome::Swapped { warnings, needs_restart }
            }
            Err(findings) => Outcome::Refused(findings),
        }
    }
}

impl Seen {
    /// The same files as they are now.
    fn again(&self, source: &Source) -> Self {
        let again = |path: &PathBuf| (path.clone(), Print::of_file(path));
        let text = source.bytes().ok().map(|text| Print::of(&text));
        Self { text, files: self.files.iter().map(|(path, _)| again(path)).collect() }
    }
}
