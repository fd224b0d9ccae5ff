//! The proxies that are measured, each with a configuration that is kept beside the code.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Kind;

/// A proxy that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// No proxy: what the load and the upstream cost by themselves.
    Direct,
    Nginx,
    Haproxy,
    Aqueduct,
}

/// A proxy that runs. It ends when this goes.
pub(crate) struct Running {
    child: Child,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Aqueduct => "aqueduct",
        }
    }

    /// Starts the proxy on one core, in front of the fake upstream.
    pub(crate) fn start(self, product: &Path, directory: &Path, core: &str) -> io::Result<Option<Running>> {
        let mut on_core = Command::new("taskset");
        on_core.args(["-c", core]);
        self.start_under(on_core, product, directory)
    }

    /// Starts the proxy under a command that takes another one as its arguments.
    pub(crate) fn start_under(
        self,
        mut command: Command,
        product: &Path,
        directory: &Path,
    ) -> io::Result<Option<Running>> {
        let file = |name: &str, text: &str| -> io::Result<String> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        match self {
            Self::Direct => return Ok(None),
            Self::Nginx => {
                let config = file("nginx.conf", include_str!("../peers/nginx.conf"))?;
                command.args(["nginx", "-p", &directory.display().to_string(), "-c", &config]);
            }
            Self::Haproxy => {
                let config = file("haproxy.cfg", include_str!("../peers/haproxy.cfg"))?;
                command.args(["haproxy", "-db", "-f", &config]);
            }
            Self::Aqueduct => {
                let config = file("config.json", include_str!("../peers/aqueduct.json"))?;
                command.arg(product).args(["run", "-c", &config]);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let running = Running { child };
        wait_for(self.address(Kind::Post))?;
        Ok(Some(running))
    }

    pub(crate) fn address(self, kind: Kind) -> SocketAddr {
        let port = match self {
            Self::Direct => 9801,
            // A port of nginx's speaks one version of HTTP.
            Self::Nginx if kind == Kind::StreamsH2 => 9810,
            _ => 9800,
        };
        ([127, 0, 0, 1], port).into()
    }

    /// What stands before the path: the key of the route.
    pub(crate) fn prefix(self, kind: Kind) -> &'static str {
        match kind {
            _ if self == Self::Direct => "",
            Kind::PostTls | Kind::Handshakes => "/tls",
            Kind::PostH2 => "/h2",
            Kind::Reuse => "/reuse",
            _ => "/up",
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's master takes its workers with it when it is asked to end, not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens.
pub(crate) fn wait_for(address: SocketAddr) -> io::Result<()> {
    try_again(|| TcpStream::connect(address).map(|_| ()))
}

/// Waits until a request is answered well.
pub(crate) fn wait_for_answer(address: SocketAddr, prefix: &str) -> io::Result<()> {
    let request = format!("GET {prefix}/bulk?bytes=1 HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    try_again(|| {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(answer)) }
    })
}

/// Tries until it succeeds, or has failed for too long.
fn try_again(once: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match once() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::yield_now(),
        }
    }
}
