//! Answers of our own.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::choose::Here;
use super::early;
use super::exchange::{After, Exchange, Left};
use crate::accept::Client;
use crate::drain::Phase;
use crate::ending::End;
use crate::error::Error;
use crate::h1::{Framing, RequestHead, Version, encode};
use crate::record::Record;

/// How long a client may take to accept an answer that fits into one packet.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Says that the proxy is alive, or tells a browser what a page may send.
pub(super) async fn here(exchange: &mut Exchange, client: &mut Client, head: &RequestHead, asked: Here) -> After {
    exchange.tell(head, || None);
    let (status, body, lines) = match asked {
        Here::Health => (200, exchange.snapshot.health.clone(), exchange.cors.take()),
        Here::Preflight(lines) => (204, "".into(), Some(lines)),
    };
    exchange.record.answered(status);
    let reply = Reply { status, code: None, body: &body, fields: &[], cors: lines.as_deref() };
    let after = send(&reply, exchange, client, head).await;
    exchange.ends(End::Done, after)
}

/// Says what went wrong.
pub(super) async fn error(exchange: &mut Exchange, client: &mut Client, head: &RequestHead, error: &Error) -> After {
    exchange.tell(head, || None);
    if exchange.has_begun_early() {
        return Box::pin(early::fail(exchange, client, head, error)).await;
    }
    exchange.record.failed(error);
    exchange.record.answered(error.kind().status());
    let cors = exchange.cors.take();
    let body = body(error);
    let mut reply = Reply { cors: cors.as_deref(), ..Reply::of(error, &body) };
    let mut fields = Vec::new();
    if let Some(course) = &exchange.course {
        fields.extend_from_slice(reply.fields);
        fields.extend(course.fields());
        reply.fields = &fields;
    }
    send(&reply, exchange, client, head).await
}

/// Says what went wrong to somebody of whom no request is known.
pub(super) async fn refusal(record: &mut Record, client: &mut Client, error: &Error) -> After {
    record.failed(error);
    record.answered(error.kind().status());
    write(&Reply::of(error, &body(error)), Some("close"), false, record, client).await;
    After::Linger
}

struct Reply<'a> {
    status: u16,
    code: Option<&'static str>,
    body: &'a str,
    /// Header fields that are not those of every answer.
    fields: &'a [(&'static str, String)],
    /// What is said to pages in browsers, as lines.
    cors: Option<&'a [u8]>,
}

async fn send(reply: &Reply<'_>, exchange: &mut Exchange, client: &mut Client, head: &RequestHead) -> After {
    let is_read = skip_body(exchange, client, head);
    let stays = head.keep_alive && client.phase() == Phase::Serving && is_read;
    let connection = match (stays, head.version) {
        (false, _) => Some("close"),
        (true, Version::Http10) => Some("keep-alive"),
        (true, Version::Http11) => None,
    };
    let is_written = write(reply, connection, exchange.to_head, &mut exchange.record, client).await;
    match (is_written, is_read) {
        (false, _) => After::Cut,
        (true, false) => After::Linger,
        (true, true) if stays => After::NextRequest,
        (true, true) => After::Close,
    }
}

async fn write(
    reply: &Reply<'_>,
    connection: Option<&str>,
    to_head: bool,
    record: &mut Record,
    client: &mut Client,
) -> bool {
    let bytes = reply.encode(connection, to_head);
    let is_written = matches!(tokio::time::timeout(PATIENCE, client.wire.write_all(&bytes)).await, Ok(Ok(())));
    if is_written && !to_head {
        record.carried(0, reply.body.len() as u64, Duration::ZERO);
    }
    is_written
}

/// Takes the request's body out of the way, if all of it is there. To wait for the rest is not worth it.
pub(super) fn skip_body(exchange: &Exchange, client: &mut Client, head: &RequestHead) -> bool {
    match (exchange.request_left, head.framing) {
        (Left::Nothing, _) => true,
        (Left::Body, Framing::Length(length)) => match usize::try_from(length) {
            Ok(length) if length <= client.wire.input.len() => {
                client.wire.input.consume(length);
                true
            }
            _ => false,
        },
        (Left::Body | Left::Rest, _) => false,
    }
}

fn body(error: &Error) -> String {
    let text = serde_json::Value::from(error.answer());
    format!("{{\"error\": {text}, \"code\": \"{}\"}}", error.kind().code())
}

impl<'a> Reply<'a> {
    fn of(error: &'a Error, body: &'a str) -> Self {
        let kind = error.kind();
        Self { status: kind.status(), code: Some(kind.code()), body, fields: error.fields(), cors: None }
    }

    fn encode(&self, connection: Option<&str>, to_head: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        encode::status_line(self.status, reason(self.status).as_bytes(), &mut out);
        date(&mut out);
        if self.status != 204 {
            encode::field("Content-Type", b"application/json", &mut out);
            encode::field("Content-Length", self.body.len().to_string().as_bytes(), &mut out);
        }
        if let Some(code) = self.code {
            encode::field("x-aqueduct-error", code.as_bytes(), &mut out);
        }
        for (name, value) in self.fields {
            encode::field(name, value.as_bytes(), &mut out);
        }
        if self.status == 503 && !self.fields.iter().any(|(name, _)| *name == "Retry-After") {
            encode::field("Retry-After", b"1", &mut out);
        }
        out.extend_from_slice(self.cors.unwrap_or_default());
        if let Some(connection) = connection {
            encode::field("Connection", connection.as_bytes(), &mut out);
        }
        out.extend_from_slice(b"\r\n");
        if !to_head {
            out.extend_from_slice(self.body.as_bytes());
        }
        out
    }
}

/// When an answer of our own was made.
pub(super) fn date(out: &mut Vec<u8>) {
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()) {
        encode::field("Date", date.as_bytes(), out);
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
