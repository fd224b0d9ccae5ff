//! A tunnel through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6).

use std::io;

use super::error::ProxyFault;
use crate::error::Refusal;
use crate::h1::{self, Limits, ResponseReader, encode};
use crate::origin::Host;
use crate::secret::Secret;
use crate::wire::Wire;

/// The status by which a proxy asks for a login (RFC 9110 section 15.5.8).
pub const LOGIN_WANTED: u16 = 407;

/// What tinyproxy says to a wrong login. Before there is a tunnel nobody else can mean it.
const LOGIN_WRONG: u16 = 401;

/// Asks for a tunnel. What the proxy sends behind the head of its answer comes from the other end of the tunnel; it
/// stays in the wire's input.
pub(super) async fn open(
    wire: &mut Wire,
    host: &Host,
    port: u16,
    authorization: Option<&Secret>,
) -> Result<(), ProxyFault> {
    wire.write_all(&request(host, port, authorization)).await.map_err(ProxyFault::Cut)?;
    let mut reader = ResponseReader::to_connect();
    let (mut interim, mut interim_bytes) = (0, 0);
    loop {
        let read = reader.read(wire.input.filled(), false, &Limits::RESPONSE);
        let Some((head, length)) = read.map_err(|violation| ProxyFault::BadAnswer(violation.to_string()))? else {
            if wire.fill().await.map_err(ProxyFault::Cut)? == 0 {
                return Err(ProxyFault::Cut(io::ErrorKind::UnexpectedEof.into()));
            }
            continue;
        };
        wire.input.consume(length);
        match head.status {
            101 => return Err(ProxyFault::BadAnswer("101 in answer to CONNECT".to_owned())),
            100..=199 => {
                (interim, interim_bytes) = (interim + 1, interim_bytes + length);
                if interim > h1::MAX_INTERIM || interim_bytes > h1::MAX_INTERIM_BYTES {
                    return Err(ProxyFault::BadAnswer("too many interim answers".to_owned()));
                }
                reader = ResponseReader::to_connect();
            }
            200..=299 => return Ok(()),
            LOGIN_WANTED | LOGIN_WRONG => return Err(ProxyFault::Auth),
            status => return Err(ProxyFault::Refused(Refusal::Status(status))),
        }
    }
}

fn request(host: &Host, port: u16, authorization: Option<&Secret>) -> zeroize::Zeroizing<Vec<u8>> {
    let authority = format!("{host}:{port}");
    let login = authorization.map_or(0, |value| value.expose().len());
    // With room for all of it: what grows leaves copies behind.
    let mut out = zeroize::Zeroizing::new(Vec::with_capacity(2 * authority.len() + login + 128));
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(authority.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    encode::field("Host", authority.as_bytes(), &mut out);
    if let Some(value) = authorization {
        encode::field("Proxy-Authorization", value.expose(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}
