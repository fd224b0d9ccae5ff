//! Limits as they are written: on clients, on routes, in time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{Per, Size, Time};

/// What is accepted from clients. Times are in seconds or texts like `"10s"`, sizes in bytes or texts like `"64KiB"`.
///
/// 对客户端的限制。时长为秒数或 `"10s"` 这样的文本，大小为字节数或 `"64KiB"` 这样的文本。
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// The largest request head. Beyond it: 431.
    ///
    /// 请求头部的最大长度，超过返回 431。
    pub max_head_size: Size,
    /// The longest request line. Beyond it: 414.
    ///
    /// 请求行的最大长度，超过返回 414。
    pub max_request_line: Size,
    /// The largest number of header fields. Beyond it: 431.
    ///
    /// Header 的最大数量，超过返回 431。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_head_fields: u32,
    /// The largest request body. Beyond it: 413. `null`: no limit.
    ///
    /// 请求体的最大长度，超过返回 413。`null` 表示不限。
    pub max_body_size: Option<Size>,
    /// How many clients may be connected at once; each request under way on an HTTP/2 connection counts as one more.
    /// Beyond it: 503. Lowered to what the system's limit on open files allows.
    ///
    /// 同时连接的客户端上限，HTTP/2 连接上进行中的每个请求另算一个，超过返回 503。系统的文件描述符上限不足时会相应降低。
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// How many requests may be under way at once on all routes together, each up to the last byte of its answer. Beyond
    /// it: 429, at once. The same as `limits.max_concurrency`; if both are set the lower one holds. `null`: no limit.
    ///
    /// 所有路由合计可同时进行的请求数，每个请求计到响应的最后一个字节为止，超过立即返回 429。与 `limits.max_concurrency`
    /// 相同，两者都设置时取较小者。`null` 表示不限。
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_concurrency: Option<u32>,
    /// How many requests a client may have under way at once on one HTTP/2 connection.
    ///
    /// 客户端在一个 HTTP/2 连接上可同时进行的请求数。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent_streams: u32,
    /// How long a request head may take from its first byte to its last. Beyond it: 408. 0: no limit.
    ///
    /// 请求头部从第一个字节到最后一个字节的时限，超过返回 408。0 表示不限。
    pub head_timeout: Time,
    /// How long a connection may wait for its next request. 0: no limit.
    ///
    /// 连接等待下一个请求的时限。0 表示不限。
    pub keep_alive_timeout: Time,
    /// How long a client may be silent inside a request body. 0: no limit.
    ///
    /// 客户端在发送请求体途中可以静默多久。0 表示不限。
    pub body_timeout: Time,
    /// How long a client may leave an answer unread before its connection is closed. 0: no limit.
    ///
    /// 客户端不读取响应多久后断开连接。0 表示不限。
    pub write_timeout: Time,
}

/// Time limits on upstreams, in seconds or texts like `"300ms"`, `"10s"`, `"5m"`. 0: no limit.
///
/// 对上游的时限: 秒数，或 `"300ms"`、`"10s"`、`"5m"` 这样的文本。0 表示不限。
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Timeouts {
    /// For a connection: name, TCP, proxy and TLS together.
    ///
    /// 建立连接（域名解析、TCP、代理、TLS 合计）。
    pub connect: Time,
    /// From the end of the request to the head of the answer. Reasoning models think long.
    ///
    /// 从请求发送完毕到收到响应头部。推理模型思考时间较长。
    pub first_byte: Time,
    /// For silence inside an answer. Silence, not length, ends a stream.
    ///
    /// 响应途中的静默。结束一个流的是静默，而不是时长。
    pub idle: Time,
    /// For the whole exchange.
    ///
    /// 整个请求。
    pub total: Time,
}

/// Time limits of one route. What is left out is as in the global setting.
///
/// 单个路由的时限，未写的沿用全局设置。
#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RouteTimeouts {
    /// For a connection: name, TCP, proxy and TLS together.
    ///
    /// 建立连接（域名解析、TCP、代理、TLS 合计）。
    #[schemars(with = "Time")]
    pub connect: Option<Time>,
    /// From the end of the request to the head of the answer.
    ///
    /// 从请求发送完毕到收到响应头部。
    #[schemars(with = "Time")]
    pub first_byte: Option<Time>,
    /// For silence inside an answer.
    ///
    /// 响应途中的静默。
    #[schemars(with = "Time")]
    pub idle: Option<Time>,
    /// For the whole exchange.
    ///
    /// 整个请求。
    #[schemars(with = "Time")]
    pub total: Option<Time>,
}

/// How much is let through: on one route, for one client, or in all. Beyond it: 429, at once, with `Retry-After`.
///
/// 用量限制: 单个路由、单个客户端，或合计。超过立即返回 429 和 `Retry-After`。
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct UseLimits {
    /// How many requests may begin in a minute. As many may come at once; then they come back one by one, evenly.
    /// `null`: no limit.
    ///
    /// 每分钟可开始的请求数。可一次用完，之后逐个均匀恢复。`null` 表示不限。
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// How many tokens may be used in a minute, in and out. What an answer uses counts from its end on, so it can be
    /// exceeded by those that are under way; they are paid back before more may begin. `null`: no limit.
    ///
    /// 每分钟可使用的 token 数（输入与输出合计）。响应的用量在结束时才计入，因此进行中的请求可能使其超额，超出部分需先恢复，
    /// 才能开始新的请求。`null` 表示不限。
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// How many requests may be under way at once, each up to the last byte of its answer. `null`: no limit.
    ///
    /// 可同时进行的请求数，每个请求计到响应的最后一个字节为止。`null` 表示不限。
    #[schemars(range(min = 1, max = 10_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// What may be spent in a day or a month. `null`: no limit.
    ///
    /// 每天或每月的预算。`null` 表示不限。
    #[schemars(with = "Budget")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// What may be spent in a day or a month, by the calendar in UTC. What an answer uses counts from its end on. Beyond it:
/// 429 until the next one begins.
///
/// 每天或每月的预算（按 UTC 日历）。响应的用量在结束时计入。用完后返回 429，直到下一周期开始。
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Budget {
    /// So many tokens, in and out. `null`: no limit.
    ///
    /// token 数（输入与输出合计）。`null` 表示不限。
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// So many US dollars, by `prices`. What has no known price cannot be counted. `null`: no limit.
    ///
    /// 美元金额，按 `prices` 计算。价格未知的用量无法计入。`null` 表示不限。
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// For how long it has to do: `day` or `month`.
    ///
    /// 预算周期: `day`（天）或 `month`（月）。
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_size: Size(64 << 10),
            max_request_line: Size(16 << 10),
            max_head_fields: 128,
            max_body_size: None,
            max_connections: 10_000,
            max_concurrency: None,
            max_concurrent_streams: 128,
            head_timeout: Time(Duration::from_secs(10)),
            keep_alive_timeout: Time(Duration::from_secs(75)),
            body_timeout: Time(Duration::from_secs(30)),
            write_timeout: Time(Duration::from_secs(300)),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Time(Duration::from_secs(10)),
            // The official clients wait that long.
            first_byte: Time(Duration::from_secs(600)),
            idle: Time(Duration::from_secs(300)),
            total: Time(Duration::ZERO),
        }
    }
}
