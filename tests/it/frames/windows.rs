//! Games with windows, and peers that are silent in the wrong place: nobody holds anything of ours for good.

use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;

use super::siege::Siege;
use crate::support::frames::*;
use crate::support::{Upstream, eventually};

/// An upstream whose answers have no end, and how much of them was taken from it.
fn endless() -> (Upstream, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n\r\n")?;
        let piece = [b'x'; 4_096];
        let mut stream = script.stream();
        loop {
            count.fetch_add(stream.write(&piece)? as u64, Ordering::SeqCst);
        }
    });
    (upstream, taken)
}

/// Waits until nothing is taken from it any more, and gives how much was.
fn settled(taken: &AtomicU64) -> u64 {
    let (mut last, mut since) = (0, Instant::now());
    eventually("the upstream is stopped", || {
        let now = taken.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        last > 0 && since.elapsed() > Duration::from_millis(300)
    });
    last
}

#[test]
fn windows_that_are_never_opened() {
    const STREAMS: u32 = 128;

    let (upstream, taken) = endless();
    let mut siege = Siege::lay(&upstream.url(), &json!({"write_timeout": "1500ms"}));
    for window in [0, 1, 1_000] {
        taken.store(0, Ordering::SeqCst);
        let mut frames = Frames::open_with(siege.proxy.address(), &[(INITIAL_WINDOW_SIZE, window)]);
        for number in 0..STREAMS {
            frames.get(2 * number + 1);
        }
        frames.flush().expect("the proxy reads");
        settled(&taken);
        // A window's worth of each answer is held, and what it came in.
        assert!(siege.grown() < u64::from(STREAMS) * 128, "{} KiB", siege.grown());
        // Each ends by itself when its time is over, and the connection goes on.
        let streams: Vec<u32> = (0..STREAMS).map(|number| 2 * number + 1).collect();
        assert!(frames.fates(&streams).iter().all(|fate| *fate == Fate::Reset(CANCEL)));
        assert!(frames.is_alive());
    }
    siege.ends();
}

#[test]
fn a_window_that_is_opened_by_a_byte_at_a_time() {
    let (upstream, _) = endless();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    let mut frames = Frames::open_with(siege.proxy.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    frames.get(1);
    for _ in 0..5_000 {
        frames.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
        let data = frames.until(|frame| frame.kind == DATA || frame.kind == GOAWAY).expect("alive").expect("a byte");
        assert_eq!((data.kind, data.payload.len()), (DATA, 1));
    }
    siege.ends();
}

#[test]
fn a_window_that_is_made_smaller_than_what_is_under_way() {
    let (upstream, taken) = endless();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    let mut frames = siege.attacker();
    frames.get(1);
    for size in [0, 65_535, 1, 0x7fff_ffff, 0, 10, 0] {
        frames.frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, size)]));
        assert!(frames.is_alive());
    }
    settled(&taken);
    frames.frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes());
    assert!(frames.is_alive());
    siege.ends();
}

/// An upstream that takes nothing of what it is sent.
fn deaf() -> Upstream {
    let (never, end) = channel::<()>();
    let end = Mutex::new(end);
    Upstream::playing(move |script| {
        let _ = (&never, script);
        let _ = end.lock().expect("not poisoned").recv();
        Ok(())
    })
}

#[test]
fn a_client_that_heeds_no_window() {
    let upstream = deaf();
    let mut siege = Siege::lay(&upstream.url(), &json!({}));
    let mut frames = siege.attacker();
    frames.post(1, &[]);
    let piece = Frame::new(DATA, 0, 1, [0; 16_384]).bytes();
    for _ in 0..4_096 {
        if frames.send(&piece).flush().is_err() {
            break;
        }
    }
    let fate = frames.fate(1);
    assert!(
        matches!(fate, Fate::Reset(FLOW_CONTROL_ERROR) | Fate::GoneAway(FLOW_CONTROL_ERROR) | Fate::Closed),
        "{fate:?}"
    );
    siege.ends();
}

#[test]
fn a_client_that_never_reads() {
    let (upstream, taken) = endless();
    let mut siege = Siege::lay(&upstream.url(), &json!({"write_timeout": "1s"}));
    let mut frames = Frames::open_with(siege.proxy.address(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.frame(WINDOW_UPDATE, 0, 0, 0x7ff0_0000_u32.to_be_bytes());
    for number in 0..100 {
        frames.get(2 * number + 1);
    }
    frames.flush().expect("the proxy reads");
    settled(&taken);
    // Nobody reads, so nothing is read either; and then it is over.
    let ping = Frame::new(PING, 0, 0, b"12345678").bytes();
    eventually("the connection is closed", || frames.send(&ping).flush().is_err());
    siege.ends();
}

#[test]
fn silence_after_the_preface() {
    let upstream = Upstream::ok();
    let mut siege = Siege::lay(&upstream.url(), &json!({"head_timeout": "300ms"}));
    for said in [PREFACE, &PREFACE[..20], &PREFACE[..18], &[PREFACE, &[0, 0, 6, 4]].concat()] {
        let mut frames = Frames::connect(siege.proxy.address());
        frames.keep_silent().send(said);
        assert!(matches!(frames.end(), Fate::GoneAway(NO_ERROR) | Fate::Closed));
    }
    siege.ends();
}

#[test]
fn silence_inside_a_head() {
    let (upstream, _) = endless();
    let mut siege = Siege::lay(&upstream.url(), &json!({"head_timeout": "300ms"}));
    let head = Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", &[])).bytes();
    let open = Frame::new(HEADERS, END_STREAM, 1, request("GET", &[])).bytes();
    for half in [&head[..20], &open[..]] {
        let mut frames = siege.attacker();
        frames.keep_silent().send(half);
        assert_eq!(frames.end(), Fate::GoneAway(NO_ERROR));
    }
    // An answer that is under way is not cut for it.
    let mut frames = Frames::open_with(siege.proxy.address(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    frames.frame(WINDOW_UPDATE, 0, 0, 0x7ff0_0000_u32.to_be_bytes());
    frames.keep_silent().get(1).frame(HEADERS, 0, 3, request("GET", &[]));
    let mut after_goodbye = false;
    let mut more = 0;
    while more < 3 {
        let frame = frames.until(|frame| matches!(frame.kind, DATA | GOAWAY)).expect("alive").expect("more");
        after_goodbye |= frame.kind == GOAWAY;
        more += u32::from(after_goodbye && frame.kind == DATA);
    }
    siege.ends();
}
