//! WebSocket as real programs speak it: the library that most of them use on both sides, the realtime clients of the
//! official SDKs, nginx in front.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, Nginx, Proxy, PythonServer, eventually, python, python_with, write_private};

const SCRIPT: &str = "websocket.py";
/// The key that the upstream wants, which only the routes have.
const KEY: &str = "key-of-the-route";

fn routes(url: &str) -> Value {
    json!({
        "a": {"target_url": url},
        "openai": {"target_url": url, "custom_headers": {"Authorization": format!("Bearer {KEY}")}},
        "gemini": {"target_url": url, "custom_headers": {"x-goog-api-key": KEY}},
    })
}

fn config(url: &str) -> Value {
    json!({"force_header_overwrite": true, "routes": routes(url)})
}

/// An upstream that speaks TLS, a proxy to it that speaks TLS as well, and the authority that both belong to.
fn over_tls() -> (PythonServer, Proxy, TempDir) {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let pair = authority.issue().write(directory.path());
    let authority_file = authority_file(&directory);
    write_private(Path::new(&authority_file), &authority.certificate());
    let path = |name: &str| pair[name].as_str().expect("a path");
    let upstream = PythonServer::start(SCRIPT, &["serve", path("cert"), path("key")]);
    let mut config = config(&format!("https://localhost:{}", upstream.address().port()));
    config["ca_file"] = json!(authority_file);
    config["server"] = json!({"tls": pair});
    (upstream, Proxy::start(&config), directory)
}

fn authority_file(directory: &TempDir) -> String {
    directory.path().join("authority.pem").display().to_string()
}

fn all_ok(said: &str) {
    assert!(said.ends_with("all ok\n"), "{said}");
}

/// Nothing but the one refusal was no tunnel, and every tunnel came to its end.
fn ended_well(proxy: &Proxy) {
    eventually("every connection is on record", || proxy.log().len() == 55);
    let log = proxy.log();
    let refused = log.iter().filter(|line| line["status"] == 404).count();
    assert!(refused == 1 && log.iter().all(|line| line["end"] == "done"), "{log:?}");
    assert!(log.iter().any(|line| line["status"] == 101 && line["bytes_in"].as_u64() > Some(5_000_000)), "{log:?}");
}

#[test]
fn the_python_library_talks_to_itself() {
    let upstream = PythonServer::start(SCRIPT, &["serve"]);
    let proxy = Proxy::start(&config(&format!("http://{}", upstream.address())));
    all_ok(&python(SCRIPT, &["talk", &format!("ws://{}/a", proxy.address())]));
    ended_well(&proxy);
}

#[test]
fn the_python_library_talks_to_itself_over_tls_on_both_sides() {
    let (_upstream, proxy, directory) = over_tls();
    let base = format!("wss://localhost:{}/a", proxy.address().port());
    let authority = authority_file(&directory);
    all_ok(&python_with(SCRIPT, &["talk", &base], &[("SSL_CERT_FILE", Path::new(&authority))]));
    ended_well(&proxy);
}

/// The block of the manual with what it says of WebSocket, in front of a proxy.
fn in_front_of(proxy: SocketAddr) -> Nginx {
    let block = format!(
        "location /byok/ {{
            proxy_pass http://{proxy}/byok/;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}"
    );
    Nginx::start_beside("map $http_upgrade $connection_upgrade { default upgrade; \"\" \"\"; }", &block, None)
}

#[test]
fn the_python_library_talks_to_itself_behind_nginx() {
    let upstream = PythonServer::start(SCRIPT, &["serve"]);
    let mut config = config(&format!("http://{}", upstream.address()));
    config["server"] = json!({"base_path": "/byok"});
    let proxy = Proxy::start(&config);
    let nginx = in_front_of(proxy.address());
    all_ok(&python(SCRIPT, &["talk", &format!("ws://{}/byok/a", nginx.address())]));
    ended_well(&proxy);
    all_ok(&python(SCRIPT, &["realtime", &format!("http://{}/byok", nginx.address())]));
}

#[test]
fn the_realtime_client_of_openai() {
    let upstream = PythonServer::start(SCRIPT, &["serve"]);
    let proxy = Proxy::start(&config(&format!("http://{}", upstream.address())));
    all_ok(&python(SCRIPT, &["realtime", &format!("http://{}", proxy.address())]));
    eventually("both sessions are on record", || proxy.log().len() == 2);
    assert!(proxy.log().iter().all(|line| line["status"] == 101 && line["end"] == "done"), "{:?}", proxy.log());
}

#[test]
fn the_realtime_clients_of_openai_and_google_over_tls() {
    let (_upstream, proxy, directory) = over_tls();
    let base = format!("https://localhost:{}", proxy.address().port());
    let authority = authority_file(&directory);
    for who in ["realtime", "live"] {
        all_ok(&python_with(SCRIPT, &[who, &base], &[("SSL_CERT_FILE", Path::new(&authority))]));
    }
    assert!(proxy.log().iter().all(|line| line["status"] == 101), "{:?}", proxy.log());
}
