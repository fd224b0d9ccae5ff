//! Sockets that the manager of services has opened: systemd, by the protocol of `sd_listen_fds`.

use super::StartError;
use crate::accept::Inherited;

/// The sockets that were handed to this program. Fails if what is said of them has no meaning, or if one of them is not
/// a socket at which clients come in.
#[cfg(unix)]
pub(super) fn activated() -> Result<Inherited, StartError> {
    use std::io;

    use crate::accept::Opener;

    // This looks whether each number is that of an open file. The other would take them on trust.
    if sd_notify::listen_fds().map_err(StartError::BadActivation)?.len() == 0 {
        return Ok(Inherited::default());
    }
    let bad = |error| StartError::BadActivation(io::Error::new(io::ErrorKind::InvalidInput, error));
    let mut inherited = Inherited::default();
    for (number, (name, socket)) in sd_listen_fds::get().map_err(bad)?.into_iter().enumerate() {
        let name = name.filter(|name| !name.is_empty());
        let bad = |_| StartError::BadSocket(name.unwrap_or_else(|| format!("socket {}", number + 1)));
        inherited.add(socket.into_std(), Opener::Manager).map_err(bad)?;
    }
    Ok(inherited)
}

/// This system has no such thing.
#[cfg(not(unix))]
pub(super) fn activated() -> Result<Inherited, StartError> {
    Ok(Inherited::default())
}
