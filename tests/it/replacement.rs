//! The running binary is replaced, and nobody notices.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http2::{Http2Client, get, hear, hears, run};
use crate::support::{Authority, Client, PATIENCE, Proxy, Upstream, eventually, free_port, has_ended, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";
const STREAM: &str = "GET /a/stream HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n";
const REPLACEMENTS: usize = 10;

/// An upstream that answers at once, but for its streams: these end when they are told to.
fn upstream() -> (Upstream, Sender<()>) {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        while let Some(request) = script.request()? {
            if request.head.contains("/stream") {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                script.send(format!("{head}9\r\ndata: 1\n\n\r\n"))?;
                let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
                script.send("9\r\ndata: 2\n\n\r\n0\r\n\r\n")?;
            } else {
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
        }
        Ok(())
    });
    (upstream, go)
}

fn config(upstream: &Upstream, server: &Value) -> Value {
    let mut all = json!({"shutdown_timeout": "300s"});
    all.as_object_mut().expect("an object").extend(server.as_object().expect("an object").clone());
    json!({"server": all, "routes": {"a": {"target_url": upstream.url()}, "u": {"universal_proxy": true}}})
}

fn begun(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.send(STREAM).head();
    assert_eq!(client.some(), b"9\r\ndata: 1\n\n\r\n");
    client
}

fn is_whole(mut stream: Client) {
    assert_eq!(stream.rest(), b"9\r\ndata: 2\n\n\r\n0\r\n\r\n");
}

/// Clients that ask without a pause.
struct Load {
    is_over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(proxy: &Proxy) -> Self {
        let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let address = proxy.address();
        let post = format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
        // Some keep their connections for as long as they may, some make a new one each time.
        let clients = [(GET, true), (GET, true), (&post, true), (GET, false), (&post, false)];
        let clients = clients.map(|(request, keeps)| {
            let (is_over, asked, request) = (Arc::clone(&is_over), Arc::clone(&asked), request.to_owned());
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !is_over.load(Ordering::SeqCst) {
                    let answer = client.ask(&request);
                    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
                    asked.fetch_add(1, Ordering::SeqCst);
                    if !keeps || answer.field("connection") == Some("close") {
                        client = Client::connect(address);
                    }
                }
            })
        });
        Self { is_over, asked, clients: clients.into() }
    }

    /// Waits until this many more requests have been answered.
    fn goes_on(&self, count: usize) {
        let before = self.asked.load(Ordering::SeqCst);
        eventually("clients are served", || {
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a request has failed");
            self.asked.load(Ordering::SeqCst) >= before + count
        });
    }

    /// Ends it, and gives how many requests were answered.
    fn ends(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("no request failed");
        }
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn ten_replacements_under_load_with_fifty_streams_lose_nothing() {
    let (upstream, go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({"workers": 2})));
    let mut streams: Vec<_> = (0..50).map(|_| begun(&proxy)).collect();
    let load = Load::on(&proxy);
    let mut replaced = Vec::new();
    for _ in 0..REPLACEMENTS {
        load.goes_on(20);
        replaced.push(proxy.pid());
        proxy.replace();
        streams.push(begun(&proxy));
    }
    load.goes_on(20);
    let mut requests = load.ends();
    for _ in &streams {
        go.send(()).expect("the upstream waits");
    }
    requests += streams.len();
    streams.into_iter().for_each(is_whole);
    assert_eq!(replaced.iter().collect::<HashSet<_>>().len(), REPLACEMENTS);
    for process in replaced {
        eventually("who was replaced and has nothing left to do ends", || has_ended(process));
        proxy.says(&format!("Process {process}, which was replaced, has ended."));
    }
    proxy.signal("TERM");
    eventually("the last one ends, too", || has_ended(proxy.pid()));
    proxy.says("Stopped");
    let log = proxy.log();
    assert!(log.iter().all(|line| line["end"] == "done"));
    assert_eq!(log.len(), requests, "every request is on record once");
    assert_eq!(proxy.err(), "");
}

#[test]
fn a_client_that_keeps_its_connection_is_told_before_it_is_closed() {
    let (upstream, go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({})));
    let (mut idle, mut fresh, mut busy) = (proxy.client(), proxy.client(), proxy.client());
    assert_eq!(idle.ask(GET).field("connection"), None);
    let head = busy.send(STREAM.replace("Connection: close\r\n", "")).head();
    assert!(!head.to_lowercase().contains("connection: close"), "{head}");
    let old = proxy.pid();
    proxy.replace();
    go.send(()).expect("the upstream waits");
    busy.hears("0\r\n\r\n");
    for client in [&mut idle, &mut fresh, &mut busy] {
        assert!(stays_open(client));
        let answer = client.ask(GET);
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    }
    eventually("nothing keeps it", || has_ended(old));
    assert_eq!(proxy.client().ask(GET).field("connection"), None);
}

/// Whether a client is told that its connection goes. The workers may need a moment to hear of it.
fn is_told<S: Read + Write>(client: &mut Client<S>) {
    eventually("an answer says that the connection goes", || {
        let answer = client.ask(GET);
        assert_eq!(answer.text(), "ok");
        answer.field("connection") == Some("close")
    });
}

/// Whether a connection stays longer than an end allows for which somebody waits.
fn stays_open(client: &mut Client) -> bool {
    client.stream().set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    let end = client.stream_mut().read(&mut [0]);
    client.stream().set_read_timeout(Some(PATIENCE)).expect("a socket");
    end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn who_is_replaced_ends_in_time_and_at_a_signal() {
    let (upstream, _go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({"shutdown_timeout": "300ms"})));
    let (stream, old) = (begun(&proxy), proxy.pid());
    proxy.replace();
    let mut stream = stream;
    assert_eq!(stream.rest(), b"", "no end of the body is made up");
    eventually("its time is over", || has_ended(old));

    write_private(&proxy.config_path(), &proxy.config().replace("300ms", "300s"));
    proxy.replace();
    let (_stream, old) = (begun(&proxy), proxy.pid());
    proxy.replace();
    signal(old, "TERM");
    proxy.says("Stopping: 1 connections may finish. A second signal ends them at once.");
    assert!(!has_ended(old));
    signal(old, "TERM");
    eventually("a second signal ends it at once", || has_ended(old));
    assert_eq!(proxy.client().ask(GET).text(), "ok");
}

fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &process.to_string()]).status().expect("kill").success());
}

/// A proxy that is started by a name which can be given to another program.
fn renamed(config: &Value) -> (Proxy, PathBuf, TempDir) {
    let directory = TempDir::new().expect("a directory");
    let name = directory.path().join("aqueduct");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_aqueduct"), &name).expect("a link");
    let proxy = Proxy::start_with(config, |command| {
        let mut other = Command::new(&name);
        other.current_dir(command.get_current_dir().expect("set"));
        *command = other;
    });
    (proxy, name, directory)
}

/// Puts a script in the place of a program.
fn put(name: &Path, script: &str) {
    let beside = name.with_extension("new");
    std::fs::write(&beside, script).expect("writes");
    std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o755)).expect("ours");
    std::fs::rename(&beside, name).expect("renames");
}

#[test]
fn a_new_binary_that_is_broken_changes_nothing() {
    let (upstream, _go) = upstream();
    let (mut proxy, name, _directory) = renamed(&config(&upstream, &json!({"workers": 2})));
    let mut kept = proxy.client();
    for (script, why) in [
        ("#!/bin/sh\nexit 7\n", "the new process ended before it could serve, with status 7."),
        ("#!/bin/sh\nkill -SEGV $$\n", "the new process ended before it could serve, by signal 11."),
        ("#!/nowhere/at/all\n", "cannot be started: No such file or directory"),
    ] {
        put(&name, script);
        proxy.signal("USR2");
        proxy.complains(
            &format!("This process was not replaced and goes on serving: {why}")
                .replace("serving: cannot", &format!("serving: '{}' cannot", name.display())),
        );
        assert_eq!(kept.ask(GET).field("connection"), None);
        assert_eq!(proxy.client().ask(GET).text(), "ok");
    }
    // And once it is in order, the same process can be replaced.
    std::fs::remove_file(&name).expect("ours");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_aqueduct"), &name).expect("a link");
    let old = proxy.pid();
    proxy.replace();
    is_told(&mut kept);
    eventually("nothing keeps it", || has_ended(old));
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let (upstream, _go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({})));
    let good = proxy.config();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let other_port = json!({"server": {"listen": [taken]}}).to_string();
    for (number, (text, why)) in [("{", "failed to load"), (&other_port, "cannot listen on")].into_iter().enumerate() {
        write_private(&proxy.config_path(), text);
        proxy.signal("USR2");
        eventually("it is told", || proxy.err().matches("before it could serve, with status 1.").count() > number);
        proxy.complains(why);
        assert_eq!(proxy.client().ask(GET).text(), "ok");
    }
    write_private(&proxy.config_path(), &good);
    proxy.replace();
    assert_eq!(proxy.client().ask(GET).text(), "ok");
}

#[test]
fn another_number_of_workers_takes_what_is_there() {
    let (upstream, _go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({"workers": 3})));
    let text = proxy.config();
    for workers in [1, 4, 2, 3] {
        write_private(&proxy.config_path(), &text.replace("\"workers\":3", &format!("\"workers\":{workers}")));
        let load = Load::on(&proxy);
        load.goes_on(5);
        proxy.replace();
        // Each connection that waits in any of the sockets is accepted by somebody.
        let mut clients: Vec<_> = (0..40).map(|_| proxy.client()).collect();
        for client in &mut clients {
            assert_eq!(client.ask(GET).text(), "ok");
        }
        load.goes_on(5);
        load.ends();
    }
}

#[test]
fn doors_come_and_go_with_the_configuration() {
    let (upstream, directory) = (upstream().0, TempDir::new().expect("a directory"));
    let [kept, dropped, added] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let [kept_path, dropped_path, added_path] = ["a", "b", "c"].map(|name| directory.path().join(name));
    let unix = |path: &Path| format!("unix:{}", path.display());
    let before = [kept.clone(), dropped.clone(), unix(&kept_path), unix(&dropped_path)];
    let mut proxy = Proxy::start(&config(&upstream, &json!({"listen": before, "workers": 2})));
    let after = [unix(&added_path), kept.clone(), added.clone(), unix(&kept_path)];
    let after = config(&upstream, &json!({"listen": after, "workers": 2})).to_string();
    write_private(&proxy.config_path(), &after);
    proxy.replace();
    for at in [&kept, &added] {
        assert_eq!(Client::connect(at.parse().expect("an address")).ask(GET).text(), "ok");
    }
    for path in [&kept_path, &added_path] {
        assert_eq!(Client::local(path).ask(GET).text(), "ok");
    }
    proxy.complains(&format!("No longer listening on {dropped}: the configuration does not name it any more."));
    proxy.complains(&format!("No longer listening on {}: ", unix(&dropped_path)));
    assert!(!dropped_path.exists());
    eventually("nobody listens there", || std::net::TcpStream::connect(&dropped).is_err());
    proxy.signal("TERM");
    eventually("it ends", || has_ended(proxy.pid()));
    assert!(!kept_path.exists() && !added_path.exists(), "files go with the last process");
}

#[test]
fn a_new_process_does_not_serve_itself() {
    let (upstream, _go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({"workers": 2})));
    proxy.replace();
    let circle = proxy.client().ask(format!("GET /u/http://{}/ HTTP/1.1\r\nHost: p\r\n\r\n", proxy.address()));
    assert_eq!((circle.status(), circle.field("x-aqueduct-error")), (403, Some("target_forbidden")));
}

#[test]
fn a_door_with_tls_goes_on() {
    let (upstream, _go) = upstream();
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let tls = authority.issue().write(directory.path());
    let mut proxy = Proxy::start(&config(&upstream, &json!({"tls": tls})));
    let mut kept = authority.client(proxy.address());
    assert_eq!(kept.ask(GET).field("connection"), None);
    proxy.replace();
    is_told(&mut kept);
    assert_eq!(authority.client(proxy.address()).ask(GET).text(), "ok");
}

#[test]
fn a_connection_of_http2_is_told_and_its_streams_finish() {
    let (upstream, go) = upstream();
    let mut proxy = Proxy::start(&config(&upstream, &json!({})));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (stream, _) = client.begin(get("/a/stream"), true).await;
        let mut stream = stream.await.expect("an answer");
        hears(stream.body_mut(), "data: 1").await;
        let old = proxy.pid();
        proxy.replace();
        // Whatever was asked before the client could know of the end is answered or was not looked at.
        let mut requests = client.requests().clone();
        while let Ok(ready) = requests.ready().await {
            requests = ready;
            let Ok((answer, _)) = requests.send_request(get("/a/x"), true) else { break };
            match answer.await {
                Ok(answer) => assert_eq!(hear(answer).await.body, b"ok"),
                Err(error) => {
                    assert!(error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM), "{error}");
                    break;
                }
            }
        }
        assert_eq!(Http2Client::connect(proxy.address()).await.get("/a/x").await.body, b"ok");
        assert!(!has_ended(old));
        go.send(()).expect("the upstream waits");
        hears(stream.body_mut(), "data: 2").await;
        assert_eq!(hear(stream).await.cut, None);
        eventually("nothing keeps it", || has_ended(old));
    });
}

/// A manager of services that only listens.
fn manager() -> (UnixDatagram, TempDir) {
    let directory = TempDir::new().expect("a directory");
    let socket = UnixDatagram::bind(directory.path().join("notify")).expect("binds");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    (socket, directory)
}

fn told(socket: &UnixDatagram) -> String {
    let mut words = [0; 4096];
    let length = socket.recv(&mut words).expect("something is told");
    String::from_utf8_lossy(&words[..length]).into_owned()
}

#[test]
fn the_manager_of_services_is_told_who_serves() {
    let (upstream, (socket, directory)) = (upstream().0, manager());
    let mut proxy = Proxy::start_with(&config(&upstream, &json!({})), |command| {
        // As if these words were meant for the first process: the second must not take them for its own.
        command.env("NOTIFY_SOCKET", directory.path().join("notify")).env("WATCHDOG_USEC", "60000000");
    });
    assert_eq!(told(&socket), "READY=1\nSTATUS=Serving 2 routes\n");
    assert_eq!(told(&socket), "WATCHDOG=1\n");
    let old = proxy.pid();
    proxy.replace();
    assert_eq!(told(&socket), format!("MAINPID={}\n", proxy.pid()));
    assert_eq!(told(&socket), "READY=1\nSTATUS=Serving 2 routes\n");
    assert_eq!(told(&socket), "WATCHDOG=1\n");
    // The old one says nothing any more, not even that it ends.
    eventually("nothing keeps it", || has_ended(old));
    proxy.signal("TERM");
    assert_eq!(told(&socket), "STOPPING=1\nSTATUS=Stopping: 0 connections may finish\n");
}

#[test]
fn the_first_process_of_a_container_is_not_replaced() {
    let (upstream, _go) = upstream();
    let proxy = Proxy::start_with(&config(&upstream, &json!({})), |command| {
        let mut container = Command::new("unshare");
        container.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--"]);
        container.arg(command.get_program());
        container.current_dir(command.get_current_dir().expect("set"));
        *command = container;
    });
    let outside = proxy.pid();
    let first = std::fs::read_to_string(format!("/proc/{outside}/task/{outside}/children")).expect("children");
    signal(first.trim().parse().expect("one child"), "USR2");
    proxy.complains("This process was not replaced and goes on serving: this is the first process of a container");
    assert_eq!(proxy.client().ask(GET).text(), "ok");
}

#[test]
fn the_end_may_come_before_the_new_process_can_serve() {
    let (upstream, _go) = upstream();
    let (mut proxy, name, directory) = renamed(&config(&upstream, &json!({})));
    let number = directory.path().join("number");
    put(&name, &format!("#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n", number.display()));
    proxy.signal("USR2");
    eventually("it has begun", || number.exists());
    let new: u32 = std::fs::read_to_string(&number).expect("text").trim().parse().expect("a number");
    proxy.signal("USR2");
    proxy.complains("This process is being replaced already.");
    // A reload goes on as ever.
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    assert!(!has_ended(new));
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(has_ended(new));
}
