//! The answer head that goes to a client.

use super::cors;
use super::hop::Named;
use crate::h1::{Field, Known, ResponseHead, encode};

/// What the head says of framing and connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// The body goes out in chunks.
    pub chunked: bool,
    /// What has to be said about the connection; nothing where the version says it already.
    pub connection: Option<&'static str>,
    /// The subprotocol that a 101 chooses if the upstream chooses none: that which the client offered and the upstream
    /// did not see.
    pub protocol: Option<&'a [u8]>,
    /// What is said to pages in browsers, as lines; then nothing of what the upstream says to them passes.
    pub cors: Option<&'a [u8]>,
}

/// Writes the head of an answer as it goes to the client: all lines as they came, but for those of the connection. Of
/// these, a 101 keeps the one that names the protocol, since its connection becomes one with the client's.
pub fn write_answer(head: &ResponseHead, said: Said<'_>, out: &mut Vec<u8>) {
    encode::status_line(head.status, head.reason(), out);
    let named = Named::of(&head.fields, head.names_fields);
    let switches = head.status == 101;
    let (mut chunked_written, mut run) = (false, 0);
    let may_be_named = !named.is_empty() || said.cors.is_some();
    for (number, field) in head.fields.iter().enumerate() {
        let known = field.known();
        if known.is_none() && !may_be_named {
            // Most lines: nothing here has a word for them.
            continue;
        }
        let is_coding = known == Some(Known::TransferEncoding);
        let passes = (switches && known == Some(Known::Upgrade))
            || !(known.is_some_and(Known::is_hop_by_hop)
                || named.has(field.name())
                || is_misleading_length(head, &field)
                || (said.cors.is_some() && cors::is_about_pages(field.name()))
                || (!said.chunked && known == Some(Known::Trailer)));
        if !passes {
            // Lines that pass one after another are written at once.
            out.extend_from_slice(head.fields.lines(run..number));
            run = number + 1;
        }
        if is_coding && said.chunked {
            encode::name(field.name(), out);
            out.extend_from_slice(b"chunked\r\n");
            chunked_written = true;
        }
    }
    out.extend_from_slice(head.fields.lines(run..head.fields.len()));
    if said.chunked && !chunked_written {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(said.cors.unwrap_or_default());
    if let Some(protocol) = said.protocol
        && head.fields.of(Known::SecWebSocketProtocol).next().is_none()
    {
        encode::field("Sec-WebSocket-Protocol", protocol, out);
    }
    if let Some(connection) = said.connection {
        encode::field("Connection", connection.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A 204 has no body; a length that says otherwise makes some clients wait for one (RFC 9110 section 8.6). What comes
/// behind a 101 has no length at all.
fn is_misleading_length(head: &ResponseHead, field: &Field<'_>) -> bool {
    let says_more = || field.value().iter().any(|&digit| digit != b'0');
    field.known() == Some(Known::ContentLength) && (head.status == 101 || (head.status == 204 && says_more()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, ResponseReader};

    const PLAIN: Said<'_> = Said { chunked: false, connection: None, protocol: None, cors: None };

    fn write(answer: &str, said: Said<'_>) -> String {
        let read = ResponseReader::default().read(answer.as_bytes(), false, &Limits::RESPONSE);
        let mut out = Vec::new();
        write_answer(&read.expect("valid").expect("whole").0, said, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn lines_pass_as_they_came() {
        let answer = "HTTP/1.1 200 Fine\r\nset-cookie: a\r\nContent-Length:5\r\nSet-Cookie: b\r\n\r\n";
        assert_eq!(write(answer, PLAIN), answer);
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let answer = "HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\nETag: x\r\n\r\n";
        let said = Said { connection: Some("keep-alive"), ..PLAIN };
        assert_eq!(write(answer, said), "HTTP/1.1 200 OK\r\nETag: x\r\nConnection: keep-alive\r\n\r\n");
    }

    #[test]
    fn chunks_are_announced_where_there_are_any() {
        let chunked = Said { chunked: true, ..PLAIN };
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nTrailer: x\r\nA: b\r\n\r\n";
        assert_eq!(
            write(answer, chunked),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nTrailer: x\r\nA: b\r\n\r\n"
        );
        assert_eq!(write(answer, PLAIN), "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
        assert_eq!(write("HTTP/1.1 200 OK\r\n\r\n", chunked), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    #[test]
    fn a_switch_names_its_protocol() {
        let answer = "HTTP/1.1 101 Fine\r\nconnection: upgrade, X-Hop\r\nupgrade: WebSocket\r\nX-Hop: 1\r\nContent-Length: 0\r\nSec-WebSocket-Accept: x\r\n\r\n";
        let said = Said { connection: Some("Upgrade"), ..PLAIN };
        assert_eq!(
            write(answer, said),
            "HTTP/1.1 101 Fine\r\nupgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\n\r\n"
        );
        // A protocol is chosen for a client that offered one which the upstream did not see.
        let said = Said { protocol: Some(b"ours"), ..said };
        assert_eq!(
            write(answer, said),
            "HTTP/1.1 101 Fine\r\nupgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: ours\r\nConnection: Upgrade\r\n\r\n"
        );
        let chosen = "HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nsec-websocket-protocol: a\r\n\r\n";
        assert_eq!(
            write(chosen, said),
            "HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\nsec-websocket-protocol: a\r\nConnection: Upgrade\r\n\r\n"
        );
    }

    #[test]
    fn pages_are_told_what_we_say_and_not_what_the_upstream_says() {
        let answer =
            "HTTP/1.1 200 OK\r\nA: b\r\naccess-control-allow-origin: x\r\nVary: y\r\nAccess-Control-Max-Age: 1\r\n\r\n";
        let said = Said { cors: Some(b"Vary: Origin\r\n"), ..PLAIN };
        assert_eq!(write(answer, said), "HTTP/1.1 200 OK\r\nA: b\r\nVary: y\r\nVary: Origin\r\n\r\n");
        assert_eq!(write(answer, PLAIN), answer);
    }

    #[test]
    fn a_204_does_not_announce_a_body() {
        assert_eq!(write("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", PLAIN), "HTTP/1.1 204 x\r\n\r\n");
        let zero = "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(write(zero, PLAIN), zero);
    }
}
