//! `aqueduct healthcheck`: asks a running proxy whether it is alive.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{Caller, line, print, print_error, print_refusal};
use crate::accept::{OWN_HEADER, Place};
use crate::config::Snapshot;
use crate::h1::{Limits, ResponseReader};
use crate::text::Tell;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn healthcheck(caller: &Caller<'_>) -> ExitCode {
    let source = caller.source();
    let snapshot = match source.read() {
        Ok((snapshot, _)) => snapshot,
        Err(findings) => {
            print_refusal(&source, &findings, caller.lang);
            return ExitCode::FAILURE;
        }
    };
    match ask(&snapshot) {
        // Who insists on a certificate, which we do not have, is alive.
        Err(error) if wants_certificate(&error) => {
            print(&line(&Tell::Healthy, snapshot.lang));
            ExitCode::SUCCESS
        }
        Ok(200) => {
            print(&line(&Tell::Healthy, snapshot.lang));
            ExitCode::SUCCESS
        }
        Ok(status) => {
            print_error(&line(&Tell::Unhealthy(&status), snapshot.lang));
            ExitCode::FAILURE
        }
        Err(error) => {
            print_error(&line(&Tell::Unhealthy(&error), snapshot.lang));
            ExitCode::FAILURE
        }
    }
}

fn ask(snapshot: &Snapshot) -> io::Result<u16> {
    let place = snapshot.listen.places.first().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = connect(place)?;
    if snapshot.greeting.proxy_protocol {
        stream.write_all(OWN_HEADER)?;
    }
    if snapshot.greeting.tls.is_some() {
        stream = Box::new(StreamOwned::new(begin_tls().map_err(io::Error::other)?, stream));
    }
    let path = snapshot.table.base_path().as_str();
    write!(stream, "GET {path}/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let (mut reader, mut seen, mut buffer) = (ResponseReader::default(), Vec::new(), [0; 1024]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buffer[..length]);
        if let Some((head, _)) = reader.read(&seen, false, &Limits::RESPONSE).map_err(io::Error::other)? {
            return Ok(head.status);
        }
    }
}

/// A connection of any kind.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Begins TLS with whoever answers. The certificate is not looked at: it is made out to the name that clients know,
/// and not to the address that is called here; and one that has run out is no reason to start the program anew. What
/// is sent is no secret, and what is believed is only that somebody is there.
fn begin_tls() -> Result<ClientConnection, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::IpAddress(Ipv4Addr::LOCALHOST.into()))
}

fn wants_certificate(error: &io::Error) -> bool {
    let told = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(told, Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)))
}

/// Accepts every certificate whose key the other side has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Calls the proxy where it listens first.
fn connect(place: &Place) -> io::Result<Box<dyn Connection>> {
    match place {
        Place::Port { host, port } => {
            let tcp = TcpStream::connect_timeout(&address(host, *port)?, PATIENCE)?;
            tcp.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(tcp))
        }
        #[cfg(unix)]
        Place::Local(path) => {
            let local = std::os::unix::net::UnixStream::connect(path)?;
            local.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(local))
        }
        #[cfg(not(unix))]
        Place::Local(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The address under which the proxy can be reached from here: one that stands for all addresses is none to call.
fn address(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = match host.trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    #[expect(clippy::disallowed_methods, reason = "a command that does nothing else")]
    let mut address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}
