//! What happens when an upstream fails, as it is written.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::config::scalar::{Size, Time};
use crate::retry::{Outcome, Policy};

/// When a request is sent once more, before the first byte of an answer has gone to the client.
///
/// 在响应的第一个字节发给客户端之前，何时重新发送请求。
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Retry {
    /// How often a request is sent on this route at most.
    ///
    /// 一个请求在此路由上最多发送几次。
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// What is met with another attempt, and then with `fallback`: `"connect"` (no connection came about, nothing was
    /// sent), statuses of answers from 400 to 599, `"reset"` (the upstream was lost after the request was sent), `"timeout"`
    /// (no answer in time). The last two, and statuses such as 500, may repeat a request that was acted on.
    ///
    /// 遇到什么情况再次尝试，之后转到 `fallback`: `"connect"`（未能建立连接，什么都没有发送）、400 到 599 的响应状态码、
    /// `"reset"`（请求发出后上游断开）、`"timeout"`（未按时收到响应）。后两者以及 500 等状态码可能使请求被执行两次。
    pub on: Vec<RetryOn>,
    /// Up to how long is waited before the second attempt, by chance; twice as long before each further one.
    ///
    /// 第二次尝试前最多等待多久（随机），之后每次加倍。
    pub backoff: Time,
    /// What is not waited beyond. An upstream that asks for more with `Retry-After` is not waited for: the next fallback
    /// is tried at once, or the client gets that answer.
    ///
    /// 等待的上限。上游用 `Retry-After` 要求更久时不等待: 立即转到下一个 fallback，没有则把该响应交给客户端。
    pub max_wait: Time,
    /// Up to how much of a request's body is kept to be sent again, while it streams out. A larger request is sent again
    /// only if nothing of it had gone out. At most `"1GiB"`.
    ///
    /// 请求体在流式发送的同时最多保留多少以便重发。更大的请求只有在什么都未发送时才会重试。最大 `"1GiB"`。
    pub body_buffer: Size,
    /// Whether an error that comes as the first event of a 200 stream counts as its status: overloaded 529, rate limit 429,
    /// authentication 401, else 500. The head of such an answer then waits for its first event.
    ///
    /// 200 流的第一个事件是错误时，是否按其状态处理: 过载 529、限流 429、认证 401、其他 500。开启后，此类响应的头部要等到第一个事件。
    pub detect_stream_errors: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            attempts: policy.attempts,
            on: policy.on.outcomes().iter().copied().map(RetryOn).collect(),
            backoff: Time(Duration::from_millis(200)),
            max_wait: Time(Duration::from_secs(10)),
            body_buffer: Size(1 << 20),
            detect_stream_errors: false,
        }
    }
}

/// What can come of an attempt: a word, or a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn(pub Outcome);

impl RetryOn {
    /// The words, in the order of the manual.
    pub const WORDS: [&str; 3] = ["connect", "reset", "timeout"];

    /// Reads a word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(match text {
            "connect" => Outcome::Connect,
            "reset" => Outcome::Reset,
            "timeout" => Outcome::Timeout,
            _ => return None,
        }))
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let on = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Self::parse(&text),
            value => {
                let status = value.as_u64().and_then(|number| u16::try_from(number).ok());
                status.map(|status| Self(Outcome::Status(status)))
            }
        };
        on.ok_or_else(|| D::Error::custom("not an outcome"))
    }
}

impl Serialize for RetryOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Outcome::Connect => serializer.serialize_str("connect"),
            Outcome::Reset => serializer.serialize_str("reset"),
            Outcome::Timeout => serializer.serialize_str("timeout"),
            Outcome::Status(status) => serializer.serialize_u16(status),
        }
    }
}

impl JsonSchema for RetryOn {
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 400, "maximum": 599, "format": "retry_on" })
    }
}
