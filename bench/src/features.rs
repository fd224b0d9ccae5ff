//! What each optional feature of the product costs: the same load with none of them, and with each of them alone.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Args;

use crate::compare::{Upstream, Work, start_load_with};
use crate::instructions::counted;
use crate::load::Kind;
use crate::peers::{Peer, Running, wait_for};
use crate::proc::cpu_nanoseconds;
use crate::report::{Figures, median, parse_line};

/// Where the server listens that shares limits.
const REDIS: u16 = 9805;

/// Measures what each optional feature costs, and prints a table.
#[derive(Args)]
pub(crate) struct Features {
    /// The product's binary.
    #[arg(long, default_value = "target/release/aqueduct")]
    product: PathBuf,
    /// Which of them are measured beside none: parts of their names.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often processor time is measured; it is the median that counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The core of the proxy.
    #[arg(long, default_value = "0")]
    proxy_core: String,
    /// The core of the load and the upstream.
    #[arg(long, default_value = "1")]
    load_core: String,
}

/// One feature, as what it adds to a configuration and to a request.
struct Feature {
    name: &'static str,
    kind: Kind,
    /// Members of the whole configuration.
    top: &'static str,
    /// Members of the route.
    route: &'static str,
    /// The value of the route's `Authorization`.
    key: &'static str,
    /// A header field of the request.
    field: Option<&'static str>,
}

const NONE: Feature =
    Feature { name: "none", kind: Kind::Post, top: "", route: "", key: r#""Bearer sk-bench""#, field: None };
const NONE_OF_EVENTS: Feature = Feature { name: "none", kind: Kind::Sse, ..NONE };

const FEATURES: [Feature; 14] = [
    NONE,
    Feature {
        name: "client keys",
        top: r#""client_keys": {"bench": {"key": "bench-key-of-a-client"}},"#,
        field: Some("x-aqueduct-key: bench-key-of-a-client"),
        ..NONE
    },
    Feature {
        name: "CORS",
        route: r#", "cors": {"origins": ["https://app.example.com"]}"#,
        field: Some("Origin: https://app.example.com"),
        ..NONE
    },
    Feature { name: "four keys", key: r#"["Bearer sk-1", "Bearer sk-2", "Bearer sk-3", "Bearer sk-4"]"#, ..NONE },
    Feature { name: "`retry`", route: r#", "retry": {"attempts": 2}"#, ..NONE },
    Feature { name: "`fallback`", route: r#", "fallback": ["other"]"#, ..NONE },
    Feature { name: "`limits`: requests", route: r#", "limits": {"requests_per_minute": 100000000}"#, ..NONE },
    Feature { name: "`limits`: concurrency", route: r#", "limits": {"max_concurrency": 1000}"#, ..NONE },
    Feature { name: "`limits`: tokens", route: r#", "limits": {"tokens_per_minute": 100000000}"#, ..NONE },
    Feature {
        name: "`limits`: requests, in Redis",
        top: r#""state": "redis://127.0.0.1:9805","#,
        route: r#", "limits": {"requests_per_minute": 100000000}"#,
        ..NONE
    },
    Feature { name: "`usage`", route: r#", "usage": true"#, ..NONE },
    NONE_OF_EVENTS,
    Feature { name: "`usage`", route: r#", "usage": true"#, ..NONE_OF_EVENTS },
    Feature { name: "`sse_keepalive`", route: r#", "sse_keepalive": 15"#, ..NONE_OF_EVENTS },
];

#[derive(Default)]
struct Row {
    instructions: u64,
    /// Microseconds per unit.
    cpu: Vec<f64>,
    /// Microseconds.
    p50: Vec<f64>,
}

pub(crate) fn run(features: &Features) -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("aqueduct-features-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let upstream = Upstream::start(&features.load_core, &directory)?;
    let is_wanted = |feature: &&Feature| {
        let parts = &features.only;
        feature.name == NONE.name || parts.is_empty() || parts.iter().any(|part| feature.name.contains(part))
    };
    let wanted: Vec<&Feature> = FEATURES.iter().filter(is_wanted).collect();
    let redis = wanted.iter().any(|feature| !feature.top.is_empty()).then(|| Redis::start(&directory)).transpose()?;
    let mut rows: Vec<Row> = wanted.iter().map(|_| Row::default()).collect();
    for (feature, row) in wanted.iter().zip(&mut rows) {
        row.instructions = instructions(features, feature, &directory)?;
    }
    for _ in 0..features.rounds {
        for (feature, row) in wanted.iter().zip(&mut rows) {
            time(features, feature, &directory, row)?;
        }
    }
    drop((redis, upstream));
    print(&wanted, &rows);
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// The instructions in user space per unit.
fn instructions(features: &Features, feature: &Feature, directory: &Path) -> Result<u64, Box<dyn Error>> {
    counted(features.seconds * 3.0, |seconds, out| {
        let mut valgrind = Command::new("valgrind");
        valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
        let running = start(valgrind, features, feature, directory)?;
        let units = load(feature, "0,1", seconds)?.units;
        drop(running);
        Ok(units)
    })
}

/// Adds one measurement of time.
fn time(features: &Features, feature: &Feature, directory: &Path, row: &mut Row) -> Result<(), Box<dyn Error>> {
    let mut on_core = Command::new("taskset");
    on_core.args(["-c", &features.proxy_core]);
    let running = start(on_core, features, feature, directory)?;
    // Connections are made and caches are warm before anything counts.
    load(feature, &features.load_core, 0.5)?;
    let before = cpu_nanoseconds(running.pid())?;
    let figures = load(feature, &features.load_core, features.seconds)?;
    let spent = cpu_nanoseconds(running.pid())? - before;
    row.cpu.push(spent as f64 / 1000.0 / figures.units.max(1) as f64);
    row.p50.push(figures.p50);
    Ok(())
}

fn load(feature: &Feature, cores: &str, seconds: f64) -> Result<Figures, Box<dyn Error>> {
    let fields: Vec<&str> = feature.field.into_iter().collect();
    let output =
        start_load_with(cores, Work::usual(feature.kind, seconds), Peer::Aqueduct, &fields)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures = text.lines().last().and_then(parse_line).ok_or("the load printed no figures")?;
    if figures.errors > 0 {
        return Err(format!("{}: {} errors", feature.name, figures.errors).into());
    }
    Ok(figures)
}

/// Starts the product with this feature, under a command that takes another one as its arguments.
fn start(
    mut command: Command,
    features: &Features,
    feature: &Feature,
    directory: &Path,
) -> Result<Running, Box<dyn Error>> {
    let config = directory.join("feature.json");
    let Feature { top, route, key, .. } = feature;
    let to = r#""target_url": "http://127.0.0.1:9801""#;
    let server = r#""server": {"host": "127.0.0.1", "port": 9800, "workers": 1, "log_requests": false}"#;
    let routes = format!(r#""up": {{{to}, "custom_headers": {{"Authorization": {key}}}{route}}}, "other": {{{to}}}"#);
    fs::write(&config, format!(r#"{{{server}, "force_header_overwrite": true, {top} "routes": {{{routes}}}}}"#))?;
    command.arg(&features.product).arg("run").arg("-c").arg(&config);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let running = Running::of(child);
    wait_for(Peer::Aqueduct.address(Kind::Post))?;
    Ok(running)
}

fn print(features: &[&Feature], rows: &[Row]) {
    let mut none = &Row::default();
    for (feature, row) in features.iter().zip(rows) {
        if feature.name == NONE.name {
            none = row;
            let unit = if feature.kind == Kind::Post { "request" } else { "event" };
            println!("\n| on | instructions/{unit} | more | CPU µs/{unit} | p50 µs |\n|---|---|---|---|---|");
        }
        println!(
            "| {} | {} | {:+} | {:.2} | {:.0} |",
            feature.name,
            row.instructions,
            row.instructions.cast_signed() - none.instructions.cast_signed(),
            median(&row.cpu),
            median(&row.p50),
        );
    }
}

/// A server that shares limits. It ends when this goes.
struct Redis(Child);

impl Redis {
    fn start(directory: &Path) -> std::io::Result<Self> {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &REDIS.to_string(), "--save", "", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()?;
        let redis = Self(child);
        wait_for(([127, 0, 0, 1], REDIS).into())?;
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
