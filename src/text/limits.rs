//! What limits allow, and what can be wrong with how they are written.

use std::fmt;

use super::{Lang, Speak, shown, system_words};

/// What somebody may use, in words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// So many requests in a minute.
    pub requests: Option<u64>,
    /// So many tokens in a minute.
    pub tokens: Option<u64>,
    /// So many requests at once.
    pub at_once: Option<usize>,
    /// So many tokens in a day or a month.
    pub budget_tokens: Option<u64>,
    /// So many dollars in a day or a month.
    pub budget_dollars: Option<f64>,
    /// Whether it is a month.
    pub by_month: bool,
}

/// One thing that is wrong, or odd, with limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitProblem {
    /// A budget of neither tokens nor money.
    EmptyBudget,
    /// A budget that does not say for how long it has to do.
    BudgetWithoutPer,
    /// No amount of money.
    BadAmount,
    /// Not the URL of a Redis.
    BadState,
    /// No time at all, or too much, for an answer of the Redis.
    BadStateTimeout,
    /// A Redis, and nothing to be counted there.
    UnusedState,
    /// What happens without a Redis that is not there anyhow.
    UnusedStateField,
}

impl Speak for Allowed {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        };
        match lang {
            _ if parts.is_empty() => f.write_str("-"),
            Lang::En => f.write_str(&parts.join(", ")),
            Lang::Zh => f.write_str(&parts.join("，")),
        }
    }
}

impl Allowed {
    fn en(&self) -> Vec<String> {
        let per = if self.by_month { "a month" } else { "a day" };
        let parts = [
            self.requests.map(|count| format!("{count} requests a minute")),
            self.tokens.map(|count| format!("{count} tokens a minute")),
            self.at_once.map(|count| format!("{count} at once")),
            self.budget_tokens.map(|count| format!("{count} tokens {per}")),
            self.budget_dollars.map(|dollars| format!("${dollars} {per}")),
        ];
        parts.into_iter().flatten().collect()
    }

    fn zh(&self) -> Vec<String> {
        let per = if self.by_month { "每月" } else { "每天" };
        let parts = [
            self.requests.map(|count| format!("每分钟 {count} 个请求")),
            self.tokens.map(|count| format!("每分钟 {count} 个 token")),
            self.at_once.map(|count| format!("同时 {count} 个")),
            self.budget_tokens.map(|count| format!("{per} {count} 个 token")),
            self.budget_dollars.map(|dollars| format!("{per} {dollars} 美元")),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// What becomes of a Redis that several instances share.
#[derive(Debug, Clone, Copy)]
pub enum StateNews<'a> {
    /// It is there.
    Up {
        /// Where.
        place: &'a str,
    },
    /// It is away.
    Down {
        /// Where it should be.
        place: &'a str,
        /// Why.
        why: &'a Away,
        /// Whether requests are refused meanwhile.
        is_closed: bool,
    },
}

/// Where limits are counted together with other instances.
#[derive(Debug, Clone, Copy)]
pub struct SharedLimits<'a> {
    /// Where the Redis is.
    pub place: &'a str,
    /// Whether requests are refused while it is away.
    pub is_closed: bool,
}

impl Speak for SharedLimits<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, failure) = (shown(self.place), if self.is_closed { "closed" } else { "open" });
        match lang {
            Lang::En => write!(f, "  state: on Redis at {place}; while it is away: {failure}"),
            Lang::Zh => write!(f, "  state: Redis {place}；不可用时: {failure}"),
        }
    }
}

/// Why a Redis is not there for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Away {
    /// It does not take the user or the password that it is given.
    WrongLogin,
    /// It wants a password, and is given none.
    NoLogin,
    /// What the system or the library says.
    Other(String),
}

impl Speak for Away {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, lang) {
            (Self::WrongLogin, Lang::En) => f.write_str("it does not accept the user and password in 'state'"),
            (Self::WrongLogin, Lang::Zh) => f.write_str("不接受 'state' 中的用户名和密码"),
            (Self::NoLogin, Lang::En) => f.write_str("it wants a password, and 'state' has none"),
            (Self::NoLogin, Lang::Zh) => f.write_str("需要密码，而 'state' 中没有"),
            (Self::Other(why), lang) => write!(f, "{}", shown(&*system_words(why, lang))),
        }
    }
}

impl Speak for StateNews<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (lang, self) {
            (Lang::En, Self::Up { place }) => write!(f, "🔗 Limits are shared on Redis at {}.", shown(*place)),
            (Lang::Zh, Self::Up { place }) => write!(f, "🔗 用量限制通过 Redis {} 共享。", shown(*place)),
            (Lang::En, Self::Down { place, why, is_closed }) => {
                let then = match is_closed {
                    true => "Requests under limits are answered with 503 until it is back.",
                    false => "Limits hold for this instance alone until it is back.",
                };
                write!(f, "⚠️  Redis at {} is away: {}. {then}", shown(*place), why.in_lang(lang))
            }
            (Lang::Zh, Self::Down { place, why, is_closed }) => {
                let then = match is_closed {
                    true => "恢复之前，受限制的请求返回 503。",
                    false => "恢复之前，限制仅对本实例有效。",
                };
                write!(f, "⚠️  Redis {} 不可用: {}。{then}", shown(*place), why.in_lang(lang))
            }
        }
    }
}

impl Speak for LimitProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        })
    }
}

impl LimitProblem {
    fn en(&self) -> &'static str {
        match self {
            Self::EmptyBudget => "a budget needs 'tokens' or 'usd', or both",
            Self::BudgetWithoutPer => "a budget has to say for how long it is: set 'per' to \"day\" or \"month\"",
            Self::BadState => {
                "expected the URL of a Redis: \"redis://user:password@host:6379/0\", \"rediss://\" with TLS, or \"unix:///path\", with special characters percent-encoded"
            }
            Self::BadStateTimeout => "expected a time from 1 ms to 60 s",
            Self::UnusedState => {
                "there is no limit that could be counted there, but for max_concurrency, which each instance counts for itself"
            }
            Self::UnusedStateField => "without 'state' this does nothing",
            Self::BadAmount => "expected an amount in dollars: more than 0, and at most 1000000",
        }
    }

    fn zh(&self) -> &'static str {
        match self {
            Self::EmptyBudget => "预算需要 'tokens' 或 'usd'，或两者都有",
            Self::BudgetWithoutPer => "预算需要写明周期: 请将 'per' 设为 \"day\" 或 \"month\"",
            Self::BadState => {
                "应为 Redis 的 URL: \"redis://用户:密码@主机:6379/0\"、使用 TLS 的 \"rediss://\"，或 \"unix:///路径\"，特殊字符需用百分号编码"
            }
            Self::BadStateTimeout => "应为 1 毫秒到 60 秒之间的时长",
            Self::UnusedState => "没有可在其中计数的限制；max_concurrency 由每个实例各自计数",
            Self::UnusedStateField => "没有 'state' 时此项不起作用",
            Self::BadAmount => "应为美元金额: 大于 0，且不超过 1000000",
        }
    }
}
