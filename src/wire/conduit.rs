//! A way from wire to wire past the program: what a large body is made of need not be copied in and out again.
//!
//! A conduit holds what has been taken from one connection and not yet been sent on the other, as a read buffer would.
//! It is there only while there is something in it; an empty one goes back to a small stock of the thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};

use super::buffer::SIZE;
use super::{Stream, Wire};
use crate::os::Pipe;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Bytes on their way.
#[derive(Debug)]
pub struct Conduit {
    /// Gone only when it has been given back.
    pipe: Option<Pipe>,
    held: usize,
}

impl Conduit {
    /// How many bytes wait in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Allows this thread to use so many at once. Each takes two files, and whoever reads slowly may hold one for long;
    /// what finds none goes through read buffers.
    pub fn allow(count: usize) {
        LEFT.set(count);
    }

    fn take() -> Option<Self> {
        let left = LEFT.get().checked_sub(1)?;
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let pipe = spare.map_or_else(Pipe::new, Ok).ok()?;
        LEFT.set(left);
        Some(Self { pipe: Some(pipe), held: 0 })
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        // Those are gone when a thread ends; then the pipe simply is closed. So is one in which something is left.
        let _ = LEFT.try_with(|left| left.set(left.get() + 1));
        if let Some(pipe) = self.pipe.take().filter(|_| self.held == 0) {
            let _ = SPARE.try_with(|spare| spare.borrow_mut().push(pipe));
        }
    }
}

impl Wire {
    /// Whether what arrives here can go to another wire through a [`Conduit`]: both are TCP in the clear.
    #[must_use]
    pub fn can_pass_by(&self, to: &Self) -> bool {
        matches!((&self.stream, &to.stream), (Stream::Tcp(_), Stream::Tcp(_)))
    }

    /// Takes up to so many bytes of what has arrived, and not into [`Wire::input`]. `Ok(Some)` of nothing is the end of
    /// the stream; `Ok(None)`: it cannot be done here or now, and they have to be read.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Option<Conduit>>> {
        let Stream::Tcp(tcp) = &self.stream else { return Poll::Ready(Ok(None)) };
        let Some(mut conduit) = Conduit::take() else { return Poll::Ready(Ok(None)) };
        let Some(pipe) = &conduit.pipe else { return Poll::Ready(Ok(None)) };
        let most = usize::try_from(most).map_or(SIZE, |most| most.min(SIZE));
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            match pipe.take_from(tcp, most) {
                Ok(length) => {
                    conduit.held = length;
                    return Poll::Ready(Ok(Some(conduit)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_refusal(&error) => {
                    drop(conduit);
                    Conduit::allow(0);
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what of it the stream takes now.
    pub fn poll_give(&mut self, cx: &mut Context<'_>, conduit: &mut Conduit) -> Poll<io::Result<()>> {
        let (Stream::Tcp(tcp), Some(pipe)) = (&self.stream, &conduit.pipe) else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match pipe.give_to(tcp, conduit.held) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(length) => {
                    conduit.held -= length;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Whether the system says that it does no such thing: it cannot, or whoever runs it does not want it to.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied)
}
