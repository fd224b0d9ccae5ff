//! Upgrades: what is asked for, what is refused, and what is never passed on. What follows a 101 is in `tunnels`.

use std::io;

use serde_json::{Value, json};

use crate::support::{Client, Proxy, Received, Script, Upstream, aqueduct, eventually, write_private};

pub(crate) const ASK: &str = "GET /a/chat?x=1 HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An upstream that switches, and then does `play`.
pub(crate) fn switching(play: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static) -> Upstream {
    Upstream::playing(move |script| {
        script.request()?;
        script.send(SWITCH)?;
        play(script)
    })
}

/// An upstream that switches if it is asked to, and says which requests were ordinary ones.
fn either() -> Upstream {
    Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            if request.field("upgrade").is_some() {
                script.send(SWITCH)?;
                return script.until_closed();
            }
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nordinary")?;
        }
        Ok(())
    })
}

/// Asks for a switch that is made.
pub(crate) fn switched(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(ASK);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

fn to(upstream: &Upstream, more: &Value) -> Proxy {
    let mut route = json!({"target_url": upstream.url()});
    for (name, value) in more.as_object().expect("an object") {
        route[name] = value.clone();
    }
    Proxy::start(&json!({"routes": {"a": route}}))
}

/// The request as it reaches an upstream that refuses to switch.
fn ordinary(proxy: &Proxy, upstream: &Upstream, request: &str) -> Received {
    let answer = proxy.client().ask(request);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ordinary"), "{request}");
    upstream.request()
}

#[test]
fn the_handshake_is_a_request_like_any_other() {
    let upstream = switching(Script::until_closed);
    let proxy = Proxy::start(&json!({
        "headers_to_drop": ["X-Real-IP", "Origin"],
        "routes": {"a": {
            "target_url": format!("{}/base?v=1", upstream.url()),
            "force_header_overwrite": true,
            "custom_headers": {"Authorization": "Bearer ours", "OpenAI-Beta": "realtime=v1"},
        }},
    }));
    let mut client = proxy.client();
    client.send("GET /a/chat?x=1 HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nX-Real-IP: 1.2.3.4\r\nconnection: keep-alive, Upgrade\r\nOrigin: http://x\r\nauthorization: Bearer theirs\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: realtime, other\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n");
    assert_eq!(
        client.head(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nConnection: Upgrade\r\n\r\n"
    );
    let host = upstream.address();
    assert_eq!(
        upstream.request().head,
        format!(
            "GET /base/chat?v=1&x=1 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nconnection: Upgrade\r\nAuthorization: Bearer ours\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: realtime, other\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOpenAI-Beta: realtime=v1\r\n\r\n"
        )
    );
}

#[test]
fn every_method_can_ask_if_it_has_no_body() {
    let upstream = either();
    let proxy = Proxy::to(&upstream);
    for (method, length) in [("GET", "Content-Length: 0\r\n"), ("POST", ""), ("OPTIONS", "")] {
        let mut client = proxy.client();
        client.send(format!(
            "{method} /a HTTP/1.1\r\nHost: p\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{length}\r\n"
        ));
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{method}");
        upstream.request();
    }
}

#[test]
fn what_does_not_ask_is_an_ordinary_request() {
    let upstream = either();
    let proxy = Proxy::to(&upstream);
    for request in [
        "GET /a HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: web socket\r\n\r\n",
        "GET /a HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /a HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let received = ordinary(&proxy, &upstream, request);
        assert_eq!((received.field("upgrade"), received.field("connection")), (None, None), "{request}");
    }
}

#[test]
fn what_carries_requests_is_never_passed_on() {
    let upstream = either();
    let proxy = Proxy::to(&upstream);
    for name in ["h2c", "H2C", "h2c-14", "HTTP/2.0", "TLS/1.2", "h2c, TLS/1.0"] {
        let received = ordinary(
            &proxy,
            &upstream,
            &format!(
                "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {name}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            ),
        );
        assert_eq!(received.names(), ["Host"], "{name}");
    }
    let mut client = proxy.client();
    client.send(
        "GET /a HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\nUpgrade: x/1, TLS/1.2\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(upstream.request().fields("upgrade"), ["websocket, x/1"]);
}

#[test]
fn a_route_can_refuse_upgrades() {
    let upstream = either();
    let ask = |key: &str| ASK.replacen("/a/chat?x=1", key, 1);
    let universal = format!("/u/{}/chat", upstream.url());
    let proxy = Proxy::start(&json!({"routes": {
        "a": {"target_url": upstream.url()},
        "null": {"target_url": upstream.url(), "upgrade": null},
        "no": {"target_url": upstream.url(), "upgrade": false},
        "u": {"universal_proxy": true},
        "v": {"universal_proxy": true, "upgrade": true},
    }}));
    for key in ["/no/chat", &universal] {
        let received = ordinary(&proxy, &upstream, &ask(key));
        assert_eq!(received.names(), ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"], "{key}");
    }
    for key in ["/a/chat", "/null/chat", &universal.replacen("/u/", "/v/", 1)] {
        let mut client = proxy.client();
        client.send(ask(key));
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{key}");
        upstream.request();
    }
    for name in ["Upgrade", "connection"] {
        let proxy = Proxy::start(&json!({"headers_to_drop": [name], "routes": {"a": {"target_url": upstream.url()}}}));
        assert_eq!(ordinary(&proxy, &upstream, ASK).field("upgrade"), None, "{name}");
    }
}

#[test]
fn a_switch_to_something_else_is_a_bad_answer() {
    for answer in [
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket, TLS/1.2\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket/13\r\n\r\n",
        "HTTP/1.0 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            script.send(answer)?;
            assert_eq!(script.until_end().unwrap_or_default(), b"", "what the client sent stays here");
            Ok(())
        });
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        let received = client.send(ASK).send("early").answer();
        assert_eq!((received.status(), received.json()["code"].as_str()), (502, Some("upstream_bad_answer")));
        let line = proxy.logged(|_| true);
        assert_eq!((line["status"].as_u64(), line["end"].as_str()), (Some(502), Some("upstream_cut")));
    }
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let upstream = switching(Script::until_closed);
    for more in [json!({"upgrade": false}), json!({})] {
        let proxy = to(&upstream, &more);
        let request = if more["upgrade"] == false { ASK } else { "GET /a HTTP/1.1\r\nHost: p\r\n\r\n" };
        assert_eq!(proxy.client().ask(request).json()["code"], "upstream_bad_answer");
    }
}

#[test]
fn a_refused_switch_is_an_ordinary_answer() {
    for status in [200, 302, 400, 401, 403, 404, 426, 429, 500] {
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 {status} Whatever\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nWWW-Authenticate: x\r\nContent-Length: 2\r\n\r\nno"
        ));
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        for request in [ASK, "GET /a/next HTTP/1.1\r\nHost: p\r\n\r\n"] {
            let answer = client.ask(request);
            assert_eq!((answer.status(), answer.text().as_str()), (status, "no"));
            assert_eq!(answer.names(), ["WWW-Authenticate", "Content-Length"]);
        }
        // Both connections go on as if nothing had been asked.
        assert_eq!(upstream.connections(), 1);
        assert_eq!((upstream.request().target(), upstream.request().target()), ("/chat?x=1", "/next"));
    }
}

#[test]
fn interim_answers_may_come_before_the_switch() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")?;
        script.send([SWITCH.as_bytes(), b"hello"].concat())?;
        script.until_closed()
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(ASK);
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.hears("hello");
}

#[test]
fn what_comes_behind_a_refused_switch_is_the_next_request() {
    let upstream = Upstream::answering("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send([ASK, "GET /none/of/yours HTTP/1.1\r\nHost: p\r\n\r\n"].concat());
    assert_eq!(client.answer().status(), 401);
    assert_eq!(client.answer().json()["code"], "route_not_found");
    // And what is no request is none.
    client.send([ASK, "\u{81}\u{85}masked\r\n"].concat());
    assert_eq!(client.answer().status(), 401);
    assert_eq!(client.answer().json()["code"], "bad_request");
    assert!(client.is_closed());
    assert_eq!((upstream.request().target(), upstream.request().target()), ("/chat?x=1", "/chat?x=1"));
    assert!(upstream.has_no_request());
}

#[test]
fn a_kept_connection_can_be_switched_and_is_not_kept_after_that() {
    let upstream = either();
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    }
    assert_eq!(upstream.connections(), 1);
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(upstream.connections(), 1);
    assert_eq!(proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_kept_connection_that_had_ended_is_replaced() {
    let upstream = Upstream::playing(|script| {
        let first = script.request()?.expect("a request");
        if first.field("upgrade").is_some() {
            script.send(SWITCH)?;
            return script.until_closed();
        }
        // It says that it stays, and goes when it is used.
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        script.request().map(|_| ())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upgrade_goes_over_http_1_though_the_route_speaks_http_2() {
    let upstream = switching(Script::until_closed);
    let _client = switched(&to(&upstream, &json!({"http2": true})));
    assert_eq!(upstream.request().field("upgrade"), Some("websocket"));
}

#[test]
fn an_upgrade_goes_through_a_tunnel_where_there_is_a_proxy() {
    let way = Upstream::playing(|script| {
        script.head()?;
        script.send("HTTP/1.1 200 OK\r\n\r\n")?;
        script.request()?;
        script.send(SWITCH)?;
        script.until_closed()
    });
    let route = json!({"target_url": "http://origin.example:81", "proxy": way.url()});
    let proxy = Proxy::start(&json!({"routes": {"a": route}}));
    let _client = switched(&proxy);
    // A whole request with its URL would ask the proxy, and not the upstream, to switch.
    assert_eq!(way.request().line(), "CONNECT origin.example:81 HTTP/1.1");
    let request = way.request();
    assert_eq!((request.target(), request.field("upgrade")), ("/chat?x=1", Some("websocket")));
}

#[test]
fn a_key_among_the_subprotocols_is_never_written() {
    let upstream = switching(Script::until_closed);
    let protocols =
        "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-secret, openai-beta.realtime-v1\r\n\r\n";
    let ask = ASK.replace("\r\n\r\n", &format!("\r\n{protocols}"));
    for (format, asked) in [("pretty", "/a/chat?x=1"), ("json", "\"end\":\"refused\"")] {
        let config = json!({"server": {"log_format": format, "language": "en"}, "routes": {
            "a": {"target_url": upstream.url(), "custom_headers": {"Sec-WebSocket-Protocol": "x"}},
            "no": {"target_url": upstream.url(), "upgrade": false},
            "down": {"target_url": "http://127.0.0.1:1"},
        }});
        let proxy = Proxy::start_with(&config, |command| {
            command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        });
        let mut client = proxy.client();
        client.send(&ask);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert!(upstream.request().field("sec-websocket-protocol").expect("it passes").contains("sk-secret"));
        drop(client);
        for route in ["/no", "/down", "/none"] {
            let answer = proxy.client().ask(ask.replacen("/a", route, 1));
            assert!(answer.status() >= 400 && !answer.text().contains("sk-secret"), "{}", answer.text());
        }
        // Two that are no request, for what is said of such.
        for (what, with) in [("Host: p", "Host: p/"), ("realtime,", "realtime,\0")] {
            assert_eq!(proxy.client().ask(ask.replacen(what, with, 1)).status(), 400);
        }
        proxy.says(asked);
        eventually("all of them are told", || match format {
            "json" => proxy.log().len() == 6,
            _ => proxy.out().matches("⬅️").count() == 6,
        });
        let written = format!("{}{}", proxy.out(), proxy.err());
        assert!(!written.contains("sk-secret") && !written.contains("dGhlIHNhbXBsZSBub25jZQ"), "{written}");
    }
}

#[test]
fn a_switch_is_told_when_its_head_is_there() {
    let upstream = switching(Script::until_closed);
    let route = json!({"target_url": upstream.url(), "timeouts": {"idle": 1}});
    let proxy = Proxy::start(&json!({"server": {"log_format": "pretty", "language": "zh"}, "routes": {"a": route}}));
    let _client = switched(&proxy);
    proxy.says("⬅️  响应状态:      101  (a, ").says("✂️  响应中断: idle_timeout  (a, ");
}

/// What `aqueduct explain` says of a request for this upgrade on these routes.
fn explained(routes: &Value, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &json!({"routes": routes}).to_string());
    let output = aqueduct().current_dir(directory.path()).arg("explain").args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn explain_says_what_becomes_of_an_upgrade() {
    let routes = json!({"a": {"target_url": "https://h"}, "no": {"target_url": "https://h", "upgrade": false}});
    let protocols = "Sec-WebSocket-Protocol: openai-insecure-api-key.sk-secret";
    let ask = |path: &'static str| {
        explained(
            &routes,
            &["GET", path, "-H", "Connection: Upgrade", "-H", "Upgrade: h2c, websocket", "-H", protocols],
        )
    };
    let text = ask("/a/v1/realtime?model=x");
    assert!(text.contains(
        "   Upgrade:          websocket (after 101, bytes pass both ways as they are)\n   --- Headers ---\n   ➡️  Passed:          'Connection'\n   ➡️  Passed:          'Upgrade'\n   ➡️  Passed:          'Sec-WebSocket-Protocol'\n"
    ), "{text}");
    let refused = ask("/no/v1/realtime");
    assert!(refused.contains(
        "   --- Headers ---\n   🗑️  Dropped:         'Connection' (belongs to one connection, RFC 9110 section 7.6.1)\n   🗑️  Dropped:         'Upgrade' (this connection is not switched to another protocol)\n"
    ), "{refused}");
    assert!(!text.contains("sk-secret") && !refused.contains("sk-secret"));
}
