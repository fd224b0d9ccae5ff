//! Where an upstream lives: scheme, host and port (RFC 9110 section 4.3.1).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The place that a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// The two schemes that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower case.
    Name(Box<str>),
    /// An address.
    Address(IpAddr),
}

/// Why an authority names no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAuthority {
    /// There is no host.
    NoHost,
    /// The host holds bytes that no host name and no address has.
    BadHost,
    /// The port is not a number from 1 to 65535.
    BadPort,
    /// What stands before `@` is not `user:password` in the bytes that RFC 3986 allows there.
    BadUserinfo,
}

/// `[user:password@]host[:port]`, taken apart once: the same parts are used to connect, in `Host` and for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// What stands before `@`, still percent-encoded.
    pub userinfo: Option<&'a str>,
    /// Host and port as written.
    pub host_and_port: &'a str,
}

impl Scheme {
    /// Reads a scheme in any case.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case(b"https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    /// Its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that stands for it where none is written.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Takes an authority apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(scheme: Scheme, authority: &[u8]) -> Result<(Self, Authority<'_>), BadAuthority> {
        let authority = std::str::from_utf8(authority).map_err(|_| BadAuthority::BadHost)?;
        let (userinfo, host_and_port) = match authority.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, authority),
        };
        if userinfo.is_some_and(|userinfo| !is_userinfo(userinfo)) {
            return Err(BadAuthority::BadUserinfo);
        }
        let (host, port) = Host::with_port(host_and_port)?;
        let port = port.unwrap_or(scheme.default_port());
        Ok((Self { scheme, host, port }, Authority { userinfo, host_and_port }))
    }
}

impl Host {
    /// Takes `host[:port]` apart. An IPv6 address stands in brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn with_port(text: &str) -> Result<(Self, Option<u16>), BadAuthority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, port) = rest.split_once(']').ok_or(BadAuthority::BadHost)?;
                let address: Ipv6Addr = inner.parse().map_err(|_| BadAuthority::BadHost)?;
                (Self::Address(address.into()), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Self::parse(name)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            // More digits than a port can have would be zeros, and stand in `Host`, where servers refuse them.
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|&port| port > 0).ok_or(BadAuthority::BadPort)?)
            }
            _ => return Err(BadAuthority::BadPort),
        };
        Ok((host, port))
    }

    fn parse(name: &str) -> Result<Self, BadAuthority> {
        if name.is_empty() {
            return Err(BadAuthority::NoHost);
        }
        if let Ok(address) = name.parse() {
            return Ok(Self::Address(address));
        }
        // A dot at the end is allowed, an empty label is not (RFC 1035 section 2.3.1): `.a` and `a` are the same to some
        // who compare names, and not to others.
        let is_name = name.len() <= 253
            && !name.starts_with('.')
            && !name.contains("..")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if is_name { Ok(Self::Name(name.to_ascii_lowercase().into())) } else { Err(BadAuthority::BadHost) }
    }
}

/// `user:password` of unreserved, escaped and sub-delimiter bytes (RFC 3986 section 3.2.1). A second `@`, or a name
/// without a password, is how a URL is made to look as if it led elsewhere.
fn is_userinfo(userinfo: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:".contains(&byte);
    userinfo.contains(':') && userinfo.bytes().all(allowed)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.name(), self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(authority: &str) -> Result<String, BadAuthority> {
        Origin::parse(Scheme::Https, authority.as_bytes()).map(|(origin, _)| origin.to_string())
    }

    #[test]
    fn authorities() {
        assert_eq!(shown("API.example.com"), Ok("https://api.example.com:443".into()));
        assert_eq!(shown("h:8443"), Ok("https://h:8443".into()));
        assert_eq!(shown("h:"), Ok("https://h:443".into()));
        assert_eq!(shown("127.0.0.1:1"), Ok("https://127.0.0.1:1".into()));
        assert_eq!(shown("[::1]:8"), Ok("https://[::1]:8".into()));
        assert_eq!(shown("u:p%40@h"), Ok("https://h:443".into()));
        for (bad, why) in [
            ("", BadAuthority::NoHost),
            (":80", BadAuthority::NoHost),
            ("h:0", BadAuthority::BadPort),
            ("h:65536", BadAuthority::BadPort),
            ("h:+1", BadAuthority::BadPort),
            ("h:000080", BadAuthority::BadPort),
            ("h:1:2", BadAuthority::BadPort),
            ("[::1]8", BadAuthority::BadPort),
            ("[::1", BadAuthority::BadHost),
            ("[x]", BadAuthority::BadHost),
            (".", BadAuthority::BadHost),
            (".a", BadAuthority::BadHost),
            ("a..b", BadAuthority::BadHost),
            ("a b", BadAuthority::BadHost),
            ("a%2fb", BadAuthority::BadHost),
            ("a\\b", BadAuthority::BadHost),
            ("ä", BadAuthority::BadHost),
            ("good.com@evil.com", BadAuthority::BadUserinfo),
            ("u:p@v@h", BadAuthority::BadHost),
            ("u:p\\@h", BadAuthority::BadUserinfo),
        ] {
            assert_eq!(shown(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn userinfo_is_apart_from_the_host() {
        let (_, authority) = Origin::parse(Scheme::Http, b"u:p@H:80").expect("valid");
        assert_eq!((authority.userinfo, authority.host_and_port), (Some("u:p"), "H:80"));
    }
}
