//! Names that change their meaning between the look and the connection, told by a real name server.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::{
    NameServer, Proxy, Received, Says, Upstream, eventually, http_proxy, in_own_network, run, socks_proxy,
};

/// An address of the internet, which is this machine's own where nobody else is.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(1, 2, 3, 4);
const PRIVATE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const PORT: u16 = 8080;

/// The same service behind a public and a private address. Each answer ends its connection, so that the next request
/// needs another.
fn services() -> (Upstream, Upstream) {
    run("ip", &["addr", "add", "1.2.3.4/32", "dev", "lo"]);
    let service = |address: Ipv4Addr| {
        let listener = TcpListener::bind((address, PORT)).expect("a port that is free here");
        Upstream::playing_on(listener, |script| {
            script.request()?;
            script.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        })
    };
    (service(PUBLIC), service(PRIVATE))
}

/// A server of names: what is called `rebinds` has a public address when it is first asked for, and a private one ever
/// after; `mixed` has both, `keys` a public one and that of a metadata service.
fn names() -> (NameServer, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let questions = Mutex::new(HashMap::new());
    let server = NameServer::start(directory.path(), 5, move |name| {
        let mut questions = questions.lock().expect("not poisoned");
        let count: &mut usize = questions.entry(name.to_owned()).or_default();
        *count += 1;
        Says::Addresses(match name {
            // Each time two questions are asked: for either kind of address.
            _ if name.starts_with("rebinds") && *count > 2 => vec![PRIVATE],
            "mixed.test" => vec![PUBLIC, PRIVATE],
            "keys.test" => vec![PUBLIC, Ipv4Addr::new(169, 254, 169, 254)],
            _ => vec![PUBLIC],
        })
    });
    (server, directory)
}

fn guarded(mut rules: Value) -> Proxy {
    rules["universal_proxy"] = json!(true);
    Proxy::start(&json!({"routes": {"u": rules}}))
}

fn ask(proxy: &Proxy, name: &str) -> Received {
    proxy.client().ask(format!("GET /u/http://{name}:{PORT}/x HTTP/1.1\r\nHost: p\r\n\r\n"))
}

fn is_refused(answer: &Received) -> bool {
    assert!(matches!(answer.status(), 200 | 403), "{} {}", answer.head, answer.text());
    answer.field("x-aqueduct-error") == Some("target_forbidden")
}

#[test]
fn a_name_that_rebinds_leads_to_the_address_that_was_looked_at() {
    in_own_network(a_name_that_rebinds_leads_to_the_address_that_was_looked_at, || {
        let ((public, private), (server, _directory)) = (services(), names());
        let proxy = guarded(json!({"allow_private": false}));
        assert_eq!(ask(&proxy, "rebinds.test").status(), 200);
        assert_eq!((server.asked("rebinds.test"), public.connections()), (1, 1), "nobody was asked again in between");
        // An answer is used for a few seconds. When it is old, the new one is looked at as the old one was.
        eventually("the name is asked for again", || is_refused(&ask(&proxy, "rebinds.test")));
        assert!(server.asked("rebinds.test") >= 2);
        assert_eq!(private.connections(), 0, "not even knocked at");
        assert_eq!(ask(&proxy, "other.test").status(), 200);
    });
}

#[test]
fn one_bad_address_among_good_ones_is_enough() {
    in_own_network(one_bad_address_among_good_ones_is_enough, || {
        let ((public, private), (_server, _directory)) = (services(), names());
        for (rules, name) in [
            (json!({"allow_private": false}), "mixed.test"),
            (json!({"deny_hosts": ["127.0.0.0/8"]}), "mixed.test"),
            (json!({"allow_hosts": ["1.0.0.0/8"]}), "mixed.test"),
            (json!({}), "keys.test"),
            (json!({"allow_hosts": ["keys.test"]}), "keys.test"),
        ] {
            assert!(is_refused(&ask(&guarded(rules.clone()), name)), "{rules}");
        }
        assert_eq!((public.connections(), private.connections()), (0, 0));
        assert_eq!(ask(&guarded(json!({"allow_hosts": ["mixed.test"]})), "mixed.test").status(), 200);
    });
}

#[test]
fn a_proxy_on_the_way_is_told_the_address_that_was_looked_at() {
    in_own_network(a_proxy_on_the_way_is_told_the_address_that_was_looked_at, || {
        let ((public, private), (server, _directory)) = (services(), names());
        for (way, scheme) in [(http_proxy(), "http"), (socks_proxy(), "socks5h")] {
            let proxy = guarded(json!({"allow_private": false, "proxy": format!("{scheme}://{}", way.address())}));
            let (name, before) = (format!("rebinds-{scheme}.test"), public.connections());
            // The proxies of these tests lead every name to this machine's private address.
            assert_eq!(ask(&proxy, &name).status(), 200, "{scheme}");
            assert_eq!((server.asked(&name), public.connections()), (1, before + 1), "{scheme}");
            assert!(is_refused(&ask(&proxy, "mixed.test")), "{scheme}");
        }
        assert_eq!(private.connections(), 0);
    });
}
