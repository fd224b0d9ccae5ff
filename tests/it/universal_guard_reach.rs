//! Guards of universal routes with all else that a route can have: reloads, connections that are kept or shared,
//! upgrades, upstream proxies.

use serde_json::{Value, json};

use crate::support::http2::Http2Upstream;
use crate::support::{Proxy, Received, Upstream, eventually, http_proxy, socks_proxy, write_private};

fn config(mut rules: Value) -> Value {
    rules["universal_proxy"] = json!(true);
    json!({
        "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 1},
        "routes": {"u": rules},
    })
}

fn reload(proxy: &Proxy, rules: Value) {
    let before = proxy.out().matches("reloaded.").count();
    write_private(&proxy.config_path(), &config(rules).to_string());
    proxy.signal("HUP");
    eventually("it is reloaded", || proxy.out().matches("reloaded.").count() > before);
}

fn ask(proxy: &Proxy, target: &str, more: &str) -> Received {
    proxy.client().ask(format!("GET /u/{target} HTTP/1.1\r\nHost: proxy\r\n{more}\r\n"))
}

fn is_refused(answer: &Received) -> bool {
    let is_ours = answer.field("x-aqueduct-error") == Some("target_forbidden");
    assert_eq!(is_ours, answer.status() == 403, "{} {}", answer.head, answer.text());
    is_ours
}

/// Rules that refuse this machine by every kind of rule there is.
fn strict() -> [Value; 4] {
    [
        json!({"allow_private": false}),
        json!({"deny_hosts": ["127.0.0.0/8", "::1"]}),
        json!({"deny_hosts": ["localhost"]}),
        json!({"allow_hosts": ["api.example.com"]}),
    ]
}

#[test]
fn new_rules_hold_for_connections_that_were_made_under_the_old_ones() {
    let (kept, shared) = (Upstream::ok(), Http2Upstream::ok());
    let name = |url: String| url.replace("127.0.0.1", "localhost") + "/x";
    let targets = [name(kept.url()), name(shared.url())];
    for (http2, target) in [false, true].into_iter().zip(&targets) {
        let lax = || json!({"http2": http2});
        let proxy = Proxy::start(&config(lax()));
        for mut rules in strict() {
            assert_eq!(ask(&proxy, target, "").status(), 200);
            assert_eq!(ask(&proxy, target, "").status(), 200, "by a connection that is there");
            rules["http2"] = json!(http2);
            reload(&proxy, rules);
            assert!(is_refused(&ask(&proxy, target, "")), "{target}");
            reload(&proxy, lax());
        }
        assert_eq!(ask(&proxy, target, "").status(), 200, "and back");
    }
    assert_eq!(std::iter::from_fn(|| (!kept.has_no_request()).then_some(())).count(), 9);
    assert_eq!(shared.unseen(), 9);
}

#[test]
fn an_upgrade_is_guarded_like_any_request() {
    let upstream =
        Upstream::answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let target = upstream.url().replace("127.0.0.1", "localhost");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for mut rules in strict() {
        rules["upgrade"] = json!(true);
        let proxy = Proxy::start(&config(rules));
        assert!(is_refused(&ask(&proxy, &target, upgrade)));
    }
    let proxy = Proxy::start(&config(json!({"upgrade": true})));
    for never in
        ["http://169.254.169.254/", "http://metadata/", "http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/"]
    {
        assert!(is_refused(&ask(&proxy, never, upgrade)), "{never}");
    }
    assert!(upstream.has_no_request() && upstream.connections() == 0);
    assert_eq!(ask(&proxy, &target, upgrade).status(), 101);
}

#[test]
fn a_name_is_resolved_by_the_proxy_unless_a_rule_is_about_addresses() {
    // To a proxy of these tests every name stands for this machine.
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    for (way, scheme) in [(http_proxy(), "http"), (socks_proxy(), "socks5h")] {
        let proxy = |mut rules: Value| {
            rules["proxy"] = json!(format!("{scheme}://{}", way.address()));
            Proxy::start(&config(rules))
        };
        let target = format!("http://only-the-proxy-knows.invalid:{port}/x");
        // What can be seen is judged here, what cannot is the proxy's part.
        for rules in [json!({}), json!({"allow_hosts": ["*.invalid"]}), json!({"deny_hosts": ["*.example"]})] {
            assert_eq!(ask(&proxy(rules), &target, "").status(), 200, "{scheme}");
            upstream.request();
        }
        let before = way.connections();
        assert!(is_refused(&ask(&proxy(json!({"deny_hosts": ["*.invalid"]})), &target, "")));
        // A name of which this machine knows no address cannot be judged by its addresses, and is not passed on.
        for rules in [json!({"allow_private": false}), json!({"deny_hosts": ["10.0.0.0/8"]})] {
            let answer = ask(&proxy(rules), &target, "");
            assert_eq!(answer.field("x-aqueduct-error"), Some("upstream_dns"), "{scheme}: {}", answer.text());
        }
        assert_eq!(way.connections(), before, "{scheme}: the proxy was not asked");
    }
}

#[test]
fn what_can_be_seen_is_judged_before_http2_is_spoken() {
    let shared = Http2Upstream::ok();
    let proxy = Proxy::start(&config(json!({"http2": true, "deny_hosts": ["127.0.0.0/8"]})));
    let port = shared.url().rsplit(':').next().expect("a port").to_owned();
    for host in ["127.0.0.1", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"] {
        assert!(is_refused(&ask(&proxy, &format!("http://{host}:{port}/"), "")), "{host}");
    }
    assert_eq!(shared.connections(), 0);
}
