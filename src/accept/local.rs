//! Local sockets, which are files.

use std::path::{Path, PathBuf};

use super::{BindError, Listener, Place};

/// The file of a socket on which we listen. It goes when this goes, so that nobody waits at a closed door.
#[derive(Debug)]
#[cfg_attr(not(unix), expect(dead_code, reason = "there is none"))]
pub struct SocketFile {
    path: PathBuf,
    #[cfg(unix)]
    identity: (u64, u64),
    is_ours: bool,
}

impl SocketFile {
    /// The file of a process before this one. It goes with this only if it is claimed.
    ///
    /// # Errors
    /// It is not there.
    #[cfg(unix)]
    pub fn of_predecessor(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, is_ours: false })
    }

    /// Makes it ours.
    pub fn claim(&mut self) {
        self.is_ours = true;
    }

    /// Leaves it to a process after this one.
    pub fn leave(mut self) {
        self.is_ours = false;
    }

    /// Whether clients find it: nobody has put a file of his own in its place.
    #[cfg(unix)]
    #[must_use]
    pub fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

/// Listens on a local socket. The file of a program that is no more is replaced; nothing else ever is.
///
/// # Errors
/// Somebody listens there, something else lies there, or the system refuses it.
#[cfg(unix)]
pub fn bind_local(path: &Path) -> Result<(SocketFile, Listener), BindError> {
    use std::fs::{Permissions, remove_file, set_permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt;

    use socket2::{Domain, SockAddr, Socket, Type};

    /// Everybody who can enter the directory may connect, as with nginx: who that is, is said by the directory.
    const MODE: u32 = 0o666;

    let bind = || -> io::Result<(SocketFile, Listener)> {
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path, &address) => {
                remove_file(path)?;
                socket.bind(&address)?;
            }
            bound => bound?,
        }
        let file = SocketFile { path: path.to_owned(), identity: identity(path)?, is_ours: true };
        set_permissions(path, Permissions::from_mode(MODE))?;
        socket.listen(super::listen::BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok((file, Listener::Local(socket.into())))
    };
    bind().map_err(|error| BindError { place: Place::Local(path.to_owned()).to_string(), error })
}

/// This system has none.
///
/// # Errors
/// That is the error.
#[cfg(not(unix))]
pub fn bind_local(path: &Path) -> Result<(SocketFile, Listener), BindError> {
    let place = Place::Local(path.to_owned()).to_string();
    Err(BindError { place, error: std::io::ErrorKind::Unsupported.into() })
}

/// Whether a file is a socket at which nobody listens any more.
#[cfg(unix)]
fn is_abandoned(path: &Path, address: &socket2::SockAddr) -> bool {
    use std::os::unix::fs::FileTypeExt;

    use socket2::{Domain, Socket, Type};

    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let knock = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A program that is too busy to accept is there all the same, and must not keep us waiting.
        socket.set_nonblocking(true)?;
        socket.connect(address)
    };
    is_socket && knock().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// What tells a file from another of the same name.
#[cfg(unix)]
fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_ours && self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn an_abandoned_socket_is_replaced_and_ours_goes_with_us() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.sock");
        drop(UnixListener::bind(&path).expect("binds"));
        assert!(path.exists(), "it outlives its program");
        let (file, _listener) = bind_local(&path).expect("abandoned");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o666);
        UnixStream::connect(&path).expect("somebody listens");
        assert_eq!(bind_local(&path).expect_err("in use").error.kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "precious").expect("writes");
        drop(UnixListener::bind(directory.path().join("x.sock")).expect("binds"));
        std::os::unix::fs::symlink(directory.path().join("x.sock"), &link).expect("links");
        for path in [&file, &link] {
            let error = bind_local(path).expect_err("something lies there");
            assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with(&format!("unix:{}: ", path.display())), "{error}");
            assert!(std::fs::symlink_metadata(path).is_ok());
        }
    }

    #[test]
    fn a_file_that_was_put_in_its_place_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.sock");
        let (ours, _listener) = bind_local(&path).expect("binds");
        let beside = directory.path().join("beside");
        std::fs::write(&beside, "theirs").expect("writes");
        std::fs::rename(&beside, &path).expect("renames");
        drop(ours);
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "theirs");
    }
}
