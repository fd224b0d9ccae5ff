//! Making a connection, step by step: name, TCP, TLS; first to a proxy, where there is one on the way.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsStream, client};

use super::error::{DialError, ProxyFault};
use super::guard::{self, Own};
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
    /// For names that clients may think up: however many of them hang, those of the operator are asked for.
    pub(super) clients_resolver: &'a Resolver,
    pub(super) key: &'a Key,
    /// Where this program listens.
    pub(super) own: &'a Own,
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
        if self.key.guard.is_some() {
            let origin = &self.key.origin;
            self.own.check(origin, &guard::written(&origin.host))?;
        }
        match &self.key.proxy {
            None => self.directly().await,
            Some(proxy) => self.through(proxy).await,
        }
    }

    async fn directly(&self) -> Result<Dialed, DialError> {
        let origin = &self.key.origin;
        let addresses = self.target_addresses().await?;
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
        let resolves_itself = !matches!(proxy.scheme, ProxyScheme::Socks5 | ProxyScheme::Socks4);
        // What has been judged by its addresses is not named to somebody who would ask for them again.
        let is_judged_by_addresses = self.key.guard.as_ref().is_some_and(|guard| guard.needs_addresses());
        let wire = if resolves_itself && !is_judged_by_addresses {
            self.over(proxy, &origin.host).await?
        } else {
            self.over_resolved(proxy).await?
        };
        if origin.scheme == Scheme::Http {
            return Ok(Dialed { wire, http2: self.key.http2 });
        }
        let session = self.tls(Step::Tls, &origin.host, self.key.http2, wire).await.map_err(DialError::Tls)?;
        let http2 = tls::chose_http2(&session);
        Ok(Dialed { wire: Wire::new(Stream::Layered(Box::new(TlsStream::from(session)))), http2 })
    }

    /// The way to a host, which the proxy finds by itself if it is a name.
    async fn over(&self, proxy: &Proxy, host: &Host) -> Result<Wire, DialError> {
        if proxy.scheme.is_http() { Ok(self.over_http(proxy, host).await?) } else { self.over_socks(proxy, host).await }
    }

    async fn over_http(&self, proxy: &Proxy, host: &Host) -> Result<Wire, ProxyFault> {
        let mut wire = self.to_proxy(proxy).await?;
        if !self.key.takes_whole_requests() {
            self.step.set(Some(Step::Proxy));
            http_connect::open(&mut wire, host, self.key.origin.port, proxy.authorization()).await?;
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
    async fn over_resolved(&self, proxy: &Proxy) -> Result<Wire, DialError> {
        let mut addresses = self.target_addresses().await?;
        if proxy.scheme == ProxyScheme::Socks4 && addresses.iter().any(IpAddr::is_ipv4) {
            addresses.retain(IpAddr::is_ipv4);
        }
        let mut last = DialError::Dns("no address".to_owned());
        for address in tcp::in_turn(addresses) {
            match self.over(proxy, &Host::Address(address)).await {
                Err(refused @ DialError::Proxy(ProxyFault::Refused(_))) => last = refused,
                done => return done,
            }
        }
        Err(last)
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Wire, ProxyFault> {
        let addresses = self.addresses(self.resolver, Step::ProxyDns, &proxy.host).await.map_err(ProxyFault::Dns)?;
        self.step.set(Some(Step::ProxyConnect));
        let tcp = tcp::connect(addresses, proxy.port).await.map_err(ProxyFault::Connect)?;
        if proxy.scheme != ProxyScheme::Https {
            return Ok(Wire::new(Stream::Tcp(tcp)));
        }
        let session = self.tls(Step::ProxyTls, &proxy.host, false, tcp).await.map_err(ProxyFault::Tls)?;
        Ok(Wire::new(Stream::Tls(Box::new(session.into()))))
    }

    /// The addresses of the target, if the client may reach every one of them. Nobody is asked for them again: they are
    /// the ones that are connected to.
    async fn target_addresses(&self) -> Result<Vec<IpAddr>, DialError> {
        let origin = &self.key.origin;
        let resolver = if self.key.guard.is_some() { self.clients_resolver } else { self.resolver };
        let addresses = self.addresses(resolver, Step::Dns, &origin.host).await.map_err(DialError::Dns)?;
        if let Some(guard) = &self.key.guard {
            guard.check_addresses(&origin.host, &addresses)?;
            self.own.check(origin, &addresses)?;
        }
        Ok(addresses)
    }

    async fn addresses(&self, resolver: &Resolver, step: Step, host: &Host) -> Result<Vec<IpAddr>, String> {
        self.step.set(Some(step));
        match host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => resolver.resolve(name).await,
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::{Guard, Hosts};
    use super::*;
    use crate::error::Ban;
    use crate::origin::Origin;

    /// A resolver that answers with one list after the other, and how often it was asked.
    fn fickle(answers: &[&[&str]]) -> (Resolver, Rc<Cell<usize>>) {
        let read = |answer: &&[&str]| answer.iter().map(|address| address.parse().expect("an address")).collect();
        let answers: Vec<Vec<IpAddr>> = answers.iter().map(read).collect();
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let resolver = Resolver::asking(1, move |_, _| {
            let turn = count.replace(count.get() + 1);
            let answer = answers[turn.min(answers.len() - 1)].clone();
            Box::pin(async { Ok(answer) })
        });
        (resolver, asked)
    }

    fn key(port: u16, proxy: Option<&str>, guard: Guard) -> Key {
        let origin = Origin::parse(Scheme::Http, format!("rebinding.example:{port}").as_bytes()).expect("valid").0;
        Key::new(origin, proxy.map(|url| Arc::new(Proxy::parse(url).expect("valid"))), None).guarded(&Arc::new(guard))
    }

    async fn dial(resolver: &Resolver, key: &Key, own: &Own) -> Result<Wire, DialError> {
        let step = Cell::new(None);
        Dial { resolver, clients_resolver: resolver, key, own, step: &step }.dial().await.map(|dialed| dialed.wire)
    }

    fn ban(result: Result<Wire, DialError>) -> Option<Ban> {
        match result {
            Err(DialError::Forbidden(forbidden)) => Some(forbidden.ban()),
            _ => None,
        }
    }

    /// Everything older than that is asked for again.
    async fn forget() {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn the_address_that_was_looked_at_is_the_one_connected_to() {
        let good = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = good.local_addr().expect("bound").port();
        let bad = TcpListener::bind(("127.0.0.2", port)).await.expect("binds");
        let guard = Guard { deny: Hosts::default().with("127.0.0.2").expect("good"), ..Guard::default() };
        let (resolver, asked) = fickle(&[&["127.0.0.1"], &["127.0.0.2"]]);
        let key = key(port, None, guard);
        dial(&resolver, &key, &Own::default()).await.expect("the first answer is good");
        assert_eq!(good.accept().await.expect("somebody came").1.ip().to_string(), "127.0.0.1");
        assert_eq!(asked.get(), 1, "nobody is asked again between the look and the connection");
        forget().await;
        assert_eq!(ban(dial(&resolver, &key, &Own::default()).await), Some(Ban::Denied));
        assert_eq!(asked.get(), 2);
        let came = tokio::time::timeout(Duration::from_millis(50), bad.accept()).await;
        assert!(came.is_err(), "a refused address is not even knocked at");
    }

    #[tokio::test]
    async fn one_bad_address_among_good_ones_is_enough() {
        let (resolver, _) = fickle(&[&["127.0.0.1", "169.254.169.254"]]);
        assert_eq!(ban(dial(&resolver, &key(9, None, Guard::default()), &Own::default()).await), Some(Ban::LinkLocal));
        let (resolver, _) = fickle(&[&["8.8.8.8", "10.0.0.1"]]);
        let guard = Guard { allow_private: false, ..Guard::default() };
        assert_eq!(ban(dial(&resolver, &key(9, None, guard), &Own::default()).await), Some(Ban::Private));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_our_own_door_is_refused() {
        let own = Own::new(&["0.0.0.0:3000".parse().expect("an address")]);
        for proxy in [None, Some("socks5://127.0.0.1:9"), Some("socks4://127.0.0.1:9")] {
            let (resolver, _) = fickle(&[&["127.0.0.1"]]);
            assert_eq!(ban(dial(&resolver, &key(3000, proxy, Guard::default()), &own).await), Some(Ban::Own));
        }
        let (resolver, _) = fickle(&[&["127.0.0.1"]]);
        let unguarded = Key::new(key(3000, None, Guard::default()).origin, None, None);
        assert_eq!(
            ban(dial(&resolver, &unguarded, &own).await),
            None,
            "where the operator leads is the operator's affair"
        );
    }

    /// What a proxy is asked for first, if it is reached: at most so many bytes.
    async fn asked_of_proxy(scheme: &str, guard: Guard, answers: &[&[&str]], greeting: &[u8]) -> Result<String, Ban> {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("{scheme}://{}", proxy.local_addr().expect("bound"));
        let (resolver, _) = fickle(answers);
        let (key, own) = (key(443, Some(&url), guard).in_tunnel(), Own::default());
        let dialing = dial(&resolver, &key, &own);
        let proxy = async {
            let (mut tcp, _) = proxy.accept().await.expect("somebody comes");
            let mut asked = vec![0; 1024];
            if !greeting.is_empty() {
                let _ = tcp.read(&mut asked).await.expect("a greeting");
                tcp.write_all(greeting).await.expect("writes");
            }
            let length = tcp.read(&mut asked).await.expect("a request");
            asked.truncate(length);
            String::from_utf8_lossy(&asked).into_owned()
        };
        tokio::select! {
            biased;
            asked = proxy => Ok(asked),
            dialed = dialing => Err(ban(dialed).expect("refused")),
        }
    }

    #[tokio::test]
    async fn a_proxy_is_told_the_address_where_addresses_matter() {
        let public = || Guard { allow_private: false, ..Guard::default() };
        let answers: &[&[&str]] = &[&["1.2.3.4"], &["10.0.0.1"]];
        let asked = asked_of_proxy("http", public(), answers, b"").await.expect("asked");
        assert!(asked.starts_with("CONNECT 1.2.3.4:443 "), "{asked}");
        let asked = asked_of_proxy("socks5h", public(), answers, &[5, 0]).await.expect("asked");
        assert_eq!(asked.as_bytes()[..8], [5, 1, 0, 1, 1, 2, 3, 4]);
        for scheme in ["http", "socks5h", "socks4a", "socks5", "socks4"] {
            let refused = asked_of_proxy(scheme, public(), &[&["10.0.0.1"]], b"").await;
            assert_eq!(refused, Err(Ban::Private), "{scheme}: nobody is asked to go there");
        }
        // Otherwise it is the proxy's part to know what the name means.
        let asked = asked_of_proxy("http", Guard::default(), answers, b"").await.expect("asked");
        assert!(asked.starts_with("CONNECT rebinding.example:443 "), "{asked}");
    }
}
