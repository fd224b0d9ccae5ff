//! The same over HTTP/2, on either side: streams that fail one by one, and connections that others go on using.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use serde_json::{Value, json};

use super::{BUSY, OK, POST, attempts, in_turn, nobody, retrying};
use crate::support::frames::{Frames, GOAWAY, HEADERS, NO_ERROR, SETTINGS};
use crate::support::http2::{Heard, Http2Client, Http2Upstream, Turn, hear, post, run};
use crate::support::{PATIENCE, Proxy, Script, Upstream, eventually};

/// An upstream that does something else with each stream, over all its connections: number by number, then it says OK.
fn playing<F: Future<Output = ()> + 'static>(play: impl Fn(usize, Turn) -> F + Send + Sync + 'static) -> Http2Upstream {
    let next = AtomicUsize::new(0);
    Http2Upstream::playing(move |turn| play(next.fetch_add(1, Ordering::SeqCst), turn))
}

/// Answers with this status when the request is whole, for so many streams.
fn busy(times: usize) -> Http2Upstream {
    playing(move |number, turn| async move {
        if number < times { answer(turn, 503, "busy").await } else { turn.say("ok").await }
    })
}

async fn answer(mut turn: Turn, status: u16, text: &'static str) {
    turn.read().await;
    let head = Response::builder().status(status).body(()).expect("an answer");
    let mut send = turn.respond.send_response(head, false).expect("a stream");
    let _ = send.send_data(Bytes::from_static(text.as_bytes()), true);
}

async fn refuses(number: usize, times: usize, mut turn: Turn, reason: Reason) {
    if number < times {
        turn.respond.send_reset(reason);
    } else {
        // All of the body has come once more.
        let (body, _) = turn.read().await;
        turn.begin().send_data(body.into(), true).expect("a stream");
    }
}

fn to_http2(upstream: &Http2Upstream, retry: &Value) -> Proxy {
    let mut all = json!({"attempts": 3, "backoff": "1ms"});
    all.as_object_mut().expect("an object").extend(retry.as_object().cloned().expect("an object"));
    Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "http2": true, "retry": all}}}))
}

fn heard(heard: &Heard) -> (u16, Option<&str>, Option<&str>, &str) {
    let field = |name: &str| heard.headers.get(name).map(|value| value.to_str().expect("text"));
    let body = std::str::from_utf8(&heard.body).expect("text");
    (heard.status, field("x-aqueduct-attempts"), field("x-aqueduct-route"), body)
}

fn ask(proxy: &Proxy, request: Request<()>, body: &[u8]) -> Heard {
    run(async { Http2Client::connect(proxy.address()).await.ask(request, body).await })
}

#[test]
fn a_client_of_http2_sees_one_answer() {
    let upstream = in_turn(&[BUSY, BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    assert_eq!(heard(&ask(&proxy, post("/a/x?y=1"), b"hello")), (200, Some("3"), Some("a"), "ok"));
    for _ in 0..3 {
        let request = upstream.request();
        assert_eq!((request.target(), request.text().as_str()), ("/x?y=1", "hello"));
    }
    let upstream = in_turn(&[BUSY]);
    let proxy = retrying(&upstream.url(), &json!({"attempts": 2}));
    let answer = ask(&proxy, post("/a/x"), b"hello");
    assert_eq!(heard(&answer), (503, Some("2"), Some("a"), "busy"));
    assert_eq!(answer.headers["x-from"], "first");
    // And one of our own says it too.
    let proxy = retrying(&nobody(), &json!({}));
    let answer = ask(&proxy, post("/a/x"), b"hello");
    assert_eq!((heard(&answer).0, heard(&answer).1), (502, Some("3")));
    assert_eq!(answer.headers["x-aqueduct-error"], "upstream_unreachable");
}

#[test]
fn streams_of_one_connection_are_tried_again_each_for_itself() {
    let upstream = in_turn(&[BUSY, BUSY, BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({"attempts": 4}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut running = Vec::new();
        for number in 0..8 {
            let (answer, mut send) = client.begin(post(&format!("/a/{number}")), false).await;
            send.send_data(format!("body of {number}").into(), true).expect("a stream");
            running.push(answer);
        }
        let mut again = 0;
        for answer in running {
            let heard = hear(answer.await.expect("an answer")).await;
            assert_eq!((heard.status, &heard.body[..]), (200, &b"ok"[..]));
            again +=
                heard.headers["x-aqueduct-attempts"].to_str().expect("text").parse::<usize>().expect("a number") - 1;
        }
        assert_eq!(again, 3);
    });
    for _ in 0..11 {
        let request = upstream.request();
        assert_eq!(request.text(), request.target().replace('/', "body of "));
    }
}

#[test]
fn an_upstream_of_http2_is_asked_again_on_the_same_connection() {
    for over_http2 in [false, true] {
        let upstream = busy(2);
        let proxy = to_http2(&upstream, &json!({}));
        if over_http2 {
            assert_eq!(heard(&ask(&proxy, post("/a/x"), b"hello")), (200, Some("3"), Some("a"), "ok"));
        } else {
            let answer = proxy.client().ask(POST);
            assert_eq!((attempts(&answer), answer.text().as_str()), ((200, Some("3"), Some("a")), "ok"));
        }
        assert_eq!((upstream.unseen(), upstream.connections()), (3, 1));
    }
    let upstream = busy(9);
    let proxy = to_http2(&upstream, &json!({"attempts": 2}));
    assert_eq!(heard(&ask(&proxy, post("/a/x"), b"hello")), (503, Some("2"), Some("a"), "busy"));
}

#[test]
fn what_nobody_has_looked_at_counts_as_not_sent() {
    // One attempt delivers such a stream three times. That is none of the client's business.
    for (times, expected) in [(2, (200, Some("1"), Some("a"))), (3, (200, Some("2"), Some("a")))] {
        let upstream = playing(move |number, turn| refuses(number, times, turn, Reason::REFUSED_STREAM));
        let proxy = to_http2(&upstream, &json!({}));
        let answer = proxy.client().ask(POST);
        assert_eq!((attempts(&answer), answer.text().as_str()), (expected, "hello"));
        assert_eq!(upstream.unseen(), times + 1);
    }
    // However often: there is an end, and the error says how often.
    let upstream = playing(|number, turn| refuses(number, 99, turn, Reason::REFUSED_STREAM));
    let proxy = to_http2(&upstream, &json!({"attempts": 2}));
    let answer = proxy.client().ask(POST);
    assert_eq!(
        (attempts(&answer), answer.field("x-aqueduct-error")),
        ((502, Some("2"), Some("a")), Some("upstream_reset"))
    );
    assert_eq!(upstream.unseen(), 6);
    // Where that is not to be met, it is the client's.
    let upstream = playing(|number, turn| refuses(number, 3, turn, Reason::REFUSED_STREAM));
    let proxy = to_http2(&upstream, &json!({"on": [503]}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (502, Some("1"), Some("a")));
}

#[test]
fn what_may_have_been_acted_on_is_repeated_only_where_that_is_asked_for() {
    for (on, expected) in [
        (json!(["connect", 503]), (502, Some("1"), Some("a"), "upstream_reset")),
        (json!(["reset"]), (200, Some("2"), Some("a"), "hello")),
    ] {
        let upstream = playing(|number, turn| refuses(number, 1, turn, Reason::INTERNAL_ERROR));
        let proxy = to_http2(&upstream, &json!({"on": on}));
        let answer = ask(&proxy, post("/a/x"), b"hello");
        let (status, attempts, route, body) = heard(&answer);
        assert_eq!((status, attempts, route), (expected.0, expected.1, expected.2), "{on}");
        assert!(body.contains(expected.3), "{on}: {body}");
    }
}

/// Says goodbye to every request without having looked at it, or as if it might have been.
fn leaving(has_looked: bool) -> Upstream {
    Upstream::playing(move |script: &mut Script| {
        let mut frames = Frames::on(script.stream().try_clone()?);
        frames.take_preface()?;
        frames.frame(SETTINGS, 0, 0, []);
        let Some(head) = frames.until(|frame| frame.kind == HEADERS)? else { return Ok(()) };
        let last: u32 = if has_looked { head.stream } else { 0 };
        frames.frame(GOAWAY, 0, 0, [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat());
        frames.flush()
    })
}

#[test]
fn a_goodbye_leads_to_the_fallback_with_all_of_the_body() {
    let second = Upstream::ok();
    let config = |first: &Upstream, on: Value| {
        json!({"routes": {
            "a": {"target_url": first.url(), "http2": true, "retry": {"on": on}, "fallback": ["b"],
                "custom_headers": {"Authorization": "Bearer first"}},
            "b": {"target_url": second.url(), "custom_headers": {"x-api-key": "second"}},
        }})
    };
    for (has_looked, on, expected) in [
        (false, json!(["connect"]), (200, Some("2"), Some("b"))),
        (true, json!(["connect"]), (502, Some("1"), Some("a"))),
        (true, json!(["reset"]), (200, Some("2"), Some("b"))),
    ] {
        let first = leaving(has_looked);
        let proxy = Proxy::start(&config(&first, on));
        let answer = ask(&proxy, post("/a/x"), b"hello");
        let (status, attempts, route, _) = heard(&answer);
        assert_eq!((status, attempts, route), expected, "{has_looked}");
        if status == 200 {
            let request = second.request();
            assert_eq!((request.text().as_str(), request.field("authorization")), ("hello", None));
            assert_eq!(request.fields("x-api-key"), ["second"]);
        }
        assert!(second.has_no_request());
    }
}

#[test]
fn what_is_larger_than_the_buffer_is_sent_once_if_it_was_sent() {
    let long = vec![b'x'; 300 << 10];
    let fits = vec![b'x'; 90 << 10];
    // From HTTP/2 a length need not be said, and a body can come in any number of pieces.
    for (body, expected) in [(&long, (503, Some("1"))), (&fits, (200, Some("2")))] {
        let upstream = in_turn(&[BUSY, OK]);
        let proxy = retrying(&upstream.url(), &json!({"body_buffer": "100KiB"}));
        let answer = ask(&proxy, post("/a/x"), body);
        assert_eq!((heard(&answer).0, heard(&answer).1), expected);
        assert_eq!(upstream.request().body.len(), body.len());
        let upstream = busy(1);
        let proxy = to_http2(&upstream, &json!({"body_buffer": "100KiB"}));
        let answer = ask(&proxy, post("/a/x"), body);
        assert_eq!((heard(&answer).0, heard(&answer).1), expected);
    }
    // However long it is: a stream that was refused unread can go elsewhere while what went out is at hand.
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": nobody(), "http2": true, "retry": {"body_buffer": 0}, "fallback": ["b"]},
        "b": {"target_url": upstream.url()},
    }}));
    let answer = ask(&proxy, post("/a/x"), &long);
    assert_eq!((heard(&answer).0, heard(&answer).2), (200, Some("b")));
    assert!(upstream.request().body == long);
}

#[test]
fn an_upload_goes_on_in_the_second_attempt_behind_what_was_kept() {
    let (asked, was_asked) = channel();
    let upstream = playing(move |number, mut turn| {
        let asked = asked.clone();
        async move {
            if number > 0 {
                let _ = asked.send(number);
                let (body, _) = turn.read().await;
                turn.begin().send_data(body.into(), true).expect("a stream");
                return;
            }
            let _ = turn.body.data().await;
            let head = Response::builder().status(503).body(()).expect("an answer");
            turn.respond.send_response(head, true).expect("a stream");
        }
    });
    let proxy = to_http2(&upstream, &json!({}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(post("/a/x"), false).await;
        send.send_data(Bytes::from_static(b"01234"), false).expect("a stream");
        assert_eq!(was_asked.recv_timeout(PATIENCE), Ok(1));
        send.send_data(Bytes::from_static(b"56789"), true).expect("a stream");
        let answer = hear(answer.await.expect("an answer")).await;
        assert_eq!(heard(&answer), (200, Some("2"), Some("a"), "0123456789"));
    });
}

#[test]
fn trailers_of_a_request_that_may_be_sent_again_stay_behind() {
    let upstream = playing(|_, mut turn| async move {
        let (body, trailers) = turn.read().await;
        assert!(trailers.is_none(), "{trailers:?}");
        turn.begin().send_data(body.into(), true).expect("a stream");
    });
    let proxy = to_http2(&upstream, &json!({}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(post("/a/x"), false).await;
        send.send_data(Bytes::from_static(b"hello"), false).expect("a stream");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "1".parse().expect("a value"));
        send.send_trailers(trailers).expect("a stream");
        assert_eq!(heard(&hear(answer.await.expect("an answer")).await), (200, Some("1"), Some("a"), "hello"));
    });
}

#[test]
fn an_error_as_the_first_event_is_met_like_its_status() {
    const OVERLOADED: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let upstream = playing(|number, mut turn| async move {
        turn.read().await;
        let head = Response::builder().header("content-type", "text/event-stream").body(()).expect("an answer");
        let mut send = turn.respond.send_response(head, false).expect("a stream");
        let event = if number == 0 { OVERLOADED } else { "data: 1\n\n" };
        let (begun, rest) = event.split_at(7);
        for (piece, is_last) in [(begun, false), (rest, true)] {
            send.send_data(Bytes::from_static(piece.as_bytes()), is_last).expect("a stream");
        }
    });
    let proxy = to_http2(&upstream, &json!({"detect_stream_errors": true}));
    assert_eq!(heard(&ask(&proxy, post("/a/x"), b"hello")), (200, Some("2"), Some("a"), "data: 1\n\n"));
    assert_eq!((upstream.unseen(), upstream.connections()), (2, 1));
}

#[test]
fn a_stream_that_is_reset_during_a_wait_ends_it_and_nothing_more_is_sent() {
    let late = "HTTP/1.1 429 Slow\r\nRetry-After: 15\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[late, OK]);
    let proxy = retrying(&upstream.url(), &json!({"max_wait": "60s"}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (_answer, mut send) = client.begin(post("/a/x"), true).await;
        upstream.request();
        send.send_reset(Reason::CANCEL);
        // The connection and its other streams are untouched.
        assert_eq!(client.get("/none").await.status, 404);
    });
    let line = proxy.logged(|line| line["end"] == "client_gone");
    assert!(line["duration_ms"].as_f64().expect("a number") < 10_000.0, "{line}");
    assert!(upstream.has_no_request());
}

#[test]
fn an_answer_that_nobody_gets_is_cancelled_and_holds_up_no_other_stream() {
    let (reset, was_reset) = channel();
    let upstream = playing(move |number, mut turn| {
        let reset = reset.clone();
        async move {
            if number > 0 {
                return turn.say("ok").await;
            }
            let head = Response::builder().status(503).body(()).expect("an answer");
            let mut send = turn.respond.send_response(head, false).expect("a stream");
            send.send_data(Bytes::from_static(b"an endless excuse"), false).expect("a stream");
            let reason = poll_fn(|cx| send.poll_reset(cx)).await;
            let _ = reset.send(reason.ok());
        }
    });
    let proxy = to_http2(&upstream, &json!({}));
    assert_eq!(heard(&ask(&proxy, post("/a/x"), b"hello")), (200, Some("2"), Some("a"), "ok"));
    assert_eq!(was_reset.recv_timeout(PATIENCE), Ok(Some(Reason::CANCEL)));
    eventually("one connection serves all", || upstream.connections() == 1);
}
