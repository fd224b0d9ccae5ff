//! A proxy that runs, with secrets in its configuration, its environment, its files and in what clients send, through
//! every outcome of a request, reloads and the end.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::scene::Scene;
use super::{Said, leak, secret};
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, request_for};
use crate::support::http2::{Http2Client, get, run};
use crate::support::{
    Authority, Client, Proxy, Received, TlsUpstream, begin_tls, eventually, http_proxy, write_private,
};

/// What a client may say that is secret, in every place in which such things are said.
fn fields() -> String {
    let basic = |name: &str| STANDARD.encode(format!("user:{}", secret(name)));
    [
        format!("Authorization: Bearer {}", secret("bearer")),
        format!("x-api-key: {}", secret("x-api-key")),
        format!("x-goog-api-key: {}", secret("x-goog-api-key")),
        format!("api-key: {}", secret("api-key")),
        format!("Cookie: session={}", secret("cookie")),
        format!("Proxy-Authorization: Basic {}", basic("proxy-authorization")),
        format!("Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{}", secret("subprotocol")),
        format!("Referer: https://u:{0}@h/?key={0}", secret("referer")),
        format!("X-Other: {}", secret("other")),
        format!("Forwarded: for={}", secret("forwarded")),
        format!("X-Forwarded-For: {}", secret("forwarded")),
    ]
    .map(|line| line + "\r\n")
    .concat()
}

/// The same in a query.
pub(super) fn query() -> String {
    let it = secret("query");
    format!(
        "key={it}&API_KEY={it}&%61pi%5Fkey={it}&access_token={it}&token={it}&token={it}&%256bey={it}&key[]={it}&\
         url=https%3A%2F%2Fu%3A{it}%40h%2F%3Fkey%3D{it}&next=https://u:{it}@h/&a=1;key={it}&//u:{it}@h/&u=%7B%22token%22:%22{it}%22%7D"
    )
}

pub(super) fn ask(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: p\r\n{}{more}\r\n", fields())
}

/// A proxy in an environment that holds secrets, and a manager of services that listens.
pub(super) struct Stage {
    pub(super) proxy: Proxy,
    /// What the manager of services has been told.
    told: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Stage {
    pub(super) fn start(config: &Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let manager = UnixDatagram::bind(directory.path().join("notify")).expect("binds");
        let told = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&told);
        thread::spawn(move || {
            let mut words = [0; 4096];
            while let Ok(length) = manager.recv(&mut words) {
                heard.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&words[..length]));
            }
        });
        let proxy = Proxy::start_text(&config.to_string(), |command| {
            let place = command.get_current_dir().expect("said").to_owned();
            write_private(&place.join("key.txt"), &format!("{}\n", secret("file")));
            command
                .env("AQ_KEY", secret("variable"))
                .env("HTTP_PROXY", format!("sock5://u:{}@h", secret("http-proxy")))
                .env("HTTPS_PROXY", format!("http://u:{}@127.0.0.1:1", secret("https-proxy")))
                .env("NO_PROXY", format!("u:{0}@h,http://u:{0}/x@h", secret("no-proxy")))
                .env("NOTIFY_SOCKET", directory.path().join("notify"))
                .env("RUST_BACKTRACE", "full")
                .env("RUST_LOG", "trace");
        });
        Self { proxy, told, _directory: directory }
    }

    /// Ends it, and looks at all that it has said.
    pub(super) fn end(mut self, mut said: Said) {
        self.proxy.signal("TERM");
        assert!(self.proxy.ended().success());
        eventually("the end is told", || self.proxy.out().contains("Stopped") || self.proxy.out().contains("已停止"));
        said.add("standard output", self.proxy.out());
        said.add("standard error", self.proxy.err());
        let told = || self.told.lock().expect("not poisoned").clone();
        eventually("the manager of services is told of the end", || told().contains("STOPPING=1"));
        said.add("the manager of services", told());
        let place = self.proxy.config_path();
        let files = std::fs::read_dir(place.parent().expect("a directory")).expect("a directory");
        let mut names: Vec<_> = files.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "key.txt"], "nothing else is written");
        said.check();
    }
}

/// Notes what an answer says, if it is one of the proxy's own.
pub(super) fn note(said: &mut Said, target: &str, answer: &Received) -> String {
    let code = answer.field("x-aqueduct-error").map(str::to_owned);
    if code.is_some() {
        said.add(format!("the answer to {target}"), format!("{}{}", answer.head, answer.text()));
    }
    code.unwrap_or_else(|| answer.status().to_string())
}

/// Requests that are refused for what they are, with a secret in what is wrong.
fn malformed() -> Vec<String> {
    let it = secret("malformed");
    let with =
        |line: &str| format!("GET /echo?key={it} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {it}\r\n{line}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: p\r\nAuthorization: Bearer {it}\r\n\r\n");
    let post = |line: &str, body: &str| format!("POST /echo?key={it} HTTP/1.1\r\nHost: p\r\n{line}\r\n\r\n{body}");
    vec![
        with(&format!("Authorization Bearer {it}")),
        with(&format!("Authorization : Bearer {it}")),
        with(&format!("X: {it}\0")),
        with(&format!("X: {it}\n Y: {it}")),
        with(&format!(" {it}")),
        with(&format!("Host: {it}")),
        with(&format!("Content-Length: {it}")),
        with(&format!("Transfer-Encoding: {it}")),
        line(&format!("GET /echo?key={it} {it} HTTP/1.1")),
        line(&format!("GET /echo?key={it} HTTP/9.{it}")),
        line(&format!("G@T /echo?key={it} HTTP/1.1")),
        line(&format!("GET key={it} HTTP/1.1")),
        line(&format!("GET /echo?key={it}#{it} HTTP/1.1")),
        line(&format!("GET http://u:{it}@p:x/echo?key={it} HTTP/1.1")),
        line(&format!("GET http://u:{it}@p/none?key={it} HTTP/1.1")),
        line(&format!("CONNECT u:{it}@p:443 HTTP/1.1")),
        line(&format!("TRACE /echo?key={it} HTTP/1.1")),
        line(&format!("OPTIONS * HTTP/1.1\r\nX: {it}")),
        line(&format!("GET /echo/../x?key={it} HTTP/1.1")),
        line(&format!("GET /echo/%zz?key={it} HTTP/1.1")),
        line(&format!("GET /none/u:{it}@h?key={it} HTTP/1.1")),
        line(&format!("GET /u:{it}@h HTTP/1.1")),
        line(&format!("GET /echo?key={} HTTP/1.1", it.repeat(2000))),
        with(&format!("X: {}", it.repeat(8000))),
        with(&format!("X: {it}\r\n").repeat(200)),
        post("Content-Length: 100000", &it),
        post("Transfer-Encoding: chunked", &format!("{it}\r\n{it}\r\n0\r\n\r\n")),
        post("Transfer-Encoding: chunked", &format!("5;{it}=\0\r\nhello\r\n0\r\n\r\n")),
        post("Transfer-Encoding: chunked", &format!("0\r\n{it} : x\r\n\r\n")),
        format!("{it}\r\n\r\n"),
        format!("\x16\x03\x01{it}\r\n\r\n"),
    ]
}

/// What a client of the universal route may ask for.
fn universal(echo: &str) -> Vec<String> {
    let it = secret("login");
    [
        format!("http://u:{it}@{echo}/x"),
        format!("http://{it}@{echo}/x"),
        format!("http:/u:{it}@{echo}/x"),
        format!("http%3A%2F%2Fu%3A{it}%40{echo}%2Fx%3Fkey%3D{it}"),
        format!("http%253A%252F%252Fu%253A{it}%2540h%252Fx%253Fkey%253D{it}"),
        format!("http://{echo}/to/https://u:{it}@h/x"),
        format!("http://{echo}/to/https%3A%2F%2Fu%3A{it}%40h"),
        format!("http://{echo}/to%3Fkey={it}"),
        format!("http://u:{it}@127.0.0.1:1/x"),
        format!("http://u:{it}@nowhere.invalid/x"),
        format!("http://u:{it}@169.254.169.254/x"),
        format!("http://u:{it}/x@h/x"),
        format!("http://u:{it}%40h/x"),
        format!("http://u:{it}@v@h/x"),
        format!("http://h:{it}/x"),
        format!("http:\\\\u:{it}@h/x"),
        format!("http:u:{it}@h/x"),
        format!("ftp://u:{it}@h/x"),
        format!("u:{it}@h/x"),
    ]
    .map(|target| format!("/u/{target}"))
    .into()
}

/// Whoever is on the other side of it.
fn hear(mut client: Client, said: &mut Said, what: &str) {
    if let Ok(answer) = client.try_answer() {
        note(said, what, &answer);
    }
}

fn every_outcome(format: &str, lang: &str) {
    let scene = Scene::new();
    let config = scene.config(format, lang);
    outcomes(&scene, &config, &[]);
}

/// Every outcome of this configuration; of these secrets not even the upstream hears.
fn outcomes(scene: &Scene, config: &Value, ours: &[&str]) {
    let stage = Stage::start(config);
    let (proxy, mut said) = (&stage.proxy, Said::default());
    for (name, expected) in &scene.expected {
        let target = format!("/{name}/x?{}", query());
        let answer = proxy.client().ask(ask(&target, ""));
        let code = note(&mut said, &target, &answer);
        assert!(code.starts_with(expected), "{name}: {code} and not {expected}: {}", answer.head);
        // Otherwise nothing secret was on its way at all.
        assert!(*name != "echo" || leak(&answer.text()).is_some());
        for name in ours {
            assert!(!answer.text().contains(&secret(name)), "{}", answer.text());
        }
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    proxy.client().ask(ask(&format!("/echo/x?{}", query()), upgrade));
    for target in universal(&scene.echo) {
        let target = format!("{target}?{}", query());
        let answer = proxy.client().ask(ask(&target, ""));
        note(&mut said, &target, &answer);
    }
    for request in malformed() {
        let mut client = proxy.client();
        // Who has been refused may not be heard to the end.
        let _ = std::io::Write::write_all(client.stream_mut(), request.as_bytes());
        hear(client, &mut said, &request.chars().take(60).collect::<String>());
    }
    over_http2(proxy.address(), &mut said);
    // Clients that leave.
    for name in ["stalls", "echo"] {
        let mut client = proxy.client();
        client.send(ask(&format!("/{name}?{}", query()), "")).finish();
        client.reset();
    }
    reloads(&stage, config);
    stage.end(said);
}

fn over_http2(to: std::net::SocketAddr, said: &mut Said) {
    run(async {
        let mut client = Http2Client::connect(to).await;
        for name in ["echo", "refused", "garbage", "cut", "goes-away", "none", "no-tunnel"] {
            let mut request = get(&format!("/{name}/x?key={0}&url=https://u:{0}@h", secret("query")));
            for line in fields().lines().filter(|line| !line.starts_with("Proxy-")) {
                let (field, value) = line.split_once(": ").expect("a field");
                let field = http::HeaderName::from_bytes(field.as_bytes()).expect("a name");
                request.headers_mut().append(field, value.parse().expect("a value"));
            }
            let heard = client.ask(request, b"").await;
            if heard.headers.contains_key("x-aqueduct-error") {
                said.add(
                    format!("{name} over HTTP/2"),
                    format!("{:?}{}", heard.headers, String::from_utf8_lossy(&heard.body)),
                );
            }
        }
    });
    let it = secret("malformed");
    for fields in [
        [("authorization", it.as_str()), ("connection", &it)],
        [("authorization", &it), (":path", &it)],
        [("authorization", &it), ("content-length", &it)],
        [("authorization", &it), ("x y", &it)],
        [("authorization", &it), ("x", "a\0b")],
        [("authorization", &it), ("te", &it)],
    ] {
        let mut frames = Frames::open(to);
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, request_for(&format!("/echo?key={it}"), "GET", &fields));
        let _ = frames.flush();
        let mut heard = Vec::new();
        while let Ok(Some(frame)) = frames.until(|frame| frame.stream == 1 || frame.kind == GOAWAY) {
            heard.extend_from_slice(&frame.payload);
            if frame.is_last() || frame.kind == GOAWAY || frame.kind == RST_STREAM {
                break;
            }
        }
        // What is no upstream's answer.
        let heard = String::from_utf8_lossy(&heard).into_owned();
        if !heard.contains("Host: ") {
            said.add(format!("frames in answer to {fields:?}"), heard);
        }
    }
}

/// Broken files while it runs, a warning, a good one.
fn reloads(stage: &Stage, good: &Value) {
    let (proxy, it) = (&stage.proxy, secret("reload"));
    let mut complaints = proxy.err().lines().count();
    let broken =
        |field: &str, value: Value| json!({"routes": {"a": {"target_url": "http://h", field: value}}}).to_string();
    for text in [
        broken("target_url", json!(format!("http://u:{it}@h:x"))),
        broken("proxy", json!(format!("sock5://u:{it}@h"))),
        broken("custom_headers", json!({format!("Authorization: {it}"): it})),
        broken("custom_headers", json!({"X": format!("${{{it}")})),
        format!("{{\"X\": \"{it}"),
    ] {
        write_private(&proxy.config_path(), &text);
        proxy.signal("HUP");
        eventually(&format!("{text} is told: {}", proxy.err()), || proxy.err().lines().count() > complaints);
        complaints = proxy.err().lines().count();
    }
    let mut odd = good.clone();
    odd["routes"]["echo"]["password"] = json!(it);
    odd["headers_to_drop"] = json!([format!("x-api-key: {it}")]);
    let count =
        || proxy.out().matches("Configuration reloaded.").count() + proxy.out().matches("配置文件已成功重载").count();
    for config in [&odd, good] {
        let before = count();
        write_private(&proxy.config_path(), &config.to_string());
        proxy.signal("HUP");
        eventually(&format!("it is reloaded: {}", proxy.err()), || count() > before);
    }
}

#[test]
fn no_outcome_shows_a_secret_to_people() {
    every_outcome("pretty", "en");
}

#[test]
fn no_outcome_shows_a_secret_to_people_in_chinese() {
    every_outcome("pretty", "zh");
}

#[test]
fn no_outcome_shows_a_secret_to_programs() {
    every_outcome("json", "en");
}

#[test]
fn no_outcome_shows_a_key_of_a_client() {
    let scene = Scene::new();
    for (format, lang) in [("pretty", "zh"), ("json", "en")] {
        let mut config = scene.config(format, lang);
        config["client_keys"] = json!({
            "one": {"key": secret("x-goog-api-key")},
            "other": {"key": secret("subprotocol"), "expires": "2001-01-01"},
        });
        config["cors"] = json!({"origins": ["*"]});
        outcomes(&scene, &config, &["x-goog-api-key", "subprotocol"]);
        // Whoever has none of them is told so, and nothing more.
        config["client_keys"] = json!({"one": {"key": secret("of-somebody-else")}});
        let stage = Stage::start(&config);
        let mut said = Said::default();
        for target in ["/echo", "/none", "/no-target"] {
            let target = format!("{target}/x?{}", query());
            let answer = stage.proxy.client().ask(ask(&target, ""));
            assert_eq!(note(&mut said, &target, &answer), "unauthorized");
        }
        stage.end(said);
    }
}

#[test]
fn no_side_of_tls_shows_a_secret() {
    let (upstream, directory) = (TlsUpstream::ok("localhost"), tempfile::tempdir().expect("a directory"));
    let authority = Authority::new();
    let pair = authority.issue();
    let way = http_proxy();
    let url = |host: &str| format!("https://user:{}@{host}:{}", secret("target"), upstream.port());
    let headers = json!({"x-api-key": secret("literal")});
    let config = json!({
        "server": {"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "pretty", "language": "en", "tls": pair.write(directory.path())},
        "routes": {
            // Nobody knows its authority.
            "unknown": {"target_url": url("localhost"), "custom_headers": headers, "proxy": ""},
            "tunnel": {"target_url": url("localhost"), "custom_headers": headers, "proxy": format!("http://u:{}@{}", secret("proxy"), way.address())},
        },
    });
    let stage = Stage::start(&config);
    let mut said = Said::default();
    for target in ["/unknown", "/tunnel"] {
        let mut client = begin_tls(stage.proxy.address(), authority.trusted(rustls::ALL_VERSIONS, None));
        let answer = client.ask(ask(&format!("{target}/x?{}", query()), ""));
        assert_eq!(note(&mut said, target, &answer), "upstream_tls", "{}", answer.text());
    }
    // Somebody who speaks no TLS, and somebody who does not trust us.
    stage.proxy.client().send(ask(&format!("/unknown?{}", query()), "")).rest();
    let stranger = Authority::new();
    let mut client = begin_tls(stage.proxy.address(), stranger.trusted(rustls::ALL_VERSIONS, None));
    assert!(std::io::Write::write_all(client.stream_mut(), b"GET / HTTP/1.1\r\n\r\n").is_err());
    // The key is replaced by what is none.
    write_private(&directory.path().join("key.pem"), &format!("-----BEGIN PRIVATE KEY-----\n{}\n", secret("pem")));
    stage.proxy.signal("HUP");
    stage.proxy.complains("no private key");
    let key: Vec<&str> = pair.key.lines().filter(|line| line.len() > 20 && !line.starts_with('-')).collect();
    assert!(!key.is_empty());
    for line in key {
        assert!(!stage.proxy.out().contains(line) && !stage.proxy.err().contains(line), "a line of the key");
    }
    stage.end(said);
}

#[test]
fn an_address_that_is_taken_is_told_without_secrets() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    assert!(TcpStream::connect(address).is_ok());
    let directory = tempfile::tempdir().expect("a directory");
    let scene = Scene::new();
    let mut config = scene.config("pretty", "en");
    config["server"]["port"] = json!(address.port());
    write_private(&directory.path().join("config.json"), &config.to_string());
    write_private(&directory.path().join("key.txt"), &secret("file"));
    let output = crate::support::aqueduct()
        .current_dir(directory.path())
        .env("AQ_KEY", secret("variable"))
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let mut said = Said::default();
    said.add("a start that fails", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    said.check();
}
