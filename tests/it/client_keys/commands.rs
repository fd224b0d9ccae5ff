//! What the commands say of keys of clients: what is refused, what is warned of, and how keys are made.

use std::path::Path;

use serde_json::{Value, json};

use super::{ALICE, CAROL, config};
use crate::support::{Proxy, Upstream, aqueduct, write_private};

/// Runs a command in a directory with this configuration: its status, its output, its errors.
fn run_in(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = aqueduct().current_dir(directory).args(arguments).output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an end"), text(output.stdout), text(output.stderr))
}

fn run(config: &Value, arguments: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    run_in(directory.path(), arguments)
}

fn check(config: &Value) -> (i32, String) {
    let (status, out, _) = run(config, &["check"]);
    (status, out)
}

#[test]
fn what_is_refused() {
    let keys = |keys: Value| check(&json!({"client_keys": keys, "routes": {"a": {"target_url": "http://h"}}}));
    let digest = "ab".repeat(32);
    for (key, path, why) in [
        (json!({"key": "fifteen-letters"}), "a.key", "a key has at least 16 characters"),
        (json!({"key": "智谱智谱智谱"}), "a.key", "a key has at least 16 characters"),
        (json!({"key": ""}), "a.key", "a key has at least 16 characters"),
        (json!({"key": "with a space in it"}), "a.key", "a key has visible ASCII characters only"),
        (json!({"key": "with a\r\nline end in it"}), "a.key", "a key has visible ASCII characters only"),
        (json!({"key": "智谱智谱智谱智谱智谱智谱智谱智谱"}), "a.key", "a key has visible ASCII characters only"),
        (json!({"key": format!("sha256:{}", &digest[1..])}), "a.key", "expected 'sha256:' and 64 hexadecimal digits"),
        (json!({"key": format!("sha256:{digest}0")}), "a.key", "expected 'sha256:' and 64 hexadecimal digits"),
        (json!({"key": format!("sha256:{}", digest.replace('a', "g"))}), "a.key", "expected 'sha256:' and 64"),
        (json!({"key": "sha256:"}), "a.key", "expected 'sha256:' and 64 hexadecimal digits"),
        (json!({"key": 5}), "a.key", "expected a string"),
        (json!({}), "a", "'key' is missing"),
        (json!("a-key-that-is-no-object"), "a", "expected an object, found a string"),
        (json!({"key": ALICE, "expires": "tomorrow"}), "a.expires", "expected a date such as \"2027-01-01\""),
        (json!({"key": ALICE, "expires": "2027-02-29"}), "a.expires", "expected a date such as"),
        (json!({"key": ALICE, "expires": "2027-01-01T12:00:00"}), "a.expires", "a time with its zone"),
        (json!({"key": ALICE, "expires": ""}), "a.expires", "expected a date such as"),
        (json!({"key": ALICE, "expires": 2027}), "a.expires", "expected a string or null"),
        (json!({"key": ALICE, "routes": "a"}), "a.routes", "expected an array or null, found a string"),
        (json!({"key": ALICE, "routes": [5]}), "a.routes[0]", "expected a string"),
        (json!({"key": ALICE, "enabled": "no"}), "a.enabled", "expected true or false"),
    ] {
        let (status, said) = keys(json!({"a": key}));
        assert_eq!(status, 1, "{key}: {said}");
        assert!(said.starts_with("config.json:1:") && said.contains(&format!("client_keys.{path}: ")), "{key}: {said}");
        assert!(said.contains(why), "{key}: {said}");
    }
    for names in ["", "a\nb"] {
        let (status, said) = keys(json!({names: {"key": ALICE}}));
        assert!(status == 1 && said.contains("a client needs a name"), "{said}");
    }
    assert!(keys(json!([])).1.contains("client_keys: expected an object, found an array"));
    assert!(keys(json!(null)).1.contains("client_keys: expected an object, found null"));
    // The same key in other words is the same key.
    let (_, said) = keys(json!({"a": {"key": CAROL}, "b": {"key": format!("sha256:{}", super::CAROL_DIGEST)}}));
    assert!(said.contains("client_keys.b.key: this is the key of 'a' already"), "{said}");
    let (_, said) = keys(json!({"a": {"key": CAROL, "enabled": false}, "b": {"key": CAROL}}));
    assert!(said.contains("client_keys.b.key: this is the key of 'a' already"), "{said}");
    for good in ["2027-01-01", "2027-01-01T12:00:00Z", "2027-01-01T12:00:00.5+08:00"] {
        assert_eq!(keys(json!({"a": {"key": "sixteen-letters-", "expires": good}})).0, 0, "{good}");
    }
}

#[test]
fn a_date_ends_with_its_day() {
    let until = |expires: &str| {
        let config = json!({"client_keys": {"a": {"key": ALICE, "expires": expires}}});
        let (_, said) = check(&config);
        said.lines().find_map(|line| line.split_once(", until ")).map(|(_, until)| until.to_owned())
    };
    assert_eq!(until("2099-12-31").as_deref(), Some("2100-01-01T00:00:00Z"));
    assert_eq!(until("2099-12-31T12:00:00+02:00").as_deref(), Some("2099-12-31T10:00:00Z"));
}

#[test]
fn check_lists_clients_and_warns_of_what_is_odd() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["client_keys"]["alice"]["routes"] = json!(["a", "claude*", "A"]);
    let (status, said) = check(&config);
    assert_eq!(status, 0, "{said}");
    for line in [
        "client_keys.alice.routes[1]: no route has such a key",
        "client_keys.alice.routes[2]: no route has such a key",
        "client_keys.dave.expires: this time is over: the key is refused",
        "[Clients]\n  ✅ alice: routes a, claude*, A\n  ✅ bob: every route\n",
        "  ❌ dave: every route, until 2001-01-02T00:00:00Z\n  ❌ eve: every route\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("-key-0123456789"), "{said}");
    let (_, said) = check(&json!({"client_keys": {}, "routes": {}}));
    assert!(said.contains("client_keys: no key in it is good: everything is refused"), "{said}");
    let (_, said) = check(&json!({"client_keys": {"e": {"key": ALICE, "enabled": false}}}));
    assert!(said.contains("client_keys: no key in it is good"), "{said}");
    let public = json!({"routes": {"a": {"target_url": "http://h", "public": true}}});
    assert!(check(&public).1.contains("routes.a.public: without client_keys every route is open to everybody"));
}

#[test]
fn keys_that_anybody_can_use_are_worth_one_line() {
    let warned = |config: Value| {
        let (status, said) = check(&config);
        assert_eq!(status, 0, "{said}");
        let mut lines = said.lines().filter(|line| line.contains("everybody who reaches the port can use the keys"));
        let first = lines.next().map(str::to_owned);
        assert!(lines.next().is_none(), "{said}");
        first
    };
    let route = |more: Value| {
        let mut route = json!({"target_url": "https://h"});
        route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        route
    };
    let secret = || route(json!({"custom_headers": {"x-api-key": "k"}}));
    let routes = || json!({"plain": route(json!({})), "a": secret(), "b": secret(), "c": secret(), "off": route(json!({"enabled": false, "custom_headers": {"x-api-key": "k"}}))});
    let line = warned(json!({"routes": routes()})).expect("a warning");
    assert!(line.contains("routes.a: ") && line.contains("of this route and of 2 more"), "{line}");
    for (server, is_warned) in [
        (json!({"host": "0.0.0.0"}), true),
        (json!({"host": "::"}), true),
        (json!({"host": "127.0.0.1"}), false),
        (json!({"host": "::1"}), false),
        (json!({"host": "localhost"}), false),
        (json!({"listen": ["127.0.0.1:1", ":2"]}), true),
        (json!({"listen": ["127.0.0.1:1", "unix:/run/x"]}), false),
    ] {
        let is_there = warned(json!({"server": server, "routes": routes()})).is_some();
        assert_eq!(is_there, is_warned, "{server}");
    }
    for (more, is_warned) in [
        (json!({"custom_headers": {"anthropic-version": "2023-06-01"}}), false),
        (json!({"custom_headers": {"Authorization": "Bearer k"}}), true),
        (json!({"target_url": "https://u:p@h"}), true),
        (json!({"target_url": "https://h/?key=k"}), true),
        (json!({"target_url": "https://h/?api-version=1"}), false),
    ] {
        let is_there = warned(json!({"routes": {"a": route(more.clone())}})).is_some();
        assert_eq!(is_there, is_warned, "{more}");
    }
    // With keys nobody is anybody, unless a route says so.
    let keys = json!({"alice": {"key": ALICE}});
    assert_eq!(warned(json!({"client_keys": keys, "routes": routes()})), None);
    let mut open = routes();
    open["b"]["public"] = json!(true);
    let line = warned(json!({"client_keys": keys, "routes": open})).expect("a warning");
    assert!(line.contains("routes.b: ") && line.contains("of this route, since it is public"), "{line}");
    // A universal route that asks for keys is open to nobody else.
    let universal = json!({"u": {"universal_proxy": true}});
    assert!(check(&json!({"routes": universal})).1.contains("lets everybody who reaches the port"));
    assert!(!check(&json!({"client_keys": keys, "routes": universal})).1.contains("lets everybody"));
    let (_, said, _) = run(&json!({"routes": routes()}), &["check", "--lang", "zh"]);
    assert!(said.contains("任何能访问此端口的人都可以使用此路由及另外 2 个路由的密钥"), "{said}");
}

#[test]
fn a_file_of_old_starts_and_the_warning_stands_beside_the_banner() {
    let config = json!({
        "server": {"host": "0.0.0.0"},
        "routes": {"a": {"target_url": "http://127.0.0.1:1", "custom_headers": {"Authorization": "Bearer k"}}},
    });
    let proxy = Proxy::start(&config);
    proxy.complains("everybody who reaches the port can use the keys of this route");
    assert_eq!(proxy.err().lines().count(), 1, "{}", proxy.err());
    assert!(!proxy.out().contains("Client keys"), "{}", proxy.out());
}

#[test]
fn the_banner_counts_keys_and_marks_open_routes() {
    let upstream = Upstream::ok();
    let proxy = super::proxy(&upstream);
    proxy.says("  - Client keys: 5, of which 3 are good\n");
    proxy.says("  (🔓 public)");
    let mut config = config(&upstream);
    config["client_keys"] = json!({"alice": {"key": ALICE}});
    config["server"] = json!({"language": "zh"});
    Proxy::start(&config).says("  - 客户端密钥: 1\n").says("(🔓 公开)");
    let (_, out, _) = run(&config, &["routes"]);
    assert!(out.contains("/open -> ") && out.contains("🔓 公开"), "{out}");
}

#[test]
fn keygen_makes_keys_that_work() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    let (status, out, err) = run_in(directory.path(), &["keygen", "frank \"the tank\""]);
    assert_eq!(status, 0, "{err}");
    let lines: Vec<_> = out.lines().collect();
    let [key, entry] = lines[..] else { panic!("{out}") };
    assert!(key.len() == 46 && key.starts_with("aq-") && !entry.contains(key) && !err.contains(key), "{out}{err}");
    assert!(err.contains("frank") && err.contains("shown this once") && err.contains("client_keys"), "{err}");
    let keys: Value = serde_json::from_str(&format!("{{{entry}}}")).expect("JSON");
    let proxy = Proxy::start(&json!({"client_keys": keys, "routes": {"a": {"target_url": upstream.url()}}}));
    let answer = proxy.client().ask(super::ask("/a/x", &format!("Authorization: Bearer {key}\r\n")));
    assert_eq!(answer.status(), 200);
    assert_eq!(proxy.logged(|line| line["status"] == 200)["client"], "frank \"the tank\"");
    let (_, again, _) = run_in(directory.path(), &["keygen", "frank"]);
    assert_ne!(again.lines().next(), Some(key));
    let (_, _, err) = run_in(directory.path(), &["keygen", "frank", "--lang", "zh"]);
    assert!(err.contains("frank 的密钥。只显示这一次"), "{err}");
    for arguments in [&["keygen"][..], &["keygen", ""], &["keygen", "a\nb"]] {
        assert_eq!(run_in(directory.path(), arguments).0, 2, "{arguments:?}");
    }
    let (_, help, _) = run_in(directory.path(), &["keygen", "--help"]);
    assert!(help.contains("Make a key for a client"), "{help}");
}

#[test]
fn explain_asks_as_somebody_or_with_a_key() {
    let upstream = Upstream::ok();
    let config = config(&upstream);
    let explain = |arguments: &[&str]| {
        let (status, out, err) = run(&config, &[&["explain", "GET"], arguments].concat());
        (status, out + &err)
    };
    let (status, said) = explain(&["/a/v1"]);
    assert!(status == 1 && said.contains("401 unauthorized"), "{said}");
    let (status, said) = explain(&["/a/v1", "--client", "alice"]);
    assert!(status == 0 && said.contains("   Client:           alice"), "{said}");
    let key = format!("Authorization: Bearer {ALICE}");
    let (status, said) = explain(&[&format!("/a/v1?key={CAROL}&x=1"), "-H", &key, "-H", "x-aqueduct-key: x"]);
    assert!(status == 0 && said.contains("alice") && said.contains("/v1?x=1\n"), "{said}");
    assert!(said.contains("'Authorization' (a key for this proxy, which never passes)"), "{said}");
    assert!(said.contains("'x-aqueduct-key' (a key for this proxy, which never passes)"), "{said}");
    assert!(said.contains("Added:           'Authorization'") && !said.contains("-key-0123456789"), "{said}");
    let (status, said) = explain(&["/b/v1", "--client", "alice"]);
    assert!(status == 1 && said.contains("403 forbidden"), "{said}");
    let (status, said) = explain(&["/b/v1", "--client", "dave"]);
    assert!(status == 1 && said.contains("This API key has expired."), "{said}");
    assert!(explain(&["/none", "--client", "bob"]).1.contains("404 route_not_found"));
    assert_eq!(explain(&["/open/v1"]).0, 0);
    let (status, said) = explain(&["/a/v1", "--client", "nobody"]);
    assert!(status == 2 && said.contains("No client key has the name 'nobody'"), "{said}");
}
