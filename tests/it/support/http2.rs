//! Clients and upstreams that speak HTTP/2, by the `h2` crate: well behaved as to frames, and free in what they say.

use std::cell::Cell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use super::PATIENCE;

/// Starts something that nobody waits for.
fn spawn_local(task: impl Future<Output = ()> + 'static) {
    #[expect(clippy::disallowed_methods, reason = "what a test starts ends with it")]
    tokio::task::spawn_local(task);
}

/// Runs a test in which many things happen at once, for as long as anybody would wait for it.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let patient = async { tokio::time::timeout(3 * PATIENCE, test).await.expect("in time") };
    LocalSet::new().block_on(&runtime, patient)
}

/// A connection to a proxy, with prior knowledge. It is kept going by a thread of its own, so that a test may wait for
/// what it likes.
pub(crate) struct Http2Client {
    requests: SendRequest<Bytes>,
    end: oneshot::Receiver<Result<(), h2::Error>>,
}

/// An answer to its end, whatever that was.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Why it is not whole.
    pub(crate) cut: Option<Reason>,
}

impl Http2Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::connect_as(to, &h2::client::Builder::new()).await
    }

    pub(crate) async fn connect_as(to: SocketAddr, builder: &h2::client::Builder) -> Self {
        let builder = builder.clone();
        let ((ready, connection), (ended, end)) = (oneshot::channel(), oneshot::channel());
        thread::spawn(move || {
            run(async move {
                let tcp = tokio::net::TcpStream::connect(to).await.expect("the proxy listens");
                tcp.set_nodelay(true).expect("a socket");
                let (requests, driver) = builder.handshake(tcp).await.expect("HTTP/2");
                let _ = ready.send(requests);
                let _ = ended.send(driver.await);
            });
        });
        Self { requests: connection.await.expect("HTTP/2"), end }
    }

    /// Begins a request; its body is sent by whoever asked, unless it has none.
    pub(crate) async fn begin(&mut self, request: Request<()>, is_whole: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut ready = self.requests.clone().ready().await.expect("the connection is good");
        ready.send_request(request, is_whole).expect("a request")
    }

    /// Asks, and hears the answer to its end.
    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> Heard {
        let (answer, mut send) = self.begin(request, body.is_empty()).await;
        if !body.is_empty() {
            send.send_data(Bytes::copy_from_slice(body), true).expect("a stream");
        }
        hear(answer.await.expect("an answer")).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Heard {
        self.ask(get(path), b"").await
    }

    /// What begins requests, for a test that must be able to fail at it.
    pub(crate) fn requests(&self) -> &SendRequest<Bytes> {
        &self.requests
    }

    /// Waits for the end of the connection, and gives what it ended with.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        drop(self.requests);
        self.end.await.expect("no bug")
    }
}

pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://proxy{path}")).body(()).expect("a request")
}

pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://proxy{path}")).body(()).expect("a request")
}

/// Hears an answer to its end.
pub(crate) async fn hear(answer: Response<RecvStream>) -> Heard {
    let (parts, mut recv) = answer.into_parts();
    let mut heard =
        Heard { status: parts.status.as_u16(), headers: parts.headers, body: Vec::new(), trailers: None, cut: None };
    while let Some(data) = recv.data().await {
        match data {
            Ok(data) => {
                let _ = recv.flow_control().release_capacity(data.len());
                heard.body.extend_from_slice(&data);
            }
            Err(error) => {
                heard.cut = Some(error.reason().unwrap_or(Reason::NO_ERROR));
                return heard;
            }
        }
    }
    match recv.trailers().await {
        Ok(trailers) => heard.trailers = trailers,
        Err(error) => heard.cut = Some(error.reason().unwrap_or(Reason::NO_ERROR)),
    }
    heard
}

/// Waits until this has come, and takes no more.
pub(crate) async fn hears(recv: &mut RecvStream, word: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(word) {
        let data = recv.data().await.expect("more of the answer").expect("no cut");
        let _ = recv.flow_control().release_capacity(data.len());
        seen.extend_from_slice(&data);
    }
}

/// An upstream that speaks HTTP/2.
pub(crate) struct Http2Upstream {
    address: SocketAddr,
    asked: Mutex<Receiver<Parts>>,
    connections: Arc<AtomicUsize>,
    /// Its certificate, if it speaks TLS.
    pub(crate) certificate: Option<String>,
}

/// One stream, to be answered.
pub(crate) struct Turn {
    pub(crate) request: Parts,
    pub(crate) body: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    /// How many streams came before it on its connection, and on which.
    pub(crate) number: usize,
    pub(crate) connection: usize,
    go_away: Rc<Notify>,
}

type Play = dyn Fn(Turn) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync;

/// How an upstream begins.
pub(crate) struct Manner {
    pub(crate) builder: h2::server::Builder,
    /// The protocols that it agrees to over TLS; none: it speaks in the clear.
    pub(crate) alpn: Vec<&'static str>,
    /// Where it is.
    pub(crate) host: Ipv4Addr,
}

impl Default for Manner {
    fn default() -> Self {
        Self { builder: h2::server::Builder::new(), alpn: Vec::new(), host: Ipv4Addr::LOCALHOST }
    }
}

impl Http2Upstream {
    /// An upstream in the clear that does `play` with every stream.
    pub(crate) fn playing<F>(play: impl Fn(Turn) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        Self::with(Manner::default(), play)
    }

    /// One that says OK.
    pub(crate) fn ok() -> Self {
        Self::playing(|turn| turn.say("ok"))
    }

    pub(crate) fn with<F>(manner: Manner, play: impl Fn(Turn) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let play: Arc<Play> = Arc::new(move |turn| Box::pin(play(turn)));
        let listener = TcpListener::bind((manner.host, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let (seen, asked) = channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (config, certificate) = tls(&manner.alpn).unzip();
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                while let Ok((tcp, _)) = listener.accept().await {
                    tcp.set_nodelay(true).expect("a socket");
                    let connection = count.fetch_add(1, Ordering::SeqCst);
                    let (builder, play, seen) = (manner.builder.clone(), Arc::clone(&play), seen.clone());
                    match config.clone() {
                        None => spawn_local(serve(tcp, builder, connection, play, seen)),
                        Some(config) => {
                            spawn_local(async move {
                                let accept = tokio_rustls::TlsAcceptor::from(config).accept(tcp);
                                if let Ok(tls) = accept.await {
                                    serve(tls, builder, connection, play, seen).await;
                                }
                            });
                        }
                    }
                }
            });
        });
        Self { address, asked: Mutex::new(asked), connections, certificate }
    }

    pub(crate) fn url(&self) -> String {
        match self.certificate {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// The next request that it got.
    pub(crate) fn asked(&self) -> Parts {
        self.asked.lock().expect("not poisoned").recv_timeout(PATIENCE).expect("the upstream is asked")
    }

    /// How many requests it has got that have not been looked at.
    pub(crate) fn unseen(&self) -> usize {
        self.asked.lock().expect("not poisoned").try_iter().count()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Turn {
    /// Sends a whole answer.
    pub(crate) async fn say(mut self, text: &'static str) {
        self.read().await;
        let mut send = self.respond.send_response(Response::new(()), false).expect("a stream");
        let _ = send.send_data(Bytes::from_static(text.as_bytes()), true);
    }

    /// Reads the body of the request to its end.
    pub(crate) async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut body = Vec::new();
        while let Some(Ok(data)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        (body, self.body.trailers().await.ok().flatten())
    }

    /// Begins an answer.
    pub(crate) fn begin(&mut self) -> SendStream<Bytes> {
        self.respond.send_response(Response::new(()), false).expect("a stream")
    }

    /// Tells the proxy that no further stream will be looked at on this connection.
    pub(crate) fn go_away(&self) {
        self.go_away.notify_one();
    }
}

async fn serve<S>(stream: S, builder: h2::server::Builder, connection: usize, play: Arc<Play>, seen: Sender<Parts>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Ok(mut server) = builder.handshake::<_, Bytes>(stream).await else { return };
    let go_away = Rc::new(Notify::new());
    let number = Cell::new(0);
    loop {
        tokio::select! {
            () = go_away.notified() => server.graceful_shutdown(),
            accepted = server.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let (request, body) = request.into_parts();
                let _ = seen.send(request.clone());
                let turn = Turn { request, body, respond, number: number.get(), connection, go_away: Rc::clone(&go_away) };
                number.set(number.get() + 1);
                spawn_local(play(turn));
            }
        }
    }
}

fn tls(alpn: &[&str]) -> Option<(Arc<ServerConfig>, String)> {
    if alpn.is_empty() {
        return None;
    }
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let chain = vec![CertificateDer::from(certified.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .expect("a configuration");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Some((Arc::new(config), certified.cert.pem()))
}
