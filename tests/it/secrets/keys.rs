//! A route's key goes to the route's own host and to nobody else, whatever is done to get it elsewhere.
//!
//! Other ways to try have their tests where they belong: paths that leave a prefix (`hostile::paths`), fields that
//! `Connection` names (`hostile::fields`), authorities of universal targets (`hostile::universal`, `universal_guard`),
//! logins of upstream proxies (`ways_out`, `ways_out_tunnels`), certificates of others (`tls`), requests that are sent
//! again (`reuse`), switched connections (`upgrades`).

use serde_json::{Value, json};

use crate::support::http2::{Http2Client, Http2Upstream, get, run};
use crate::support::{Proxy, Upstream, eventually, http_proxy, write_private};

const KEY: &str = "Bearer of-the-route";
const OTHER_KEY: &str = "Bearer of-the-other";

fn config(routes: &Value) -> Value {
    json!({
        "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 1},
        "force_header_overwrite": true,
        "routes": routes,
    })
}

fn keyed(url: &str, key: &str) -> Value {
    json!({"target_url": url, "custom_headers": {"Authorization": key}})
}

/// Puts these routes in force.
fn reload(proxy: &Proxy, routes: &Value) {
    let before = proxy.out().matches("reloaded.").count();
    write_private(&proxy.config_path(), &config(routes).to_string());
    proxy.signal("HUP");
    eventually("it is reloaded", || proxy.out().matches("reloaded.").count() > before);
}

#[test]
fn no_answer_leads_a_key_elsewhere() {
    let other = Upstream::ok();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "300 Choose", "401 No"]
    {
        let url = other.url();
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: {url}/x\r\nContent-Location: {url}/y\r\nRefresh: 0; url={url}/z\r\n\
             Alt-Svc: h2=\"{}\"; ma=86400\r\nLink: <{url}>; rel=preload\r\nContent-Length: 0\r\n\r\n",
            other.address()
        );
        let own = Upstream::answering(&answer);
        let proxy = Proxy::start(&config(&json!({"a": keyed(&own.url(), KEY)})));
        let mut client = proxy.client();
        for method in ["GET", "POST"] {
            let heard = client.ask(format!("{method} /a/x HTTP/1.1\r\nHost: p\r\n\r\n"));
            assert_eq!(heard.field("location"), Some(format!("{url}/x").as_str()), "it is the client's to follow");
            assert_eq!(heard.head.get(9..12), status.get(..3));
            assert_eq!(own.request().field("authorization"), Some(KEY));
        }
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn no_name_that_a_client_says_leads_a_key_elsewhere() {
    let (own, other) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&json!({"a": keyed(&own.url(), KEY)})));
    let there = other.address().to_string();
    for request in [
        format!("GET /a/x HTTP/1.1\r\nHost: {there}\r\n\r\n"),
        format!("GET http://{there}/a/x HTTP/1.1\r\nHost: {there}\r\n\r\n"),
        format!("GET http://{there}/a/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET http://u:p@{there}/a/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!(
            "GET /a/x HTTP/1.1\r\nHost: p\r\nX-Forwarded-Host: {there}\r\nForwarded: host={there}\r\nX-Original-URL: http://{there}/\r\n\r\n"
        ),
        format!("GET /a/http://{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a//{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a@{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a%40{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a?@{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a:80@{there}/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("GET /a/x HTTP/1.1\r\nHost: p\r\nAlt-Used: {there}\r\nDestination: http://{there}/\r\n\r\n"),
    ] {
        let status = proxy.client().ask(&request).status();
        if status == 200 {
            let seen = own.request();
            let host = own.address().to_string();
            assert_eq!(
                (seen.fields("host"), seen.fields("authorization")),
                (vec![host.as_str()], vec![KEY]),
                "{request}"
            );
        } else {
            assert!(matches!(status, 400 | 404), "{request}: {status}");
        }
    }
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let mut request = get("/a/x");
        *request.uri_mut() = format!("http://{there}/a/x").parse().expect("a URI");
        assert_eq!(client.ask(request, b"").await.status, 200);
    });
    let host = own.address().to_string();
    assert_eq!(own.request().fields("host"), [host.as_str()]);
    assert!(own.has_no_request());
    assert_eq!(other.connections(), 0);
}

#[test]
fn routes_to_one_host_share_connections_and_no_keys() {
    let own = Upstream::ok();
    let universal = json!({"universal_proxy": true, "custom_headers": {"X-Universal": "1"}});
    let routes = json!({"a": keyed(&own.url(), KEY), "b": keyed(&own.url(), OTHER_KEY), "c": {"target_url": own.url()}, "u": universal});
    let proxy = Proxy::start(&config(&routes));
    let mut client = proxy.client();
    for _ in 0..3 {
        for (path, key, universal) in [
            ("/a/x".to_owned(), Some(KEY), None),
            ("/b/x".to_owned(), Some(OTHER_KEY), None),
            ("/c/x".to_owned(), None, None),
            (format!("/u/{}/x", own.url()), None, Some("1")),
        ] {
            assert_eq!(client.ask(format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n")).status(), 200);
            let seen = own.request();
            assert_eq!((seen.field("authorization"), seen.field("x-universal")), (key, universal), "{path}");
        }
    }
    assert!(own.connections() <= 2, "one for the routes with a target, one for those that are guarded");
}

#[test]
fn streams_of_one_connection_carry_their_own_keys() {
    let own = Http2Upstream::ok();
    let mut routes =
        json!({"a": keyed(&own.url(), KEY), "b": keyed(&own.url(), OTHER_KEY), "u": {"universal_proxy": true}});
    for name in ["a", "b", "u"] {
        routes[name]["http2"] = json!(true);
    }
    let proxy = Proxy::start(&config(&routes));
    let mut client = proxy.client();
    for _ in 0..3 {
        for (path, key) in
            [("/a".to_owned(), Some(KEY)), ("/b".into(), Some(OTHER_KEY)), (format!("/u/{}", own.url()), None)]
        {
            assert_eq!(client.ask(format!("GET {path}/x HTTP/1.1\r\nHost: p\r\n\r\n")).status(), 200);
            let seen = own.asked().headers;
            assert_eq!(seen.get("authorization").map(http::HeaderValue::as_bytes), key.map(str::as_bytes), "{path}");
        }
    }
}

#[test]
fn a_reload_takes_keys_and_targets_away_from_kept_connections() {
    let (old, new) = (Upstream::ok(), Upstream::ok());
    let get = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";
    let proxy = Proxy::start(&config(&json!({"a": keyed(&old.url(), KEY)})));
    let mut client = proxy.client();
    let mut asks = |upstream: &Upstream, key: Option<&str>| {
        assert_eq!(client.ask(get).status(), 200);
        assert_eq!(upstream.request().field("authorization"), key);
    };
    asks(&old, Some(KEY));
    // Another key for the same host: the kept connection carries it.
    reload(&proxy, &json!({"a": keyed(&old.url(), OTHER_KEY)}));
    asks(&old, Some(OTHER_KEY));
    assert_eq!(old.connections(), 1);
    // Another host: the old one is not asked again.
    reload(&proxy, &json!({"a": keyed(&new.url(), KEY)}));
    asks(&new, Some(KEY));
    // The key is gone, and the other route has it now.
    reload(&proxy, &json!({"a": {"target_url": old.url()}, "b": keyed(&new.url(), KEY)}));
    asks(&old, None);
    assert!(old.has_no_request() && new.has_no_request());
}

#[test]
fn a_reload_takes_keys_and_targets_away_from_shared_connections() {
    let (old, new) = (Http2Upstream::ok(), Http2Upstream::ok());
    let route = |upstream: &Http2Upstream, key: &str| {
        let mut route = keyed(&upstream.url(), key);
        route["http2"] = json!(true);
        json!({"a": route})
    };
    let proxy = Proxy::start(&config(&route(&old, KEY)));
    let mut client = proxy.client();
    let mut asks = |upstream: &Http2Upstream, key: &str| {
        assert_eq!(client.ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
        assert_eq!(upstream.asked().headers["authorization"], key);
    };
    asks(&old, KEY);
    reload(&proxy, &route(&old, OTHER_KEY));
    asks(&old, OTHER_KEY);
    assert_eq!(old.connections(), 1);
    reload(&proxy, &route(&new, KEY));
    asks(&new, KEY);
    assert_eq!((old.unseen(), new.unseen()), (0, 0));
}

#[test]
fn a_request_under_way_keeps_the_host_and_the_key_it_began_with() {
    let (old, new) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&json!({"a": keyed(&old.url(), KEY)})));
    let mut client = proxy.client();
    client.send("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\nhello");
    eventually("the upstream is connected to", || old.connections() == 1);
    reload(&proxy, &json!({"a": keyed(&new.url(), OTHER_KEY)}));
    assert_eq!(client.send("world").answer().status(), 200);
    let seen = old.request();
    assert_eq!((seen.field("authorization"), seen.text().as_str()), (Some(KEY), "helloworld"));
    assert_eq!(new.connections(), 0);
}

#[test]
fn a_tunnel_hides_the_key_and_the_target_learns_no_login() {
    let upstream = Upstream::ok();
    // What takes a tunnel through an HTTP proxy although the target speaks in the clear.
    let own = Http2Upstream::ok();
    let way = http_proxy();
    let through = |login: &str, url: &str| {
        let mut route = keyed(url, KEY);
        route["proxy"] = json!(format!("http://{login}@{}", way.address()));
        route
    };
    let routes = |login: &str| {
        let mut routes = json!({"h2": through(login, &own.url()), "ws": through(login, &upstream.url())});
        routes["h2"]["http2"] = json!(true);
        routes
    };
    let proxy = Proxy::start(&config(&routes("user:first")));
    let login = |password: &str| {
        let value = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("user:{password}"));
        format!("Basic {value}")
    };
    for (password, reloaded) in [("first", false), ("second", true)] {
        if reloaded {
            reload(&proxy, &routes("user:second"));
        }
        assert_eq!(proxy.client().ask("GET /h2/x HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(proxy.client().ask(format!("GET /ws/x HTTP/1.1\r\nHost: p\r\n{upgrade}\r\n")).status(), 200);
        for _ in 0..2 {
            let asked = way.request();
            assert!(asked.line().starts_with("CONNECT "), "{}", asked.line());
            assert_eq!(
                (asked.field("proxy-authorization"), asked.field("authorization")),
                (Some(login(password).as_str()), None)
            );
        }
        let seen = own.asked().headers;
        assert!(!seen.contains_key("proxy-authorization") && seen["authorization"] == KEY);
        let seen = upstream.request();
        assert_eq!((seen.field("proxy-authorization"), seen.field("authorization")), (None, Some(KEY)));
    }
}

#[test]
fn what_a_client_says_to_a_proxy_of_its_own_goes_to_nobody() {
    let upstream = Upstream::ok();
    let way = Upstream::ok();
    let mut through = keyed("http://target.invalid", KEY);
    through["proxy"] = json!(way.url());
    let proxy = Proxy::start(&config(&json!({"a": keyed(&upstream.url(), KEY), "way": through})));
    for (path, upstream) in [("/a", &upstream), ("/way", &way)] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: p\r\nProxy-Authorization: Basic theirs\r\nProxy-Connection: close\r\n\r\n"
        );
        assert_eq!(proxy.client().ask(request).status(), 200);
        let seen = upstream.request();
        assert_eq!((seen.field("proxy-authorization"), seen.field("authorization")), (None, Some(KEY)));
    }
}
