//! Who is refused, and what he is told.

use std::time::Instant;

use serde_json::{Value, json};

use super::{ALICE, BOB, CAROL, DAVE, EVE, answer, ask, ask_as, config, forbidden, proxy, told, unauthorized};
use crate::support::{Proxy, Upstream, write_private};

#[test]
fn whoever_has_no_key_is_refused_everywhere_but_where_everybody_may() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let refused = answer(&proxy, "/a/v1", "");
    assert_eq!((told(&refused), refused.field("www-authenticate")), (unauthorized(), Some("Bearer")));
    assert_eq!(refused.json(), json!({"error": "Missing or unknown API key.", "code": "unauthorized"}));
    // Which routes there are is told to nobody: all of these look the same.
    for path in ["/a", "/b/v1", "/u/http://h/", "/broken/x", "/none", "/none/x?y", "/a/../b", "/%61/x", "/u/nonsense"] {
        let other = answer(&proxy, path, "x-api-key: nobody-has-such-a-key\r\n");
        assert_eq!((told(&other), other.text()), (unauthorized(), refused.text()), "{path}");
    }
    assert_eq!(answer(&proxy, "/open/v1", "").status(), 200);
    upstream.request();
    let health = answer(&proxy, "/", "");
    assert!(health.status() == 200 && health.text().contains("Python Proxy is running."));
    assert_eq!(proxy.client().ask("HEAD / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n", 405),
        ("TRACE /a HTTP/1.1\r\nHost: p\r\n\r\n", 405),
        ("HEAD /a/v1 HTTP/1.1\r\nHost: p\r\n\r\n", 401),
        ("OPTIONS /a/v1 HTTP/1.1\r\nHost: p\r\n\r\n", 401),
        ("GET http://p/a/v1 HTTP/1.1\r\nHost: p\r\n\r\n", 401),
    ] {
        assert_eq!(proxy.client().ask(request).status(), status, "{request}");
    }
    assert!(upstream.has_no_request());
}

#[test]
fn whoever_has_one_may_use_his_routes_and_learns_of_others_what_he_asks() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let told_as = |key: &str, path: &str| told(&proxy.client().ask(ask_as(key, path)));
    assert_eq!(told_as(ALICE, "/a/v1"), (200, String::new()));
    assert_eq!(told_as(ALICE, "/b/v1"), forbidden());
    assert_eq!(told_as(ALICE, "/open/v1"), (200, String::new()));
    assert_eq!(told_as(ALICE, "/none"), (404, "route_not_found".to_owned()));
    assert_eq!(told_as(ALICE, "/broken"), forbidden());
    assert_eq!(told_as(BOB, "/b/v1"), (200, String::new()));
    assert_eq!(told_as(BOB, "/broken"), (500, "route_misconfigured".to_owned()));
    assert_eq!(told_as(BOB, "/a/%2e%2e/x"), (400, "bad_path".to_owned()));
    let refused = proxy.client().ask(ask_as(ALICE, "/b/v1"));
    assert_eq!(refused.json()["error"], "This API key is not allowed on this route.");
    assert_eq!(refused.field("www-authenticate"), None);
    for (key, why) in [(DAVE, "This API key has expired."), (EVE, "This API key is disabled.")] {
        let refused = proxy.client().ask(ask_as(key, "/a/v1"));
        assert_eq!((told(&refused), refused.json()["error"].as_str()), (unauthorized(), Some(why)));
    }
    let line = proxy.logged(|line| line["code"] == "forbidden" && line["route"] == "b");
    assert_eq!(
        (&line["client"], &line["status"], &line["end"], &line["upstream"]),
        (&json!("alice"), &json!(403), &json!("refused"), &Value::Null)
    );
    assert_eq!(proxy.logged(|line| line["code"] == "route_not_found")["client"], "alice");
    assert_eq!(proxy.logged(|line| line["code"] == "unauthorized")["client"], "dave");
}

#[test]
fn a_refused_request_leaves_the_connection_as_it_was() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let smuggled = ask_as(BOB, "/b/smuggled");
    let mut client = proxy.client();
    client.send(format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()));
    let refused = client.answer();
    assert_eq!((told(&refused), refused.field("connection")), (unauthorized(), None));
    assert_eq!(client.ask(ask_as(CAROL, "/b/next")).status(), 200);
    assert_eq!(upstream.request().target(), "/next");
    for request in [
        format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 1000\r\n\r\n{smuggled}"),
        format!("POST /a/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
    ] {
        let mut client = proxy.client();
        let refused = client.ask(&request);
        assert_eq!((told(&refused), refused.field("connection")), (unauthorized(), Some("close")), "{request}");
        assert!(client.finish().is_closed(), "{request}");
    }
    assert!(upstream.has_no_request());
}

#[test]
fn a_reload_changes_who_may_come_in_at_once() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["server"] = json!({"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"});
    let proxy = Proxy::start(&config);
    let reload = |config: &Value, times: usize| {
        write_private(&proxy.config_path(), &config.to_string());
        proxy.signal("HUP");
        crate::support::eventually("it is in force", || proxy.out().matches("Configuration reloaded").count() == times);
    };
    // On one connection, which stays.
    let mut client = proxy.client();
    let mut status = |key: &str, path: &str| client.ask(ask_as(key, path)).status();
    assert_eq!((status(ALICE, "/a/x"), status(ALICE, "/b/x"), status(BOB, "/b/x")), (200, 403, 200));
    config["client_keys"]["alice"] = json!({"key": ALICE, "routes": ["b"]});
    config["client_keys"]["bob"]["enabled"] = json!(false);
    reload(&config, 1);
    assert_eq!((status(ALICE, "/a/x"), status(ALICE, "/b/x"), status(BOB, "/b/x")), (403, 200, 401));
    // One wrong key, and everything stays as it was.
    config["client_keys"]["eve"] = json!({"key": "short"});
    write_private(&proxy.config_path(), &config.to_string());
    proxy.signal("HUP");
    proxy.complains("client_keys.eve.key: a key has at least 16 characters");
    assert_eq!((status(ALICE, "/a/x"), status(ALICE, "/b/x")), (403, 200));
    // Nobody has a key: nobody may come in. No such field: everybody may.
    config["client_keys"] = json!({});
    reload(&config, 2);
    assert_eq!((status(ALICE, "/b/x"), status(ALICE, "/open/x")), (401, 200));
    config.as_object_mut().expect("an object").remove("client_keys");
    reload(&config, 3);
    assert_eq!((status("nobodys", "/a/x"), status("nobodys", "/none")), (200, 404));
}

#[test]
fn a_key_is_good_until_its_time_by_the_clock_on_the_wall() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    // Long enough for the proxy to start, and short enough to wait for.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    config["client_keys"]["alice"]["expires"] = json!(soon.to_string());
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let start = Instant::now();
    let mut seen = Vec::new();
    crate::support::eventually("it is over", || {
        let (before, status) = (jiff::Timestamp::now(), client.ask(ask_as(ALICE, "/a/x")).status());
        // Nothing is said of the moment itself.
        assert!(status == if before < soon { 200 } else { 401 } || before + jiff::SignedDuration::from_secs(1) > soon);
        seen.push(status);
        status == 401
    });
    assert!(seen.len() > 1 || start.elapsed().as_secs() > 2, "it was good before");
    assert_eq!(client.ask(ask_as(ALICE, "/a/x")).json()["error"], "This API key has expired.");
}

#[test]
fn however_many_keys_there_are_each_is_found() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    for number in 0..20_000 {
        config["client_keys"][format!("client-{number}")] = json!({"key": format!("key-of-client-{number:08}")});
    }
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    for number in [0, 1, 9_999, 19_999] {
        let request = ask("/b/x", &format!("Authorization: Bearer key-of-client-{number:08}\r\n"));
        assert_eq!(client.ask(request).status(), 200);
        proxy.logged(|line| line["client"] == format!("client-{number}"));
    }
    assert_eq!(client.ask(ask("/b/x", "Authorization: Bearer key-of-client-00020000\r\n")).status(), 401);
}

#[test]
fn people_read_whose_key_it_was() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["server"] = json!({"log_format": "pretty", "language": "en"});
    let proxy = Proxy::start(&config);
    proxy.client().ask(ask_as(BOB, "/b/x"));
    proxy.says("   Client:           bob\n");
    proxy.client().ask(ask_as(ALICE, "/b/x"));
    proxy.says("the client key is not good for this route");
    proxy.client().ask(ask("/b/x", ""));
    proxy.says("the request has no client key  (#");
    proxy.client().ask(ask_as("nobody-has-this-key", "/b/x"));
    proxy.says("the request has no client key that is known");
    assert!(!proxy.out().contains("nobody-has"), "{}", proxy.out());
}
