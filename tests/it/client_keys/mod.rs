//! Keys of clients: who may come in, where a key may stand, and that it goes nowhere else.

mod answers;
mod commands;
mod places;
mod sdks;

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Upstream};

/// Keys as people write them, and what stands in their names.
const ALICE: &str = "alice-key-0123456789";
const BOB: &str = "bob-key+/=%&0123456789";
const CAROL: &str = "carol-key-0123456789";
const DAVE: &str = "dave-key-0123456789";
const EVE: &str = "eve-key-0123456789";

/// Some who may come in, one whose key is known by its digest, one whose time is over, one who is locked out.
fn client_keys() -> Value {
    json!({
        "alice": {"key": ALICE, "routes": ["a", "u*"]},
        "bob": {"key": BOB},
        // The SHA-256 of her key.
        "carol": {"key": format!("sha256:{}", CAROL_DIGEST.to_uppercase())},
        "dave": {"key": DAVE, "expires": "2001-01-01"},
        "eve": {"key": EVE, "enabled": false},
    })
}

/// As `printf %s carol-key-0123456789 | sha256sum` says.
const CAROL_DIGEST: &str = "14bcf0f9adb27c0ed9ccef2466ec8f5de89fe791ca3ca0e7675ea0561f656696";

/// A proxy with keys of clients, and routes to this upstream: `a` with a key for it, `b` without, `open` for everybody,
/// `u` universal.
fn proxy(upstream: &Upstream) -> Proxy {
    Proxy::start(&config(upstream))
}

fn config(upstream: &Upstream) -> Value {
    let headers = json!({"Authorization": "Bearer provider-key", "x-api-key": "provider-key"});
    json!({
        "client_keys": client_keys(),
        "routes": {
            "a": {"target_url": upstream.url(), "custom_headers": headers},
            "b": {"target_url": upstream.url()},
            "open": {"target_url": upstream.url(), "public": true, "custom_headers": headers},
            "u": {"universal_proxy": true},
            "broken": {"custom_headers": headers},
        },
    })
}

fn ask(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: p\r\n{fields}\r\n")
}

/// A request with its key where all programs can put it.
fn ask_as(key: &str, target: &str) -> String {
    ask(target, &format!("x-aqueduct-key: {key}\r\n"))
}

/// Asks on a connection of its own.
fn answer(proxy: &Proxy, target: &str, fields: &str) -> Received {
    proxy.client().ask(ask(target, fields))
}

/// The status and the code of an answer of the proxy's own.
fn told(answer: &Received) -> (u16, String) {
    (answer.status(), answer.field("x-aqueduct-error").unwrap_or_default().to_owned())
}

fn unauthorized() -> (u16, String) {
    (401, "unauthorized".to_owned())
}

fn forbidden() -> (u16, String) {
    (403, "forbidden".to_owned())
}
