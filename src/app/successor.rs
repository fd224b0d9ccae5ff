//! The process that is to take the place of this one.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::handover::{self, PREDECESSOR, READY, YOURS};
use super::{Site, service};
use crate::text::Unreplaced;

/// How long a successor may take until it can serve. Nobody waits for it but whoever asked for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one may take to its end that has given up, and how often it is looked whether it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);
/// What is said to this process alone by the manager of services.
const FOR_US: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// A process that was started and does not serve yet. It ends when this goes.
pub(super) struct Successor {
    process: Option<Child>,
    line: tokio::net::UnixStream,
    /// The same, to be written to at once.
    words: UnixStream,
    began: Instant,
    patience: Duration,
}

impl Successor {
    /// Starts this program again as it was started: by the same name, so that a file that has been replaced since is
    /// taken, and with the same arguments.
    pub(super) fn start(sites: &[Site]) -> Result<Self, Unreplaced> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_default();
        Self::start_program(&program, arguments, sites, PATIENCE)
    }

    fn start_program(
        program: &OsString,
        arguments: impl Iterator<Item = OsString>,
        sites: &[Site],
        patience: Duration,
    ) -> Result<Self, Unreplaced> {
        // With the first process of a container all others end.
        if std::process::id() == 1 {
            return Err(Unreplaced::FirstProcess);
        }
        let start = || -> io::Result<Self> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            handover::send(&ours, sites)?;
            let words = ours.try_clone()?;
            let line = tokio::net::UnixStream::from_std(ours)?;
            let mut command = Command::new(program);
            command.args(arguments).stdin(std::os::fd::OwnedFd::from(theirs));
            command.env(PREDECESSOR, std::process::id().to_string());
            FOR_US.iter().for_each(|name| _ = command.env_remove(name));
            let process = Some(command.spawn()?);
            Ok(Self { process, line, words, began: Instant::now(), patience })
        };
        let program = program.display().to_string();
        start().map_err(|error| Unreplaced::CannotStart { program, why: error.to_string() })
    }

    /// Waits until it can serve. This may be asked again after it was dropped.
    pub(super) async fn ready(&mut self) -> Result<(), Unreplaced> {
        match timeout_at(self.began + self.patience, self.word()).await {
            Ok(Some(READY)) => Ok(()),
            Ok(_) => {
                self.last_words().await;
                Err(self.end().map_or(Unreplaced::Lost, ended))
            }
            Err(_) => Err(Unreplaced::TooSlow(self.patience)),
        }
    }

    async fn word(&self) -> Option<u8> {
        let mut word = [0];
        loop {
            self.line.readable().await.ok()?;
            match self.line.try_read(&mut word) {
                Ok(0) => return None,
                Ok(_) => return Some(word[0]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Gives a process that has hung up the time to end by itself, so that it can be told how it did.
    async fn last_words(&mut self) {
        let began = Instant::now();
        while let Some(Ok(None)) = self.process.as_mut().map(Child::try_wait)
            && began.elapsed() < LAST_WORDS
        {
            sleep(LOOK).await;
        }
    }

    /// Leaves it to the successor to serve, and gives its number. From here on there is no way back.
    pub(super) fn take_over(mut self) -> Result<u32, Unreplaced> {
        let Some(process) = self.process.take() else { return Err(Unreplaced::Lost) };
        let number = process.id();
        // The manager has to know its new name before it hears from it.
        service::replaced_by(number);
        match self.words.write(&[YOURS]) {
            Ok(1) => Ok(number),
            _ => {
                self.process = Some(process);
                Err(self.end().map_or(Unreplaced::Lost, ended))
            }
        }
    }

    /// Ends the process, unless it has ended already, and gives how it did.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        // It has never served anybody. One that has ended is not changed by this.
        let _ = process.kill();
        process.wait().ok()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.end();
    }
}

fn ended(status: ExitStatus) -> Unreplaced {
    Unreplaced::Ended { code: status.code(), signal: status.signal() }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    /// What becomes of a program that is no successor.
    fn outcome(script: &str, patience: Duration) -> Unreplaced {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime
            .block_on(async {
                let arguments = ["-c", script].map(OsString::from).into_iter();
                let mut successor = Successor::start_program(&"/bin/sh".into(), arguments, &[], patience)?;
                successor.ready().await
            })
            .expect_err("it is none")
    }

    #[test]
    fn a_program_that_ends_or_dies_or_hangs_does_not_take_over() {
        const LONG: Duration = Duration::from_secs(60);
        assert_eq!(outcome("exit 3", LONG), Unreplaced::Ended { code: Some(3), signal: None });
        assert_eq!(outcome("kill -KILL $$", LONG), Unreplaced::Ended { code: None, signal: Some(9) });
        assert!(matches!(outcome("printf x >&0; exec sleep 1000", LONG), Unreplaced::Ended { .. }));
        let short = Duration::from_millis(100);
        assert_eq!(outcome("exec sleep 1000", short), Unreplaced::TooSlow(short));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let failed = Successor::start_program(&"/nowhere/aqueduct".into(), std::iter::empty(), &[], PATIENCE);
        let Err(Unreplaced::CannotStart { program, why }) = failed else { panic!("started") };
        assert_eq!((program.as_str(), why.contains("No such file")), ("/nowhere/aqueduct", true));
    }
}
