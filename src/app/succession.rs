//! One process after another, at the same sockets: how a running program is exchanged for a new one.

use std::io;

use super::control::Signals;
use super::{App, control};
use crate::config::Live;
use crate::record::Log;
use crate::text::Lang;

/// A replacement of this process, which may be under way.
#[derive(Default)]
pub(super) struct Succession {
    #[cfg(unix)]
    successor: Option<super::successor::Successor>,
}

#[cfg(unix)]
impl Succession {
    /// Starts the process that is to take over.
    pub(super) fn begin(&mut self, app: &App, lang: Lang, log: &Log) {
        use super::successor::Successor;
        use crate::text::Replacement;

        if self.successor.is_some() {
            return log.alarm(lang, &Replacement::HasBegun);
        }
        log.notice(lang, &Replacement::Begins);
        log.share();
        match Successor::start(&app.sites) {
            Ok(successor) => self.successor = Some(successor),
            Err(why) => log.alarm(lang, &Replacement::Failed(&why)),
        }
    }

    /// Waits until another process has taken over, and gives its number. If it cannot, that is told, and nothing else
    /// comes of it.
    pub(super) async fn completed(&mut self, live: &Live, log: &Log) -> u32 {
        use crate::text::Replacement;

        loop {
            let Some(successor) = &mut self.successor else { return std::future::pending().await };
            let ready = successor.ready().await;
            let taken_over = match (ready, self.successor.take()) {
                (Ok(()), Some(successor)) => successor.take_over(),
                (Err(why), _) => Err(why),
                (Ok(()), None) => continue,
            };
            match taken_over {
                Ok(process) => return process,
                Err(why) => log.alarm(live.current().lang, &Replacement::Failed(&why)),
            }
        }
    }
}

/// Waits until the process that serves at our sockets leaves that to us, if there is one. Gives whether it does: the
/// end may come first.
#[cfg(unix)]
pub(super) async fn succeed(app: &mut App, signals: &mut Signals, live: &Live, log: &Log) -> io::Result<bool> {
    use std::pin::pin;

    use super::control::Asked;
    use crate::text::{Replacement, Say};

    let Some(predecessor) = app.heritage.predecessor.take() else { return Ok(true) };
    log.share();
    let mut leaves = pin!(predecessor.leaves());
    loop {
        tokio::select! {
            left = &mut leaves => break left?,
            asked = signals.next() => if matches!(asked, Asked::End) {
                return Ok(false);
            }
        }
    }
    let lang = live.current().lang;
    for error in app.open() {
        log.alarm(lang, &Say::BindFailed(&error));
    }
    for at in app.leave_behind() {
        log.alarm(lang, &Replacement::LeftBehind(&at));
    }
    // The other process may have been asked to reload after this one had read the file.
    control::tell(live.look(false), live, log);
    Ok(true)
}

/// Elsewhere nobody asks for it.
#[cfg(not(unix))]
impl Succession {
    pub(super) fn begin(&mut self, _app: &App, _lang: Lang, _log: &Log) {}

    pub(super) async fn completed(&mut self, _live: &Live, _log: &Log) -> u32 {
        std::future::pending().await
    }
}

/// Elsewhere nobody serves before this process does.
#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "the twin above waits")]
pub(super) async fn succeed(_app: &mut App, _signals: &mut Signals, _live: &Live, _log: &Log) -> io::Result<bool> {
    Ok(true)
}
