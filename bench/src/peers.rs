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
    /// HAProxy as a relay of TCP that knows nothing of HTTP: what passing the bytes on costs by itself.
    Relay,
    /// Where it is installed.
    Caddy,
    Aqueduct,
}

/// How a proxy is set up, where that is not the same in every measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// Whether each request is logged to a file.
    pub(crate) logs: bool,
    /// How many routes there are. Those that are asked for come last.
    pub(crate) routes: usize,
    pub(crate) workers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { logs: false, routes: 1, workers: 1 }
    }
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
            Self::Relay => "haproxy, mode tcp",
            Self::Caddy => "caddy",
            Self::Aqueduct => "aqueduct",
        }
    }

    /// Whether it can do this at all.
    pub(crate) fn can(self, kind: Kind) -> bool {
        match self {
            Self::Nginx | Self::Aqueduct => true,
            // Only the product reads usage along.
            Self::Caddy => kind != Kind::SseUsage,
            // It logs to a program of its own.
            Self::Haproxy => kind != Kind::PostLog,
            Self::Direct | Self::Relay => {
                matches!(kind, Kind::Post | Kind::Rate | Kind::Sse | Kind::Idle | Kind::Down | Kind::Up)
            }
        }
    }

    /// Starts the proxy on these cores, in front of the fake upstream.
    pub(crate) fn start(
        self,
        product: &Path,
        directory: &Path,
        cores: &str,
        setup: Setup,
    ) -> io::Result<Option<Running>> {
        let mut on_cores = Command::new("taskset");
        on_cores.args(["-c", cores]);
        self.start_under(on_cores, product, directory, setup)
    }

    /// Starts the proxy under a command that takes another one as its arguments.
    pub(crate) fn start_under(
        self,
        mut command: Command,
        product: &Path,
        directory: &Path,
        setup: Setup,
    ) -> io::Result<Option<Running>> {
        let file = |name: &str, text: &str| -> io::Result<String> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let mut output = Stdio::null();
        match self {
            Self::Direct => return Ok(None),
            Self::Nginx => {
                let mut text = include_str!("../peers/nginx.conf").to_owned();
                text = text.replace("worker_processes 1;", &format!("worker_processes {};", setup.workers));
                if setup.logs {
                    text = text.replace("access_log off;", "access_log access.log;");
                }
                let config = file("nginx.conf", &text)?;
                command.args(["nginx", "-p", &directory.display().to_string(), "-c", &config]);
            }
            Self::Haproxy => {
                let config = file("haproxy.cfg", include_str!("../peers/haproxy.cfg"))?;
                command.args(["haproxy", "-db", "-f", &config]);
            }
            Self::Relay => {
                let config = file("relay.cfg", include_str!("../peers/relay.cfg"))?;
                command.args(["haproxy", "-db", "-f", &config]);
            }
            Self::Caddy => {
                let mut text = include_str!("../peers/Caddyfile").to_owned();
                if setup.logs {
                    let log = directory.join("caddy.log");
                    text = text.replace("# log", &format!("log {{\n\t\toutput file {}\n\t}}", log.display()));
                }
                let config = file("Caddyfile", &text)?;
                command.env("HOME", directory);
                command.args(["caddy", "run", "--adapter", "caddyfile", "--config", &config]);
            }
            Self::Aqueduct => {
                let config = file("config.json", &aqueduct(setup))?;
                command.arg(product).args(["run", "-c", &config]);
                if setup.logs {
                    output = fs::File::create(directory.join("requests.log"))?.into();
                }
            }
        }
        let child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn()?;
        let running = Running { child };
        wait_for(self.address(Kind::Post))?;
        Ok(Some(running))
    }

    pub(crate) fn address(self, kind: Kind) -> SocketAddr {
        let port = match self {
            Self::Direct => 9801,
            Self::Relay => 9820,
            // A port of nginx's speaks one version of HTTP.
            Self::Nginx if kind == Kind::StreamsH2 => 9810,
            _ => 9800,
        };
        ([127, 0, 0, 1], port).into()
    }

    /// What stands before the path: the key of the route.
    pub(crate) fn prefix(self, kind: Kind) -> &'static str {
        match kind {
            _ if matches!(self, Self::Direct | Self::Relay) => "",
            Kind::PostTls | Kind::Handshakes => "/tls",
            Kind::PostH2 => "/h2",
            Kind::Reuse => "/reuse",
            Kind::SseUsage => "/usage",
            _ => "/up",
        }
    }
}

/// The product's configuration.
fn aqueduct(setup: Setup) -> String {
    let mut text =
        include_str!("../peers/aqueduct.json").replace("\"workers\": 1", &format!("\"workers\": {}", setup.workers));
    if setup.logs {
        text = text.replace("\"log_requests\": false", "\"log_requests\": true, \"log_format\": \"json\"");
    }
    let more = |number| format!("\"route-{number}\": {{\"target_url\": \"http://127.0.0.1:9801\"}},\n    ");
    let more: String = (1..setup.routes).map(more).collect();
    text.replace("\"up\": {", &format!("{more}\"up\": {{"))
}

impl Running {
    pub(crate) fn of(child: Child) -> Self {
        Self { child }
    }

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
