//! One worker thread: its own runtime, its own door, its own upstream connections.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::crowd::{Crowd, Presence};
use super::doors::{Doors, Led};
use super::pulse::Asked;
use super::room::Room;
use crate::accept::{Arrival, Door, Gate, Listener, Seat};
use crate::config::Live;
use crate::drain::Phase;
use crate::proxy::{self, Worker};
use crate::record::Log;
use crate::upstream::Own;
use crate::wire::Conduit;

/// How long accepting rests when the system has no more sockets to give. To try again at once would burn the core
/// that could finish what is open.
const NO_SOCKETS_REST: Duration = Duration::from_millis(100);
/// How long idle clients have at the end to send a request that they have begun to send.
const IDLE_GRACE: Duration = Duration::from_millis(200);
/// How long they have if the process is only replaced: nobody waits for its end, and a client that asks again and again
/// should learn from an answer that its connection goes, not from a connection that is gone.
const KEEP_WHILE_GIVING_WAY: Duration = Duration::from_secs(5);

/// All that a worker needs to begin.
pub(super) struct Setting {
    pub(super) number: usize,
    pub(super) doors: Doors,
    pub(super) crowd: Crowd,
    pub(super) live: Arc<Live>,
    pub(super) log: Log,
    /// Where the program listens.
    pub(super) own: Own,
    pub(super) gate: Gate,
    /// To those who are told that there is no room. Beyond it they are shut out without a word.
    pub(super) turned_away: Gate,
    pub(super) room: Room,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) asked: Asked,
}

/// Serves until the end. `started` is told first whether that can be.
pub(super) fn run(setting: Setting, started: &SyncSender<io::Result<()>>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // They are there only while names are asked for, and nothing else is done on them: each question has its own.
        .max_blocking_threads(setting.room.upstreams.threads())
        .build_local(LocalOptions::default());
    let (runtime, result) = match runtime {
        Ok(runtime) => (Some(runtime), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Whoever started this waits for it.
    let _ = started.send(result);
    let Some(runtime) = runtime else { return };
    runtime.block_on(work(setting));
    // Threads that still wait for a name server must not hold up the end.
    runtime.shutdown_background();
}

async fn work(setting: Setting) {
    let Setting { number, doors, crowd, live, log, own, gate, turned_away, room, mut phase, asked } = setting;
    Conduit::allow(room.conduits);
    let worker = Rc::new(Worker::new(number, live, log, own, room.upstreams));
    worker.drain().attend(asked.answer());
    // Who sends here lives longer than the workers.
    let _ = phase.wait_for(|phase| *phase > Phase::Waiting).await;
    let mut entrance = Entrance {
        own: opened(doors.own),
        shared: opened(doors.shared),
        handed: doors.handed,
        hand_on: doors.hand_on,
        first: 0,
        next: number,
        number,
        crowd,
        host: Host { worker: Rc::clone(&worker), gate, turned_away },
    };
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase > Phase::Serving) => {}
        () = entrance.admit() => {}
        () = worker.upstreams().sweep() => {}
    }
    // From here on the tasks answer their last requests: nobody new comes in.
    worker.drain().begin(Phase::GivingWay);
    entrance.admit_waiting();
    drop(entrance);

    let drain = worker.drain();
    let mut cutting = phase.clone();
    let last_requests = async {
        let _ = timeout(KEEP_WHILE_GIVING_WAY, phase.wait_for(|phase| *phase > Phase::GivingWay)).await;
        drain.begin(Phase::Draining);
        tokio::time::sleep(IDLE_GRACE).await;
        drain.end_idle();
        drain.empty().await;
    };
    tokio::select! {
        biased;
        () = drain.empty() => return,
        () = last_requests => return,
        _ = cutting.wait_for(|phase| *phase == Phase::Cutting) => {}
    }
    drain.cut();
    drain.empty().await;
}

fn opened(listeners: Vec<Listener>) -> Vec<Door> {
    listeners.into_iter().filter_map(|listener| Door::new(listener).ok()).collect()
}

/// Where connections come in.
struct Entrance {
    own: Vec<Door>,
    shared: Vec<Door>,
    handed: Option<mpsc::Receiver<Led>>,
    hand_on: Vec<mpsc::Sender<Led>>,
    /// Which door is looked at first: at each of them somebody may always be waiting.
    first: usize,
    /// Whose turn it is with those from the shared doors, if several have equally few.
    next: usize,
    number: usize,
    crowd: Crowd,
    host: Host,
}

/// A connection that has come in.
enum Came {
    /// For this worker.
    Here(Arrival),
    /// For any worker.
    Anywhere(Arrival),
    /// From another worker, with its place.
    Led(Arrival, Seat, Presence),
}

/// Who receives them.
struct Host {
    worker: Rc<Worker>,
    gate: Gate,
    turned_away: Gate,
}

impl Entrance {
    /// Lets clients in, for ever.
    async fn admit(&mut self) {
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(Came::Here(arrival)) => self.place(arrival, self.crowd.balance(self.number)),
                Ok(Came::Anywhere(arrival)) => {
                    let (fewest, _) = self.crowd.fewest(self.next);
                    self.next = fewest + 1;
                    self.place(arrival, fewest);
                }
                Ok(Came::Led(arrival, seat, presence)) => self.host.serve(arrival, seat, presence),
                Err(error) if is_about_one_client(&error) => {}
                Err(_) => {
                    self.host.worker.upstreams().make_room();
                    tokio::time::sleep(NO_SOCKETS_REST).await;
                }
            }
        }
    }

    /// Lets those in who have connected already but were not looked at yet.
    fn admit_waiting(&mut self) {
        if let Some(handed) = &mut self.handed {
            // What is not on its way yet stays with the worker that has it.
            handed.close();
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(came)) = self.poll_accept(&mut cx) {
            match came {
                Came::Here(arrival) | Came::Anywhere(arrival) => self.place(arrival, self.number),
                Came::Led(arrival, seat, presence) => self.host.serve(arrival, seat, presence),
            }
        }
    }

    /// The next connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Came>> {
        let count = self.own.len() + self.shared.len();
        for place in (self.first..count).chain(0..self.first) {
            let (door, came): (_, fn(Arrival) -> Came) = match self.own.get(place) {
                Some(door) => (door, Came::Here),
                None => (&self.shared[place - self.own.len()], Came::Anywhere),
            };
            if let Poll::Ready(result) = door.poll_accept(cx) {
                self.first = (place + 1) % count;
                return Poll::Ready(result.map(came));
            }
        }
        match self.handed.as_mut().map(|handed| handed.poll_recv(cx)) {
            Some(Poll::Ready(Some((handed, seat, presence)))) => {
                Poll::Ready(handed.take().map(|arrival| Came::Led(arrival, seat, presence)))
            }
            _ => Poll::Pending,
        }
    }

    /// Gives a connection to this worker or to another one.
    fn place(&self, arrival: Arrival, worker: usize) {
        let Some(seat) = self.host.seat() else { return self.host.turn_away(arrival) };
        let presence = self.crowd.join(worker);
        let hand_on = self.hand_on.get(worker).filter(|_| worker != self.number);
        let Some(hand_on) = hand_on else { return self.host.serve(arrival, seat, presence) };
        let Ok(handed) = arrival.hand_over() else { return };
        if let Err(refused) = hand_on.try_send((handed, seat, presence)) {
            let (handed, seat, presence) = refused.into_inner();
            drop(presence);
            if let Ok(arrival) = handed.take() {
                // A worker that cannot keep up does not get more; this one does what it can.
                self.host.serve(arrival, seat, self.crowd.join(self.number));
            }
        }
    }
}

impl Host {
    fn seat(&self) -> Option<Seat> {
        self.gate.enter(self.worker.snapshot().max_connections)
    }

    fn serve(&self, arrival: Arrival, seat: Seat, presence: Presence) {
        let worker = Rc::clone(&self.worker);
        self.worker.drain().spawn(|ticket| async move {
            let _presence = presence;
            proxy::serve(arrival, ticket, seat, worker).await;
        });
    }

    fn turn_away(&self, arrival: Arrival) {
        let worker = Rc::clone(&self.worker);
        if let Some(seat) = self.turned_away.enter(usize::MAX) {
            self.worker.drain().spawn(|ticket| proxy::turn_away(arrival, ticket, seat, worker));
        }
    }
}

/// Whether an error of accept says something about one client only, who has gone again.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
