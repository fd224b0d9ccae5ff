//! What is no plain HTTP/1.1 request goes through a tunnel, also to a plain target through an HTTP proxy.

use serde_json::json;

use crate::support::http2::Http2Upstream;
use crate::support::{Proxy, TlsFront, Upstream, http_proxy, socks_proxy};
use crate::upgrades::{ASK, SWITCH, switched, switching};
use crate::ways_out::{GET, Trust};

#[test]
fn a_websocket_to_a_plain_target_takes_a_tunnel_through_an_http_proxy() {
    let upstream = switching(|script| {
        let said = script.some()?;
        script.send(said)
    });
    let (http, socks) = (http_proxy(), socks_proxy());
    for way in [http.url(), format!("socks5h://{}", socks.address())] {
        let proxy = Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "proxy": way}}}));
        let mut client = switched(&proxy);
        assert_eq!(client.send("hello").some(), b"hello");
        assert_eq!(upstream.request().line(), "GET /chat?x=1 HTTP/1.1");
    }
    let address = upstream.address();
    assert_eq!(http.request().head, format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
}

#[test]
fn what_comes_behind_the_head_of_a_tunnel_comes_from_its_other_end() {
    let upstream_proxy = Upstream::playing(|script| {
        script.head()?;
        // All at once, before anything was asked through the tunnel.
        script.send(format!("HTTP/1.1 200 Connection established\r\nContent-Length: 3\r\n\r\n{SWITCH}early"))?;
        script.head()?;
        script.until_closed()
    });
    let config = json!({"routes": {"a": {"target_url": "http://target.invalid", "proxy": upstream_proxy.url()}}});
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.hears("early");
    assert_eq!(upstream_proxy.request().line(), "CONNECT target.invalid:80 HTTP/1.1");
    assert_eq!(upstream_proxy.request().line(), "GET /chat?x=1 HTTP/1.1");
}

#[test]
fn plain_requests_and_websockets_of_one_route_do_not_share_connections() {
    let upstream = Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            if request.field("upgrade").is_some() {
                script.send(SWITCH)?;
                return script.until_closed();
            }
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let upstream_proxy = http_proxy();
    let config = json!({"routes": {"a": {"target_url": upstream.url(), "proxy": upstream_proxy.url()}}});
    let proxy = Proxy::start(&config);
    assert_eq!(proxy.client().ask(GET).status(), 200);
    let _client = switched(&proxy);
    assert_eq!(proxy.client().ask(GET).status(), 200);
    let lines: Vec<_> = (0..3).map(|_| upstream.request().line().to_owned()).collect();
    let whole = format!("GET {}/x?q=1 HTTP/1.1", upstream.url());
    assert_eq!(lines, [whole.clone(), "GET /chat?x=1 HTTP/1.1".to_owned(), whole]);
    assert_eq!(upstream_proxy.connections(), 3);
}

#[test]
fn http2_goes_through_every_kind_of_tunnel_to_plain_and_to_tls_targets() {
    let (trust, upstream) = (Trust::new(), Http2Upstream::ok());
    let address = upstream.url().strip_prefix("http://").expect("in the clear").parse().expect("an address");
    let (http, socks) = (http_proxy(), socks_proxy());
    let target_front = TlsFront::before(address, &trust.authority);
    let proxy_front = TlsFront::before(http.address(), &trust.authority);
    let ways = [
        http.url(),
        format!("https://localhost:{}", proxy_front.port()),
        format!("socks5://{}", socks.address()),
        format!("socks4a://{}", socks.address()),
    ];
    for way in &ways {
        for target in [upstream.url(), format!("https://localhost:{}", target_front.port())] {
            let route = json!({"target_url": target, "proxy": way, "http2": true});
            let before = upstream.connections();
            let proxy = Proxy::start(&json!({"ca_file": trust.ca_file(), "routes": {"a": route}}));
            for _ in 0..3 {
                assert_eq!(proxy.client().ask(GET).text(), "ok", "{way} {target}");
                upstream.asked();
            }
            assert_eq!(upstream.connections() - before, 1, "{way} {target}");
        }
    }
    for _ in 0..2 {
        assert_eq!(target_front.protocol().as_deref(), Some("h2"));
        assert_eq!(proxy_front.protocol().as_deref(), Some("http/1.1"));
    }
}
