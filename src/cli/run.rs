//! `aqueduct run`: the proxy itself.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::{Caller, PLACES, banner, line, print_error, print_refusal};
use crate::app::{self, App, Ended, Heritage, StartError};
use crate::config::{Live, Source};
use crate::record::{Line, Log, Output};
use crate::text::{Lang, Replacement, Say, Tell};

/// How long the last lines of the log may take at the end.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The exit status after a second signal, as a shell would report an interruption.
const INTERRUPTED: u8 = 130;

pub(super) fn run(caller: &Caller<'_>) -> ExitCode {
    // Before anything is opened: sockets that are handed over are known by their numbers.
    let heritage = match Heritage::take() {
        Ok(heritage) => heritage,
        Err(error) => return refuse(&error, caller.lang),
    };
    let source = caller.source();
    let is_first_run = caller.named().is_none() && !source.exists();
    let (live, warnings) = match Live::start(source.clone()) {
        Ok(started) => started,
        Err(findings) => {
            print_refusal(&source, &findings, caller.lang);
            if is_first_run {
                print_error(&line(&Tell::NoConfig { places: &PLACES.join(", ") }, caller.lang));
            }
            return ExitCode::FAILURE;
        }
    };
    let live = Arc::new(live);
    let lang = live.current().lang;
    serve(&live, lang, heritage, |log, running| {
        app::warn(&warnings, &live, log);
        warn_of_few_files(&live, running, log);
        log.write(Line::Notice(banner::banner(&live, running)));
    })
}

/// Serves until the end. `ready` is called once clients can connect.
pub(super) fn serve(live: &Arc<Live>, lang: Lang, heritage: Heritage, ready: impl FnOnce(&Log, &App)) -> ExitCode {
    let log = match Log::start(Output::console(), lang) {
        Ok(log) => log,
        Err(error) => return refuse(&StartError::System(error), lang),
    };
    app::report_panics(&log, lang);
    let running = match App::start(live, &log, heritage) {
        Ok(running) => running,
        Err(error) => return refuse(&error, lang),
    };
    let ended = app::run(running, live, &log, |running| ready(&log, running));
    match ended {
        Ok(Ended::Orderly) => log.notice(lang, &Say::Stopped),
        Ok(Ended::Replaced) => log.notice(lang, &Replacement::IsGone(std::process::id())),
        Ok(Ended::AtOnce | Ended::Lost) | Err(_) => {}
    }
    log.finish(LAST_LINES);
    match ended {
        Ok(Ended::Orderly | Ended::Replaced) => ExitCode::SUCCESS,
        Ok(Ended::AtOnce) => INTERRUPTED.into(),
        Ok(Ended::Lost) => ExitCode::FAILURE,
        Err(error) => refuse(&StartError::System(error), lang),
    }
}

pub(super) fn refuse(error: &StartError, lang: Lang) -> ExitCode {
    let say = match error {
        StartError::Bind(_) => Say::BindFailed(error),
        StartError::Socket(_) => Say::SocketFailed(error),
        StartError::Resolve { .. } => Say::ResolveFailed(error),
        StartError::BadActivation(_) => Say::BadActivation(error),
        StartError::BadHandover(_) => Say::BadHandover(error),
        StartError::BadSocket(_) => Say::BadSocket(error),
        StartError::UnnamedSocket { places, .. } => Say::UnnamedSocket { at: error, places },
        StartError::System(_) => Say::StartFailed(error),
    };
    print_error(&line(&say, lang));
    ExitCode::FAILURE
}

fn warn_of_few_files(live: &Live, running: &App, log: &Log) {
    /// Nobody needs to hear that there is room for a few less than ten thousand.
    const FEW: usize = 1000;

    let snapshot = live.current();
    if running.max_connections < snapshot.max_connections.min(FEW) {
        let (allowed, wanted) = (running.max_connections, snapshot.max_connections);
        log.alarm(snapshot.lang, &Say::FewFiles { allowed, wanted });
    }
}

impl Source {
    fn exists(&self) -> bool {
        self.path().is_some_and(std::path::Path::exists)
    }
}
