//! Requests that are none (RFC 9113 section 8).
//!
//! Where the letter asks for the end of the stream (a malformed request, section 8.1.1) and the whole connection ends
//! instead, that is safe and allowed (section 5.4.1): nothing of it has gone on, and the client knows.

use super::Sees::{GoAway, Reset, Status};
use super::{Case, Sees, case, run};
use crate::support::frames::*;

/// The stream is broken off.
const BROKEN_OFF: Sees = Reset(1, PROTOCOL_ERROR);
/// The connection ends.
const ENDED: Sees = GoAway(PROTOCOL_ERROR);
/// The client is told.
const BAD: Sees = Status(1, 400);
const REFUSED: Sees = Status(1, 405);
const SERVED: Sees = Status(1, 200);

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/a/x");
const AUTHORITY: (&str, &str) = (":authority", "proxy");

type Fields = &'static [(&'static str, &'static str)];

/// How many requests of such a case reach the upstream.
fn served(sees: Sees) -> usize {
    usize::from(sees == SERVED)
}

/// A request of exactly these fields.
fn of(fields: Fields, rule: &'static str, sees: Sees) -> Case {
    case(rule, sees, served(sees), move |frames| {
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields));
    })
}

/// A good request with one more field.
fn with(name: &'static str, value: &'static str, rule: &'static str, sees: Sees) -> Case {
    case(rule, sees, served(sees), move |frames| {
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", &[(name, value)]));
    })
}

/// A POST with these fields, and these frames behind it, all of them on one stream.
fn post(fields: Fields, rest: Vec<Frame>, rule: &'static str, sees: Sees) -> Case {
    case(rule, sees, served(sees), move |frames| {
        frames.post(1, fields);
        rest.iter().for_each(|frame| _ = frames.send(frame.bytes()));
    })
}

fn data(content: &str) -> Frame {
    Frame::new(DATA, 0, 1, content)
}

fn last_data(content: &str) -> Frame {
    Frame::new(DATA, END_STREAM, 1, content)
}

fn trailers(name: &str, value: &str) -> Frame {
    Frame::new(HEADERS, END_STREAM | END_HEADERS, 1, field(name, value))
}

#[test]
fn fields() {
    run(&[
        with("X-A", "b", "a name in upper case (8.2.1)", ENDED),
        with("x a", "b", "a name with a space (8.2.1)", ENDED),
        with("x:a", "b", "a name with a colon (8.2.1)", ENDED),
        with("x\r\nhost", "b", "a name with a line end (8.2.1)", ENDED),
        with("\u{e9}", "b", "a name of other bytes (8.2.1)", ENDED),
        with("x", "a\rb", "a value with CR (8.2.1)", ENDED),
        with("x", "a\nhost: b", "a value with LF (8.2.1)", ENDED),
        with("x", "a\0b", "a value with NUL (8.2.1)", ENDED),
        // The letter refuses it; white space around a value means nothing in HTTP/1.1.
        with("x", " \ta ", "white space around a value (8.2.1)", SERVED),
        with("x", "\u{e9}", "bytes beyond ASCII in a value", SERVED),
        with("connection", "keep-alive", "connection (8.2.2)", BROKEN_OFF),
        with("keep-alive", "1", "keep-alive (8.2.2)", BROKEN_OFF),
        with("proxy-connection", "x", "proxy-connection (8.2.2)", BROKEN_OFF),
        with("transfer-encoding", "chunked", "transfer-encoding (8.2.2)", BROKEN_OFF),
        with("upgrade", "websocket", "upgrade (8.2.2)", BROKEN_OFF),
        with("te", "gzip", "te that is not trailers (8.2.2)", BROKEN_OFF),
        with("te", "trailers", "te: trailers (8.2.2)", SERVED),
        with("cookie", "a=1\"; b", "a cookie of any kind (8.2.3)", SERVED),
    ]);
}

#[test]
fn pseudo_fields() {
    run(&[
        of(&[SCHEME, PATH, AUTHORITY], "no :method (8.3.1)", BROKEN_OFF),
        of(&[METHOD, PATH, AUTHORITY], "no :scheme (8.3.1)", BROKEN_OFF),
        of(&[METHOD, SCHEME, AUTHORITY], "no :path (8.3.1)", BROKEN_OFF),
        of(&[METHOD, METHOD, SCHEME, PATH, AUTHORITY], ":method twice (8.3)", BROKEN_OFF),
        of(&[METHOD, SCHEME, SCHEME, PATH, AUTHORITY], ":scheme twice (8.3)", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, PATH, AUTHORITY], ":path twice (8.3)", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY], ":authority twice (8.3)", BROKEN_OFF),
        of(&[METHOD, SCHEME, ("x", "y"), PATH, AUTHORITY], "one behind another field (8.3)", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, (":x", "y")], "an unknown one (8.3)", ENDED),
        of(&[(":Method", "GET"), SCHEME, PATH, AUTHORITY], "one in upper case (8.3)", ENDED),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")], "one of answers (8.3)", BROKEN_OFF),
        of(&[(":method", ""), SCHEME, PATH, AUTHORITY], "an empty :method", ENDED),
        of(&[(":method", "GET /b"), SCHEME, PATH, AUTHORITY], "a :method with a space", ENDED),
        of(&[(":method", "get"), SCHEME, PATH, AUTHORITY], "a :method in lower case is another one", SERVED),
        of(&[METHOD, (":scheme", "h ttp"), PATH, AUTHORITY], "a :scheme that is none", BROKEN_OFF),
        // Whatever it says, it is the route that decides what is spoken to whom.
        of(&[METHOD, (":scheme", "ftp"), PATH, AUTHORITY], "another :scheme", SERVED),
    ]);
}

#[test]
fn paths() {
    fn path(path: &'static str, rule: &'static str, sees: Sees) -> Case {
        case(rule, sees, served(sees), move |frames| {
            frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, request_for(path, "GET", &[]));
        })
    }
    run(&[
        path("", "an empty :path (8.3.1)", BROKEN_OFF),
        path("a/x", "one that does not begin with a slash (8.3.1)", BROKEN_OFF),
        path("?a", "a query alone (8.3.1)", BAD),
        path("http://other/a/x", "one with a host of its own", BROKEN_OFF),
        path("/a /b", "one with a space", BROKEN_OFF),
        path("/a HTTP/1.1\r\nx: y", "one with a line end", BROKEN_OFF),
        path("/a/\0", "one with NUL", BROKEN_OFF),
        path("/a/../b", "one that leaves its route", BAD),
        path("/a/%2e%2e/b", "one that leaves its route in disguise", BAD),
        path("*", "an asterisk of anything but OPTIONS (8.3.1)", BAD),
        // As in HTTP/1.1, where it arrives as it is.
        path("/a/\u{e9}", "one with bytes beyond ASCII", SERVED),
        // No request has a fragment, and what a client says of one goes nowhere.
        path("/a/x#/../../b", "one with a fragment", SERVED),
        of(&[(":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY], "an asterisk of OPTIONS (8.3.1)", REFUSED),
    ]);
}

#[test]
fn hosts() {
    const OTHER: (&str, &str) = ("host", "other");
    const SAME: (&str, &str) = ("host", "proxy");
    run(&[
        of(&[METHOD, SCHEME, PATH], "none at all (RFC 9112 section 3.2)", BAD),
        of(&[METHOD, SCHEME, PATH, SAME], "host alone (8.3.1)", SERVED),
        of(&[METHOD, SCHEME, PATH, SAME, SAME], "host twice", BAD),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, SAME], "host that says the same as :authority (8.3.1)", SERVED),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, OTHER], "host that says something else (8.3.1)", BAD),
        of(&[METHOD, SCHEME, PATH, AUTHORITY, SAME, OTHER], "two hosts of which one is the same", BAD),
        of(&[METHOD, SCHEME, PATH, (":authority", "")], "an empty :authority", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, (":authority", "u:p@proxy")], "somebody in the :authority (8.3.1)", BAD),
        of(&[METHOD, SCHEME, PATH, (":authority", "proxy/b")], "a path in the :authority", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, (":authority", "proxy\r\nx: y")], "a line end in the :authority", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, (":authority", "proxy, other")], "two in one :authority", BROKEN_OFF),
        of(&[METHOD, SCHEME, PATH, ("host", "proxy:x")], "a port that is none", BAD),
    ]);
}

#[test]
fn connect() {
    const CONNECT: (&str, &str) = (":method", "CONNECT");
    const WEBSOCKET: (&str, &str) = (":protocol", "websocket");
    fn protocol(name: &'static str, rule: &'static str) -> Case {
        case(rule, BROKEN_OFF, 0, move |frames| {
            let head = [CONNECT, (":protocol", name), SCHEME, PATH, AUTHORITY];
            frames.frame(HEADERS, END_HEADERS, 1, block(&head));
        })
    }
    run(&[
        of(&[CONNECT, (":authority", "other:443")], "CONNECT (8.5)", REFUSED),
        of(&[CONNECT, PATH, AUTHORITY], "CONNECT with :path (8.5)", BROKEN_OFF),
        of(&[CONNECT, SCHEME, AUTHORITY], "CONNECT with :scheme (8.5)", BROKEN_OFF),
        of(&[CONNECT], "CONNECT without :authority (8.5)", BAD),
        of(&[CONNECT, ("host", "other:443")], "CONNECT with nothing but host (8.5)", BAD),
        of(&[(":method", "TRACE"), SCHEME, PATH, AUTHORITY], "TRACE", REFUSED),
        of(&[CONNECT, WEBSOCKET, SCHEME, AUTHORITY], "extended CONNECT without :path (RFC 8441 section 4)", BROKEN_OFF),
        of(&[CONNECT, WEBSOCKET, PATH, AUTHORITY], "extended CONNECT without :scheme (RFC 8441 section 4)", BROKEN_OFF),
        of(&[METHOD, WEBSOCKET, SCHEME, PATH, AUTHORITY], ":protocol of another method (RFC 8441)", BROKEN_OFF),
        of(&[CONNECT, WEBSOCKET, WEBSOCKET, SCHEME, PATH, AUTHORITY], ":protocol twice (8.3)", BROKEN_OFF),
        protocol("websocket\r\nhost: x", "a second host in :protocol"),
        protocol("websocket\r\nx: y", "another field in :protocol"),
        protocol("websocket\r\n\r\nGET /a/b HTTP/1.1\r\nhost: p\r\n\r\n", "another request in :protocol"),
        protocol("websocket\ncontent-length: 5", "half a line end in :protocol"),
        protocol("web socket", "a :protocol that is no word"),
        protocol("", "an empty :protocol"),
    ]);
}

#[test]
fn lengths() {
    const TWO: (&str, &str) = ("content-length", "2");
    const THREE: (&str, &str) = ("content-length", "3");
    run(&[
        post(&[THREE], vec![last_data("ab")], "less than was said (8.1.1)", BROKEN_OFF),
        post(&[TWO], vec![last_data("abc")], "more than was said (8.1.1)", BROKEN_OFF),
        post(&[TWO], vec![data("a"), last_data("bc")], "more than was said, in two frames (8.1.1)", BROKEN_OFF),
        post(&[TWO], vec![trailers("x", "y")], "trailers though content was said (8.1.1)", BROKEN_OFF),
        with("content-length", "2", "nothing though content was said (8.1.1)", BROKEN_OFF),
        post(&[TWO, THREE], vec![last_data("ab")], "two lengths", BROKEN_OFF),
        post(&[TWO, TWO], vec![last_data("ab")], "the same length twice", BAD),
        post(&[("content-length", "+2")], vec![last_data("ab")], "a length with a sign", BROKEN_OFF),
        post(&[("content-length", " 2")], vec![last_data("ab")], "a length with a space", BROKEN_OFF),
        post(&[("content-length", "2, 2")], vec![last_data("ab")], "a list of lengths", BROKEN_OFF),
        post(&[("content-length", "")], vec![last_data("ab")], "an empty length", BROKEN_OFF),
        with("content-length", "", "an empty length of nothing", BAD),
        post(&[("content-length", "18446744073709551618")], vec![last_data("ab")], "one of twenty digits", BROKEN_OFF),
        post(&[("content-length", "0")], vec![last_data("")], "a length of 0 and an end that comes later", SERVED),
        with("content-length", "0", "a length of 0 and an end with it", SERVED),
        post(&[("content-length", "02")], vec![last_data("ab")], "a length with a leading zero", SERVED),
    ]);
}

#[test]
fn bodies_and_trailers() {
    run(&[
        post(&[], vec![Frame::new(HEADERS, END_HEADERS, 1, [])], "a second head that is no end (8.1)", BROKEN_OFF),
        post(&[], vec![data("a"), trailers("x", "y")], "trailers (8.1)", SERVED),
        // They are passed over, which takes all meaning from them; so are the others below.
        post(&[], vec![data("a"), trailers(":path", "/b")], "a pseudo-field in trailers (8.1)", SERVED),
        post(&[], vec![data("a"), trailers("content-length", "7")], "a length in trailers", SERVED),
        post(&[], vec![data("a"), trailers("host", "other")], "a host in trailers", SERVED),
        post(&[], vec![data("a"), trailers("transfer-encoding", "chunked")], "framing in trailers", BROKEN_OFF),
        post(&[], vec![data("a"), trailers("X", "y")], "a name in upper case in trailers", ENDED),
        post(&[], vec![last_data("0\r\n\r\nGET /b HTTP/1.1\r\n\r\n")], "a body that looks like framing", SERVED),
        case("a body of a GET", SERVED, 1, |frames| {
            frames.frame(HEADERS, END_HEADERS, 1, request("GET", &[])).frame(DATA, END_STREAM, 1, "ab");
        }),
    ]);
}
