//! The running program: workers that serve, one thread that watches over them.

mod control;
mod worker;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, watch};

use crate::accept::{self, BindError, Gate};
use crate::config::{Listen, Live, Snapshot};
use crate::drain::Phase;
use crate::os;
use crate::record::Log;

pub use control::{Ended, errors, report_panics, run, warn};
use worker::{Door, Setting};

/// How many open files are kept for what is neither a client nor its upstream.
const FILES_RESERVED: u64 = 64;
/// A client and its upstream.
const FILES_PER_CLIENT: u64 = 2;

/// A proxy at work.
pub struct App {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// How many clients may be connected, given the system's limit on open files.
    pub max_connections: usize,
    phase: watch::Sender<Phase>,
    gate: Gate,
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
    /// No thread could be had.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "{host}: {error}"),
            Self::Bind(error) => write!(f, "{error}"),
            Self::Thread(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl App {
    /// Starts to listen and to serve.
    ///
    /// # Errors
    /// The address, or threads, cannot be had.
    pub fn start(live: &Arc<Live>, log: &Log) -> Result<Self, StartError> {
        let snapshot = Arc::clone(&live.current());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = snapshot.listen.workers.unwrap_or(cores).max(1);
        let (addresses, doors) = open_doors(&snapshot.listen, workers)?;
        Self::behind(doors, addresses, max_connections(&snapshot), live, log)
    }

    /// Starts a worker behind each door.
    fn behind(
        doors: Vec<Door>,
        addresses: Vec<SocketAddr>,
        max_connections: usize,
        live: &Arc<Live>,
        log: &Log,
    ) -> Result<Self, StartError> {
        let (phase, _) = watch::channel(Phase::Serving);
        let gate = Gate::default();
        let mut app = Self { addresses, max_connections, phase, gate, workers: Vec::new() };
        for (number, door) in doors.into_iter().enumerate() {
            let setting = Setting {
                number,
                door,
                live: Arc::clone(live),
                log: log.clone(),
                gate: app.gate.clone(),
                max_connections,
                phase: app.phase.subscribe(),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            app.workers.push(thread.spawn(move || worker::run(setting)).map_err(StartError::Thread)?);
        }
        Ok(app)
    }

    /// Takes no new connections, and lets what runs come to its end.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Cuts off whatever still runs.
    pub fn cut(&self) {
        self.phase.send_replace(Phase::Cutting);
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gate.taken()
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

/// One door for each worker.
fn open_doors(listen: &Listen, workers: usize) -> Result<(Vec<SocketAddr>, Vec<Door>), StartError> {
    let mut wanted = resolve(listen)?;
    let sockets = if os::LISTENERS_SHARE { workers } else { 1 };
    let mut addresses = Vec::new();
    let mut listeners: Vec<Vec<TcpListener>> = (0..sockets).map(|_| Vec::new()).collect();
    let last = wanted.len() - 1;
    for place in 0..wanted.len() {
        match accept::bind(wanted[place], sockets) {
            Ok(bound) => {
                for (listeners, listener) in listeners.iter_mut().zip(bound) {
                    if addresses.len() <= place {
                        addresses.extend(listener.local_addr());
                    }
                    listeners.push(listener);
                }
                // Every address of a name gets the port that the first was given.
                let port = addresses.last().map_or(0, SocketAddr::port);
                wanted.iter_mut().for_each(|address| address.set_port(port));
            }
            // A name may have an address of a family that this machine does not have.
            Err(error)
                if error.error.kind() == io::ErrorKind::AddrNotAvailable && (place < last || !addresses.is_empty()) => {
            }
            Err(error) => return Err(StartError::Bind(error)),
        }
    }
    Ok((addresses, if os::LISTENERS_SHARE { own_doors(listeners) } else { shared_door(listeners, workers) }))
}

/// A listener of its own for every worker: the kernel shares connections out.
fn own_doors(listeners: Vec<Vec<TcpListener>>) -> Vec<Door> {
    listeners.into_iter().map(|listeners| Door { listeners, handed: None, hand_on: Vec::new() }).collect()
}

/// One listener, whose worker hands connections on in turn.
fn shared_door(listeners: Vec<Vec<TcpListener>>, workers: usize) -> Vec<Door> {
    /// How many connections may be on their way to a worker.
    const ON_THE_WAY: usize = 256;

    let (hand_on, handed): (Vec<_>, Vec<_>) = (1..workers).map(|_| mpsc::channel(ON_THE_WAY)).unzip();
    let first = Door { listeners: listeners.into_iter().flatten().collect(), handed: None, hand_on };
    let others =
        handed.into_iter().map(|handed| Door { listeners: Vec::new(), handed: Some(handed), hand_on: Vec::new() });
    std::iter::once(first).chain(others).collect()
}

fn resolve(listen: &Listen) -> Result<Vec<SocketAddr>, StartError> {
    use std::net::ToSocketAddrs;

    let host = match listen.host.trim().trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    #[expect(clippy::disallowed_methods, reason = "once, before anything is served")]
    let found = (host, listen.port).to_socket_addrs();
    let fail = |error| StartError::Resolve { host: host.to_owned(), error };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(fail)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(fail(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

fn max_connections(snapshot: &Snapshot) -> usize {
    match os::raise_file_limit() {
        Some(files) => {
            let room = files.saturating_sub(FILES_RESERVED) / FILES_PER_CLIENT;
            snapshot.max_connections.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
        }
        None => snapshot.max_connections,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::config::{Overrides, Source};
    use crate::record::Output;
    use crate::text::Lang;

    #[test]
    fn where_listeners_cannot_share_one_worker_hands_connections_on() {
        let source = Source::text(r#"{"server": {"log_requests": false}}"#, Overrides::default(), Lang::En);
        let live = Arc::new(Live::start(source).expect("good").0);
        let log = Log::start(Output::console(), Lang::En).expect("a thread");
        let listen = Listen { host: "127.0.0.1".to_owned(), port: 0, workers: None };
        let listener = accept::bind(resolve(&listen).expect("an address")[0], 1).expect("binds");
        let address = listener[0].local_addr().expect("bound");
        let app = App::behind(shared_door(vec![listener], 3), vec![address], 100, &live, &log).expect("starts");
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

    #[test]
    fn a_name_is_listened_on_with_all_its_addresses() {
        let listen = Listen { host: "localhost".to_owned(), port: 0, workers: None };
        let (addresses, doors) = open_doors(&listen, 2).expect("binds");
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port() && address.ip().is_loopback()));
        assert_eq!(doors.len(), 2);
    }

    #[test]
    fn hosts_may_be_written_with_brackets_or_not_at_all() {
        let addresses = |host: &str| {
            resolve(&Listen { host: host.to_owned(), port: 1, workers: None }).map(|found| found[0].to_string())
        };
        assert_eq!(addresses("[::1]").expect("valid"), "[::1]:1");
        assert_eq!(addresses("::1").expect("valid"), "[::1]:1");
        assert_eq!(addresses("").expect("valid"), "0.0.0.0:1");
        assert!(addresses("nowhere.invalid").is_err());
    }
}
