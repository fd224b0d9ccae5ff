//! The fake upstream over TLS, with a certificate of its own making, and what its handshakes were.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Handshakes in full, and those that took up an earlier session.
static FULL: AtomicU64 = AtomicU64::new(0);
static RESUMED: AtomicU64 = AtomicU64::new(0);

/// A certificate for this machine, and its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    /// The certificate as others read it.
    pub(crate) pem: String,
}

impl Identity {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
        Ok(Self { certificate: certified.cert.der().clone(), key, pem: certified.cert.pem() })
    }

    /// What takes connections on which this protocol is spoken, and no other.
    pub(crate) fn acceptor(&self, protocol: &[u8]) -> Result<TlsAcceptor, Box<dyn Error>> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Shakes hands, and counts it.
pub(crate) async fn accept(acceptor: &TlsAcceptor, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = acceptor.accept(stream).await?;
    let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let count = if is_resumed { &RESUMED } else { &FULL };
    count.fetch_add(1, Ordering::Relaxed);
    Ok(stream)
}

/// How many handshakes there were since this was asked last: in full, and resumed.
pub(crate) fn handshakes() -> (u64, u64) {
    (FULL.swap(0, Ordering::Relaxed), RESUMED.swap(0, Ordering::Relaxed))
}
