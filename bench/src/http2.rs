//! HTTP/2: the fake upstream's side of it, and a client that keeps many streams open on one connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, client, server};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::load::{QUESTION, Tally, join, nanoseconds};
use crate::upstream::ANSWER;

/// Answers every request on a connection.
pub(crate) async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut connection = server::handshake(stream).await.map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        // A client that leaves is the end of most runs.
        tokio::task::spawn_local(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    read(request.into_body()).await?;
    let head = Response::builder()
        .header("date", "Mon, 01 Jan 2024 00:00:00 GMT")
        .header("content-type", "application/json")
        .header("content-length", ANSWER)
        .header("openai-processing-ms", 12)
        .header("x-request-id", "req_0123456789abcdef")
        .header("x-ratelimit-remaining-requests", 9999);
    let head = head.body(()).expect("a good head");
    respond.send_response(head, false)?.send_data(Bytes::from_static(&[b'a'; ANSWER]), true)
}

/// Reads a body to its end.
async fn read(mut body: RecvStream) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}

/// So many streams on one connection, each one small POST after the other.
pub(crate) async fn post(to: SocketAddr, prefix: &str, streams: usize, end: Instant) -> io::Result<Rc<Tally>> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let (sender, connection) = client::handshake(tcp).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(connection);
    let sender = sender.ready().await.map_err(io::Error::other)?;
    let target: Rc<str> = format!("http://bench{prefix}/v1/chat/completions").into();
    let tally = Rc::new(Tally::default());
    let tasks = (0..streams).map(|_| {
        let (mut sender, target, tally) = (sender.clone(), Rc::clone(&target), Rc::clone(&tally));
        tokio::task::spawn_local(async move {
            while Instant::now() < end {
                let start = Instant::now();
                match exchange(&mut sender, &target).await {
                    Ok(true) => tally.count(nanoseconds(start.elapsed())),
                    Ok(false) | Err(_) => return tally.error(),
                }
            }
        })
    });
    join(tasks.collect()).await;
    Ok(tally)
}

/// Sends a request and reads its answer. Gives whether it was a good one.
async fn exchange(sender: &mut SendRequest<Bytes>, target: &str) -> Result<bool, h2::Error> {
    let head = Request::post(target)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("user-agent", "OpenAI/Python 1.50.0")
        .header("x-stainless-lang", "python")
        .header("x-stainless-package-version", "1.50.0")
        .header("x-stainless-os", "Linux")
        .header("x-stainless-arch", "x64")
        .header("accept-encoding", "gzip, deflate")
        .header("content-length", QUESTION);
    let (answer, mut body) = sender.send_request(head.body(()).expect("a good head"), false)?;
    body.send_data(Bytes::from_static(&[b'q'; QUESTION]), true)?;
    // A stream that waits for its place on the connection is still one of those that are under way.
    let answer = tokio::time::timeout(Duration::from_secs(10), answer).await;
    let Ok(answer) = answer else { return Ok(false) };
    let answer = answer?;
    let is_good = answer.status() == 200;
    read(answer.into_body()).await?;
    Ok(is_good)
}
