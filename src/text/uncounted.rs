//! What is said of limits that could not count what an answer has used.

use std::fmt::{self, Display};

use super::{Lang, Speak, shown};

/// An answer that limits could not count.
pub struct NotCounted<'a> {
    /// The key of its route.
    pub route: &'a dyn Display,
    /// Why not.
    pub why: &'a Unknown,
    /// Of how many others on this route it was not said since it was last said of one.
    pub others: u64,
}

/// Why it is not known what an answer has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// It does not say so.
    NotTold,
    /// It broke off before it did.
    BrokeOff,
    /// It could not be decoded.
    NotRead,
    /// It led to another protocol, in which nobody reads along.
    Switched,
    /// Tokens are known, but not what they cost, for this model.
    NoPrice(Option<Box<str>>),
}

impl Speak for NotCounted<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route;
        match lang {
            Lang::En => write!(f, "⚠️  Route '{route}': limits could not count an answer: {}", self.why.in_lang(lang))?,
            Lang::Zh => write!(f, "⚠️  路由 '{route}': 有响应未能计入用量限制: {}", self.why.in_lang(lang))?,
        }
        match (self.others, lang) {
            (0, _) => Ok(()),
            (others, Lang::En) => write!(f, " ({others} more since this was last said)"),
            (others, Lang::Zh) => write!(f, "（自上次提示以来另有 {others} 个）"),
        }
    }
}

impl Speak for Unknown {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Unknown {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTold => f.write_str(
                "it does not say how many tokens it took. OpenAI's streams do so if the client asks for it with \"stream_options\": {\"include_usage\": true}",
            ),
            Self::BrokeOff => f.write_str(
                "it broke off before it said how many tokens it took. With \"on_client_gone\": \"drain\" it is read to its end though the client leaves",
            ),
            Self::NotRead => f.write_str("it could not be decoded, so nobody knows how many tokens it took"),
            Self::Switched => f.write_str(
                "what is said through a WebSocket is not read along. \"upgrade\": false refuses them on a route",
            ),
            Self::NoPrice(Some(model)) => write!(f, "'prices' has no price for the model '{}'", shown(&**model)),
            Self::NoPrice(None) => f.write_str("neither it nor its request names a model, so it has no price"),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTold => f.write_str(
                "响应中没有 token 用量。OpenAI 的流式响应只有在客户端发送 \"stream_options\": {\"include_usage\": true} 时才会给出",
            ),
            Self::BrokeOff => f.write_str(
                "响应在给出 token 用量之前中断。设置 \"on_client_gone\": \"drain\" 后，客户端离开时仍会读完",
            ),
            Self::NotRead => f.write_str("响应无法解码，token 用量未知"),
            Self::Switched => f.write_str("WebSocket 中的内容不会被读取。可用 \"upgrade\": false 在路由上拒绝它"),
            Self::NoPrice(Some(model)) => write!(f, "'prices' 中没有模型 '{}' 的价格", shown(&**model)),
            Self::NoPrice(None) => f.write_str("响应和请求都没有写明模型，因此没有价格"),
        }
    }
}
