//! What errors say beyond their kind: which limit, which step, whose fault.

/// How an upstream proxy says that it does not make a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The status of an answer to CONNECT.
    Status(u16),
    /// The reply of a SOCKS5 server (RFC 1928 section 6).
    Socks5(u8),
    /// The reply of a SOCKS4 server.
    Socks4(u8),
}

/// Why the client of a universal route may not reach a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ban {
    /// A service that hands a cloud's keys to whoever asks from inside.
    Metadata,
    /// An address of the same cable, where such services are too.
    LinkLocal,
    /// A host that is read as an address, but not by everybody as the same one.
    Ambiguous,
    /// `allow_private` is off, and the address is not public.
    Private,
    /// `deny_hosts` names it.
    Denied,
    /// `allow_hosts` does not name it.
    NotAllowed,
    /// This program itself listens there.
    Own,
}

/// Why nobody knows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unproven {
    /// There is no key in the request.
    Missing,
    /// What may be a key is nobody's.
    Unknown,
    /// The key is switched off.
    Disabled,
    /// The time of the key is over.
    Expired,
}

/// Whose requests a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of one client.
    Client,
    /// Those of one route.
    Route,
    /// All of them.
    Server,
}

/// What a limit is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
    /// Money.
    Dollars,
}

/// A step on the way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The upstream's name is resolved.
    Dns,
    /// TCP to the upstream.
    Connect,
    /// TLS with the upstream.
    Tls,
    /// The upstream proxy's name is resolved.
    ProxyDns,
    /// TCP to the upstream proxy.
    ProxyConnect,
    /// TLS with the upstream proxy.
    ProxyTls,
    /// The upstream proxy was asked for a connection.
    Proxy,
}

/// The named time limits on an upstream (`timeouts` in the configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Name, TCP, proxy and TLS together.
    Connect,
    /// From the request's last byte to the answer's head.
    FirstByte,
    /// Silence inside an answer, or an upstream that takes no more of the request.
    Idle,
    /// The whole exchange.
    Total,
}

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client's.
    Client,
    /// The upstream's, or of the way to it.
    Upstream,
    /// The operator's or the program's.
    Ours,
}

impl Scope {
    pub(super) fn answer(self) -> &'static str {
        match self {
            Self::Client => " with this key",
            Self::Route => " on this route",
            Self::Server => "",
        }
    }
}

impl Unit {
    pub(super) fn answer(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Dollars => "money",
        }
    }
}

impl Limit {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }
}
