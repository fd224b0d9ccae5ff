//! Where clients of universal routes may go, and in how many disguises they try.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Upstream, aqueduct, http_proxy, socks_proxy, write_private};

/// A proxy with one universal route `u`, and what its configuration says of where clients may go.
fn guarded(rules: Value) -> Proxy {
    Proxy::start(&routes(rules))
}

fn routes(mut rules: Value) -> Value {
    rules["universal_proxy"] = json!(true);
    json!({"routes": {"u": rules}})
}

fn ask(proxy: &Proxy, target: &str) -> Received {
    proxy.client().ask(format!("GET /u/{target} HTTP/1.1\r\nHost: proxy\r\n\r\n"))
}

fn code(answer: &Received) -> (u16, String) {
    assert_eq!(answer.field("x-aqueduct-error"), answer.json()["code"].as_str());
    (answer.status(), answer.field("x-aqueduct-error").expect("our own answer").to_owned())
}

fn forbidden() -> (u16, String) {
    (403, "target_forbidden".to_owned())
}

/// Link-local addresses and metadata services, as people have tried to reach them.
const NEVER: &[&str] = &[
    "http://169.254.169.254/latest/meta-data/",
    "http:/169.254.169.254/",
    "HTTP://169.254.169.254/",
    "http%3A%2F%2F169.254.169.254%2F",
    "http%3a//%31%36%39.254.169.254/",
    "https://169.254.169.254/",
    "http://169.254.169.254:80/",
    "http://169.254.169.254:8080/",
    "http://169.254.169.254./",
    "http://user:pass@169.254.169.254/",
    "http://169.254.170.2/v2/credentials",
    "http://169.254.0.1/",
    "http://169.254.255.255/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0XA9FEA9FE/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0xa9.254.0251.254/",
    "http://025177524776/",
    "http://0251.0376.0251.0376/",
    "http://000251.000376.000251.000376/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://0169.0254.0169.0254/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[0:0:0:0:0:FFFF:A9FE:A9FE]/",
    "http://[::169.254.169.254]/",
    "http://[::ffff:0:169.254.169.254]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[64:ff9b:1:a9fe:a9:fe00::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:a9fe:a9fe::]/",
    "http://[2001::5601:5601]/",
    "http://[fe80::5efe:a9fe:a9fe]/",
    "http://[2001:db8::5efe:a9fe:a9fe]/",
    "http://[fe80::1]/",
    "http://[FE80::a9fe:a9fe]:80/",
    "http://[febf:ffff::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fd00:0ec2:0:0:0:0:0:0254]/",
    "http://[fd20:ce::254]/",
    "http://100.100.100.200/",
    "http://1684301000/",
    "http://[::ffff:100.100.100.200]/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://Metadata.Google.Internal/",
    "http://metadata.google.internal./",
    "http://x.metadata.google.internal/",
    "http://metadata/",
    "http://METADATA.:80/",
    "http://metadata.goog/",
    "http://instance-data/",
    "http://instance-data.ec2.internal/",
    "http://metadata.tencentyun.com/",
    "http%3A%2F%2Fmetadata%2F",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://169.254.169.254.0/",
    "http://0xa9fea9fe0/",
    "http://4294967296/",
];

/// What only looks like a URL, or like one that leads elsewhere than it does.
const NO_URLS: &[&str] = &[
    "http://169.254.169.254%2f@good.example/",
    "http://good.example@169.254.169.254/",
    "http://good.example\\@169.254.169.254/",
    "http://a:b@good.example@169.254.169.254/",
    "http://good.example:80@169.254.169.254:x/",
    "http://169.254.169.254\\/",
    "http://169%2e254%2e169%2e254/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::ffff:169.254.169.254/",
    "http://[169.254.169.254]/",
    "http://[v1.fe80]/",
    "http%3A%2F%2F169.254.169.254%00%2F",
    "http%3A%2F%2F169.254.169.254%0d%0a%2F",
    "http%3A%2F%2Fgood.example%20169.254.169.254%2F",
    "http%3A%2F%2Fgood.example%09%2F",
    "http://①⑥⑨.254.169.254/",
    "http://169。254。169。254/",
    "http://good.example:80:80/",
    "http://:80/",
    "http:///169.254.169.254/",
    "//169.254.169.254/",
    "gopher://169.254.169.254/",
    "file:///etc/passwd",
    "ftp://169.254.169.254/",
    "http:169.254.169.254/",
];

/// Addresses that are not public, for routes that want none.
const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "00000177.1",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "0",
    "0.0.0.0",
    "0x0",
    "10.0.0.1",
    "012.0.0.1",
    "010.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "3232235777",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::10.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a00:1::]",
    "[2001:0:808:808::f5ff:fffe]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
];

#[test]
fn what_hands_out_keys_is_refused_in_every_disguise() {
    assert!(NEVER.len() >= 60);
    let proxy = guarded(json!({"allow_hosts": ["0.0.0.0/0", "::/0", "*.google.internal", "metadata"]}));
    let lax = guarded(json!({}));
    for target in NEVER {
        for proxy in [&lax, &proxy] {
            let answer = ask(proxy, target);
            assert_eq!(code(&answer), forbidden(), "{target}: {}", answer.text());
            assert_eq!(answer.json()["error"], "This target is not allowed on this route.", "{target}");
        }
    }
}

#[test]
fn what_is_no_url_is_refused_before_anything_else() {
    let proxy = guarded(json!({}));
    for target in NO_URLS {
        let answer = ask(&proxy, target);
        assert!(matches!(code(&answer), (400, _)), "{target}: {}", answer.text());
    }
}

#[test]
fn a_proxy_on_the_way_changes_nothing_about_what_can_be_seen() {
    for (way, schemes) in [(http_proxy(), &["http"][..]), (socks_proxy(), &["socks5h", "socks4a", "socks5"])] {
        for scheme in schemes {
            let proxy = guarded(json!({"proxy": format!("{scheme}://{}", way.address())}));
            for target in NEVER.iter().step_by(3) {
                assert_eq!(code(&ask(&proxy, target)), forbidden(), "{scheme} {target}");
            }
        }
        assert_eq!(way.connections(), 0, "nobody was asked to go there");
    }
}

#[test]
fn private_addresses_are_refused_where_a_route_wants_public_ones() {
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    let mut config = routes(json!({"allow_private": false}));
    config["server"] = json!({"log_format": "pretty"});
    let proxy = Proxy::start(&config);
    for host in PRIVATE {
        assert_eq!(code(&ask(&proxy, &format!("http://{host}:{port}/"))), forbidden(), "{host}");
    }
    assert!(upstream.has_no_request());
    proxy.says("not a public address, and allow_private is false: 0x7f.1 (127.0.0.1)");
}

#[test]
fn private_addresses_are_reached_where_nothing_is_said() {
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    let proxy = guarded(json!({}));
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let answer = ask(&proxy, &format!("http://{host}:{port}/x"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{host}");
        assert_eq!(
            upstream.request().fields("host"),
            [format!("{host}:{port}")],
            "the host is the one that was asked for"
        );
    }
}

#[test]
fn lists_say_who_may_be_reached() {
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    let reached = |rules: Value, host: &str| {
        let answer = ask(&guarded(rules), &format!("http://{host}:{port}/"));
        match answer.status() {
            200 => _ = upstream.request(),
            _ => assert_eq!(code(&answer), forbidden(), "{host}"),
        }
        answer.status() == 200
    };
    assert!(reached(json!({"allow_hosts": ["localhost"]}), "localhost"));
    assert!(!reached(json!({"allow_hosts": ["localhost"]}), "127.0.0.1"), "a name is no address");
    assert!(!reached(json!({"allow_hosts": ["*.localhost", "example.com"]}), "localhost"));
    assert!(reached(json!({"allow_hosts": ["127.0.0.0/8", "::1"]}), "localhost"), "all its addresses are allowed");
    assert!(!reached(json!({"allow_hosts": ["127.0.0.2"]}), "127.1"));
    assert!(!reached(json!({"allow_hosts": []}), "127.0.0.1"), "nobody is on an empty list");
    assert!(!reached(json!({"deny_hosts": ["LOCALHOST"]}), "localhost."));
    assert!(!reached(json!({"deny_hosts": ["127.0.0.1"]}), "[::ffff:127.0.0.1]"));
    assert!(!reached(json!({"allow_hosts": ["localhost"], "deny_hosts": ["127.0.0.0/8"]}), "localhost"), "deny wins");
    assert!(reached(json!({"deny_hosts": ["10.0.0.0/8", "example.com"]}), "127.0.0.1"));
}

#[test]
fn a_connection_of_one_route_is_not_for_another_that_would_not_have_made_it() {
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    let proxy = Proxy::start(&json!({"routes": {
        "fixed": {"target_url": format!("http://localhost:{port}")},
        "lax": {"universal_proxy": true},
        "strict": {"universal_proxy": true, "deny_hosts": ["127.0.0.0/8", "::1"]},
    }}));
    let mut client = proxy.client();
    for path in ["/fixed/x".to_owned(), format!("/lax/http://localhost:{port}/x")] {
        assert_eq!(client.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).status(), 200);
        upstream.request();
    }
    let answer = client.ask(format!("GET /strict/http://localhost:{port}/x HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(code(&answer), forbidden());
    assert!(upstream.has_no_request());
}

#[test]
fn a_universal_route_does_not_lead_back_to_this_proxy() {
    let proxy = guarded(json!({}));
    let port = proxy.address().port();
    for host in ["127.0.0.1", "127.1", "127.9.9.9", "0.0.0.0", "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "0"]
    {
        assert_eq!(code(&ask(&proxy, &format!("http://{host}:{port}/"))), forbidden(), "{host}");
    }
    // Not even through a proxy that could be on this machine.
    let way = http_proxy();
    let proxy = guarded(json!({"proxy": way.url()}));
    let port = proxy.address().port();
    for host in ["127.0.0.1", "localhost", "2130706433"] {
        assert_eq!(code(&ask(&proxy, &format!("http://{host}:{port}/"))), forbidden(), "{host}");
    }
    assert_eq!(way.connections(), 0);
}

#[test]
fn the_operators_own_targets_are_not_guarded() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({"routes": {"u": {"target_url": upstream.url(), "allow_private": false}}}));
    assert_eq!(ask(&proxy, "x").status(), 200);
    proxy.complains("they do nothing");
}

#[test]
fn a_proxy_is_given_the_address_that_was_looked_at() {
    let upstream = Upstream::ok();
    let port = upstream.address().port();
    let way = http_proxy();
    // `localhost` has addresses that can be looked at without any server of names.
    let proxy = guarded(json!({"proxy": way.url(), "allow_hosts": ["127.0.0.0/8", "::1"]}));
    let answer = ask(&proxy, &format!("http://localhost:{port}/x"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let asked = way.request();
    assert!(asked.line().starts_with("CONNECT "), "{}", asked.line());
    assert!(!asked.line().contains("localhost"), "{}", asked.line());
    assert_eq!(upstream.request().fields("host"), [format!("localhost:{port}")]);
}

fn run(config: &Value, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    aqueduct().args(arguments).current_dir(directory.path()).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn explain_says_that_and_why_a_target_is_refused() {
    let config = routes(json!({"allow_private": false, "deny_hosts": ["*.corp.example"]}));
    for (target, parts) in [
        ("http://0x7f.1/", &["403 target_forbidden", "allow_private is false", "0x7f.1 (127.0.0.1)"][..]),
        ("http://a.corp.example/", &["deny_hosts names it", "*.corp.example"]),
        ("http://metadata/", &["metadata service"]),
    ] {
        let output = run(&config, &["explain", "GET", &format!("/u/{target}")]);
        assert!(!output.status.success());
        for part in parts {
            assert!(text(&output.stderr).contains(part), "{part}: {}", text(&output.stderr));
        }
    }
    let output = run(&config, &["--lang", "zh", "explain", "GET", "/u/http://127.0.0.1/"]);
    assert!(text(&output.stderr).contains("不是公网地址"), "{}", text(&output.stderr));
    let output = run(&config, &["explain", "GET", "/u/http://example.com/"]);
    assert!(text(&output.stdout).contains("only public ones pass"), "{}", text(&output.stdout));
}

#[test]
fn check_points_to_entries_that_are_none_and_to_open_doors() {
    let output = run(&routes(json!({"allow_hosts": ["good.example", "http://h"], "deny_hosts": ["h:80"]})), &["check"]);
    assert!(!output.status.success());
    for part in ["routes.u.allow_hosts[1]: expected a name", "routes.u.deny_hosts[0]: expected a name"] {
        assert!(text(&output.stdout).contains(part), "{}", text(&output.stdout));
    }
    for (rules, said) in [
        (json!({}), Some("your internal ones too. Listen on 127.0.0.1, name the targets in allow_hosts")),
        (json!({"allow_private": false}), Some("any public host")),
        (json!({"allow_hosts": ["api.example.com"]}), None),
    ] {
        let output = text(&run(&routes(rules), &["check"]).stdout);
        assert_eq!(output.contains("universal route lets everybody"), said.is_some(), "{output}");
        assert!(said.is_none_or(|said| output.contains(said)), "{output}");
    }
}
