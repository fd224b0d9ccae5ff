//! Streams over streams: what is spoken over another wire, and what only looks like one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsStream;

use super::Wire;
#[cfg(unix)]
use crate::os;

/// A stream of bytes of any kind: TLS over a tunnel, a local socket, one stream of an HTTP/2 connection.
pub trait Layer: AsyncRead + AsyncWrite + Unpin {
    /// Whether an idle connection is still good: nothing has arrived, not even its end.
    fn is_quiet(&self) -> bool;

    /// Whether the other side has gone, whatever may still wait to be read. If not, the task is woken when it does
    /// where that can be had.
    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool;

    /// Says that the stream ends, where there is a word for that and it can be sent at once.
    fn say_goodbye(&mut self) {}

    /// Lets the stream end in such a way that the other side cannot take what it has got for the whole.
    fn end_visibly(&mut self);

    /// The connection of the system's that it has to itself, if it has one.
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }

    /// Whether it is one stream of an HTTP/2 connection, made for one exchange.
    fn is_http2(&self) -> bool {
        false
    }
}

/// TLS over another wire: through a tunnel, or inside another TLS session.
impl Layer for TlsStream<Wire> {
    fn is_quiet(&self) -> bool {
        self.get_ref().0.is_quiet()
    }

    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        self.get_mut().0.has_ended(cx)
    }

    fn say_goodbye(&mut self) {
        close_notify(self);
    }

    fn end_visibly(&mut self) {
        self.get_mut().0.set_end_would_lie(true);
    }

    fn tcp(&self) -> Option<&TcpStream> {
        self.get_ref().0.tcp()
    }
}

/// A local socket. It knows no reset: nobody can tell a cut from an end on it but by what is said over it.
#[cfg(unix)]
impl Layer for UnixStream {
    fn is_quiet(&self) -> bool {
        self.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn has_ended(&mut self, _cx: &mut Context<'_>) -> bool {
        os::local_has_ended(self)
    }

    fn end_visibly(&mut self) {}
}

/// Sends the word of TLS for an end, as far as the stream takes it now. Without it the other side would have to
/// suspect a cut.
pub(super) fn close_notify<S: AsyncRead + AsyncWrite + Unpin>(tls: &mut TlsStream<S>) {
    tls.get_mut().1.send_close_notify();
    let _ = Pin::new(tls).poll_flush(&mut Context::from_waker(Waker::noop()));
}

/// As a stream under another layer. What has already arrived is read first.
impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.input.is_empty() {
            return wire.stream.poll_read(cx, room);
        }
        let length = wire.input.len().min(room.remaining());
        room.put_slice(&wire.input.filled()[..length]);
        wire.input.consume(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Wire::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Wire::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Wire::poll_shutdown(self.get_mut(), cx)
    }
}
