//! What only some systems have, in one place, each with what stands in for it elsewhere.

mod splice;

use std::io;
#[cfg(unix)]
use std::mem::MaybeUninit;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::net::TcpStream;

pub use splice::Pipe;

/// After how long a silence a peer is asked for a sign of life, how long after that again, and how often it may leave
/// that unanswered before it counts as gone: 60 s after its last one.
const PROBE_AFTER: Duration = Duration::from_secs(30);
#[cfg(target_os = "linux")]
const PROBE_EVERY: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const PROBES: u32 = 3;

/// Lets several sockets listen on one address, among which the kernel shares out connections.
///
/// # Errors
/// Those of the system.
#[cfg(target_os = "linux")]
pub fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Elsewhere a single worker listens: see [`LISTENERS_SHARE`].
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn share_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Whether the kernel shares connections out among several listeners of one address. Where it does not, one worker
/// accepts for all.
pub const LISTENERS_SHARE: bool = cfg!(target_os = "linux");

/// Lets an address be listened on again at once, though old connections of it are still being forgotten.
///
/// # Errors
/// Those of the system.
#[cfg(unix)]
pub fn let_address_be_reused(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// On Windows this is how it is; the option of that name means something else there.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn let_address_be_reused(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Lets a peer that vanishes without a word be noticed.
#[cfg(target_os = "linux")]
pub fn probe(tcp: &TcpStream) {
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    // Where that is not to be had, time limits are what is left.
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

/// Elsewhere not all of that can be said. The system knows for how long to ask.
#[cfg(not(target_os = "linux"))]
pub fn probe(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER));
}

/// Whether connections come in at a socket.
///
/// # Errors
/// It is no socket.
#[cfg(target_os = "linux")]
pub fn listens(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Elsewhere not every system says it: to accept will fail.
///
/// # Errors
/// None.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn listens(_socket: &Socket) -> io::Result<bool> {
    Ok(true)
}

/// Whether the other side has closed the connection, whatever may still wait to be read.
#[cfg(target_os = "linux")]
pub fn has_ended(tcp: &TcpStream) -> bool {
    // The runtime reports urgent data together with the end of the stream, and readable data not at all.
    tells_an_end(tcp.ready(tokio::io::Interest::PRIORITY))
}

/// The same of a local socket.
#[cfg(target_os = "linux")]
pub fn local_has_ended(local: &tokio::net::UnixStream) -> bool {
    tells_an_end(local.ready(tokio::io::Interest::PRIORITY))
}

#[cfg(target_os = "linux")]
fn tells_an_end(ready: impl Future<Output = io::Result<tokio::io::Ready>>) -> bool {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let mut ready = pin!(ready);
    match ready.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

/// Elsewhere the end is seen when it is read.
#[cfg(not(target_os = "linux"))]
pub fn has_ended(_tcp: &TcpStream) -> bool {
    false
}

/// Elsewhere the end is seen when it is read.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn local_has_ended(_local: &tokio::net::UnixStream) -> bool {
    false
}

/// Waits until the other side, which has ended the connection, refuses what was sent to it; gives whether that is what
/// came. Then nobody has read what was sent to its last byte: a system refuses what arrives behind the close of a
/// socket, or what lies unread in one that is closed.
///
/// Linux tells a reset behind an end (FIN) as a broken pipe. A reset alone is told as one, and proves nothing: a
/// program that has read everything can also leave in that way.
#[cfg(target_os = "linux")]
pub async fn refusal(tcp: &TcpStream) -> bool {
    let is_told = tcp.ready(tokio::io::Interest::ERROR).await.is_ok();
    is_told && matches!(tcp.take_error(), Ok(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// Elsewhere the two cannot be told apart.
#[cfg(not(target_os = "linux"))]
pub async fn refusal(_tcp: &TcpStream) -> bool {
    false
}

/// Whether this says that no more files can be opened, by this program or by all.
#[cfg(unix)]
pub fn is_out_of_files(error: &io::Error) -> bool {
    /// ENFILE and EMFILE, which have these numbers on every system that has them.
    const OUT_OF_FILES: [i32; 2] = [23, 24];

    error.raw_os_error().is_some_and(|code| OUT_OF_FILES.contains(&code))
}

/// It has other words there.
#[cfg(not(unix))]
pub fn is_out_of_files(_error: &io::Error) -> bool {
    false
}

/// Raises the number of files that this process may have open as far as the system lets it, and gives it.
#[cfg(unix)]
pub fn raise_file_limit() -> Option<u64> {
    rlimit::increase_nofile_limit(u64::MAX).ok()
}

/// There is no such limit.
#[cfg(not(unix))]
pub fn raise_file_limit() -> Option<u64> {
    None
}

/// Whether every user of this machine can read a file.
#[cfg(unix)]
pub fn is_readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Who can read it is not asked.
#[cfg(not(unix))]
pub fn is_readable_by_all(_path: &Path) -> bool {
    false
}

/// How many descriptors can be sent at once. The system allows for a few more.
#[cfg(unix)]
pub const DESCRIPTORS: usize = 64;

/// Sends a byte to another process, and descriptors with it.
///
/// # Errors
/// Those of the system.
#[cfg(unix)]
pub fn send_descriptors<T: AsFd>(line: &UnixStream, word: u8, descriptors: &[T]) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(line, &[io::IoSlice::new(&[word])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives what was sent so. What this process starts does not get them.
///
/// # Errors
/// Those of the system, or the other process is gone.
#[cfg(unix)]
pub fn receive_descriptors(line: &UnixStream) -> io::Result<(u8, Vec<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let received = recvmsg(line, &mut [io::IoSliceMut::new(&mut word)], &mut control, RecvFlags::empty())?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok((word[0], descriptors))
}

/// Puts something else where standard input was.
///
/// # Errors
/// Those of the system.
#[cfg(unix)]
pub fn replace_stdin(with: &impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(with)?)
}
