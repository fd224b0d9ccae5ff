//! The thread that watches over the workers: signals, the configuration file, the end.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::sleep;

use super::succession::{self, Succession};
use super::{App, service, state};
use crate::config::{Finding, Live, Outcome};
use crate::record::Log;
use crate::text::{Lang, Replacement, Say, Status, shown};

/// How often the file is looked at when `reload_interval` is 0.
const LIVE: Duration = Duration::from_millis(500);

/// How the program came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that ran has finished, or was cut off when its time was over.
    Orderly,
    /// The same, and another process has taken over.
    Replaced,
    /// There is no worker left: each has met a bug outside its connections.
    Lost,
    /// A second signal, or one before anybody was served.
    AtOnce,
}

/// What comes after serving.
enum Next {
    /// The end.
    End,
    /// The end, and another process serves.
    GiveWay {
        /// Its number.
        to: u32,
    },
}

/// Watches over a running proxy until it ends. `ready` is called once signals are listened to.
///
/// # Errors
/// The system refuses a runtime or a signal handler.
pub fn run(mut app: App, live: &Arc<Live>, log: &Log, ready: impl FnOnce(&App)) -> io::Result<Ended> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        if !succession::succeed(&mut app, &mut signals, live, log).await? {
            return Ok(Ended::AtOnce);
        }
        ready(&app);
        service::ready(serving(live), live.current().lang);
        let next = tokio::select! {
            next = watch(&app, &mut signals, live, log) => next,
            () = show_life(&app) => Next::End,
            // Nobody would serve, and nobody would start it again.
            () = app.ended() => return Ok(Ended::Lost),
        };
        Ok::<_, io::Error>(end(&mut app, next, &mut signals, live, log).await)
    })?;
    if ended != Ended::AtOnce {
        app.join();
        state::finish(live);
    }
    Ok(ended)
}

/// Reloads until the end is asked for, or another process has taken over.
async fn watch(app: &App, signals: &mut Signals, live: &Live, log: &Log) -> Next {
    let mut succession = Succession::default();
    loop {
        let interval = live.current().reload;
        let look = async {
            match interval {
                Some(interval) if interval.is_zero() => sleep(LIVE).await,
                Some(interval) => sleep(interval).await,
                None => pending().await,
            }
        };
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::End => return Next::End,
                Asked::Reload => reload(live, log),
                Asked::Replacement => succession.begin(app, live.current().lang, log),
            },
            to = succession.completed(live, log) => return Next::GiveWay { to },
            () = look => tell(live.look(false), live, log),
        }
    }
}

/// Reloads because somebody asked for it.
fn reload(live: &Live, log: &Log) {
    service::reloading();
    let outcome = live.look(true);
    let status = if matches!(outcome, Outcome::Refused(_)) { Status::NotReloaded } else { serving(live) };
    tell(outcome, live, log);
    service::ready(status, live.current().lang);
}

fn serving(live: &Live) -> Status {
    Status::Serving { routes: live.current().routes.iter().filter(|route| route.enabled).count() }
}

/// Tells the manager of services that the workers are alive, for as long as they are. It is told by this thread: one that
/// serves knows nothing of the others.
async fn show_life(app: &App) {
    let Some(every) = service::pulse() else { return pending().await };
    while app.is_alive().await {
        service::alive();
        sleep(every).await;
    }
    pending::<()>().await;
}

/// Ends the workers: orderly first, then at the end of their time, or at once.
async fn end(app: &mut App, next: Next, signals: &mut Signals, live: &Live, log: &Log) -> Ended {
    let snapshot = Arc::clone(&live.current());
    let connections = app.connections();
    let (orderly, mut has_been_asked) = match next {
        Next::End => {
            log.notice(snapshot.lang, &Say::Draining(connections));
            service::stopping(Status::Ending { connections }, snapshot.lang);
            app.drain();
            (Ended::Orderly, true)
        }
        // The manager of services hears from the other process now.
        Next::GiveWay { to } => {
            app.give_way();
            log.notice(snapshot.lang, &Replacement::Done { by: to, connections });
            (Ended::Replaced, false)
        }
    };
    let mut timeout = pin!(sleep(snapshot.shutdown_timeout));
    let mut is_cut = false;
    loop {
        tokio::select! {
            () = app.ended() => return orderly,
            () = &mut timeout, if !is_cut => {
                app.cut();
                is_cut = true;
            }
            asked = signals.next() => match asked {
                Asked::End if has_been_asked => return Ended::AtOnce,
                // Now somebody waits for the end of this process.
                Asked::End => {
                    log.notice(snapshot.lang, &Say::Draining(app.connections()));
                    app.drain();
                    has_been_asked = true;
                }
                Asked::Reload | Asked::Replacement => {}
            }
        }
    }
}

pub(super) fn tell(outcome: Outcome, live: &Live, log: &Log) {
    let lang = live.current().lang;
    let file = file_name(live);
    match outcome {
        Outcome::Unchanged => {}
        Outcome::Swapped { warnings, needs_restart } => {
            warn(&warnings, live, log);
            state::attend(live, log);
            let at = jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
            log.notice(lang, &Say::Reloaded { at: &at });
            if needs_restart {
                log.alarm(lang, &Say::NeedsRestart);
            }
        }
        Outcome::Refused(findings) => {
            let why = errors(&findings, lang);
            log.alarm(lang, &Say::LoadFailed { file: &file, why: &why });
        }
    }
}

/// Tells of what is odd in a configuration that is used all the same.
pub fn warn(findings: &[Finding], live: &Live, log: &Log) {
    let (lang, file) = (live.current().lang, file_name(live));
    for finding in findings {
        log.alarm(lang, &Say::Warning(&finding.line(&file, lang)));
    }
}

/// The name of the file, in which nothing can forge a line.
fn file_name(live: &Live) -> String {
    shown(&live.source().name()).to_string()
}

/// What is wrong with a configuration, in one line.
#[must_use]
pub fn errors(findings: &[Finding], lang: Lang) -> String {
    use crate::config::Severity;

    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.what(lang).to_string()).collect::<Vec<_>>().join("; ")
}

/// Reports a bug without its message, in which anything might stand.
pub fn report_panics(log: &Log, lang: Lang) {
    let log = log.clone();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        log.alarm(lang, &Say::Panicked(&place));
    }));
}

/// The signals of the system: SIGTERM and SIGINT end the program, SIGHUP reloads the configuration, SIGUSR2 starts the
/// program anew in the place of this process.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Replacement,
        }
    }
}

/// Elsewhere there is Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[expect(clippy::unnecessary_wraps, reason = "the twin above can fail")]
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> Asked {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Asked::End,
            Err(_) => pending().await,
        }
    }
}

/// What a signal asks for.
pub(super) enum Asked {
    End,
    Reload,
    Replacement,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Output;

    #[test]
    fn a_bug_is_told_by_its_place_and_not_by_its_message() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let err = Box::new(file.reopen().expect("a file"));
        let log = Log::start(Output { out: Box::new(io::sink()), err }, Lang::En).expect("a thread");
        let usual = std::panic::take_hook();
        report_panics(&log, Lang::En);
        let bug = std::thread::spawn(|| panic!("the key is {}", "sk-1")).join();
        std::panic::set_hook(usual);
        assert!(bug.is_err());
        log.finish(Duration::from_secs(20));
        let told = std::fs::read_to_string(file.path()).expect("text");
        assert!(told.contains("control.rs:") && !told.contains("sk-1") && !told.contains("the key"), "{told}");
    }
}
