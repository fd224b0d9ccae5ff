//! Rules of the connection: how it begins, frames in general, SETTINGS, PING, GOAWAY (RFC 9113 sections 3.4, 4, 6).

use super::Sees::{End, GoAway, Nothing, Status};
use super::{case, run};
use crate::support::frames::*;

#[test]
fn frames_in_general() {
    run(&[
        case("a frame of an unknown type is ignored (4.1, 5.5)", Nothing, 0, |frames| {
            frames.frame(0x16, 0xff, 0, b"whatever").frame(0xff, 0, 3, b"");
        }),
        case("flags without a meaning are ignored (4.1)", Nothing, 0, |frames| {
            frames.frame(PING, 0x16, 0, b"12345678");
        }),
        case("the reserved bit is ignored (4.1)", Nothing, 0, |frames| {
            frames.send(Frame::new(PING, 0, 1 << 31, b"12345678").bytes());
        }),
        case("a frame that is too large (4.2)", GoAway(FRAME_SIZE_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(DATA, 0, 1, [0; 16_385]);
        }),
        case("a head that is too large for one frame (4.2)", GoAway(FRAME_SIZE_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_HEADERS, 1, request("GET", &[("x", &"y".repeat(16_385))]));
        }),
        case("the largest frame of all (4.2)", GoAway(FRAME_SIZE_ERROR), 0, |frames| {
            frames.send(Frame::new(DATA, 0, 1, b"").with_length(0xff_ffff));
        }),
        case("a first frame that is not SETTINGS (3.4)", Status(1, 200), 1, |frames| {
            *frames = Frames::connect(frames.stream().peer_addr().expect("connected"));
            frames.send(PREFACE).get(1);
        }),
        case("a preface that goes on wrongly (3.4)", End, 0, |frames| {
            *frames = Frames::connect(frames.stream().peer_addr().expect("connected"));
            frames.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").get(1);
        }),
    ]);
}

#[test]
fn settings_frames() {
    run(&[
        case("one on a stream (6.5)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 1, settings(&[]));
        }),
        case("an acknowledgement that says something (6.5)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, ACK, 0, settings(&[(INITIAL_WINDOW_SIZE, 1)]));
        }),
        case("one of a length that cannot be (6.5)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, [0, 3, 0]);
        }),
        case("acknowledgements of nothing (6.5.3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, ACK, 0, []).frame(SETTINGS, ACK, 0, []);
        }),
        case("ENABLE_PUSH of 2 (6.5.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(ENABLE_PUSH, 2)]));
        }),
        case("a window of 2^31 (6.5.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]));
        }),
        case("frames of less than 2^14 (6.5.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(MAX_FRAME_SIZE, 16_383)]));
        }),
        case("frames of 2^24 (6.5.2)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(MAX_FRAME_SIZE, 1 << 24)]));
        }),
        case("ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441 section 3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(8, 2)]));
        }),
        case("an unknown one is ignored (6.5.2)", Nothing, 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(0xfff, 7), (0, 0)]));
        }),
        case("the last value of one counts (6.5.3)", Nothing, 0, |frames| {
            frames.frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 65_535)]));
        }),
        case("a window that makes that of a stream too large (6.9.2)", GoAway(FLOW_CONTROL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(WINDOW_UPDATE, 0, 1, 0x7fff_0000_u32.to_be_bytes());
            frames.frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]));
        }),
    ]);
}

#[test]
fn ping_and_goaway() {
    run(&[
        case("a PING on a stream (6.7)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PING, 0, 1, b"12345678");
        }),
        case("a PING that is too short (6.7)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PING, 0, 0, b"1234567");
        }),
        case("a PING that is too long (6.7)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(PING, 0, 0, b"123456789");
        }),
        case("an acknowledgement of a PING that nobody sent (6.7)", Nothing, 0, |frames| {
            frames.frame(PING, ACK, 0, b"12345678").frame(
                PING,
                ACK,
                0,
                [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54],
            );
        }),
        case("a PING is acknowledged, as it came", Nothing, 0, |frames| {
            assert!(frames.is_alive());
        }),
        case("a GOAWAY on a stream (6.8)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(GOAWAY, 0, 1, [0; 8]);
        }),
        case("a GOAWAY that is too short (6.8)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(GOAWAY, 0, 0, [0; 7]);
        }),
        case("a GOAWAY is followed (6.8)", GoAway(NO_ERROR), 0, |frames| {
            frames.frame(GOAWAY, 0, 0, [0; 8]);
        }),
        case("a GOAWAY with an error", End, 0, |frames| {
            frames.frame(GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 2]);
        }),
        case("a GOAWAY of a stream that we never opened", GoAway(NO_ERROR), 0, |frames| {
            frames.frame(GOAWAY, 0, 0, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        }),
        case("GOAWAYs that grow", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(GOAWAY, 0, 0, [0; 8]).frame(GOAWAY, 0, 0, [0, 0, 0, 2, 0, 0, 0, 0]);
        }),
    ]);
}

#[test]
fn windows_of_the_connection() {
    run(&[
        case("an update of 0 (6.9)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(WINDOW_UPDATE, 0, 0, [0; 4]);
        }),
        case("an update that is too short (6.9)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]);
        }),
        case("an update beyond 2^31 - 1 (6.9.1)", GoAway(FLOW_CONTROL_ERROR), 0, |frames| {
            frames.frame(WINDOW_UPDATE, 0, 0, 0x7fff_ffff_u32.to_be_bytes());
        }),
    ]);
}

#[test]
fn heads_in_pieces() {
    run(&[
        case("a head in three pieces", Status(1, 200), 1, |frames| {
            let head = request("GET", &[]);
            frames.frame(HEADERS, END_STREAM, 1, &head[..10]);
            frames.frame(CONTINUATION, 0, 1, &head[10..20]).frame(CONTINUATION, END_HEADERS, 1, &head[20..]);
        }),
        case("a head in pieces of one byte", GoAway(ENHANCE_YOUR_CALM), 0, |frames| {
            let head = request("GET", &[]);
            frames.frame(HEADERS, END_STREAM, 1, &head[..1]);
            for byte in &head[1..head.len() - 1] {
                frames.frame(CONTINUATION, 0, 1, [*byte]);
            }
            frames.frame(CONTINUATION, END_HEADERS, 1, &head[head.len() - 1..]);
        }),
        case("a CONTINUATION of nothing (6.10)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(CONTINUATION, END_HEADERS, 1, request("GET", &[]));
        }),
        case("a CONTINUATION of a head that has ended (6.10)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.post(1, &[]).frame(CONTINUATION, END_HEADERS, 1, block(&[("x", "y")]));
        }),
        case("a CONTINUATION on the connection (6.10)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_STREAM, 1, request("GET", &[])).frame(CONTINUATION, END_HEADERS, 0, []);
        }),
        case("a CONTINUATION of another stream (6.10)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_STREAM, 1, request("GET", &[])).frame(CONTINUATION, END_HEADERS, 3, []);
        }),
        case("another frame inside a head (6.10)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_STREAM, 1, request("GET", &[])).frame(PING, 0, 0, b"12345678");
        }),
        case("DATA inside a head (4.3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, 0, 1, request("POST", &[])).frame(DATA, END_STREAM, 1, b"x");
        }),
        case("another head inside a head (4.3)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_STREAM, 1, request("GET", &[])).get(3);
        }),
        case("an unknown frame inside a head (5.5)", GoAway(PROTOCOL_ERROR), 0, |frames| {
            frames.frame(HEADERS, END_STREAM, 1, request("GET", &[])).frame(0x16, 0, 1, b"x");
        }),
    ]);
}
