//! A soak: all kinds of traffic at once, for as long as `AQUEDUCT_SOAK_SECONDS` says, and nothing of it may be left
//! behind. Traffic comes in rounds; after each, when the clients have gone, the memory and the descriptors of the
//! program are looked at. At the end it has to end at once: a task that is left over would be waited for.
//!
//! In the suite it lasts some seconds, which finds what goes wrong soon; `scripts/soak` runs it for longer.

mod traffic;
mod upstream;

use std::fmt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, PATIENCE, Proxy, Upstream, eventually, http_proxy, socks_proxy, write_private};
use traffic::{KINDS, World};

/// How many rounds there are. The first three warm up: pools, tables and arenas are filled.
const ROUNDS: usize = 12;
const WARM_UP: usize = 3;
/// How much more memory may be in use at the end than after the warm-up, in KiB: what the allocator may keep besides.
const MORE_MEMORY: u64 = 4 * 1024;
/// How many more descriptors: pooled connections come and go.
const MORE_DESCRIPTORS: usize = 16;

/// What a program holds while nobody is there.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: u64,
    descriptors: usize,
    threads: u64,
}

/// A program under load, and the manager of services to which it says how many connections are left.
struct Soaked {
    name: &'static str,
    proxy: Proxy,
    manager: UnixDatagram,
    held: Vec<Held>,
    _directory: TempDir,
}

#[test]
fn mixed_traffic_leaves_nothing_behind() {
    let seconds = std::env::var("AQUEDUCT_SOAK_SECONDS").ok().map_or(6.0, |text| text.parse().expect("a number"));
    let upstream = upstream::start();
    let (by_http, by_socks) = (http_proxy(), socks_proxy());
    let authority = Authority::new();
    let config = config(&upstream, &by_http, &by_socks);
    let mut programs = [Soaked::start("plain", &config, None), Soaked::start("tls", &config, Some(&authority))];
    let counts = {
        let world = World {
            plain: programs[0].proxy.address(),
            tls: programs[1].proxy.address(),
            authority: &authority,
            upstream: upstream.address(),
            configs: programs.each_ref().map(|program| program.proxy.config_path()),
            text: programs
                .each_ref()
                .map(|program| std::fs::read_to_string(program.proxy.config_path()).expect("a file")),
            number: AtomicU32::default(),
            counts: Default::default(),
            is_over: AtomicBool::new(false),
        };
        for _ in 0..ROUNDS {
            round(&world, &upstream, Duration::from_secs_f64(seconds / ROUNDS as f64));
            for program in &mut programs {
                program.look();
            }
        }
        world.counts.map(|count| count.load(Ordering::Relaxed))
    };
    let report = Report { counts, programs: &programs };
    report.print();
    assert!(counts.iter().all(|&count| count > 0), "every kind of traffic came through: {report}");
    for program in &programs {
        program.has_not_grown(&report.to_string());
    }
    for program in programs {
        program.ends_at_once();
    }
}

/// Traffic of every kind at once, for some time.
fn round(world: &World<'_>, upstream: &Upstream, time: Duration) {
    world.is_over.store(false, Ordering::SeqCst);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for (number, (_, play)) in KINDS.iter().enumerate() {
            scope.spawn(move || {
                while !world.is_over.load(Ordering::SeqCst) {
                    play(world);
                    world.counts[number].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while Instant::now() < end {
            // What the upstream remembers is not wanted here.
            while !upstream.has_no_request() {}
            thread::park_timeout(Duration::from_millis(20));
        }
        world.is_over.store(true, Ordering::SeqCst);
    });
}

fn config(upstream: &Upstream, by_http: &Upstream, by_socks: &Upstream) -> Value {
    let route = |more: Value| {
        let mut route = json!({"target_url": upstream.url(), "custom_headers": {"Authorization": "Bearer sk-soak"}});
        route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        route
    };
    json!({
        "server": {"workers": 2, "reload_interval": 0.2, "limits": {"head_timeout": "2s"}},
        "timeouts": {"connect": "5s"},
        "routes": {
            "a": route(json!({})),
            "impatient": route(json!({"timeouts": {"first_byte": "50ms"}})),
            "http": route(json!({"proxy": by_http.url()})),
            "tunnel": route(json!({"proxy": format!("socks5h://{}", by_socks.address())})),
            "nobody": {"target_url": "http://127.0.0.1:1"},
            "u": {"universal_proxy": true},
        },
    })
}

impl Soaked {
    fn start(name: &'static str, config: &Value, authority: Option<&Authority>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("binds");
        manager.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut config = config.clone();
        if let Some(authority) = authority {
            config["server"]["tls"] = authority.issue().write(directory.path());
        }
        let proxy = Proxy::start_with(&config, |command| _ = command.env("NOTIFY_SOCKET", &path));
        Self { name, proxy, manager, held: Vec::new(), _directory: directory }
    }

    /// Waits until the clients are gone, and looks at what is held then.
    fn look(&mut self) {
        let sockets = || clients(self.proxy.pid(), self.proxy.address().port());
        eventually("the clients are gone", || sockets() == 0);
        self.held.push(Held {
            memory: self.proxy.memory("smaps_rollup", "Pss:"),
            descriptors: descriptors(self.proxy.pid()),
            threads: self.proxy.memory("status", "Threads:"),
        });
    }

    fn has_not_grown(&self, report: &str) {
        let most = |what: fn(&Held) -> u64, of: &[Held]| of.iter().map(what).max().expect("rounds");
        let (before, after) = self.held[WARM_UP..].split_at((ROUNDS - WARM_UP) / 3);
        let after = &after[after.len() / 2..];
        let [was, is] = [before, after].map(|of| most(|held| held.memory, of));
        assert!(is <= was + MORE_MEMORY + was / 20, "{}: memory grew from {was} to {is} KiB\n{report}", self.name);
        let [was, is] = [before, after].map(|of| most(|held| held.descriptors as u64, of));
        assert!(is <= was + MORE_DESCRIPTORS as u64, "{}: descriptors grew from {was} to {is}\n{report}", self.name);
        let [was, is] = [before, after].map(|of| most(|held| held.threads, of));
        assert!(is <= was.max(16), "{}: threads grew from {was} to {is}\n{report}", self.name);
    }

    /// Nobody is there, so nothing is waited for.
    fn ends_at_once(mut self) {
        self.proxy.signal("TERM");
        assert!(self.proxy.ended().success());
        let mut words = [0; 4096];
        loop {
            let length = self.manager.recv(&mut words).expect("the end is told");
            let told = String::from_utf8_lossy(&words[..length]);
            if told.contains("STOPPING=1") {
                assert!(told.contains("Stopping: 0 connections"), "{}: {told}", self.name);
                break;
            }
        }
        assert!(!self.proxy.err().contains("panic"), "{}", self.proxy.err());
    }
}

/// How many connections of clients a program has.
fn clients(pid: u32, port: u16) -> usize {
    let local = format!("0100007F:{port:04X}");
    let tcp = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("a process");
    let is_client = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Established, or closed by the client and not yet by the program.
        words.get(1) == Some(&local.as_str()) && matches!(words.get(3), Some(&("01" | "08")))
    };
    tcp.lines().filter(is_client).count()
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").count()
}

/// What came of it.
struct Report<'a> {
    counts: [u64; KINDS.len()],
    programs: &'a [Soaked],
}

impl Report<'_> {
    #[expect(clippy::print_stderr, reason = "who soaks wants to see it")]
    fn print(&self) {
        eprintln!("{self}");
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, _), count) in KINDS.iter().zip(self.counts) {
            writeln!(f, "{name:>24} {count}")?;
        }
        for program in self.programs {
            writeln!(f, "{}: after each round, KiB of memory (PSS), descriptors, threads:", program.name)?;
            for Held { memory, descriptors, threads } in &program.held {
                write!(f, "  {memory} {descriptors} {threads}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Puts a text in the place of a configuration, whole.
fn rewrite(path: &std::path::Path, text: &str) {
    let beside = path.with_extension("new");
    write_private(&beside, text);
    std::fs::rename(&beside, path).expect("renames");
}
