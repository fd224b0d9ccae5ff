//! TLS with clients.

use std::io::Read;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Authority, Client, Proxy, Session, Upstream, aqueduct, begin_shared_tls, begin_tls, curl, eventually, write_private,
};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// A proxy that speaks TLS, the directory in which its certificate lies, and who issued it.
struct Door {
    proxy: Proxy,
    directory: TempDir,
    authority: Authority,
}

impl Door {
    fn to(upstream: &Upstream) -> Self {
        Self::with(&json!({"routes": {"a": {"target_url": upstream.url()}}}))
    }

    fn with(config: &Value) -> Self {
        let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
        let mut config = config.clone();
        let server = config.as_object_mut().expect("an object").entry("server").or_insert_with(|| json!({}));
        let mut tls = authority.issue().write(directory.path());
        if let Some(more) = server["tls"].as_object() {
            tls.as_object_mut().expect("an object").extend(more.clone());
        }
        server["tls"] = tls;
        Self { proxy: Proxy::start(&config), directory, authority }
    }

    fn client(&self) -> Client<Session> {
        self.authority.client(self.proxy.address())
    }

    /// The certificate authority as a file.
    fn authority_file(&self) -> String {
        let path = self.directory.path().join("authority.pem");
        write_private(&path, &self.authority.certificate());
        path.display().to_string()
    }
}

/// An upstream whose streams send a word each time that they are told to.
fn stream() -> (Upstream, Sender<&'static str>) {
    let (go, wait) = channel::<&'static str>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Ok(word) = wait.lock().expect("not poisoned").recv() {
            script.send(format!("{:x}\r\n{word}\r\n", word.len()))?;
        }
        script.until_closed()
    });
    (upstream, go)
}

#[test]
fn requests_come_in_over_tls_in_both_versions() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    door.proxy.says(&format!("https://{}", door.proxy.address()));
    for (version, wanted) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut config = door.authority.trusted(&[version], None);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = begin_tls(door.proxy.address(), config);
        for _ in 0..2 {
            assert_eq!(client.ask(GET).text(), "ok");
        }
        let session = &client.stream().conn;
        assert_eq!(session.protocol_version(), Some(wanted));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    eventually("all are on record", || door.proxy.log().len() == 4);
}

#[test]
fn curl_speaks_it_in_both_versions() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    let (url, authority) = (format!("https://localhost:{}/a/x", door.proxy.address().port()), door.authority_file());
    for version in ["1.2", "1.3"] {
        let least = format!("--tlsv{version}");
        let told = curl(&["--cacert", &authority, &least, "--tls-max", version, &url]);
        assert_eq!(told, "ok");
    }
}

#[test]
fn sessions_are_taken_up_again() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(door.authority.trusted(&[version], None));
        let kinds = [(); 3].map(|()| {
            let mut client = begin_shared_tls(door.proxy.address(), &config);
            assert_eq!(client.ask(GET).text(), "ok");
            client.stream().conn.handshake_kind()
        });
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed].map(Some));
    }
}

#[test]
fn a_reload_that_changes_no_certificate_keeps_sessions() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    let config = Arc::new(door.authority.trusted(rustls::ALL_VERSIONS, None));
    begin_shared_tls(door.proxy.address(), &config).ask(GET);
    door.proxy.signal("HUP");
    door.proxy.says("Configuration reloaded.");
    let mut client = begin_shared_tls(door.proxy.address(), &config);
    client.ask(GET);
    assert_eq!(client.stream().conn.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let (upstream, go) = stream();
    let config = json!({"server": {"reload_interval": 0}, "routes": {"a": {"target_url": upstream.url()}}});
    let door = Door::with(&config);
    let mut old = door.client();
    old.send(GET).head();
    go.send("before").expect("a stream");
    old.hears("before");

    let other = Authority::new();
    other.issue().replace(door.directory.path());
    door.proxy.says("Configuration reloaded.");
    assert_eq!(other.client(door.proxy.address()).ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    assert!(begin_handshake(&mut door.client()).is_err(), "the old authority did not issue the new certificate");

    go.send("after").expect("a stream");
    old.hears("after");
}

/// Makes the handshake, and gives what came of it.
fn begin_handshake(client: &mut Client<Session>) -> std::io::Result<()> {
    let stream = client.stream_mut();
    stream.conn.complete_io(&mut stream.sock).map(|_| ())
}

#[test]
fn a_bad_certificate_keeps_the_old_one() {
    let upstream = Upstream::ok();
    let config = json!({"server": {"reload_interval": 0}, "routes": {"a": {"target_url": upstream.url()}}});
    let door = Door::with(&config);
    let key = door.directory.path().join("key.pem");
    // As when only one of the two files has been written yet.
    let pair = Authority::new().issue();
    let old = std::fs::read_to_string(&key).expect("there");
    write_private(&key, &pair.key);
    door.proxy.complains("server.tls.key: the key does not belong to the certificate in 'cert'");
    assert_eq!(door.client().ask(GET).text(), "ok");

    std::fs::remove_file(&key).expect("there");
    door.proxy.complains(&format!("server.tls.key: cannot read the file '{}'", key.display()));
    assert_eq!(door.client().ask(GET).text(), "ok");
    assert!(!door.proxy.out().contains("reloaded"));

    write_private(&key, &old);
    door.proxy.says("Configuration reloaded.");
    assert_eq!(door.client().ask(GET).text(), "ok");
}

#[test]
fn what_cannot_be_used_is_refused_at_its_place() {
    let directory = TempDir::new().expect("a directory");
    let (good, other) = (Authority::new().issue(), Authority::new().issue());
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        write_private(&path, text);
        path.display().to_string()
    };
    let (cert, key) = (file("cert.pem", &good.certificate), file("key.pem", &good.key));
    let other_key = file("other.pem", &other.key);
    let junk = file("junk.pem", "junk");
    let one_line = file("one_line.pem", &good.key.replace('\n', ""));
    let secret = good.key.lines().nth(1).expect("a line");
    let cases = [
        (json!({}), "server.tls: TLS needs both 'cert' and 'key'"),
        (json!({"cert": cert}), "server.tls: TLS needs both 'cert' and 'key'"),
        (json!({"cert": "none.pem", "key": key}), "server.tls.cert: cannot read the file"),
        (json!({"cert": junk, "key": key}), "server.tls.cert: no certificate in PEM form"),
        (json!({"cert": one_line, "key": key}), "server.tls.cert: no certificate in PEM form"),
        (json!({"cert": cert, "key": junk}), "server.tls.key: no private key"),
        (json!({"cert": cert, "key": one_line}), "server.tls.key: no private key"),
        (json!({"cert": cert, "key": cert}), "server.tls.key: no private key"),
        (json!({"cert": cert, "key": other_key}), "server.tls.key: the key does not belong"),
        (json!({"cert": cert, "key": key, "client_ca": junk}), "server.tls.client_ca: no certificate in PEM form"),
        (json!({"cert": cert, "key": good.key.replace('A', "B")}), "server.tls.key: "),
        (json!({"cert": cert, "key": 5}), "server.tls.key: expected a string, found a whole number"),
    ];
    for (tls, wanted) in cases {
        let config = directory.path().join("config.json");
        write_private(&config, &json!({"server": {"tls": tls}}).to_string());
        let output = aqueduct().args(["--lang", "en", "-c"]).arg(&config).output().expect("runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{tls}");
        assert!(said.contains("1:") && said.contains(wanted), "{wanted}: {said}");
        assert!(!said.contains(secret) && !said.contains(&secret.replace('A', "B")), "{said}");
    }
}

#[test]
fn keys_may_be_written_in_every_usual_form() {
    let directory = TempDir::new().expect("a directory");
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory.path()).output();
        let output = output.expect("openssl is there: run scripts/setup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("ecparam -name prime256v1 -genkey -noout -out sec1.pem");
    openssl("genrsa -traditional -out pkcs1.pem 2048");
    openssl("genpkey -algorithm ed25519 -out pkcs8.pem");
    for (name, label) in [("sec1", "EC PRIVATE KEY"), ("pkcs1", "RSA PRIVATE KEY"), ("pkcs8", "PRIVATE KEY")] {
        openssl(&format!(
            "req -x509 -key {name}.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -out {name}-cert.pem"
        ));
        let key = std::fs::read_to_string(directory.path().join(format!("{name}.pem"))).expect("text");
        assert!(key.starts_with(&format!("-----BEGIN {label}")), "{key}");
        // The certificate by its path, which begins at the directory of the file; the key as text.
        let config = json!({"server": {"host": "127.0.0.1", "port": 0, "tls": {
            "cert": format!("{name}-cert.pem"), "key": format!("${{file:{name}.pem}}"),
        }}});
        let config_file = directory.path().join("config.json");
        write_private(&config_file, &config.to_string());
        let proxy = Proxy::start_text("{}", |command| {
            command.arg("-c").arg(&config_file);
        });
        let authority = directory.path().join(format!("{name}-cert.pem"));
        let url = format!("https://localhost:{}/", proxy.address().port());
        assert!(curl(&["--cacert", authority.to_str().expect("text"), &url]).contains("Python Proxy is running."));
    }
}

#[test]
fn clients_can_be_asked_for_a_certificate() {
    let upstream = Upstream::ok();
    let (directory, clients) = (TempDir::new().expect("a directory"), Authority::new());
    let client_ca = directory.path().join("clients.pem");
    write_private(&client_ca, &clients.certificate());
    let config = json!({
        "server": {"tls": {"client_ca": client_ca}, "reload_interval": 0},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let door = Door::with(&config);
    let (friend, stranger) = (clients.issue(), Authority::new().issue());
    for version in [&TLS12, &TLS13] {
        let client = |own| begin_tls(door.proxy.address(), door.authority.trusted(&[version], own));
        assert_eq!(client(Some(&friend)).ask(GET).text(), "ok");
        for own in [None, Some(&stranger)] {
            let mut client = client(own);
            // With TLS 1.3 the client is done before the server has seen its certificate.
            let refusal = begin_handshake(&mut client).and_then(|()| client.stream_mut().read(&mut [0; 1]).map(|_| ()));
            let refusal = refusal.expect_err("no friend");
            let told = refusal.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            assert!(matches!(told, Some(rustls::Error::AlertReceived(_))), "{refusal}");
        }
    }
    assert_eq!(upstream.connections(), 1, "{}", door.proxy.out());
    door.proxy.complains("no TLS session: ");

    // Who was let in under other rules has to show a certificate anew.
    let shared = Arc::new(door.authority.trusted(rustls::ALL_VERSIONS, Some(&friend)));
    assert_eq!(begin_shared_tls(door.proxy.address(), &shared).ask(GET).text(), "ok");
    write_private(&client_ca, &Authority::new().certificate());
    door.proxy.says("Configuration reloaded.");
    let mut client = begin_shared_tls(door.proxy.address(), &shared);
    assert!(begin_handshake(&mut client).and_then(|()| client.stream_mut().read(&mut [0; 1])).is_err());
}

#[test]
fn plain_http_is_told_that_this_is_tls_and_the_log_is_not_flooded() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    for _ in 0..5 {
        let heard = door.proxy.client().send(GET).rest();
        // A fatal alert (RFC 8446 section 6).
        assert!(heard.first() == Some(&0x15) && heard.get(5) == Some(&2), "{heard:?}");
    }
    assert_eq!(door.client().ask(GET).text(), "ok");
    door.proxy.complains("No request from 127.0.0.1:");
    assert_eq!(door.proxy.err().matches("No request from").count(), 1, "{}", door.proxy.err());
    door.proxy.logged(|line| line["route"] == "a");
    assert_eq!(door.proxy.log().len(), 1, "what was no request is none");
}

#[test]
fn who_only_looks_whether_the_port_is_open_is_not_told_of() {
    let upstream = Upstream::ok();
    let door = Door::to(&upstream);
    for _ in 0..3 {
        drop(door.proxy.client());
    }
    door.proxy.client().send([0x16, 3, 1]);
    assert_eq!(door.client().ask(GET).text(), "ok");
    assert!(!door.proxy.err().contains("No request"), "{}", door.proxy.err());
}

#[test]
fn a_handshake_that_stalls_is_cut_off_and_slows_nobody() {
    let upstream = Upstream::ok();
    let config = json!({
        "server": {"limits": {"head_timeout": "300ms"}},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let door = Door::with(&config);
    let mut stalled: Vec<_> = (0..100)
        .map(|number| {
            let mut client = door.proxy.client();
            // Half of them say nothing at all, the others stop in the middle.
            client.send(if number % 2 == 0 { &[][..] } else { &[0x16, 3, 1, 1, 0] });
            client
        })
        .collect();
    assert_eq!(door.client().ask(GET).text(), "ok");
    assert!(stalled.iter_mut().all(Client::is_closed));
    door.proxy.complains("it took longer than server.limits.head_timeout");
}

#[test]
fn an_end_is_announced() {
    let upstream = Upstream::ok();
    let config = json!({
        "server": {"limits": {"keep_alive_timeout": "200ms"}},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let door = Door::with(&config);
    // By request, after silence, and at the end of the program.
    for request in ["GET /a HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n", GET] {
        let mut client = door.client();
        assert_eq!(client.ask(request).text(), "ok");
        assert_eq!(client.stream_mut().read(&mut [0; 1]).expect("no cut"), 0);
    }
    let door = Door::to(&upstream);
    let mut client = door.client();
    client.ask(GET);
    door.proxy.signal("TERM");
    assert_eq!(client.stream_mut().read(&mut [0; 1]).expect("no cut"), 0);
}

#[test]
fn a_cut_is_none() {
    let upstream = Upstream::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    let door = Door::to(&upstream);
    let mut client = door.client();
    client.send("GET /a HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", false));
    // Where the end of the connection is the end of the body.
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    });
    let door = Door::to(&upstream);
    let mut client = door.client();
    let answer = client.send("GET /a HTTP/1.0\r\n\r\n").answer();
    assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", false));
}

#[test]
fn large_bodies_pass_both_ways() {
    let body = vec![b'x'; 3_000_000];
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n".as_slice(), &body].concat();
    let upstream = Upstream::answering(answer);
    let door = Door::to(&upstream);
    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = door.client();
    for _ in 0..2 {
        let answer = client.ask([head.as_bytes(), &body].concat());
        assert!(answer.is_whole && answer.body == body);
        assert!(upstream.request().body == body);
    }
}

#[test]
fn who_leaves_takes_the_upstream_along() {
    let (upstream, go) = stream();
    let door = Door::to(&upstream);
    let mut client = door.client();
    client.send(GET).head();
    go.send("x").expect("a stream");
    client.hears("x");
    drop(client);
    assert_eq!(door.proxy.logged(|line| line["route"] == "a")["end"], "client_gone");
}

#[test]
fn who_finds_no_room_is_told_so() {
    let (upstream, go) = stream();
    let config = json!({
        "server": {"limits": {"max_connections": 1}},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let door = Door::with(&config);
    let mut first = door.client();
    first.send(GET).head();
    let answer = door.client().ask(GET);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (503, Some("overloaded")));
    let url = format!("https://localhost:{}/a", door.proxy.address().port());
    let said = ["-w", " %{http_version} %{http_code}", "--cacert", &door.authority_file(), "--http2", &url];
    let told = curl(&said);
    assert!(told.contains("\"code\": \"overloaded\"") && told.ends_with(" 2 503"), "{told}");
    go.send("x").expect("a stream");
    first.hears("x");
}

#[test]
fn an_end_of_the_program_waits_for_answers_and_not_for_handshakes() {
    let (upstream, go) = stream();
    let mut door = Door::to(&upstream);
    let mut client = door.client();
    client.send(GET).head();
    let mut half = door.proxy.client();
    half.send([0x16, 3, 1, 1, 0]);
    door.proxy.signal("TERM");
    assert!(half.is_closed());
    assert!(door.proxy.is_alive());
    go.send("last").expect("a stream");
    client.hears("last");
    drop(client);
    assert_eq!(door.proxy.ended().code(), Some(0));
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let directory = TempDir::new().expect("a directory");
    let tls = Authority::new().issue().write(directory.path());
    let key = directory.path().join("key.pem");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("a file");
    let proxy = Proxy::start(&json!({"server": {"tls": tls}}));
    proxy.complains(&format!("server.tls.key: every user of this machine can read the key file '{}'", key.display()));
}
