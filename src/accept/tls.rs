//! TLS with clients: our certificate, and sessions that are taken up again.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::Protocol;
use crate::pem;
use crate::secret::Secret;

/// The protocols that are offered, the preferred one first.
const OFFERED: [&[u8]; 2] = [HTTP2, b"http/1.1"];
/// The name of HTTP/2 among them (RFC 9113 section 3.2).
const HTTP2: &[u8] = b"h2";

/// How TLS is spoken to clients. Sessions are resumed among all that share one value.
pub struct Tls {
    config: Arc<ServerConfig>,
    identity: Identity,
}

/// Who we are and whom we let in, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our certificate, followed by those that lead from it to an authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Secret,
    /// The authorities of one of which every client has to show a certificate.
    pub client_authorities: Option<Vec<u8>>,
}

/// Why TLS cannot be spoken so. What is wrong with a key is not told: it might be the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadIdentity {
    /// There is no certificate, or none that can be used.
    Certificate(String),
    /// There is no key, or none that can be used.
    Key,
    /// The key is that of another certificate.
    OtherKey,
    /// There are no authorities, or none that can be used.
    Authorities(String),
}

impl Tls {
    /// Reads certificate and key, and holds them against each other.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn new(identity: Identity) -> Result<Self, BadIdentity> {
        let chain = pem::certificates(&identity.certificate).map_err(BadIdentity::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.expose()).map_err(|_| BadIdentity::Key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| BadIdentity::Certificate(error.to_string()))?;
        let builder = match &identity.client_authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let roots = Arc::new(roots(authorities).map_err(BadIdentity::Authorities)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier.map_err(|error| BadIdentity::Authorities(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => BadIdentity::OtherKey,
            rustls::Error::InvalidCertificate(_) => BadIdentity::Certificate(error.to_string()),
            _ => BadIdentity::Key,
        })?;
        config.alpn_protocols = OFFERED.map(<[u8]>::to_vec).into();
        // The key that seals tickets belongs to this value alone: who was let in under other rules begins anew.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|_| BadIdentity::Key)?;
        Ok(Self { config: Arc::new(config), identity })
    }

    /// What it was made of.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Lets a client begin, and gives what was agreed upon; or what went wrong, with the stream on which it did.
    pub(super) async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, Protocol), (io::Error, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).into_fallible().await?;
        let protocol = match tls.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((tls.into(), protocol))
    }
}

fn roots(authorities: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(authorities)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
