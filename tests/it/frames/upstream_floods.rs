//! Floods from upstreams, and what one client can do to the others on a shared connection.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::json;

use super::peer::{BadUpstream, Peer, When};
use super::siege::Siege;
use crate::support::frames::*;
use crate::support::{Proxy, Upstream};

/// Says this over and over, for as long as it is heard; at most 64 MiB of it.
fn pour(peer: &mut Peer, frame: &Frame) -> io::Result<()> {
    let bytes = frame.bytes();
    let much = bytes.repeat(64 * 1024 / bytes.len() + 1);
    (0..1_024).try_for_each(|_| peer.frames.send(&much).flush())
}

fn get() -> String {
    "GET /a HTTP/1.1\r\nHost: p\r\n\r\n".to_owned()
}

#[test]
fn floods_in_the_place_of_an_answer() {
    // A status and a field of 3,000 bytes that enter the table, where each is then one byte.
    let known = [b"\x48\x03103\x40\x04link", &integer(0, 7, 3_000)[..], &[b'y'; 3_000]].concat();
    for (what, first, flood) in [
        ("PING", None, Frame::new(PING, 0, 0, "12345678")),
        ("SETTINGS", None, Frame::new(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, 1)]))),
        ("unknown frames", None, Frame::new(0x16, 0, 0, "")),
        ("WINDOW_UPDATE", None, Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])),
        ("interim answers", None, Frame::new(HEADERS, END_HEADERS, 1, field(":status", "103"))),
        (
            "interim answers that stand for more than they are",
            Some(Frame::new(HEADERS, END_HEADERS, 1, known)),
            Frame::new(HEADERS, END_HEADERS, 1, [0xbf, 0xbe]),
        ),
        (
            "a head without end",
            Some(Frame::new(HEADERS, 0, 1, field(":status", "200"))),
            Frame::new(CONTINUATION, 0, 1, field("x", [b'y'; 16_000])),
        ),
        (
            "DATA of nothing",
            Some(Frame::new(HEADERS, END_HEADERS, 1, field(":status", "200"))),
            Frame::new(DATA, 0, 1, ""),
        ),
        (
            "trailers without end",
            Some(Frame::new(HEADERS, END_HEADERS, 1, field(":status", "200"))),
            Frame::new(HEADERS, END_HEADERS, 1, field("x", "y")),
        ),
    ] {
        let upstream = BadUpstream::doing(
            When::Asked,
            Arc::new(move |peer: &mut Peer, _| {
                if let Some(first) = &first {
                    peer.frames.send(first.bytes());
                }
                pour(peer, &flood)
            }),
        );
        let mut siege = Siege::lay_on(&json!({"target_url": upstream.url(), "http2": true}), &json!({}));
        let answer = siege.proxy.client().ask(get());
        assert!(answer.status() == 502 || !answer.is_whole, "{what}: {answer:?}");
        assert_eq!(siege.proxy.client().ask(get()).status(), 200, "{what}");
        siege.ends();
    }
}

#[test]
fn an_upstream_that_heeds_no_window() {
    let upstream = BadUpstream::doing(
        When::Asked,
        Arc::new(|peer: &mut Peer, stream| {
            peer.answer(stream, "200", &[]);
            pour(peer, &Frame::new(DATA, 0, stream, [b'x'; 16_384]))
        }),
    );
    let mut siege = Siege::lay_on(&json!({"target_url": upstream.url(), "http2": true}), &json!({}));
    // A client that does not read holds its stream up, and what the upstream sends beyond that is its own fault.
    let mut client = siege.proxy.client();
    client.send(get()).head();
    let mut next = siege.proxy.client();
    while next.ask(get()).status() != 200 {}
    let whole = client.rest();
    assert!(!whole.ends_with(b"0\r\n\r\n"));
    siege.ends();
}

#[test]
fn answers_in_small_pieces_that_nobody_reads_cost_nobody_else_their_stream() {
    const STREAMS: u32 = 90;

    let (begun, all_begun) = channel();
    let begun = std::sync::Mutex::new(begun);
    let upstream = Upstream::playing(move |script| {
        let mut frames = Frames::on(script.stream().try_clone()?);
        frames.take_preface()?;
        frames.frame(SETTINGS, 0, 0, settings(&[(HEADER_TABLE_SIZE, 0)]));
        for _ in 0..STREAMS {
            let head = frames.until(|frame| frame.kind == HEADERS)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            frames.frame(HEADERS, END_HEADERS, head.stream, field(":status", "200"));
            // All that a window takes, in pieces as small as words.
            (0..800).for_each(|_| _ = frames.frame(DATA, 0, head.stream, [b'w'; 80]));
            frames.flush()?;
            let _ = begun.lock().expect("not poisoned").send(());
        }
        let last = frames.until(|frame| frame.kind == HEADERS)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        frames.frame(HEADERS, END_HEADERS, last.stream, field(":status", "200"));
        frames.frame(DATA, END_STREAM, last.stream, "ok").flush()?;
        frames.until(|_| false).map(|_| ())
    });
    let proxy = Proxy::start(&json!({
        "server": {"log_requests": false},
        "routes": {"a": {"target_url": upstream.url(), "http2": true}},
    }));
    let mut frames = Frames::open_with(proxy.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    for number in 0..STREAMS {
        frames.get(2 * number + 1);
    }
    frames.flush().expect("the proxy reads");
    assert_eq!(all_begun.iter().take(STREAMS as usize).count(), STREAMS as usize);
    let answer = proxy.client().ask(get());
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(upstream.connections(), 1);
    // And each of the others goes on where it was.
    for number in 0..STREAMS {
        frames.frame(WINDOW_UPDATE, 0, 2 * number + 1, [0, 0, 0, 80]);
    }
    let mut heard = 0;
    while heard < STREAMS {
        let frame = frames.until(|frame| matches!(frame.kind, DATA | RST_STREAM | GOAWAY)).expect("alive");
        assert_eq!(frame.expect("alive").kind, DATA);
        heard += 1;
    }
}
