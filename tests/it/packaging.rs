//! The units of systemd are what the manual shows, and systemd understands them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use aqueduct::config::{Overrides, Source};
use aqueduct::text::Lang;
use tempfile::TempDir;

const UNITS: [&str; 2] = ["aqueduct.service", "aqueduct.socket"];
/// How exposed the service may be by the reckoning of `systemd-analyze security`, in tenths. The manual names the figure of
/// one version (252); others look at more.
const EXPOSURE: &str = "15";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(root().join("packaging/systemd").join(name)).expect("a unit")
}

/// Both units for the program under test, in a directory of their own.
fn installed() -> (TempDir, [PathBuf; 2]) {
    let directory = TempDir::new().expect("a directory");
    let paths = UNITS.map(|name| {
        let path = directory.path().join(name);
        let text = unit(name).replace("/usr/local/bin/aqueduct", env!("CARGO_BIN_EXE_aqueduct"));
        std::fs::write(&path, text).expect("writes");
        path
    });
    (directory, paths)
}

fn analyze(arguments: &[&str], paths: &[PathBuf]) -> Output {
    Command::new("systemd-analyze").args(arguments).args(paths).output().expect("installed by scripts/setup")
}

#[test]
fn the_manual_shows_the_units_as_they_are() {
    let manual = std::fs::read_to_string(root().join("docs/deployment.md")).expect("a manual");
    for name in UNITS {
        assert!(manual.contains(&format!("```ini\n{}```\n", unit(name))), "{name}");
    }
}

#[test]
fn systemd_understands_the_units() {
    let (_directory, paths) = installed();
    let output = analyze(&["verify", "--man=no", "--recursive-errors=no"], &paths);
    let told = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<_> = told.lines().filter(|line| line.contains("aqueduct")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
}

#[test]
fn the_service_is_shut_in() {
    let (_directory, [service, _]) = installed();
    let threshold = format!("--threshold={EXPOSURE}");
    let output = analyze(&["security", "--offline=true", &threshold], &[service]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn systemd_waits_for_running_answers() {
    let text = unit("aqueduct.service");
    let value = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("a limit");
    let (snapshot, _) = Source::text("{}", Overrides::default(), Lang::En).read().expect("good");
    assert!(Duration::from_secs(value.parse().expect("seconds")) > snapshot.shutdown_timeout);
}
