//! Bytes that go from one connection to another without being copied, which Linux can: they wait in a pipe of the
//! kernel's on the way.

use std::io;

use tokio::net::TcpStream;

/// A pipe of the kernel's.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Pipe {
    out: std::os::fd::OwnedFd,
    into: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Pipe {
    /// An empty one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        use rustix::pipe::{PipeFlags, pipe_with};

        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { out, into })
    }

    /// Takes into it, which is empty, up to `most` bytes of what has arrived. `Ok(0)` is the end of the stream.
    ///
    /// # Errors
    /// Those of the connection; that nothing has arrived is [`io::ErrorKind::WouldBlock`].
    pub fn take_from(&self, tcp: &TcpStream, most: usize) -> io::Result<usize> {
        tcp.try_io(tokio::io::Interest::READABLE, || splice(tcp, &self.into, most))
    }

    /// Sends up to `most` bytes of what is in it.
    ///
    /// # Errors
    /// Those of the connection; that it takes nothing now is [`io::ErrorKind::WouldBlock`].
    pub fn give_to(&self, tcp: &TcpStream, most: usize) -> io::Result<usize> {
        tcp.try_io(tokio::io::Interest::WRITABLE, || splice(&self.out, tcp, most))
    }
}

#[cfg(target_os = "linux")]
fn splice(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    use rustix::pipe::SpliceFlags;

    Ok(rustix::pipe::splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// Elsewhere there is none.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum Pipe {}

#[cfg(not(target_os = "linux"))]
impl Pipe {
    /// There is none.
    ///
    /// # Errors
    /// That.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes up to `most` bytes of what has arrived.
    ///
    /// # Errors
    /// None.
    pub fn take_from(&self, _tcp: &TcpStream, _most: usize) -> io::Result<usize> {
        match *self {}
    }

    /// Sends up to `most` bytes of what is in it.
    ///
    /// # Errors
    /// None.
    pub fn give_to(&self, _tcp: &TcpStream, _most: usize) -> io::Result<usize> {
        match *self {}
    }
}
