//! Links that lose what is sent over them, and peers that vanish without a word.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::TcpKeepalive;

use crate::support::http2::{Http2Upstream, Manner};
use crate::support::{Cable, Client, Machine, PATIENCE, Proxy, Script, Upstream, eventually, in_own_network, run};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";
const BEGINNING: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";

/// A proxy on a machine of its own, between the two ends of cables that come from here.
fn proxy_on(machine: &Machine, config: &Value) -> Proxy {
    let mut config = config.clone();
    config["server"] = json!({"host": "0.0.0.0"});
    Proxy::start_with(&config, |command| machine.wrap(command))
}

fn client(proxy: &Proxy, by: &Cable<'_>) -> Client {
    Client::connect((by.there(), proxy.address().port()).into())
}

fn upstream_at(
    address: Ipv4Addr,
    play: impl Fn(&mut Script) -> std::io::Result<()> + Send + Sync + 'static,
) -> Upstream {
    Upstream::playing_on(TcpListener::bind((address, 0)).expect("an address of ours"), play)
}

/// A stream that says something and then nothing, and when the proxy leaves it.
fn silent(address: Ipv4Addr) -> (Upstream, Receiver<()>) {
    let (left, has_left) = channel();
    let upstream = upstream_at(address, move |script| {
        script.request()?;
        script.send(BEGINNING)?;
        let _ = script.until_closed();
        let _ = left.send(());
        Ok(())
    });
    (upstream, has_left)
}

fn begin(proxy: &Proxy, by: &Cable<'_>) -> Client {
    let mut client = client(proxy, by);
    client.send(GET).head();
    client.hears("a");
    client
}

/// The peers of the proxy are asked after every second instead of every ten, and from the first second on.
fn hurry(proxy: &Proxy) {
    let second = Duration::from_secs(1);
    let probes = TcpKeepalive::new().with_time(second).with_interval(second);
    for connection in proxy.connections() {
        assert!(connection.keepalive().expect("a connection"), "nobody is asked after");
        connection.set_tcp_keepalive(&probes).expect("a connection");
    }
}

#[test]
fn peers_on_both_sides_are_asked_after_when_they_are_silent() {
    let (upstream, _has_left) = silent(Ipv4Addr::LOCALHOST);
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    client.send(GET).head();
    let connections = proxy.connections();
    assert_eq!(connections.len(), 2);
    for connection in connections {
        let after = connection.tcp_keepalive_time().expect("a connection");
        let every = connection.tcp_keepalive_interval().expect("a connection");
        let times = connection.tcp_keepalive_retries().expect("a connection");
        assert!(connection.keepalive().expect("a connection"));
        assert_eq!((after.as_secs(), every.as_secs(), times), (30, 10, 3));
    }
}

#[test]
fn an_upstream_that_vanishes_in_a_silent_stream_is_a_cut_answer() {
    in_own_network(an_upstream_that_vanishes_in_a_silent_stream_is_a_cut_answer, || {
        let machine = Machine::new();
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let (upstream, _has_left) = silent(there.here());
        let proxy = proxy_on(&machine, &json!({"routes": {"a": {"target_url": upstream.url()}}}));
        let mut client = begin(&proxy, &here);
        there.swallow();
        hurry(&proxy);
        assert_eq!(client.rest(), b"", "no end of the body is made up");
        assert_eq!(proxy.logged(|_| true)["end"], "upstream_cut");
    });
}

#[test]
fn a_client_that_vanishes_holds_no_upstream() {
    in_own_network(a_client_that_vanishes_holds_no_upstream, || {
        let machine = Machine::new();
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let (upstream, has_left) = silent(there.here());
        let proxy = proxy_on(&machine, &json!({"routes": {"a": {"target_url": upstream.url()}}}));
        let _client = begin(&proxy, &here);
        here.swallow();
        hurry(&proxy);
        has_left.recv_timeout(PATIENCE).expect("the upstream is let go");
        assert_eq!(proxy.logged(|_| true)["end"], "client_gone");
    });
}

#[test]
fn a_client_that_vanishes_from_a_busy_stream_holds_no_upstream() {
    in_own_network(a_client_that_vanishes_from_a_busy_stream_holds_no_upstream, || {
        let machine = Machine::new();
        // For how long a machine repeats what is not acknowledged is its own affair: about a second, here.
        machine.run("sysctl", &["-q", "net.ipv4.tcp_retries2=2"]);
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let (left, has_left) = channel();
        let upstream = upstream_at(there.here(), move |script| {
            script.request()?;
            script.send(BEGINNING)?;
            script.stream().set_read_timeout(Some(Duration::from_millis(20)))?;
            // Words come all the time, as from a model.
            while script.send("1\r\nb\r\n").is_ok() && script.some().is_err() {}
            let _ = left.send(());
            Ok(())
        });
        let proxy = proxy_on(&machine, &json!({"routes": {"a": {"target_url": upstream.url()}}}));
        let _client = begin(&proxy, &here);
        here.swallow();
        has_left.recv_timeout(PATIENCE).expect("the upstream is let go");
        assert_eq!(proxy.logged(|_| true)["end"], "client_gone");
    });
}

#[test]
fn nobody_answers_the_call_of_a_machine_that_is_off() {
    in_own_network(nobody_answers_the_call_of_a_machine_that_is_off, || {
        let machine = Machine::new();
        let (here, there, off) = (machine.cable("clients", 1), machine.cable("upstreams", 2), machine.cable("off", 3));
        let upstream = Upstream::playing_on(TcpListener::bind((there.here(), 0)).expect("an address"), |script| {
            script.request()?;
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        });
        let port = upstream.address().port();
        // One name for a machine that is off and one that is on.
        let directory = tempfile::tempdir().expect("a directory");
        let hosts = directory.path().join("hosts");
        std::fs::write(&hosts, format!("{} both.test\n{} both.test\n", off.here(), there.here())).expect("a file");
        run("mount", &["--bind", hosts.to_str().expect("text"), "/etc/hosts"]);
        off.swallow();
        let proxy = proxy_on(
            &machine,
            &json!({"timeouts": {"connect": "2s"}, "routes": {
                "a": {"target_url": format!("http://{}:{port}", off.here())},
                "both": {"target_url": format!("http://both.test:{port}")},
            }}),
        );
        let answer = client(&proxy, &here).ask(GET);
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
        assert_eq!(proxy.logged(|_| true)["end"], "connect_timeout");
        assert_eq!(client(&proxy, &here).ask("GET /both HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    });
}

#[test]
fn a_kept_connection_whose_upstream_has_vanished_is_not_used_for_ever() {
    in_own_network(a_kept_connection_whose_upstream_has_vanished_is_not_used_for_ever, || {
        let machine = Machine::new();
        machine.run("sysctl", &["-q", "net.ipv4.tcp_retries2=2"]);
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let upstream = Upstream::playing_on(TcpListener::bind((there.here(), 0)).expect("an address"), |script| {
            while script.request()?.is_some() {
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        let proxy = proxy_on(&machine, &json!({"routes": {"a": {"target_url": upstream.url()}}}));
        assert_eq!(client(&proxy, &here).ask(GET).status(), 200);
        // It vanishes, and is noticed before anybody asks.
        there.swallow();
        hurry(&proxy);
        eventually("the connection is given up", || proxy.connections().is_empty());
        there.mend();
        assert_eq!(client(&proxy, &here).ask(GET).status(), 200);
        // Or somebody asks first. What may be said twice is said again as soon as the system has given up.
        there.swallow();
        let mut asking = client(&proxy, &here);
        asking.send(GET);
        let tables = format!("/proc/{}/net/tcp", proxy.pid());
        // A connection that is being made is in state 2.
        let calls = || std::fs::read_to_string(&tables).is_ok_and(|table| table.contains(" 02 "));
        eventually("another connection is tried", calls);
        there.mend();
        assert_eq!(asking.answer().status(), 200);
        assert_eq!(upstream.connections(), 3);
    });
}

#[test]
fn a_shared_connection_whose_upstream_has_vanished_gets_no_more_requests() {
    in_own_network(a_shared_connection_whose_upstream_has_vanished_gets_no_more_requests, || {
        let machine = Machine::new();
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let manner = Manner { host: there.here(), ..Manner::default() };
        let upstream = Http2Upstream::with(manner, |turn| turn.say("ok"));
        let route = json!({"target_url": upstream.url(), "http2": true});
        let proxy = proxy_on(&machine, &json!({"routes": {"a": route}}));
        assert_eq!(client(&proxy, &here).ask(GET).status(), 200);
        there.swallow();
        // So long a silence that there is doubt.
        std::thread::park_timeout(Duration::from_millis(5_100));
        // This one runs into it, and has the upstream asked for a sign of life, which may take ten seconds.
        let mut unlucky = client(&proxy, &here);
        unlucky.send(GET);
        let tables = format!("/proc/{}/net/tcp", proxy.pid());
        let mut other = client(&proxy, &here);
        eventually("another connection is tried", || {
            other = client(&proxy, &here);
            other.send(GET);
            std::thread::park_timeout(Duration::from_millis(200));
            std::fs::read_to_string(&tables).is_ok_and(|table| table.contains(" 02 "))
        });
        there.mend();
        assert_eq!(other.answer().status(), 200);
        assert_eq!(upstream.connections(), 2);
    });
}

#[test]
fn what_a_link_loses_is_sent_again_and_nothing_else() {
    in_own_network(what_a_link_loses_is_sent_again_and_nothing_else, || {
        const LENGTH: usize = 300_000;
        const PIECE: usize = 10_000;

        let machine = Machine::new();
        let (here, there) = (machine.cable("clients", 1), machine.cable("upstreams", 2));
        let upstream = upstream_at(there.here(), |script| {
            let request = script.request()?.expect("a request");
            script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"))?;
            for piece in request.body.chunks(PIECE) {
                script.send(piece)?;
                script.stream().set_read_timeout(Some(Duration::from_millis(20)))?;
                let _ = script.some();
            }
            script.until_closed()
        });
        let proxy = proxy_on(&machine, &json!({"routes": {"a": {"target_url": upstream.url()}}}));
        let clients: Vec<_> = (0..20)
            .map(|number: u8| {
                let mut client = client(&proxy, &here);
                std::thread::spawn(move || {
                    let body: Vec<u8> = (0..=250).cycle().map(|byte: u8| byte ^ number).take(LENGTH).collect();
                    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {LENGTH}\r\n\r\n");
                    client.send(head);
                    for piece in body.chunks(PIECE) {
                        client.send(piece);
                    }
                    let answer = client.answer();
                    answer.is_whole && answer.body == body
                })
            })
            .collect();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            for cable in [&here, &there] {
                cable.swallow();
                std::thread::park_timeout(Duration::from_millis(20));
                cable.mend();
            }
        }
        for client in clients {
            assert!(client.join().expect("it reads to the end"));
        }
    });
}
