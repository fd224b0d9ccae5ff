//! Who keeps the others waiting, and until when.

use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::Break;
use crate::deadline::{Deadline, earlier};
use crate::error::Limit;

/// Who has kept the others waiting for too long.
#[derive(Debug, Clone, Copy)]
pub(super) enum Overdue {
    Upstream(Limit),
    ClientSends,
    ClientReads,
}

/// Something that is waited for: until when, and whose fault it is when it does not come. `None`: as long as it takes.
pub(super) type Wait = (Option<Instant>, Overdue);

impl From<Overdue> for Break {
    fn from(overdue: Overdue) -> Self {
        match overdue {
            Overdue::Upstream(limit) => Self::Timeout(limit),
            Overdue::ClientSends => Self::RequestTimeout,
            Overdue::ClientReads => Self::ClientStalled,
        }
    }
}

/// Pending until one of the waits has taken too long; then the error that names it. At `look_again` the task is woken
/// though none has.
pub(super) fn poll<T>(
    deadline: &mut Deadline,
    cx: &mut Context<'_>,
    waits: &[Wait],
    look_again: Option<Instant>,
) -> Poll<Result<T, Break>> {
    deadline.set(waits.iter().fold(look_again, |next, (at, _)| earlier(next, *at)));
    ready!(deadline.poll(cx));
    let fired = Instant::now();
    match waits.iter().find(|(at, _)| at.is_some_and(|at| at <= fired)) {
        Some((_, overdue)) => Poll::Ready(Err((*overdue).into())),
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
