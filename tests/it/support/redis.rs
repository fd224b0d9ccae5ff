//! A real Redis.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, free_port};

/// A Redis that runs, on a port of its own. It keeps nothing over a restart.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    password: &'static str,
    directory: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::start_with_password("")
    }

    pub(crate) fn start_with_password(password: &'static str) -> Self {
        let (port, directory) = (free_port(), TempDir::new().expect("a directory"));
        let child = spawn(port, password, &directory);
        let redis = Self { child, port, password, directory };
        redis.is_there();
        redis
    }

    pub(crate) fn url(&self) -> String {
        match self.password {
            "" => format!("redis://127.0.0.1:{}", self.port),
            password => format!("redis://:{password}@127.0.0.1:{}", self.port),
        }
    }

    /// Ends it, without a word to anybody.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, self.password, &self.directory);
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

fn spawn(port: u16, password: &str, directory: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(directory.path()).stdout(Stdio::null());
    if !password.is_empty() {
        command.args(["--requirepass", password]);
    }
    command.spawn().expect("redis-server is there: run scripts/setup")
}
