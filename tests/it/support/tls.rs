//! An upstream that speaks TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::{Message, PATIENCE, Received};

/// A connection on which TLS is spoken.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// An upstream with a certificate of its own making.
pub(crate) struct TlsUpstream {
    address: SocketAddr,
    /// Its certificate, as PEM, which is also that of its authority.
    pub(crate) certificate: String,
    connections: Mutex<Receiver<Session>>,
}

/// What was agreed upon for one connection, and what was asked on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) is_resumed: bool,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) request: Received,
}

impl TlsUpstream {
    /// An upstream for this name, that does `play` after the first request of each connection.
    pub(crate) fn playing(name: &str, play: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::with(name, rustls::DEFAULT_VERSIONS, &["h2", "http/1.1"], play)
    }

    /// An upstream that agrees to these protocols, says OK and closes the connection.
    pub(crate) fn offering(name: &str, protocols: &[&str]) -> Self {
        Self::with(name, rustls::DEFAULT_VERSIONS, protocols, say_ok)
    }

    /// An upstream that speaks this version of TLS alone, says OK and closes the connection.
    pub(crate) fn speaking(name: &str, version: &'static SupportedProtocolVersion) -> Self {
        Self::with(name, &[version], &["http/1.1"], say_ok)
    }

    fn with(
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        play: impl Fn(&mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let certified = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
        let chain = vec![CertificateDer::from(certified.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("a configuration");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let (config, play) = (Arc::new(config), Arc::new(play));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (seen, connections) = channel();
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let Ok(tcp) = tcp else { return };
                let (config, play, seen) = (Arc::clone(&config), Arc::clone(&play), seen.clone());
                thread::spawn(move || {
                    // A proxy that does not trust us says so by leaving.
                    let _ = serve(tcp, config, &*play, &seen);
                });
            }
        });
        Self { address, certificate: certified.cert.pem(), connections: Mutex::new(connections) }
    }

    /// An upstream that says OK and closes the connection.
    pub(crate) fn ok(name: &str) -> Self {
        Self::offering(name, &["h2", "http/1.1"])
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next connection on which something was asked.
    pub(crate) fn session(&self) -> Session {
        self.connections.lock().expect("not poisoned").recv_timeout(PATIENCE).expect("a request")
    }
}

fn say_ok(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
}

fn serve(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    play: &impl Fn(&mut Stream) -> io::Result<()>,
    seen: &Sender<Session>,
) -> io::Result<()> {
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut stream: Stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, tcp);
    let request = Message::on(Reading(&mut stream)).request()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let session = Session {
        is_resumed: stream.conn.handshake_kind() == Some(HandshakeKind::Resumed),
        version: stream.conn.protocol_version(),
        name: stream.conn.server_name().map(str::to_owned),
        protocol: stream.conn.alpn_protocol().map(text),
        request,
    };
    let _ = seen.send(session);
    play(&mut stream)
}

struct Reading<'a>(&'a mut Stream);

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
