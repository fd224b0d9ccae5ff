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
    /// A stream is to begin before its head, but nothing says after how long.
    BeforeHeadWithout,
    /// A header of the operator's asks for coded answers, in which nothing can be said.
    Coded,
}

/// What is to come in a silent stream.
pub enum KeepAliveSay<'a> {
    /// A comment, after so long a silence.
    Explain(&'a dyn Display),
    /// The same before the answer begins, if the request asks for a stream.
    ExplainBeforeHead,
    /// A header that asks for no coding, in the place of the client's.
    ExplainPlain(&'a dyn Display),
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
            (Lang::En, Self::BeforeHeadWithout) => {
                "nothing says after how long: set 'sse_keepalive' too, such as \"sse_keepalive\": 15"
            }
            (Lang::En, Self::Coded) => {
                "with 'sse_keepalive_before_head' a coded answer ends in an error if it comes late. Leave this header out, or say \"identity\""
            }
            (Lang::Zh, Self::BeforeHeadWithout) => {
                "没有说明静默多久: 请同时设置 'sse_keepalive'，例如 \"sse_keepalive\": 15"
            }
            (Lang::Zh, Self::Coded) => {
                "启用 'sse_keepalive_before_head' 时，迟到的压缩响应会以错误告终。请去掉此 Header，或设为 \"identity\""
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
            (Lang::En, Self::ExplainBeforeHead) => f.write_str(
                "                     and before the answer begins, if the request asks for a stream: 200 is said then",
            ),
            (Lang::En, Self::ExplainPlain(name)) => {
                write!(f, "   🔁  Plain answer:    '{name}' says 'identity': nothing can be said in a coded stream")
            }
            (Lang::Zh, Self::Explain(every)) => write!(f, "   SSE 保活:     事件流每静默 {every} 发送一条注释"),
            (Lang::Zh, Self::ExplainBeforeHead) => {
                f.write_str("                 如果请求要求流式响应，响应开始之前也会发送: 此时已返回 200")
            }
            (Lang::Zh, Self::ExplainPlain(name)) => {
                write!(f, "   🔁  不压缩响应:      '{name}' 改为 'identity': 压缩的流中无法插入注释")
            }
        }
    }
}
