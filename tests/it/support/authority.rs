//! Certificates of our own making, and clients that trust them.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::{Value, json};

use super::{Client, PATIENCE, write_private};

/// A TLS session over a connection.
pub(crate) type Session = StreamOwned<ClientConnection, TcpStream>;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "An authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate, as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn issue(&self) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// How a client that trusts this authority begins, and who it says it is.
    pub(crate) fn trusted(&self, versions: &[&'static SupportedProtocolVersion], own: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        }
    }

    /// A client that trusts this authority, over a connection of its own.
    pub(crate) fn client(&self, to: SocketAddr) -> Client<Session> {
        begin_tls(to, self.trusted(rustls::ALL_VERSIONS, None))
    }
}

impl Pair {
    /// Writes both files, and gives the part of a configuration that names them.
    pub(crate) fn write(&self, directory: &Path) -> Value {
        let (certificate, key) = Self::paths(directory);
        write_private(&certificate, &self.certificate);
        write_private(&key, &self.key);
        json!({"cert": certificate, "key": key})
    }

    /// Puts both files into the place of those that were there, as certbot does.
    pub(crate) fn replace(&self, directory: &Path) {
        let (certificate, key) = Self::paths(directory);
        for (path, text) in [(certificate, &self.certificate), (key, &self.key)] {
            let beside = path.with_extension("new");
            write_private(&beside, text);
            std::fs::rename(&beside, &path).expect("renames");
        }
    }

    fn paths(directory: &Path) -> (PathBuf, PathBuf) {
        (directory.join("cert.pem"), directory.join("key.pem"))
    }
}

/// A client that begins with TLS. The handshake is made when something is first sent or read.
pub(crate) fn begin_tls(to: SocketAddr, config: ClientConfig) -> Client<Session> {
    begin_shared_tls(to, &Arc::new(config))
}

/// The same, with sessions and all else that clients of one kind share.
pub(crate) fn begin_shared_tls(to: SocketAddr, config: &Arc<ClientConfig>) -> Client<Session> {
    let tcp = TcpStream::connect(to).expect("the proxy listens");
    tcp.set_nodelay(true).expect("a socket");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
    tcp.set_write_timeout(Some(PATIENCE)).expect("a socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
    Client::over(StreamOwned::new(session, tcp))
}
