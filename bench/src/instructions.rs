//! Instructions in user space per unit of work, counted by valgrind: the same on a busy machine as on a quiet one, so
//! that a change can be held against a committed figure.
//!
//! Each kind of load is run for a short and for a longer time, and what the program did more is divided by the units
//! that were more: start and end cost the same both times.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::compare::{Upstream, Work, start_load};
use crate::load::Kind;
use crate::peers::{Peer, Setup};
use crate::report::parse_line;

/// By how much a figure may grow before it is held to be worse, in per cent.
const MARGIN: u64 = 10;

/// Counts instructions per unit of work.
#[derive(Args)]
pub(crate) struct Instructions {
    /// The product's binary.
    #[arg(long, default_value = "target/release/aqueduct")]
    product: PathBuf,
    /// What is counted.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Post, Kind::PostTls, Kind::Sse])]
    kinds: Vec<Kind>,
    /// How long the longer run takes, in seconds.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// A file of figures: it is an error to be more than 10 % above them.
    #[arg(long)]
    check: Option<PathBuf>,
    /// Where to write the figures.
    #[arg(long)]
    write: Option<PathBuf>,
}

type Counts = BTreeMap<String, u64>;

pub(crate) fn run(instructions: &Instructions) -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("aqueduct-instructions-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let upstream = Upstream::start("0,1", &directory)?;
    let mut counts = Counts::new();
    for &kind in &instructions.kinds {
        let count = counted(instructions.seconds, |seconds, out| work(instructions, kind, seconds, &directory, out))?;
        let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("{name}: {count} instructions per unit");
        counts.insert(name, count);
    }
    drop(upstream);
    fs::remove_dir_all(&directory)?;
    if let Some(path) = &instructions.write {
        let lines: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        fs::write(path, lines.concat())?;
    }
    instructions.check.as_ref().map_or(Ok(()), |path| check(&counts, path))
}

/// The instructions per unit of what is done for some time under valgrind, which counts into the file that is passed on.
/// Gives how many units those were.
pub(crate) fn counted(
    seconds: f64,
    mut work: impl FnMut(f64, &Path) -> Result<u64, Box<dyn Error>>,
) -> Result<u64, Box<dyn Error>> {
    let out = std::env::temp_dir().join(format!("aqueduct-callgrind-{}.out", std::process::id()));
    let mut measure = |seconds: f64| -> Result<(u64, u64), Box<dyn Error>> {
        let units = work(seconds, &out)?;
        let counted = fs::read_to_string(&out)?;
        let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("valgrind counted nothing")?;
        Ok((total.trim().parse()?, units))
    };
    let (short, few) = measure(seconds / 3.0)?;
    let (long, many) = measure(seconds)?;
    fs::remove_file(&out)?;
    Ok(long.saturating_sub(short) / many.saturating_sub(few).max(1))
}

/// Does one kind of work, and gives how many units of it.
fn work(
    instructions: &Instructions,
    kind: Kind,
    seconds: f64,
    directory: &Path,
    out: &Path,
) -> Result<u64, Box<dyn Error>> {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
    let running = Peer::Aqueduct.start_under(valgrind, &instructions.product, directory, Setup::default())?;
    let output = start_load("0,1", Work::usual(kind, seconds), Peer::Aqueduct)?.wait_with_output()?;
    drop(running);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().last().and_then(parse_line).ok_or("the load printed no figures")?;
    if figures.errors > 0 {
        return Err(format!("{} errors", figures.errors).into());
    }
    Ok(figures.units)
}

fn check(counts: &Counts, path: &Path) -> Result<(), Box<dyn Error>> {
    let committed = fs::read_to_string(path)?;
    let mut worse = Vec::new();
    for line in committed.lines() {
        let (name, was) = line.split_once(' ').ok_or("a line is a name and a number")?;
        let was: u64 = was.trim().parse()?;
        match counts.get(name) {
            Some(&is) if is * 100 > was * (100 + MARGIN) => worse.push(format!("{name}: {is} instead of {was}")),
            _ => {}
        }
    }
    if worse.is_empty() {
        Ok(())
    } else {
        Err(format!("more instructions than committed: {}", worse.join(", ")).into())
    }
}
