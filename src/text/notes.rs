//! What is configured on a route besides where it leads, in a few words each.

use std::fmt::{self, Display};

use super::{Allowed, Lang, Speak};

/// One thing that is configured on a route.
pub enum RouteNote<'a> {
    /// It has several keys.
    Keys {
        /// How many.
        count: usize,
        /// How one is picked.
        strategy: &'a str,
    },
    /// It leads to several places.
    Targets(usize),
    /// A request is sent so often at most.
    Attempts(u32),
    /// These are asked when it fails.
    Fallback(&'a dyn Display),
    /// So much is let through.
    Limits(Allowed),
    /// It is read along what answers use.
    Usage {
        /// Whether to their end though their client leaves.
        drains: bool,
    },
    /// Streams that are silent for so long get comments.
    KeepAlive {
        /// How long, in seconds.
        seconds: f64,
        /// Whether a stream also begins after that time by itself.
        begins_early: bool,
    },
}

/// The head of a list of routes with what is configured on each.
pub struct NotesPart;

impl Speak for NotesPart {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match lang {
            Lang::En => "\n[Routes]",
            Lang::Zh => "\n[路由]",
        })
    }
}

impl Speak for RouteNote<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl RouteNote<'_> {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { count, strategy } => write!(f, "{count} keys [{strategy}]"),
            Self::Targets(count) => write!(f, "{count} targets"),
            Self::Attempts(count) => write!(f, "up to {count} attempts"),
            Self::Fallback(routes) => write!(f, "fallback: {routes}"),
            Self::Limits(allowed) => write!(f, "limits: {}", allowed.in_lang(Lang::En)),
            Self::Usage { drains: false } => f.write_str("usage"),
            Self::Usage { drains: true } => f.write_str("usage, also of answers whose client leaves"),
            Self::KeepAlive { seconds, begins_early: false } => write!(f, "SSE keep-alive: {seconds} s"),
            Self::KeepAlive { seconds, begins_early: true } => {
                write!(f, "SSE keep-alive: {seconds} s, also before the head of an answer")
            }
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { count, strategy } => write!(f, "{count} 个密钥 [{strategy}]"),
            Self::Targets(count) => write!(f, "{count} 个目标"),
            Self::Attempts(count) => write!(f, "最多尝试 {count} 次"),
            Self::Fallback(routes) => write!(f, "备用路由: {routes}"),
            Self::Limits(allowed) => write!(f, "限制: {}", allowed.in_lang(Lang::Zh)),
            Self::Usage { drains: false } => f.write_str("读取用量"),
            Self::Usage { drains: true } => f.write_str("读取用量，客户端离开后仍读完"),
            Self::KeepAlive { seconds, begins_early: false } => write!(f, "SSE 保活: {seconds} 秒"),
            Self::KeepAlive { seconds, begins_early: true } => write!(f, "SSE 保活: {seconds} 秒，响应头到达之前也发"),
        }
    }
}
