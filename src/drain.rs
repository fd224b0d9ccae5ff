//! Who is still at work: every task of a worker is tracked here, so that an end can wait for it or cut it off.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet: another process serves until this one may.
    Waiting,
    /// No end in sight.
    Serving,
    /// No new connections: another process serves them. Who is connected is told at his next answer, and may take his
    /// time until then.
    GivingWay,
    /// No new connections; every exchange that has begun may finish, and its connection closes after it.
    Draining,
    /// Whatever still runs is cut off.
    Cutting,
}

/// The tasks of one worker.
#[derive(Clone)]
pub struct Drain(Rc<Shared>);

/// One task's place among them. The task holds it for as long as it lives.
pub struct Ticket {
    drain: Drain,
    number: u64,
    idle: Rc<Cell<bool>>,
}

struct Shared {
    phase: Cell<Phase>,
    next: Cell<u64>,
    tasks: RefCell<HashMap<u64, Task>>,
    changed: Notify,
    begun: Notify,
}

struct Task {
    abort: Option<AbortHandle>,
    idle: Rc<Cell<bool>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self(Rc::new(Shared {
            phase: Cell::new(Phase::Serving),
            next: Cell::new(0),
            tasks: RefCell::default(),
            changed: Notify::new(),
            begun: Notify::new(),
        }))
    }
}

impl Drain {
    /// How far the end has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts a task that is tracked. Must be called on the worker's own thread, inside its runtime.
    pub fn spawn<F>(&self, task: impl FnOnce(Ticket) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        let idle = Rc::new(Cell::new(false));
        self.0.tasks.borrow_mut().insert(number, Task { abort: None, idle: Rc::clone(&idle) });
        let ticket = Ticket { drain: self.clone(), number, idle };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns: it tracks")]
        let handle = tokio::task::spawn_local(task(ticket));
        // The task has not run yet, so its entry is still there.
        if let Some(task) = self.0.tasks.borrow_mut().get_mut(&number) {
            task.abort = Some(handle.abort_handle());
        }
    }

    /// Starts a task that only serves others, such as the driver of a shared connection: an end does not wait for it,
    /// and it goes with the worker's runtime.
    pub fn attend(&self, task: impl Future<Output = ()> + 'static) {
        #[expect(clippy::disallowed_methods, reason = "nothing is lost when it is dropped")]
        tokio::task::spawn_local(task);
    }

    /// Begins a phase of the end: every connection closes after its next answer.
    pub fn begin(&self, phase: Phase) {
        self.0.phase.set(phase);
        self.0.begun.notify_waiters();
    }

    /// Waits until no new exchange may begin.
    pub async fn begun(&self) {
        if self.phase() == Phase::Serving {
            self.0.begun.notified().await;
        }
    }

    /// Ends the tasks that only wait for a next exchange.
    pub fn end_idle(&self) {
        self.abort(|task| task.idle.get());
    }

    /// Cuts off every task that is left.
    pub fn cut(&self) {
        self.0.phase.set(Phase::Cutting);
        self.abort(|_| true);
    }

    /// Waits until no task is left.
    pub async fn empty(&self) {
        while !self.is_empty() {
            self.0.changed.notified().await;
        }
    }

    fn abort(&self, which: impl Fn(&Task) -> bool) {
        // The handles are taken out first: a task that ends takes its entry away.
        let handles: Vec<_> =
            self.0.tasks.borrow().values().filter(|task| which(task)).filter_map(|task| task.abort.clone()).collect();
        for handle in handles {
            handle.abort();
        }
    }
}

impl Ticket {
    /// How far the end has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.drain.phase()
    }

    /// Waits until no new exchange may begin.
    pub async fn begun(&self) {
        self.drain.begun().await;
    }

    /// Says whether the task has nothing to lose: it waits for the first byte of a next exchange.
    pub fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.drain.0.tasks.borrow_mut().remove(&self.number);
        if self.drain.is_empty() {
            self.drain.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().build_local(tokio::runtime::LocalOptions::default());
        runtime.expect("a runtime").block_on(test);
    }

    #[test]
    fn an_end_waits_for_what_runs() {
        run(async {
            let drain = Drain::default();
            drain.empty().await;
            let (go, wait) = tokio::sync::oneshot::channel::<()>();
            drain.spawn(|ticket| async move {
                let _ticket = ticket;
                let _ = wait.await;
            });
            drain.begin(Phase::Draining);
            drain.end_idle();
            assert_eq!((drain.len(), drain.phase()), (1, Phase::Draining));
            go.send(()).expect("the task waits");
            drain.empty().await;
        });
    }

    #[test]
    fn idle_tasks_end_at_once_and_the_others_when_they_are_cut() {
        run(async {
            let drain = Drain::default();
            for idle in [true, false] {
                drain.spawn(|ticket| async move {
                    ticket.set_idle(idle);
                    pending::<()>().await;
                });
            }
            tokio::task::yield_now().await;
            drain.begin(Phase::Draining);
            drain.end_idle();
            while drain.len() == 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(drain.len(), 1);
            drain.cut();
            drain.empty().await;
            assert_eq!(drain.phase(), Phase::Cutting);
        });
    }

    #[test]
    fn a_panic_ends_one_task() {
        run(async {
            let drain = Drain::default();
            drain.spawn(|_ticket| async { panic!("a bug") });
            drain.empty().await;
        });
    }
}
