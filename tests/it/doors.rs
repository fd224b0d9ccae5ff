//! Where clients come in: local sockets, several addresses, and what asks whether they do.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, Client, Nginx, Proxy, Upstream, aqueduct, curl, eventually, free_port, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// A directory of which a path inside can be the path of a socket.
fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("x.sock");
    (directory, path)
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A proxy with one route to this upstream, on a local socket.
fn local(upstream: &Upstream, path: &Path, more: &Value) -> Proxy {
    let mut server = json!({"host": unix(path)});
    server.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Proxy::start(&json!({"server": server, "routes": {"a": {"target_url": upstream.url()}}}))
}

/// Runs a command with a configuration.
fn run(config: &Value, arguments: &[&str]) -> Output {
    let directory = TempDir::new().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    aqueduct().current_dir(directory.path()).args(arguments).output().expect("runs")
}

/// An upstream whose streams send one chunk when they are told to, and end.
fn stream() -> (Upstream, Sender<()>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
        script.send("1\r\nb\r\n0\r\n\r\n")
    });
    (upstream, go)
}

#[test]
fn requests_come_in_on_a_local_socket() {
    let (upstream, (_directory, path)) = (Upstream::ok(), directory());
    let proxy = local(&upstream, &path, &json!({"workers": 2}));
    proxy.says(&format!("Listening on: {}\n", unix(&path)));
    let socket = path.to_str().expect("text");
    assert_eq!(curl(&["--unix-socket", socket, "http://p/a/x"]), "ok");
    let mut client = Client::local(&path);
    for _ in 0..2 {
        assert_eq!(client.ask(GET).text(), "ok");
    }
    eventually("all are on record", || proxy.log().len() == 3);
    assert!(proxy.log().iter().all(|line| line["peer"] == "unix:"));
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o666);
}

#[test]
fn workers_take_turns_on_a_local_socket() {
    let (upstream, (_directory, path)) = (Upstream::ok(), directory());
    let _proxy = local(&upstream, &path, &json!({"workers": 3}));
    let mut clients: Vec<_> = (0..6).map(|_| Client::local(&path)).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask(GET).text(), "ok"));
    // Each worker has upstream connections of its own, and keeps them.
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn everything_works_on_a_local_socket_as_on_a_port() {
    let (_directory, path) = directory();
    let body = vec![b'x'; 1_000_000];
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".as_slice(), &body].concat();
    let upstream = Upstream::answering(answer);
    let limits = json!({"limits": {"max_connections": 2, "head_timeout": "300ms"}});
    let proxy = local(&upstream, &path, &limits);
    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = Client::local(&path);
    assert!(client.ask([head.as_bytes(), &body].concat()).body == body);
    assert!(upstream.request().body == body);

    let mut half = Client::local(&path);
    half.send("GET /a");
    assert_eq!(Client::local(&path).ask(GET).status(), 503);
    assert_eq!(half.answer().status(), 408);
    assert_eq!(proxy.logged(|line| line["code"] == "overloaded")["peer"], "unix:");
}

#[test]
fn who_leaves_a_local_socket_takes_the_upstream_along() {
    let (_directory, path) = directory();
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.until_closed()
    });
    let proxy = local(&upstream, &path, &json!({}));
    let mut client = Client::local(&path);
    client.send(GET);
    upstream.request();
    drop(client);
    assert_eq!(proxy.logged(|line| line["route"] == "a")["end"], "client_gone");
}

#[test]
fn an_abandoned_socket_is_replaced_and_a_live_one_is_not() {
    let (upstream, (directory, path)) = (Upstream::ok(), directory());
    let first = local(&upstream, &path, &json!({}));
    let config = json!({"server": {"host": unix(&path)}});
    let refused = |wanted: &str| {
        let output = run(&config, &["--lang", "en"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(&format!("{}: {wanted}", unix(&path))), "{said}");
    };
    refused("Address already in use");
    assert_eq!(Client::local(&path).ask(GET).text(), "ok", "it is still there");
    // Killed, it leaves its file behind.
    drop(first);
    assert!(path.exists());
    let mut second = local(&upstream, &path, &json!({}));
    assert_eq!(Client::local(&path).ask(GET).text(), "ok");
    second.signal("TERM");
    assert_eq!(second.ended().code(), Some(0));
    assert!(!path.exists(), "an orderly end leaves nothing behind");

    // Also one of another program, but nothing that is no socket.
    drop(UnixListener::bind(&path).expect("binds"));
    drop(local(&upstream, &path, &json!({})));
    std::fs::remove_file(&path).expect("left behind");
    std::fs::write(&path, "precious").expect("writes");
    refused("Address already in use");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
    std::fs::remove_file(&path).expect("there");
    std::fs::remove_dir(directory.path()).expect("empty");
    refused("No such file or directory");
}

#[test]
fn a_relative_socket_lies_in_the_working_directory() {
    let upstream = Upstream::ok();
    let config = json!({"server": {"host": "unix:x.sock"}, "routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start(&config);
    assert_eq!(Client::local(&proxy.config_path().with_file_name("x.sock")).ask(GET).text(), "ok");
}

#[test]
fn the_file_goes_first_at_the_end() {
    let ((upstream, go), (_directory, path)) = (stream(), directory());
    let listen = json!([unix(&path), "127.0.0.1:0"]);
    let mut proxy = Proxy::start(
        &json!({"server": {"listen": listen, "workers": 2}, "routes": {"a": {"target_url": upstream.url()}}}),
    );
    let mut client = Client::local(&path);
    client.send(GET).head();
    proxy.signal("TERM");
    eventually("nobody listens any more", || {
        UnixStream::connect(&path).is_err() && TcpStream::connect(proxy.address()).is_err()
    });
    assert!(!path.exists() && proxy.is_alive());
    // A successor is not disturbed.
    let _successor = local(&upstream, &path, &json!({}));
    go.send(()).expect("a stream");
    client.hears("b");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(Client::local(&path).ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
}

#[test]
fn nginx_comes_in_on_a_local_socket() {
    let ((upstream, go), (_directory, path)) = (stream(), directory());
    let proxy = local(&upstream, &path, &json!({}));
    let nginx = Nginx::start(
        &format!(
            "location / {{ proxy_pass http://{}:; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection ''; }}",
            unix(&path)
        ),
        None,
    );
    let mut client = Client::connect(nginx.address());
    client.send(GET).hears("a");
    go.send(()).expect("a stream");
    client.hears("b");
    assert_eq!(proxy.logged(|line| line["route"] == "a")["peer"], "unix:");
}

#[test]
fn several_addresses_are_listened_on() {
    let (upstream, (_directory, path)) = (Upstream::ok(), directory());
    let port = free_port();
    let listen = json!(["127.0.0.1:0", format!("[::1]:{port}"), unix(&path)]);
    let config = json!({
        "server": {"listen": listen, "host": "192.0.2.1", "workers": 2},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let proxy = Proxy::start(&config);
    proxy.says(&format!("  - Listening on: http://{}\n  - Listening on: http://[::1]:{port}\n", proxy.address()));
    proxy.says(&format!("  - Listening on: {}\n", unix(&path)));
    proxy.complains("server.host: 'listen' is used instead of 'host' and 'port'");
    assert_eq!(proxy.client().ask(GET).text(), "ok");
    assert_eq!(Client::local(&path).ask(GET).text(), "ok");
    let other = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    assert_eq!(Client::connect(other).ask(GET).text(), "ok");
}

#[test]
fn the_command_line_beats_the_list() {
    let (_directory, path) = directory();
    let config = json!({"server": {"listen": [unix(&path)], "host": "127.0.0.1"}});
    for arguments in [["--port", "0"], ["--host", "127.0.0.1"]] {
        let port = free_port();
        let mut config = config.clone();
        config["server"]["port"] = json!(port);
        let proxy = Proxy::start_with(&config, |command| _ = command.args(arguments));
        assert!(!path.exists() && proxy.address().ip().is_loopback());
        assert_eq!(proxy.address().port() == port, arguments[0] == "--host");
    }
}

#[test]
fn a_bad_address_is_refused_at_its_place() {
    let long = format!("unix:/{}", "x".repeat(200));
    let cases = [
        (json!({"listen": ["127.0.0.1:1", "localhost"]}), "1:36: server.listen[1]: expected an address to listen on"),
        (json!({"listen": ["http://127.0.0.1:1"]}), "1:22: server.listen[0]: expected an address"),
        (json!({"listen": ["::1:80"]}), "server.listen[0]: expected an address"),
        (json!({"listen": ["a:70000"]}), "server.listen[0]: expected an address"),
        (json!({"listen": ["unix:"]}), "server.listen[0]: expected an address"),
        (json!({"listen": [long]}), "server.listen[0]: the path is longer than the system allows"),
        (json!({"listen": [":1", "unix:/x", ":1"]}), "server.listen[2]: this address stands in the list already"),
        (json!({"listen": []}), "server.listen: the list is empty"),
        (json!({"listen": [3000]}), "server.listen[0]: expected a string, found a whole number"),
        (json!({"listen": ":1"}), "server.listen: expected an array or null, found a string"),
        (json!({"host": "unix:"}), "1:19: server.host: expected an address"),
        (json!({"host": long}), "server.host: the path is longer than the system allows"),
    ];
    for (server, wanted) in cases {
        let output = run(&json!({"server": server}), &["check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn a_change_of_the_list_needs_a_restart() {
    let config = json!({"server": {"listen": ["127.0.0.1:0"], "reload_interval": 0}});
    let proxy = Proxy::start(&config);
    let mut changed = config.clone();
    changed["server"]["listen"] = json!(["127.0.0.1:0", "127.0.0.1:1"]);
    write_private(&proxy.config_path(), &changed.to_string());
    proxy.complains("A change of server.host, port, listen or workers takes effect after a restart.");
    assert_eq!(proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
}

#[test]
fn an_open_universal_route_is_no_danger_on_a_local_socket() {
    let universal = |server: Value| {
        let output = run(&json!({"server": server, "routes": {"u": {"universal_proxy": true}}}), &["check"]);
        String::from_utf8_lossy(&output.stdout).contains("send requests to any host")
    };
    assert!(!universal(json!({"host": "unix:/x.sock"})));
    assert!(!universal(json!({"listen": ["unix:/x.sock", "[::1]:1", "localhost:1"]})));
    assert!(universal(json!({"listen": ["unix:/x.sock", ":1"]})));
}

#[test]
fn healthcheck_finds_its_way_in() {
    let (directory, path) = directory();
    let (authority, clients) = (Authority::new(), Authority::new());
    let tls = authority.issue().write(directory.path());
    let client_ca = directory.path().join("clients.pem");
    write_private(&client_ca, &clients.certificate());
    let mut mutual = tls.clone();
    mutual["client_ca"] = json!(client_ca);
    let port = free_port();
    for server in [
        json!({"host": unix(&path)}),
        json!({"host": unix(&path), "tls": tls}),
        json!({"listen": [format!("127.0.0.1:{port}"), unix(&path)], "tls": tls}),
        json!({"host": "127.0.0.1", "port": port, "tls": mutual}),
    ] {
        let config = json!({"server": server});
        let check = || run(&config, &["healthcheck"]).status.code();
        let proxy = Proxy::start(&config);
        assert_eq!(check(), Some(0), "{config}");
        drop(proxy);
        assert_eq!(check(), Some(1), "{config}");
    }
}
