//! The official SDKs with a key of the proxy's own, in every place in which their options let them put it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use aqueduct::demo::{KEY, Provider};
use serde_json::json;

use crate::support::{Proxy, PythonServer, Upstream, python};

const OURS: &str = "key-of-the-clients-own";

/// A wire to another upstream on which somebody listens: what goes there is written down.
fn tapped(to: SocketAddr) -> (Upstream, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    let upstream = Upstream::playing(move |script| {
        let mut there = TcpStream::connect(to)?;
        let (mut back, mut near) = (there.try_clone()?, script.stream().try_clone()?);
        let answers = thread::spawn(move || {
            let _ = io::copy(&mut back, &mut near);
            let _ = near.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 16 * 1024];
        let mut from = script.stream().try_clone()?;
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            if length == 0 {
                let _ = there.shutdown(Shutdown::Both);
                return answers.join().map_err(|_| io::Error::other("a panic"));
            }
            noted.lock().expect("not poisoned").extend_from_slice(&buffer[..length]);
            there.write_all(&buffer[..length])?;
        }
    });
    (upstream, heard)
}

/// Fails if the client's key came through.
fn not_in(heard: &Mutex<Vec<u8>>) {
    let heard = String::from_utf8_lossy(&heard.lock().expect("not poisoned")).into_owned();
    assert!(heard.contains("HTTP/1.1") && !heard.contains(OURS), "{heard}");
    assert!(!heard.to_ascii_lowercase().contains("x-aqueduct-key"), "{heard}");
}

#[test]
fn sdks_put_it_wherever_their_options_allow() {
    let provider = Provider::start().expect("starts");
    let (upstream, heard) = tapped(provider.address());
    let url = upstream.url();
    let proxy = Proxy::start(&json!({
        "client_keys": {"sdk": {"key": OURS, "routes": ["openai", "anthropic", "gemini", "own-*"]}},
        "routes": {
            "openai": {"target_url": url, "custom_headers": {"Authorization": format!("Bearer {KEY}")}},
            "anthropic": {"target_url": url, "custom_headers": {"x-api-key": KEY}},
            "gemini": {"target_url": url, "custom_headers": {"x-goog-api-key": KEY}},
            "own-openai": {"target_url": url},
            "own-anthropic": {"target_url": url},
            "own-gemini": {"target_url": url},
            "other": {"target_url": url},
        },
    }));
    let said = python("client_keys.py", &["sdks", &format!("http://{}", proxy.address()), OURS, KEY]);
    assert!(said.ends_with("all ok\n"), "{said}");
    not_in(&heard);
    let log = proxy.log();
    assert!(log.iter().all(|line| line["status"] == 401 || line["client"] == "sdk"), "{log:?}");
    assert!(!proxy.out().contains(OURS) && !proxy.out().contains(KEY));
}

#[test]
fn websockets_carry_it_in_their_handshake() {
    let upstream = PythonServer::start("websocket.py", &["serve"]);
    let (tap, heard) = tapped(upstream.address());
    let proxy = Proxy::start(&json!({
        "client_keys": {"page": {"key": OURS}},
        "routes": {"openai": {
            "target_url": tap.url(), "custom_headers": {"Authorization": "Bearer key-of-the-route"},
        }},
    }));
    let said = python("client_keys.py", &["sockets", &format!("http://{}", proxy.address()), OURS]);
    assert!(said.ends_with("all ok\n"), "{said}");
    not_in(&heard);
    assert!(!proxy.out().contains(OURS));
}
