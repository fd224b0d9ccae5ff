//! The real binary, started with a configuration.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::Socket;
use tempfile::TempDir;

use super::{Client, Upstream, eventually};

/// The program, in an environment that says nothing.
pub(crate) fn aqueduct() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env_remove("NO_COLOR");
    command
}

/// A proxy that runs. It ends when this goes.
pub(crate) struct Proxy {
    child: Child,
    /// Processes that have taken its place, one after the other.
    successors: Vec<u32>,
    /// `None` if it listens on local sockets only.
    address: Option<SocketAddr>,
    directory: TempDir,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    _stdin: Option<ChildStdin>,
}

impl Proxy {
    /// A proxy with this configuration, on a free port. Its log is JSON unless the configuration says otherwise.
    pub(crate) fn start(config: &Value) -> Self {
        Self::start_with(config, |_| {})
    }

    /// A proxy with one route `a` to this upstream.
    pub(crate) fn to(upstream: &Upstream) -> Self {
        Self::start(&json!({"routes": {"a": {"target_url": upstream.url()}}}))
    }

    /// The same, with more to be said to the command.
    pub(crate) fn start_with(config: &Value, more: impl FnOnce(&mut Command)) -> Self {
        let mut config = config.clone();
        let server = config.as_object_mut().expect("an object").entry("server").or_insert_with(|| json!({}));
        let defaults = [("log_format", json!("json")), ("workers", json!(1))];
        let place = [("host", json!("127.0.0.1")), ("port", json!(0))];
        let has_list = server.get("listen").is_some();
        for (name, value) in defaults.into_iter().chain(place.into_iter().filter(|_| !has_list)) {
            server.as_object_mut().expect("an object").entry(name).or_insert(value);
        }
        Self::start_text(&config.to_string(), more)
    }

    /// A proxy with this text as its configuration file.
    pub(crate) fn start_text(config: &str, more: impl FnOnce(&mut Command)) -> Self {
        let directory = TempDir::new().expect("a directory");
        write_private(&directory.path().join("config.json"), config);
        let mut command = aqueduct();
        command.current_dir(directory.path()).stdin(Stdio::null());
        more(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let out = collect(child.stdout.take().expect("piped"));
        let err = collect(child.stderr.take().expect("piped"));
        let stdin = child.stdin.take();
        let mut proxy = Self { child, successors: Vec::new(), address: None, directory, out, err, _stdin: stdin };
        proxy.has_started();
        proxy
    }

    /// Waits until it says where it listens. One that takes too long ends with its test, like any other.
    fn has_started(&mut self) {
        let mut address = None;
        eventually("the proxy says where it listens", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the program ended: {status}\n{}", self.err());
            }
            let text = self.out();
            address = text.contains("...").then(|| listening(&text)).flatten();
            address.is_some() || text.contains("...") && text.contains("Listening on: unix:")
        });
        self.address = address;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it listens on a port")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// What the system says of its memory, in KiB: a field of a file of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, file: &str, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("a process");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// How much of a core it has used so far.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a process");
        // Behind its name, which is the second: the fourteenth and fifteenth, in hundredths of a second.
        let (_, behind) = stat.rsplit_once(')').expect("a name");
        let ticks = behind.split_whitespace().skip(11).take(2);
        Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().expect("a number") * 10).sum())
    }

    /// The process that serves.
    pub(crate) fn pid(&self) -> u32 {
        self.successors.last().copied().unwrap_or(self.child.id())
    }

    /// Replaces the process by a new one, and waits until that serves.
    pub(crate) fn replace(&mut self) {
        let takeovers = |out: &str| -> Vec<u32> {
            let words = out.split("Process ").skip(1).filter_map(|rest| rest.split_once(" has taken over."));
            words.filter_map(|(number, _)| number.parse().ok()).collect()
        };
        let before = takeovers(&self.out()).len();
        self.signal("USR2");
        let mut new = None;
        eventually("another process takes over", || {
            new = takeovers(&self.out()).get(before).copied();
            new.is_some()
        });
        self.successors.extend(new);
    }

    /// Its connections, as if they were ours: what is set on them is set for the proxy too.
    #[cfg(target_os = "linux")]
    pub(crate) fn connections(&self) -> Vec<Socket> {
        use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

        let pid = Pid::from_child(&self.child);
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("a process");
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process");
        let number = |file: std::io::Result<std::fs::DirEntry>| file.ok()?.file_name().to_str()?.parse().ok();
        let open = |number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok().map(Socket::from);
        let is_connection = |socket: &Socket| socket.peer_addr().is_ok_and(|peer| peer.as_socket().is_some());
        files.filter_map(number).filter_map(open).filter(is_connection).collect()
    }

    /// Where its configuration lies.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    /// The text of its configuration.
    pub(crate) fn config(&self) -> String {
        std::fs::read_to_string(self.config_path()).expect("a file")
    }

    /// What it has written to standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.lock().expect("not poisoned").clone()
    }

    /// What it has written to standard error so far.
    pub(crate) fn err(&self) -> String {
        self.err.lock().expect("not poisoned").clone()
    }

    /// Waits until standard output holds this.
    pub(crate) fn says(&self, text: &str) -> &Self {
        eventually(&format!("{text:?} in: {}", self.out()), || self.out().contains(text));
        self
    }

    /// Waits until standard error holds this.
    pub(crate) fn complains(&self, text: &str) -> &Self {
        eventually(&format!("{text:?} in: {}", self.err()), || self.err().contains(text));
        self
    }

    /// The JSON lines of its log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.out()
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// The next line of its log that fits, as soon as there is one.
    pub(crate) fn logged(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually("a line of the log", || {
            found = self.log().into_iter().find(|line| fits(line));
            found.is_some()
        });
        found.expect("just seen")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Puts another configuration in its file, asks for a reload and waits for it.
    pub(crate) fn reload(&self, config: &Value) {
        let reloads = || self.out().matches("Configuration reloaded.").count();
        let before = reloads();
        write_private(&self.config_path(), &config.to_string());
        self.signal("HUP");
        eventually("a reload", || reloads() == before + 1);
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the proxy ends", || {
            status = self.child.try_wait().expect("a process");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for process in self.successors.iter().filter(|process| !has_ended(**process)) {
            let _ = Command::new("kill").args(["-s", "KILL", &process.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        #[expect(clippy::print_stderr, reason = "a failing test should show it")]
        if thread::panicking() {
            eprintln!("--- stdout of the proxy\n{}\n--- stderr of the proxy\n{}", self.out(), self.err());
        }
    }
}

/// Whether a process has come to its end, though its parent may not have noticed.
pub(crate) fn has_ended(process: u32) -> bool {
    let state = |text: String| text.rsplit_once(')').map(|(_, rest)| rest.trim_start().chars().next());
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(text) => matches!(state(text), Some(Some('Z' | 'X'))),
        Err(_) => true,
    }
}

/// A port at which nobody listens. It is none of those that the system gives to connections: another test could be given
/// it at any moment, and a client that tries it again and again could come to be connected with itself.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).expect("small") * 10;
    std::iter::repeat_with(|| 20_000 + (start + COUNT.fetch_add(1, Ordering::SeqCst)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port")
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("a file");
}

fn listening(text: &str) -> Option<SocketAddr> {
    let line =
        text.lines().find(|line| line.contains("://") && (line.contains("Listening") || line.contains("监听")))?;
    line.split("://").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(length) if length > 0) {
            shared.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}
