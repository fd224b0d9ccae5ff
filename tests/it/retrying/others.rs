//! What an attempt takes from its own route and from no other: time limits, the way out, keys, limits; and what the client
//! is told of it, whatever upstreams say.

use serde_json::{Value, json};

use super::{BUSY, OK, POST, attempts, in_turn, nobody};
use crate::support::{Proxy, Script, TlsUpstream, Upstream, http_proxy};
use crate::time_limits::black_hole;

fn silent() -> Upstream {
    Upstream::playing(|script: &mut Script| script.request().and_then(|_| script.until_closed()))
}

fn routes(routes: &Value) -> Proxy {
    Proxy::start(&json!({"routes": routes}))
}

#[test]
fn a_fallback_has_time_limits_of_its_own() {
    let (busy, silent) = (in_turn(&[BUSY]), silent());
    let proxy = routes(&json!({
        "a": {"target_url": busy.url(), "timeouts": {"first_byte": "5m"}, "fallback": ["b"]},
        "b": {"target_url": silent.url(), "timeouts": {"first_byte": "200ms"}},
    }));
    let answer = proxy.client().ask(POST);
    assert_eq!(
        (attempts(&answer), answer.field("x-aqueduct-error")),
        ((504, Some("2"), Some("b")), Some("upstream_timeout"))
    );
    assert_eq!(proxy.logged(|line| line["status"] == 504)["end"], "first_byte_timeout");
}

#[test]
fn the_time_for_all_of_it_holds_for_all_attempts_together() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Upstream::playing(move |script: &mut Script| {
        while script.request()?.is_some() {
            if next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
                return script.until_closed();
            }
            script.send(BUSY)?;
        }
        Ok(())
    });
    let route = |total: &str, upstream: &Upstream| json!({"a": {"target_url": upstream.url(), "timeouts": {"total": total}, "retry": {"attempts": 3, "backoff": 0}}});
    let proxy = routes(&route("700ms", &upstream));
    let answer = proxy.client().ask(POST);
    assert_eq!(
        (attempts(&answer), answer.field("x-aqueduct-error")),
        ((504, Some("2"), Some("a")), Some("upstream_timeout"))
    );
    let line = proxy.logged(|line| line["status"] == 504);
    assert!(line["end"] == "total_timeout" && line["duration_ms"].as_f64() < Some(10_000.0), "{line}");
    // What would outlast it is not waited for.
    let late = in_turn(&["HTTP/1.1 429 Slow\r\nRetry-After: 8\r\nContent-Length: 0\r\n\r\n", OK]);
    let proxy = routes(&route("5s", &late));
    assert_eq!(attempts(&proxy.client().ask(POST)), (429, Some("1"), Some("a")));
    assert!(proxy.logged(|line| line["status"] == 429)["duration_ms"].as_f64() < Some(4_000.0));
}

#[test]
fn a_fallback_leaves_by_its_own_way_out() {
    let (busy, behind) = (in_turn(&[BUSY]), Upstream::ok());
    let way = http_proxy();
    let proxy = routes(&json!({
        "direct": {"target_url": busy.url(), "proxy": "", "fallback": ["through"]},
        "through": {"target_url": behind.url(), "proxy": format!("http://u:p@{}", way.address())},
        "down": {"target_url": "http://target.invalid", "proxy": nobody(), "fallback": ["plain"]},
        "plain": {"target_url": behind.url(), "proxy": ""},
    }));
    assert_eq!(attempts(&proxy.client().ask(POST.replace("/a/", "/direct/"))), (200, Some("2"), Some("through")));
    let asked = way.request();
    assert_eq!(asked.target(), format!("{}/x?y=1", behind.url()));
    assert!(asked.field("proxy-authorization").is_some());
    behind.request();
    // A proxy that cannot be reached is no connection: nothing was sent.
    assert_eq!(attempts(&proxy.client().ask(POST.replace("/a/", "/down/"))), (200, Some("2"), Some("plain")));
    let request = behind.request();
    assert_eq!((request.target(), request.field("proxy-authorization")), ("/x?y=1", None));
    assert!(proxy.logged(|line| line["route"] == "down")["proxy"].is_null());
}

/// Says 429, or another status, to those keys that begin so.
fn choosy(start: &'static str, status: &'static str) -> Upstream {
    Upstream::playing(move |script: &mut Script| {
        while let Some(request) = script.request()? {
            let is_refused = request.field("x-api-key").unwrap_or_default().starts_with(start);
            script.send(if is_refused {
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
            } else {
                OK.to_owned()
            })?;
        }
        Ok(())
    })
}

#[test]
fn a_fallback_picks_from_keys_of_its_own() {
    let (busy, second) = (in_turn(&[BUSY]), choosy("b0", "429 Slow"));
    let proxy = routes(&json!({
        "a": {"target_url": busy.url(), "custom_headers": {"x-api-key": ["a0", "a1"]}, "fallback": ["b"]},
        "b": {
            "target_url": second.url(), "custom_headers": {"x-api-key": ["b0", "b1"]},
            "retry": {"attempts": 2, "backoff": "1m", "max_wait": "1m"},
        },
    }));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("3"), Some("b")));
    assert_eq!(busy.request().field("x-api-key"), Some("a0"));
    assert_eq!([second.request(), second.request()].map(|asked| asked.fields("x-api-key").join("")), ["b0", "b1"]);
    assert_eq!(proxy.logged(|line| line["route"] == "a")["key_index"], 1);
    // What was learned is known to those who come after: of that route's keys, and of no others.
    proxy.complains("Route 'b', key [0]: rests for 60 s (429)");
    assert_eq!(proxy.client().ask(POST.replace("/a/", "/b/")).status(), 200);
    assert_eq!(second.request().field("x-api-key"), Some("b1"));
    assert!(!proxy.err().contains("Route 'a'"), "{}", proxy.err());
}

#[test]
fn a_key_that_is_refused_is_replaced_at_once_where_that_is_asked_for() {
    for status in ["401 Unauthorized", "402 Payment Required", "403 Forbidden"] {
        let number: u16 = status[..3].parse().expect("a number");
        let upstream = choosy("k0", status);
        let route = |on: Value| {
            json!({"a": {
                "target_url": upstream.url(), "custom_headers": {"x-api-key": ["k0", "k1"]},
                // No wait could be that short in a test that has to wait for it.
                "retry": {"attempts": 2, "on": on, "backoff": "1m", "max_wait": "1m"},
            }})
        };
        assert_eq!(attempts(&routes(&route(json!([number]))).client().ask(POST)), (200, Some("2"), Some("a")));
        // By default it is the client's.
        assert_eq!(attempts(&routes(&route(json!([503]))).client().ask(POST)), (number, Some("1"), Some("a")));
    }
}

#[test]
fn what_another_of_our_kind_says_of_itself_is_replaced() {
    let said = "HTTP/1.1 200 OK\r\nX-Aqueduct-Attempts: 9\r\nx-aqueduct-route: theirs\r\nX-Aqueduct-Other: o\r\nContent-Length: 0\r\n\r\n";
    let upstream = in_turn(&[said]);
    let proxy = routes(&json!({
        "a": {"target_url": upstream.url(), "retry": {"attempts": 2}},
        "plain": {"target_url": upstream.url()},
        "智谱 2": {"target_url": upstream.url(), "retry": {"attempts": 2}},
    }));
    let answer = proxy.client().ask(POST);
    assert_eq!((answer.fields("x-aqueduct-attempts"), answer.fields("x-aqueduct-route")), (vec!["1"], vec!["a"]));
    assert_eq!(answer.field("x-aqueduct-other"), Some("o"));
    // Where nothing of ours is said, theirs passes as it came.
    let answer = proxy.client().ask(POST.replace("/a/", "/plain/"));
    assert_eq!(answer.fields("x-aqueduct-attempts"), ["9"]);
    // A name that cannot stand in a field as it is.
    let answer = proxy.client().ask(POST.replace("/a/", "/%E6%99%BA%E8%B0%B1%202/"));
    assert_eq!(answer.fields("x-aqueduct-route"), ["%E6%99%BA%E8%B0%B1%202"]);
}

#[test]
fn a_fallback_counts_on_both_routes() {
    let (busy, second) = (in_turn(&[BUSY]), Upstream::ok());
    let proxy = routes(&json!({
        "a": {"target_url": busy.url(), "limits": {"requests_per_minute": 3}, "fallback": ["b"]},
        "b": {"target_url": second.url(), "limits": {"requests_per_minute": 2}},
    }));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("b")));
    assert_eq!(proxy.client().ask(POST.replace("/a/", "/b/")).status(), 200);
    // There is no room on the fallback: the answer at hand is the client's, with what it says and nothing of our limits.
    let answer = proxy.client().ask(POST);
    assert_eq!((attempts(&answer), answer.text().as_str()), ((503, Some("1"), Some("a")), "busy"));
    assert_eq!(answer.field("x-ratelimit-limit-requests"), None);
    assert_eq!(proxy.client().ask(POST).status(), 503);
    let refused = proxy.client().ask(POST);
    assert_eq!((refused.status(), refused.field("x-ratelimit-limit-requests")), (429, Some("3")));
    assert_eq!(attempts(&refused), (429, Some("0"), Some("a")));
}

#[test]
fn errors_in_streams_stand_for_their_status() {
    let stream = |event: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{event}", event.len())
    };
    for (event, status) in [
        ("event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\"}}\n\n", 529),
        ("event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"authentication_error\"}}\n\n", 401),
        ("event: error\ndata: {\"type\": \"error\", \"error\": {\"type\": \"api_error\"}}\n\n", 500),
        ("data: {\"error\": {\"type\": \"tokens\", \"code\": \"rate_limit_exceeded\"}}\n\n", 429),
        ("data: {\"error\": {\"code\": 503, \"status\": \"UNAVAILABLE\"}}\r\n\r\n", 503),
    ] {
        for (on, expected) in
            [(json!([status]), (200, Some("2"), Some("b"))), (json!(["reset", 418]), (200, Some("1"), Some("a")))]
        {
            let (first, second) = (in_turn(&[&stream(event)]), Upstream::ok());
            let proxy = routes(&json!({
                "a": {"target_url": first.url(), "retry": {"on": on, "detect_stream_errors": true}, "fallback": ["b"]},
                "b": {"target_url": second.url()},
            }));
            let answer = proxy.client().ask(POST);
            assert_eq!(attempts(&answer), expected, "{event}");
            assert!(expected.2 == Some("b") || answer.text() == event, "{event}");
        }
    }
}

#[test]
fn an_error_in_a_stream_is_held_against_the_key_it_came_for() {
    for (event, told) in [
        ("data: {\"error\": {\"code\": \"rate_limit_exceeded\"}}\n\n", "key [0]: rests for 60 s (429)"),
        ("event: error\ndata: {\"error\": {\"type\": \"authentication_error\"}}\n\n", "key [0]: is out (401)"),
    ] {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{event}", event.len());
        let upstream = Upstream::playing(move |script: &mut Script| {
            while let Some(request) = script.request()? {
                script.send(if request.field("x-api-key") == Some("k0") { &answer } else { OK })?;
            }
            Ok(())
        });
        let proxy = routes(&json!({"a": {
            "target_url": upstream.url(), "custom_headers": {"x-api-key": ["k0", "k1"]},
            "retry": {"attempts": 2, "on": [401, 429], "backoff": "1m", "max_wait": "1m", "detect_stream_errors": true},
        }}));
        assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("a")));
        proxy.complains(told);
        assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("1"), Some("a")));
    }
}

#[test]
fn whatever_keeps_a_connection_from_being_there_is_none_and_nothing_was_sent() {
    let (hole, _waiting, _listener) = black_hole();
    let (stranger, second) = (TlsUpstream::ok("localhost"), Upstream::ok());
    for url in [
        nobody(),
        format!("http://{hole}"),
        "http://nowhere.invalid".to_owned(),
        format!("https://localhost:{}", stranger.port()),
        format!("https://{}", second.address()),
    ] {
        let proxy = routes(&json!({
            "a": {"target_url": url, "timeouts": {"connect": "500ms"}, "fallback": ["b"]},
            "b": {"target_url": second.url()},
        }));
        assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("b")), "{url}");
        assert_eq!(second.request().text(), "hello");
    }
}
