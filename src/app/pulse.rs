//! Whether the workers are alive: each is asked, and a thread that hangs cannot answer.

use tokio::sync::{mpsc, oneshot};

/// A question to a worker. To be asked is all it has to do: the requests that it serves do not come into it.
type Question = oneshot::Sender<()>;

/// Where the workers are asked.
#[derive(Debug, Default)]
pub(super) struct Pulse(Vec<mpsc::Sender<Question>>);

/// Where a worker is asked.
pub(super) struct Asked(mpsc::Receiver<Question>);

impl Pulse {
    /// One more worker to ask.
    pub(super) fn of_another(&mut self) -> Asked {
        let (ask, asked) = mpsc::channel(1);
        self.0.push(ask);
        Asked(asked)
    }

    /// Waits until every worker has answered. Gives whether all of them did: one that is gone never will.
    pub(super) async fn beats(&self) -> bool {
        for worker in &self.0 {
            let (answer, answered) = oneshot::channel();
            if worker.send(answer).await.is_err() || answered.await.is_err() {
                return false;
            }
        }
        true
    }
}

impl Asked {
    /// Answers for as long as this is polled.
    pub(super) async fn answer(mut self) {
        while let Some(question) = self.0.recv().await {
            // Who asked may have lost patience.
            let _ = question.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn one_that_hangs_is_noticed_and_so_is_one_that_is_gone() {
        let mut pulse = Pulse::default();
        let (mut well, mut ill) = (pin!(pulse.of_another().answer()), pin!(pulse.of_another().answer()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut beats = pin!(pulse.beats());
        for _ in 0..3 {
            assert!(beats.as_mut().poll(&mut cx).is_pending());
            assert!(well.as_mut().poll(&mut cx).is_pending());
        }
        assert!(beats.as_mut().poll(&mut cx).is_pending(), "the other has not answered");
        assert!(ill.as_mut().poll(&mut cx).is_pending());
        assert_eq!(beats.as_mut().poll(&mut cx), std::task::Poll::Ready(true));

        let mut pulse = Pulse::default();
        drop(pulse.of_another());
        assert_eq!(pin!(pulse.beats()).poll(&mut cx), std::task::Poll::Ready(false));
    }
}
