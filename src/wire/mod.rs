//! A connection as the engine sees it: a stream of bytes, with what has arrived on it.
//!
//! [`Wire`] is the same for clients and upstreams, in the clear and over TLS, so that what relays between two of
//! them needs to know neither.

mod buffer;
mod conduit;
mod layer;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

pub use buffer::{Buffer, SIZE as BUFFER_SIZE};
pub use conduit::Conduit;
pub use layer::Layer;

use crate::os;

/// The bytes underneath.
pub enum Stream {
    /// TCP in the clear.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// Anything else. The two above are told apart because nearly every byte goes through them.
    Layered(Box<dyn Layer>),
}

/// A stream and what has arrived on it.
pub struct Wire {
    stream: Stream,
    /// What has arrived and is not yet used.
    pub input: Buffer,
    /// Whether bytes may still wait inside a TLS session to be sent.
    unflushed: bool,
    /// Whether an orderly end of this connection would say that a message is whole which is not.
    end_would_lie: bool,
}

impl Wire {
    /// A wire on which nothing has arrived yet.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: Buffer::default(), unflushed: false, end_would_lie: false }
    }

    /// Reads what has arrived into [`Wire::input`]. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { stream, input, .. } = self;
        let filled = match stream {
            Stream::Tcp(tcp) => poll_fill_from_tcp(tcp, input, cx),
            Stream::Tls(_) | Stream::Layered(_) => input.fill(|room| {
                let mut room = ReadBuf::new(room);
                ready!(stream.poll_read(cx, &mut room))?;
                Poll::Ready(Ok(room.filled().len()))
            }),
        };
        if filled.is_pending() {
            input.rest();
        }
        filled
    }

    /// Reads what has arrived into [`Wire::input`]. `Ok(0)` is the end of the stream.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Writes as many of the bytes as the stream takes now.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = match &mut self.stream {
            Stream::Tcp(tcp) => ready!(poll_write_to_tcp(tcp, bytes, cx))?,
            Stream::Tls(tls) => {
                self.unflushed = true;
                ready!(Pin::new(tls).poll_write(cx, bytes))?
            }
            Stream::Layered(layer) => {
                self.unflushed = true;
                ready!(Pin::new(layer).poll_write(cx, bytes))?
            }
        };
        if length == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(length))
    }

    /// Sends what waits inside a TLS session. In the clear nothing ever waits.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            match &mut self.stream {
                Stream::Tcp(_) => {}
                Stream::Tls(tls) => ready!(Pin::new(tls).poll_flush(cx))?,
                Stream::Layered(layer) => ready!(Pin::new(layer).poll_flush(cx))?,
            }
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Stream::Layered(layer) => Pin::new(layer).poll_shutdown(cx),
        }
    }

    /// Writes all the bytes.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            while !bytes.is_empty() {
                let length = ready!(self.poll_write(cx, bytes))?;
                bytes = &bytes[length..];
            }
            self.poll_flush(cx)
        })
        .await
    }

    /// Says that nothing more will be written.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_shutdown(cx)).await
    }

    /// Whether an idle connection is still good: nothing has arrived, not even its end.
    ///
    /// The runtime knows of everything that had arrived when it last asked the kernel, which was when it learned of
    /// the request that is to be sent here. Only if it knows of something is the kernel asked again, since that may
    /// be old news: a system call on every use of every connection would buy a few microseconds of certainty, and
    /// the other side can close a moment later all the same.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.input.is_empty()
            && match &self.stream {
                Stream::Tcp(tcp) => is_quiet(tcp),
                Stream::Tls(tls) => is_quiet(tls.get_ref().0),
                Stream::Layered(layer) => layer.is_quiet(),
            }
    }

    /// Whether there may be something to read. Where a read has found nothing and nobody else reads, its task is woken
    /// before this becomes true.
    #[must_use]
    pub fn may_be_readable(&self) -> bool {
        match &self.stream {
            Stream::Tcp(tcp) => may_be_readable(tcp),
            Stream::Tls(tls) => may_be_readable(tls.get_ref().0),
            Stream::Layered(_) => true,
        }
    }

    /// Whether the other side has closed the connection behind what may still be unread.
    #[must_use]
    pub fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.stream {
            Stream::Tcp(tcp) => os::has_ended(tcp),
            Stream::Tls(tls) => os::has_ended(tls.get_ref().0),
            Stream::Layered(layer) => layer.has_ended(cx),
        }
    }

    /// Waits until the other side, which has ended the connection, refuses what was sent to it, and gives whether it
    /// did: see [`os::refusal`].
    pub async fn refusal(&self) -> bool {
        match self.tcp() {
            Some(tcp) => os::refusal(tcp).await,
            None => false,
        }
    }

    /// The connection of the system's that this has to itself, if it has one.
    fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Tcp(tcp) => Some(tcp),
            Stream::Tls(tls) => Some(tls.get_ref().0),
            Stream::Layered(layer) => layer.tcp(),
        }
    }

    /// Whether this is one stream of an HTTP/2 connection, made for one exchange.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(&self.stream, Stream::Layered(layer) if layer.is_http2())
    }

    /// Says whether an orderly end of this connection would now make an unfinished message look whole. While it
    /// would, the connection ends with a reset, however it comes to end.
    pub fn set_end_would_lie(&mut self, would_lie: bool) {
        self.end_would_lie = would_lie;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        match (&mut self.stream, self.end_would_lie) {
            (Stream::Tcp(_), false) => {}
            (Stream::Tls(tls), false) => layer::close_notify(tls),
            (Stream::Layered(layer), false) => layer.say_goodbye(),
            (Stream::Tcp(tcp), true) => reset(tcp),
            (Stream::Tls(tls), true) => reset(tls.get_ref().0),
            (Stream::Layered(layer), true) => layer.end_visibly(),
        }
    }
}

/// Whether nothing has arrived on an idle connection.
fn is_quiet(tcp: &TcpStream) -> bool {
    // What the runtime knows of may be old news.
    !(may_be_readable(tcp) && has_arrivals(tcp))
}

/// Whether the runtime knows of something to read. It is not asked to tell anybody when there is.
fn may_be_readable(tcp: &TcpStream) -> bool {
    tcp.try_io(Interest::READABLE, || Ok(())).is_ok()
}

/// Asks the kernel whether anything has arrived, or the end.
fn has_arrivals(tcp: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(tcp).peek(&mut byte);
    !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Lets a connection end with a reset. Where that cannot be set there is no connection left to reset.
fn reset(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, room),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, room),
            Self::Layered(layer) => Pin::new(layer).poll_read(cx, room),
        }
    }
}

fn poll_fill_from_tcp(tcp: &TcpStream, input: &mut Buffer, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        // Asking first keeps a silent stream from moving its buffer about each time that its task wakes.
        ready!(tcp.poll_read_ready(cx))?;
        let filled = input.fill(|room| {
            let most = room.len();
            if_not_blocked(transfer(tcp, Interest::READABLE, most, || tcp.try_read(room)))
        });
        if filled.is_ready() {
            return filled;
        }
    }
}

fn poll_write_to_tcp(tcp: &TcpStream, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        // Trying first: there nearly always is room, and no reason to be told of it.
        let written = if_not_blocked(transfer(tcp, Interest::WRITABLE, bytes.len(), || tcp.try_write(bytes)));
        if written.is_ready() {
            return written;
        }
        ready!(tcp.poll_write_ready(cx))?;
    }
}

/// Lets a socket that is believed to be ready carry so many bytes at most.
///
/// Where it carries fewer, there is nothing more, or no more room, for now. The runtime is told so, which spares the
/// system call that would find it out. Its own `poll_read` and `poll_write` do the same, but ask again for readiness
/// and for their share of the turn, which costs more than all the rest.
fn transfer(
    tcp: &TcpStream,
    interest: Interest,
    most: usize,
    carry: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut carried = 0;
    let result = tcp.try_io(interest, || {
        carried = carry()?;
        if 0 < carried && carried < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match result {
        Err(_) if carried > 0 => Ok(carried),
        result => result.map(|()| carried),
    }
}

fn if_not_blocked(result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
