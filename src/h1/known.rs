//! Names of fields that mean something to the protocol or to the proxy, told apart once.
//!
//! Every line is asked several times whether it is one of these: where the message ends, what belongs to the connection,
//! what becomes of the line on its way. So a line is asked for its name when it is read, and remembers the answer.

use super::is_name;

/// A field whose name is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// `Connection`
    Connection,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Authorization`
    ProxyAuthorization,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `TE`
    Te,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `Content-Length`
    ContentLength,
    /// `Expect`
    Expect,
    /// `Host`
    Host,
    /// `Sec-WebSocket-Protocol`
    SecWebSocketProtocol,
    /// `Trailer`
    Trailer,
    /// `x-aqueduct-key`, in which the proxy's own clients may present their keys
    AqueductKey,
}

impl Known {
    /// The field of this name, in any case.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        // The length tells nearly all other names apart at once, and the first letter most of the rest.
        match name.len() {
            2 if is_name(name, b"te") => Some(Self::Te),
            4 if is_name(name, b"host") => Some(Self::Host),
            6 if is_name(name, b"expect") => Some(Self::Expect),
            7 if is_name(name, b"trailer") => Some(Self::Trailer),
            7 if is_name(name, b"upgrade") => Some(Self::Upgrade),
            10 if is_name(name, b"connection") => Some(Self::Connection),
            10 if is_name(name, b"keep-alive") => Some(Self::KeepAlive),
            14 if is_name(name, b"content-length") => Some(Self::ContentLength),
            14 if is_name(name, b"x-aqueduct-key") => Some(Self::AqueductKey),
            16 if is_name(name, b"proxy-connection") => Some(Self::ProxyConnection),
            17 if is_name(name, b"transfer-encoding") => Some(Self::TransferEncoding),
            19 if is_name(name, b"proxy-authorization") => Some(Self::ProxyAuthorization),
            22 if is_name(name, b"sec-websocket-protocol") => Some(Self::SecWebSocketProtocol),
            _ => None,
        }
    }

    /// Whether the field belongs to one connection and never passes (RFC 9110 section 7.6.1).
    #[inline]
    #[must_use]
    pub fn is_hop_by_hop(self) -> bool {
        match self {
            Self::Connection
            | Self::KeepAlive
            | Self::ProxyAuthorization
            | Self::ProxyConnection
            | Self::Te
            | Self::TransferEncoding
            | Self::Upgrade => true,
            Self::ContentLength
            | Self::Expect
            | Self::Host
            | Self::SecWebSocketProtocol
            | Self::Trailer
            | Self::AqueductKey => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, Known); 13] = [
        ("Connection", Known::Connection),
        ("Keep-Alive", Known::KeepAlive),
        ("Proxy-Authorization", Known::ProxyAuthorization),
        ("Proxy-Connection", Known::ProxyConnection),
        ("TE", Known::Te),
        ("Transfer-Encoding", Known::TransferEncoding),
        ("Upgrade", Known::Upgrade),
        ("Content-Length", Known::ContentLength),
        ("Expect", Known::Expect),
        ("Host", Known::Host),
        ("Sec-WebSocket-Protocol", Known::SecWebSocketProtocol),
        ("Trailer", Known::Trailer),
        ("X-Aqueduct-Key", Known::AqueductKey),
    ];

    #[test]
    fn names_are_known_in_any_case_and_whole() {
        for (name, known) in ALL {
            for written in [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(Known::of(written.as_bytes()), Some(known), "{written}");
                assert_eq!(Known::of(format!("{written}s").as_bytes()), None);
                assert_eq!(Known::of(&written.as_bytes()[1..]), None);
                for place in 0..written.len() {
                    let mut other = written.clone().into_bytes();
                    other[place] = if other[place] == b'-' { b'_' } else { b'-' };
                    assert_eq!(Known::of(&other), None, "{written} {place}");
                }
            }
        }
        for name in ["Authorization", "Cookie", "Accept", "Content-Type", "Proxy-Authenticate", "X-Request-Id"] {
            assert_eq!(Known::of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn seven_belong_to_the_connection() {
        assert_eq!(ALL.iter().position(|(_, known)| !known.is_hop_by_hop()), Some(7));
        assert!(ALL[7..].iter().all(|(_, known)| !known.is_hop_by_hop()));
    }
}
