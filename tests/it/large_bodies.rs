//! Large bodies: most of what they are made of goes past the program, and all of it arrives.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::json;

use crate::support::{Client, Proxy, Script, Upstream, eventually};

const MIB: usize = 1 << 20;
const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

/// Bytes of which no piece looks like its neighbour.
fn pattern(length: usize) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(length);
    for number in 0..length as u64 / 8 {
        bytes.extend_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    }
    bytes.into()
}

/// Chunks of these sizes, as many as it takes.
fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut out, mut rest, mut sizes) = (Vec::new(), body, sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().expect("a size")));
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        rest = after;
    }
    out.extend(b"0\r\n\r\n");
    out
}

/// How many ends of pipes a proxy holds.
fn pipes(proxy: &Proxy) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("a process");
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

fn with_one_worker(upstream: &Upstream) -> Proxy {
    Proxy::start(&json!({"server": {"workers": 1}, "routes": {"a": {"target_url": upstream.url()}}}))
}

#[test]
fn an_answer_arrives_as_it_was_sent_in_every_framing() {
    let body = pattern(6 * MIB);
    let length = body.len();
    let in_chunks = |sizes: &[usize]| chunked(&body, sizes);
    for (framing, sent) in [
        (format!("Content-Length: {length}"), body.to_vec()),
        ("Transfer-Encoding: chunked".to_owned(), in_chunks(&[4 * MIB])),
        ("Transfer-Encoding: chunked".to_owned(), in_chunks(&[MIB, 1, 100_000, 65_536, 65_537, 16, 2 * MIB])),
        ("Connection: close".to_owned(), body.to_vec()),
    ] {
        let answer = [format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes(), &sent].concat();
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            script.send(&answer)
        });
        let proxy = with_one_worker(&upstream);
        let mut client = proxy.client();
        let answer = client.ask(GET);
        assert!(answer.is_whole && answer.body == *body, "{framing}: {} bytes", answer.body.len());
    }
}

#[test]
fn an_old_client_gets_the_content_of_large_chunks_alone() {
    let body = pattern(8 * MIB);
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let upstream = Upstream::answering_once([&head[..], &chunked(&body, &[2 * MIB, 1000])].concat());
    let proxy = with_one_worker(&upstream);
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.0\r\n\r\n");
    client.head();
    assert!(client.rest() == *body);
}

#[test]
fn a_request_arrives_as_it_was_sent_and_its_connection_goes_on() {
    let body = pattern(6 * MIB);
    let upstream = Upstream::ok();
    let proxy = with_one_worker(&upstream);
    let mut client = proxy.client();
    for (framing, sent) in [
        (format!("Content-Length: {}", body.len()), body.to_vec()),
        ("Transfer-Encoding: chunked".to_owned(), chunked(&body, &[4 * MIB, 7])),
    ] {
        let head = format!("POST /a HTTP/1.1\r\nHost: p\r\n{framing}\r\n\r\n");
        let answer = client.ask([head.as_bytes(), &sent].concat());
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
        let request = upstream.request();
        assert!(request.is_whole && request.body == *body, "{framing}: {} bytes", request.body.len());
    }
    assert_eq!(client.ask(GET).text(), "ok");
    assert_eq!(upstream.connections(), 1);
}

/// An upstream that sends a body with a length, and closes.
fn sending(body: Arc<[u8]>) -> Upstream {
    Upstream::playing(move |script: &mut Script| {
        script.request()?;
        script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
        script.send(&*body)
    })
}

#[test]
fn who_does_not_read_holds_a_pipe_and_the_others_do_without() {
    let body = pattern(16 * MIB);
    let upstream = sending(Arc::clone(&body));
    let proxy = with_one_worker(&upstream);
    let before = pipes(&proxy);
    let clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = proxy.client();
            client.send(GET);
            client
        })
        .collect();
    // The bytes are on their way past the program: that is what the pipes are for.
    eventually("all pipes are in use", || pipes(&proxy) == before + 16);
    for mut client in clients {
        assert!(client.answer().body == *body);
    }
    assert_eq!(pipes(&proxy), before + 16);
}

#[test]
fn who_leaves_lets_go_of_the_upstream_and_what_was_on_its_way_is_gone() {
    let body = pattern(24 * MIB);
    let (left, has_left) = channel();
    let upstream = {
        let body = Arc::clone(&body);
        Upstream::playing(move |script| {
            script.request()?;
            script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
            let sent = script.send(&*body);
            let _ = left.send(sent.is_err());
            sent
        })
    };
    let proxy = with_one_worker(&upstream);
    let before = pipes(&proxy);
    for _ in 0..3 {
        let mut client = proxy.client();
        client.send(GET);
        eventually("a pipe is in use", || pipes(&proxy) > before);
        drop(client);
        assert_eq!(has_left.recv(), Ok(true));
    }
    // What is left of one answer is never found in another.
    assert!(proxy.client().ask(GET).body == *body);
}

#[test]
fn what_is_cut_is_seen_to_be_cut() {
    let body = pattern(8 * MIB);
    let half = &body[..4 * MIB];
    for head in ["Content-Length: 8388608", "Transfer-Encoding: chunked"] {
        let size = if head.starts_with('T') { "800000\r\n" } else { "" };
        let answer = [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{size}").as_bytes(), half].concat();
        let upstream = Upstream::answering_once(answer);
        let proxy = with_one_worker(&upstream);
        let mut client = proxy.client();
        client.send(GET);
        let answer = client.answer();
        assert!(!answer.is_whole && answer.body == half, "{head}");
        assert_eq!(proxy.logged(|line| line["status"] == 200)["end"], "upstream_cut");
    }
}

#[test]
fn an_upstream_that_falls_silent_in_the_middle_is_given_up() {
    let body = pattern(4 * MIB);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n")?;
        script.send(&*body)?;
        script.until_closed()
    });
    let config = json!({"server": {"workers": 1, "log_format": "json"}, "timeouts": {"idle": 0.3},
        "routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    client.send(GET);
    let answer = client.answer();
    assert!(!answer.is_whole && answer.body.len() == 4 * MIB);
    assert_eq!(proxy.logged(|line| line["status"] == 200)["end"], "idle_timeout");
}

#[test]
fn what_is_counted_is_what_went_by() {
    let body = pattern(4 * MIB);
    let upstream = sending(Arc::clone(&body));
    let proxy = Proxy::start(&json!({"server": {"workers": 1, "log_format": "json"},
        "routes": {"a": {"target_url": upstream.url()}}}));
    proxy.client().ask(GET);
    assert_eq!(proxy.logged(|line| line["status"] == 200)["bytes_out"], body.len());
}

#[test]
fn a_tunnel_carries_large_amounts_both_ways() {
    let body = pattern(8 * MIB);
    let upstream = Upstream::playing(|script| {
        script.head()?;
        script.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")?;
        let mut from = script.stream().try_clone()?;
        let mut to = script.stream().try_clone()?;
        io::copy(&mut from, &mut to).map(|_| ())
    });
    let proxy = with_one_worker(&upstream);
    let mut client = proxy.client();
    client.send("GET /a HTTP/1.1\r\nHost: p\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101"));
    let mut writer = client.stream().try_clone().expect("a socket");
    let sent = Arc::clone(&body);
    let sending = std::thread::spawn(move || writer.write_all(&sent));
    assert!(client.raw(body.len()) == *body);
    sending.join().expect("no panic").expect("written");
}
