//! How the cost of a unit grows with the number of connections, streams, routes and workers, and how connections are
//! spread over workers.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::compare::{Upstream, Work, cpu_per_unit, memory_of_streams, while_open};
use crate::load::Kind;
use crate::peers::{Peer, Setup};
use crate::plot::{Plot, Series};
use crate::proc::watched;
use crate::report::median;

/// With as many as can be, where these are too many.
const CONNECTIONS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const ROUTES: [usize; 3] = [1, 100, 10_000];
/// How many workers there are where it is looked at how connections are spread over them.
const WORKERS: usize = 8;
/// Two open files for each connection, and some.
const FILES: u64 = 22_000;
/// What a proxy needs besides, at most.
const OTHER_FILES: u64 = 2_000;

/// Measures how the cost grows, and draws it.
#[derive(Args)]
pub(crate) struct Growth {
    /// The product's binary.
    #[arg(long, default_value = "target/release/aqueduct")]
    product: PathBuf,
    /// Who is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Nginx, Peer::Aqueduct])]
    peers: Vec<Peer>,
    /// How often each figure is taken; it is the median that counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// What is measured, if not all: `requests`, `events`, `memory`, `routes`, `workers`, `spread`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the plots are written to.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// The core of the proxy.
    #[arg(long, default_value = "0")]
    proxy_core: String,
    /// The core of the load and the upstream.
    #[arg(long, default_value = "1")]
    load_core: String,
}

pub(crate) fn run(growth: &Growth) -> Result<(), Box<dyn Error>> {
    // Those that are started have the same limit.
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    let files = hard.min(FILES);
    rlimit::setrlimit(rlimit::Resource::NOFILE, files, hard)?;
    let most = usize::try_from(files.saturating_sub(OTHER_FILES) / 2)?;
    let connections = CONNECTIONS.map(|count| count.min(most));
    let directory = std::env::temp_dir().join(format!("aqueduct-growth-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let upstream = Upstream::start(&growth.load_core, &directory)?;

    growth.chart("requests", ("connections", "CPU µs/request"), &connections, |peer, count| {
        // What counts begins when all of them are there and at work.
        let warm_up = 0.5 + count as f64 / 2_500.0;
        growth.cpu(&directory, peer, Setup::default(), Work { connections: count, warm_up, ..growth.work(Kind::Post) })
    })?;
    growth.chart("events", ("streams", "CPU µs/event"), &connections, |peer, count| {
        // At most 10,000 events a second in all, or the load would be the limit.
        let gap = (count as u64 / 10).max(20);
        let seconds = growth.seconds.max(gap as f64 / 500.0);
        let work = Work { connections: count, gap, seconds, ..growth.work(Kind::Sse) };
        growth.cpu(&directory, peer, Setup::default(), work)
    })?;
    growth.chart("memory", ("silent streams", "KiB/stream"), &connections[1..], |peer, count| {
        let running = peer.start(&growth.product, &directory, &growth.proxy_core, Setup::default())?;
        let work = Work { connections: count, seconds: 1.0, ..growth.work(Kind::Idle) };
        Ok(memory_of_streams(&growth.load_core, work, peer, running.as_ref())? / count as f64)
    })?;
    growth.chart("routes", ("routes", "CPU µs/request"), &ROUTES, |peer, routes| {
        growth.cpu(&directory, peer, Setup { routes, ..Setup::default() }, growth.work(Kind::Post))
    })?;
    growth.chart("workers", ("workers", "CPU µs/request"), &[1, 2], |peer, workers| {
        let cores = [&*growth.proxy_core, &*growth.load_core].join(",");
        let running = peer.start(&growth.product, &directory, &cores, Setup { workers, ..Setup::default() })?;
        Ok(cpu_per_unit(&cores, growth.work(Kind::Post), peer, running.as_ref())?.1)
    })?;
    if growth.wants("spread") {
        growth.spread(&directory)?;
    }
    drop(upstream);
    fs::remove_dir_all(&directory)?;
    Ok(())
}

impl Growth {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn work(&self, kind: Kind) -> Work {
        Work::usual(kind, self.seconds)
    }

    fn cpu(&self, directory: &Path, peer: Peer, setup: Setup, work: Work) -> Result<f64, Box<dyn Error>> {
        let running = peer.start(&self.product, directory, &self.proxy_core, setup)?;
        Ok(cpu_per_unit(&self.load_core, work, peer, running.as_ref())?.1)
    }

    /// Takes a figure at each of these places for each peer, prints a table and draws it.
    fn chart(
        &self,
        name: &str,
        (what, unit): (&str, &str),
        places: &[usize],
        take: impl Fn(Peer, usize) -> Result<f64, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        if !self.wants(name) {
            return Ok(());
        }
        let mut taken = vec![vec![Vec::new(); places.len()]; self.peers.len()];
        for _ in 0..self.rounds {
            for (at, &place) in places.iter().enumerate() {
                for (taken, &peer) in taken.iter_mut().zip(&self.peers) {
                    // Routes are a matter of the product alone.
                    if name != "routes" || peer == Peer::Aqueduct {
                        let figure =
                            take(peer, place).map_err(|error| format!("{} at {place} {what}: {error}", peer.name()))?;
                        taken[at].push(figure);
                    }
                }
            }
        }
        let series: Vec<Series> = self
            .peers
            .iter()
            .zip(taken)
            .filter(|(_, taken)| !taken[0].is_empty())
            .map(|(peer, taken)| {
                let points = places.iter().zip(taken).map(|(&place, taken)| (place as f64, median(&taken))).collect();
                Series { name: peer.name(), points }
            })
            .collect();
        println!("\n{unit} by {what}");
        println!("| peer | {} |", places.iter().map(usize::to_string).collect::<Vec<_>>().join(" | "));
        println!("|---|{}", "---|".repeat(places.len()));
        for Series { name, points } in &series {
            let figures: Vec<String> = points.iter().map(|(_, figure)| format!("{figure:.2}")).collect();
            println!("| {name} | {} |", figures.join(" | "));
        }
        if let Some(plots) = &self.plots {
            let plot = Plot { title: &format!("{unit} by {what}"), x: what, y: unit, series: &series };
            plot.write(&plots.join(format!("growth-{name}.svg")))?;
        }
        Ok(())
    }

    /// How many of the silent streams that are open each worker of the product has.
    fn spread(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        println!("\nsilent streams of each of {WORKERS} workers, fewest first");
        println!("| streams | of each worker |");
        println!("|---|---|");
        for streams in [16, 100, 1_000] {
            let setup = Setup { workers: WORKERS, ..Setup::default() };
            let running = Peer::Aqueduct.start(&self.product, directory, &self.proxy_core, setup)?;
            let pid = running.as_ref().map_or(0, crate::peers::Running::pid);
            let before = watched(pid)?;
            let mut after = before.clone();
            let work = Work { connections: streams, seconds: 0.5, ..self.work(Kind::Idle) };
            while_open(&self.load_core, work, Peer::Aqueduct, || after = watched(pid).unwrap_or_default())?;
            // A stream is two connections, both of them the worker's.
            let more =
                |(instance, count): (u32, usize)| (count - before.get(&instance).copied().unwrap_or_default()) / 2;
            let mut workers: Vec<usize> = after.into_iter().map(more).collect();
            workers.sort_unstable();
            let workers: Vec<_> = workers.iter().rev().take(WORKERS).rev().map(usize::to_string).collect();
            println!("| {streams} | {} |", workers.join(", "));
        }
        Ok(())
    }
}
