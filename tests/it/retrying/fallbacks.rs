//! Other routes that are asked when the attempts on one are spent.

use serde_json::json;

use super::{BUSY, OK, POST, attempts, in_turn, nobody};
use crate::support::{Proxy, Upstream};

#[test]
fn fallbacks_are_asked_in_order_each_with_its_own_headers_and_attempts() {
    let (first, second) = (in_turn(&[BUSY]), in_turn(&[BUSY]));
    let third = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": format!("{}/one", first.url()), "custom_headers": {"Authorization": "Bearer one"}, "fallback": ["b", "c"]},
        "b": {"target_url": format!("{}/two", second.url()), "custom_headers": {"Authorization": "Bearer two"}, "retry": {"attempts": 2, "backoff": 0}},
        "c": {"target_url": format!("{}/three?v=2", third.url()), "custom_headers": {"X-Key": "three"}},
    }}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("4"), Some("c")));
    let request = first.request();
    assert_eq!((request.target(), request.fields("authorization")), ("/one/x?y=1", vec!["Bearer one"]));
    for _ in 0..2 {
        let request = second.request();
        assert_eq!((request.target(), request.fields("authorization")), ("/two/x?y=1", vec!["Bearer two"]));
    }
    let request = third.request();
    assert_eq!((request.target(), request.field("authorization")), ("/three/x?v=2&y=1", None));
    assert_eq!((request.field("x-key"), request.text().as_str()), (Some("three"), "hello"));
    let line = proxy.logged(|line| line["status"] == 200);
    assert_eq!((&line["route"], &line["fallback"], &line["attempts"]), (&json!("a"), &json!("c"), &json!(4)));
}

#[test]
fn what_a_client_proves_itself_with_stays_with_the_origin_it_is_for() {
    let first = in_turn(&[BUSY]);
    let other = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": first.url(), "fallback": ["same", "other"]},
        "same": {"target_url": format!("{}/same", first.url())},
        "other": {"target_url": other.url(), "custom_headers": {"x-api-key": "ours"}},
    }}));
    let request = "POST /a/x?key=sk-query&alt=sse HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer sk-bearer\r\nX-API-Key: sk-x\r\nApi-Key: sk-azure\r\nx-goog-api-key: sk-goog\r\nCookie: sk=cookie\r\nX-Other: kept\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(attempts(&proxy.client().ask(request)), (200, Some("3"), Some("other")));
    for target in ["/x?key=sk-query&alt=sse", "/same/x?key=sk-query&alt=sse"] {
        let request = first.request();
        assert_eq!((request.target(), request.field("authorization")), (target, Some("Bearer sk-bearer")));
    }
    let request = other.request();
    assert_eq!((request.target(), request.fields("x-api-key")), ("/x?alt=sse", vec!["ours"]));
    assert_eq!(request.field("x-other"), Some("kept"));
    assert!(!request.head.contains("sk"), "{}", request.head);
}

#[test]
fn whoever_may_use_the_first_route_follows_its_fallbacks() {
    let upstream = Upstream::ok();
    let key = "an-agreed-key-of-alice";
    let proxy = Proxy::start(&json!({
        "client_keys": {"alice": {"key": key, "routes": ["a"]}},
        "routes": {
            "a": {"target_url": nobody(), "fallback": ["b"]},
            "b": {"target_url": upstream.url(), "custom_headers": {"Authorization": "Bearer ours"}},
        },
    }));
    let ask = |route| {
        proxy.client().ask(format!("GET /{route}/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {key}\r\n\r\n"))
    };
    assert_eq!(attempts(&ask("a")), (200, Some("2"), Some("b")));
    assert_eq!(upstream.request().fields("authorization"), ["Bearer ours"]);
    assert_eq!(ask("b").status(), 403);
}

#[test]
fn a_fallback_without_room_is_passed_over_and_the_answer_at_hand_is_the_clients() {
    let first = in_turn(&[BUSY]);
    let (held, last) =
        (Upstream::playing(|script| script.request().and_then(|_| script.until_closed())), Upstream::ok());
    let routes = json!({
        "a": {"target_url": first.url(), "fallback": ["full"]},
        "b": {"target_url": first.url(), "fallback": ["full", "last"]},
        "full": {"target_url": held.url(), "limits": {"max_concurrency": 1}},
        "last": {"target_url": last.url()},
    });
    let proxy = Proxy::start(&json!({"routes": routes}));
    let mut holder = proxy.client();
    holder.send("GET /full/x HTTP/1.1\r\nHost: p\r\n\r\n");
    held.request();
    let answer = proxy.client().ask(POST);
    assert_eq!((attempts(&answer), answer.text().as_str()), ((503, Some("1"), Some("a")), "busy"));
    assert_eq!(attempts(&proxy.client().ask(POST.replace("/a/", "/b/"))), (200, Some("2"), Some("last")));
}

#[test]
fn a_fallback_takes_a_place_on_its_route_and_gives_the_first_ones_back() {
    let (held, first) =
        (Upstream::playing(|script| script.request().and_then(|_| script.until_closed())), in_turn(&[BUSY]));
    let proxy = Proxy::start(&json!({
        "server": {"limits": {"max_concurrency": 1}},
        "routes": {
            "a": {"target_url": first.url(), "limits": {"max_concurrency": 1}, "fallback": ["b"]},
            "b": {"target_url": held.url(), "limits": {"max_concurrency": 1}},
        },
    }));
    let mut client = proxy.client();
    client.send(POST);
    held.request();
    drop(client);
    proxy.logged(|line| line["end"] == "client_gone");
    let mut client = proxy.client();
    client.send(POST);
    held.request();
}

#[test]
fn the_fallback_of_a_fallback_is_not_asked() {
    let last = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": nobody(), "fallback": ["b"]},
        "b": {"target_url": nobody(), "fallback": ["c"]},
        "c": {"target_url": last.url()},
    }}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (502, Some("2"), Some("b")));
    assert_eq!(attempts(&proxy.client().ask(POST.replace("/a/", "/b/"))), (200, Some("2"), Some("c")));
}

#[test]
fn a_long_retry_after_leads_to_the_fallback_at_once() {
    let first = in_turn(&["HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", OK]);
    let second = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": first.url(), "retry": {"attempts": 3}, "fallback": ["b"]},
        "b": {"target_url": second.url()},
    }}));
    assert_eq!(attempts(&proxy.client().ask(POST)), (200, Some("2"), Some("b")));
}

#[test]
fn an_upgrade_is_attempted_before_the_switch() {
    let first = in_turn(&[BUSY]);
    let second = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        let said = script.bytes(4)?;
        script.send(said)
    });
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": first.url(), "fallback": ["b"]},
        "b": {"target_url": second.url()},
    }}));
    let mut client = proxy.client();
    client.send("GET /a/x HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-1\r\n\r\n");
    let head = client.head().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("x-aqueduct-attempts: 2\r\n"), "{head}");
    assert_eq!(client.send("ping").raw(4), b"ping");
    let request = second.request();
    assert_eq!(
        (request.field("sec-websocket-protocol"), request.field("sec-websocket-key")),
        (Some("realtime"), Some("k"))
    );
}
