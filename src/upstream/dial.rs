//! Making a connection, step by step: name, TCP, TLS; first to a proxy, where there is one on the way.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsStream, client};

use super::error::{DialError, ProxyFault};
use super::proxy::{Proxy, ProxyScheme};
use super::resolve::Resolver;
use super::socks::Handshake;
use super::{Key, http_connect, socks, tcp, tls};
use crate::error::Step;
use crate::origin::{Host, Scheme};
use crate::wire::{Stream, Wire};

/// What it takes to make a connection.
pub(super) struct Dial<'a> {
    pub(super) resolver: &'a Resolver,
    pub(super) key: &'a Key,
    /// On which step it is, for whoever loses patience.
    pub(super) step: &'a Cell<Option<Step>>,
}

/// A new connection.
pub(super) struct Dialed {
    pub(super) wire: Wire,
    /// Whether HTTP/2 is to be spoken on it.
    pub(super) http2: bool,
}

impl Dial<'_> {
    pub(super) async fn dial(&self) -> Result<Dialed, DialError> {
        match &self.key.proxy {
            None => self.directly().await,
            Some(proxy) => self.through(proxy).await,
        }
    }

    async fn directly(&self) -> Result<Dialed, DialError> {
        let origin = &self.key.origin;
        let addresses = self.addresses(Step::Dns, &origin.host).await.map_err(DialError::Dns)?;
        self.step.set(Some(Step::Connect));
        let tcp = tcp::connect(addresses, origin.port).await.map_err(DialError::Connect)?;
        if origin.scheme == Scheme::Http {
            return Ok(Dialed { wire: Wire::new(Stream::Tcp(tcp)), http2: self.key.http2 });
        }
        let session = self.tls(Step::Tls, &origin.host, self.key.http2, tcp).await.map_err(DialError::Tls)?;
        let http2 = tls::chose_http2(&session);
        Ok(Dialed { wire: Wire::new(Stream::Tls(Box::new(session.into()))), http2 })
    }

    async fn through(&self, proxy: &Proxy) -> Result<Dialed, DialError> {
        let origin = &self.key.origin;
        let wire = match proxy.scheme {
            ProxyScheme::Http | ProxyScheme::Https => self.over_http(proxy).await?,
            ProxyScheme::Socks5h | ProxyScheme::Socks4a => self.over_socks(proxy, &origin.host).await?,
            ProxyScheme::Socks5 | ProxyScheme::Socks4 => self.over_socks_resolved(proxy).await?,
        };
        if origin.scheme == Scheme::Http {
            return Ok(Dialed { wire, http2: self.key.http2 });
        }
        let session = self.tls(Step::Tls, &origin.host, self.key.http2, wire).await.map_err(DialError::Tls)?;
        let http2 = tls::chose_http2(&session);
        Ok(Dialed { wire: Wire::new(Stream::Layered(Box::new(TlsStream::from(session)))), http2 })
    }

    async fn over_http(&self, proxy: &Proxy) -> Result<Wire, ProxyFault> {
        let mut wire = self.to_proxy(proxy).await?;
        if !self.key.takes_whole_requests() {
            self.step.set(Some(Step::Proxy));
            http_connect::open(&mut wire, &self.key.origin, proxy.authorization()).await?;
        }
        Ok(wire)
    }

    async fn over_socks(&self, proxy: &Proxy, host: &Host) -> Result<Wire, DialError> {
        let handshake = Handshake::new(proxy, host, self.key.origin.port).ok_or_else(|| {
            let why = "SOCKS4 carries no IPv6 addresses";
            DialError::Connect(io::Error::new(io::ErrorKind::Unsupported, why))
        })?;
        let mut wire = self.to_proxy(proxy).await?;
        self.step.set(Some(Step::Proxy));
        socks::open(&mut wire, handshake).await?;
        Ok(wire)
    }

    /// The proxy gets addresses, one after the other until it can reach one.
    async fn over_socks_resolved(&self, proxy: &Proxy) -> Result<Wire, DialError> {
        let mut addresses = self.addresses(Step::Dns, &self.key.origin.host).await.map_err(DialError::Dns)?;
        if proxy.scheme == ProxyScheme::Socks4 && addresses.iter().any(IpAddr::is_ipv4) {
            addresses.retain(IpAddr::is_ipv4);
        }
        let mut last = DialError::Dns("no address".to_owned());
        for address in tcp::in_turn(addresses) {
            match self.over_socks(proxy, &Host::Address(address)).await {
                Err(refused @ DialError::Proxy(ProxyFault::Refused(_))) => last = refused,
                done => return done,
            }
        }
        Err(last)
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Wire, ProxyFault> {
        let addresses = self.addresses(Step::ProxyDns, &proxy.host).await.map_err(ProxyFault::Dns)?;
        self.step.set(Some(Step::ProxyConnect));
        let tcp = tcp::connect(addresses, proxy.port).await.map_err(ProxyFault::Connect)?;
        if proxy.scheme != ProxyScheme::Https {
            return Ok(Wire::new(Stream::Tcp(tcp)));
        }
        let session = self.tls(Step::ProxyTls, &proxy.host, false, tcp).await.map_err(ProxyFault::Tls)?;
        Ok(Wire::new(Stream::Tls(Box::new(session.into()))))
    }

    async fn addresses(&self, step: Step, host: &Host) -> Result<Vec<IpAddr>, String> {
        self.step.set(Some(step));
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => self.resolver.resolve(name).await,
        }
    }

    async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        step: Step,
        host: &Host,
        http2: bool,
        stream: S,
    ) -> io::Result<client::TlsStream<S>> {
        self.step.set(Some(step));
        // A key keeps what its schemes ask for. Were it not there, nothing could be sent in the clear instead.
        let tls = self.key.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        tls.connect(host, http2, stream).await
    }
}
