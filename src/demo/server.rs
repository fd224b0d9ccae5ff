//! The provider's server, on the same codec as the proxy.

use std::io;
use std::net::TcpListener as StdListener;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::sleep;

use super::{Answer, Event, GAP, Keys, answer};
use crate::drain::Drain;
use crate::h1::{Body, Framing, Limits, RequestHead, RequestReader, Step, Target, Trailers, encode};
use crate::wire::{Stream, Wire};

/// The largest question that is listened to, in bytes.
const MAX_BODY: usize = 4 << 20;

pub(super) fn run(listener: StdListener) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(listener) = TcpListener::from_std(listener) else { return };
        let drain = Drain::default();
        while let Ok((tcp, _)) = listener.accept().await {
            // Events go out one by one; a system that cannot do that is still right.
            let _ = tcp.set_nodelay(true);
            drain.spawn(|ticket| async move {
                let _ticket = ticket;
                // A client that leaves or speaks nonsense is let go.
                let _ = serve(Wire::new(Stream::Tcp(tcp))).await;
            });
        }
    });
}

async fn serve(mut wire: Wire) -> io::Result<()> {
    loop {
        let Some(head) = read_head(&mut wire).await? else { return Ok(()) };
        if head.expects_continue {
            wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = read_body(&mut wire, &head).await?;
        let Target::Path(target) = head.target() else { return Ok(()) };
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let (method, path) = (String::from_utf8_lossy(head.method()), String::from_utf8_lossy(path));
        match answer(&method, &path, &keys(&head), &body) {
            Answer::Whole(status, document) => wire.write_all(&whole(status, &document.to_string())).await?,
            Answer::Events(events) => stream(&mut wire, &events).await?,
        }
        if !head.keep_alive {
            return wire.shutdown().await;
        }
    }
}

async fn read_head(wire: &mut Wire) -> io::Result<Option<RequestHead>> {
    let mut reader = RequestReader::default();
    loop {
        let read = reader.read(wire.input.filled(), &Limits::REQUEST).map_err(io::Error::other)?;
        if let Some((head, length)) = read {
            wire.input.consume(length);
            return Ok(Some(head));
        }
        if wire.fill().await? == 0 {
            return Ok(None);
        }
    }
}

async fn read_body(wire: &mut Wire, head: &RequestHead) -> io::Result<Vec<u8>> {
    let mut reader = match head.framing {
        Framing::Chunked => Body::without_chunks(Framing::Chunked),
        _ => head.body(Trailers::Drop),
    };
    let mut body = Vec::new();
    loop {
        match reader.step(wire.input.filled()).map_err(io::Error::other)? {
            Step::Pass(length) => {
                body.extend_from_slice(&wire.input.filled()[..length]);
                wire.input.consume(length);
            }
            Step::Skip(length) => wire.input.consume(length),
            Step::Done => return Ok(body),
            Step::Starved if body.len() > MAX_BODY => return Err(io::ErrorKind::InvalidData.into()),
            Step::Starved => {
                if wire.fill().await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// What was said in the three places in which the providers expect a key.
fn keys(head: &RequestHead) -> Keys {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Keys {
        bearer: head.fields.values(b"authorization").next().and_then(|value| value.strip_prefix(b"Bearer ")).map(text),
        anthropic: head.fields.values(b"x-api-key").next().map(text),
        google: head.fields.values(b"x-goog-api-key").next().map(text),
    }
}

fn whole(status: u16, document: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::status_line(status, b"", &mut out);
    encode::field("Content-Type", b"application/json", &mut out);
    encode::field("x-request-id", b"req_demo", &mut out);
    encode::field("Content-Length", document.len().to_string().as_bytes(), &mut out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(document.as_bytes());
    out
}

async fn stream(wire: &mut Wire, events: &[Event]) -> io::Result<()> {
    let mut out = Vec::new();
    encode::status_line(200, b"OK", &mut out);
    encode::field("Content-Type", b"text/event-stream", &mut out);
    encode::field("Cache-Control", b"no-cache", &mut out);
    encode::field("Transfer-Encoding", b"chunked", &mut out);
    out.extend_from_slice(b"\r\n");
    wire.write_all(&out).await?;
    for event in events {
        sleep(GAP).await;
        let name = event.name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        let mut chunk = Vec::new();
        encode::chunk(format!("{name}data: {}\n\n", event.data).as_bytes(), &mut chunk);
        wire.write_all(&chunk).await?;
    }
    wire.write_all(encode::LAST_CHUNK).await
}
