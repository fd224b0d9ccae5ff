//! The running program: workers that serve, one thread that watches over them.

mod activation;
mod control;
mod crowd;
mod doors;
#[cfg(unix)]
mod handover;
mod heritage;
#[cfg(unix)]
mod predecessor;
mod pulse;
mod room;
mod service;
mod state;
mod succession;
#[cfg(unix)]
mod successor;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use crate::accept::{At, BindError, Gate};
use crate::config::{Live, Snapshot};
use crate::drain::Phase;
use crate::os;
use crate::record::Log;
use crate::upstream::Own;

pub use control::{Ended, errors, report_panics, run, warn};
use crowd::Crowd;
use doors::Opened;
pub use doors::Site;
pub use heritage::Heritage;
use pulse::Pulse;
use room::Room;
use worker::Setting;

/// A proxy at work.
pub struct App {
    /// Where it listens.
    pub sites: Vec<Site>,
    /// How many clients may be connected, given the system's limit on open files.
    pub max_connections: usize,
    heritage: Heritage,
    phase: watch::Sender<Phase>,
    gate: Gate,
    pulse: Pulse,
    workers: Vec<JoinHandle<()>>,
}

/// Why a proxy could not start.
#[derive(Debug)]
pub enum StartError {
    /// The name of the host to listen on could not be resolved.
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        error: io::Error,
    },
    /// The address cannot be listened on.
    Bind(BindError),
    /// The local socket cannot be listened on.
    Socket(BindError),
    /// What the manager of services says of its sockets has no meaning.
    BadActivation(io::Error),
    /// The sockets of the process that is to be replaced cannot be had.
    BadHandover(io::Error),
    /// A socket of the manager of services is not one at which clients come in.
    BadSocket(String),
    /// A socket of the manager of services is at a place that the configuration does not name.
    UnnamedSocket {
        /// Where it is.
        at: At,
        /// What the configuration names.
        places: String,
    },
    /// The system refuses a thread or the like.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "{host}: {error}"),
            Self::Bind(error) | Self::Socket(error) => write!(f, "{error}"),
            Self::BadActivation(error) | Self::BadHandover(error) | Self::System(error) => write!(f, "{error}"),
            Self::BadSocket(name) => f.write_str(name),
            Self::UnnamedSocket { at, .. } => write!(f, "{at}"),
        }
    }
}

impl std::error::Error for StartError {}

impl App {
    /// Starts to listen and to serve, at inherited sockets where there are any. If the sockets are those of a process
    /// that still serves, nobody is served before [`run`] has its leave.
    ///
    /// # Errors
    /// The address, or threads, cannot be had.
    pub fn start(live: &Arc<Live>, log: &Log, heritage: Heritage) -> Result<Self, StartError> {
        let Heritage { mut inherited, predecessor } = heritage;
        state::attend(live, log);
        let snapshot = Arc::clone(&live.current());
        let places = &snapshot.listen.places;
        let opened = doors::open(places, workers(&snapshot), &mut inherited)?;
        if let (None, Some(left)) = (&predecessor, inherited.left().first()) {
            // Clients could connect there, and would wait for ever.
            let places = places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(StartError::UnnamedSocket { at: left.at.clone(), places });
        }
        let mut app = Self::behind(opened, room(&snapshot), live, log)?;
        app.heritage = Heritage { inherited, predecessor };
        if app.heritage.predecessor.is_none() {
            app.open().into_iter().next().map_or(Ok(()), |error| Err(StartError::Bind(error)))?;
        }
        Ok(app)
    }

    /// Lets clients in. Gives where that fails.
    fn open(&mut self) -> Vec<BindError> {
        let failed = self.sites.iter_mut().filter_map(|site| site.open().err()).collect();
        self.phase.send_replace(Phase::Serving);
        failed
    }

    /// Closes the inherited sockets that no door has taken, and gives where they were.
    #[cfg(unix)]
    fn leave_behind(&mut self) -> Vec<At> {
        let inherited = std::mem::take(&mut self.heritage.inherited);
        for mut file in inherited.left().iter().filter_map(doors::file_of) {
            file.claim();
        }
        inherited.left().iter().map(|given| given.at.clone()).collect()
    }

    /// Starts the workers behind their doors.
    fn behind(opened: Opened, room: Room, live: &Arc<Live>, log: &Log) -> Result<Self, StartError> {
        let Opened { sites, doors } = opened;
        let (phase, _) = watch::channel(Phase::Waiting);
        let (gate, turned_away) = (Gate::to(room.clients), Gate::to(room.turned_away));
        let max_connections = live.current().max_connections.min(room.clients);
        let own = Own::new(&sites.iter().filter_map(Site::address).collect::<Vec<_>>());
        let pulse = Pulse::default();
        let heritage = Heritage::default();
        let mut app = Self { sites, max_connections, heritage, phase, gate, pulse, workers: Vec::new() };
        let crowd = Crowd::of(doors.len());
        for (number, doors) in doors.into_iter().enumerate() {
            let setting = Setting {
                number,
                doors,
                crowd: crowd.clone(),
                live: Arc::clone(live),
                log: log.clone(),
                own: own.clone(),
                gate: app.gate.clone(),
                turned_away: turned_away.clone(),
                room,
                phase: app.phase.subscribe(),
                asked: app.pulse.of_another(),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            let (started, has_started) = sync_channel(1);
            let work = move || worker::run(setting, &started);
            app.workers.push(thread.spawn(work).map_err(StartError::System)?);
            // One that cannot work must not be found out by clients.
            let result = has_started.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)));
            result.map_err(StartError::System)?;
        }
        Ok(app)
    }

    /// Takes no new connections: another process does, at the same sockets. Who is connected need not hurry.
    pub fn give_way(&mut self) {
        self.sites.drain(..).for_each(Site::leave);
        self.phase.send_replace(Phase::GivingWay);
    }

    /// Takes no new connections, and lets what runs come to its end.
    pub fn drain(&mut self) {
        // First the files go: who comes now finds the socket of a successor, or none.
        self.sites.clear();
        self.phase.send_replace(Phase::Draining);
    }

    /// Cuts off whatever still runs.
    pub fn cut(&self) {
        self.phase.send_replace(Phase::Cutting);
    }

    /// The addresses at which it listens.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sites.iter().filter_map(Site::address)
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gate.taken()
    }

    /// Waits until every worker has shown that it is alive, and gives whether all of them are still there.
    pub async fn is_alive(&self) -> bool {
        self.pulse.beats().await
    }

    /// Whether every worker has come to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished)
    }

    /// Waits until every worker has come to its end.
    pub async fn ended(&self) {
        // Every worker holds a receiver for as long as it works.
        self.phase.closed().await;
    }

    /// Waits for the threads to be gone.
    pub fn join(self) {
        for worker in self.workers {
            // A worker that panicked has been reported by the panic hook.
            let _ = worker.join();
        }
    }
}

/// How many clients may be connected with this configuration, if it is started from here. The limit on open files may be
/// another one elsewhere.
#[must_use]
pub fn max_connections(snapshot: &Snapshot) -> usize {
    snapshot.max_connections.min(room(snapshot).clients)
}

fn room(snapshot: &Snapshot) -> Room {
    Room::within(os::raise_file_limit(), workers(snapshot), snapshot.listen.places.len())
}

fn workers(snapshot: &Snapshot) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    snapshot.listen.workers.unwrap_or_else(cores).max(1)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::accept;
    use crate::config::{Overrides, Source};
    use crate::record::Output;
    use crate::text::Lang;

    #[test]
    fn nobody_watches_over_nobody() {
        let source = Source::text("{}", Overrides::default(), Lang::En);
        let live = Arc::new(Live::start(source).expect("good").0);
        let log = Log::start(Output::console(), Lang::En).expect("a thread");
        let opened = Opened { sites: Vec::new(), doors: Vec::new() };
        let app = App::behind(opened, Room::within(None, 3, 1), &live, &log).expect("starts");
        // As if every worker had met a bug.
        assert_eq!(run(app, &live, &log, |_| {}).expect("a runtime"), Ended::Lost);
    }

    #[test]
    fn where_listeners_cannot_share_one_worker_hands_connections_on() {
        let source = Source::text(r#"{"server": {"log_requests": false}}"#, Overrides::default(), Lang::En);
        let live = Arc::new(Live::start(source).expect("good").0);
        let log = Log::start(Output::console(), Lang::En).expect("a thread");
        let (address, listeners) = accept::bind("127.0.0.1:0".parse().expect("valid"), 1).expect("binds");
        listeners[0].listen().expect("listens");
        let doors = doors::share((0..3).map(|_| Vec::new()).collect(), listeners);
        let opened = Opened { sites: Vec::new(), doors };
        let mut app = App::behind(opened, Room::within(None, 3, 1), &live, &log).expect("starts");
        assert!(app.open().is_empty());
        // Each worker has its turn twice, and all of them are open at once.
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let mut client = TcpStream::connect(address).expect("a connection");
                client.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
                client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("a proxy");
                let mut answer = [0; 15];
                client.read_exact(&mut answer).expect("an answer");
                assert_eq!(&answer, b"HTTP/1.1 200 OK");
                client
            })
            .collect();
        assert_eq!(app.connections(), 6);
        app.drain();
        app.join();
        drop(clients);
    }
}
