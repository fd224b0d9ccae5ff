//! One timer for all the limits of a connection.
//!
//! Limits move with every byte, timers are dear. So the timer is left where it stands when a limit moves away from
//! it, and looks only when it fires whether there is still something to wait for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time that moves. One task waits for it.
#[derive(Default)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer knows whom to wake.
    is_armed: bool,
}

impl Deadline {
    /// Moves the deadline. `None` never comes.
    pub fn set(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        // A timer that knows its task need not be told again, only looked at: this is asked for with every byte.
        if self.is_armed && !timer.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            // In a turn that has used up its share it takes no notice of whom to wake.
            self.is_armed = coop::has_budget_remaining();
            ready!(timer.as_mut().poll(cx));
            self.is_armed = false;
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

/// The time, asked for at most once in each turn of a task.
#[derive(Default)]
pub struct Now(Option<Instant>);

impl Now {
    /// The time of this turn, which somebody has already asked for.
    #[must_use]
    pub fn known(now: Instant) -> Self {
        Self(Some(now))
    }

    /// The time of this turn.
    pub fn get(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }
}

/// The earlier of two deadlines, either of which may never come.
#[must_use]
pub fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_comes_when_it_was_last_set_to() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        for seconds in [1, 10, 3] {
            deadline.set(Some(start + Duration::from_secs(seconds)));
            poll_fn(|cx| {
                assert!(deadline.poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 3);
        deadline.set(Some(start + Duration::from_secs(7)));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn it_comes_though_the_turn_in_which_it_was_set_had_been_used_up() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Some(start + Duration::from_secs(1)));
        let mut is_first = true;
        poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                while let Poll::Ready(share) = coop::poll_proceed(cx) {
                    share.made_progress();
                }
            }
            deadline.poll(cx)
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}
