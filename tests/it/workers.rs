//! How connections are spread over workers.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::support::{Client, Proxy, Upstream, eventually};

/// How many files each worker's epoll instance watches, fewest first. An instance may have several descriptors.
fn watched(pid: u32) -> Vec<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("a process");
    let text = |entry: std::io::Result<fs::DirEntry>| fs::read_to_string(entry.ok()?.path()).ok();
    let files = |text: String| text.lines().filter(|line| line.starts_with("tfd:")).map(str::to_owned).collect();
    let instances: BTreeSet<Vec<String>> = entries.filter_map(text).map(files).collect();
    let mut counts: Vec<usize> = instances.iter().map(Vec::len).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn streams_that_stay_are_spread_evenly() {
    const WORKERS: usize = 4;
    const STREAMS: usize = 16;

    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        script.until_closed()
    });
    let proxy = Proxy::start(&json!({
        "server": {"workers": WORKERS, "log_requests": false},
        "routes": {"a": {"target_url": upstream.url()}},
    }));
    let before = watched(proxy.pid());
    let clients: Vec<Client> = (0..STREAMS)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n");
            client.hears("a\r\n");
            client
        })
        .collect();
    // A stream is two connections of its worker: by chance alone, one in three times a worker would have none or one.
    eventually("every worker has its share", || {
        let after = watched(proxy.pid());
        let busiest = before.last().copied().unwrap_or_default();
        after.iter().rev().take(WORKERS).all(|count| *count >= busiest + 2 * (STREAMS / WORKERS - 1))
    });
    drop(clients);
}
