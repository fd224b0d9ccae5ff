//! Compressed heads that cannot be read (RFC 7541).
//!
//! The letter has `COMPRESSION_ERROR` for all of them (RFC 9113 section 4.3); the code that is sent is another, and means
//! the same: the connection ends, and nothing of the head has gone on.

use super::Sees::{GoAway, Status};
use super::{Case, Sees, case, run};
use crate::support::frames::*;

const ENDED: Sees = GoAway(PROTOCOL_ERROR);

/// A good head with these bytes behind it.
fn with(bytes: impl Into<Vec<u8>>, rule: &'static str) -> Case {
    let bytes = bytes.into();
    case(rule, ENDED, 0, move |frames| {
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, [&request("GET", &[])[..], &bytes].concat());
    })
}

#[test]
fn heads_that_cannot_be_read() {
    run(&[
        with([0x80], "index 0 (6.1)"),
        with(integer(0x80, 7, 70), "an index beyond the tables (2.3.3)"),
        with([&integer(0x40, 6, 70)[..], b"\x01x"].concat(), "a name beyond the tables (6.2)"),
        with([0xff; 12], "a number without end (5.1)"),
        with([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "a number beyond 2^32 (5.1)"),
        with(b"\0\x01x\x7fy", "a string longer than the head (5.2)"),
        with(b"\0\x01x\x85\x1f\x8f\xff\xff\xff", "a string padded with more than seven bits (5.2)"),
        with(b"\0\x01x\x81\x00", "a string padded with zeros (5.2)"),
        with(b"\0\x01x\x84\xff\xff\xff\xff", "a string with the mark of its end inside (5.2)"),
        with([0x20], "a change of the table that is not at the start (4.2)"),
        with([0x40], "the end of the head inside a field"),
        with(field("", "x"), "a name without a letter"),
        case("a table larger than was allowed (6.3)", ENDED, 0, |frames| {
            let head = [integer(0x20, 5, 4_097), request("GET", &[])].concat();
            frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, head);
        }),
    ]);
}

#[test]
fn heads_that_can() {
    run(&[
        case("a table of no size at all (4.2)", Status(1, 200), 1, |frames| {
            frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, [&[0x20], &request("GET", &[])[..]].concat());
        }),
        // The field is passed over; it has no name by which anybody could ask for it.
        case("a name without a letter, at the end of a frame", Status(1, 200), 1, |frames| {
            let head = [request("GET", &[]), field("", "x")].concat();
            frames.frame(HEADERS, END_STREAM, 1, head).frame(CONTINUATION, END_HEADERS, 1, block(&[("y", "z")]));
        }),
        case("a refused head that adds to the table for those after it (4.3)", Status(3, 200), 1, |frames| {
            let addition = b"\x40\x05x-way\x03one";
            let refused = [&request("GET", &[("te", "gzip")])[..], addition].concat();
            frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, refused);
            assert_eq!(frames.fate(1), Fate::Reset(PROTOCOL_ERROR));
            frames.frame(HEADERS, END_HEADERS | END_STREAM, 3, [&request("GET", &[])[..], &[0xbe]].concat());
        }),
    ]);
}
