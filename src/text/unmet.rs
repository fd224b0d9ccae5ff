//! Why a client did not come to its first request.

use std::fmt;

use super::{Lang, Speak, shown, system_words};

/// Why a client did not come to its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// It took too long.
    TooSlow,
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
            Self::Tls(why) => write!(f, "no TLS session: {}", shown(why)),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow => f.write_str("超过时限 server.limits.head_timeout"),
            Self::Tls(why) => write!(f, "TLS 握手失败: {}", shown(&*system_words(why, Lang::Zh))),
        }
    }
}
