//! Ways out through SOCKS proxies: every byte of the handshakes, and every way in which they can fail.

use std::io;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use crate::support::{PATIENCE, Proxy, Script, Upstream};
use crate::ways_out::{GET, LOGIN, keeps_the_password, through};

const GRANTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A SOCKS server that reads these many bytes and gives these answers in turn, and is the target itself afterwards.
/// What it read is told.
fn server(turns: &'static [(usize, &'static [u8])]) -> (Upstream, Receiver<Vec<u8>>) {
    let (tell, told) = channel();
    let server = Upstream::playing(move |script| {
        for (length, answer) in turns {
            tell.send(script.bytes(*length)?).map_err(io::Error::other)?;
            script.send(answer)?;
        }
        while script.request()?.is_some() {
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    (server, told)
}

/// What such a server is told in one exchange that succeeds.
fn said(scheme: &str, login: &str, target: &str, turns: &'static [(usize, &'static [u8])]) -> Vec<Vec<u8>> {
    let (server, told) = server(turns);
    let proxy = through(&format!("{scheme}://{login}{}", server.address()), target);
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(server.request().line(), "GET /x?q=1 HTTP/1.1");
    keeps_the_password(&proxy, &[]);
    turns.iter().map(|_| told.recv_timeout(PATIENCE).expect("a turn")).collect()
}

#[test]
fn names_go_to_the_proxy_as_names() {
    let told = said("socks5h", "", "http://Target.invalid:8080", &[(3, &[5, 0]), (21, &GRANTED)]);
    assert_eq!(told, [b"\x05\x01\x00".to_vec(), b"\x05\x01\x00\x03\x0etarget.invalid\x1f\x90".to_vec()]);
    let told = said("socks4a", "", "http://target.invalid", &[(24, &[0, 90, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(told, [b"\x04\x01\x00\x50\x00\x00\x00\x01\x00target.invalid\x00".to_vec()]);
}

#[test]
fn the_longest_name_goes_too() {
    let name = format!("{}.invalid", ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(53)].join("."));
    assert_eq!(name.len(), 253);
    let told = said("socks5h", "", &format!("http://{name}"), &[(3, &[5, 0]), (260, &GRANTED)]);
    assert_eq!(told[1], [b"\x05\x01\x00\x03\xfd", name.as_bytes(), b"\x00\x50"].concat());
}

#[test]
fn addresses_go_as_addresses() {
    for scheme in ["socks5", "socks5h"] {
        let told = said(scheme, "", "http://10.1.2.3", &[(3, &[5, 0]), (10, &GRANTED)]);
        assert_eq!(told[1], [5, 1, 0, 1, 10, 1, 2, 3, 0, 80]);
        let told = said(scheme, "", "http://[2001:db8::7]:81", &[(3, &[5, 0]), (22, &GRANTED)]);
        assert_eq!(told[1], [&[5, 1, 0, 4, 0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7, 0, 81]].concat());
    }
    for scheme in ["socks4", "socks4a"] {
        let told = said(scheme, "", "http://10.1.2.3", &[(9, &[0, 90, 0, 0, 0, 0, 0, 0])]);
        assert_eq!(told, [[4, 1, 0, 80, 10, 1, 2, 3, 0]]);
    }
}

#[test]
fn logins_are_given_if_they_are_asked_for() {
    let login = format!("{LOGIN}@");
    let told = said("socks5h", &login, "http://10.1.2.3", &[(4, &[5, 2]), (20, &[1, 0]), (10, &GRANTED)]);
    assert_eq!(told[..2], [b"\x05\x02\x00\x02".to_vec(), b"\x01\x06al ice\x0bw0nder@land".to_vec()]);
    let told = said("socks5", &login, "http://10.1.2.3", &[(4, &[5, 0]), (10, &GRANTED)]);
    assert_eq!(told.len(), 2, "nobody asked");
    let told = said("socks4", "al%20ice@", "http://10.1.2.3", &[(15, &[0, 90, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(told, [b"\x04\x01\x00\x50\x0a\x01\x02\x03al ice\x00".to_vec()]);
}

#[test]
fn names_are_resolved_here_where_the_scheme_says_so() {
    let (tell, told) = channel();
    // Whatever this machine calls itself first, only the IPv4 address can be reached.
    let socks = Upstream::playing(move |script| {
        script.bytes(3)?;
        script.send([5, 0])?;
        let kind = script.bytes(4)?[3];
        let address = script.bytes(if kind == 1 { 4 } else { 16 })?;
        script.bytes(2)?;
        let _ = tell.send((kind, address));
        if kind != 1 {
            return script.send([5, 8, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        script.send(GRANTED)?;
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let proxy = through(&format!("socks5://{}", socks.address()), "http://localhost");
    assert_eq!(proxy.client().ask(GET).status(), 200);
    let addresses: Vec<_> = told.try_iter().collect();
    assert_eq!(addresses.last(), Some(&(1, vec![127, 0, 0, 1])));
    assert!(addresses.iter().all(|(kind, _)| matches!(kind, 1 | 4)), "{addresses:?}");

    let (server, told) = server(&[(9, &[0, 90, 0, 0, 0, 0, 0, 0])]);
    let proxy = through(&format!("socks4://{}", server.address()), "http://localhost");
    assert_eq!(proxy.client().ask(GET).status(), 200);
    assert_eq!(told.recv_timeout(PATIENCE).expect("a turn"), [4, 1, 0, 80, 127, 0, 0, 1, 0]);
}

#[test]
fn replies_may_come_in_pieces_and_what_follows_them_is_kept() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
    for reply in [
        &GRANTED[..],
        &[5, 0, 0, 3, 3, b'a', b'b', b'c', 0, 80],
        &[5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        for piece in [1, 3, 1000] {
            let socks = Upstream::playing(move |script| {
                script.bytes(3)?;
                for part in [5, 0].chunks(piece) {
                    script.send(part)?;
                }
                script.bytes(21)?;
                // The target speaks before it is asked, and its words come with those of the proxy.
                for part in [reply, ANSWER].concat().chunks(piece) {
                    script.send(part)?;
                    std::thread::yield_now();
                }
                script.request().map(|_| ())
            });
            let proxy = through(&format!("socks5h://{}", socks.address()), "http://target.invalid");
            let answer = proxy.client().ask(GET);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "early"), "{piece}: {reply:?}");
        }
    }
}

#[test]
fn a_connection_through_socks_is_kept() {
    let (server, _told) = server(&[(3, &[5, 0]), (21, &GRANTED)]);
    let proxy = through(&format!("socks5h://{}", server.address()), "http://target.invalid");
    for _ in 0..3 {
        assert_eq!(proxy.client().ask(GET).status(), 200);
    }
    assert_eq!(server.connections(), 1);
}

/// What goes wrong, on which way, which code it has, and what the log says of it.
type Fault = (&'static str, String, &'static str, &'static str);

/// A SOCKS server that says this, one thing after each that it hears, and then closes the connection.
fn saying(words: &'static [&'static [u8]]) -> Upstream {
    Upstream::playing(move |script: &mut Script| {
        for word in words {
            script.some()?;
            script.send(word)?;
        }
        Ok(())
    })
}

fn told(faults: &[Fault], target: &str) {
    let mut config = json!({"server": {"log_format": "pretty"}, "routes": {}});
    for (route, url, ..) in faults {
        config["routes"][route] = json!({"target_url": target, "proxy": url});
    }
    let proxy = Proxy::start(&config);
    for (route, url, code, said) in faults {
        let answer = proxy.client().ask(format!("GET /{route} HTTP/1.1\r\nHost: p\r\n\r\n"));
        let expected = json!({"error": "Proxy failed to connect to the target server.", "code": code});
        assert_eq!((answer.status(), answer.json()), (502, expected), "{route} {url}");
        proxy.complains(said);
        keeps_the_password(&proxy, &[answer.text()]);
    }
}

#[test]
fn every_way_to_fail_has_its_code_and_its_line() {
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound")
    };
    let no_method = saying(&[&[5, 0xff]]);
    let wrong = saying(&[&[5, 2], &[1, 1]]);
    let http = saying(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
    let odd_method = saying(&[&[5, 1]]);
    let odd_address = saying(&[&[5, 0], &[5, 0, 0, 9]]);
    let silent = saying(&[b""]);
    let cut_method = saying(&[&[5]]);
    let cut_login = saying(&[&[5, 2], &[1]]);
    let cut_reply = saying(&[&[5, 0], &[5, 0, 0, 1, 0, 0, 0, 0, 0]]);
    let short_refusal = saying(&[&[5, 0], &[5, 5]]);
    let rejected = saying(&[&[0, 91, 0, 0, 0, 0, 0, 0]]);
    let identd = saying(&[&[0, 92, 0, 0, 0, 0, 0, 0]]);
    let five = |upstream: &Upstream| format!("socks5h://{LOGIN}@{}", upstream.address());
    let four = |upstream: &Upstream| format!("socks4a://al%20ice@{}", upstream.address());
    told(
        &[
            (
                "dead",
                format!("socks5h://{LOGIN}@{dead}"),
                "upstream_proxy_unreachable",
                "the upstream proxy takes no connection: Connection refused",
            ),
            (
                "dns",
                format!("socks5h://{LOGIN}@nowhere.invalid"),
                "upstream_proxy_dns",
                "the upstream proxy's name could not be resolved",
            ),
            ("login", five(&no_method), "upstream_proxy_auth", "asks for a login, or does not accept the given one"),
            ("wrong", five(&wrong), "upstream_proxy_auth", "asks for a login"),
            ("http", five(&http), "upstream_proxy_bad_answer", "expected a version of SOCKS, found byte 0x48"),
            (
                "method",
                five(&odd_method),
                "upstream_proxy_bad_answer",
                "expected a method of login of SOCKS, found byte 0x01",
            ),
            (
                "address",
                five(&odd_address),
                "upstream_proxy_bad_answer",
                "expected a kind of address of SOCKS, found byte 0x09",
            ),
            ("silent", five(&silent), "upstream_proxy_reset", "closed the connection before it had made one"),
            ("cut1", five(&cut_method), "upstream_proxy_reset", "unexpected end of file"),
            ("cut2", five(&cut_login), "upstream_proxy_reset", "unexpected end of file"),
            ("cut3", five(&cut_reply), "upstream_proxy_reset", "unexpected end of file"),
            (
                "short",
                five(&short_refusal),
                "upstream_proxy_refused",
                "does not make the connection: connection refused",
            ),
            ("four", four(&rejected), "upstream_proxy_refused", "does not make the connection: SOCKS4 reply 91"),
            ("identd", four(&identd), "upstream_proxy_auth", "asks for a login"),
            ("five4", four(&no_method), "upstream_proxy_bad_answer", "expected a version of SOCKS, found byte 0x05"),
        ],
        "http://target.invalid",
    );
}

#[test]
fn every_refusal_is_told_in_words() {
    const REPLIES: [(&[&[u8]], &str); 9] = [
        (&[&[5, 0], &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]], "general failure of the SOCKS server"),
        (&[&[5, 0], &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]], "not allowed by its rules"),
        (&[&[5, 0], &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]], "network unreachable"),
        (&[&[5, 0], &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]], "host unreachable"),
        (&[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]], "connection refused"),
        (&[&[5, 0], &[5, 6, 0, 1, 0, 0, 0, 0, 0, 0]], "TTL expired"),
        (&[&[5, 0], &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]], "command not supported"),
        (&[&[5, 0], &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]], "kind of address not supported"),
        (&[&[5, 0], &[5, 0x42, 0, 1, 0, 0, 0, 0, 0, 0]], "SOCKS5 reply 66"),
    ];
    for (words, said) in REPLIES {
        let socks = saying(words);
        told(&[("a", format!("socks5://{}", socks.address()), "upstream_proxy_refused", said)], "http://10.1.2.3");
    }
}

#[test]
fn what_cannot_be_resolved_or_said_never_reaches_the_proxy() {
    let socks = saying(&[]);
    let url = |scheme: &str| format!("{scheme}://{}", socks.address());
    let name = "the upstream's name could not be resolved: 'nowhere.invalid'";
    told(
        &[("five", url("socks5"), "upstream_dns", name), ("four", url("socks4"), "upstream_dns", name)],
        "http://nowhere.invalid",
    );
    let version = "SOCKS4 carries no IPv6 addresses";
    told(
        &[
            ("a", url("socks4"), "upstream_unreachable", version),
            ("b", url("socks4a"), "upstream_unreachable", version),
        ],
        "http://[::1]",
    );
    assert_eq!(socks.connections(), 0);
}
