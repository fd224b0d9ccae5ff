//! Every way in which an HTTP proxy can fail, or say no.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Proxy, Script, Upstream, socks_proxy};
use crate::ways_out::{GET, LOGIN, keeps_the_password, through};

const TUNNEL: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[test]
fn statuses_of_whole_requests_pass_but_for_a_wanted_login() {
    for status in [400, 403, 404, 429, 500, 502, 503, 504] {
        let answer = format!("HTTP/1.1 {status} Whatever\r\nX: y\r\nContent-Length: 2\r\n\r\nno");
        let upstream_proxy = Upstream::answering(answer);
        let proxy = through(&upstream_proxy.url(), "http://target.invalid");
        let answer = proxy.client().ask(GET);
        assert_eq!((answer.status(), answer.field("x"), answer.text().as_str()), (status, Some("y"), "no"));
        assert_eq!(answer.field("x-aqueduct-error"), None);
    }
    let upstream_proxy = Upstream::answering(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"inner\"\r\nContent-Length: 2\r\n\r\nno",
    );
    let proxy = through(&format!("http://{LOGIN}@{}", upstream_proxy.address()), "http://target.invalid");
    let answer = proxy.client().ask("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((answer.status(), answer.field("proxy-authenticate")), (502, None));
    assert_eq!(
        answer.json(),
        json!({"error": "Proxy failed to connect to the target server.", "code": "upstream_proxy_auth"})
    );
    assert_eq!(proxy.logged(|_| true)["code"], "upstream_proxy_auth");
    keeps_the_password(&proxy, &[answer.text()]);
}

#[test]
fn a_407_of_a_target_behind_a_tunnel_is_its_own() {
    let upstream = Upstream::answering("HTTP/1.1 407 Mine\r\nContent-Length: 0\r\n\r\n");
    let socks = socks_proxy();
    let proxy = through(&format!("socks5://{}", socks.address()), &upstream.url());
    assert_eq!(proxy.client().ask(GET).status(), 407);
}

/// A listener that does this once it was asked something, and then stays silent until it is closed.
fn then(play: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static) -> Upstream {
    Upstream::playing(move |script| {
        script.some()?;
        play(script)?;
        script.until_closed()
    })
}

#[test]
fn every_way_to_fail_has_its_code_and_its_line_and_nothing_goes_out_directly() {
    let (target, closed_port) = (Upstream::ok(), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let dead = closed_port.local_addr().expect("bound");
    drop(closed_port);
    let wants_login = then(|script| script.send("HTTP/1.1 407 Who are you\r\nContent-Length: 9\r\n\r\n"));
    let knows_another = then(|script| script.send("HTTP/1.1 401 Unauthorized\r\n\r\n"));
    let refuses = then(|script| script.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf"));
    let fails = then(|script| script.send("HTTP/1.1 503 w0nder\r\n\r\n"));
    let moves = then(|script| script.send("HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n"));
    let garbage = then(|script| script.send("SSH-2.0-w0nder\r\n"));
    let switches = then(|script| script.send("HTTP/1.1 101 Switching\r\n\r\n"));
    let chatters = then(|script| script.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(17)));
    let closes = Upstream::playing(|script| script.some().map(|_| ()));
    let cuts = Upstream::playing(|script| {
        script.some()?;
        script.send("HTTP/1.1 200 Connec")
    });
    let resets = Upstream::playing(|script| {
        script.some()?;
        script.reset();
        Ok(())
    });
    let no_tls_behind = then(|script| script.send(format!("{TUNNEL}SSH-2.0-x\r\n")));
    let table = [
        (
            "dns",
            "http://LOGIN@nowhere.invalid".to_owned(),
            "upstream_proxy_dns",
            "proxy's name could not be resolved: 'nowhere.invalid'",
        ),
        (
            "dead",
            format!("http://LOGIN@{dead}"),
            "upstream_proxy_unreachable",
            "the upstream proxy takes no connection: Connection refused",
        ),
        (
            "tls",
            format!("https://LOGIN@{}", garbage.address()),
            "upstream_proxy_tls",
            "no TLS session with the upstream proxy",
        ),
        (
            "login",
            format!("http://LOGIN@{}", wants_login.address()),
            "upstream_proxy_auth",
            "asks for a login, or does not accept the given one",
        ),
        (
            "wrong",
            format!("http://LOGIN@{}", knows_another.address()),
            "upstream_proxy_auth",
            "asks for a login, or does not accept the given one",
        ),
        (
            "refused",
            format!("http://LOGIN@{}", refuses.address()),
            "upstream_proxy_refused",
            "does not make the connection: status 403",
        ),
        (
            "fails",
            format!("http://LOGIN@{}", fails.address()),
            "upstream_proxy_refused",
            "does not make the connection: status 503",
        ),
        (
            "moves",
            format!("http://LOGIN@{}", moves.address()),
            "upstream_proxy_refused",
            "does not make the connection: status 302",
        ),
        (
            "garbage",
            format!("http://LOGIN@{}", garbage.address()),
            "upstream_proxy_bad_answer",
            "the upstream proxy's answer is not valid",
        ),
        (
            "switches",
            format!("http://LOGIN@{}", switches.address()),
            "upstream_proxy_bad_answer",
            "101 in answer to CONNECT",
        ),
        (
            "chatters",
            format!("http://LOGIN@{}", chatters.address()),
            "upstream_proxy_bad_answer",
            "too many interim answers",
        ),
        (
            "closes",
            format!("http://LOGIN@{}", closes.address()),
            "upstream_proxy_reset",
            "closed the connection before it had made one: unexpected end of file",
        ),
        (
            "cuts",
            format!("http://LOGIN@{}", cuts.address()),
            "upstream_proxy_reset",
            "closed the connection before it had made one: unexpected end of file",
        ),
        (
            "resets",
            format!("http://LOGIN@{}", resets.address()),
            "upstream_proxy_reset",
            "closed the connection before it had made one: Connection reset",
        ),
        (
            "target",
            format!("http://LOGIN@{}", no_tls_behind.address()),
            "upstream_tls",
            "no TLS session with the upstream:",
        ),
    ];
    let mut config = json!({"server": {"log_format": "pretty"}, "routes": {}});
    let target_url = format!("https://{}", target.address());
    for (route, url, ..) in &table {
        config["routes"][route] = json!({"target_url": target_url, "proxy": url.replace("LOGIN", LOGIN)});
    }
    let proxy = Proxy::start(&config);
    let mut answers = Vec::new();
    for (route, _, code, said) in &table {
        let answer = proxy.client().ask(format!("GET /{route} HTTP/1.1\r\nHost: p\r\n\r\n"));
        let expected = json!({"error": "Proxy failed to connect to the target server.", "code": code});
        assert_eq!((answer.status(), answer.json()), (502, expected), "{route}");
        assert_eq!(answer.field("x-aqueduct-error"), Some(*code));
        proxy.complains(said);
        answers.push(answer.head + &String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(target.connections(), 0, "nothing goes out directly");
    keeps_the_password(&proxy, &answers);
}

#[test]
fn one_limit_covers_every_step_and_the_log_names_the_one_it_hung_in() {
    let silent = Upstream::playing(Script::until_closed);
    let half = Upstream::playing(|script| {
        script.some()?;
        script.send("HTTP/1.1 200 Connec")?;
        script.until_closed()
    });
    let silent_behind = Upstream::playing(|script| {
        script.head()?;
        script.send(TUNNEL)?;
        script.until_closed()
    });
    let greets = then(|script| script.send([5, 0]));
    let table = [
        ("tls", format!("https://{}", silent.address()), "during the TLS handshake with the upstream proxy"),
        (
            "silent",
            format!("http://{}", silent.address()),
            "while waiting for the upstream proxy to make the connection",
        ),
        ("half", format!("http://{}", half.address()), "while waiting for the upstream proxy to make the connection"),
        ("behind", format!("http://{}", silent_behind.address()), "during the TLS handshake with the upstream"),
        (
            "socks",
            format!("socks5h://{}", silent.address()),
            "while waiting for the upstream proxy to make the connection",
        ),
        (
            "greets",
            format!("socks5://{}", greets.address()),
            "while waiting for the upstream proxy to make the connection",
        ),
        (
            "socks4",
            format!("socks4a://{}", silent.address()),
            "while waiting for the upstream proxy to make the connection",
        ),
    ];
    let mut config = json!({"server": {"log_format": "pretty"}, "timeouts": {"connect": "300ms"}, "routes": {}});
    for (route, url, _) in &table {
        config["routes"][route] = json!({"target_url": "https://127.0.0.1:1", "proxy": url});
    }
    for (route, _, step) in &table {
        // One for each, so that each line is this one's.
        let mut config = config.clone();
        config["routes"].as_object_mut().expect("routes").retain(|name, _| name == route);
        let proxy = Proxy::start(&config);
        let began = Instant::now();
        let answer = proxy.client().ask(format!("GET /{route} HTTP/1.1\r\nHost: p\r\n\r\n"));
        assert_eq!((answer.status(), &answer.json()["code"]), (504, &Value::from("upstream_timeout")), "{route}");
        assert!(answer.text().contains("the 'connect' limit ran out"), "{}", answer.text());
        assert!(began.elapsed() >= Duration::from_millis(300));
        proxy.complains(&format!("the upstream took longer than timeouts.connect, {step}"));
    }
}
