//! Streams: every byte when it arrives, and none for somebody who has left.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::json;

use crate::support::{Proxy, Script, Upstream, eventually};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

/// An upstream that sends the pieces one at a time, each when it is told to, and then closes.
fn stepwise(pieces: Vec<&'static str>) -> (Upstream, Sender<()>) {
    let (go, wait) = channel();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        script.request()?;
        let wait = wait.lock().expect("not poisoned");
        for piece in &pieces {
            if wait.recv().is_err() {
                return Ok(());
            }
            script.send(piece)?;
        }
        Ok(())
    });
    (upstream, go)
}

#[test]
fn every_piece_is_there_before_the_next_is_sent() {
    for (head, pieces) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            ["9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "9\r\ndata: 3\n\n\r\n"],
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n", ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n", ["\x1f\u{8b}1", "22", "33"]),
    ] {
        let (upstream, go) = stepwise([&[head], &pieces[..]].concat());
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        client.send(GET);
        go.send(()).expect("the upstream waits");
        assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
        for piece in pieces {
            go.send(()).expect("the upstream waits");
            client.hears(piece.trim_end_matches("\r\n").split("\r\n").last().expect("some"));
        }
    }
}

#[test]
fn half_a_chunk_is_written_too() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (upstream, go) = stepwise(vec![head, "a", "\r\n01", "234", "56789\r", "\n0\r\n\r", "\n"]);
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    go.send(()).expect("the upstream waits");
    client.head();
    for piece in ["a", "\r\n01", "234", "56789\r", "\n0\r\n"] {
        go.send(()).expect("the upstream waits");
        let mut seen = Vec::new();
        while seen.len() < piece.len() {
            seen.extend(client.some());
        }
        assert_eq!(String::from_utf8_lossy(&seen), piece);
    }
}

/// An upstream that says when the proxy has closed the connection.
fn watched(answer: &'static str) -> (Upstream, Receiver<()>) {
    let (closed, is_closed) = channel();
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send(answer)?;
        let _ = script.until_closed();
        let _ = closed.send(());
        Ok(())
    });
    (upstream, is_closed)
}

fn left(proxy: &Proxy, is_closed: &Receiver<()>) {
    is_closed.recv_timeout(crate::support::PATIENCE).expect("the upstream connection is closed");
    assert_eq!(proxy.logged(|_| true)["end"], "client_gone");
}

#[test]
fn a_client_that_leaves_mid_stream_ends_the_upstream() {
    let (upstream, is_closed) = watched("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET).head();
    assert_eq!(client.some(), b"1\r\na\r\n");
    drop(client);
    left(&proxy, &is_closed);
}

#[test]
fn a_client_that_leaves_before_the_first_byte_ends_the_upstream() {
    let (upstream, is_closed) = watched("");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    upstream.request();
    drop(client);
    left(&proxy, &is_closed);
}

#[test]
fn a_client_that_leaves_with_much_still_unread_ends_the_upstream() {
    let (upstream, is_closed) = watched("");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    upstream.request();
    // More than is read ahead: its end cannot be read, and is seen all the same.
    client.send(GET.repeat(2_000));
    drop(client);
    left(&proxy, &is_closed);
}

#[test]
fn a_client_that_leaves_during_an_upload_ends_the_upstream() {
    let (closed, is_closed) = channel();
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        let _ = script.until_closed();
        let _ = closed.send(());
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\n").send(vec![b'x'; 100_000]);
    upstream.request();
    drop(client);
    left(&proxy, &is_closed);
}

#[test]
fn a_slow_reader_slows_the_upstream_down() {
    let (sent, has_sent) = channel();
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\n")?;
        script.stream().set_write_timeout(Some(std::time::Duration::from_millis(500)))?;
        let piece = vec![b'x'; 64 * 1024];
        let mut stream = script.stream();
        let mut total = 0_u64;
        // An endless answer, until nobody takes more of it.
        while stream.write_all(&piece).is_ok() {
            total += piece.len() as u64;
        }
        let _ = sent.send(total);
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET);
    let total = has_sent.recv().expect("the upstream is stopped");
    assert!(total < 64 << 20, "{total} bytes were taken from the upstream though nobody read them");
}

#[test]
fn both_directions_flow_at_once() {
    let upstream = Upstream::playing(|script| {
        script.head()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            let piece = script.some()?;
            if piece.is_empty() {
                return Ok(());
            }
            script.send(&piece)?;
            if piece.ends_with(b"0\r\n\r\n") {
                return script.until_closed();
            }
        }
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send("POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    for word in ["one", "two", "three"] {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        client.send(&chunk);
        assert_eq!(String::from_utf8_lossy(&client.some()), chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.some(), b"0\r\n\r\n");
    // The connection is still good.
    client.send("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn many_streams_are_open_at_once_on_one_thread() {
    let (go, wait) = channel();
    let go: Mutex<Sender<()>> = Mutex::new(go);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let _ = go.lock().expect("not poisoned").send(());
        script.until_closed()
    });
    let proxy = Proxy::start(&json!({"server": {"workers": 1}, "routes": {"a": {"target_url": upstream.url()}}}));
    let mut clients: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        client.head();
        assert_eq!(client.some(), b"1\r\na\r\n");
    }
    assert_eq!(wait.iter().take(100).count(), 100);
    assert_eq!(upstream.connections(), 100);
    drop(clients);
    eventually("every stream is on record", || proxy.log().len() == 100);
}

#[cfg(target_os = "linux")]
#[test]
fn streams_that_wait_hold_little() {
    const STREAMS: u64 = 256;
    // The promise, in KiB: of a stream, whether its answer has begun or is still being thought about.
    const MOST: u64 = 8;

    let (arrived, arrivals) = channel();
    let upstream = Upstream::playing(move |script: &mut Script| {
        let request = script.request()?.expect("a request");
        if request.target() == "/speaks" {
            script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")?;
        }
        let _ = arrived.send(());
        // Until the proxy leaves.
        script.request().map(|_| ())
    });
    let prompt = "q".repeat(20_000);
    for target in ["/speaks", "/thinks"] {
        let proxy = Proxy::to(&upstream);
        // Pages of its file are shared with the proxies of other tests, which come and go.
        let memory = || proxy.memory("smaps_rollup", "Anonymous:");
        let open = |count: u64| -> Vec<_> {
            (0..count)
                .map(|_| {
                    let mut client = proxy.client();
                    let length = prompt.len();
                    client.send(format!(
                        "POST /a{target} HTTP/1.1\r\nHost: p\r\nContent-Length: {length}\r\n\r\n{prompt}"
                    ));
                    arrivals.recv().expect("the upstream is there");
                    if target == "/speaks" {
                        client.head();
                        client.hears("one");
                    }
                    client
                })
                .collect()
        };
        // What is needed once, and for the first few, is there before anything counts.
        drop(open(16));
        let before = memory();
        let _clients = open(STREAMS);
        let grown = memory().saturating_sub(before);
        assert!(grown <= STREAMS * MOST, "{target}: {grown} KiB for {STREAMS} streams");
    }
}
