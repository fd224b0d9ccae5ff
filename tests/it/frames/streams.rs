//! Rules of streams: their states, their numbers, the frames on them (RFC 9113 sections 5 and 6).

use serde_json::json;

use super::Sees::{GoAway, Nothing, Reset, Status};
use super::{case, run};
use crate::support::frames::*;
use crate::support::{Proxy, Upstream};

#[test]
fn states() {
    run(&[
        case("DATA on a stream that nobody opened (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(DATA, END_STREAM, 1, b"x");
        }),
        case("RST_STREAM on a stream that nobody opened (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes());
        }),
        case("WINDOW_UPDATE on a stream that nobody opened (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
        }),
        case("PRIORITY on a stream that nobody opened is ignored (5.1)", Nothing, 0, |frames| {
            frames.frame(PRIORITY, 0, 1, [0, 0, 0, 0, 16]);
        }),
        case("DATA behind the end (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(DATA, END_STREAM, 1, b"x").frame(DATA, END_STREAM, 1, b"y");
        }),
        case("HEADERS behind the end (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.get(1).get(1);
        }),
        case("DATA on a stream that was answered (5.1)", Reset(1, STREAM_CLOSED), 1, |frames| {
            assert_eq!(frames.get(1).fate(1), Fate::Answered(200));
            frames.frame(DATA, END_STREAM, 1, b"x");
        }),
        case("HEADERS on a stream that was answered (5.1)", GoAway(PROTOCOL_ERROR), 1, |frames| {
            assert_eq!(frames.get(1).fate(1), Fate::Answered(200));
            frames.get(1);
        }),
        case("RST_STREAM on a stream that was answered is ignored (5.1)", Nothing, 1, |frames| {
            assert_eq!(frames.get(1).fate(1), Fate::Answered(200));
            frames.frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes());
        }),
        case("WINDOW_UPDATE and PRIORITY on a stream that was answered are ignored (5.1)", Nothing, 1, |frames| {
            assert_eq!(frames.get(1).fate(1), Fate::Answered(200));
            frames.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]).frame(PRIORITY, 0, 1, [0, 0, 0, 0, 16]);
        }),
        case("DATA behind one's own RST_STREAM (5.1)", Nothing, 0, |frames| {
            frames.post(1, &[]).frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()).frame(DATA, 0, 1, b"x");
        }),
        case("HEADERS behind one's own RST_STREAM (5.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()).get(1);
        }),
    ]);
}

#[test]
fn numbers() {
    run(&[
        case("an even number (5.1.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.get(2);
        }),
        case("a number below the last (5.1.1)", GoAway(PROTOCOL_ERROR), 1, |frames| {
            assert_eq!(frames.get(5).fate(5), Fate::Answered(200));
            frames.get(3);
        }),
        case("HEADERS on the connection (6.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.get(0);
        }),
        case("DATA on a stream of ours that is none (5.1.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(DATA, 0, 2, b"x");
        }),
        case("a number below the last of all (5.1.1)", GoAway(PROTOCOL_ERROR), 1, |frames| {
            assert_eq!(frames.get(0x7fff_ffff).fate(0x7fff_ffff), Fate::Answered(200));
            frames.get(1);
        }),
    ]);
}

#[test]
fn frames_on_streams() {
    run(&[
        case("DATA on the connection (6.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(DATA, 0, 0, b"x");
        }),
        case("DATA of nothing but too much padding (6.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(DATA, PADDED | END_STREAM, 1, [6, 0, 0, 0, 0, 0]);
        }),
        case("padded DATA without a length of the padding (6.1)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(DATA, PADDED | END_STREAM, 1, []);
        }),
        case("padding is no content (6.1)", Status(1, 200), 1, |frames| {
            frames.post(1, &[("content-length", "2")]).frame(DATA, PADDED | END_STREAM, 1, b"\x03ok\0\0\0");
        }),
        case("HEADERS of too much padding (6.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, [&[0xff], &request("GET", &[])[..]].concat());
        }),
        case("HEADERS without the priority that they say they have (6.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, PRIORITISED | END_HEADERS | END_STREAM, 1, [0, 0, 0]);
        }),
        case(
            "a stream that depends on itself, in HEADERS (RFC 7540 section 5.3.1)",
            Reset(1, PROTOCOL_ERROR),
            0,
            |frames| {
                let priority = [0, 0, 0, 1, 16];
                frames.frame(
                    HEADERS,
                    PRIORITISED | END_HEADERS | END_STREAM,
                    1,
                    [&priority[..], &request("GET", &[])].concat(),
                );
            },
        ),
        case(
            "a stream that depends on itself, in PRIORITY (RFC 7540 section 5.3.1)",
            Reset(1, PROTOCOL_ERROR),
            0,
            |frames| {
                frames.post(1, &[]).frame(PRIORITY, 0, 1, [0, 0, 0, 1, 16]);
            },
        ),
        case("a stream that nobody opened and that depends on itself", Reset(1, PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PRIORITY, 0, 1, [0, 0, 0, 1, 16]);
        }),
        case("PRIORITY on the connection (6.3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PRIORITY, 0, 0, [0, 0, 0, 0, 16]);
        }),
        case("PRIORITY of another length (6.3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PRIORITY, 0, 1, [0, 0, 0, 0]);
        }),
        case("RST_STREAM on the connection (6.4)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(RST_STREAM, 0, 0, [0; 4]);
        }),
        case("RST_STREAM of another length (6.4)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(RST_STREAM, 0, 1, [0; 3]);
        }),
        case("PUSH_PROMISE of a client (6.6, 8.4)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &request("GET", &[])[..]].concat());
        }),
        case("PUSH_PROMISE on the connection (6.6)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PUSH_PROMISE, END_HEADERS, 0, [&[0, 0, 0, 2], &request("GET", &[])[..]].concat());
        }),
        case("WINDOW_UPDATE of 0 (6.9)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(WINDOW_UPDATE, 0, 1, [0; 4]);
        }),
        case("a window beyond 2^31 - 1 (6.9.1)", Reset(1, FLOW_CONTROL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(WINDOW_UPDATE, 0, 1, 0x7fff_ffff_u32.to_be_bytes());
        }),
    ]);
}

#[test]
fn too_many_streams() {
    run(&[case("more streams than are allowed (5.1.2)", Nothing, 0, |frames| {
        for number in 0..129 {
            frames.post(2 * number + 1, &[]);
        }
        assert_eq!(frames.fate(257), Fate::Reset(REFUSED_STREAM));
        // Those that were not refused leave again, which makes room.
        for number in 0..128 {
            frames.frame(RST_STREAM, 0, 2 * number + 1, CANCEL.to_be_bytes());
        }
    })]);
}

#[test]
fn an_end_that_is_said_by_itself_finds_its_stream() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({
        "server": {"limits": {"max_concurrent_streams": 1}},
        "routes": {"a": {"target_url": upstream.url()}},
    }));
    let mut frames = Frames::open(proxy.address());
    for stream in [1, 3, 5] {
        // The length says that this is all, and the upstream answers.
        frames.post(stream, &[("content-length", "2")]).frame(DATA, 0, stream, "ab");
        assert_eq!(frames.fate(stream), Fate::Answered(200));
        for _ in 0..2 {
            frames.frame(PING, 0, 0, b"aliveyet");
            let next = frames.until(|frame| frame.kind == RST_STREAM || frame.kind == PING).expect("a connection");
            assert_eq!(next.map(|frame| frame.kind), Some(PING), "stream {stream}");
        }
        frames.frame(DATA, END_STREAM, stream, "");
    }
}
