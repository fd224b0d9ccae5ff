//! Ways out through HTTP proxies: whole requests, tunnels, TLS to either end. Every kind of way, with streams and clients
//! that leave.

use std::io;
use std::path::PathBuf;

use base64::Engine;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Authority, Proxy, Script, TlsFront, Upstream, http_proxy, socks_proxy, write_private};

pub(crate) const GET: &str = "GET /a/x?q=1 HTTP/1.1\r\nHost: p\r\n\r\n";
/// A login with characters that have to be encoded.
pub(crate) const LOGIN: &str = "al%20ice:w0nder%40land";
const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// What the login is as a field.
fn basic() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("al ice:w0nder@land"))
}

/// A proxy with one route, through an upstream proxy.
pub(crate) fn through(proxy: &str, target: &str) -> Proxy {
    Proxy::start(&json!({"routes": {"a": {"target_url": target, "proxy": proxy}}}))
}

/// An authority, and the configuration that trusts it.
pub(crate) struct Trust {
    pub(crate) authority: Authority,
    directory: TempDir,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let trust = Self { authority: Authority::new(), directory: TempDir::new().expect("a directory") };
        write_private(&trust.ca_file(), &trust.authority.certificate());
        trust
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A proxy with one route, through an upstream proxy.
    pub(crate) fn through(&self, proxy: &str, target: &str) -> Proxy {
        Proxy::start(&json!({"ca_file": self.ca_file(), "routes": {"a": {"target_url": target, "proxy": proxy}}}))
    }
}

/// Nothing that a proxy says has the password in it, as it is or as it is sent.
pub(crate) fn keeps_the_password(proxy: &Proxy, answers: &[String]) {
    for text in answers.iter().chain(&[proxy.out(), proxy.err()]) {
        for secret in ["w0nder", "al%20ice", "al ice", &basic()["Basic ".len()..]] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn an_http_proxy_is_sent_whole_requests_for_plain_targets() {
    let upstream_proxy = Upstream::ok();
    let proxy = through(&format!("http://{LOGIN}@{}", upstream_proxy.address()), "http://Target.invalid:8080/base");
    let answer = proxy.client().ask(
        "POST /a/x%2Fy?q=1&q=2 HTTP/1.1\r\nHost: p\r\nproxy-authorization: Basic theirs\r\nX: 1\r\nContent-Length: 2\r\n\r\nhi",
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    let request = upstream_proxy.request();
    assert_eq!(
        request.head,
        format!(
            "POST http://Target.invalid:8080/base/x%2Fy?q=1&q=2 HTTP/1.1\r\nHost: Target.invalid:8080\r\nX: 1\r\nContent-Length: 2\r\nConnection: close\r\nProxy-Authorization: {}\r\n\r\n",
            basic()
        )
    );
    assert_eq!(request.text(), "hi");
    let line = proxy.logged(|_| true);
    assert_eq!(
        (line["upstream"].as_str(), line["proxy"].as_str()),
        (Some("http://target.invalid:8080"), Some(&*format!("http://***@{}", upstream_proxy.address())))
    );
    keeps_the_password(&proxy, &[]);
}

#[test]
fn a_universal_route_names_the_target_to_the_proxy() {
    let upstream_proxy = Upstream::ok();
    let url = format!("http://{}", upstream_proxy.address());
    let proxy = Proxy::start(&json!({"global_proxy": url, "routes": {"u": {"universal_proxy": true}}}));
    let answer = proxy.client().ask("GET /u/http://me:too@[::1]/x HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        upstream_proxy.request().head,
        "GET http://[::1]/x HTTP/1.1\r\nHost: [::1]\r\nAuthorization: Basic bWU6dG9v\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn a_tunnel_leads_to_tls_targets_and_knows_nothing_of_them() {
    let (trust, upstream, upstream_proxy) = (Trust::new(), Upstream::ok(), http_proxy());
    let front = TlsFront::before(upstream.address(), &trust.authority);
    let target = format!("https://localhost:{}", front.port());
    let proxy = trust.through(&format!("http://{LOGIN}@{}", upstream_proxy.address()), &target);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(GET).status(), 200);
        let host = format!("localhost:{}", front.port());
        assert_eq!(upstream.request().head, format!("GET /x?q=1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    let asked = upstream_proxy.request().head;
    let port = front.port();
    assert_eq!(
        asked,
        format!(
            "CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\nProxy-Authorization: {}\r\n\r\n",
            basic()
        )
    );
    assert_eq!((upstream_proxy.connections(), front.protocol().as_deref()), (1, Some("http/1.1")));
    keeps_the_password(&proxy, &[]);
}

#[test]
fn an_ipv6_target_stands_in_brackets() {
    let upstream_proxy = Upstream::playing(|script| {
        script.head()?;
        script.send("HTTP/1.1 403 Forbidden\r\n\r\n")
    });
    let proxy = through(&upstream_proxy.url(), "https://[2001:DB8::1]");
    proxy.client().ask(GET);
    assert_eq!(upstream_proxy.request().head, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
}

#[test]
fn the_head_of_a_tunnel_may_come_in_any_number_of_pieces_and_with_anything_in_it() {
    let trust = Trust::new();
    let upstream = Upstream::ok();
    let front = TlsFront::before(upstream.address(), &trust.authority);
    for head in [
        TUNNEL,
        "HTTP/1.0 200 Connection established\r\nProxy-Agent: tinyproxy\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 299 Whatever\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for piece in [1, 7, 1000] {
            let port = front.port();
            let upstream_proxy = Upstream::playing(move |script: &mut Script| {
                script.head()?;
                for part in head.as_bytes().chunks(piece) {
                    script.send(part)?;
                    // Each in a packet of its own.
                    std::thread::yield_now();
                }
                script.tunnel(std::net::TcpStream::connect(("127.0.0.1", port))?)
            });
            let target = format!("https://localhost:{port}");
            let proxy = trust.through(&upstream_proxy.url(), &target);
            assert_eq!(proxy.client().ask(GET).status(), 200, "{piece}: {head:?}");
        }
    }
}

#[test]
fn tls_goes_to_the_proxy_and_inside_it_to_the_target() {
    let (trust, upstream, plain_proxy) = (Trust::new(), Upstream::ok(), http_proxy());
    let proxy_front = TlsFront::before(plain_proxy.address(), &trust.authority);
    let target_front = TlsFront::before(upstream.address(), &trust.authority);
    let url = format!("https://{LOGIN}@localhost:{}", proxy_front.port());
    for (target, line) in [
        (upstream.url(), format!("GET {}/x?q=1 HTTP/1.1", upstream.url())),
        (format!("https://localhost:{}", target_front.port()), "GET /x?q=1 HTTP/1.1".to_owned()),
    ] {
        let proxy = trust.through(&url, &target);
        let mut client = proxy.client();
        assert_eq!(client.ask(GET).status(), 200);
        assert_eq!(client.ask(GET).status(), 200);
        assert_eq!([upstream.request().line(), upstream.request().line()], [&line, &line]);
        // One connection for each whole request, or one tunnel for both.
        for _ in 0..if target.starts_with("https") { 1 } else { 2 } {
            assert_eq!(plain_proxy.request().field("proxy-authorization"), Some(&*basic()));
        }
        assert_eq!(proxy_front.protocol().as_deref(), Some("http/1.1"), "a proxy is not asked for HTTP/2");
        keeps_the_password(&proxy, &[]);
    }
}

#[test]
fn large_bodies_pass_both_ways_through_tls_in_tls() {
    let (trust, plain_proxy) = (Trust::new(), http_proxy());
    let upstream = Upstream::playing(|script| {
        let request = script.request()?.expect("a request");
        script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()))?;
        script.send(request.body)
    });
    let proxy_front = TlsFront::before(plain_proxy.address(), &trust.authority);
    let target_front = TlsFront::before(upstream.address(), &trust.authority);
    let proxy = trust.through(
        &format!("https://localhost:{}", proxy_front.port()),
        &format!("https://localhost:{}", target_front.port()),
    );
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = proxy.client();
    let mut writer = client.stream().try_clone().expect("a socket");
    let sent = [head.as_bytes(), &body].concat();
    let sends = std::thread::spawn(move || io::Write::write_all(&mut writer, &sent));
    let answer = client.answer();
    sends.join().expect("ends").expect("the proxy reads");
    assert!(answer.is_whole && answer.body == body);
}

/// Every kind of way out to a plain and to a TLS target, by proxies that do what they are asked.
fn every_way(upstream: &Upstream, trust: &Trust, check: impl Fn(&Proxy, &str)) {
    let (http, socks) = (http_proxy(), socks_proxy());
    let proxy_front = TlsFront::before(http.address(), &trust.authority);
    let target_front = TlsFront::before(upstream.address(), &trust.authority);
    let mut ways = vec![format!("http://{}", http.address()), format!("https://localhost:{}", proxy_front.port())];
    ways.extend(["socks5", "socks5h", "socks4", "socks4a"].map(|scheme| format!("{scheme}://{}", socks.address())));
    for way in ways {
        let port = upstream.address().port();
        for target in [format!("http://localhost:{port}"), format!("https://localhost:{}", target_front.port())] {
            check(&trust.through(&way, &target), &format!("{way} to {target}"));
        }
    }
}

#[test]
fn events_pass_at_once_by_every_way() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for word in ["one", "two"] {
            let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
            script.send(format!("3\r\n{word}\r\n"))?;
        }
        script.send("0\r\n\r\n")
    });
    every_way(&upstream, &Trust::new(), |proxy, _| {
        let mut client = proxy.client();
        client.send(GET).head();
        for word in ["one", "two"] {
            go.send(()).expect("the upstream waits");
            client.hears(word);
        }
    });
}

#[test]
fn a_client_that_leaves_ends_the_upstream_by_every_way() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let upstream = Upstream::playing(move |script| {
        script.head()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        let _ = script.until_closed();
        closed.send(()).map_err(io::Error::other)
    });
    every_way(&upstream, &Trust::new(), |proxy, way| {
        let mut client = proxy.client();
        client.send(GET).hears("hello");
        drop(client);
        is_closed.recv_timeout(crate::support::PATIENCE).unwrap_or_else(|_| panic!("{way}: still open"));
    });
}

#[test]
fn a_client_that_leaves_while_the_proxy_is_silent_ends_the_connection() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let upstream_proxy = Upstream::playing(move |script| {
        script.head()?;
        let _ = script.until_closed();
        closed.send(()).map_err(io::Error::other)
    });
    let config = json!({
        "timeouts": {"connect": 0},
        "routes": {"a": {"target_url": "https://target.invalid", "proxy": upstream_proxy.url()}},
    });
    let proxy = Proxy::start(&config);
    let upload = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(50_000));
    for request in [GET, &upload] {
        let mut client = proxy.client();
        client.send(request);
        upstream_proxy.request();
        drop(client);
        is_closed.recv_timeout(crate::support::PATIENCE).expect("closed");
    }
}

#[test]
fn connections_through_other_proxies_or_logins_are_never_shared() {
    let (trust, upstream, one, other) = (Trust::new(), Upstream::ok(), http_proxy(), http_proxy());
    let front = TlsFront::before(upstream.address(), &trust.authority);
    let target = format!("https://localhost:{}", front.port());
    let (one_url, other_url) = (one.address(), other.address());
    let config = json!({"ca_file": trust.ca_file(), "routes": {
        "direct": {"target_url": target},
        "one": {"target_url": target, "proxy": format!("http://{one_url}")},
        "same": {"target_url": target, "proxy": format!("HTTP://{one_url}/")},
        "alice": {"target_url": target, "proxy": format!("http://alice:1@{one_url}")},
        "bob": {"target_url": target, "proxy": format!("http://bob:1@{one_url}")},
        "alice2": {"target_url": target, "proxy": format!("http://alice:2@{one_url}")},
        "other": {"target_url": target, "proxy": format!("http://{other_url}")},
    }});
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let mut ask = |route: &str| {
        assert_eq!(client.ask(format!("GET /{route} HTTP/1.1\r\nHost: p\r\n\r\n")).status(), 200, "{route}");
        (upstream.connections(), one.connections(), other.connections())
    };
    assert_eq!(ask("direct"), (1, 0, 0));
    assert_eq!(ask("one"), (2, 1, 0));
    assert_eq!((ask("one"), ask("same"), ask("direct")), ((2, 1, 0), (2, 1, 0), (2, 1, 0)));
    assert_eq!((ask("alice"), ask("bob"), ask("alice2")), ((3, 2, 0), (4, 3, 0), (5, 4, 0)));
    assert_eq!(ask("other"), (6, 4, 1));
    assert_eq!((ask("alice"), ask("bob"), ask("one")), ((6, 4, 1), (6, 4, 1), (6, 4, 1)));
}

/// Several proxies lead a connection straight to the target once they have seen its first request (tinyproxy does): a
/// second one, with our login in it, would be read by the target.
#[test]
fn a_proxy_that_was_sent_a_whole_request_is_sent_no_other_on_the_same_connection() {
    let upstream_proxy = Upstream::ok();
    let proxy = through(&format!("http://{LOGIN}@{}", upstream_proxy.address()), "http://target.invalid");
    let mut client = proxy.client();
    for number in 1..=3 {
        assert_eq!(client.ask(GET).status(), 200);
        assert_eq!(upstream_proxy.connections(), number);
    }
}
