//! A fake upstream that costs as little as it can: it reads heads by their end alone and sends prepared bytes.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::proc::monotonic_nanoseconds;
use crate::tls::{self, Identity};
use crate::{http2, reuse};

/// The size of a small answer's body, in bytes.
pub(crate) const ANSWER: usize = 1024;
/// How many connections may wait to be accepted: thousands may come at once, and whoever is not let in tries again only
/// after a second.
const BACKLOG: u32 = 4096;

pub(crate) async fn serve(listen: SocketAddr, certificate: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let identity = Identity::new()?;
    if let Some(path) = certificate {
        std::fs::write(path, &identity.pem)?;
    }
    let beside = |step| SocketAddr::new(listen.ip(), listen.port() + step);
    let acceptor = identity.acceptor(b"http/1.1")?;
    accept(beside(1), move |stream| {
        let acceptor = acceptor.clone();
        async move { connection(tls::accept(&acceptor, stream).await?).await }
    })
    .await?;
    let acceptor = identity.acceptor(b"h2")?;
    accept(beside(2), move |stream| {
        let acceptor = acceptor.clone();
        async move { http2::connection(tls::accept(&acceptor, stream).await?).await }
    })
    .await?;
    reuse::serve(beside(3))?;
    accept(listen, connection).await?;
    std::future::pending().await
}

/// Serves every connection that comes in here.
async fn accept<S: Future<Output = io::Result<()>> + 'static>(
    listen: SocketAddr,
    serve: impl Fn(TcpStream) -> S + 'static,
) -> io::Result<()> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(BACKLOG)?;
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            // A client that leaves is the end of most runs.
            tokio::task::spawn_local(serve(stream));
        }
    });
    Ok(())
}

async fn connection(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let small = small_answer("");
    let mut buffer = vec![0; 256 * 1024];
    let mut filled = 0;
    loop {
        let head_end = loop {
            if let Some(at) = find(&buffer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                length => filled += length,
            }
        };
        let request = Request::read(&buffer[..head_end]);
        let mut left = request.length.saturating_sub((filled - head_end) as u64);
        while left > 0 {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            left = left.saturating_sub(length as u64);
        }
        filled = 0;
        match request.path.as_str() {
            "/sse" => events(&mut stream, &request).await?,
            "/idle" => {
                stream.write_all(EVENT_STREAM).await?;
                stream.write_all(b"a\r\ndata: one\n\r\n").await?;
                // Nothing more comes; the stream ends when the other side leaves.
                let _ = stream.read(&mut buffer[..1]).await?;
                return Ok(());
            }
            "/bulk" => bulk(&mut stream, request.number("bytes", 1 << 20)).await?,
            "/once" => {
                stream.write_all(&small_answer("Connection: close\r\n")).await?;
                return stream.shutdown().await;
            }
            "/handshakes" => {
                let (full, resumed) = tls::handshakes();
                stream.write_all(&answer("", format!("{full} {resumed}").as_bytes())).await?;
            }
            "/twice" => stream.write_all(&answer("", reuse::twice().to_string().as_bytes())).await?,
            _ => stream.write_all(&small).await?,
        }
        stream.flush().await?;
    }
}

const EVENT_STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Sends events, each with the time at which it was sent, in nanoseconds of the machine's monotonic clock.
async fn events(stream: &mut (impl AsyncWrite + Unpin), request: &Request) -> io::Result<()> {
    let (count, gap) = (request.number("events", 100), Duration::from_millis(request.number("gap_ms", 20)));
    stream.write_all(EVENT_STREAM).await?;
    let mut next = Instant::now() + gap;
    for _ in 0..count {
        sleep_until(next).await;
        next += gap;
        let data = format!(
            "data: {{\"t\":{:020},\"id\":\"chatcmpl-0123456789\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word\"}}}}]}}\n\n",
            monotonic_nanoseconds()
        );
        stream.write_all(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

async fn bulk(stream: &mut (impl AsyncWrite + Unpin), bytes: u64) -> io::Result<()> {
    let piece = vec![b'x'; 256 * 1024];
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").as_bytes()).await?;
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        stream.write_all(&piece[..length]).await?;
        left -= length as u64;
    }
    Ok(())
}

struct Request {
    path: String,
    query: String,
    length: u64,
}

impl Request {
    fn read(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let target = text.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
        };
        Self { path: path.to_owned(), query: query.to_owned(), length: text.lines().find_map(field).unwrap_or(0) }
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        let value = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

fn small_answer(fields: &str) -> Vec<u8> {
    let fields = format!(
        "{fields}Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\nopenai-processing-ms: 12\r\nx-request-id: req_0123456789abcdef\r\nx-ratelimit-remaining-requests: 9999\r\n"
    );
    answer(&fields, &[b'a'; ANSWER])
}

fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
