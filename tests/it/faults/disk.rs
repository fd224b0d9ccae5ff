//! Logs that cannot be written.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Upstream, aqueduct, eventually, in_own_network, run, write_private};

const GET: &str = "GET /a/with/a/path/of/some/length HTTP/1.1\r\nHost: p\r\n\r\n";

/// A proxy whose log goes into a file.
struct Logging {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Logging {
    fn start(upstream: &Upstream, out: File, err: Stdio) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let server = json!({"host": "127.0.0.1", "port": port, "workers": 1, "log_format": "json"});
        let config = json!({"server": server, "routes": {"a": {"target_url": upstream.url()}}});
        write_private(&directory.path().join("config.json"), &config.to_string());
        let mut command = aqueduct();
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().expect("starts");
        let proxy = Self { child, port, _directory: directory };
        eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        proxy
    }

    fn client(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port).into())
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn appending(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a file")
}

fn ask(client: &mut Client, times: usize) {
    for _ in 0..times {
        assert_eq!(client.ask(GET).status(), 200);
    }
}

#[test]
fn a_disk_that_is_full_costs_lines_and_no_request() {
    in_own_network(a_disk_that_is_full_costs_lines_and_no_request, || {
        let directory = tempfile::tempdir().expect("a directory");
        let (disk, complaints) = (directory.path().join("disk"), directory.path().join("err"));
        std::fs::create_dir(&disk).expect("a directory");
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "none", disk.to_str().expect("text")]);
        let (log, upstream) = (disk.join("log"), Upstream::ok());
        let proxy = Logging::start(&upstream, appending(&log), appending(&complaints).into());
        let mut client = proxy.client();
        // Some 250 lines find room.
        ask(&mut client, 600);
        let lines = |path: &Path| std::fs::read_to_string(path).expect("text").lines().map(str::to_owned).collect();
        eventually("the loss is told", || {
            let complaints: Vec<String> = lines(&complaints);
            complaints.iter().any(|line| line.contains("log lines were dropped"))
        });
        // Somebody makes room.
        File::options().write(true).open(&log).and_then(|log| log.set_len(0)).expect("a file");
        ask(&mut client, 50);
        let told = || -> usize {
            let complaints: Vec<String> = lines(&complaints);
            let number = |line: &String| line.split(' ').find_map(|word| word.parse::<usize>().ok());
            complaints.iter().filter_map(number).sum()
        };
        let mut written = Vec::new();
        eventually("new lines are there", || {
            written = lines(&log);
            written.iter().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count() >= 50
        });
        // What was cut off may have its end at the top; no line after that is spoilt by it.
        // Nor is one that was being written when they were read.
        let whole = written.len() - usize::from(written.last().is_some_and(|line| !line.ends_with('}')));
        let spoilt =
            written[..whole].iter().skip(1).filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
        assert_eq!(spoilt, 0, "{written:#?}");
        eventually("those that are missing are told", || told() > 100);
        let complaints: Vec<String> = lines(&complaints);
        assert!(complaints.len() <= 4, "a full disk is no reason to fill another: {complaints:#?}");
    });
}

#[test]
fn outputs_that_take_nothing_cost_no_request() {
    let upstream = Upstream::ok();
    let full = || File::options().write(true).open("/dev/full").expect("a device");
    let mut proxy = Logging::start(&upstream, full(), full().into());
    ask(&mut proxy.client(), 200);
    run("kill", &[&proxy.child.id().to_string()]);
    assert!(proxy.child.wait().expect("it ends").success());
}

#[test]
fn outputs_that_are_gone_cost_no_request() {
    let upstream = Upstream::ok();
    let (near, far) = std::io::pipe().expect("a pipe");
    let mut proxy = Logging::start(&upstream, File::from(std::os::fd::OwnedFd::from(far)), Stdio::null());
    drop(near);
    ask(&mut proxy.client(), 200);
    run("kill", &[&proxy.child.id().to_string()]);
    assert!(proxy.child.wait().expect("it ends").success());
}
