//! Answers that are none, and upstreams that do not keep to the protocol.
//!
//! Each line of a table is one thing that an upstream does wrong, once. It is asked by a GET and by a POST of an
//! HTTP/1.1 client, and by a POST of an HTTP/2 client. What has to come of it: a clean answer of the proxy's own, or a
//! cut that the client can see, or the upstream's answer; no more requests at the upstream than the line says, whatever
//! was asked; and the next request is served.

use std::sync::Arc;

use serde_json::{Value, json};

use self::Sees::{Answer, BadAnswer, Broken, Cut, TimedOut};
use super::peer::{BadUpstream, Deed, Peer, When};
use crate::support::frames::*;
use crate::support::{Client, Proxy};

struct Case {
    what: &'static str,
    when: When,
    does: Arc<Deed>,
    sees: Sees,
    /// How many requests reach the upstream.
    asked: usize,
}

/// What a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// The upstream's whole answer.
    Answer,
    /// An answer that is not whole.
    Cut,
    /// 502: what came was no answer.
    BadAnswer,
    /// 502: the upstream broke it off.
    Broken,
    /// 504.
    TimedOut,
}

fn asked(what: &'static str, sees: Sees, does: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Case {
    let does = move |peer: &mut Peer, stream| {
        does(peer, stream);
        peer.frames.flush()
    };
    Case { what, when: When::Asked, does: Arc::new(does), sees, asked: 1 }
}

/// The same, and then it leaves.
fn last(what: &'static str, sees: Sees, does: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Case {
    let does = move |peer: &mut Peer, stream| {
        does(peer, stream);
        peer.leave()
    };
    Case { what, when: When::Asked, does: Arc::new(does), sees, asked: 1 }
}

impl Case {
    /// The request is delivered once more, and then answered.
    fn again(self) -> Self {
        Self { sees: Answer, asked: 2, ..self }
    }

    fn at_once(self, asked: usize) -> Self {
        Self { when: When::AtOnce, asked, ..self }
    }
}

fn run(cases: &[Case]) {
    let ways = ["get", "post", "http2"];
    let upstreams: Vec<[BadUpstream; 3]> =
        cases.iter().map(|case| ways.map(|_| BadUpstream::doing(case.when, Arc::clone(&case.does)))).collect();
    let mut routes = json!({});
    for (number, each) in upstreams.iter().enumerate() {
        for (way, upstream) in ways.iter().zip(each) {
            routes[format!("{way}-{number}")] = json!({"target_url": upstream.url(), "http2": true});
        }
    }
    let timeouts = json!({"first_byte": "1s", "idle": "1s"});
    let config = json!({"server": {"log_requests": false}, "timeouts": timeouts, "routes": routes});
    let mut proxy = Proxy::start(&config);
    let mut failures = Vec::new();
    for (number, (case, each)) in cases.iter().zip(&upstreams).enumerate() {
        for (way, upstream) in ways.iter().zip(each) {
            let path = format!("/{way}-{number}");
            let seen = match *way {
                "get" => seen_by(&mut proxy.client(), &format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n")),
                "post" => {
                    let post = format!("POST {path} HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nab");
                    seen_by(&mut proxy.client(), &post)
                }
                _ => seen_on_stream(&proxy, &path),
            };
            if (&seen, upstream.asked()) != (&Ok(case.sees), case.asked) {
                failures.push(format!("{}, {way}: {seen:?}, asked {} times", case.what, upstream.asked()));
            }
            let next = seen_by(&mut proxy.client(), &format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n"));
            if next != Ok(Answer) {
                failures.push(format!("{}, {way}: then {next:?}", case.what));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(proxy.is_alive() && proxy.err().is_empty(), "{}", proxy.err());
}

fn seen_by(client: &mut Client, request: &str) -> Result<Sees, String> {
    let answer = client.ask(request);
    match answer.status() {
        _ if !answer.is_whole => Ok(Cut),
        200..=299 => Ok(Answer),
        status => own(status, &answer.json()),
    }
}

fn seen_on_stream(proxy: &Proxy, path: &str) -> Result<Sees, String> {
    let mut frames = Frames::open(proxy.address());
    frames.frame(HEADERS, END_HEADERS, 1, request_for(path, "POST", &[])).frame(DATA, END_STREAM, 1, "ab");
    let (mut status, mut body) = (0, Vec::new());
    loop {
        let frame = frames.until(|frame| frame.stream == 1).expect("alive").expect("an answer");
        match frame.kind {
            HEADERS if status < 200 => status = frame.status(),
            DATA => body.extend_from_slice(&frame.payload),
            RST_STREAM if (200..300).contains(&status) => return Ok(Cut),
            RST_STREAM => return Err(format!("{frame:?}")),
            _ => {}
        }
        if frame.is_last() && (200..300).contains(&status) {
            return Ok(Answer);
        } else if frame.is_last() {
            return own(status, &serde_json::from_slice(&body).expect("JSON"));
        }
    }
}

fn own(status: u16, body: &Value) -> Result<Sees, String> {
    match (status, body["code"].as_str()) {
        (502, Some("upstream_bad_answer")) => Ok(BadAnswer),
        (502, Some("upstream_reset")) => Ok(Broken),
        (504, Some("upstream_timeout")) => Ok(TimedOut),
        _ => Err(format!("{status} {body}")),
    }
}

#[test]
fn before_anything_is_asked() {
    run(&[
        last("it speaks HTTP/1.1", BadAnswer, |peer, _| {
            peer.frames.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        })
        .at_once(0),
        last("it speaks nonsense", BadAnswer, |peer, _| _ = peer.frames.send([0xff; 100])).at_once(0),
        last("it leaves", Broken, |_, _| {}).at_once(0),
        last("it says nothing at all", TimedOut, |peer, _| {
            let _ = peer.frames.until(|frame| frame.kind == RST_STREAM);
        })
        .at_once(0),
        last("it takes no streams", TimedOut, |peer, _| {
            peer.frame(SETTINGS, 0, 0, settings(&[(MAX_CONCURRENT_STREAMS, 0)]));
            let _ = peer.frames.until(|frame| frame.kind == GOAWAY);
        })
        .at_once(0),
        // Whoever answers has greeted well enough.
        asked("it answers and does not greet", Answer, |_, _| {}).at_once(1),
        last("it says goodbye", Answer, |peer, _| _ = peer.greet().goodbye(0, NO_ERROR)).at_once(1),
        last("it says goodbye with an error", Answer, |peer, _| _ = peer.greet().goodbye(0, ENHANCE_YOUR_CALM))
            .at_once(1),
        last("a window of 2^31", BadAnswer, |peer, _| {
            peer.frame(SETTINGS, 0, 0, settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]));
        })
        .at_once(0),
        last("frames of 1 byte", BadAnswer, |peer, _| {
            peer.frame(SETTINGS, 0, 0, settings(&[(MAX_FRAME_SIZE, 1)]));
        })
        .at_once(0),
        last("it pushes", BadAnswer, |peer, _| {
            peer.greet().frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &request("GET", &[])[..]].concat());
        })
        .at_once(0),
    ]);
}

#[test]
fn in_the_place_of_an_answer() {
    run(&[
        asked("it refuses", Answer, |peer, stream| _ = peer.number(RST_STREAM, stream, REFUSED_STREAM)).again(),
        asked("it cancels", Broken, |peer, stream| _ = peer.number(RST_STREAM, stream, CANCEL)),
        asked("it fails", Broken, |peer, stream| _ = peer.number(RST_STREAM, stream, INTERNAL_ERROR)),
        asked("it ends without an error", Broken, |peer, stream| _ = peer.number(RST_STREAM, stream, NO_ERROR)),
        asked("it wants the older version", Broken, |peer, stream| _ = peer.number(RST_STREAM, stream, 13)),
        last("it says goodbye to what it has not looked at", Answer, |peer, _| _ = peer.goodbye(0, NO_ERROR)).again(),
        last("it says goodbye to what it has looked at", Broken, |peer, stream| _ = peer.goodbye(stream, NO_ERROR)),
        last("the same with an error", Broken, |peer, stream| _ = peer.goodbye(stream, INTERNAL_ERROR)),
        asked("it says goodbye, and answers", Answer, |peer, stream| {
            peer.goodbye(stream, NO_ERROR).answer(stream, "200", &[]).content(stream, END_STREAM, "ok");
        }),
        asked("goodbyes that grow", BadAnswer, |peer, _| _ = peer.goodbye(1, NO_ERROR).goodbye(3, NO_ERROR)),
        last("it leaves", Broken, |_, _| {}),
        asked("it is silent", TimedOut, |_, _| {}),
        asked("it answers another stream", BadAnswer, |peer, _| _ = peer.answer(99, "200", &[])),
        asked("it answers a stream of its own", BadAnswer, |peer, _| _ = peer.answer(2, "200", &[])),
        asked("it pushes", BadAnswer, |peer, stream| {
            peer.frame(PUSH_PROMISE, END_HEADERS, stream, [&[0, 0, 0, 2], &request("GET", &[])[..]].concat());
        }),
        asked("a window of the connection beyond 2^31 - 1", BadAnswer, |peer, _| {
            peer.number(WINDOW_UPDATE, 0, 0x7fff_ffff);
        }),
        asked("a window of 0 more", BadAnswer, |peer, _| _ = peer.number(WINDOW_UPDATE, 0, 0)),
        asked("an unknown frame", Answer, |peer, stream| {
            peer.frame(0x16, 0, stream, "x").answer(stream, "200", &[]).content(stream, END_STREAM, "ok");
        }),
    ]);
}

/// What comes in the place of a head, and is none.
#[test]
fn heads() {
    fn head(what: &'static str, fields: &'static [(&'static str, &'static str)]) -> Case {
        asked(what, BadAnswer, move |peer, stream| _ = peer.head(stream, 0, fields).content(stream, END_STREAM, "ok"))
    }
    const STATUS: (&str, &str) = (":status", "200");
    run(&[
        asked("DATA", BadAnswer, |peer, stream| _ = peer.content(stream, END_STREAM, "ok")),
        head("one without :status", &[("x", "y")]),
        head("one of two statuses", &[STATUS, (":status", "201")]),
        head("a status behind another field", &[("x", "y"), STATUS]),
        head("a status of two digits", &[(":status", "20")]),
        head("a status of four digits", &[(":status", "2000")]),
        head("a status of letters", &[(":status", "abc")]),
        head("a status below 100", &[(":status", "099")]),
        head("an unasked switch of protocols", &[(":status", "101")]),
        head("a name in upper case", &[STATUS, ("X", "y")]),
        head("a name with a space", &[STATUS, ("x y", "z")]),
        head("a value with a line end", &[STATUS, ("x", "y\r\nset-cookie: a=b")]),
        head("a value with NUL", &[STATUS, ("x", "\0")]),
        head("connection", &[STATUS, ("connection", "close")]),
        head("transfer-encoding", &[STATUS, ("transfer-encoding", "chunked")]),
        head("two lengths", &[STATUS, ("content-length", "2"), ("content-length", "3")]),
        head("the same length twice", &[STATUS, ("content-length", "2"), ("content-length", "2")]),
        head("a length that is none", &[STATUS, ("content-length", "two")]),
        asked("a length and nothing behind it", BadAnswer, |peer, stream| {
            peer.head(stream, END_STREAM, &[STATUS, ("content-length", "2")]);
        }),
        asked("interim answers without end", BadAnswer, |peer, stream| {
            (0..100).for_each(|_| _ = peer.answer(stream, "103", &[("link", "x")]));
        }),
        asked("an interim answer that is the end", BadAnswer, |peer, stream| {
            peer.head(stream, END_STREAM, &[(":status", "103")]);
        }),
        asked("too many fields", BadAnswer, |peer, stream| {
            let fields = (0..257).flat_map(|number| field(format!("x-{number}"), "y")).collect::<Vec<_>>();
            peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, [block(&[STATUS]), fields].concat());
        }),
        asked("too many bytes", BadAnswer, |peer, stream| {
            peer.frame(HEADERS, 0, stream, block(&[STATUS]));
            for number in 0..5 {
                peer.frame(CONTINUATION, if number == 4 { END_HEADERS } else { 0 }, stream, field("x", [b'y'; 16_000]));
            }
        }),
        asked("a head without end", BadAnswer, |peer, stream| {
            peer.frame(HEADERS, 0, stream, block(&[STATUS]));
            (0..1_000).for_each(|_| _ = peer.frame(CONTINUATION, 0, stream, field("x", [b'y'; 1_000])));
        }),
        // It is passed over, which takes all meaning from it.
        asked("a status and a path", Answer, |peer, stream| {
            peer.head(stream, END_STREAM, &[STATUS, (":path", "/")]);
        }),
        asked("half a head", TimedOut, |peer, stream| _ = peer.frame(HEADERS, 0, stream, block(&[STATUS]))),
        asked("a head that cannot be read", BadAnswer, |peer, stream| {
            _ = peer.frame(HEADERS, END_HEADERS, stream, [0x80]);
        }),
    ]);
}

#[test]
fn bodies() {
    const LENGTH: (&str, &str) = ("content-length", "4");
    run(&[
        asked("less than was said", Cut, |peer, stream| {
            peer.answer(stream, "200", &[LENGTH]).content(stream, END_STREAM, "abc");
        }),
        asked("more than was said", Cut, |peer, stream| {
            peer.answer(stream, "200", &[LENGTH]).content(stream, 0, "abc").content(stream, END_STREAM, "de");
        }),
        last("it leaves in the middle", Cut, |peer, stream| {
            _ = peer.answer(stream, "200", &[]).content(stream, 0, "abc");
        }),
        last("it leaves in the middle of a length", Cut, |peer, stream| {
            peer.answer(stream, "200", &[LENGTH]).content(stream, 0, "abc");
        }),
        last("it says goodbye and leaves", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc").goodbye(stream, NO_ERROR);
        }),
        asked("it says goodbye to what it is answering", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc").goodbye(0, NO_ERROR);
        }),
        asked("it refuses what it is answering", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc").number(RST_STREAM, stream, REFUSED_STREAM);
        }),
        asked("it breaks off without an error", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc").number(RST_STREAM, stream, NO_ERROR);
        }),
        asked("it is silent in the middle", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc");
        }),
        asked("a second head that is no end", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, 0, "abc").answer(stream, "200", &[]);
        }),
        asked("frames of nothing without end", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]);
            (0..10_000).for_each(|_| _ = peer.content(stream, 0, ""));
        }),
        asked("padding that is too long", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, PADDED | END_STREAM, [9, 0]);
        }),
        asked("PINGs without end", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]);
            (0..10_000).for_each(|_| _ = peer.frame(PING, 0, 0, "12345678"));
        }),
        asked("SETTINGS without end", Cut, |peer, stream| {
            peer.answer(stream, "200", &[]);
            (0..10_000).for_each(|_| _ = peer.frame(SETTINGS, 0, 0, []));
        }),
        asked("content where none may be", Answer, |peer, stream| {
            peer.answer(stream, "204", &[]).content(stream, END_STREAM, "abc");
        }),
        asked("a reset behind the end", Answer, |peer, stream| {
            peer.answer(stream, "200", &[]).content(stream, END_STREAM, "ok").number(RST_STREAM, stream, CANCEL);
        }),
    ]);
}

#[test]
fn an_upload_that_is_given_no_window() {
    for window in [0, 10_000] {
        let upstream = BadUpstream::doing(
            When::AtOnce,
            Arc::new(move |peer: &mut Peer, _| {
                peer.frame(SETTINGS, 0, 0, settings(&[(HEADER_TABLE_SIZE, 0), (INITIAL_WINDOW_SIZE, window)]));
                // All that the windows allow, and no more of it.
                let broken_off = peer.frames.until(|frame| frame.kind == RST_STREAM)?.map(|frame| frame.code());
                assert_eq!(broken_off, Some(CANCEL));
                Ok(())
            }),
        );
        let proxy = Proxy::start(&json!({
            "timeouts": {"idle": "500ms"},
            "routes": {"a": {"target_url": upstream.url(), "http2": true}},
        }));
        let mut client = proxy.client();
        client.send(format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", 1 << 20));
        client.send(vec![b'x'; 100_000]);
        let answer = client.answer();
        assert_eq!((answer.status(), own(504, &answer.json())), (504, Ok(TimedOut)));
        assert!(answer.text().contains("'idle'"), "{}", answer.text());
        // What was given up is gone, and the connection is good for others.
        let next = proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n");
        assert_eq!(next.status(), 200);
    }
}
