//! The way to the server: over TCP, with TLS or without, or over a local socket.
//!
//! The connection is made here and not by the library, so that TLS is the one that is spoken to upstreams: the same
//! authorities are trusted, and nothing of it is there twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::BadUrl;

/// How long a connection may take, from the name to the login.
const CONNECT: Duration = Duration::from_secs(1);
/// How URLs begin whose server speaks TLS, and how they would without it.
const WITH_TLS: [(&str, &str); 2] = [("rediss://", "redis://"), ("valkeys://", "valkey://")];

/// Where a server is, and how it is spoken to.
pub(super) struct Server {
    info: ConnectionInfo,
    tls: Option<Arc<ClientConfig>>,
}

/// Whether the server of this URL speaks TLS.
#[must_use]
pub fn speaks_tls(url: &str) -> bool {
    without_tls(url).is_some()
}

impl Server {
    /// The server of this URL. It speaks TLS as it is told here, if it does.
    pub(super) fn of(url: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, BadUrl> {
        let plain = without_tls(url);
        // What other programs say there is to trust anybody.
        if plain.is_some() && (tls.is_none() || url.contains('#')) {
            return Err(BadUrl);
        }
        let tls = tls.filter(|_| plain.is_some());
        let info = plain.as_deref().unwrap_or(url.trim()).into_connection_info().map_err(|_| BadUrl)?;
        Ok(Self { info, tls })
    }

    /// Where it is, without login.
    pub(super) fn place(&self) -> String {
        self.info.addr().to_string()
    }

    /// A connection on which one is logged in. `driver` keeps it going, and ends it when it goes.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        driver: &mut JoinSet<()>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let connection = timeout(CONNECT, self.begin(config, driver)).await;
        connection.map_err(|_| RedisError::from(io::Error::from(io::ErrorKind::TimedOut)))?
    }

    async fn begin(
        &self,
        config: &AsyncConnectionConfig,
        driver: &mut JoinSet<()>,
    ) -> Result<MultiplexedConnection, RedisError> {
        match (self.info.addr(), &self.tls) {
            (ConnectionAddr::Tcp(host, port), None) => self.login(tcp(host, *port).await?, config, driver).await,
            (ConnectionAddr::Tcp(host, port), Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let stream = tcp(host, *port).await?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
                self.login(stream, config, driver).await
            }
            (ConnectionAddr::Unix(path), _) => self.login(UnixStream::connect(path).await?, config, driver).await,
            _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    async fn login(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        config: &AsyncConnectionConfig,
        driver: &mut JoinSet<()>,
    ) -> Result<MultiplexedConnection, RedisError> {
        let settings = self.info.redis_settings();
        let (connection, drive) = MultiplexedConnection::new_with_config(settings, stream, config.clone()).await?;
        driver.spawn(drive);
        Ok(connection)
    }
}

/// A connection to any of the addresses of a name. They are tried at once: one that does not answer must not use up the
/// time of the others.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in lookup_host((host, port)).await? {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    while let Some(attempt) = attempts.join_next().await {
        match attempt.unwrap_or_else(|bug| Err(io::Error::other(bug))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The URL of the same server if it spoke in the clear, if it does not.
fn without_tls(url: &str) -> Option<String> {
    let url = url.trim();
    WITH_TLS.iter().find_map(|(with, without)| {
        let start = url.get(..with.len()).filter(|start| start.eq_ignore_ascii_case(with))?;
        Some([without, &url[start.len()..]].concat())
    })
}
