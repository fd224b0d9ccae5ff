//! File descriptors that run out.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Proxy, Upstream, aqueduct, eventually, run, wrap, write_private};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

/// A proxy that may have 256 files open.
fn poor(config: &Value) -> Proxy {
    Proxy::start_with(config, |command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 256 && exec \"$@\"", "sh"]);
        wrap(command, shell);
    })
}

/// How many clients such a proxy lets in.
fn room(proxy: &Proxy) -> usize {
    proxy.complains("The limit on open files allows");
    let said = proxy.err();
    let number = said.split("allows ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    number.parse().expect("a number")
}

fn open_files(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("a process").count()
}

#[test]
fn those_inside_are_served_however_many_knock() {
    let upstream = Upstream::ok();
    let proxy = poor(&json!({"routes": {"a": {"target_url": upstream.url()}}}));
    let mut inside: Vec<_> = (0..room(&proxy)).map(|_| proxy.client()).collect();
    // Everybody who is inside has said something, so nobody of them is still to be let in.
    for client in &mut inside {
        assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    }
    let mut outside: Vec<_> = (0..300).map(|_| proxy.client()).collect();
    assert_eq!(outside[0].answer().status(), 503);
    for client in &mut inside {
        client.send(GET);
    }
    for client in &mut inside {
        assert_eq!(client.answer().status(), 200);
    }
    assert!(proxy.err().lines().count() == 1, "{}", proxy.err());
}

#[test]
fn idle_connections_make_room_for_those_that_are_needed() {
    let upstreams: Vec<_> = (0..4).map(|_| Upstream::ok()).collect();
    let route = |upstream: &Upstream| json!({"target_url": upstream.url()});
    let proxy = poor(&json!({"routes": {
        "a": route(&upstreams[0]), "b": route(&upstreams[1]), "c": route(&upstreams[2]), "d": route(&upstreams[3]),
    }}));
    let mut clients: Vec<_> = (0..room(&proxy)).map(|_| proxy.client()).collect();
    for route in ["a", "b", "c", "d", "a"] {
        // All at once, so that there is a connection for each.
        for client in &mut clients {
            client.send(format!("GET /{route} HTTP/1.1\r\nHost: p\r\n\r\n"));
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200, "{route}");
        }
    }
    assert!(open_files(&proxy) <= 256);
}

#[test]
fn when_there_are_none_accepting_rests_and_goes_on_when_they_are_back() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let mut inside = proxy.client();
    assert_eq!(inside.ask(GET).status(), 200);
    // Fewer than are open.
    let limit = |files: &str| run("prlimit", &["--pid", &proxy.pid().to_string(), &format!("--nofile={files}")]);
    limit("3:");
    let mut waiting: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(GET);
    }
    // Nobody is let in, those inside are served, and nothing spins meanwhile.
    let before = proxy.cpu_time();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        assert_eq!(inside.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let spent = proxy.cpu_time() - before;
    assert!(spent < Duration::from_millis(300), "{spent:?} in a second");
    assert_eq!(upstream.connections(), 1);
    limit("1000:");
    let begun = Instant::now();
    for client in &mut waiting {
        assert_eq!(client.answer().status(), 200);
    }
    // A second is promised; machines are busy.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("all are on record", || proxy.log().len() > 20);
}

#[test]
fn who_cannot_work_does_not_start() {
    let mut refused = 0;
    for files in 3..40 {
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({"server": {"host": "127.0.0.1", "port": 0, "workers": 2}}).to_string();
        write_private(&directory.path().join("config.json"), &config);
        let mut command = aqueduct();
        command.current_dir(directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
        wrap(&mut command, shell);
        let mut proxy = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut said = String::new();
        let mut out = BufReader::new(proxy.stdout.take().expect("piped"));
        // Either it ends, or everybody is there who is to serve.
        while !said.contains("waiting for requests") && out.read_line(&mut said).expect("text") > 0 {}
        if said.contains("waiting for requests") {
            let threads = std::fs::read_dir(format!("/proc/{}/task", proxy.id())).expect("a process");
            let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
            assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), 2, "with {files} files");
            proxy.kill().expect("it runs");
        } else {
            refused += 1;
        }
        proxy.wait().expect("it ends");
    }
    assert!((1..36).contains(&refused), "{refused}");
}
