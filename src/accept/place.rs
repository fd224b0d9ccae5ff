//! Where clients come in, as it is written.

use std::fmt;
use std::path::PathBuf;

/// What a local socket begins with.
const LOCAL: &str = "unix:";

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port, at every address of a host.
    Port {
        /// A name or an address. Empty: every address of this machine.
        host: String,
        /// The port; 0 is any free one.
        port: u16,
    },
    /// A local socket, by the path of its file.
    Local(PathBuf),
}

/// Why nobody can listen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPlace {
    /// It is neither `host:port` nor `unix:` with a path.
    BadForm,
    /// The path is longer than the system takes it.
    LongPath,
    /// This system has no local sockets.
    NoLocalSockets,
}

impl Place {
    /// Reads `host:port`, `[::1]:port`, `:port` or `unix:/path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadPlace> {
        let text = text.trim();
        if let Some(place) = Self::local(text) {
            return place;
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadPlace::BadForm)?;
        let host = match host.strip_prefix('[') {
            Some(address) => address.strip_suffix(']').filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
            None => {
                Some(host).filter(|host| !host.contains([':', '/', '[', ']']) && !host.contains(char::is_whitespace))
            }
        };
        let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_digits);
        match (host, port) {
            (Some(host), Some(port)) => Ok(Self::Port { host: host.to_owned(), port }),
            _ => Err(BadPlace::BadForm),
        }
    }

    /// Reads `unix:/path`; `None` if it does not begin so.
    pub fn local(text: &str) -> Option<Result<Self, BadPlace>> {
        let path = text.trim().strip_prefix(LOCAL)?;
        Some(match path {
            "" => Err(BadPlace::BadForm),
            _ if !cfg!(unix) => Err(BadPlace::NoLocalSockets),
            path if socket2::SockAddr::unix(path).is_err() => Err(BadPlace::LongPath),
            path => Ok(Self::Local(path.into())),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Port { host, port } => write!(f, "{host}:{port}"),
            Self::Local(path) => write!(f, "{LOCAL}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in ["127.0.0.1:3000", "[::1]:3000", "localhost:0", ":8080", "unix:/run/x.sock", "unix:x.sock"] {
            assert_eq!(Place::parse(text).expect("good").to_string(), text);
        }
        assert_eq!(Place::parse("[::1]:65535"), Ok(Place::Port { host: "::1".to_owned(), port: 65535 }));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in
            ["", "3000", "localhost", "localhost:", ":", "a:65536", "a:-1", "a:+1", "::1:3000", "[::1]", "unix:"]
        {
            assert_eq!(Place::parse(text), Err(BadPlace::BadForm), "{text}");
        }
        for text in ["http://a:1", "a b:1", "[a]:1", "[127.0.0.1]:1", "[::1:1", "a]:1"] {
            assert_eq!(Place::parse(text), Err(BadPlace::BadForm), "{text}");
        }
        assert_eq!(Place::parse(&format!("unix:/{}", "x".repeat(200))), Err(BadPlace::LongPath));
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(text in r"(unix:|\[|)[a-z0-9./: \[\]]{0,20}(:[0-9]{0,6}|)") {
            if let Ok(place) = Place::parse(&text) {
                prop_assert_eq!(Place::parse(&place.to_string()), Ok(place));
            }
        }
    }
}
