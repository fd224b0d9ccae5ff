//! Who is in front of us, and for whom it speaks: the PROXY protocol and `X-Forwarded-For`.

use std::net::Shutdown;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Authority, Client, HaProxy, Nginx, Proxy, Upstream, aqueduct, begin_tls, eventually, write_private,
};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";
const TEXT: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4321 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x01\x10\xe1\x01\xbb\x04\x00\x00";

/// A proxy with one route to this upstream, that trusts these.
fn trusting(trusted: &Value, upstream: &Upstream, more: &Value) -> Proxy {
    let mut server = json!({"trusted_proxies": trusted});
    server.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Proxy::start(&json!({"server": server, "routes": {"a": {"target_url": upstream.url()}}}))
}

/// One that asks everybody for a header, and accepts it from this machine.
fn asking(upstream: &Upstream, more: &Value) -> Proxy {
    let mut more = more.clone();
    more["proxy_protocol"] = json!(true);
    trusting(&json!(["127.0.0.0/8", "unix:"]), upstream, &more)
}

fn peers(proxy: &Proxy, count: usize) -> Vec<String> {
    eventually("all are on record", || proxy.log().len() == count);
    proxy.log().iter().map(|line| line["peer"].as_str().expect("a peer").to_owned()).collect()
}

/// Starts with these fields of `server`, which are refused, and gives what was said.
fn refused(server: &Value) -> String {
    let directory = TempDir::new().expect("a directory");
    write_private(&directory.path().join("config.json"), &json!({"server": server}).to_string());
    let output = aqueduct().current_dir(directory.path()).args(["--lang", "en"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{server}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn headers_say_who_the_client_is() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({}));
    for header in [TEXT.as_bytes(), BINARY] {
        let mut client = proxy.client();
        client.send([header, GET.as_bytes()].concat());
        assert_eq!(client.answer().text(), "ok");
        // Once for the connection, not for each request.
        assert_eq!(client.ask(GET).text(), "ok");
    }
    assert_eq!(peers(&proxy, 4), ["192.0.2.1:4321"; 4]);
    let request = upstream.request();
    assert_eq!(request.names(), ["Host"], "the upstream is not told");
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({}));
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"] {
        assert_eq!(proxy.client().ask([header, GET.as_bytes()].concat()).status(), 200);
    }
    assert!(peers(&proxy, 2).iter().all(|peer| peer.starts_with("127.0.0.1:")));
}

#[test]
fn headers_may_arrive_in_any_pieces() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({}));
    for header in [TEXT.as_bytes(), BINARY] {
        for piece in [1, 5, 16] {
            let mut client = proxy.client();
            for bytes in [header, GET.as_bytes()].concat().chunks(piece) {
                client.send(bytes);
            }
            assert_eq!(client.answer().text(), "ok");
        }
    }
    assert_eq!(peers(&proxy, 6), ["192.0.2.1:4321"; 6]);
}

#[test]
fn who_sends_none_is_cut_off_at_once_and_told_of_once() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({"limits": {"head_timeout": 0}}));
    let bad =
        ["PROXY TCP4 192.0.2.1 198.51.100.1 04321 443\r\n", "PROXY UNKNOWN\n", "\r\n\r\n\0\r\nQUIT\n\x31", "PROXX"];
    for bytes in [GET, "\x16\x03\x01\x02"].into_iter().chain(bad) {
        assert!(proxy.client().send(bytes).is_closed(), "{bytes:?}");
    }
    let long = format!("PROXY UNKNOWN {}", "x".repeat(100));
    assert!(proxy.client().send(long).is_closed());
    proxy.complains("No request from 127.0.0.1:");
    proxy.complains("the connection does not begin with a PROXY protocol header");
    assert_eq!(proxy.client().ask(format!("{TEXT}{GET}")).status(), 200);
    assert_eq!(peers(&proxy, 1), ["192.0.2.1:4321"]);
    assert_eq!(proxy.err().lines().count(), 1, "{}", proxy.err());
}

#[test]
fn who_is_not_trusted_is_cut_off_before_the_first_byte() {
    let upstream = Upstream::ok();
    let more = json!({"proxy_protocol": true});
    let proxy = trusting(&json!(["192.0.2.0/24", "2001:db8::1", "unix:"]), &upstream, &more);
    assert!(proxy.client().is_closed());
    proxy.complains("the address is not in server.trusted_proxies");
    assert!(upstream.has_no_request() && proxy.log().is_empty());
}

#[test]
fn half_a_header_is_cut_off_and_slows_nobody() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({"limits": {"head_timeout": "300ms"}}));
    let mut stalled: Vec<_> = (0..60)
        .map(|number| {
            let mut client = proxy.client();
            client.send([&TEXT.as_bytes()[..20], &BINARY[..14], b""][number % 3]);
            client
        })
        .collect();
    assert_eq!(proxy.client().ask(format!("{TEXT}{GET}")).status(), 200);
    assert!(stalled.iter_mut().all(Client::is_closed));
    proxy.complains("it took longer than server.limits.head_timeout");
}

#[test]
fn who_knocks_and_leaves_is_not_told_of() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({}));
    // As health checks do, with a header or without.
    for bytes in ["", TEXT, "PROXY"] {
        let mut client = proxy.client();
        client.send(bytes).stream().shutdown(Shutdown::Write).expect("a socket");
        assert!(client.is_closed());
    }
    assert_eq!(proxy.client().ask(format!("{TEXT}{GET}")).status(), 200);
    assert_eq!((proxy.err(), peers(&proxy, 1).len()), (String::new(), 1));
}

#[test]
fn tls_begins_behind_the_header() {
    let (upstream, directory, authority) = (Upstream::ok(), TempDir::new().expect("a directory"), Authority::new());
    let tls = authority.issue().write(directory.path());
    let socket = directory.path().join("x.sock");
    let listen = json!(["127.0.0.1:0", format!("unix:{}", socket.display())]);
    let proxy = asking(&upstream, &json!({"tls": tls, "listen": listen}));
    let mut client = begin_tls(proxy.address(), authority.trusted(rustls::ALL_VERSIONS, None));
    std::io::Write::write_all(&mut client.stream_mut().sock, BINARY).expect("a proxy");
    for _ in 0..2 {
        assert_eq!(client.ask(GET).text(), "ok");
    }
    // Through a program that knows nothing of it, to a port and to a socket.
    let port = format!("{}", proxy.address());
    for server in [format!("{port} send-proxy"), format!("unix@{} send-proxy-v2", socket.display())] {
        let haproxy = HaProxy::start(&server);
        assert_eq!(authority.client(haproxy.address()).ask(GET).text(), "ok");
    }
    let peers = peers(&proxy, 4);
    assert_eq!(&peers[..2], ["192.0.2.1:4321"; 2]);
    assert!(peers[2..].iter().all(|peer| peer.starts_with("127.0.0.1:") && *peer != port));
}

#[test]
fn haproxy_says_who_the_client_is() {
    let upstream = Upstream::ok();
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("x.sock");
    let listen = json!(["127.0.0.1:0", format!("unix:{}", socket.display())]);
    let proxy = asking(&upstream, &json!({"listen": listen, "workers": 2}));
    let (port, local) = (proxy.address().to_string(), format!("unix@{}", socket.display()));
    for server in [
        format!("{port} send-proxy check inter 50ms"),
        format!("{port} send-proxy-v2 proxy-v2-options unique-id,crc32c check inter 50ms"),
        format!("{local} send-proxy-v2"),
        format!("{local} send-proxy"),
    ] {
        let haproxy = HaProxy::start(&server);
        let mut client = Client::connect(haproxy.address());
        let own = client.stream().local_addr().expect("connected").to_string();
        assert_eq!(client.ask(GET).text(), "ok", "{server}");
        assert_eq!(proxy.logged(|line| line["peer"] == own.as_str())["status"], 200, "{server}");
    }
    // Neither its health checks nor the end of a connection is worth a word.
    assert_eq!(proxy.err(), "");
}

#[test]
fn nobody_trusted_is_refused_at_load() {
    for (server, wanted) in [
        (json!({"proxy_protocol": true}), "1:29: server.proxy_protocol: nobody could connect: name those"),
        (json!({"proxy_protocol": true, "trusted_proxies": []}), "server.proxy_protocol: nobody could connect"),
        (
            json!({"trusted_proxies": ["10.0.0.1", "10.0.0.0/33"]}),
            "1:42: server.trusted_proxies[1]: expected an address",
        ),
        (json!({"trusted_proxies": ["localhost"]}), "server.trusted_proxies[0]: expected an address"),
        (json!({"trusted_proxies": "10.0.0.1"}), "server.trusted_proxies: expected an array, found a string"),
        (json!({"proxy_protocol": "v2"}), "server.proxy_protocol: expected true or false, found a string"),
    ] {
        let said = refused(&server);
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn a_reload_changes_it_for_those_who_come_after() {
    let upstream = Upstream::ok();
    let more = json!({"reload_interval": 0});
    let proxy = trusting(&json!(["127.0.0.1"]), &upstream, &more);
    let mut old = proxy.client();
    assert_eq!(old.ask(GET).status(), 200);
    let mut config: Value =
        serde_json::from_str(&std::fs::read_to_string(proxy.config_path()).expect("there")).expect("JSON");
    config["server"]["proxy_protocol"] = json!(true);
    write_private(&proxy.config_path(), &config.to_string());
    proxy.says("Configuration reloaded.");
    assert_eq!(proxy.client().ask(format!("{TEXT}{GET}")).status(), 200);
    assert!(proxy.client().send(GET).is_closed());
    assert_eq!(old.ask(GET).status(), 200);
}

#[test]
fn trusted_peers_may_say_who_asks() {
    let upstream = Upstream::ok();
    let proxy = trusting(&json!(["127.0.0.1", "10.0.0.0/8"]), &upstream, &json!({}));
    let mut client = proxy.client();
    let fields = [
        "X-Forwarded-For: 1.1.1.1, 2.2.2.2",
        "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2, 10.0.0.1",
        "X-FORWARDED-FOR: 2001:db8::1, 10.0.0.1",
        "X-Forwarded-For: 2.2.2.2:80",
        "X-Forwarded-For: unknown",
        "X-Real-IP: 2.2.2.2",
    ];
    for field in fields {
        let answer = client.ask(format!("GET /a/x HTTP/1.1\r\nHost: p\r\n{field}\r\n\r\n"));
        assert_eq!(answer.status(), 200);
        // The upstream sees it as it came.
        let seen = upstream.request();
        assert!(seen.head.contains(&format!("{field}\r\n")), "{}", seen.head);
    }
    let own = client.stream().local_addr().expect("connected").to_string();
    let wanted = ["2.2.2.2", "2.2.2.2", "2001:db8::1", "2.2.2.2:80", &own, &own];
    assert_eq!(peers(&proxy, 6), wanted);
}

#[test]
fn nobody_else_may() {
    let upstream = Upstream::ok();
    let request = "GET /a/x HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n";
    for trusted in [json!([]), json!(["192.0.2.1", "unix:"])] {
        let proxy = trusting(&trusted, &upstream, &json!({}));
        assert_eq!(proxy.client().ask(request).status(), 200);
        assert!(peers(&proxy, 1)[0].starts_with("127.0.0.1:"));
    }
}

#[test]
fn what_is_said_by_one_behind_a_header_counts_if_he_is_trusted() {
    let upstream = Upstream::ok();
    let more = json!({"proxy_protocol": true});
    let proxy = trusting(&json!(["127.0.0.1", "10.0.0.0/8"]), &upstream, &more);
    let ask = |from: &str| {
        let header = format!("PROXY TCP4 {from} 198.51.100.1 4321 443\r\n");
        let request = "GET /a/x HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n\r\n";
        assert_eq!(proxy.client().ask(format!("{header}{request}")).status(), 200);
    };
    ask("10.0.0.7");
    eventually("it is on record", || proxy.log().len() == 1);
    ask("192.0.2.1");
    assert_eq!(peers(&proxy, 2), ["2.2.2.2", "192.0.2.1:4321"]);
}

#[test]
fn nginx_says_who_asks_on_a_local_socket() {
    let upstream = Upstream::ok();
    let directory = TempDir::new().expect("a directory");
    let socket = format!("unix:{}", directory.path().join("x.sock").display());
    let proxy = trusting(&json!(["unix:"]), &upstream, &json!({"host": socket}));
    let block = format!(
        "location / {{ proxy_pass http://{socket}:; proxy_http_version 1.1; proxy_set_header Connection ''; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}"
    );
    let nginx = Nginx::start(&block, None);
    assert_eq!(Client::connect(nginx.address()).ask(GET).text(), "ok");
    assert_eq!(peers(&proxy, 1), ["127.0.0.1"]);
}

#[test]
fn who_finds_no_room_is_told_so_behind_a_header_too() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({"limits": {"max_connections": 1}}));
    let mut first = proxy.client();
    assert_eq!(first.ask(format!("{TEXT}{GET}")).status(), 200);
    let answer = proxy.client().ask(format!("{TEXT}{GET}"));
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (503, Some("overloaded")));
    assert_eq!(proxy.logged(|line| line["code"] == "overloaded")["peer"], "192.0.2.1:4321");
}

#[test]
fn an_end_of_the_program_does_not_wait_for_a_header() {
    let upstream = Upstream::ok();
    let mut proxy = asking(&upstream, &json!({}));
    let mut half = proxy.client();
    half.send("PROXY TCP4 ");
    assert_eq!(proxy.client().ask(format!("{TEXT}{GET}")).status(), 200);
    let since = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert!(half.is_closed() && since.elapsed() < Duration::from_secs(5));
}

#[test]
fn healthcheck_speaks_for_itself() {
    let upstream = Upstream::ok();
    let proxy = asking(&upstream, &json!({}));
    let directory = TempDir::new().expect("a directory");
    let server = json!({
        "host": "127.0.0.1", "port": proxy.address().port(), "proxy_protocol": true, "trusted_proxies": ["127.0.0.1"],
    });
    write_private(&directory.path().join("config.json"), &json!({"server": server}).to_string());
    let check = |command: &mut Command| command.current_dir(directory.path()).arg("healthcheck").status();
    assert_eq!(check(&mut aqueduct()).expect("runs").code(), Some(0));
}
