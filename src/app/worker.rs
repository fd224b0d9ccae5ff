//! One worker thread: its own runtime, its own door, its own upstream connections.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::accept::{Arrival, Gate};
use crate::config::Live;
use crate::drain::Phase;
use crate::proxy::{self, Worker};
use crate::record::Log;

/// How many threads may wait for name servers. They are there only while names are asked for.
const MAX_RESOLVING: usize = 32;
/// How long accepting rests when the system has no more sockets to give. To try again at once would burn the core
/// that could finish what is open.
const NO_SOCKETS_REST: Duration = Duration::from_millis(100);
/// How long idle clients have at the end to send a request that they have begun to send.
const IDLE_GRACE: Duration = Duration::from_millis(200);
/// How many clients at once are told that there is no room. Beyond that they are shut out without a word.
const MAX_TURNED_AWAY: usize = 256;

/// How connections come to a worker, and how they go on from it.
pub(super) struct Door {
    pub(super) listeners: Vec<StdListener>,
    pub(super) handed: Option<mpsc::Receiver<Handed>>,
    pub(super) hand_on: Vec<mpsc::Sender<Handed>>,
}

/// A connection on its way from the worker that accepted it to the one that will serve it.
pub(super) type Handed = (StdStream, SocketAddr);

/// All that a worker needs to begin.
pub(super) struct Setting {
    pub(super) number: usize,
    pub(super) door: Door,
    pub(super) live: Arc<Live>,
    pub(super) log: Log,
    pub(super) gate: Gate,
    pub(super) max_connections: usize,
    pub(super) phase: watch::Receiver<Phase>,
}

pub(super) fn run(setting: Setting) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_RESOLVING)
        .build_local(LocalOptions::default())
        .expect("a worker needs a runtime; the system refuses it");
    runtime.block_on(work(setting));
    // Threads that still wait for a name server must not hold up the end.
    runtime.shutdown_background();
}

async fn work(setting: Setting) {
    let Setting { number, door, live, log, gate, max_connections, mut phase } = setting;
    let worker = Rc::new(Worker::new(number, live, log));
    let mut entrance = Entrance {
        listeners: door.listeners.into_iter().filter_map(|listener| TcpListener::from_std(listener).ok()).collect(),
        handed: door.handed,
        hand_on: door.hand_on,
        next: 0,
        host: Host { worker: Rc::clone(&worker), gate, turned_away: Gate::default(), max_connections },
    };
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase > Phase::Serving) => {}
        () = entrance.admit() => {}
        () = worker.upstreams().sweep() => {}
    }
    // From here on the tasks answer their last requests: nobody new comes in.
    worker.drain().begin();
    entrance.admit_waiting();
    drop(entrance);

    let drain = worker.drain();
    let last_requests = async {
        tokio::time::sleep(IDLE_GRACE).await;
        drain.end_idle();
        drain.empty().await;
    };
    tokio::select! {
        biased;
        () = drain.empty() => return,
        () = last_requests => return,
        _ = phase.wait_for(|phase| *phase == Phase::Cutting) => {}
    }
    drain.cut();
    drain.empty().await;
}

/// Where connections come in.
struct Entrance {
    listeners: Vec<TcpListener>,
    handed: Option<mpsc::Receiver<Handed>>,
    hand_on: Vec<mpsc::Sender<Handed>>,
    /// Whose turn it is: 0 is this worker's own.
    next: usize,
    host: Host,
}

/// Who receives them.
struct Host {
    worker: Rc<Worker>,
    gate: Gate,
    turned_away: Gate,
    max_connections: usize,
}

impl Entrance {
    /// Lets clients in, for ever.
    async fn admit(&mut self) {
        loop {
            match self.accept().await {
                Ok((tcp, peer)) => self.pass_on(tcp, peer),
                Err(error) if is_about_one_client(&error) => {}
                Err(_) => tokio::time::sleep(NO_SOCKETS_REST).await,
            }
        }
    }

    /// Lets those in who have connected already but were not looked at yet.
    fn admit_waiting(&mut self) {
        for listener in &self.listeners {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            while let Poll::Ready(Ok((tcp, peer))) = listener.poll_accept(&mut cx) {
                self.host.receive(tcp, peer);
            }
        }
        while let Some(handed) = self.handed.as_mut().and_then(|handed| handed.try_recv().ok()) {
            self.host.receive_handed(handed);
        }
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            for listener in &self.listeners {
                if let Poll::Ready(result) = listener.poll_accept(cx) {
                    return Poll::Ready(result);
                }
            }
            if let Some(Poll::Ready(Some((tcp, peer)))) = self.handed.as_mut().map(|handed| handed.poll_recv(cx)) {
                return Poll::Ready(TcpStream::from_std(tcp).map(|tcp| (tcp, peer)));
            }
            Poll::Pending
        })
        .await
    }

    /// Gives a connection to the worker whose turn it is.
    fn pass_on(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let turn = self.next;
        self.next = (self.next + 1) % (self.hand_on.len() + 1);
        if turn == 0 {
            return self.host.receive(tcp, peer);
        }
        let Ok(tcp) = tcp.into_std() else { return };
        if let Err(refused) = self.hand_on[turn - 1].try_send((tcp, peer)) {
            // A worker that cannot keep up does not get more; this one does what it can.
            self.host.receive_handed(refused.into_inner());
        }
    }
}

impl Host {
    fn receive_handed(&self, (tcp, peer): Handed) {
        if let Ok(tcp) = TcpStream::from_std(tcp) {
            self.receive(tcp, peer);
        }
    }

    fn receive(&self, tcp: TcpStream, peer: SocketAddr) {
        let worker = Rc::clone(&self.worker);
        let arrival = Arrival::Tcp(tcp, peer);
        let max = self.max_connections.min(self.worker.snapshot().max_connections);
        if let Some(seat) = self.gate.enter(max) {
            self.worker.drain().spawn(|ticket| proxy::serve(arrival, ticket, seat, worker));
        } else if let Some(seat) = self.turned_away.enter(MAX_TURNED_AWAY) {
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
