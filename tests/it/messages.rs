//! Requests and answers as chance makes them, for the oracle.

use proptest::prelude::*;

/// Pieces of requests, good and bad.
pub(crate) fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "HEAD / HTTP/1.0\r\n",
        "PUT /x HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        "GET / HTTP/1.2\r\n",
        "get / HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "GET /#x HTTP/1.1\r\n",
        "\r\n",
        "GET http://h/ HTTP/1.1\r\n",
    ]);
    let fields = prop::sample::select(vec![
        "Host: h\r\n",
        "Host: h:1\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: \r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "X: \r\n",
        "X:y\r\n",
        "X : y\r\n",
        " X: y\r\n",
        "X\r\n",
        ": y\r\n",
        "X: a\tb\r\n",
        "X: \u{e9}\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: y\n",
        "Trailer: X\r\n",
    ]);
    let bodies = prop::sample::select(vec![
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n000\r\n\r\n",
        "g\r\n",
        "5\r\nhelloX\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "-1\r\n",
        "hell",
    ]);
    let message = (lines, prop::collection::vec(fields, 0..4), bodies)
        .prop_map(|(line, fields, body)| format!("{line}{}\r\n{body}", fields.concat()).into_bytes());
    prop::collection::vec(message, 1..4).prop_map(|messages| messages.concat())
}

/// Bytes that show themselves as text.
#[derive(Clone)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The same, with bytes changed, doubled and taken out.
pub(crate) fn mutated(whole: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Raw> {
    (
        whole,
        prop::collection::vec(
            (any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(b"\r\n :\0\t;,0aZ\xff".to_vec())),
            0..3,
        ),
    )
        .prop_map(|(mut bytes, changes)| {
            for (index, kind, byte) in changes {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ if bytes.len() > 1 => _ = bytes.remove(at),
                    _ => {}
                }
            }
            Raw(bytes)
        })
}

/// Answers, good and bad.
pub(crate) fn answers() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 x\r\n",
        "HTTP/1.1 304 x\r\n",
        "HTTP/1.1 200\r\n",
        "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 99 x\r\n",
        "HTTP/1.1 1000 x\r\n",
        "HTTP/2.0 200 OK\r\n",
        "http/1.1 200 OK\r\n",
        "HTTP/1.1  200 OK\r\n",
    ]);
    let fields = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: close\r\n",
        "X: y\r\n",
        "X : y\r\n",
        "X: a\r\n b\r\n",
        "X: a\0\r\n",
        "X\r\n",
    ]);
    let bodies = prop::sample::select(vec![
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "5\r\nhel",
        "zz\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "hello, and more",
    ]);
    (lines, prop::collection::vec(fields, 0..3), bodies)
        .prop_map(|(line, fields, body)| format!("{line}{}\r\n{body}", fields.concat()).into_bytes())
}
