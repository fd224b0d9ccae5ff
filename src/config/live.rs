//! The configuration that is in force, and how it is exchanged for a new one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::compile::{Compiled, Context, compile};
use super::finding::{Finding, Severity};
use super::load::{Surroundings, load};
use super::scalar::{Language, LogFormat, Port};
use super::snapshot::Snapshot;
use crate::jsonc;
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
    /// The file.
    pub path: PathBuf,
    /// What is said instead.
    pub overrides: Overrides,
    /// The language of the environment.
    pub lang: Lang,
}

/// The configuration in force.
pub struct Live {
    source: Source,
    current: ArcSwap<Snapshot>,
    seen: Mutex<Seen>,
}

/// What was last looked at, good or bad: the same again is no news.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    text: Option<Vec<u8>>,
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
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
    /// Reads and compiles the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Compiled {
        self.read_seen(None).1
    }

    fn read_seen(&self, previous: Option<&Snapshot>) -> (Seen, Compiled) {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => return (Seen::default(), Err(vec![self.unreadable(&error)])),
        };
        let variable = |name: &str| std::env::var(name).ok();
        let around = Surroundings { variable: &variable, directory: self.directory() };
        let loaded = load(&text, around);
        let mut seen = Seen { text: Some(text), files: Vec::new() };
        let mut loaded = match loaded {
            Ok(loaded) => loaded,
            Err(findings) => return (seen, Err(findings)),
        };
        seen.files = std::mem::take(&mut loaded.files);
        if let Some(name) = &loaded.file.ca_file {
            let path = self.directory().join(name);
            let content = std::fs::read(&path).ok();
            seen.files.push((path, content));
        }
        if loaded.has_literal_keys && is_readable_by_all(&self.path) {
            let (path, problem) = (jsonc::Path::default(), Problem::WorldReadable);
            loaded.findings.push(Finding { severity: Severity::Warning, path, position: None, problem });
        }
        self.overrides.apply(&mut loaded.file.server);
        let previous_tls = previous.and_then(|previous| previous.tls.as_ref());
        (seen, compile(loaded, Context { around, lang: self.lang, previous_tls }))
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn unreadable(&self, error: &std::io::Error) -> Finding {
        let problem = Problem::UnreadableFile { file: self.path.display().to_string(), why: error.to_string() };
        Finding { severity: Severity::Error, path: jsonc::Path::default(), position: None, problem }
    }
}

impl Overrides {
    fn apply(&self, server: &mut super::raw::Server) {
        let Self { host, port, base_path, lang, log_format, log_requests, workers } = self;
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
        let (seen, read) = source.read_seen(None);
        let (snapshot, warnings) = read?;
        let live = Self { source, current: ArcSwap::from_pointee(snapshot), seen: Mutex::new(seen) };
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
        if !always && *seen == seen.again(&self.source.path) {
            return Outcome::Unchanged;
        }
        let previous = self.current.load_full();
        let (now, read) = self.source.read_seen(Some(&previous));
        *seen = now;
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
    fn again(&self, path: &Path) -> Self {
        let again = |path: &PathBuf| (path.clone(), std::fs::read(path).ok());
        Self { text: std::fs::read(path).ok(), files: self.files.iter().map(|(path, _)| again(path)).collect() }
    }
}

#[cfg(unix)]
fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_all(_path: &Path) -> bool {
    false
}
