//! A real Redis.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Pair, eventually, free_port};

/// A Redis that runs, on a port of its own. It keeps nothing over a restart.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    tls_port: u16,
    password: &'static str,
    /// What it is told besides.
    more: Vec<String>,
    directory: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with_password("")
    }

    pub(crate) fn start_with_password(password: &'static str) -> Self {
        Self::start_with(password, |_, _| Vec::new())
    }

    /// One that speaks TLS beside, with this certificate, and is reached on a local socket too.
    pub(crate) fn with_doors(password: &'static str, own: &Pair) -> Self {
        Self::start_with(password, |directory, tls_port| {
            let files = own.write(directory);
            let path = |name: &str| directory.join(name).display().to_string();
            let file = |name: &str| files[name].as_str().expect("a path").to_owned();
            let port = tls_port.to_string();
            let tls = [("--tls-port", port), ("--tls-cert-file", file("cert")), ("--tls-key-file", file("key"))];
            let rest = [("--tls-auth-clients", "no".to_owned()), ("--unixsocket", path("redis.sock"))];
            tls.into_iter().chain(rest).flat_map(|(name, value)| [name.to_owned(), value]).collect()
        })
    }

    /// One in which only somebody of this name may do anything, with this password.
    pub(crate) fn with_user(name: &str, password: &'static str) -> Self {
        let more = ["--user", "default", "off", "--user", name, "on", &format!(">{password}"), "~*", "+@all"];
        let more: Vec<String> = more.into_iter().map(str::to_owned).collect();
        Self::start_with("", |_, _| more)
    }

    fn start_with(password: &'static str, more: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let (port, tls_port, directory) = (free_port(), free_port(), TempDir::new().expect("a directory"));
        let more = more(directory.path(), tls_port);
        let child = spawn(port, password, &more, &directory);
        let redis = Self { child, port, tls_port, password, more, directory };
        redis.is_there();
        redis
    }

    pub(crate) fn url(&self) -> String {
        match self.password {
            "" => format!("redis://127.0.0.1:{}", self.port),
            password => format!("redis://:{password}@127.0.0.1:{}", self.port),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where its local socket lies, if it has one.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Ends it, without a word to anybody.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, self.password, &self.more, &self.directory);
        self.is_there();
    }

    /// Stops it, or lets it go on: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    fn is_there(&self) {
        let answers = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            // With a password it wants that first.
            Ok(&answer == b"+PONG" || &answer == b"-NOAU")
        };
        eventually("Redis answers", || answers().unwrap_or(false));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, password: &str, more: &[String], directory: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(directory.path()).args(more).stdout(Stdio::null());
    if !password.is_empty() {
        command.args(["--requirepass", password]);
    }
    command.spawn().expect("redis-server is there: run scripts/setup")
}
