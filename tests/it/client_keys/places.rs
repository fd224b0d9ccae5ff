//! Every place in which a key may stand, and what the upstream sees of it: nothing.

use std::io;

use h2::client::Builder;
use h2::ext::Protocol;
use http::Request;
use serde_json::{Value, json};

use super::{ALICE, BOB, CAROL, DAVE, EVE, answer, ask, client_keys, config, forbidden, proxy, told, unauthorized};
use crate::support::http2::{Http2Client, get, run};
use crate::support::{Proxy, Received, Upstream, eventually};
use crate::upgrades::SWITCH;

/// Fails if any key of a client stands anywhere in what an upstream got.
fn no_key_in(seen: &Received) {
    for key in ["alice-key", "bob-key", "carol-key", "dave-key", "eve-key", "x-aqueduct-key"] {
        let head = percent_encoding::percent_decode_str(&seen.head).decode_utf8_lossy().to_ascii_lowercase();
        assert!(!head.contains(key), "{}", seen.head);
    }
}

#[test]
fn programs_may_put_it_where_they_put_keys() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    for key in [ALICE, BOB, CAROL] {
        for field in [
            format!("Authorization: Bearer {key}"),
            format!("authorization: bearer  {key} "),
            format!("X-Api-Key: {key}"),
            format!("api-key: {key}"),
            format!("x-goog-api-key: {key}"),
            format!("x-aqueduct-key: {key}"),
            format!("X-AQUEDUCT-KEY:{key}"),
        ] {
            let answer = answer(&proxy, "/a/v1?x=%2f&x", &format!("X-One: 1\r\n{field}\r\nX-Two: 2\r\n"));
            assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()), "{field}");
            let seen = upstream.request();
            assert_eq!(seen.target(), "/v1?x=%2f&x");
            no_key_in(&seen);
            // What is taken out counts as not sent: the provider's own key takes its place, and everything else stays.
            assert_eq!(seen.fields("authorization"), ["Bearer provider-key"], "{field}");
            assert_eq!(seen.fields("x-api-key"), ["provider-key"], "{field}");
            assert_eq!(seen.names()[..3], ["Host", "X-One", "X-Two"], "{field}");
        }
    }
    let logged = |name: &str| proxy.log().iter().filter(|line| line["client"] == name).count();
    eventually("every request is on record", || ["alice", "bob", "carol"].map(logged) == [7; 3]);
}

#[test]
fn it_may_stand_in_the_query() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let percent: String = BOB.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for (query, rest) in [
        (format!("?key={ALICE}"), ""),
        (format!("?key={percent}&a=%2F%2f&a=+&&b"), "?a=%2F%2f&a=+&&b"),
        (format!("?a=1&%6Bey={percent}"), "?a=1"),
        (format!("?a=1&key={CAROL}&key=provider-key-0123456789&b"), "?a=1&key=provider-key-0123456789&b"),
        (format!("?key={ALICE}&key={CAROL}&key={EVE}"), ""),
    ] {
        assert_eq!(answer(&proxy, &format!("/a/v1{query}"), "").status(), 200, "{query}");
        let seen = upstream.request();
        assert_eq!(seen.target(), format!("/v1{rest}"), "{query}");
        no_key_in(&seen);
    }
    // What is no key is not touched, and proves nothing.
    for query in [format!("?KEY={ALICE}"), format!("?key={ALICE}+"), format!("?x=key={ALICE}"), format!("?{ALICE}")] {
        assert_eq!(told(&answer(&proxy, &format!("/a/v1{query}"), "")), unauthorized(), "{query}");
        assert_eq!(answer(&proxy, &format!("/open/v1{query}"), "").status(), 200, "{query}");
        assert_eq!(upstream.request().target(), format!("/v1{query}"));
    }
    let is_forwarded = |line: &Value| line["status"] == 200 && line["route"] == "a";
    eventually("every request is on record", || proxy.log().iter().filter(|line| is_forwarded(line)).count() == 5);
    for line in proxy.log().iter().filter(|line| is_forwarded(line)) {
        let path = line["path"].as_str().expect("a path");
        assert!(path.contains("=***") && !path.contains("-key-0123456789"), "{path}");
    }
}

#[test]
fn a_query_of_the_operators_is_not_looked_at() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["routes"]["a"]["target_url"] = json!(format!("{}/base?key={ALICE}", upstream.url()));
    let proxy = Proxy::start(&config);
    assert_eq!(told(&answer(&proxy, "/a/x", "")), unauthorized());
    assert_eq!(answer(&proxy, &format!("/a/x?b=1&key={BOB}"), "").status(), 401, "a raw % is none that decodes to it");
    assert_eq!(answer(&proxy, &format!("/a/x?b=1&key={CAROL}"), "").status(), 200);
    assert_eq!(upstream.request().target(), format!("/base/x?key={ALICE}&b=1"));
}

#[test]
fn whoever_brings_a_key_for_the_provider_keeps_it() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let theirs = "Authorization: Bearer sk-ant-oat01-their-own-token\r\nx-api-key: their-own-key-0123456789\r\n";
    let fields = format!("{theirs}x-aqueduct-key: {ALICE}\r\nx-api-key: {EVE}\r\napi-key: {DAVE}\r\n");
    assert_eq!(answer(&proxy, "/a/v1?key=theirs-0123456789", &fields).status(), 200);
    let seen = upstream.request();
    no_key_in(&seen);
    assert_eq!(seen.fields("authorization"), ["Bearer sk-ant-oat01-their-own-token"]);
    assert_eq!(seen.fields("x-api-key"), ["their-own-key-0123456789"]);
    assert_eq!((seen.target(), seen.field("api-key")), ("/v1?key=theirs-0123456789", None));
    // Without a key for the proxy that is nobody's.
    assert_eq!(told(&answer(&proxy, "/a/v1", theirs)), unauthorized());
    // Keys of others beside it are taken out as well.
    let fields = format!("Authorization: Bearer {ALICE}\r\nx-api-key: {CAROL}\r\nx-aqueduct-key: {BOB}\r\n");
    assert_eq!(answer(&proxy, "/b/v1", &fields).status(), 200);
    no_key_in(&upstream.request());
    assert_eq!(proxy.logged(|line| line["route"] == "b")["client"], "bob");
}

#[test]
fn a_key_that_is_good_for_nothing_is_taken_out_as_well() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    for (key, name) in [(DAVE, "dave"), (EVE, "eve")] {
        for place in ["Authorization: Bearer ", "x-api-key: ", "api-key: ", "x-goog-api-key: ", "x-aqueduct-key: "] {
            let fields = format!("{place}{key}\r\n");
            let refused = answer(&proxy, "/a/v1", &fields);
            assert_eq!(told(&refused), unauthorized(), "{fields}");
            assert!(upstream.has_no_request());
            // Everybody may use this one, whatever his key is worth.
            assert_eq!(answer(&proxy, "/open/v1", &fields).status(), 200);
            no_key_in(&upstream.request());
        }
        assert_eq!(answer(&proxy, &format!("/open/v1?key={key}&a"), "").status(), 200);
        let seen = upstream.request();
        assert_eq!(seen.target(), "/v1?a");
        assert_eq!(proxy.logged(|line| line["client"] == name && line["status"] == 401)["code"], "unauthorized");
    }
    // Ours never passes, whatever stands in it.
    assert_eq!(answer(&proxy, "/open/v1", "x-aqueduct-key: nobodys\r\nx-api-key: nobodys\r\n").status(), 200);
    let seen = upstream.request();
    assert_eq!((seen.field("x-aqueduct-key"), seen.field("x-api-key")), (None, Some("nobodys")));
    let without = Proxy::to(&upstream);
    assert_eq!(answer(&without, "/a/v1", "x-aqueduct-key: nobodys\r\nx-api-key: nobodys\r\n").status(), 200);
    let seen = upstream.request();
    assert_eq!((seen.field("x-aqueduct-key"), seen.field("x-api-key")), (None, Some("nobodys")));
}

#[test]
fn whoever_comes_first_a_key_for_the_proxy_counts_as_not_sent() {
    let upstream = Upstream::ok();
    for force in [true, false] {
        let mut config = config(&upstream);
        config["force_header_overwrite"] = json!(force);
        // What is dropped on its way out is looked at before that.
        config["headers_to_drop"] = json!(["api-key", "X-Aqueduct-Key"]);
        let proxy = Proxy::start(&config);
        for field in
            [format!("Authorization: Bearer {ALICE}"), format!("api-key: {ALICE}"), format!("x-aqueduct-key: {ALICE}")]
        {
            // That a connection may strip it changes nothing either.
            for more in ["", "Connection: authorization, api-key, x-aqueduct-key\r\n"] {
                assert_eq!(answer(&proxy, "/a/x", &format!("{field}\r\n{more}")).status(), 200, "{field}");
                let seen = upstream.request();
                no_key_in(&seen);
                assert_eq!(seen.fields("authorization"), ["Bearer provider-key"], "{field}");
            }
        }
        let fields = format!("x-aqueduct-key: {ALICE}\r\nAuthorization: Bearer their-own-token\r\n");
        assert_eq!(answer(&proxy, "/a/x", &fields).status(), 200);
        let expected = if force { "Bearer provider-key" } else { "Bearer their-own-token" };
        assert_eq!(upstream.request().fields("authorization"), [expected]);
    }
    // Another of our kind may stand behind, with keys of its own.
    let mut config = config(&upstream);
    config["routes"]["a"]["custom_headers"] = json!({"x-aqueduct-key": "for-the-next-one"});
    let proxy = Proxy::start(&config);
    assert_eq!(answer(&proxy, "/a/x", &format!("x-aqueduct-key: {ALICE}\r\n")).status(), 200);
    assert_eq!(upstream.request().fields("x-aqueduct-key"), ["for-the-next-one"]);
}

/// An upstream that takes every upgrade, and chooses this subprotocol.
fn choosing(protocol: Option<&'static str>) -> Upstream {
    Upstream::playing(move |script| {
        script.request()?;
        let line = protocol.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n\r\n"));
        script.send(line.map_or_else(|| SWITCH.to_owned(), |line| SWITCH.trim_end().to_owned() + "\r\n" + &line))?;
        script.until_end().map(|_| ()).or(Ok::<(), io::Error>(()))
    })
}

fn websocket(path: &str, fields: &str) -> String {
    ask(path, &format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{fields}"))
}

#[test]
fn a_page_in_a_browser_puts_it_into_a_subprotocol() {
    let upstream = choosing(Some("realtime"));
    let proxy = proxy(&upstream);
    let offer = |list: &str| format!("Sec-WebSocket-Protocol: {list}\r\n");
    let ours = format!("openai-insecure-api-key.{ALICE}");
    let fields = offer(&format!("realtime, {ours}, openai-beta.realtime-v1"));
    let mut client = proxy.client();
    client.send(websocket("/a/v1/realtime", &fields));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Sec-WebSocket-Protocol: realtime\r\n"), "{head}");
    let seen = upstream.request();
    no_key_in(&seen);
    assert_eq!(seen.fields("sec-websocket-protocol"), ["realtime, openai-beta.realtime-v1"]);
    assert_eq!(seen.fields("authorization"), ["Bearer provider-key"]);
    drop(client);
    let line = proxy.logged(|line| line["status"] == 101);
    assert_eq!((&line["client"], &line["route"]), (&json!("alice"), &json!("a")));

    // His own key for the provider goes on, in the same form.
    let theirs = "openai-insecure-api-key.sk-their-own-0123456789";
    let mut client = proxy.client();
    client.send(websocket("/b/v1/realtime", &offer(&format!("realtime, {theirs}, openai-insecure-api-key.{CAROL}"))));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(upstream.request().fields("sec-websocket-protocol"), [format!("realtime, {theirs}")]);
    let mut client = proxy.client();
    for (path, list, refusal) in [
        ("/b/v1", format!("realtime, {ours}"), forbidden()),
        ("/a/v1", format!("realtime, {theirs}"), unauthorized()),
        ("/a/v1", format!("realtime, openai-insecure-api-key.{EVE}"), unauthorized()),
        ("/a/v1", "realtime".to_owned(), unauthorized()),
    ] {
        // A refusal is an ordinary answer, and the connection stays.
        assert_eq!(told(&client.ask(websocket(path, &offer(&list)))), refusal, "{list}");
    }
    assert!(upstream.has_no_request());
}

#[test]
fn a_browser_that_offers_nothing_but_a_key_hears_that_it_was_chosen() {
    // Whoever offers subprotocols and is told of none, breaks off the connection.
    let upstream = choosing(None);
    let proxy = proxy(&upstream);
    let ours = format!("openai-insecure-api-key.{ALICE}");
    let mut client = proxy.client();
    client.send(websocket("/a/v1", &format!("Sec-WebSocket-Protocol: {ours}\r\n")));
    let head = client.head();
    assert!(head.contains(&format!("\r\nSec-WebSocket-Protocol: {ours}\r\n")), "{head}");
    let seen = upstream.request();
    assert_eq!(seen.field("sec-websocket-protocol"), None);
    no_key_in(&seen);
    // If the upstream was offered others and chose none, that is its answer.
    let mut client = proxy.client();
    client.send(websocket("/a/v1", &format!("Sec-WebSocket-Protocol: {ours}, x\r\n")));
    assert!(!client.head().contains("Sec-WebSocket-Protocol"));
    assert_eq!(upstream.request().fields("sec-websocket-protocol"), ["x"]);
}

#[test]
fn clients_that_speak_http_2_have_the_same_places() {
    let upstream = Upstream::ok();
    let switching = choosing(Some("realtime"));
    let mut config = config(&upstream);
    config["routes"]["b"]["target_url"] = json!(switching.url());
    let proxy = Proxy::start(&config);
    run(async {
        let mut client = Http2Client::connect_as(proxy.address(), &Builder::new()).await;
        for (name, value) in [
            ("authorization", format!("Bearer {ALICE}")),
            ("x-api-key", ALICE.to_owned()),
            ("api-key", ALICE.to_owned()),
            ("x-goog-api-key", ALICE.to_owned()),
            ("x-aqueduct-key", ALICE.to_owned()),
        ] {
            let mut request = get("/a/v1?a=1");
            request.headers_mut().insert(name, value.parse().expect("a value"));
            assert_eq!(client.ask(request, b"").await.status, 200, "{name}");
        }
        assert_eq!(client.get(&format!("/a/v1?a=1&key={ALICE}")).await.status, 200);
        let refused = client.get("/a/v1").await;
        assert_eq!((refused.status, refused.headers["www-authenticate"].as_bytes()), (401, &b"Bearer"[..]));
        assert_eq!(client.get(&format!("/b/v1?key={ALICE}")).await.status, 403);
        let list = format!("realtime, openai-insecure-api-key.{CAROL}");
        let request = Request::builder().method("CONNECT").uri("http://p/b/v1").header("sec-websocket-protocol", list);
        let mut request = request.header("sec-websocket-version", "13").body(()).expect("a request");
        request.extensions_mut().insert(Protocol::from("websocket"));
        let (answer, _send) = client.begin(request, false).await;
        let answer = answer.await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["sec-websocket-protocol"]),
            (200, &"realtime".parse().expect("a value"))
        );
    });
    for _ in 0..6 {
        let seen = upstream.request();
        no_key_in(&seen);
        assert_eq!((seen.target(), seen.fields("authorization")), ("/v1?a=1", vec!["Bearer provider-key"]));
    }
    let seen = switching.request();
    no_key_in(&seen);
    assert_eq!(seen.fields("sec-websocket-protocol"), ["realtime"]);
}

#[test]
fn universal_routes_take_it_out_wherever_the_url_has_its_query() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream);
    let at = upstream.address();
    let encoded = format!("http%3A%2F%2F{at}%2Fv1%3Fa%3D1%26key%3D{ALICE}%26b");
    for (target, rest) in [
        (format!("http://{at}/v1?key={ALICE}&a=%2f"), "/v1?a=%2f"),
        (format!("http://{at}/v1?key={ALICE}"), "/v1"),
        (encoded.clone(), "/v1?a=1&b"),
        (format!("{encoded}?c&key={CAROL}"), "/v1?a=1&b&c"),
        (format!("http%3A%2F%2F{at}%2Fv1%3Fkey%3D{ALICE}"), "/v1"),
    ] {
        assert_eq!(answer(&proxy, &format!("/u/{target}"), "").status(), 200, "{target}");
        let seen = upstream.request();
        no_key_in(&seen);
        assert_eq!(seen.target(), rest, "{target}");
    }
    assert_eq!(answer(&proxy, &format!("/u/http://{at}/v1"), &format!("x-api-key: {ALICE}\r\n")).status(), 200);
    no_key_in(&upstream.request());
    // Whoever has no key does not learn what he may reach.
    for target in [format!("http://{at}/v1"), "http://169.254.169.254/".to_owned(), "nonsense".to_owned()] {
        assert_eq!(told(&answer(&proxy, &format!("/u/{target}"), "")), unauthorized(), "{target}");
    }
    assert_eq!(answer(&proxy, "/u/nonsense", &format!("x-api-key: {ALICE}\r\n")).status(), 400);
    assert_eq!(answer(&proxy, "/u/http://169.254.169.254/", &format!("x-api-key: {ALICE}\r\n")).status(), 403);
    assert!(upstream.has_no_request() && client_keys()["alice"]["routes"][1] == "u*");
}
