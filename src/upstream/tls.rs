//! TLS to upstreams: whom we trust, and sessions that are taken up again.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::origin::Host;
use crate::pem;

/// How TLS is spoken to upstreams. Sessions are resumed among all that share one value.
pub struct Tls {
    config: Arc<ClientConfig>,
    /// The same, with HTTP/2 as the first choice.
    config_http2: Arc<ClientConfig>,
    /// The same, for what speaks something else than HTTP.
    bare: Arc<ClientConfig>,
    trust: Trust,
}

/// Whose certificates are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Bundles that stand in the place of the built-in and the system's roots: `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`
    /// and their kin, which everywhere else mean just that.
    pub instead: Vec<PathBuf>,
    /// What is trusted besides: the operator's own authorities, as PEM.
    pub besides: Option<Vec<u8>>,
}

/// Environment variables that name a bundle of trusted certificates, as OpenSSL, Python's requests and curl read them.
const BUNDLES: [&str; 4] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// The name of HTTP/2 in the choice of a protocol (RFC 9113 section 3.2).
const HTTP2: &[u8] = b"h2";

impl Trust {
    /// The trust that the environment asks for.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = BUNDLES.iter().filter_map(|name| variable(name));
        Self { instead: named.filter(|path| !path.is_empty()).map(PathBuf::from).collect(), besides: None }
    }
}

impl Tls {
    /// Reads the certificates.
    ///
    /// # Errors
    /// Which source could not be read, and why.
    pub fn new(trust: Trust) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if trust.instead.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            // A system without roots of its own is common (containers); the built-in ones are there.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        for path in &trust.instead {
            let certificates = read_bundle(path).map_err(|why| format!("{}: {why}", path.display()))?;
            roots.add_parsable_certificates(certificates);
        }
        if let Some(pem) = &trust.besides {
            let certificates = pem::certificates(pem)?;
            roots.add_parsable_certificates(certificates);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let bare = Arc::new(config.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut config_http2 = config.clone();
        config_http2.alpn_protocols.insert(0, HTTP2.to_vec());
        Ok(Self { config: Arc::new(config), config_http2: Arc::new(config_http2), bare, trust })
    }

    /// Whom this accepts.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// How TLS is spoken to what is no HTTP server, under the same trust.
    #[must_use]
    pub fn bare(&self) -> &Arc<ClientConfig> {
        &self.bare
    }

    pub(super) async fn connect<S>(&self, host: &Host, http2: bool, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        let config = if http2 { &self.config_http2 } else { &self.config };
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await
    }
}

/// Whether HTTP/2 was agreed upon.
pub(super) fn chose_http2<IO>(session: &TlsStream<IO>) -> bool {
    session.get_ref().1.alpn_protocol() == Some(HTTP2)
}

/// A file of certificates, or a directory of such files.
fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = |error: io::Error| error.to_string();
    if !path.is_dir() {
        return pem::certificates(&std::fs::read(path).map_err(text)?);
    }
    let mut certificates = Vec::new();
    for entry in std::fs::read_dir(path).map_err(text)? {
        // Such directories hold other things too; what is no certificate is none of ours.
        let Ok(pem) = std::fs::read(entry.map_err(text)?.path()) else { continue };
        certificates.extend(pem::certificates(&pem).unwrap_or_default());
    }
    Ok(certificates)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Two connections differ if they were made under different trust; a reload that changes nothing keeps the value.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.config).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_can_name_bundles() {
        let trust = Trust::from_environment(|name| (name == "REQUESTS_CA_BUNDLE").then(|| "/x.pem".to_owned()));
        assert_eq!(trust.instead, [PathBuf::from("/x.pem")]);
        assert!(Tls::new(trust).expect_err("no such file").contains("/x.pem"));
        assert_eq!(Trust::from_environment(|_| Some(String::new())), Trust::default());
    }

    #[test]
    fn built_in_roots_are_there() {
        assert!(Tls::new(Trust::default()).is_ok());
    }
}
