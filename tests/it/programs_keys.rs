//! The official SDKs over routes with several keys: they notice nothing of one that is used up, and sessions stay with
//! theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use aqueduct::demo::{KEY, Provider};
use serde_json::{Value, json};

use crate::support::{Message, Proxy, Received, Upstream, python};

/// The keys of each route, of which the provider behind the gate knows only its own.
const KEYS: [&str; 3] = ["pool-key-zero", "pool-key-one", "pool-key-two"];
const KEYS_BEGIN: &str = "pool-key-";
/// Where an SDK puts a key.
const PLACES: [&str; 3] = ["authorization", "x-api-key", "x-goog-api-key"];

/// Who came in, by the value of a header and the place of the key, and with which key.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// What stands before a provider: it knows the keys of the pool, and says that some of them are used up.
fn gate(to: SocketAddr, by: &'static str, limited: &'static [&'static str], pause: &'static str) -> (Upstream, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let upstream = Upstream::playing(move |script| {
        while let Some(request) = script.request()? {
            let in_place = |place: &&str| request.field(place).is_some_and(|value| value.contains(KEYS_BEGIN));
            let place = PLACES.iter().copied().find(in_place).unwrap_or_default();
            let presented = request.field(place).unwrap_or_default();
            let key = KEYS.iter().copied().find(|key| presented.ends_with(key)).unwrap_or_default();
            let who = format!("{} by {place}", request.field(by).unwrap_or_default());
            noted.lock().expect("not poisoned").push((who, key.to_owned()));
            if limited.contains(&key) {
                let body = r#"{"error": {"type": "rate_limit_error", "code": 429, "message": "slow down"}}"#;
                let head = format!("HTTP/1.1 429 Too Many Requests\r\n{pause}\r\nContent-Type: application/json\r\n");
                script.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))?;
                continue;
            }
            let answer = provided(to, &request, key)?;
            script.send([answer.head.as_bytes(), &answer.raw_body].concat())?;
        }
        Ok(())
    });
    (upstream, seen)
}

/// What the provider says to this request if it has the right key.
fn provided(to: SocketAddr, request: &Received, key: &str) -> io::Result<Received> {
    let mut stream = TcpStream::connect(to)?;
    let head = if key.is_empty() { request.head.clone() } else { request.head.replace(key, KEY) };
    stream.write_all(&[head.as_bytes(), &request.raw_body].concat())?;
    Message::on(stream).answer(request.line().split(' ').next().unwrap_or_default())
}

fn config(url: &str, more: &Value) -> Value {
    let route = |name: &str, start: &str| {
        let keys = KEYS.map(|key| format!("{start}{key}"));
        let mut route = json!({
            "target_url": url, "force_header_overwrite": true, "custom_headers": {name: keys},
        });
        route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        route
    };
    json!({"routes": {
        "openai": route("Authorization", "Bearer "),
        "anthropic": route("x-api-key", ""),
        "gemini": route("x-goog-api-key", ""),
    }})
}

fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

#[test]
fn sdks_notice_nothing_of_keys_that_are_used_up() {
    let provider = Provider::start().expect("starts");
    let (upstream, _) = gate(provider.address(), "host", &KEYS[..2], "Retry-After: 600");
    let proxy = Proxy::start(&config(&upstream.url(), &json!({"retry": {"attempts": 3}})));
    // None of them tries anything again by itself there.
    let said = python("sdks.py", &[&url(&proxy)]);
    assert!(said.ends_with("all ok\n"), "{said}");
    for route in ["openai", "anthropic", "gemini"] {
        let of_route = |line: &Value| line["route"] == route && line["status"] == 200;
        let log = proxy.log();
        let lines: Vec<&Value> = log.iter().filter(|line| of_route(line)).collect();
        assert!(lines.len() >= 3 && lines.iter().all(|line| line["key_index"] == 2), "{lines:?}");
        // The first requests have found out about both, and nobody after them has.
        let again = lines.iter().filter(|line| line["attempts"].as_u64() > Some(1)).count();
        assert!((1..=2).contains(&again) && lines[2..].iter().all(|line| line["attempts"] == 1), "{lines:?}");
        proxy.complains(&format!("Route '{route}', key [0]: rests for 600 s (429)"));
    }
}

#[test]
fn sdks_that_try_again_by_themselves_get_another_key() {
    let provider = Provider::start().expect("starts");
    let (upstream, seen) = gate(provider.address(), "host", &KEYS[..1], "retry-after-ms: 20\r\nRetry-After: 1");
    let proxy = Proxy::start(&config(&upstream.url(), &json!({})));
    let said = python("key_pools.py", &["again", &url(&proxy)]);
    assert!(said.ends_with("all ok\n"), "{said}");
    let seen = seen.lock().expect("not poisoned");
    let refused: Vec<_> = seen.iter().enumerate().filter(|(_, (_, key))| key == KEYS[0]).collect();
    assert!(refused.len() >= 3, "{seen:?}");
    assert!(refused.iter().all(|(place, _)| seen[place + 1].1 != KEYS[0]), "{seen:?}");
}

/// Fails unless each of so many, in each of the three places, came with one key, and not all with the same.
fn are_kept(seen: &Seen, count: usize) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (who, key) in seen.lock().expect("not poisoned").iter() {
        keys.entry(who.clone()).or_default().insert(key.clone());
    }
    assert_eq!(keys.len(), count * PLACES.len(), "{keys:?}");
    assert!(keys.values().all(|keys| keys.len() == 1 && !keys.contains("")), "{keys:?}");
    let used: BTreeSet<_> = keys.values().flatten().collect();
    assert!(used.len() > 1, "{used:?}");
}

#[test]
fn sessions_of_sdks_keep_their_keys() {
    let provider = Provider::start().expect("starts");
    let (upstream, seen) = gate(provider.address(), "x-session-id", &[], "");
    let proxy = Proxy::start(&config(&upstream.url(), &json!({"key_strategy": {"sticky": "X-Session-Id"}})));
    let said = python("key_pools.py", &["sessions", &url(&proxy)]);
    assert!(said.ends_with("all ok\n"), "{said}");
    are_kept(&seen, 5);
}

#[test]
fn clients_with_keys_of_their_own_keep_those_of_the_pool() {
    let provider = Provider::start().expect("starts");
    let (upstream, seen) = gate(provider.address(), "x-client", &[], "");
    let clients = ["alice", "bob", "carol", "dave", "eve"].map(|name| format!("key-of-{name}-0123456789"));
    let mut config = config(&upstream.url(), &json!({"key_strategy": "sticky"}));
    for key in &clients {
        config["client_keys"][&key[..12]] = json!({"key": key});
    }
    let proxy = Proxy::start(&config);
    let mut arguments = vec!["clients", ""];
    let url = url(&proxy);
    arguments[1] = &url;
    arguments.extend(clients.iter().map(String::as_str));
    let said = python("key_pools.py", &arguments);
    assert!(said.ends_with("all ok\n"), "{said}");
    are_kept(&seen, clients.len());
    // What proves who they are has gone no further.
    assert!(proxy.log().iter().all(|line| line["client"].is_string()), "{:?}", proxy.log());
}
