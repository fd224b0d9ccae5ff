//! Heads that are too large, by what they are and by what they become.

use serde_json::json;

use super::siege::Siege;
use crate::support::frames::*;
use crate::support::{Upstream, Witness};

fn fields(count: usize, length: usize) -> Vec<u8> {
    (0..count).flat_map(|number| field(format!("x-{number}"), "y".repeat(length))).collect()
}

/// A head on stream 1, in as many frames as it takes.
fn send_head(frames: &mut Frames, head: &[u8]) {
    let pieces: Vec<&[u8]> = head.chunks(16_384).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let last = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
        match number {
            0 => frames.frame(HEADERS, END_STREAM | last, 1, piece),
            _ => frames.frame(CONTINUATION, last, 1, piece),
        };
    }
}

#[test]
fn limits_of_heads_hold() {
    let upstream = Witness::start();
    let long_path = |length: usize| request_for(&format!("/a/{}", "p".repeat(length)), "GET", &[]);
    let get = || request("GET", &[]);
    for (what, limits, head, fate) in [
        ("much, but not too much", json!({}), [get(), fields(100, 500)].concat(), Fate::Answered(200)),
        ("too many bytes", json!({}), [get(), fields(8, 8_200)].concat(), Fate::Answered(431)),
        ("too many fields", json!({}), [get(), fields(129, 1)].concat(), Fate::Answered(431)),
        ("too long a path", json!({}), long_path(17_000), Fate::Answered(414)),
        ("beyond all measure", json!({}), [get(), fields(5, 60_000)].concat(), Fate::GoneAway(ENHANCE_YOUR_CALM)),
        (
            "more than a small limit",
            json!({"max_head_size": 500}),
            [get(), fields(1, 500)].concat(),
            Fate::Answered(431),
        ),
        ("more fields than few", json!({"max_head_fields": 5}), [get(), fields(6, 1)].concat(), Fate::Answered(431)),
        ("longer than a short line", json!({"max_request_line": 50}), long_path(50), Fate::Answered(414)),
    ] {
        let mut siege = Siege::lay(&upstream.url(), &limits);
        let mut frames = siege.attacker();
        send_head(&mut frames, &head);
        assert_eq!(frames.fate(1), fate, "{what}");
        siege.ends();
    }
    upstream.hears(1);
}

#[test]
fn heads_without_end() {
    let upstream = Upstream::ok();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    for (what, piece) in [
        ("fields", block(&[("x", &"y".repeat(16_000))])),
        ("fields that are known already", vec![0x82; 16_384]),
        ("nothing", Vec::new()),
        ("one byte of a field", vec![0]),
        ("one field", [&integer(0, 7, 0)[..], b"\x01x", &integer(0, 7, 1 << 26), &[b'y'; 16_000]].concat()),
        ("changes of the table", vec![0x20; 16_384]),
    ] {
        let mut frames = siege.attacker();
        frames.frame(HEADERS, END_STREAM, 1, request("GET", &[]));
        let piece = Frame::new(CONTINUATION, 0, 1, piece).bytes();
        assert!((0..10_000).any(|_| frames.send(&piece).flush().is_err() || frames.has_ended()), "{what}");
    }
    siege.ends();
    assert!(upstream.has_no_request());
}

#[test]
fn a_few_bytes_that_stand_for_many() {
    let upstream = Upstream::ok();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    for _ in 0..5 {
        let mut frames = siege.attacker();
        // A field of 4,000 bytes that enters the table, and a head that names it 16,000 times: 64 MiB.
        let large = [&[0x40][..], b"\x01x", &integer(0, 7, 4_000), &[b'y'; 4_000]].concat();
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, [request("GET", &[]), large].concat());
        assert_eq!(frames.fate(1), Fate::Answered(200));
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 3, [request("GET", &[]), vec![0xbe; 16_000]].concat());
        assert_eq!(frames.end(), Fate::GoneAway(ENHANCE_YOUR_CALM));
        // On many streams at once, none of them beyond the limit: 100 heads of 60,000 bytes.
        let mut frames = siege.attacker();
        let large = [&[0x40][..], b"\x01x", &integer(0, 7, 4_000), &[b'y'; 4_000]].concat();
        frames.frame(HEADERS, END_HEADERS, 1, [request("POST", &[]), large].concat());
        for number in 1..100 {
            frames.frame(HEADERS, END_HEADERS, 2 * number + 1, [request("POST", &[]), vec![0xbe; 14]].concat());
        }
        assert!(frames.is_alive());
    }
    siege.ends();
}
