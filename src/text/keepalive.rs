//! What is said of comments in silent streams: what can be wrong with how often they come, and what is to come.

use std::fmt::{self, Display};

use super::{Lang, Speak};

/// One thing that is wrong, or odd, with how often comments are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAliveProblem {
    /// More often than makes sense.
    TooShort,
    /// The stream is ended before.
    TooLate,
}

/// What is to come in a silent stream.
pub enum KeepAliveSay<'a> {
    /// A comment, after so long a silence.
    Explain(&'a dyn Display),
}

impl Speak for KeepAliveProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (lang, self) {
            (Lang::En, Self::TooShort) => {
                "expected at least \"10ms\": a plain number means seconds, and 15 is usual. 0 sends none"
            }
            (Lang::En, Self::TooLate) => {
                "no comment is ever sent: 'timeouts.idle' ends a stream that has been silent for so long. Choose less than that"
            }
            (Lang::Zh, Self::TooShort) => "至少应为 \"10ms\": 不带单位的数字为秒，通常为 15。0 表示不发送",
            (Lang::Zh, Self::TooLate) => {
                "不会发送任何注释: 流静默这么久时已因 'timeouts.idle' 而结束。请设置得比它短"
            }
        })
    }
}

impl Speak for KeepAliveSay<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (lang, self) {
            (Lang::En, Self::Explain(every)) => {
                write!(f, "   SSE keep-alive:   a comment for every {every} of silence in a stream of events")
            }
            (Lang::Zh, Self::Explain(every)) => write!(f, "   SSE 保活:     事件流每静默 {every} 发送一条注释"),
        }
    }
}
