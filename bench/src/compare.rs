//! The driver: starts each peer in turn, puts the same load on it, and sets the figures side by side.
//!
//! The proxy has one core to itself; the fake upstream and the load share the other. Machines drift, so peers are
//! interleaved in rounds, and a ratio is the median of the rounds' own ratios.

use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::load::Kind;
use crate::peers::{Peer, Running, Setup, wait_for, wait_for_answer};
use crate::proc::{cpu_nanoseconds, memory_kib, peak_kib, resident_kib};
use crate::report::{Count, Figures, median, parse_count, parse_line};

/// Measures the product and its peers in turn and prints a table.
#[derive(Args)]
pub(crate) struct Compare {
    /// The product's binary.
    #[arg(long, default_value = "target/release/aqueduct")]
    product: PathBuf,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::value_variants().to_vec())]
    kinds: Vec<Kind>,
    /// Who is measured. The first is what the others are set against.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Nginx, Peer::Aqueduct])]
    peers: Vec<Peer>,
    /// How many rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// The core of the proxy.
    #[arg(long, default_value = "0")]
    proxy_core: String,
    /// The core of the load and the upstream.
    #[arg(long, default_value = "1")]
    load_core: String,
}

/// What a load says when its connections are there.
const OPEN: &[u8; 5] = b"open\n";

/// What one measurement gives.
#[derive(Debug, Clone, Default)]
struct Row {
    /// Processor time of the proxy per unit, in microseconds; or its memory per stream, in KiB; or milliseconds.
    cost: Vec<f64>,
    /// By how much the proxy's resident memory grew at most, in MiB.
    growth: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    units: u64,
    errors: u64,
}

pub(crate) fn run(compare: &Compare) -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("aqueduct-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let upstream = Upstream::start(&compare.load_core, &directory)?;
    for &kind in &compare.kinds {
        if kind.counts() {
            count(compare, kind, &directory)?;
            continue;
        }
        let mut rows = vec![Row::default(); compare.peers.len()];
        for _ in 0..compare.rounds {
            for (peer, row) in compare.peers.iter().zip(&mut rows).filter(|(peer, _)| peer.can(kind)) {
                let begin = Instant::now();
                let setup = Setup { logs: kind == Kind::PostLog, ..Setup::default() };
                let running = peer.start(&compare.product, &directory, &compare.proxy_core, setup)?;
                if kind == Kind::Start {
                    wait_for_answer(peer.address(kind), peer.prefix(kind))?;
                    let figures = Figures { units: 1, ..Figures::default() };
                    row.add(&figures, begin.elapsed().as_secs_f64() * 1000.0, f64::NAN);
                    continue;
                }
                measure(compare, kind, *peer, running.as_ref(), row)?;
            }
        }
        print(compare, kind, &rows);
    }
    drop(upstream);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

fn measure(
    compare: &Compare,
    kind: Kind,
    peer: Peer,
    running: Option<&Running>,
    row: &mut Row,
) -> Result<(), Box<dyn Error>> {
    if kind == Kind::Idle {
        return measure_idle(compare, peer, running, row);
    }
    let resident = running.map_or(0, |running| resident_kib(running.pid()));
    let (figures, cost) = cpu_per_unit(&compare.load_core, Work::usual(kind, compare.seconds), peer, running)?;
    let peak = running.map_or(0, |running| peak_kib(running.pid()));
    let growth = peak.saturating_sub(resident) as f64 / 1024.0;
    row.add(&figures, cost, growth);
    Ok(())
}

/// What a load measures, and the processor time that the proxy needs for a unit of it, in microseconds.
pub(crate) fn cpu_per_unit(
    cores: &str,
    work: Work,
    peer: Peer,
    running: Option<&Running>,
) -> Result<(Figures, f64), Box<dyn Error>> {
    // Caches are warm before anything counts; connections of its own are made within its own warm-up.
    start_load(cores, Work { seconds: 0.5, warm_up: 0.0, ..work }, peer)?.wait_with_output()?;
    let cpu = || running.map_or(Ok(0), |running| cpu_nanoseconds(running.pid()));
    let mut child = start_load(cores, work, peer)?;
    if work.warm_up > 0.0 {
        wait_until_open(&mut child)?;
    }
    let before = cpu()?;
    let output = child.wait_with_output()?;
    let spent = cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().last().and_then(parse_line).ok_or("the load printed no figures")?;
    let cost = spent as f64 / 1000.0 / figures.units.max(1) as f64;
    Ok((figures, cost))
}

fn measure_idle(compare: &Compare, peer: Peer, running: Option<&Running>, row: &mut Row) -> Result<(), Box<dyn Error>> {
    let work = Work::usual(Kind::Idle, 3.0);
    let kib = memory_of_streams(&compare.load_core, work, peer, running)?;
    let streams = work.connections as f64;
    row.add(&Figures { units: work.connections as u64, ..Figures::default() }, kib / streams, kib / 1024.0);
    Ok(())
}

/// The memory that a proxy needs for this many silent streams, in KiB.
pub(crate) fn memory_of_streams(
    cores: &str,
    work: Work,
    peer: Peer,
    running: Option<&Running>,
) -> Result<f64, Box<dyn Error>> {
    let memory = || running.map_or(0, |running| memory_kib(running.pid()));
    // A few streams come and go first, so that what every proxy needs once is there already.
    start_load(cores, Work::usual(Kind::Sse, 0.5), peer)?.wait_with_output()?;
    let before = memory();
    let mut after = before;
    while_open(cores, work, peer, || after = memory())?;
    Ok(after as f64 - before as f64)
}

/// Looks at something while silent streams are open.
pub(crate) fn while_open(cores: &str, work: Work, peer: Peer, look: impl FnOnce()) -> Result<(), Box<dyn Error>> {
    let mut child = start_load(cores, work, peer)?;
    wait_until_open(&mut child)?;
    look();
    child.wait_with_output()?;
    Ok(())
}

/// Waits until a load says that its connections are there.
fn wait_until_open(child: &mut Child) -> Result<(), Box<dyn Error>> {
    // No more than that: what comes after it is for somebody else.
    let mut said = [0; OPEN.len()];
    child.stdout.as_mut().ok_or("no output")?.read_exact(&mut said)?;
    if said == *OPEN { Ok(()) } else { Err("the connections did not open".into()) }
}

/// Lets each peer be counted once: what is counted are thousands of cases, and no machine's speed.
fn count(compare: &Compare, kind: Kind, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut table: Vec<(Peer, Vec<Count>)> = Vec::new();
    for &peer in compare.peers.iter().filter(|peer| peer.can(kind)) {
        let _running = peer.start(&compare.product, directory, &compare.proxy_core, Setup::default())?;
        let output = load(compare, kind, peer, compare.seconds)?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        table.push((peer, text.lines().filter_map(parse_count).collect()));
    }
    print_counts(kind, &table);
    Ok(())
}

fn load(compare: &Compare, kind: Kind, peer: Peer, seconds: f64) -> std::io::Result<Child> {
    start_load(&compare.load_core, Work::usual(kind, seconds), peer)
}

/// How much of a load there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// How long it goes on before anything counts, in seconds. Only `post` knows of it.
    pub(crate) warm_up: f64,
    /// Between two events of a stream, in milliseconds.
    pub(crate) gap: u64,
}

impl Work {
    /// As much as is usual for this kind.
    pub(crate) fn usual(kind: Kind, seconds: f64) -> Self {
        let connections = match kind {
            Kind::Post | Kind::PostLog | Kind::PostTls | Kind::PostH2 | Kind::Rate => 32,
            Kind::StreamsH2 => 64,
            Kind::Sse | Kind::SseUsage => 200,
            Kind::Idle => 1000,
            Kind::Down | Kind::Up | Kind::Start | Kind::Handshakes | Kind::Reuse => 1,
        };
        Self { kind, connections, seconds, warm_up: 0.0, gap: 20 }
    }
}

/// Starts a load on a peer that runs.
pub(crate) fn start_load(cores: &str, work: Work, peer: Peer) -> std::io::Result<Child> {
    start_load_with(cores, work, peer, &[])
}

/// The same with more header fields in each request.
pub(crate) fn start_load_with(cores: &str, work: Work, peer: Peer, fields: &[&str]) -> std::io::Result<Child> {
    let Work { kind, connections, seconds, warm_up, gap } = work;
    let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    ourselves(cores)
        .args(["load", &name, "--to", &peer.address(kind).to_string(), &format!("--prefix={}", peer.prefix(kind))])
        .args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()])
        .args(["--warm-up", &warm_up.to_string()])
        .args(["--bytes", &(if seconds < 1.0 { 64_u64 << 20 } else { 2 << 30 }).to_string()])
        .args(["--gap-ms", &gap.to_string()])
        .args(fields.iter().flat_map(|field| ["--field", *field]))
        .stdout(Stdio::piped())
        .spawn()
}

fn ourselves(core: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(std::env::current_exe().unwrap_or_else(|_| Path::new("aqueduct-bench").into()));
    command
}

/// The fake upstream in a process of its own.
pub(crate) struct Upstream(Child);

impl Upstream {
    pub(crate) fn start(core: &str, directory: &Path) -> std::io::Result<Self> {
        let child = ourselves(core).args(["upstream", "--certificate"]).arg(directory.join("upstream.pem")).spawn()?;
        let upstream = Self(child);
        wait_for(([127, 0, 0, 1], 9801).into())?;
        Ok(upstream)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Row {
    fn add(&mut self, figures: &Figures, cost: f64, growth: f64) {
        self.cost.push(cost);
        self.growth.push(growth);
        self.p50.push(figures.p50);
        self.p99.push(figures.p99);
        self.units += figures.units;
        self.errors += figures.errors;
    }
}

fn print(compare: &Compare, kind: Kind, rows: &[Row]) {
    let (what, unit) = match kind {
        Kind::Post => ("small POST, 32 connections", "CPU µs/request"),
        Kind::PostLog => ("small POST with a request log in a file, 32 connections", "CPU µs/request"),
        Kind::PostTls => ("small POST to an upstream over TLS, 32 connections", "CPU µs/request"),
        Kind::PostH2 => ("small POST to an upstream over HTTP/2, 32 connections", "CPU µs/request"),
        Kind::StreamsH2 => ("small POST, 64 streams of one HTTP/2 connection", "CPU µs/request"),
        Kind::Handshakes | Kind::Reuse => return,
        Kind::Rate => ("small POST at 500/s", "CPU µs/request"),
        Kind::Sse => ("200 event streams, 20 ms apart", "CPU µs/event"),
        Kind::SseUsage => ("200 event streams, 20 ms apart, usage read along", "CPU µs/event"),
        Kind::Idle => ("1000 silent streams", "KiB/stream"),
        Kind::Down => ("large answer", "CPU µs/MiB"),
        Kind::Up => ("large request", "CPU µs/MiB"),
        Kind::Start => ("from start to the first good answer", "ms"),
    };
    println!("\n{what}");
    println!("| peer | {unit} | × | p50 µs | × | p99 µs | × | units/s | memory MiB | units | errors |");
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    // Only what goes on for a given time, as fast as it can, has a rate.
    let goes_on = matches!(kind, Kind::Post | Kind::PostLog | Kind::PostTls | Kind::PostH2 | Kind::StreamsH2);
    let time = if goes_on { compare.seconds * compare.rounds as f64 } else { f64::NAN };
    let per_second = |row: &Row| row.units as f64 / time;
    let base = rows.first().cloned().unwrap_or_default();
    for (peer, row) in compare.peers.iter().zip(rows).filter(|(peer, _)| peer.can(kind)) {
        // What a kind does not measure is left empty.
        let figure = |value: f64, places: usize| match value {
            value if value.is_finite() && value > 0.0 => format!("{value:.places$}"),
            _ => String::new(),
        };
        // Machines drift: each figure is set against that of the same round.
        let ratio = |values: &[f64], base: &[f64]| {
            let ratios: Vec<f64> = values.iter().zip(base).map(|(value, base)| value / base).collect();
            figure(median(&ratios), 2)
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            peer.name(),
            figure(median(&row.cost), 2),
            ratio(&row.cost, &base.cost),
            figure(median(&row.p50), 0),
            ratio(&row.p50, &base.p50),
            figure(median(&row.p99), 0),
            ratio(&row.p99, &base.p99),
            figure(per_second(row), 0),
            figure(median(&row.growth), 1),
            row.units,
            row.errors
        );
    }
}

fn print_counts(kind: Kind, table: &[(Peer, Vec<Count>)]) {
    println!("\n{}", if kind == Kind::Reuse { "the race for a closing connection" } else { "TLS handshakes" });
    let columns: Vec<&str> = table.iter().flat_map(|(_, counts)| counts).map(|(what, _)| what.as_str()).collect();
    let columns = &columns[..columns.len() / table.len().max(1)];
    println!("| peer | {} |", columns.join(" | "));
    println!("|---|{}", "---|".repeat(columns.len()));
    for (peer, counts) in table {
        let counts: Vec<String> = counts.iter().map(|(_, count)| count.to_string()).collect();
        println!("| {} | {} |", peer.name(), counts.join(" | "));
    }
}
