//! Where requests go: base path, keys, targets, methods, universal routes.

use serde_json::json;

use crate::support::{Proxy, Received, Upstream};

/// Sends a GET for this target and gives the request that the upstream got.
fn forwarded(proxy: &Proxy, upstream: &Upstream, target: &str) -> Received {
    let answer = proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: proxy\r\n\r\n"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{target}");
    upstream.request()
}

/// Sends a GET for this target that must not reach the upstream, and gives the answer.
fn refused(proxy: &Proxy, upstream: &Upstream, target: &str) -> Received {
    let answer = proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: proxy\r\n\r\n"));
    assert!(upstream.has_no_request(), "{target} was forwarded");
    answer
}

fn error(answer: &Received) -> (u16, String, String) {
    let json = answer.json();
    assert_eq!(answer.field("content-type"), Some("application/json"));
    assert_eq!(answer.field("x-aqueduct-error"), json["code"].as_str());
    let text = |name: &str| json[name].as_str().expect("a text").to_owned();
    (answer.status(), text("code"), text("error"))
}

#[test]
fn path_and_query_arrive_byte_for_byte() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    for rest in [
        "/v1/models",
        "/a%2Fb%3Fc%e4%2527",
        "/x?a=1&a=2",
        "/x?flag&x=",
        "/x?a=?b",
        "/x?",
        "//x//",
        "/models/gemini-pro:generateContent?alt=sse",
        "/a;b=c,d/(e)!*'@&=+$",
        "/%E4%B8%AD?q=%E6%96%87",
        "/中文?q=文",
        "/{}|^`<>\"[]",
        "/x?../..%2f\\%zz",
        "/...",
        "/.hidden/a..b",
    ] {
        assert_eq!(forwarded(&proxy, &upstream, &format!("/a{rest}")).target(), rest);
    }
}

#[test]
fn a_route_by_itself_leads_to_the_target_itself() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "bare": {"target_url": upstream.url()},
        "path": {"target_url": format!("{}/base/", upstream.url())},
        "query": {"target_url": format!("{}/base?api-version=1", upstream.url())},
    }}));
    for (target, seen) in [
        ("/bare", "/"),
        ("/bare/", "/"),
        ("/bare?x=1", "/?x=1"),
        ("/bare//", "//"),
        ("/path", "/base"),
        ("/path/", "/base"),
        ("/path/x", "/base/x"),
        ("/path//x/", "/base//x/"),
        ("/query", "/base?api-version=1"),
        ("/query/sub?x=2", "/base/sub?api-version=1&x=2"),
        ("/query/sub?", "/base/sub?api-version=1"),
    ] {
        assert_eq!(forwarded(&proxy, &upstream, target).target(), seen, "{target}");
    }
}

#[test]
fn keys_are_whole_decoded_and_case_sensitive() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "openai": {"target_url": upstream.url()},
        "智谱": {"target_url": upstream.url()},
        "off": {"target_url": upstream.url(), "enabled": false},
        "empty": {},
    }}));
    assert_eq!(forwarded(&proxy, &upstream, "/%6fpenai/x").target(), "/x");
    assert_eq!(forwarded(&proxy, &upstream, "/%E6%99%BA%E8%B0%B1/x").target(), "/x");
    for (target, key) in [
        ("/OpenAI/x", "OpenAI"),
        ("/openai2", "openai2"),
        ("/off/x", "off"),
        ("/empty", "empty"),
        ("/%E6%99%BA", "智"),
        ("/a%22b", "a\"b"),
        ("/openai%2Fx", "openai/x"),
    ] {
        let text = format!("Route '{key}' not found or is disabled.");
        assert_eq!(error(&refused(&proxy, &upstream, target)), (404, "route_not_found".into(), text), "{target}");
    }
}

#[test]
fn the_base_path_is_taken_off_once_if_it_is_there() {
    let upstream = Upstream::ok();
    for base_path in ["/byok", "byok/", "//byok//"] {
        let proxy = Proxy::start(&json!({
            "server": {"base_path": base_path},
            "routes": {"openai": {"target_url": upstream.url()}, "byok": {"target_url": format!("{}/inner", upstream.url())}},
        }));
        for (target, seen) in [
            ("/byok/openai/v1", "/v1"),
            ("/openai/v1", "/v1"),
            ("/byok//openai", "/"),
            ("/byok/byok/v1", "/inner/v1"),
            ("/%62yok/openai/v1", "/v1"),
        ] {
            assert_eq!(forwarded(&proxy, &upstream, target).target(), seen, "{target}");
        }
        for target in ["/byokopenai/v1", "/byokX/openai", "/BYOK/openai"] {
            assert_eq!(refused(&proxy, &upstream, target).status(), 404, "{target}");
        }
    }
}

#[test]
fn a_base_path_may_have_many_levels() {
    let upstream = Upstream::ok();
    let config = json!({"server": {"base_path": "/api/v1/proxy"}, "routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start(&config);
    assert_eq!(forwarded(&proxy, &upstream, "/api/v1/proxy/a/x").target(), "/x");
    assert_eq!(refused(&proxy, &upstream, "/api/v1/a/x").status(), 404);
}

#[test]
fn health_is_answered_here_and_asks_nobody() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let answer = refused(&proxy, &upstream, "/");
    assert_eq!(answer.status(), 200);
    assert!(
        answer.text().starts_with(r#"{"message": "Python Proxy is running.", "base_path": "(none)""#),
        "{}",
        answer.text()
    );
    assert_eq!(
        (answer.json()["name"].as_str(), answer.json()["version"].as_str()),
        (Some("Aqueduct"), Some(env!("CARGO_PKG_VERSION")))
    );
    let head = proxy.client().ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((head.status(), head.field("content-length")), (200, Some(answer.body.len().to_string().as_str())));
    let post = proxy.client().ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((error(&post).0, post.field("allow")), (405, Some("GET, HEAD")));

    let proxy = Proxy::start(&json!({"server": {"base_path": "/byok"}}));
    for target in ["/", "/byok", "/byok/", "/byok?x"] {
        let answer = proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((answer.status(), answer.json()["base_path"].as_str()), (200, Some("/byok")), "{target}");
    }
    let post = proxy.client().ask("POST /byok HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(error(&post), (400, "empty_path".into(), "Empty path after stripping base_path.".into()));
}

#[test]
fn paths_that_could_leave_the_prefix_are_refused() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": format!("{}/base", upstream.url())}}}));
    for rest in [
        "/../x",
        "/..",
        "/.",
        "/x/./y",
        "/%2e%2e/x",
        "/..%2fx",
        "/%2E%2E%2Fx",
        "/..%5cx",
        "/..\\x",
        "/..;/x",
        "/%2e%2e;a=b/x",
        "/x%00",
        "/x%0d%0a",
        "/%",
        "/%zz",
        "/x%2",
    ] {
        assert_eq!(error(&refused(&proxy, &upstream, &format!("/a{rest}"))).1, "bad_path", "{rest}");
    }
}

#[test]
fn absolute_targets_are_served_like_their_path() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let request = forwarded(&proxy, &upstream, "http://elsewhere:99/a/x?y");
    assert_eq!(request.target(), "/x?y");
    assert_eq!(request.fields("host"), [upstream.address().to_string()]);
    assert_eq!(refused(&proxy, &upstream, "http://elsewhere").status(), 200);
}

#[test]
fn all_methods_pass_but_trace_and_connect() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "get", "X-Y"] {
        let answer = proxy.client().ask(format!("{method} /a/x HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status(), 200, "{method}");
        assert_eq!(upstream.request().line(), format!("{method} /x HTTP/1.1"));
    }
    for line in ["TRACE /a/x", "TRACE /", "CONNECT h:443", "CONNECT /a/x", "OPTIONS *"] {
        let answer = proxy.client().ask(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(upstream.has_no_request());
        let status = if line == "CONNECT /a/x" { 400 } else { 405 };
        assert!(answer.status() == 405 || answer.status() == status, "{line}: {}", answer.status());
    }
}

#[test]
fn the_host_is_the_targets_unless_it_is_configured() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": upstream.url()},
        "b": {"target_url": upstream.url(), "custom_headers": {"host": "named.example"}},
    }}));
    assert_eq!(forwarded(&proxy, &upstream, "/a").fields("host"), [upstream.address().to_string()]);
    assert_eq!(forwarded(&proxy, &upstream, "/b").fields("host"), ["named.example"]);
}

#[test]
fn a_password_in_the_target_url_becomes_basic_authorization() {
    let upstream = Upstream::ok();
    let url = format!("http://user:p%40ss@{}", upstream.address());
    let proxy =
        Proxy::start(&json!({"routes": {"a": {"target_url": url, "custom_headers": {"Authorization": "other"}}}}));
    let request = forwarded(&proxy, &upstream, "/a");
    assert_eq!(request.fields("host"), [upstream.address().to_string()]);
    assert_eq!(request.fields("authorization"), ["Basic dXNlcjpwQHNz"]);
}

#[test]
fn a_route_without_target_is_a_mistake_of_the_operator() {
    let proxy = Proxy::start(
        &json!({"routes": {"a": {"enabled": true}, "b": {"target_url": ""}, "c": {"target_url": null, "proxy": null}}}),
    );
    for key in ["a", "b", "c"] {
        let answer = proxy.client().ask(format!("GET /{key}/x HTTP/1.1\r\nHost: h\r\n\r\n"));
        let text = format!("Route '{key}' is missing 'target_url' configuration.");
        assert_eq!(error(&answer), (500, "route_misconfigured".into(), text));
    }
}

#[test]
fn universal_routes_take_their_target_from_the_path() {
    let upstream = Upstream::ok();
    let address = upstream.address();
    let proxy = Proxy::start(&json!({"routes": {"proxy": {
        "universal_proxy": true, "target_url": "http://ignored.invalid", "custom_headers": {"X-Ours": "1"},
    }}}));
    for (rest, seen) in [
        (format!("http://{address}/v1/x?a=1&a=2"), "/v1/x?a=1&a=2"),
        (format!("http:/{address}/v1"), "/v1"),
        (format!("HTTP://{address}"), "/"),
        (format!("http://{address}?x=1"), "/?x=1"),
        (format!("http%3A%2F%2F{address}%2Fx"), "/x"),
        (format!("http%3a//{address}/x%2520y?q"), "/x%20y?q"),
        (format!("http://{address}/a%2Fb//c/"), "/a%2Fb//c/"),
    ] {
        let request = forwarded(&proxy, &upstream, &format!("/proxy/{rest}"));
        assert_eq!(request.target(), seen, "{rest}");
        assert_eq!((request.fields("host"), request.field("x-ours")), (vec![address.to_string().as_str()], Some("1")));
    }
    let request = forwarded(&proxy, &upstream, &format!("/proxy/http://u:p@{address}/x"));
    assert_eq!(
        (request.fields("host"), request.fields("authorization")),
        (vec![address.to_string().as_str()], vec!["Basic dTpw"])
    );
}

#[test]
fn universal_targets_that_are_no_urls_are_refused_with_help() {
    let upstream = Upstream::ok();
    let address = upstream.address();
    let proxy = Proxy::start(&json!({"routes": {"proxy": {"universal_proxy": true}}}));
    for rest in [
        String::new(),
        "/".into(),
        format!("/{address}/x"),
        format!("/ftp://{address}/x"),
        "/file:///etc/passwd".into(),
        format!("/http:///{address}"),
        format!("/http://good.com@{address}/"),
        format!("/http://a:b@c@{address}/"),
        format!("/http://{address}%2f/"),
        "/http://a\\b/".into(),
        "/http://127.0.0.1:0/".into(),
        "/http://127.0.0.1:99999/".into(),
        format!("/http%3A%2F%2F{address}%2F%0d%0aX:%20y"),
    ] {
        let (status, code, text) = error(&refused(&proxy, &upstream, &format!("/proxy{rest}")));
        assert_eq!((status, code.as_str()), (400, "bad_target_url"), "{rest}");
        assert!(
            text.starts_with("Invalid target URL format: '") && text.contains("/proxy/https://host/path"),
            "{text}"
        );
    }
}
