//! Sockets that a manager of services has opened, from the program that systemd has for trying that out.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, PATIENCE, Proxy, Upstream, aqueduct, eventually, free_port, has_ended, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// Lets a manager listen for a command. It begins when the first client is there.
fn activate(command: &mut Command, options: &[&str]) {
    let mut manager = Command::new("systemd-socket-activate");
    manager.args(options).args(["-E", "LC_ALL=C.UTF-8", "-E", "TZ=UTC"]);
    manager.arg(command.get_program()).args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        manager.current_dir(directory).stdin(Stdio::null());
    }
    *command = manager;
}

fn local_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// A client that keeps knocking until somebody listens.
fn knock(address: SocketAddr) -> Client {
    let mut client = None;
    eventually("the manager listens", || {
        client = std::net::TcpStream::connect(address).ok();
        client.is_some()
    });
    drop(client);
    Client::connect(address)
}

/// What the program says when it is given sockets that do not suit it.
fn refused(server: &Value, options: &[&str], knock: impl FnOnce()) -> String {
    let directory = TempDir::new().expect("a directory");
    write_private(&directory.path().join("config.json"), &json!({"server": server}).to_string());
    let mut command = aqueduct();
    command.current_dir(directory.path());
    activate(&mut command, options);
    let mut limited = Command::new("timeout");
    limited.arg(PATIENCE.as_secs().to_string()).arg(command.get_program()).args(command.get_args());
    limited.current_dir(directory.path());
    let mut command = limited;
    let output = std::thread::scope(|scope| {
        let output = scope.spawn(|| command.output().expect("runs"));
        knock();
        output.join().expect("no panic")
    });
    let Output { status, stderr, .. } = output;
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).expect("text")
}

#[test]
fn who_comes_first_wakes_the_program_and_is_served() {
    let (upstream, address) = (Upstream::ok(), local_address());
    let config = json!({
        "server": {"host": "127.0.0.1", "port": address.port(), "workers": 3},
        "routes": {"a": {"target_url": upstream.url()}, "u": {"universal_proxy": true}},
    });
    let first = std::thread::spawn(move || knock(address).ask(GET).text());
    let mut proxy = Proxy::start_with(&config, |command| activate(command, &["-l", &address.to_string()]));
    assert_eq!(first.join().expect("no panic"), "ok");
    proxy.says(&format!("Listening on: http://{address} (opened by the service manager)\n"));
    let mut clients: Vec<_> = (0..6).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask(GET).text(), "ok"));
    // One socket was given; every worker has its share of what comes in.
    assert_eq!(upstream.connections(), 3);

    // A universal route knows that this is its own proxy.
    let circle = proxy.client().ask(format!("GET /u/http://{address}/ HTTP/1.1\r\nHost: p\r\n\r\n"));
    assert_eq!((circle.status(), circle.field("x-aqueduct-error")), (403, Some("target_forbidden")));
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
}

#[test]
fn ports_and_local_sockets_find_their_doors_and_the_rest_is_opened() {
    let (upstream, directory) = (Upstream::ok(), TempDir::new().expect("a directory"));
    let (given, own) = (local_address(), local_address());
    let path = directory.path().join("given.sock");
    let unix = format!("unix:{}", path.display());
    let config = json!({
        "server": {"listen": [own.to_string(), unix, given.to_string()], "workers": 2},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let options = ["-l", &given.to_string(), "-l", path.to_str().expect("text")];
    let first = std::thread::spawn(move || knock(given).ask(GET).text());
    let mut proxy = Proxy::start_with(&config, |command| activate(command, &options));
    assert_eq!(first.join().expect("no panic"), "ok");
    proxy.says(&format!("Listening on: http://{own}\n"));
    proxy.says(&format!("Listening on: http://{given} (opened by the service manager)\n"));
    proxy.says(&format!("Listening on: {unix} (opened by the service manager)\n"));
    assert_eq!(Client::local(&path).ask(GET).text(), "ok");
    assert_eq!(Client::connect(own).ask(GET).text(), "ok");

    // A process that takes over knows as well who opened which.
    proxy.replace();
    eventually("it says so", || proxy.out().matches("(opened by the service manager)").count() == 4);
    assert_eq!(Client::local(&path).ask(GET).text(), "ok");
    assert_eq!(Client::connect(given).ask(GET).text(), "ok");
    assert_eq!(Client::connect(own).ask(GET).text(), "ok");
    proxy.signal("TERM");
    eventually("it ends", || has_ended(proxy.pid()));
    assert!(path.exists(), "who made the file takes it away");
}

#[test]
fn a_socket_that_no_door_names_is_refused() {
    let (given, named) = (local_address(), local_address());
    let server = json!({"host": "127.0.0.1", "port": named.port()});
    let text = refused(&server, &["-l", &given.to_string()], || drop(knock(given)));
    let wanted = format!("the service manager listens on {given}, but the configuration names {named}.");
    assert!(text.contains(&wanted), "{text}");

    let chinese = json!({"host": "127.0.0.1", "port": named.port(), "language": "zh"});
    let text = refused(&chinese, &["-l", &given.to_string()], || drop(knock(given)));
    assert!(text.contains(&format!("服务管理器监听的是 {given}，而配置中是 {named}。")), "{text}");
}

#[test]
fn what_is_no_listener_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("datagrams");
    let options = ["--datagram", "-l", path.to_str().expect("text"), "--fdname", "letters"];
    let text = refused(&json!({}), &options, || send(&path));
    assert!(text.contains("'letters' of the service manager is not a listening TCP or Unix stream socket"), "{text}");
}

/// Sends a datagram as soon as somebody listens.
fn send(path: &Path) {
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    eventually("the manager listens", || socket.send_to(b"x", path).is_ok());
    assert!(UnixStream::connect(path).is_err());
}

#[test]
fn words_meant_for_another_process_are_not_heard() {
    let config = json!({"server": {"host": "127.0.0.1", "port": 0}});
    let proxy = Proxy::start_with(&config, |command| _ = command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1"));
    proxy.says(&format!("Listening on: http://{}\n", proxy.address()));
}
