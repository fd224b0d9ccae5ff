//! TLS to upstreams: whom we trust, and sessions that are taken up again.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use aqueduct::deadline::Deadline;
use aqueduct::h1::{Limits, RequestReader};
use aqueduct::relay::{ClientLimits, Flow, Kept, Nature, Outbox, Relay, Timeouts};
use aqueduct::wire::{Stream, Wire};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::support::{PATIENCE, Proxy, TlsUpstream, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// A proxy that trusts this upstream by `ca_file`.
fn trusting(upstream: &TlsUpstream, name: &str) -> (Proxy, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("ca.pem"), &upstream.certificate);
    let config = json!({
        "ca_file": directory.path().join("ca.pem"),
        "routes": {"a": {"target_url": format!("https://{name}:{}", upstream.port())}, "u": {"universal_proxy": true}},
    });
    (Proxy::start(&config), directory)
}

#[test]
fn requests_go_out_over_tls() {
    let upstream = TlsUpstream::ok("localhost");
    let (proxy, _directory) = trusting(&upstream, "localhost");
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    let session = upstream.session();
    assert_eq!((session.name.as_deref(), session.protocol.as_deref()), (Some("localhost"), Some("http/1.1")));
    assert_eq!(session.request.head, format!("GET /x HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", upstream.port()));
}

#[test]
fn sessions_are_resumed() {
    for version in [&TLS12, &TLS13] {
        let upstream = TlsUpstream::speaking("localhost", version);
        let (proxy, _directory) = trusting(&upstream, "localhost");
        for _ in 0..3 {
            assert_eq!(proxy.client().ask(GET).status(), 200);
        }
        let target = format!("GET /u/https://localhost:{}/y HTTP/1.1\r\nHost: p\r\n\r\n", upstream.port());
        assert_eq!(proxy.client().ask(target).status(), 200);
        let sessions = [(); 4].map(|()| upstream.session());
        assert!(sessions.iter().all(|session| session.version == Some(version.version)), "{sessions:?}");
        assert_eq!(sessions.map(|session| session.is_resumed), [false, true, true, true], "{version:?}");
    }
}

#[test]
fn a_stranger_is_not_trusted() {
    let upstream = TlsUpstream::ok("localhost");
    let proxy =
        Proxy::start(&json!({"routes": {"a": {"target_url": format!("https://localhost:{}", upstream.port())}}}));
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_tls")));
}

#[test]
fn a_certificate_of_another_name_is_not_trusted() {
    let upstream = TlsUpstream::ok("other.example");
    let (proxy, _directory) = trusting(&upstream, "localhost");
    assert_eq!(proxy.client().ask(GET).json()["code"], "upstream_tls");
}

#[test]
fn the_environment_can_name_a_bundle() {
    let upstream = TlsUpstream::ok("localhost");
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = directory.path().join("bundle.pem");
    write_private(&bundle, &upstream.certificate);
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"] {
        let config = json!({"routes": {"a": {"target_url": format!("https://localhost:{}", upstream.port())}}});
        let value = if name == "SSL_CERT_DIR" { directory.path() } else { bundle.as_path() };
        let proxy = Proxy::start_with(&config, |command| {
            command.env(name, value);
        });
        assert_eq!(proxy.client().ask(GET).status(), 200, "{name}");
    }
}

#[test]
fn events_pass_at_once_over_tls_too() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = TlsUpstream::playing("localhost", move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for word in ["one", "two"] {
            let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
            stream.write_all(format!("3\r\n{word}\r\n").as_bytes())?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let (proxy, _directory) = trusting(&upstream, "localhost");
    let mut client = proxy.client();
    client.send(GET).head();
    for word in ["one", "two"] {
        go.send(()).expect("the upstream waits");
        client.hears(word);
    }
}

#[test]
fn large_bodies_pass_both_ways_over_tls() {
    let upstream = TlsUpstream::playing("localhost", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")?;
        stream.write_all(&vec![b'y'; 3_000_000])
    });
    let (proxy, _directory) = trusting(&upstream, "localhost");
    let body = vec![b'x'; 3_000_000];
    let head = format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = proxy.client().ask([head.as_bytes(), &body].concat());
    assert!(answer.is_whole && answer.body == vec![b'y'; 3_000_000]);
    assert!(upstream.session().request.body == body);
}

#[test]
fn an_end_without_goodbye_is_a_cut() {
    // Without its length and without TLS's own goodbye, nobody can know that this is the end (RFC 9112 section 9.8).
    let upstream = TlsUpstream::playing("localhost", |stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello"));
    let (proxy, _directory) = trusting(&upstream, "localhost");
    let answer = proxy.client().ask(GET);
    assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", false));
}

#[test]
fn a_reload_that_changes_no_trust_keeps_sessions() {
    let upstream = TlsUpstream::ok("localhost");
    let (proxy, _directory) = trusting(&upstream, "localhost");
    proxy.client().ask(GET);
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    proxy.client().ask(GET);
    assert_eq!([(); 2].map(|()| upstream.session().is_resumed), [false, true]);
}

/// See `reuse` for the same in the clear, and for what must not be sent again.
#[test]
fn what_the_origin_has_sent_back_unread_is_sent_again_over_tls_too() {
    let upstream = TlsUpstream::playing("localhost", |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        stream.sock.peek(&mut [0; 1])?;
        stream.sock.shutdown(Shutdown::Both)
    });
    let (proxy, _directory) = trusting(&upstream, "localhost");
    let mut client = proxy.client();
    for body in ["one", "two"] {
        let answer = client.ask(format!("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\n{body}"));
        assert_eq!((answer.status(), upstream.session().request.text().as_str()), (200, body));
    }
}

/// What a session still holds when the last byte of a request has been given to it has to be sent all the same. Seen
/// as uploads that never ended, on a busy machine.
#[tokio::test]
async fn the_last_bytes_of_an_upload_leave_the_session() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let chain = vec![certified.cert.der().clone()];
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("good");
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).expect("a certificate");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (go, gone) = channel();
    let request = [&b"POST / HTTP/1.1\r\n\r\n"[..], &[b'x'; 60_000]].concat();
    let length = request.len();
    let reading = thread::spawn(move || {
        let (mut tcp, _) = listener.accept().expect("a connection");
        let mut session = ServerConnection::new(Arc::new(server)).expect("good");
        session.complete_io(&mut tcp).expect("a handshake");
        gone.recv().expect("a word");
        let mut stream = StreamOwned::new(session, tcp);
        stream.read_exact(&mut vec![0; length]).expect("the whole request");
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("a proxy");
    });

    let socket = TcpSocket::new_v4().expect("a socket");
    // So little that the session has to keep most of the request to itself.
    socket.set_send_buffer_size(4096).expect("a size");
    let tcp = socket.connect(address).await.expect("a connection");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let tls = connector.connect(ServerName::try_from("localhost").expect("a name"), tcp).await.expect("a session");
    let mut upstream = Wire::new(Stream::Tls(Box::new(tls.into())));

    let clients = TcpListener::bind("127.0.0.1:0").expect("a port");
    let _client = std::net::TcpStream::connect(clients.local_addr().expect("bound")).expect("a connection");
    let (accepted, _) = clients.accept().expect("a connection");
    accepted.set_nonblocking(true).expect("a socket");
    let mut client = Wire::new(Stream::Tcp(TcpStream::from_std(accepted).expect("a socket")));

    let mut deadline = Deadline::default();
    let head = RequestReader::default().read(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", &Limits::REQUEST);
    let body = head.expect("good").expect("whole").0.body(aqueduct::h1::Trailers::Drop);
    let nature = Nature { to_head: false, expects_continue: false, understands_interim: true, began: Instant::now() };
    let limits = ClientLimits { body_timeout: None, write_timeout: None, max_body: None };
    let flow = Flow::new(Outbox::default(), body);
    let mut relay = Relay::new(&mut client, &mut deadline, flow, nature, &limits);
    relay.begin(request, 0, None, &Timeouts::NONE);
    let mut answer = pin!(relay.answer_head(&mut upstream, Kept::Not));
    poll_fn(|cx| {
        assert!(answer.as_mut().poll(cx).is_pending(), "nobody has read the request");
        Poll::Ready(())
    })
    .await;
    go.send(()).expect("a reader");
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer.status, 204);
    reading.join().expect("no panic");
}
