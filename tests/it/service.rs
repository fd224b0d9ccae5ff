//! What a manager of services is told, over a real socket in `NOTIFY_SOCKET`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{PATIENCE, Proxy, Script, Upstream, aqueduct, write_private};

/// How long the manager waits for a word that the workers are alive.
const LIMIT: Duration = Duration::from_millis(400);

/// A manager of services that only listens.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("binds");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Self { socket, directory }
    }

    /// What is said to the program about where to tell.
    fn introduce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify")).env_remove("WATCHDOG_PID")
    }

    fn told(&self) -> String {
        self.told_in(PATIENCE).expect("something is told")
    }

    /// The next words, if they come in this time.
    fn told_in(&self, limit: Duration) -> Option<String> {
        let mut words = [0; 4096];
        self.socket.set_read_timeout(Some(limit)).expect("a socket");
        match self.socket.recv(&mut words) {
            Ok(length) => Some(String::from_utf8_lossy(&words[..length]).into_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_start_reloads_and_the_end_are_told() {
    let (manager, upstream) = (Manager::start(), Upstream::playing(Script::until_closed));
    let config = json!({"routes": {"a": {"target_url": upstream.url()}}});
    let mut proxy = Proxy::start_with(&config, |command| _ = manager.introduce(command));
    assert_eq!(manager.told(), "READY=1\nSTATUS=Serving 1 route\n");

    for (text, status) in [
        (r#"{"routes": {}}"#, "Serving 0 routes"),
        ("{", "Serving with the old configuration: the new one has a fault (see the log)"),
    ] {
        write_private(&proxy.config_path(), text);
        proxy.signal("HUP");
        let reloading = manager.told();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
        assert!(time.trim().parse::<u64>().is_ok_and(|time| time > 0), "{reloading}");
        assert_eq!(manager.told(), format!("READY=1\nSTATUS={status}\n"));
    }

    proxy.signal("TERM");
    assert_eq!(manager.told(), "STOPPING=1\nSTATUS=Stopping: 0 connections may finish\n");
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn who_is_ready_can_be_connected_to() {
    let manager = Manager::start();
    let proxy = Proxy::start_with(&json!({}), |command| _ = manager.introduce(command));
    assert!(manager.told().starts_with("READY=1\n"));
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    // Nobody wants to hear that the workers are alive, and nobody is told.
    assert_eq!(manager.told_in(LIMIT), None);
}

#[test]
fn a_manager_that_does_not_listen_holds_up_nothing() {
    let manager = Manager::start();
    // One socket may not send as much as another can take.
    let crowd: Vec<UnixDatagram> = std::iter::from_fn(|| {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket.connect(manager.directory.path().join("notify")).expect("connects");
        let sent = std::iter::from_fn(|| socket.send(b"X=1").ok()).count();
        (sent > 0).then_some(socket)
    })
    .collect();
    let mut proxy = Proxy::start_with(&json!({}), |command| _ = manager.introduce(command));
    write_private(&proxy.config_path(), "{");
    proxy.signal("HUP");
    proxy.complains("failed to load or reload");
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    drop(crowd);
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_may_have_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = format!("aqueduct-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("binds");
    let manager = Manager { socket, directory: TempDir::new().expect("a directory") };
    let _proxy = Proxy::start_with(&json!({}), |command| _ = command.env("NOTIFY_SOCKET", format!("@{name}")));
    assert!(manager.told().starts_with("READY=1\n"));
}

/// A program of which single threads can be stopped. It ends when this goes.
struct Halting(Child);

impl Halting {
    fn order(&mut self, line: &str) {
        writeln!(self.0.stdin.as_mut().expect("piped"), "{line}").expect("it listens");
        let mut answer = String::new();
        let mut out = BufReader::new(self.0.stdout.as_mut().expect("piped"));
        while answer.trim() != "done" {
            answer.clear();
            assert_ne!(out.read_line(&mut answer).expect("text"), 0, "it ended");
        }
    }
}

impl Drop for Halting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_worker_that_hangs_stops_the_signs_of_life() {
    let manager = Manager::start();
    let config = manager.directory.path().join("config.json");
    write_private(&config, r#"{"server": {"host": "127.0.0.1", "port": 0, "workers": 2}}"#);
    let proxy = aqueduct();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/halt.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(proxy.get_program()).arg("-c").arg(&config).env("AQUEDUCT_LANG", "en");
    manager.introduce(&mut command).env("WATCHDOG_USEC", LIMIT.as_micros().to_string());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut proxy = Halting(child);
    assert!(manager.told().starts_with("READY=1\n"));
    for worker in ["worker-0", "worker-1"] {
        for _ in 0..3 {
            assert_eq!(manager.told(), "WATCHDOG=1\n");
        }
        proxy.order(worker);
        // One word may have been on its way.
        let last = std::iter::from_fn(|| manager.told_in(LIMIT * 4)).count();
        assert!(last <= 2, "{last} signs of life of {worker}, which hangs");
        proxy.order("");
    }
    assert_eq!(manager.told(), "WATCHDOG=1\n");
}
