//! What is said of failed attempts: what can be wrong with how they are to be met, and what comes after one.

use std::fmt;
use std::time::Duration;

use super::{Lang, Speak, failure, shown, system_words};
use crate::error::Kind;

/// One thing that is wrong, or odd, with what is to happen when an upstream fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryProblem {
    /// A fallback of that name is not there.
    UnknownRoute,
    /// A fallback that is switched off.
    DisabledRoute,
    /// A fallback whose target the client would have to name.
    UniversalRoute,
    /// A fallback that leads nowhere.
    NoTarget,
    /// A route as its own fallback.
    Itself,
    /// Fallbacks that lead back.
    Circle,
    /// A fallback that was named before.
    Repeated,
    /// Fallbacks of a route whose target the client names.
    OfUniversal,
    /// One attempt and no fallback: nothing happens.
    OneAttempt,
    /// An empty list of what is met.
    NothingMet,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// With an answer of this status.
    Status(u16),
    /// With a stream that began with an error, which stands for this status.
    Stream(u16),
    /// Without an answer.
    Kind(Kind),
}

/// A line about an attempt that failed.
pub struct Attempt<'a> {
    /// Which one it was, of all.
    pub number: u32,
    /// Why it failed.
    pub why: Failed,
    /// What only the log says of that.
    pub detail: Option<&'a str>,
    /// How long is waited, where the same is tried again.
    pub wait: Duration,
    /// Which route is asked instead.
    pub fallback: Option<&'a str>,
}

impl Speak for RetryProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        })
    }
}

impl RetryProblem {
    fn en(self) -> &'static str {
        match self {
            Self::UnknownRoute => "there is no route of this name in 'routes'",
            Self::DisabledRoute => "this route is switched off ('enabled'): switch it on, or take it out of the list",
            Self::UniversalRoute => "a universal route cannot be a fallback: nobody says where it should lead",
            Self::NoTarget => "this route has no 'target_url'",
            Self::Itself => "a route cannot be its own fallback: say 'retry.attempts' for more attempts",
            Self::Circle => "this fallback leads back to this route: take one of them out of the lists",
            Self::Repeated => "this route stands in the list already",
            Self::OfUniversal => "a universal route has no fallback: its path is the target and fits no other route",
            Self::OneAttempt => "one attempt and no fallback: nothing is sent again. Set 'attempts' to 2 or more",
            Self::NothingMet => "the list is empty: nothing leads to another attempt",
        }
    }

    fn zh(self) -> &'static str {
        match self {
            Self::UnknownRoute => "'routes' 中没有这个名称的路由",
            Self::DisabledRoute => "该路由已禁用 ('enabled'): 请启用它，或从列表中删除",
            Self::UniversalRoute => "万能路由不能作为 fallback: 没有人指定它的目标",
            Self::NoTarget => "该路由没有 'target_url'",
            Self::Itself => "路由不能以自身作为 fallback: 需要更多次尝试请设置 'retry.attempts'",
            Self::Circle => "该 fallback 又回到此路由: 请从列表中删除其中之一",
            Self::Repeated => "该路由在列表中重复",
            Self::OfUniversal => "万能路由不能有 fallback: 它的路径就是目标，不适用于其他路由",
            Self::OneAttempt => "只尝试一次且没有 fallback: 不会重新发送。请将 'attempts' 设为 2 或更大",
            Self::NothingMet => "列表为空: 任何情况都不会再次尝试",
        }
    }
}

impl Speak for Attempt<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match lang {
            Lang::En => write!(f, "🔁  Attempt {number} failed: ")?,
            Lang::Zh => write!(f, "🔁  第 {number} 次尝试失败: ")?,
        }
        match (self.why, lang) {
            (Failed::Status(status), Lang::En) => write!(f, "status {status}")?,
            (Failed::Status(status), Lang::Zh) => write!(f, "状态 {status}")?,
            (Failed::Stream(status), Lang::En) => write!(f, "the stream began with an error ({status})")?,
            (Failed::Stream(status), Lang::Zh) => write!(f, "流以错误开始 ({status})")?,
            (Failed::Kind(kind), lang) => failure(kind).speak(lang, f)?,
        }
        if let Some(detail) = self.detail {
            write!(f, ": {}", shown(&*system_words(detail, lang)))?;
        }
        match (self.fallback, self.wait.as_millis(), lang) {
            (Some(route), _, Lang::En) => write!(f, " -> route '{}'", shown(route)),
            (Some(route), _, Lang::Zh) => write!(f, " -> 路由 '{}'", shown(route)),
            (None, 0, Lang::En) => write!(f, " -> again"),
            (None, 0, Lang::Zh) => write!(f, " -> 再次尝试"),
            (None, wait, Lang::En) => write!(f, " -> again in {wait} ms"),
            (None, wait, Lang::Zh) => write!(f, " -> {wait} ms 后再次尝试"),
        }
    }
}
