//! Floods: work without end that nobody waits for.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::siege::Siege;
use crate::support::frames::*;
use crate::support::{Upstream, Witness};

/// Sends this over and over until nobody takes it any more; at most 64 MiB of it.
fn pour(frames: &mut Frames, bytes: &[u8]) -> bool {
    let much = bytes.repeat(64 * 1024 / bytes.len() + 1);
    (0..1_024).all(|_| frames.send(&much).flush().is_ok())
}

/// An upstream that never answers, and who tells of each request.
fn silent() -> (Upstream, Receiver<()>) {
    let (asked, requests) = channel();
    let asked = Mutex::new(asked);
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        let _ = asked.lock().expect("not poisoned").send(());
        script.until_closed()
    });
    (upstream, requests)
}

#[test]
fn frames_that_carry_nothing() {
    // One stream that is open, and one that the proxy has had to break off.
    let begin = |frames: &mut Frames| {
        frames.post(1, &[]).post(3, &[]).frame(WINDOW_UPDATE, 0, 3, 0x7fff_ffff_u32.to_be_bytes());
    };
    let floods = [
        ("PING", Frame::new(PING, 0, 0, b"12345678")),
        ("acknowledged PING", Frame::new(PING, ACK, 0, b"12345678")),
        ("SETTINGS", Frame::new(SETTINGS, 0, 0, [])),
        ("PRIORITY", Frame::new(PRIORITY, 0, 3, [0, 0, 0, 0, 16])),
        ("unknown", Frame::new(0x16, 0, 0, [])),
        ("WINDOW_UPDATE of the connection", Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])),
        ("empty DATA", Frame::new(DATA, 0, 1, [])),
        ("padded empty DATA", Frame::new(DATA, PADDED, 1, [3, 0, 0, 0])),
        ("trailers of a stream that is over", Frame::new(HEADERS, END_STREAM | END_HEADERS, 3, field("x", "y"))),
    ];
    let (upstream, _requests) = silent();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    for (name, frame) in floods {
        // So many that it is too much, and so few that all of it is read before the end.
        let mut frames = siege.attacker();
        begin(&mut frames);
        frames.send(frame.bytes().repeat(3_000));
        assert_eq!(frames.end(), Fate::GoneAway(ENHANCE_YOUR_CALM), "{name}");
        // Without end, and without reading what comes back.
        let mut frames = siege.attacker();
        begin(&mut frames);
        assert!(!pour(&mut frames, &frame.bytes()), "{name}");
    }
    siege.ends();
}

#[test]
fn fair_use_is_no_flood() {
    let upstream = Witness::start();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    let mut frames = siege.attacker();
    frames.send(Frame::new(PING, 0, 0, b"12345678").bytes().repeat(100));
    frames.send(Frame::new(PRIORITY, 0, 3, [0, 0, 0, 0, 16]).bytes().repeat(200));
    for number in 0..1_000 {
        let stream = 2 * number + 1;
        // What the most talkative of clients say of every answer.
        frames.get(stream).frame(PRIORITY, 0, stream, [0, 0, 0, 0, 16]);
        assert_eq!(frames.fate(stream), Fate::Answered(200));
        frames.frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 2]).frame(WINDOW_UPDATE, 0, stream, [0, 0, 0, 2]);
        frames.frame(PING, 0, 0, b"bdpprobe");
    }
    // Somebody who types, and takes back what is asked for with each key.
    for number in 1_000..1_300 {
        let stream = 2 * number + 1;
        frames.get(stream).frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes());
        assert!(frames.is_alive());
    }
    siege.ends();
}

#[test]
fn streams_that_are_opened_and_broken_off() {
    let (upstream, requests) = silent();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    for (count, is_too_much) in [(50, false), (10_000, true)] {
        let mut frames = siege.attacker();
        for number in 0..count {
            let stream = 2 * number + 1;
            frames.get(stream).frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes());
        }
        if is_too_much {
            assert!(matches!(frames.end(), Fate::GoneAway(ENHANCE_YOUR_CALM) | Fate::Closed));
        } else {
            assert!(frames.is_alive());
        }
        assert_eq!((requests.try_iter().count(), upstream.connections()), (0, 0), "nobody is troubled with it");
    }
    siege.ends();
}

/// What makes the proxy break off a stream, or what breaks it off, once its request is on its way.
#[test]
fn streams_that_are_broken_off_when_their_requests_have_gone_out() {
    let on_itself = |stream: u32| [&stream.to_be_bytes()[..], &[16]].concat();
    for (name, kind) in [
        ("it goes", RST_STREAM),
        ("its window grows beyond 2^31 - 1", WINDOW_UPDATE),
        ("it depends on itself", PRIORITY),
    ] {
        let (upstream, requests) = silent();
        let mut siege = Siege::lay(&upstream.url(), &json!({}));
        let mut frames = siege.attacker();
        let began = Instant::now();
        let mut asked = 0;
        for number in 0.. {
            let stream = 2 * number + 1;
            frames.get(stream);
            let mut has_ended = frames.flush().is_err();
            while !has_ended && requests.recv_timeout(Duration::from_millis(50)).is_err() {
                has_ended = frames.has_ended();
            }
            if has_ended {
                break;
            }
            asked += 1;
            match kind {
                RST_STREAM => frames.frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes()),
                WINDOW_UPDATE => frames.frame(WINDOW_UPDATE, 0, stream, 0x7fff_ffff_u32.to_be_bytes()),
                _ => frames.frame(PRIORITY, 0, stream, on_itself(stream)),
            };
        }
        let most = 401 + 50 * (began.elapsed().as_secs() + 1);
        assert!((400..=most).contains(&asked), "{name}: {asked} requests");
        siege.ends();
    }
}
