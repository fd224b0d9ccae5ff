//! What several instances count together, in a Redis that they share.
//!
//! One thread of its own holds one connection for all workers. A worker asks it and waits for the answer, but never for
//! longer than `state_timeout`; where the server is away it is not asked at all until a look in the background says that it
//! is back. What it has said last is kept in the books here, so that whoever is over a limit anyhow is told without
//! asking, and so that the limits go on from there when it is away.

mod keeper;
mod server;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::account::{Now, Rule};
use super::admission::{Rules, Takes, begin};
use super::refused::{Levels, Refused};
use crate::error::{Kind, Unit};
use crate::secret::Secret;
use crate::text::Away;
use keeper::Keeper;
use server::Server;

pub use server::speaks_tls;

/// How many questions may be under way.
const MAX_ASKED: usize = 4096;
/// How long the first connection may take before the program goes on without it.
const FIRST_CONNECTION: Duration = Duration::from_secs(1);
/// How long the last figures may take at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A server that several instances share.
pub struct State {
    server: Arc<Server>,
    setting: Setting,
    jobs: mpsc::Sender<Job>,
    /// Whether it is worth while to ask.
    is_up: Arc<AtomicBool>,
    /// What the thread begins with, until it has begun.
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
}

/// What makes two of them the same.
#[derive(Clone)]
pub struct Setting {
    /// The URL, with its password.
    pub url: Secret,
    /// What happens while it is away.
    pub failure: Failure,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How TLS is spoken to it, if it is.
    pub tls: Option<Arc<ClientConfig>>,
}

/// What happens to requests under a limit while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The limits hold for this instance alone.
    Open,
    /// They are refused.
    Closed,
}

/// What the operator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The server is there.
    Up,
    /// It is away; why.
    Down(Away),
}

/// What the thread is asked to do.
enum Job {
    /// To let an exchange begin.
    Take(Ask, oneshot::Sender<Told>),
    /// To pass on what was used.
    Settle(Arc<Rule>),
    /// To have everything passed on.
    End(std::sync::mpsc::SyncSender<()>),
}

/// One question.
struct Ask {
    rules: Vec<Arc<Rule>>,
    now: Now,
}

/// The answer: whether it may begin, and what is known under each name.
struct Told {
    let_in: bool,
    rows: Vec<[f64; 4]>,
}

impl State {
    /// A server that is not asked before [`State::start`].
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(setting: Setting) -> Result<Self, BadUrl> {
        let url = std::str::from_utf8(setting.url.expose()).map_err(|_| BadUrl)?;
        let server = Arc::new(Server::of(url, setting.tls.clone())?);
        let (jobs, waiting) = mpsc::channel(MAX_ASKED);
        let is_up = Arc::default();
        Ok(Self { server, setting, jobs, is_up, waiting: Mutex::new(Some(waiting)) })
    }

    /// What it was made of.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Where the server is, without login.
    #[must_use]
    pub fn place(&self) -> String {
        self.server.place()
    }

    /// Connects, and stays connected. Waits for the first connection, but not for long. Nothing happens the second time.
    pub fn start(&self, tell: impl Fn(News) + Send + 'static) {
        let Some(jobs) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (began, has_begun) = sync_channel(1);
        let keeper =
            Keeper::new(Arc::clone(&self.server), self.setting.timeout, Arc::clone(&self.is_up), Box::new(tell));
        let thread = std::thread::Builder::new().name("state".to_owned());
        // Without a thread the server is away.
        if thread.spawn(move || keeper.run(jobs, &began)).is_ok() {
            let _ = has_begun.recv_timeout(FIRST_CONNECTION);
        }
    }

    /// Waits until what was used has been passed on, but not for long.
    pub fn finish(&self) {
        let (done, is_done) = sync_channel(1);
        if self.is_up.load(Ordering::Relaxed) && self.jobs.try_send(Job::End(done)).is_ok() {
            let _ = is_done.recv_timeout(LAST_WORDS);
        }
    }

    /// Asks whether an exchange may begin under these rules, and notes in their books what is said.
    pub(super) async fn take(&self, rules: &Rules, began: Instant) -> Result<(), Refused> {
        let now = Now::at(began);
        let with_books: Vec<_> = rules.iter().flatten().filter(|rule| rule.limits.need_books()).cloned().collect();
        let Some(first) = with_books.first() else { return Ok(()) };
        let Some(told) = self.ask(Ask { rules: with_books.clone(), now }).await else {
            return match self.setting.failure {
                Failure::Open => begin(rules, now, Takes { places: false, requests: true }),
                Failure::Closed => Err(Refused::unavailable()),
            };
        };
        let now = Now::at(Instant::now());
        let mut refused = None;
        for (rule, row) in with_books.iter().zip(told.rows) {
            let Some(mut books) = rule.books(now) else { continue };
            books.adopt(row, now);
            if !told.let_in {
                refused = refused.or_else(|| rule.refusal(&books, now));
            }
        }
        if told.let_in {
            return Ok(());
        }
        // By our clock it could begin already, by that of the server not yet.
        Err(refused.unwrap_or_else(|| Refused::in_a_moment(first)))
    }

    async fn ask(&self, ask: Ask) -> Option<Told> {
        if !self.is_up.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, told) = oneshot::channel();
        self.jobs.try_send(Job::Take(ask, answer)).ok()?;
        timeout(self.setting.timeout, told).await.ok()?.ok()
    }

    /// Passes on what was used under a rule. If that cannot be done now it is done with what comes next.
    pub(super) fn settle(&self, rule: &Arc<Rule>) {
        let _ = self.jobs.try_send(Job::Settle(Arc::clone(rule)));
    }
}

impl PartialEq for Setting {
    /// A server is another one if others are trusted: a reload that changes nothing keeps the value.
    fn eq(&self, other: &Self) -> bool {
        let is_same_tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        is_same_tls && (&self.url, self.failure, self.timeout) == (&other.url, other.failure, other.timeout)
    }
}

/// Not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadUrl;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("place", &self.place()).field("failure", &self.setting.failure).finish()
    }
}

impl Refused {
    fn unavailable() -> Self {
        Self::at_once(Kind::StateUnavailable, Levels::default())
    }

    fn in_a_moment(rule: &Rule) -> Self {
        Self::at_once(Kind::RateLimited(rule.scope, Unit::Requests), Levels::default())
    }
}
