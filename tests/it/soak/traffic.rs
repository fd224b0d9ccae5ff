//! The kinds of traffic. Each does one thing, and checks that it came out as it must.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::upstream::EVENTS;
use super::{PATIENCE, rewrite};
use crate::support::http2::{self, Http2Client};
use crate::support::{Authority, Client};

/// Where the traffic goes.
pub(super) struct World<'a> {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) authority: &'a Authority,
    pub(super) upstream: SocketAddr,
    pub(super) configs: [PathBuf; 2],
    pub(super) text: [String; 2],
    /// Goes on from one host to the next.
    pub(super) number: AtomicU32,
    pub(super) counts: [AtomicU64; KINDS.len()],
    pub(super) is_over: AtomicBool,
}

type Play = fn(&World<'_>);

/// Each has a thread of its own.
pub(super) const KINDS: [(&str, Play); 22] = [
    ("requests", requests),
    ("requests with a body", posts),
    ("connections", connections),
    ("pipelines", pipelines),
    ("streams", streams),
    ("abandoned streams", abandoned_streams),
    ("abandoned waits", abandoned_waits),
    ("uploads", uploads),
    ("chunked uploads", chunked_uploads),
    ("abandoned uploads", abandoned_uploads),
    ("bad requests", bad_requests),
    ("half requests", half_requests),
    ("bad answers", bad_answers),
    ("nobody there", nobody_there),
    ("too slow", too_slow),
    ("tunnels", tunnels),
    ("ways out", ways_out),
    ("many hosts", many_hosts),
    ("TLS", tls),
    ("bad TLS", bad_tls),
    ("HTTP/2", streams_of_http2),
    ("reloads", reloads),
];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer own\r\n\r\n")
}

fn requests(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    for _ in 0..50 {
        assert_eq!(client.ask(get("/a/x")).status(), 200);
    }
}

fn posts(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    for size in [0, 1, 528, 16 * 1024, 200 * 1024] {
        let body = "x".repeat(size);
        let request = format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: {size}\r\n\r\n{body}");
        let answer = client.ask(request);
        assert_eq!((answer.status(), answer.body.len()), (200, size));
    }
}

fn connections(world: &World<'_>) {
    let request = "GET /a/close HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
    let mut client = Client::connect(world.plain);
    assert_eq!(client.ask(request).text(), "until the end");
    assert!(client.is_closed());
}

fn pipelines(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send(get("/a/x").repeat(10));
    for _ in 0..10 {
        assert_eq!(client.answer().status(), 200);
    }
}

fn streams(world: &World<'_>) {
    let answer = Client::connect(world.plain).ask(get("/a/events"));
    assert!(answer.is_whole);
    assert_eq!(answer.text().matches("data: ").count(), EVENTS);
}

fn abandoned_streams(world: &World<'_>) {
    for ends_well in [true, false] {
        let mut client = Client::connect(world.plain);
        client.send(get("/a/endless"));
        client.hears("data: x");
        if !ends_well {
            client.reset();
        }
    }
}

fn abandoned_waits(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send(get("/a/slow"));
    pause(3);
}

fn uploads(world: &World<'_>) {
    upload(&mut Client::connect(world.plain));
}

fn upload<S: Read + Write>(client: &mut Client<S>) {
    let size = 2 << 20;
    client.send(format!("POST /a/upload HTTP/1.1\r\nHost: p\r\nContent-Length: {size}\r\n\r\n"));
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..size / piece.len() {
        client.send(&piece);
    }
    assert_eq!(client.answer().text(), size.to_string());
}

fn chunked_uploads(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send("POST /a/upload HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n");
    let piece = "x".repeat(10_000);
    for _ in 0..30 {
        client.send(format!("2710\r\n{piece}\r\n"));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().text(), "300000");
}

fn abandoned_uploads(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send("POST /a/upload HTTP/1.1\r\nHost: p\r\nContent-Length: 1000000\r\n\r\n").send([b'x'; 100_000]);
    pause(2);
}

fn bad_requests(world: &World<'_>) {
    for request in [
        "GET /a/x HTTP/1.1\r\n\r\n",
        "GET /a/x HTTP/1.1\r\nHost: p\r\nHost: q\r\n\r\n",
        "GET /a/x HTTP/1.1\r\nHost : p\r\n\r\n",
        "GET /a/x HTTP/1.1\nHost: p\n\n",
        "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: -1\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let mut client = Client::connect(world.plain);
        assert_eq!(client.send(request).answer().status(), 400, "{request:?}");
        assert!(client.is_closed(), "{request:?}");
    }
    let path = "x".repeat(20_000);
    assert_eq!(Client::connect(world.plain).send(get(&format!("/a/{path}"))).answer().status(), 414);
    assert_eq!(Client::connect(world.plain).ask(get("/unknown/x")).status(), 404);
}

fn half_requests(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send("GET /a/x HTTP/1.1\r\nHos");
    pause(2);
}

fn bad_answers(world: &World<'_>) {
    assert_eq!(Client::connect(world.plain).ask(get("/a/garbage")).status(), 502);
    assert_eq!(Client::connect(world.plain).ask(get("/a/reset")).status(), 502);
    let mut client = Client::connect(world.plain);
    let answer = client.send(get("/a/short")).try_answer();
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.is_whole), "a short answer is seen to be short");
}

fn nobody_there(world: &World<'_>) {
    assert_eq!(Client::connect(world.plain).ask(get("/nobody/x")).status(), 502);
    pause(2);
}

fn too_slow(world: &World<'_>) {
    assert_eq!(Client::connect(world.plain).ask(get("/impatient/slow")).status(), 504);
}

fn tunnels(world: &World<'_>) {
    let mut client = Client::connect(world.plain);
    client.send("GET /a/switch HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    for _ in 0..20 {
        client.send("word");
        assert_eq!(client.raw(4), b"word");
    }
}

fn ways_out(world: &World<'_>) {
    for route in ["http", "tunnel"] {
        let mut client = Client::connect(world.plain);
        for _ in 0..5 {
            assert_eq!(client.ask(get(&format!("/{route}/x"))).status(), 200);
        }
    }
}

/// Origins without number, of which few have somebody there.
fn many_hosts(world: &World<'_>) {
    let number = world.number.fetch_add(1, Ordering::Relaxed);
    let port = world.upstream.port();
    let mut client = Client::connect(world.plain);
    for step in 0..5 {
        // The whole of 127.0.0.0/8 is this machine, and the upstream is at one address of it.
        let [.., high, low] = (5 * number + step).to_be_bytes();
        assert_eq!(client.ask(get(&format!("/u/http://127.1.{high}.{low}:{port}/x"))).status(), 502);
    }
    assert_eq!(client.ask(get(&format!("/u/http://127.0.0.1:{port}/x"))).status(), 200);
}

fn tls(world: &World<'_>) {
    let mut client = world.authority.client(world.tls);
    for _ in 0..5 {
        assert_eq!(client.ask(get("/a/x")).status(), 200);
    }
    let answer = client.ask(get("/a/events"));
    assert!(answer.is_whole);
    upload(&mut client);
}

fn bad_tls(world: &World<'_>) {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b""] {
        let mut stream = TcpStream::connect(world.tls).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let _: io::Result<usize> = stream.read_to_end(&mut Vec::new());
    }
}

fn streams_of_http2(world: &World<'_>) {
    http2::run(async {
        // On a busy machine this client falls behind, and many small frames that it has not read are no attack.
        let mut builder = h2::client::Builder::new();
        builder.data_frame_budget(16 << 20);
        let mut client = Http2Client::connect_as(world.plain, &builder).await;
        for _ in 0..10 {
            assert_eq!(client.get("/a/x").await.status, 200);
        }
        let heard = client.get("/a/events").await;
        assert_eq!((heard.cut, heard.body.is_empty()), (None, false));
        let heard = client.ask(http2::post("/a/upload"), &[b'x'; 30_000]).await;
        assert_eq!(heard.body, b"30000");
        // Those that are given up.
        for path in ["/a/endless", "/a/slow"] {
            let (answer, send) = client.begin(http2::get(path), true).await;
            if path == "/a/endless" {
                let mut recv = answer.await.expect("an answer").into_body();
                http2::hears(&mut recv, "data: x").await;
            } else {
                drop(answer);
            }
            drop(send);
        }
        drop(client.ended());
    });
}

/// New files and torn ones. What runs is not touched by any of them.
fn reloads(world: &World<'_>) {
    for number in 0..2 {
        let (path, text) = (&world.configs[number], &world.text[number]);
        rewrite(path, &text[..text.len() / 2]);
        pause(100);
        rewrite(path, &text.replace("sk-soak", "sk-other"));
        pause(300);
        rewrite(path, text);
    }
}

fn pause(milliseconds: u64) {
    thread::park_timeout(Duration::from_millis(milliseconds));
}
