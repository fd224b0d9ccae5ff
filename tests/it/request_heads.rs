//! Request headers: what passes, what is added, what stays behind.

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Upstream};

fn forwarded(proxy: &Proxy, upstream: &Upstream, request: &str) -> Received {
    let answer = proxy.client().ask(request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    upstream.request()
}

fn route(upstream: &Upstream, more: &Value) -> Value {
    let mut route = json!({"target_url": upstream.url()});
    route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    route
}

#[test]
fn headers_pass_with_their_names_values_order_and_repetition() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let request = forwarded(
        &proxy,
        &upstream,
        "GET /a/x HTTP/1.1\r\nx-lower: 1\r\nHOST: proxy\r\nX_Under:2\r\nCookie: a=1\r\nX-UTF8: é中\r\nCookie: b=2\r\nEmpty:\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    );
    let expected = format!(
        "GET /x HTTP/1.1\r\nx-lower: 1\r\nHost: {}\r\nX_Under:2\r\nCookie: a=1\r\nX-UTF8: é中\r\nCookie: b=2\r\nEmpty:\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        upstream.address()
    );
    assert_eq!(request.head, expected);
}

#[test]
fn nothing_is_invented() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let host = format!("Host: {}\r\n", upstream.address());
    let head = |request: &str| forwarded(&proxy, &upstream, request).head;
    assert_eq!(head("GET /a HTTP/1.1\r\nHost: p\r\n\r\n"), format!("GET / HTTP/1.1\r\n{host}\r\n"));
    assert_eq!(head("DELETE /a HTTP/1.1\r\nHost: p\r\n\r\n"), format!("DELETE / HTTP/1.1\r\n{host}\r\n"));
    assert_eq!(
        head("POST /a HTTP/1.1\r\nHost: p\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n")
    );
    assert_eq!(head("GET /a HTTP/1.0\r\n\r\n"), format!("GET / HTTP/1.1\r\n{host}\r\n"));
}

#[test]
fn fields_of_the_connection_stay_behind() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(
        &json!({"routes": {"a": route(&upstream, &json!({"custom_headers": {"Authorization": "Bearer ours"}}))}}),
    );
    let request = forwarded(
        &proxy,
        &upstream,
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: keep-alive, X-Hop, Authorization, Host\r\nX-Hop: 1\r\nAuthorization: Bearer theirs\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: Basic x\r\nX-End: 1\r\n\r\n",
    );
    assert_eq!(request.names(), ["Host", "X-End", "Authorization"]);
    assert_eq!(request.fields("authorization"), ["Bearer ours"]);
}

#[test]
fn the_client_comes_first_or_the_configuration_does() {
    let upstream = Upstream::ok();
    let headers = json!({"Authorization": "Bearer ours", "X-B": "ours"});
    let proxy = Proxy::start(&json!({
        "force_header_overwrite": true,
        "routes": {
            "inherits": route(&upstream, &json!({"custom_headers": headers})),
            "client": route(&upstream, &json!({"custom_headers": headers, "force_header_overwrite": false})),
            "null": route(&upstream, &json!({"custom_headers": headers, "force_header_overwrite": null})),
        },
    }));
    let authorization = |key: &str, sent: &str| {
        let request = forwarded(&proxy, &upstream, &format!("GET /{key} HTTP/1.1\r\nHost: p\r\n{sent}\r\n"));
        assert_eq!(request.fields("x-b"), ["ours"]);
        request.fields("authorization").join(" | ")
    };
    let theirs = "authorization: Bearer theirs\r\nAUTHORIZATION: again\r\n";
    assert_eq!(authorization("inherits", theirs), "Bearer ours");
    assert_eq!(authorization("null", theirs), "Bearer ours");
    assert_eq!(authorization("client", theirs), "Bearer theirs | again");
    assert_eq!(authorization("client", ""), "Bearer ours");
    assert_eq!(authorization("inherits", ""), "Bearer ours");
}

#[test]
fn a_route_can_put_the_configuration_first_by_itself() {
    let upstream = Upstream::ok();
    let more = json!({"custom_headers": {"X-Key": "ours"}, "force_header_overwrite": true});
    let proxy = Proxy::start(&json!({"routes": {"a": route(&upstream, &more)}}));
    let request = forwarded(&proxy, &upstream, "GET /a HTTP/1.1\r\nHost: p\r\nx-key: theirs\r\n\r\n");
    assert_eq!(request.fields("x-key"), ["ours"]);
}

#[test]
fn dropped_headers_count_as_absent() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({
        "headers_to_drop": ["x-FORWARDED-for", "Authorization"],
        "routes": {"a": route(&upstream, &json!({"custom_headers": {"Authorization": "ours", "X-Forwarded-For": "ours"}}))},
    }));
    let request = forwarded(
        &proxy,
        &upstream,
        "GET /a HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 1\r\nx-forwarded-for: 2\r\nauthorization: theirs\r\nX-Kept: 1\r\n\r\n",
    );
    assert_eq!((request.fields("authorization"), request.fields("x-forwarded-for")), (vec!["ours"], vec!["ours"]));
    assert_eq!(request.field("x-kept"), Some("1"));
}

#[test]
fn answers_are_not_dropped_from() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nX-Real-Ip: 1\r\nContent-Length: 0\r\n\r\n");
    let proxy = Proxy::start(&json!({"headers_to_drop": ["x-real-ip"], "routes": {"a": route(&upstream, &json!({}))}}));
    assert_eq!(proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n").field("x-real-ip"), Some("1"));
}

#[test]
fn configured_values_are_sent_as_text() {
    let upstream = Upstream::ok();
    let headers =
        json!({"X-Number": 2023, "X-Float": 1.5, "X-True": true, "X-Text": "中文 é", "X-Null": null, "X-Space": " a "});
    let proxy = Proxy::start(&json!({"routes": {"a": route(&upstream, &json!({"custom_headers": headers}))}}));
    let request = forwarded(&proxy, &upstream, "GET /a HTTP/1.1\r\nHost: p\r\n\r\n");
    for (name, value) in
        [("X-Number", "2023"), ("X-Float", "1.5"), ("X-True", "true"), ("X-Text", "中文 é"), ("X-Space", "a")]
    {
        assert_eq!(request.fields(name), [value], "{name}");
    }
    assert_eq!(request.field("x-null"), None);
}

#[test]
fn configured_headers_keep_the_order_of_the_file() {
    let upstream = Upstream::ok();
    let config = format!(
        r#"{{"server": {{"host": "127.0.0.1", "port": 0}}, "routes": {{"a": {{"target_url": "{}", "custom_headers": {{"Z": "1", "A": "2", "M": "3"}}}}}}}}"#,
        upstream.url()
    );
    let proxy = Proxy::start_text(&config, |_| {});
    assert_eq!(forwarded(&proxy, &upstream, "GET /a HTTP/1.1\r\nHost: p\r\n\r\n").names(), ["Host", "Z", "A", "M"]);
}

#[test]
fn netrc_is_never_read() {
    let upstream = Upstream::ok();
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join(".netrc"), "machine 127.0.0.1 login u password p\n").expect("a file");
    let proxy = Proxy::start_with(&json!({"routes": {"a": route(&upstream, &json!({}))}}), |command| {
        command.env("HOME", home.path()).env("NETRC", home.path().join(".netrc"));
    });
    assert_eq!(forwarded(&proxy, &upstream, "GET /a HTTP/1.1\r\nHost: p\r\n\r\n").field("authorization"), None);
}
