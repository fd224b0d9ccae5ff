//! Load: each kind measures what a user would feel.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::proc::monotonic_nanoseconds;
use crate::report::{Count, Figures};
use crate::{http2, reuse};

/// The size of a small request's body, in bytes.
pub(crate) const QUESTION: usize = 528;

/// How many handshakes are made, at most.
const HANDSHAKES: usize = 200;

/// Puts one kind of load on a proxy and prints one line of figures.
#[derive(Args, Clone)]
pub(crate) struct Load {
    /// What kind.
    #[arg(value_enum)]
    pub(crate) kind: Kind,
    /// The proxy.
    #[arg(long, default_value = "127.0.0.1:9800")]
    pub(crate) to: SocketAddr,
    /// What stands before the path: the key of the route.
    #[arg(long, default_value = "/up")]
    pub(crate) prefix: String,
    /// The fake upstream itself, which is asked what it has seen.
    #[arg(long, default_value = "127.0.0.1:9801")]
    pub(crate) upstream: SocketAddr,
    /// How many connections or streams.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,
    /// How long, in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// How long `post` goes on before anything counts, in seconds. Then it says that it is open.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) warm_up: f64,
    /// Requests per second in all, for `rate`.
    #[arg(long, default_value_t = 500.0)]
    pub(crate) rate: f64,
    /// Milliseconds between two events of a stream, for `sse`.
    #[arg(long, default_value_t = 20)]
    pub(crate) gap_ms: u64,
    /// Bytes in all, for `down` and `up`.
    #[arg(long, default_value_t = 1 << 30)]
    pub(crate) bytes: u64,
    /// Header fields that small requests have besides: `Name: value`.
    #[arg(long)]
    pub(crate) field: Vec<String>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Small POSTs, as many as go, each connection one after the other. Unit: a request.
    Post,
    /// The same with a log of requests, written to a file.
    PostLog,
    /// The same to an upstream that speaks TLS.
    PostTls,
    /// The same to an upstream that speaks HTTP/2 over TLS.
    PostH2,
    /// The same from one client, as many streams on one HTTP/2 connection.
    StreamsH2,
    /// Small POSTs at a fixed rate, latency counted from the intended time. Unit: a request.
    Rate,
    /// Streams of events, with the delay of each from being sent to being read. Unit: an event.
    Sse,
    /// The same along a route that reads usage along. Only the product has one.
    SseUsage,
    /// Streams that are open and silent. Unit: a stream.
    Idle,
    /// One large answer. Unit: a MiB.
    Down,
    /// One large request. Unit: a MiB.
    Up,
    /// From the start of the proxy to its first good answer.
    Start,
    /// Requests to an upstream over TLS that closes the connection after each. Counted: handshakes, by their kind.
    Handshakes,
    /// Requests at the moment at which the upstream closes idle connections. Counted: those that are lost.
    Reuse,
}

impl Kind {
    /// Whether something is counted and not measured.
    pub(crate) fn counts(self) -> bool {
        matches!(self, Self::Handshakes | Self::Reuse)
    }
}

pub(crate) async fn run(load: &Load) -> Result<Figures, Box<dyn std::error::Error>> {
    Ok(match load.kind {
        Kind::Post | Kind::PostLog | Kind::PostTls | Kind::PostH2 => post(load).await?,
        Kind::StreamsH2 => streams_h2(load).await?,
        Kind::Rate => rate(load).await?,
        Kind::Sse | Kind::SseUsage => sse(load).await?,
        Kind::Idle => idle(load).await?,
        Kind::Down => down(load).await?,
        Kind::Up => up(load).await?,
        Kind::Start => return Err("only the driver starts a proxy".into()),
        Kind::Handshakes | Kind::Reuse => return Err("this is counted".into()),
    })
}

pub(crate) async fn count(load: &Load) -> Result<Vec<Count>, Box<dyn std::error::Error>> {
    Ok(match load.kind {
        Kind::Handshakes => handshakes(load).await?,
        Kind::Reuse => {
            let mut counts = reuse::race(load.to, &load.prefix)?;
            counts.push(("delivered twice".to_owned(), ask(load.upstream, "/twice").await?.parse()?));
            counts
        }
        _ => return Err("this is measured".into()),
    })
}

#[derive(Default)]
pub(crate) struct Tally {
    units: Cell<u64>,
    errors: Cell<u64>,
    nanoseconds: RefCell<Vec<u64>>,
}

impl Tally {
    pub(crate) fn count(&self, nanoseconds: u64) {
        self.units.set(self.units.get() + 1);
        self.nanoseconds.borrow_mut().push(nanoseconds);
    }

    pub(crate) fn error(&self) {
        self.errors.set(self.errors.get() + 1);
    }

    fn figures(&self) -> Figures {
        Figures::new(self.units.get(), self.errors.get(), self.nanoseconds.borrow_mut().split_off(0))
    }
}

async fn post(load: &Load) -> io::Result<Figures> {
    let tally = Rc::new(Tally::default());
    let request: Rc<[u8]> = small_request(load).into();
    // All of them are there before the first one asks: those at work would hardly let another one in.
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        clients.push(Client::connect(load.to).await?);
    }
    let open = Instant::now() + Duration::from_secs_f64(load.warm_up);
    let end = open + Duration::from_secs_f64(load.seconds);
    let work = |mut client: Client| {
        let (tally, request) = (Rc::clone(&tally), Rc::clone(&request));
        tokio::task::spawn_local(async move {
            while Instant::now() < end {
                let start = Instant::now();
                match client.exchange(&request).await {
                    Ok(()) if start < open => {}
                    Ok(()) => tally.count(nanoseconds(start.elapsed())),
                    Err(_) => return tally.error(),
                }
            }
        })
    };
    let tasks = clients.into_iter().map(work).collect();
    if load.warm_up > 0.0 {
        sleep_until(open).await;
        println!("open");
    }
    join(tasks).await;
    Ok(tally.figures())
}

async fn streams_h2(load: &Load) -> io::Result<Figures> {
    let end = Instant::now() + Duration::from_secs_f64(load.seconds);
    Ok(http2::post(load.to, &load.prefix, load.connections, end).await?.figures())
}

async fn rate(load: &Load) -> io::Result<Figures> {
    let tally = Rc::new(Tally::default());
    let request: Rc<[u8]> = small_request(load).into();
    let start = Instant::now() + Duration::from_millis(50);
    let count = (load.rate * load.seconds) as u64;
    let connections = load.connections as u64;
    let mut tasks = Vec::new();
    for first in 0..connections {
        let mut client = Client::connect(load.to).await?;
        let (tally, request, rate) = (Rc::clone(&tally), Rc::clone(&request), load.rate);
        tasks.push(tokio::task::spawn_local(async move {
            let mut number = first;
            while number < count {
                #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                let intended = start + Duration::from_secs_f64(number as f64 / rate);
                sleep_until(intended).await;
                // The timer's own grain is not the proxy's fault.
                let sent = Instant::now().max(intended);
                match client.exchange(&request).await {
                    Ok(()) => tally.count(nanoseconds(sent.elapsed())),
                    Err(_) => return tally.error(),
                }
                number += connections;
            }
        }));
    }
    join(tasks).await;
    Ok(tally.figures())
}

async fn sse(load: &Load) -> io::Result<Figures> {
    let tally = Rc::new(Tally::default());
    let events = (load.seconds * 1000.0 / load.gap_ms as f64) as u64;
    let mut tasks = Vec::new();
    for place in 0..load.connections {
        let mut client = Client::connect(load.to).await?;
        let target = format!("{}/sse?events={events}&gap_ms={}", load.prefix, load.gap_ms);
        let tally = Rc::clone(&tally);
        // Streams begin at different times, as they do in life.
        let wait = Duration::from_millis(load.gap_ms).mul_f64(place as f64 / load.connections as f64);
        tasks.push(tokio::task::spawn_local(async move {
            sleep(wait).await;
            if client.stream(&target, &tally).await.is_err() {
                tally.error();
            }
        }));
    }
    join(tasks).await;
    Ok(tally.figures())
}

/// Opens streams and holds them for a while, so that memory can be measured meanwhile.
async fn idle(load: &Load) -> io::Result<Figures> {
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        let mut client = Client::connect(load.to).await?;
        client.stream.write_all(format!("GET {}/idle HTTP/1.1\r\nHost: bench\r\n\r\n", load.prefix).as_bytes()).await?;
        while !client.seen.ends_with(b"data: one\n\r\n") {
            let length = client.stream.read_buf(&mut client.seen).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        client.seen = Vec::new();
        clients.push(client);
    }
    println!("open");
    sleep(Duration::from_secs_f64(load.seconds)).await;
    Ok(Figures::new(clients.len() as u64, 0, Vec::new()))
}

async fn down(load: &Load) -> io::Result<Figures> {
    let mut client = Client::connect(load.to).await?;
    let request = format!("GET {}/bulk?bytes={} HTTP/1.1\r\nHost: bench\r\n\r\n", load.prefix, load.bytes);
    client.exchange(request.as_bytes()).await?;
    Ok(Figures::new(load.bytes >> 20, 0, Vec::new()))
}

async fn up(load: &Load) -> io::Result<Figures> {
    let mut client = Client::connect(load.to).await?;
    let head = format!("POST {}/sink HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", load.prefix, load.bytes);
    client.stream.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; 256 * 1024];
    let mut left = load.bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        client.stream.write_all(&piece[..length]).await?;
        left -= length as u64;
    }
    client.exchange(b"").await?;
    Ok(Figures::new(load.bytes >> 20, 0, Vec::new()))
}

async fn handshakes(load: &Load) -> Result<Vec<Count>, Box<dyn std::error::Error>> {
    ask(load.upstream, "/handshakes").await?;
    let mut client = Client::connect(load.to).await?;
    let request = format!("GET {}/once HTTP/1.1\r\nHost: bench\r\n\r\n", load.prefix);
    for _ in 0..HANDSHAKES {
        client.exchange(request.as_bytes()).await?;
    }
    let seen = ask(load.upstream, "/handshakes").await?;
    let (full, resumed) = seen.split_once(' ').ok_or("no counts")?;
    Ok(vec![("full".to_owned(), full.parse()?), ("resumed".to_owned(), resumed.parse()?)])
}

/// What the fake upstream says.
async fn ask(upstream: SocketAddr, path: &str) -> io::Result<String> {
    let mut client = Client::connect(upstream).await?;
    client.exchange(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes()).await?;
    let answer = String::from_utf8_lossy(&client.seen);
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// A client that knows just enough of HTTP.
struct Client {
    stream: TcpStream,
    seen: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, seen: Vec::with_capacity(4096), buffer: vec![0; 256 * 1024] })
    }

    /// Sends a request and reads an answer with a length.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        self.seen.clear();
        let (length, body) = loop {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.seen.extend_from_slice(&self.buffer[..read]);
            if let Some(end) = find(&self.seen, b"\r\n\r\n") {
                break (content_length(&self.seen[..end])?, self.seen.len() - end - 4);
            }
        };
        let mut left = length - body as u64;
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
        }
        Ok(())
    }

    /// Reads a stream of events to its end, and notes how late each was.
    async fn stream(&mut self, target: &str, tally: &Tally) -> io::Result<()> {
        self.stream
            .write_all(format!("POST {target} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await?;
        self.seen.clear();
        loop {
            let read = self.stream.read(&mut self.buffer).await?;
            let now = monotonic_nanoseconds();
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.seen.extend_from_slice(&self.buffer[..read]);
            let mut used = 0;
            while let Some(at) = find(&self.seen[used..], b"{\"t\":") {
                let Some(stamp) = self.seen.get(used + at + 5..used + at + 25) else { break };
                let sent: u64 = std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse().ok()).unwrap_or(now);
                tally.count(now.saturating_sub(sent));
                used += at + 25;
            }
            if self.seen.ends_with(b"0\r\n\r\n") {
                return Ok(());
            }
            self.seen.drain(..used);
        }
    }
}

fn small_request(load: &Load) -> Vec<u8> {
    let fields: String = load.field.iter().map(|field| format!("{field}\r\n")).collect();
    let head = format!(
        "POST {}/v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 1.50.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.50.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nAccept-Encoding: gzip, deflate\r\n{fields}Content-Length: {QUESTION}\r\n\r\n",
        load.prefix
    );
    [head.as_bytes(), &[b'q'; QUESTION]].concat()
}

fn content_length(head: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(head);
    if !text.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(text.lines().next().unwrap_or_default().to_owned()));
    }
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
    };
    text.lines().find_map(field).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}
