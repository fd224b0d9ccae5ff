//! Why a client did not come to its first request.

use std::fmt;

use super::{Lang, Speak, shown, system_words};

/// Why a client did not come to its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// It took too long.
    TooSlow,
    /// It may not say for whom it speaks, where everybody has to.
    NotTrusted,
    /// It does not say for whom it speaks, where everybody has to.
    NoHeader,
    /// It says so in a way that nobody can read.
    BadHeader,
    /// No TLS session; what the library says of it.
    Tls(String),
}

impl Speak for Unmet {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Unmet {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("it took longer than server.limits.head_timeout"),
            Self::NotTrusted => f.write_str("the address is not in server.trusted_proxies"),
            Self::NoHeader => f.write_str("the connection does not begin with a PROXY protocol header"),
            Self::BadHeader => f.write_str("the PROXY protocol header is not valid"),
            Self::Tls(why) => write!(f, "no TLS session: {}", shown(why)),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("超过时限 server.limits.head_timeout"),
            Self::NotTrusted => f.write_str("该地址不在 server.trusted_proxies 中"),
            Self::NoHeader => f.write_str("连接没有以 PROXY 协议头开始"),
            Self::BadHeader => f.write_str("PROXY 协议头无效"),
            Self::Tls(why) => write!(f, "TLS 握手失败: {}", shown(&*system_words(why, Lang::Zh))),
        }
    }
}
