//! The process whose place this one is to take.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::StartError;
use super::handover::{self, PREDECESSOR, READY, YOURS};
use crate::accept::Inherited;
use crate::os;

/// The process that serves for as long as this one does not.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// Finds it, if there is one, and takes its sockets.
    pub(super) fn find() -> Result<Option<(Self, Inherited)>, StartError> {
        let named = std::env::var(PREDECESSOR).ok().and_then(|number| number.parse().ok());
        // What was said to a process before this one says nothing to us.
        if named != Some(std::os::unix::process::parent_id()) {
            return Ok(None);
        }
        Self::receive().map(Some).map_err(StartError::BadHandover)
    }

    fn receive() -> io::Result<(Self, Inherited)> {
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        os::replace_stdin(&File::open("/dev/null")?)?;
        line.set_nonblocking(false)?;
        let inherited = handover::receive(&line)?;
        line.set_nonblocking(true)?;
        Ok((Self(line), inherited))
    }

    /// Tells it that this process can serve, and waits until it leaves that to us. One that is gone has done so.
    pub(super) async fn leaves(self) -> io::Result<()> {
        // That it cannot hear is seen below.
        let _ = (&self.0).write(&[READY]);
        let line = tokio::net::UnixStream::from_std(self.0)?;
        let mut word = [0];
        loop {
            line.readable().await?;
            match line.try_read(&mut word) {
                Ok(1..) if word != [YOURS] => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Ok(()),
            }
        }
    }
}
