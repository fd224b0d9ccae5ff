//! What the manager of services is told, where there is one: systemd, by the protocol of `sd_notify`.

use std::time::Duration;

use crate::text::{Lang, Speak, Status};

/// How long it may take to tell something.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(1);

/// Clients can connect, or a reload has come to its end.
#[cfg(unix)]
pub(super) fn ready(status: Status, lang: Lang) {
    use sd_notify::NotifyState;

    tell(&[NotifyState::Ready, NotifyState::Status(&status.in_lang(lang).to_string())]);
}

/// A reload has begun, which was asked for.
#[cfg(unix)]
pub(super) fn reloading() {
    use sd_notify::NotifyState;

    // Without the time, the manager could take the end of an earlier reload for that of this one.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The end has begun.
#[cfg(unix)]
pub(super) fn stopping(status: Status, lang: Lang) {
    use sd_notify::NotifyState;

    tell(&[NotifyState::Stopping, NotifyState::Status(&status.in_lang(lang).to_string())]);
}

/// Another process has taken the place of this one. Whoever is told by that one from now on will listen to it.
#[cfg(unix)]
pub(super) fn replaced_by(process: u32) {
    tell(&[sd_notify::NotifyState::MainPid(process)]);
}

/// Every worker is alive.
#[cfg(unix)]
pub(super) fn alive() {
    tell(&[sd_notify::NotifyState::Watchdog]);
}

/// How often it has to be told that the workers are alive, if the manager wants to hear it: twice in the time after
/// which it would end the program.
#[cfg(unix)]
pub(super) fn pulse() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

/// A manager that does not listen sees for itself what becomes of that.
#[cfg(unix)]
fn tell(state: &[sd_notify::NotifyState<'_>]) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        let words: String = state.iter().map(|word| format!("{word}\n")).collect();
        let _ = send(&socket, words.as_bytes());
    }
}

/// Sends words to a socket, which are lost if it is full for too long: `sd_notify` would wait for ever, and the thread
/// that tells is the one that listens to signals.
#[cfg(unix)]
fn send(socket: &std::ffi::OsStr, words: &[u8]) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;

    let datagram = UnixDatagram::unbound()?;
    match socket.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;

            datagram.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => datagram.connect(socket)?,
    }
    datagram.set_write_timeout(Some(PATIENCE))?;
    datagram.send(words).map(|_| ())
}

/// Elsewhere there is nobody to tell.
#[cfg(not(unix))]
pub(super) fn ready(_status: Status, _lang: Lang) {}

/// Elsewhere there is nobody to tell.
#[cfg(not(unix))]
pub(super) fn reloading() {}

/// Elsewhere there is nobody to tell.
#[cfg(not(unix))]
pub(super) fn stopping(_status: Status, _lang: Lang) {}

/// Elsewhere there is nobody to tell.
#[cfg(not(unix))]
pub(super) fn alive() {}

/// Elsewhere nobody asks.
#[cfg(not(unix))]
pub(super) fn pulse() -> Option<Duration> {
    None
}
