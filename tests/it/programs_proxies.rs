//! Ways out as people have them: tinyproxy, squid, microsocks and dante, with and without a login.

use serde_json::{Value, json};

use crate::support::{PASSWORD, PLAIN_PASSWORD, Proxy, RealProxy, TlsFront, USER, Upstream, eventually};
use crate::ways_out::Trust;

const POST: &str = "POST /a/v1/chat HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello";

/// An upstream that gives back what it is sent.
fn echo() -> Upstream {
    Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            script.send(head)?;
            script.send(format!("{:x}\r\n", request.body.len()))?;
            script.send(&request.body)?;
            script.send("\r\n0\r\n\r\n")?;
        }
        Ok(())
    })
}

/// Everything that a way out has to carry, through this proxy to a plain and to a TLS target.
fn carries(url: &str) {
    let (trust, upstream) = (Trust::new(), echo());
    let front = TlsFront::before(upstream.address(), &trust.authority);
    for target in [upstream.url(), format!("https://127.0.0.1:{}", front.port())] {
        let proxy = trust.through(url, &target);
        let mut client = proxy.client();
        for _ in 0..3 {
            let answer = client.ask(POST);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"), "{url} {target}");
            assert_eq!(upstream.request().target(), "/v1/chat", "{url} {target}");
        }
        let body: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = client.ask([head.as_bytes(), &body].concat());
        assert!(answer.is_whole && answer.body == body, "{url} {target}");
        upstream.request();
        let line = proxy.logged(|line| line["bytes_out"] == 1_000_000);
        assert_eq!(line["end"], "done");
        keeps_its_login(&proxy, &line);
    }
}

/// A login is neither in the log nor anywhere else.
fn keeps_its_login(proxy: &Proxy, line: &Value) {
    for text in [proxy.out(), proxy.err(), line.to_string()] {
        assert!(!text.contains("w0nder") && !text.contains(USER), "{text}");
    }
}

/// What becomes of a request on this way: the code of the proxy's answer, and what the log says.
fn fails(url: &str, target: &str, code: &str, said: &str) {
    let route = json!({"target_url": target, "proxy": url});
    let proxy = Proxy::start(&json!({"server": {"log_format": "pretty"}, "routes": {"a": route}}));
    let answer = proxy.client().ask(POST);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some(code)), "{url}");
    proxy.complains(said);
    keeps_its_login(&proxy, &answer.json());
}

const LOGIN: &str = "the upstream proxy asks for a login, or does not accept the given one";

#[test]
fn tinyproxy_carries() {
    let tinyproxy = RealProxy::tinyproxy(false);
    carries(&tinyproxy.url("http"));
    fails(
        &tinyproxy.url("http"),
        "https://127.0.0.1:1",
        "upstream_proxy_refused",
        "does not make the connection: status 500",
    );
}

#[test]
fn tinyproxy_wants_a_login() {
    let tinyproxy = RealProxy::tinyproxy(true);
    carries(&tinyproxy.url_with("http", USER, PLAIN_PASSWORD));
    fails(&tinyproxy.url("http"), "http://127.0.0.1:1", "upstream_proxy_auth", LOGIN);
    // To a wrong login it says 401, which might as well be the target's where there is no tunnel.
    for url in [tinyproxy.url("http"), tinyproxy.url_with("http", USER, "w0nder-other")] {
        fails(&url, "https://127.0.0.1:1", "upstream_proxy_auth", LOGIN);
    }
}

#[test]
fn squid_carries() {
    let squid = RealProxy::squid(false);
    carries(&squid.url("http"));
    fails(
        &squid.url("http"),
        "https://127.0.0.1:1",
        "upstream_proxy_refused",
        "does not make the connection: status 503",
    );
}

#[test]
fn squid_wants_a_login() {
    let squid = RealProxy::squid(true);
    carries(&squid.url_with("http", USER, PASSWORD));
    for url in [squid.url("http"), squid.url_with("http", USER, "w0nder-other")] {
        for target in ["http://127.0.0.1:1", "https://127.0.0.1:1"] {
            fails(&url, target, "upstream_proxy_auth", LOGIN);
        }
    }
}

#[test]
fn microsocks_carries() {
    let microsocks = RealProxy::microsocks(false);
    for scheme in ["socks5", "socks5h"] {
        carries(&microsocks.url(scheme));
        let refused = "does not make the connection: connection refused";
        fails(&microsocks.url(scheme), "http://127.0.0.1:1", "upstream_proxy_refused", refused);
    }
    fails(
        &microsocks.url("socks5h"),
        "http://nowhere.invalid",
        "upstream_proxy_refused",
        "does not make the connection:",
    );
    fails(
        &microsocks.url("socks5"),
        "http://nowhere.invalid",
        "upstream_dns",
        "the upstream's name could not be resolved",
    );
}

#[test]
fn microsocks_wants_a_login() {
    let microsocks = RealProxy::microsocks(true);
    for scheme in ["socks5", "socks5h"] {
        carries(&microsocks.url_with(scheme, USER, PASSWORD));
        for url in [microsocks.url(scheme), microsocks.url_with(scheme, USER, "w0nder-other")] {
            fails(&url, "http://127.0.0.1:1", "upstream_proxy_auth", LOGIN);
        }
    }
}

#[test]
fn dante_carries_both_versions_of_socks() {
    let dante = RealProxy::dante();
    for scheme in ["socks5", "socks5h", "socks4", "socks4a"] {
        carries(&dante.url(scheme));
    }
    fails(
        &dante.url("socks5h"),
        "http://127.0.0.1:1",
        "upstream_proxy_refused",
        "does not make the connection: connection refused",
    );
    fails(
        &dante.url("socks4"),
        "http://127.0.0.1:1",
        "upstream_proxy_refused",
        "does not make the connection: SOCKS4 reply 91",
    );
}

#[test]
fn tls_to_the_proxy_itself_and_to_the_target_through_it() {
    let (trust, tinyproxy) = (Trust::new(), RealProxy::tinyproxy(true));
    let upstream = echo();
    let proxy_front = TlsFront::before(tinyproxy.address(), &trust.authority);
    let target_front = TlsFront::before(upstream.address(), &trust.authority);
    let url = tinyproxy
        .url_with("https", USER, PLAIN_PASSWORD)
        .replace(&tinyproxy.address().to_string(), &format!("localhost:{}", proxy_front.port()));
    for target in [upstream.url(), format!("https://localhost:{}", target_front.port())] {
        let proxy = trust.through(&url, &target);
        assert_eq!(proxy.client().ask(POST).text(), "hello");
        upstream.request();
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstream_behind_real_proxies() {
    let (squid, tinyproxy, microsocks, dante) =
        (RealProxy::squid(false), RealProxy::tinyproxy(false), RealProxy::microsocks(false), RealProxy::dante());
    let ways = [squid.url("http"), tinyproxy.url("http"), microsocks.url("socks5h"), dante.url("socks4")];
    for way in ways {
        let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let tell = std::sync::Arc::clone(&closed);
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")?;
            let _ = script.until_closed();
            tell.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        });
        let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "proxy": way}}}));
        let mut client = proxy.client();
        client.send(POST).hears("event");
        drop(client);
        eventually(&format!("{way} closes"), || closed.load(std::sync::atomic::Ordering::SeqCst));
    }
}
