//! Switching to another protocol (RFC 9110 section 7.8): what a client asks for, and whether it was given that.

use super::fields::list;
use super::{Fields, Known, ResponseHead, Version, token};

/// The protocols to which a request asks to switch, in the order in which the client would like them; only those that
/// may pass, of which there is at least one.
///
/// HTTP itself never passes, whatever its version, and neither does what carries it (`h2c`, `TLS/1.2`): on a connection
/// that has been switched to it further requests would go to the upstream past every rule that holds for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade(Box<[u8]>);

impl Upgrade {
    /// What these fields ask for. `None`: nothing, or nothing that may pass.
    ///
    /// A field `Upgrade` alone asks for nothing: it says something about one connection, and only `Connection` says
    /// that it is about this one.
    pub(super) fn asked(fields: &Fields) -> Option<Self> {
        if !fields.connection_options().any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            return None;
        }
        let passing: Vec<&[u8]> = protocols(fields).filter(|protocol| may_pass(protocol)).collect();
        (!passing.is_empty()).then(|| Self(passing.join(&b", "[..]).into()))
    }

    /// As the value of a field.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a 101 switches to nothing but what was asked for, and says to what (RFC 9110 section 15.2.2).
    #[must_use]
    pub fn is_granted_by(&self, answer: &ResponseHead) -> bool {
        let is_asked = |protocol: &[u8]| list(&self.0).any(|asked| asked.eq_ignore_ascii_case(protocol));
        let mut granted = protocols(&answer.fields).peekable();
        answer.version == Version::Http11 && granted.peek().is_some() && granted.all(is_asked)
    }
}

fn protocols(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields.of(Known::Upgrade).flat_map(list)
}

/// Whether this is `name ["/" version]`, and no protocol that carries requests.
fn may_pass(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |&byte| byte == b'/');
    let name = parts.next().unwrap_or_default();
    token::is_token(name) && parts.next().is_none_or(token::is_token) && !carries_requests(name)
}

/// Drafts and versions stand in the names too: `h2c-14`, `HTTP2`.
fn carries_requests(name: &[u8]) -> bool {
    let starts = |start: &str| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    ["http", "h2", "h3", "spdy", "tls"].into_iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, RequestReader, ResponseReader};
    use super::*;

    fn asked(version: &str, fields: &str) -> Option<String> {
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
        let read = RequestReader::default().read(text.as_bytes(), &Limits::REQUEST).expect("valid");
        let upgrade = read.expect("whole").0.upgrade?;
        Some(String::from_utf8(upgrade.as_bytes().to_vec()).expect("text"))
    }

    #[test]
    fn a_request_asks_in_two_fields() {
        let websocket = Some("websocket".to_owned());
        assert_eq!(asked("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), websocket);
        assert_eq!(asked("1.1", "Connection: keep-alive, UPGRADE\r\nupgrade: websocket\r\n"), websocket);
        assert_eq!(asked("1.1", "Upgrade: websocket\r\nConnection: x\r\nConnection: upgrade\r\n"), websocket);
        assert_eq!(asked("1.1", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"), websocket);
        assert_eq!(
            asked("1.1", "Connection: upgrade\r\nUpgrade: a/1, ,b\r\nUpgrade: WebSocket\r\n").as_deref(),
            Some("a/1, b, WebSocket")
        );
        for fields in [
            "",
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Connection: close\r\nUpgrade: websocket\r\n",
            "Connection: upgrades\r\nUpgrade: websocket\r\n",
            "Connection: upgrade\r\nUpgrade: \r\n",
            "Connection: upgrade\r\nUpgrade: web socket\r\n",
            "Connection: upgrade\r\nUpgrade: websocket/\r\n",
            "Connection: upgrade\r\nUpgrade: a/b/c\r\n",
            "Connection: upgrade\r\nUpgrade: \"websocket\"\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(asked("1.1", fields), None, "{fields:?}");
        }
        assert_eq!(asked("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), None);
    }

    #[test]
    fn what_carries_requests_is_left_out() {
        for name in ["h2c", "H2C", "h2", "h2c-14", "HTTP/2.0", "HTTP2", "http/1.1", "h3", "TLS/1.2", "tls", "SPDY/3.1"]
        {
            assert_eq!(asked("1.1", &format!("Connection: Upgrade\r\nUpgrade: {name}\r\n")), None, "{name}");
            let beside = format!("Connection: Upgrade\r\nUpgrade: {name}, websocket\r\n");
            assert_eq!(asked("1.1", &beside).as_deref(), Some("websocket"), "{name}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_granted() {
        let upgrade = Upgrade((*b"websocket, x/1").into());
        let is_granted = |answer: &str| {
            let read = ResponseReader::default().read(answer.as_bytes(), false, &Limits::RESPONSE).expect("valid");
            upgrade.is_granted_by(&read.expect("whole").0)
        };
        for fields in ["Upgrade: websocket\r\n", "upgrade: WebSocket\r\n", "Upgrade: x/1\r\nUpgrade: websocket\r\n"] {
            assert!(is_granted(&format!("HTTP/1.1 101 x\r\n{fields}\r\n")), "{fields}");
        }
        for fields in ["", "Upgrade: \r\n", "Upgrade: h2c\r\n", "Upgrade: websocket, h2c\r\n", "Upgrade: x\r\n"] {
            assert!(!is_granted(&format!("HTTP/1.1 101 x\r\n{fields}\r\n")), "{fields}");
        }
        assert!(!is_granted("HTTP/1.0 101 x\r\nUpgrade: websocket\r\n\r\n"));
    }
}
