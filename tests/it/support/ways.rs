//! Upstream proxies that do what they are asked, and TLS in front of what speaks none.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{Authority, PATIENCE, Script, Upstream};

/// An HTTP proxy that leads wherever it is asked to: by CONNECT, and by the URL of a request. A name stands for this
/// machine.
pub(crate) fn http_proxy() -> Upstream {
    Upstream::playing(|script| {
        let head = script.head()?;
        let target = head.split(' ').nth(1).unwrap_or_default();
        if head.starts_with("CONNECT ") {
            let to = connect(target)?;
            script.send("HTTP/1.1 200 Connection established\r\n\r\n")?;
            return script.tunnel(to);
        }
        let authority = target.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let mut to = connect(authority)?;
        to.write_all(head.as_bytes())?;
        script.tunnel(to)
    })
}

/// A SOCKS proxy of every version that leads wherever it is asked to. A name stands for this machine.
pub(crate) fn socks_proxy() -> Upstream {
    Upstream::playing(|script| match script.bytes(2)?[..] {
        [5, methods] => {
            script.bytes(methods.into())?;
            script.send([5, 0])?;
            let host = match script.bytes(4)?[3] {
                1 => address(&script.bytes(4)?),
                3 => {
                    let length = script.bytes(1)?[0];
                    String::from_utf8_lossy(&script.bytes(length.into())?).into_owned()
                }
                // Nobody listens there.
                _ => return script.send([5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
            };
            let port = port(script)?;
            let to = connect(&format!("{host}:{port}"))?;
            script.send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
            script.tunnel(to)
        }
        [4, 1] => {
            let (port, bytes) = (port(script)?, script.bytes(4)?);
            until_zero(script)?;
            let host = match bytes[..] {
                [0, 0, 0, last] if last > 0 => until_zero(script)?,
                _ => address(&bytes),
            };
            let to = connect(&format!("{host}:{port}"))?;
            script.send([0, 90, 0, 0, 0, 0, 0, 0])?;
            script.tunnel(to)
        }
        ref other => panic!("no SOCKS: {other:?}"),
    })
}

fn address(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
}

fn port(script: &mut Script) -> io::Result<u16> {
    let bytes = script.bytes(2)?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn until_zero(script: &mut Script) -> io::Result<String> {
    let mut text = String::new();
    loop {
        match script.bytes(1)?[0] {
            0 => return Ok(text),
            byte => text.push(char::from(byte)),
        }
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let (host, port) = authority.rsplit_once(':').expect("host and port");
    let address = host.parse().unwrap_or(Ipv4Addr::LOCALHOST);
    let to = TcpStream::connect((address, port.parse().expect("a port")))?;
    to.set_nodelay(true)?;
    Ok(to)
}

/// TLS in front of an address that speaks none.
pub(crate) struct TlsFront {
    address: SocketAddr,
    protocols: Mutex<Receiver<Option<String>>>,
}

impl TlsFront {
    /// With a certificate of this authority. It speaks HTTP/2 too, if it is asked.
    pub(crate) fn before(behind: SocketAddr, authority: &Authority) -> Self {
        let pair = authority.issue();
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .expect("a configuration");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (seen, protocols) = channel();
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let Ok(tcp) = tcp else { return };
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(async {
                        tcp.set_nonblocking(true)?;
                        let mut session = acceptor.accept(tokio::net::TcpStream::from_std(tcp)?).await?;
                        let protocol = session.get_ref().1.alpn_protocol();
                        let _ = seen.send(protocol.map(|name| String::from_utf8_lossy(name).into_owned()));
                        let mut behind = tokio::net::TcpStream::connect(behind).await?;
                        tokio::io::copy_bidirectional(&mut session, &mut behind).await
                    })
                });
            }
        });
        Self { address, protocols: Mutex::new(protocols) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Which protocol the next connection agreed upon.
    pub(crate) fn protocol(&self) -> Option<String> {
        self.protocols.lock().expect("not poisoned").recv_timeout(PATIENCE).expect("a session")
    }
}
