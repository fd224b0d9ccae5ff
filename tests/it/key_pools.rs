//! Several keys on a route: one is picked for each request, those that are refused rest, and none is ever shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, eventually, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";
const OK: &str = "200 OK\r\nContent-Length: 0\r\n\r\n";

/// A provider that says of each key what it is told to say, and of others that they are good.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<HashMap<String, String>>>);

impl Provider {
    fn start(&self) -> Upstream {
        let provider = self.clone();
        Upstream::playing(move |script| {
            while let Some(request) = script.request()? {
                let key = request.field("x-api-key").unwrap_or_default().to_owned();
                let answer = provider.0.lock().expect("not poisoned").get(&key).cloned();
                script.send(format!("HTTP/1.1 {}", answer.as_deref().unwrap_or(OK)))?;
            }
            Ok(())
        })
    }

    fn says(&self, key: &str, status: &str) {
        let answer = format!("{status}\r\nContent-Length: 0\r\n\r\n");
        self.0.lock().expect("not poisoned").insert(key.to_owned(), answer);
    }
}

fn route(upstream: &Upstream, more: &Value) -> Value {
    let mut route = json!({
        "target_url": upstream.url(),
        "custom_headers": {"x-api-key": ["key-zero", "key-one", "key-two"]},
    });
    for (name, value) in more.as_object().expect("an object") {
        route[name] = value.clone();
    }
    route
}

fn config(route: &Value) -> Value {
    json!({
        "server": {"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"},
        "routes": {"a": route},
    })
}

/// The keys that so many requests, one after the other, were sent with.
fn used(proxy: &Proxy, upstream: &Upstream, request: &str, count: usize) -> Vec<String> {
    let mut client = proxy.client();
    (0..count)
        .map(|_| {
            client.ask(request);
            upstream.request().field("x-api-key").unwrap_or_default().to_owned()
        })
        .collect()
}

#[test]
fn every_key_has_its_turn() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&config(&route(&upstream, &json!({}))));
    assert_eq!(used(&proxy, &upstream, GET, 4), ["key-zero", "key-one", "key-two", "key-zero"]);
    let places = || proxy.log().iter().map(|line| line["key_index"].clone()).collect::<Vec<_>>();
    eventually("four lines", || places() == [json!(0), json!(1), json!(2), json!(0)]);
}

#[test]
fn the_turn_is_fair_over_all_workers() {
    const CLIENTS: usize = 20;
    let upstream = Upstream::ok();
    let mut config = config(&route(&upstream, &json!({})));
    config["server"]["workers"] = json!(4);
    let proxy = Proxy::start(&config);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = proxy.client();
                (0..30).for_each(|_| assert_eq!(client.ask(GET).status(), 200));
            });
        }
    });
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..CLIENTS * 30 {
        *counts.entry(upstream.request().field("x-api-key").expect("a key").to_owned()).or_default() += 1;
    }
    assert!(counts.len() == 3 && counts.values().all(|count| *count == CLIENTS * 10), "{counts:?}");
}

#[test]
fn lists_move_in_step_and_the_client_comes_first() {
    let upstream = Upstream::ok();
    let lists = json!({"x-api-key": ["k0", "k1"], "X-Org": ["o0", 1], "X-One": ["single"]});
    let mut config = config(&route(&upstream, &json!({"custom_headers": lists})));
    config["routes"]["forced"] = config["routes"]["a"].clone();
    config["routes"]["forced"]["force_header_overwrite"] = json!(true);
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    for (org, key) in [("o0", "k0"), ("1", "k1"), ("o0", "k0")] {
        client.ask(GET);
        let request = upstream.request();
        assert_eq!((request.field("x-org"), request.fields("x-api-key")), (Some(org), vec![key]));
        assert_eq!(request.field("x-one"), Some("single"));
    }
    // The client brings its own key: nothing of a pair is added to it, and no turn is taken.
    for own in ["X-API-KEY: own", "x-org: own"] {
        client.ask(format!("GET /a/x HTTP/1.1\r\nHost: p\r\n{own}\r\n\r\n"));
        let request = upstream.request();
        let ours = [request.field("x-api-key"), request.field("x-org")];
        assert!(ours.contains(&Some("own")) && ours.contains(&None), "{}", request.head);
        assert_eq!(request.field("x-one"), Some("single"));
    }
    client.ask(GET);
    assert_eq!(upstream.request().field("x-api-key"), Some("k1"));
    client.ask("GET /forced/x HTTP/1.1\r\nHost: p\r\nX-API-KEY: own\r\n\r\n");
    let request = upstream.request();
    assert_eq!((request.fields("x-api-key"), request.field("x-org")), (vec!["k0"], Some("o0")));
    let places = || proxy.log().iter().map(|line| line["key_index"].clone()).collect::<Vec<_>>();
    eventually("all lines", || places() == json!([0, 1, 0, null, null, 1, 0]).as_array().expect("a list").as_slice());
}

#[test]
fn a_key_that_is_used_up_rests_for_as_long_as_it_is_told_and_the_client_is_told_too() {
    let provider = Provider::default();
    let upstream = provider.start();
    let proxy = Proxy::start(&config(&route(&upstream, &json!({}))));
    provider.says("key-one", "429 Too Many Requests\r\nRetry-After: 40");
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status(), 200);
    let refused = client.ask(GET);
    assert_eq!((refused.status(), refused.field("retry-after")), (429, Some("40")));
    (0..2).for_each(|_| _ = upstream.request());
    let others = used(&proxy, &upstream, GET, 6);
    assert!(!others.contains(&"key-one".to_owned()), "{others:?}");
    assert_eq!(others.iter().filter(|key| *key == "key-zero").count(), 3, "its share is for both: {others:?}");
    proxy.complains("⏸️  Route 'a', key [1]: rests for 40 s (429)\n");
    // Told once, and nothing of the key.
    assert_eq!(proxy.err().lines().count(), 1);
    assert!(!format!("{}{}", proxy.out(), proxy.err()).contains("key-"));
}

#[test]
fn a_key_comes_back_by_itself() {
    let provider = Provider::default();
    let upstream = provider.start();
    let proxy = Proxy::start(&config(&route(&upstream, &json!({"custom_headers": {"x-api-key": ["k0", "k1"]}}))));
    provider.says("k1", "429 Too Many Requests\r\nretry-after-ms: 150");
    assert_eq!(used(&proxy, &upstream, GET, 2), ["k0", "k1"]);
    provider.says("k1", "200 OK");
    eventually("k1 is used again", || used(&proxy, &upstream, GET, 1) == ["k1"]);
    // Both rest: the one that is due soonest is used all the same, and is good before its time.
    for key in ["k0", "k1"] {
        provider.says(key, &format!("429 Too Many Requests\r\nRetry-After: {}", if key == "k0" { 900 } else { 800 }));
    }
    used(&proxy, &upstream, GET, 2);
    assert_eq!(used(&proxy, &upstream, GET, 3), ["k1", "k1", "k1"]);
    provider.says("k1", "200 OK");
    assert_eq!(used(&proxy, &upstream, GET, 3), ["k1", "k1", "k1"]);
    proxy.complains("✅ Route 'a', key [1]: works again");
}

#[test]
fn a_key_that_is_refused_is_out_and_stays_so_over_a_reload() {
    let provider = Provider::default();
    let upstream = provider.start();
    let first = config(&route(&upstream, &json!({})));
    let proxy = Proxy::start(&first);
    for status in ["401 Unauthorized", "402 Payment Required", "403 Forbidden"] {
        provider.says("key-two", status);
    }
    let keys = used(&proxy, &upstream, GET, 9);
    assert_eq!(keys.iter().filter(|key| *key == "key-two").count(), 1, "{keys:?}");
    proxy.complains("key [2]: is out (403), tried again after 60 s");
    // Another order, another strategy, one key less: it is the same key.
    let changed = json!({
        "custom_headers": {"x-api-key": ["key-two", "key-zero", "key-three"]}, "key_strategy": "least_used",
    });
    write_private(&proxy.config_path(), &config(&route(&upstream, &changed)).to_string());
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    let keys = used(&proxy, &upstream, GET, 6);
    assert!(!keys.contains(&"key-two".to_owned()) && keys.contains(&"key-three".to_owned()), "{keys:?}");
    // The same key on another route is another matter.
    let mut both = config(&route(&upstream, &changed));
    both["routes"]["b"] = both["routes"]["a"].clone();
    write_private(&proxy.config_path(), &both.to_string());
    proxy.signal("HUP");
    eventually("a reload", || proxy.out().matches("Configuration reloaded.").count() == 2);
    let keys = used(&proxy, &upstream, "GET /b/x HTTP/1.1\r\nHost: p\r\n\r\n", 3);
    assert!(keys.contains(&"key-two".to_owned()), "{keys:?}");
}

#[test]
fn what_the_client_brought_is_not_held_against_a_key() {
    let provider = Provider::default();
    let upstream = provider.start();
    let proxy = Proxy::start(&config(&route(&upstream, &json!({}))));
    provider.says("own", "401 Unauthorized");
    for _ in 0..3 {
        assert_eq!(proxy.client().ask("GET /a/x HTTP/1.1\r\nHost: p\r\nx-api-key: own\r\n\r\n").status(), 401);
        upstream.request();
    }
    assert_eq!(used(&proxy, &upstream, GET, 3), ["key-zero", "key-one", "key-two"]);
    assert!(proxy.err().is_empty());
}

#[test]
fn sessions_keep_their_key() {
    let upstream = Upstream::ok();
    let sticky = json!({"key_strategy": {"sticky": "X-Session-Id"}});
    let proxy = Proxy::start(&config(&route(&upstream, &sticky)));
    let of = |session: usize| {
        let request = format!("GET /a/x HTTP/1.1\r\nHost: p\r\nx-session-id: s{session}\r\n\r\n");
        let keys = used(&proxy, &upstream, &request, 3);
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        keys[0].clone()
    };
    let before: Vec<_> = (0..20).map(of).collect();
    assert!(["key-zero", "key-one", "key-two"].iter().all(|key| before.iter().any(|used| used == key)), "{before:?}");
    // After a restart, with another key in the place of one, the others' sessions stay.
    let list = json!({"custom_headers": {"x-api-key": ["key-zero", "key-new", "key-two"]}, "key_strategy": sticky["key_strategy"]});
    let proxy = Proxy::start(&config(&route(&upstream, &list)));
    for (session, key) in before.iter().enumerate().filter(|(_, key)| *key != "key-one") {
        let request = format!("GET /a/x HTTP/1.1\r\nHost: p\r\nx-session-id: s{session}\r\n\r\n");
        let now = used(&proxy, &upstream, &request, 1);
        assert!(now == [key.as_str()] || now == ["key-new"], "{session}: {key} {now:?}");
    }
    // Without the header one comes after the other.
    let keys = used(&proxy, &upstream, GET, 3);
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2], "{keys:?}");
}

#[test]
fn clients_keep_their_key() {
    let upstream = Upstream::ok();
    let mut config = config(&route(&upstream, &json!({"key_strategy": "sticky"})));
    config["server"]["trusted_proxies"] = json!(["127.0.0.1"]);
    let proxy = Proxy::start(&config);
    let keys: Vec<_> = (0..20)
        .map(|last| {
            let request = format!("GET /a/x HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 192.0.2.{last}\r\n\r\n");
            let keys = used(&proxy, &upstream, &request, 2);
            assert_eq!(keys[0], keys[1]);
            keys[0].clone()
        })
        .collect();
    assert!(keys.iter().any(|key| *key != keys[0]), "{keys:?}");
    // Whoever has a key of his own is known by that, wherever he comes from.
    config["client_keys"] = json!({"alice": {"key": "alice-has-a-long-key"}, "bob": {"key": "bob-has-a-longer-key"}});
    let proxy = Proxy::start(&config);
    for name in ["alice-has-a-long-key", "bob-has-a-longer-key"] {
        let asks = |last: usize| {
            let request =
                format!("GET /a/x HTTP/1.1\r\nHost: p\r\nX-Api-Key: {name}\r\nX-Forwarded-For: 192.0.2.{last}\r\n\r\n");
            used(&proxy, &upstream, &request, 1)
        };
        let first = asks(0);
        assert!(first[0].starts_with("key-") && (1..10).all(|last| asks(last) == first), "{first:?}");
    }
}

#[test]
fn the_fewest_requests_under_way() {
    let upstream = Upstream::playing(|script| {
        while script.request()?.is_some() {
            script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        }
        Ok(())
    });
    let proxy = Proxy::start(&config(&route(&upstream, &json!({"key_strategy": "least_used"}))));
    let begin = || {
        let mut client = proxy.client();
        client.send(GET).hears("hello");
        (client, upstream.request().field("x-api-key").expect("a key").to_owned())
    };
    let mut running: Vec<_> = (0..6).map(|_| begin()).collect();
    for key in ["key-zero", "key-one", "key-two"] {
        assert_eq!(running.iter().filter(|(_, used)| used == key).count(), 2);
    }
    running.retain(|(_, key)| key != "key-one");
    eventually("both have left", || proxy.log().iter().filter(|line| line["end"] == "client_gone").count() == 2);
    running.extend([begin(), begin()]);
    assert!(running[4..].iter().all(|(_, key)| key == "key-one"));
}

#[test]
fn lists_that_cannot_be_meant_are_refused_with_their_place() {
    for (fields, why) in [
        (r#""custom_headers": {"X": []}"#, "custom_headers.X: the list is empty"),
        (r#""custom_headers": {"X": ["a", ""]}"#, "custom_headers.X[1]: this entry is empty"),
        (r#""custom_headers": {"X": ["a", null]}"#, "custom_headers.X[1]: expected a string or a number"),
        (r#""custom_headers": {"X": ["a", ["b"]]}"#, "custom_headers.X[1]: expected a string or a number"),
        (r#""custom_headers": {"X": ["a", "b\r\nc"]}"#, "custom_headers.X[1]: a header value cannot hold line ends"),
        (r#""custom_headers": {"X": ["a", "${NOT_SET}"]}"#, "custom_headers.X[1]: the environment variable NOT_SET"),
        (r#""custom_headers": {"Host": ["a", "b"]}"#, "custom_headers.Host: 'Host' cannot be a list"),
        (r#""custom_headers": {"a b": ["a", "b"]}"#, "is not a header name"),
        (
            r#""custom_headers": {"X": ["a", "b"], "Y": ["a", "b", "c"]}"#,
            "custom_headers.Y: this list has 3 entries, that of 'X' has 2",
        ),
        (r#""key_strategy": "fastest""#, "key_strategy: expected one of: \"round_robin\""),
        (r#""key_strategy": {"sticky": 5}"#, "key_strategy.sticky: expected a string, found a whole number"),
        (r#""custom_headers": {"X": ["a", "b"]}, "key_strategy": {}"#, "key_strategy: expected the name of a header"),
        (r#""key_strategy": {"sticky": "a b"}"#, "key_strategy: expected the name of a header"),
        (r#""key_strategy": []"#, "key_strategy: expected a string or an object"),
    ] {
        let text = format!(
            r#"{{"server": {{"host": "127.0.0.1"}}, "routes": {{"a": {{"target_url": "http://h", {fields}}}}}}}"#
        );
        let told = check(&text);
        assert!(told.contains(&format!("routes.a.{why}")) || told.contains(why), "{fields}: {told}");
        assert!(told.contains("1 errors, "), "one thing is wrong, once: {told}");
    }
    for (fields, why) in [
        (r#""key_strategy": "random""#, "no header of this route is a list"),
        (r#""custom_headers": {"X": ["a", "a"]}"#, "custom_headers.X[1]: this entry stands in the list already"),
        (r#""custom_headers": {"x-api-key": ["${HOME}", "sk-1"]}"#, "every user of this machine can read the keys"),
    ] {
        let told = check(&format!(
            r#"{{"server": {{"host": "127.0.0.1"}}, "routes": {{"a": {{"target_url": "http://h", {fields}}}}}}}"#
        ));
        assert!(told.contains(why) && told.contains("good, 1 warnings"), "{fields}: {told}");
    }
}

fn check(config: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    // Everybody can read it.
    let path = directory.path().join("config.json");
    std::fs::write(&path, config).expect("writes");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("a file");
    let output = aqueduct().current_dir(directory.path()).arg("check").output().expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn explain_says_that_one_of_them_is_picked() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(&route(&Upstream::ok(), &json!({"key_strategy": "random"})));
    write_private(&directory.path().join("config.json"), &config.to_string());
    let explain = |more: &[&str]| {
        let output = aqueduct()
            .current_dir(directory.path())
            .args(["explain", "GET", "/a/x"])
            .args(more)
            .output()
            .expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = explain(&[]);
    assert!(
        told.contains("one of 3, picked when it goes out (random)") && told.contains("Added:           'x-api-key'"),
        "{told}"
    );
    let told = explain(&["-H", "x-api-key: own"]);
    assert!(told.contains("none of the 3") && told.contains("Kept:            'x-api-key'"), "{told}");
    assert!(!told.contains("key-"));
}
