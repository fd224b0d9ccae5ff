//! Upstream proxies: a way out, as data.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::origin::{BadAuthority, Host};
use crate::secret::{MASK, Secret, basic};

/// The longest user name and the longest password that SOCKS5 can carry, in bytes (RFC 1929 section 2).
const MAX_SOCKS_LOGIN: usize = 255;

/// A proxy through which requests leave. Two are equal if a connection through one is as good as through the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// How it is spoken to.
    pub scheme: ProxyScheme,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Who we are to it.
    pub login: Option<Login>,
    /// The login as an HTTP proxy wants it: the value of `Proxy-Authorization`.
    authorization: Option<Secret>,
    shown: Arc<str>,
}

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5; names are resolved here.
    Socks5,
    /// SOCKS5; names are resolved by the proxy.
    Socks5h,
    /// SOCKS4; names are resolved here, and only to IPv4 addresses.
    Socks4,
    /// `SOCKS4a`; names are resolved by the proxy.
    Socks4a,
}

/// A user and a password, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// The name.
    pub user: Secret,
    /// The password; often empty.
    pub password: Secret,
}

/// Why a text names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadProxy {
    /// Its scheme is none of those above.
    Scheme,
    /// More stands behind the address than a slash.
    Path,
    /// Host, port or login are wrong.
    Authority(BadAuthority),
    /// The login cannot be carried by the proxy's protocol.
    Login,
}

impl Proxy {
    /// Reads `scheme://[user[:password]@]host[:port]`. A text without scheme is the address of an HTTP proxy, as curl
    /// and Python's requests read it. The last `@` ends the login, so that a password may hold one.
    ///
    /// # Errors
    /// Why it names no proxy.
    pub fn parse(url: &str) -> Result<Self, BadProxy> {
        let url = url.trim();
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (ProxyScheme::parse(scheme).ok_or(BadProxy::Scheme)?, rest),
            None => (ProxyScheme::Http, url),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(BadProxy::Path);
        }
        let (userinfo, address) = match rest.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, rest),
        };
        let (host, port) = Host::with_port(address).map_err(BadProxy::Authority)?;
        let port = port.unwrap_or(scheme.default_port());
        // Nobody is nobody, with or without a colon.
        let userinfo = userinfo.filter(|userinfo| !matches!(*userinfo, "" | ":"));
        let login = userinfo.map(|userinfo| Login::parse(userinfo, scheme)).transpose()?;
        let authorization = userinfo.filter(|_| scheme.is_http()).map(|userinfo| {
            let colon = if userinfo.contains(':') { "" } else { ":" };
            basic(&Zeroizing::new([userinfo, colon].concat()))
        });
        let mask = if login.is_some() { format!("{MASK}@") } else { String::new() };
        let shown = format!("{}://{mask}{host}:{port}", scheme.name()).into();
        Ok(Self { scheme, host, port, login, authorization, shown })
    }

    /// Its URL without the login.
    #[must_use]
    pub fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// The value of `Proxy-Authorization`, if an HTTP proxy is to be told who we are.
    #[must_use]
    pub fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl ProxyScheme {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            // What desktops write into `ALL_PROXY`. Nearly every server of that name speaks version 5.
            "socks5" | "socks" => Self::Socks5,
            "socks5h" => Self::Socks5h,
            "socks4" => Self::Socks4,
            "socks4a" => Self::Socks4a,
            _ => return None,
        })
    }

    /// Its name in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
        }
    }

    /// Whether it is HTTP, in the clear or over TLS.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h | Self::Socks4 | Self::Socks4a => 1080,
        }
    }
}

impl Login {
    fn parse(userinfo: &str, scheme: ProxyScheme) -> Result<Self, BadProxy> {
        if userinfo.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(BadProxy::Authority(BadAuthority::BadUserinfo));
        }
        let decode = |text: &str| {
            // With room for all of it: what grows leaves copies behind.
            let mut decoded = Vec::with_capacity(text.len());
            decoded.extend(percent_decode_str(text));
            Secret::new(decoded)
        };
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let login = Self { user: decode(user), password: decode(password) };
        let (user, password) = (login.user.expose(), login.password.expose());
        let can_be_said = match scheme {
            ProxyScheme::Http | ProxyScheme::Https => true,
            ProxyScheme::Socks5 | ProxyScheme::Socks5h => user.len().max(password.len()) <= MAX_SOCKS_LOGIN,
            // A name that ends with a zero byte, and no password at all.
            ProxyScheme::Socks4 | ProxyScheme::Socks4a => {
                user.len() <= MAX_SOCKS_LOGIN && !user.contains(&0) && password.is_empty()
            }
        };
        if can_be_said { Ok(login) } else { Err(BadProxy::Login) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(url: &str) -> Result<String, BadProxy> {
        Proxy::parse(url).map(|proxy| proxy.to_string())
    }

    fn login(url: &str) -> Option<(String, String)> {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        Proxy::parse(url).expect(url).login.map(|login| (text(&login.user), text(&login.password)))
    }

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:7890", "http://127.0.0.1:7890"),
            ("http://proxy/", "http://proxy:80"),
            (" HTTPS://Proxy.example \n", "https://proxy.example:443"),
            ("socks5://h", "socks5://h:1080"),
            ("SOCKS5H://h:1", "socks5h://h:1"),
            ("socks4://h", "socks4://h:1080"),
            ("socks4a://h", "socks4a://h:1080"),
            ("socks://h", "socks5://h:1080"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("http://u:p@[2001:DB8::1]", "http://***@[2001:db8::1]:80"),
            ("http://u@h", "http://***@h:80"),
            ("http://@h", "http://h:80"),
            ("http://:@h", "http://h:80"),
            ("http://my_proxy:8080", "http://my_proxy:8080"),
            ("127.0.0.1:7890", "http://127.0.0.1:7890"),
            ("localhost:7890", "http://localhost:7890"),
            ("u:p@proxy", "http://***@proxy:80"),
        ] {
            assert_eq!(shown(url).as_deref(), Ok(expected), "{url}");
        }
        for (url, why) in [
            ("", BadProxy::Authority(BadAuthority::NoHost)),
            ("http://", BadProxy::Authority(BadAuthority::NoHost)),
            ("http://u:p@", BadProxy::Authority(BadAuthority::NoHost)),
            ("ftp://h", BadProxy::Scheme),
            ("sock5://h", BadProxy::Scheme),
            ("://h", BadProxy::Scheme),
            ("http://h/x", BadProxy::Path),
            ("http://h//", BadProxy::Path),
            ("http://h?x", BadProxy::Path),
            ("http://h#x", BadProxy::Path),
            ("http://u:p/w@h", BadProxy::Path),
            ("http://h:0", BadProxy::Authority(BadAuthority::BadPort)),
            ("http://h:65536", BadProxy::Authority(BadAuthority::BadPort)),
            ("http:127.0.0.1:7890", BadProxy::Authority(BadAuthority::BadPort)),
            ("http://::1:80", BadProxy::Authority(BadAuthority::NoHost)),
            ("http://[::1", BadProxy::Authority(BadAuthority::BadHost)),
            ("http://a b", BadProxy::Authority(BadAuthority::BadHost)),
            ("http://a\r\nb", BadProxy::Authority(BadAuthority::BadHost)),
            ("http://u p@h", BadProxy::Authority(BadAuthority::BadUserinfo)),
            ("http://u:p\r\n@h", BadProxy::Authority(BadAuthority::BadUserinfo)),
            ("socks4://a%00b@h", BadProxy::Login),
            ("socks4a://u:p@h", BadProxy::Login),
        ] {
            assert_eq!(shown(url), Err(why), "{url:?}");
        }
    }

    #[test]
    fn logins_are_decoded() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login("http://h"), None);
        assert_eq!(login("http://u@h"), pair("u", ""));
        assert_eq!(login("http://:p@h"), pair("", "p"));
        assert_eq!(login("http://us%65r:p%40%3A%2f%20@h"), pair("user", "p@:/ "));
        assert_eq!(login("socks5://u:p:q@w@h"), pair("u", "p:q@w"));
        assert_eq!(login("http://%E7%94%A8:密@h"), pair("用", "密"));
        assert_eq!(login("http://100%:%zz@h"), pair("100%", "%zz"));
    }

    #[test]
    fn only_http_proxies_are_told_by_a_field() {
        let authorization = |url: &str| {
            let proxy = Proxy::parse(url).expect(url);
            proxy.authorization().map(|value| String::from_utf8_lossy(value.expose()).into_owned())
        };
        assert_eq!(
            authorization("http://Aladdin:open%20sesame@h").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(authorization("https://u@h").as_deref(), Some("Basic dTo="));
        assert_eq!(authorization("http://h"), None);
        assert_eq!(authorization("socks5://u:p@h"), None);
    }

    #[test]
    fn what_socks_cannot_carry_is_refused() {
        let long = |length: usize| "x".repeat(length);
        for scheme in ["socks5", "socks5h", "socks4", "socks4a"] {
            assert!(shown(&format!("{scheme}://{}@h", long(255))).is_ok(), "{scheme}");
            assert_eq!(shown(&format!("{scheme}://{}@h", long(256))), Err(BadProxy::Login), "{scheme}");
        }
        assert!(shown(&format!("socks5://u:{}@h", long(255))).is_ok());
        assert_eq!(shown(&format!("socks5h://u:{}@h", long(256))), Err(BadProxy::Login));
        assert!(shown(&format!("http://{0}:{0}@h", long(5000))).is_ok());
    }

    #[test]
    fn nothing_shows_a_login() {
        let proxy = Proxy::parse("http://alice:wonderland@h").expect("valid");
        let text = format!("{proxy} {proxy:?}");
        assert!(!text.contains("alice") && !text.contains("wonderland"), "{text}");
    }

    #[test]
    fn logins_make_proxies_differ() {
        let parse = |url| Proxy::parse(url).expect("valid");
        assert_eq!(parse("http://u:p@H:80/"), parse("HTTP://u:%70@h"));
        for other in ["http://u:q@h", "http://v:p@h", "http://h", "https://u:p@h:80", "http://u:p@h:81"] {
            assert_ne!(parse("http://u:p@h"), parse(other), "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever bytes a login has, percent-encoded they arrive, and none of them is shown.
        #[test]
        fn every_login_arrives(user in prop::collection::vec(any::<u8>(), 1..50), password in prop::collection::vec(any::<u8>(), 0..50)) {
            let encode = |bytes: &[u8]| percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC).to_string();
            let proxy = Proxy::parse(&format!("socks5h://{}:{}@h:1", encode(&user), encode(&password))).expect("valid");
            prop_assert_eq!(&proxy.to_string(), "socks5h://***@h:1");
            let login = proxy.login.expect("one");
            prop_assert_eq!((login.user.expose(), login.password.expose()), (&user[..], &password[..]));
        }

        /// What is shown of a proxy without login names the same proxy.
        #[test]
        fn what_is_shown_can_be_read(scheme in "(http|https|socks5|socks5h|socks4|socks4a)", host in "([a-z0-9.-]{1,20}|\\[::[0-9a-f]{1,4}\\])", port in 1_u16..) {
            if let Ok(proxy) = Proxy::parse(&format!("{scheme}://{host}:{port}")) {
                prop_assert_eq!(Proxy::parse(&proxy.to_string()), Ok(proxy));
            }
        }
    }
}
