//! Failed attempts and what comes after them: the same upstream again, or a fallback; one answer for the client.

mod bodies;
mod fallbacks;
mod http2;
mod others;
mod streams;

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Script, Upstream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nX-From: first\r\n\r\nbusy";
const POST: &str = "POST /a/x?y=1 HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello";

/// An upstream that gives these answers one after the other, over all its connections, and the last for ever.
fn in_turn(answers: &[&str]) -> Upstream {
    let (answers, next): (Vec<String>, _) =
        (answers.iter().map(|&answer| answer.into()).collect(), AtomicUsize::new(0));
    Upstream::playing(move |script: &mut Script| -> io::Result<()> {
        while script.request()?.is_some() {
            let turn = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            script.send(&answers[turn])?;
        }
        Ok(())
    })
}

/// A place where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// A proxy with one route and this `retry`; waits are short unless it says otherwise.
fn retrying(url: &str, retry: &Value) -> Proxy {
    let mut all = json!({"attempts": 3, "backoff": "1ms"});
    all.as_object_mut().expect("an object").extend(retry.as_object().cloned().expect("an object"));
    Proxy::start(&json!({"routes": {"a": {"target_url": url, "retry": all}}}))
}

fn attempts(answer: &Received) -> (u16, Option<&str>, Option<&str>) {
    (answer.status(), answer.field("x-aqueduct-attempts"), answer.field("x-aqueduct-route"))
}

#[test]
fn a_busy_upstream_is_asked_again_and_the_client_sees_one_answer() {
    let upstream = in_turn(&[BUSY, BUSY, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    let answer = proxy.client().ask(POST);
    assert_eq!((attempts(&answer), answer.text().as_str()), ((200, Some("3"), Some("a")), "ok"));
    for _ in 0..3 {
        let request = upstream.request();
        assert_eq!((request.target(), request.text().as_str()), ("/x?y=1", "hello"));
    }
    assert!(upstream.has_no_request());
    // The answers that nobody got were read, and their connection was used again.
    assert_eq!(upstream.connections(), 1);
    let line = proxy.logged(|line| line["status"] == 200);
    assert_eq!((&line["attempts"], &line["fallback"], &line["route"]), (&json!(3), &Value::Null, &json!("a")));
}

#[test]
fn the_last_answer_is_the_clients_untouched() {
    let upstream = in_turn(&[BUSY]);
    let proxy = retrying(&upstream.url(), &json!({"attempts": 2}));
    let answer = proxy.client().ask(POST);
    assert_eq!((attempts(&answer), answer.text().as_str()), ((503, Some("2"), Some("a")), "busy"));
    assert_eq!(answer.field("x-from"), Some("first"));
}

#[test]
fn without_the_fields_nothing_is_repeated_and_nothing_is_said() {
    let upstream = in_turn(&[BUSY, OK]);
    let proxy = Proxy::to(&upstream);
    assert_eq!(attempts(&proxy.client().ask(POST)), (503, None, None));
    upstream.request();
    assert!(upstream.has_no_request());
    assert_eq!(proxy.logged(|line| line["status"] == 503)["attempts"], 1);
}

#[test]
fn what_is_not_in_the_list_is_the_clients() {
    let answer = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[answer, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (500, Some("1"), Some("a")));
    let upstream = in_turn(&[answer, OK]);
    let proxy = retrying(&upstream.url(), &json!({"on": [500]}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")));
}

#[test]
fn where_nothing_was_sent_it_is_tried_again_and_our_own_error_says_how_often() {
    let proxy = retrying(&nobody(), &json!({}));
    let answer = proxy.client().ask(POST);
    assert_eq!(attempts(&answer), (502, Some("3"), Some("a")));
    assert_eq!(answer.field("x-aqueduct-error"), Some("upstream_unreachable"));
    let proxy = retrying(&nobody(), &json!({"on": [503]}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (502, Some("1"), Some("a")));
}

/// Dies with the request in its hands, the first time.
fn dying() -> Upstream {
    let next = AtomicUsize::new(0);
    Upstream::playing(move |script: &mut Script| {
        while script.request()?.is_some() {
            if next.fetch_add(1, Ordering::SeqCst) == 0 {
                return Ok(());
            }
            script.send(OK)?;
        }
        Ok(())
    })
}

#[test]
fn what_may_have_been_acted_on_is_repeated_only_where_that_is_asked_for() {
    let upstream = dying();
    assert_eq!(attempts(&retrying(&upstream.url(), &json!({})).client().ask(POST)), (502, Some("1"), Some("a")));
    let upstream = dying();
    let proxy = retrying(&upstream.url(), &json!({"on": ["reset"]}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")));
}

#[test]
fn a_silent_upstream_is_left_for_another_attempt_where_that_is_asked_for() {
    let next = AtomicUsize::new(0);
    let upstream = Upstream::playing(move |script: &mut Script| {
        script.request()?;
        if next.fetch_add(1, Ordering::SeqCst) == 0 {
            return script.until_closed();
        }
        script.send(OK)
    });
    let config = json!({"routes": {"a": {
        "target_url": upstream.url(),
        "timeouts": {"first_byte": "200ms"},
        "retry": {"attempts": 2, "on": ["timeout"], "backoff": 0},
    }}});
    assert_eq!(attempts(&Proxy::start(&config).client().ask(POST)), (200, Some("2"), Some("a")));
}

#[test]
fn retry_after_is_waited_for_up_to_a_limit() {
    let soon = "HTTP/1.1 429 Slow\r\nretry-after-ms: 300\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[soon, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    let began = Instant::now();
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")));
    assert!(began.elapsed() >= Duration::from_millis(300));
    let late = "HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[late, OK]);
    let proxy = retrying(&upstream.url(), &json!({}));
    let answer = proxy.client().ask(POST);
    assert_eq!((attempts(&answer), answer.field("retry-after")), ((429, Some("1"), Some("a")), Some("60")));
}

#[test]
fn the_next_key_is_tried_at_once_where_one_was_used_too_much() {
    let late = "HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[late, OK]);
    let proxy = Proxy::start(&json!({"routes": {"a": {
        "target_url": upstream.url(),
        "custom_headers": {"x-api-key": ["one", "two"]},
        "retry": {"attempts": 2},
    }}}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")));
    let keys = [upstream.request(), upstream.request()].map(|request| request.field("x-api-key").map(str::to_owned));
    assert!(keys[0] != keys[1] && keys.iter().all(Option::is_some), "{keys:?}");
}

#[test]
fn a_client_that_leaves_during_a_wait_ends_it_and_nothing_more_is_sent() {
    let late = "HTTP/1.1 429 Slow\r\nRetry-After: 15\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[late, OK]);
    let proxy = retrying(&upstream.url(), &json!({"max_wait": "60s"}));
    let mut client = proxy.client();
    client.send(POST);
    upstream.request();
    drop(client);
    let line = proxy.logged(|line| line["end"] == "client_gone");
    assert!(line["duration_ms"].as_f64().expect("a number") < 10_000.0, "{line}");
    assert!(upstream.has_no_request());
}

#[cfg(unix)]
#[test]
fn the_end_of_the_program_is_no_time_to_wait() {
    let late = "HTTP/1.1 429 Slow\r\nRetry-After: 15\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[late, OK]);
    let proxy = retrying(&upstream.url(), &json!({"max_wait": "60s"}));
    let mut client = proxy.client();
    client.send(POST);
    upstream.request();
    let began = Instant::now();
    proxy.signal("TERM");
    assert_eq!(attempts(&client.answer()), (200, Some("2"), Some("a")));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_pretty_log_says_each_failed_attempt_and_what_comes_next() {
    let upstream = in_turn(&[BUSY, OK]);
    let config = json!({
        "server": {"log_format": "pretty"},
        "routes": {
            "a": {"target_url": nobody(), "retry": {"attempts": 2, "backoff": 0}, "fallback": ["b"]},
            "b": {"target_url": upstream.url(), "retry": {"attempts": 2, "backoff": 0}},
        },
    });
    let proxy = Proxy::start(&config);
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("4"), Some("b")));
    proxy.says("🔁  Attempt 1 failed: the upstream takes no connection: ");
    proxy.says("🔁  Attempt 2 failed: the upstream takes no connection: ");
    proxy.says("-> route 'b'");
    proxy.says("🔁  Attempt 3 failed: status 503 -> again");
    proxy.says("Status:           200");
    assert!(!proxy.out().contains("Attempt 4"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let refused = |routes: Value| {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("config.json");
        std::fs::write(&path, json!({"routes": routes}).to_string()).expect("a file");
        let output = crate::support::aqueduct().args(["check", "-c"]).arg(&path).output().expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let route = |more: Value| {
        let mut route = json!({"target_url": "http://127.0.0.1:9"});
        route.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        route
    };
    for (retry, place, word) in [
        (json!({"attempts": 0}), "attempts", "from 1 to 10"),
        (json!({"attempts": 11}), "attempts", "from 1 to 10"),
        (json!({"on": [399]}), "on[0]", "from 400 to 599"),
        (json!({"on": ["connect", "never"]}), "on[1]", "\"connect\", \"reset\", \"timeout\""),
        (json!({"backoff": "soon"}), "backoff", "duration"),
        (json!({"max_wait": -1}), "max_wait", "at least 0"),
        (json!({"body_buffer": "2GiB"}), "body_buffer", "1073741824"),
        (json!({"detect_stream_errors": 1}), "detect_stream_errors", "true or false"),
    ] {
        let said = refused(json!({"a": route(json!({"retry": retry}))}));
        assert!(said.contains(&format!("routes.a.retry.{place}")) && said.contains(word), "{retry}: {said}");
    }
    let others = json!({
        "off": {"target_url": "http://127.0.0.1:9", "enabled": false},
        "any": {"universal_proxy": true},
        "none": {},
        "back": {"target_url": "http://127.0.0.1:9", "fallback": ["further"]},
        "further": {"target_url": "http://127.0.0.1:9", "fallback": ["a"]},
        "good": {"target_url": "http://127.0.0.1:9"},
    });
    for (fallback, word) in [
        (json!(["nobody"]), "no route of this name"),
        (json!(["a"]), "its own fallback"),
        (json!(["off"]), "switched off"),
        (json!(["any"]), "universal"),
        (json!(["none"]), "no 'target_url'"),
        (json!(["good", "good"]), "already"),
        (json!(["back"]), "leads back"),
    ] {
        let mut routes = others.clone();
        let last = fallback.as_array().expect("a list").len() - 1;
        routes["a"] = route(json!({"fallback": fallback}));
        let said = refused(routes);
        assert!(said.contains(&format!("routes.a.fallback[{last}]")) && said.contains(word), "{fallback}: {said}");
    }
    let said = refused(json!({"u": {"universal_proxy": true, "fallback": ["b"]}, "b": route(json!({}))}));
    assert!(said.contains("routes.u.fallback") && said.contains("universal"), "{said}");
}
