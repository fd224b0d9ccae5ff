//! Name servers that fail, hang, or change their mind.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{NameServer, Proxy, Says, Upstream, eventually, in_own_network};

/// A name server with a directory of its own, which has to stay.
fn server(patience: u32, says: impl Fn(&str) -> Says + Send + 'static) -> (NameServer, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (NameServer::start(directory.path(), patience, says), directory)
}

fn here() -> Says {
    Says::Addresses(vec![Ipv4Addr::LOCALHOST])
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n")
}

fn routes(upstream: &Upstream, names: &[&str]) -> Value {
    let port = upstream.address().port();
    let route = |name: &&str| ((*name).to_owned(), json!({"target_url": format!("http://{name}.test:{port}")}));
    names.iter().map(route).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn a_failure_is_told_at_once_and_is_not_remembered() {
    in_own_network(a_failure_is_told_at_once_and_is_not_remembered, || {
        let says = Arc::new(Mutex::new(Says::Unknown));
        let said = Arc::clone(&says);
        let (server, _directory) = server(5, move |_| said.lock().expect("not poisoned").clone());
        let upstream = Upstream::ok();
        let proxy = Proxy::start(&json!({"routes": routes(&upstream, &["a"])}));
        for fault in [Says::Unknown, Says::Failure, Says::Addresses(Vec::new())] {
            *says.lock().expect("not poisoned") = fault.clone();
            let answer = proxy.client().ask(get("/a"));
            assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_dns")), "{fault:?}");
        }
        *says.lock().expect("not poisoned") = here();
        assert_eq!(proxy.client().ask(get("/a")).status(), 200);
        assert!(server.asked("a.test") >= 4);
    });
}

#[test]
fn a_name_that_hangs_ends_with_the_limit_of_its_own_request() {
    in_own_network(a_name_that_hangs_ends_with_the_limit_of_its_own_request, || {
        let (_server, _directory) = server(20, |name| if name == "hangs.test" { Says::Silence } else { here() });
        let upstream = Upstream::ok();
        let config = json!({"timeouts": {"connect": "500ms"}, "routes": routes(&upstream, &["hangs", "good"])});
        let mut proxy = Proxy::start(&config);
        let mut waiting = proxy.client();
        waiting.send(get("/hangs"));
        assert_eq!(proxy.client().ask(get("/good")).status(), 200);
        let answer = waiting.answer();
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (504, Some("upstream_timeout")));
        assert_eq!(proxy.logged(|line| line["route"] == "hangs")["end"], "connect_timeout");
        // The lookup goes on; an end does not wait for it.
        let asked = Instant::now();
        proxy.signal("TERM");
        assert!(proxy.ended().success() && asked.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_name_that_hangs_is_asked_for_once_however_many_wait() {
    in_own_network(a_name_that_hangs_is_asked_for_once_however_many_wait, || {
        let (server, _directory) = server(20, |_| Says::Silence);
        let upstream = Upstream::ok();
        let proxy = Proxy::start(&json!({"timeouts": {"connect": "100ms"}, "routes": routes(&upstream, &["a"])}));
        for _ in 0..5 {
            let mut clients: Vec<_> = (0..5).map(|_| proxy.client()).collect();
            for client in &mut clients {
                client.send(get("/a"));
            }
            for client in &mut clients {
                assert_eq!(client.answer().status(), 504);
            }
        }
        assert_eq!(server.asked("a.test"), 1);
    });
}

#[test]
fn names_that_clients_think_up_hold_up_no_name_of_the_operators() {
    in_own_network(names_that_clients_think_up_hold_up_no_name_of_the_operators, || {
        let (_server, _directory) = server(20, |name| if name.starts_with("hangs") { Says::Silence } else { here() });
        let upstream = Upstream::ok();
        let mut routes = routes(&upstream, &["good", "better"]);
        routes["any"] = json!({"universal_proxy": true});
        let proxy = Proxy::start(&json!({"routes": routes}));
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let mut client = proxy.client();
                client.send(get(&format!("/any/http://hangs-{number}.test/")));
                client
            })
            .collect();
        let begun = Instant::now();
        assert_eq!(proxy.client().ask(get("/good")).status(), 200);
        // One more thread for each name would be one more thing without a bound.
        let threads = proxy.memory("status", "Threads:");
        assert!(threads < 64, "{threads} threads");
        drop(clients);
        // Those who asked are gone. What they asked for holds up nobody either.
        eventually("all of them are on record", || proxy.log().len() >= 201);
        assert_eq!(proxy.client().ask(get("/better")).status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_name_that_moves_is_followed_within_seconds() {
    in_own_network(a_name_that_moves_is_followed_within_seconds, || {
        let says = Arc::new(Mutex::new(here()));
        let said = Arc::clone(&says);
        let (_server, _directory) = server(5, move |_| said.lock().expect("not poisoned").clone());
        // Each answer ends its connection, so that the next request needs another.
        let old = Upstream::answering_once("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nold");
        let port = old.address().port();
        let listener = TcpListener::bind(("127.0.0.2", port)).expect("a port that is free here");
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nnew";
        let _new = Upstream::playing_on(listener, move |script| {
            script.request()?;
            script.send(answer)
        });
        let proxy = Proxy::start(&json!({"routes": routes(&old, &["a"])}));
        assert_eq!(proxy.client().ask(get("/a")).text(), "old");
        *says.lock().expect("not poisoned") = Says::Addresses(vec![[127, 0, 0, 2].into()]);
        let mut client = proxy.client();
        eventually("requests go to the new address", || {
            let answer = client.ask(get("/a"));
            assert_eq!(answer.status(), 200);
            answer.text() == "new"
        });
    });
}
