//! Attempts that fail and what comes after them: keys of one route on another, a Redis with a login, limits. None of it is
//! shown, and no key of a route goes along another.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::scene::{echoing, going_away, quoted, whole};
use super::traffic::{Stage, ask, note, query};
use super::{Said, secret};
use crate::support::{Proxy, Redis, Upstream, eventually};

/// A route with secrets wherever it can have some, each with the name of the route.
fn route(name: &str, upstream: &str, more: &Value) -> Value {
    let of = |what: &str| secret(&format!("{name}-{what}"));
    let mut route = json!({
        "target_url": format!("http://user:{}@{upstream}/base?token={}", of("login"), of("query")),
        "proxy": "",
        "force_header_overwrite": true,
        "custom_headers": {"x-api-key": [of("pool-0"), of("pool-1")], "X-Key": of("key")},
    });
    route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    route
}

/// Fails if a secret of that route stands in what was sent along another one.
fn not_of(name: &str, upstream: &Upstream) {
    let head = upstream.request().head;
    let login = STANDARD.encode(format!("user:{}", secret(&format!("{name}-login"))));
    assert!(!head.contains(&secret(name)) && !head.contains(&login), "{head}");
}

fn failing(format: &str, lang: &str) {
    let first = echoing(|head| whole(&format!("503 {}", quoted(head)), head));
    let limited = echoing(|head| whole(&format!("429 {}\r\nRetry-After: 1000", quoted(head)), head));
    let refused = echoing(|head| whole(&format!("401 {}", quoted(head)), head));
    let dying = echoing(|_| String::new());
    let leaving = going_away();
    let garbage = echoing(|head| format!("HTTP/1.1 200 OK\r\n{} x: y\r\n\r\n", quoted(head)));
    let stream = echoing(|head| {
        let event = format!(
            "event: error\ndata: {{\"error\": {{\"type\": \"overloaded_error\", \"message\": \"{}\"}}}}\n\n",
            quoted(head)
        );
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{event}", event.len())
    });
    let all = json!(["connect", "reset", "timeout", 401, 429, 502, 503, 529]);
    let retry = |attempts: u32| json!({"attempts": attempts, "on": all, "backoff": 0, "max_wait": "1s", "detect_stream_errors": true});
    let to = |upstream: &Upstream| upstream.address().to_string();
    let mut routes = json!({
        "first": route("first", &to(&first), &json!({
            "retry": retry(2), "fallback": ["limited", "refused", "dying", "leaving", "stream", "garbage", "nobody"],
        })),
        "limited": route("limited", &to(&limited), &json!({"retry": retry(2)})),
        "refused": route("refused", &to(&refused), &json!({"retry": retry(2)})),
        "dying": route("dying", &to(&dying), &json!({"retry": retry(1)})),
        "leaving": route("leaving", &to(&leaving), &json!({"retry": retry(1), "http2": true})),
        "stream": route("stream", &to(&stream), &json!({"retry": retry(1)})),
        "garbage": route("garbage", &to(&garbage), &json!({"retry": retry(1)})),
        "nobody": route("nobody", "127.0.0.1:1", &json!({"retry": retry(2)})),
        "counted": route("counted", &to(&first), &json!({"limits": {"requests_per_minute": 5}})),
        "full": route("full", &to(&first), &json!({"limits": {"max_concurrency": 1}})),
    });
    let two =
        ["several-a", "several-b"].map(|user| format!("http://{user}:{0}@127.0.0.1:1/?key={0}", secret("several")));
    routes["several"] = route("several", "h", &json!({"target_url": two, "retry": retry(3)}));
    let config = json!({
        "server": {"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": format, "language": lang},
        "state": format!("redis://{0}:{0}@127.0.0.1:1/0", secret("state")), "state_failure": "closed",
        "client_keys": {"one": {"key": secret("client-key-of-one")}},
        "usage": true,
        "routes": routes,
    });
    let stage = Stage::start(&config);
    let mut said = Said::default();
    let key = format!("x-aqueduct-key: {}\r\n", secret("client-key-of-one"));
    for (name, code, attempts) in [
        ("first", "upstream_unreachable", "12"),
        ("several", "upstream_unreachable", "3"),
        ("counted", "state_unavailable", ""),
        ("garbage", "upstream_bad_answer", "1"),
    ] {
        let target = format!("/{name}/x?{}", query());
        let answer = stage.proxy.client().ask(ask(&target, &key));
        assert_eq!(note(&mut said, &target, &answer), code, "{}", answer.head);
        assert_eq!(answer.field("x-aqueduct-attempts").unwrap_or_default(), attempts, "{name}");
    }
    for upstream in [&limited, &refused, &dying, &stream, &garbage] {
        not_of("first", upstream);
    }
    // And the other way round.
    assert_eq!(stage.proxy.client().ask(ask(&format!("/refused/x?{}", query()), &key)).status(), 401);
    assert!(first.request().head.contains(&secret("first")));
    eventually("keys rest", || stage.proxy.err().matches("[0]").count() >= 2);
    stage.end(said);
}

#[test]
fn no_failed_attempt_shows_a_secret_to_people() {
    failing("pretty", "en");
}

#[test]
fn no_failed_attempt_shows_a_secret_to_people_in_chinese() {
    failing("pretty", "zh");
}

#[test]
fn no_failed_attempt_shows_a_secret_to_programs() {
    failing("json", "en");
}

#[test]
fn a_redis_that_takes_the_login_or_does_not_is_told_of_without_it() {
    // The word that is sought stands in what is right and in what is wrong.
    const RIGHT: &str = "Sq7secret-of-the-state";
    let (upstream, password, user) =
        (Upstream::ok(), Redis::start_with_password(RIGHT), Redis::with_user("alice", RIGHT));
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("none.sock").display().to_string();
    for (url, word) in [
        (format!("redis://:{RIGHT}@127.0.0.1:{}", password.port()), "shared on Redis"),
        (format!("redis://alice:{RIGHT}@127.0.0.1:{}", user.port()), "shared on Redis"),
        (format!("redis://:{}@127.0.0.1:{}", secret("wrong"), password.port()), "does not accept"),
        (format!("redis://{0}:{0}@127.0.0.1:{1}", secret("wrong"), user.port()), "does not accept"),
        (format!("rediss://:{}@127.0.0.1:{}", secret("tls"), password.port()), "is away"),
        (format!("rediss://:{}@nowhere.invalid", secret("dns")), "is away"),
        (format!("redis://:{RIGHT}@127.0.0.1:{}/99", password.port()), "is away"),
        (format!("unix://{socket}?user={0}&pass={0}", secret("socket")), "is away"),
    ] {
        let config = json!({
            "state": url, "state_timeout": 5, "limits": {"requests_per_minute": 100},
            "routes": {"a": {"target_url": upstream.url(), "custom_headers": {"x-api-key": secret("key")}}},
        });
        // A bug shows nothing either.
        let proxy = Proxy::start_with(&config, |command| {
            command.env("AQUEDUCT_BUG_AT", "/a/bug").env("RUST_BACKTRACE", "full");
        });
        eventually(word, || proxy.out().contains(word) || proxy.err().contains(word));
        assert_eq!(proxy.client().ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
        let mut client = proxy.client();
        client.send(format!("GET /a/bug?key={} HTTP/1.1\r\nHost: p\r\n\r\n", secret("query"))).rest();
        proxy.complains("❌");
        let mut said = Said::default();
        said.add(format!("standard output with {word}"), proxy.out());
        said.add(format!("standard error with {word}"), proxy.err());
        said.check();
    }
}
