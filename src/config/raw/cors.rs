//! Rules for pages in browsers, as they are written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::scalar::Time;

/// Which pages in browsers may read answers (CORS). What upstreams say of that is replaced.
///
/// 浏览器中哪些页面可以读取响应 (CORS)。上游的相关 Header 会被取代。
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cors {
    /// The origins of these pages, as browsers write them (`"https://app.example.com"`, `"http://localhost:5173"`), or
    /// `["*"]` for every page, then without credentials. Empty: none.
    ///
    /// 这些页面的来源，按浏览器的写法（`"https://app.example.com"`、`"http://localhost:5173"`）；`["*"]` 表示任何页面，
    /// 此时不允许附带凭据。空数组表示没有。
    pub origins: Vec<String>,
    /// The request headers that pages may send. `null`: any.
    ///
    /// 页面可以发送的请求 Header。`null` 表示任意。
    pub headers: Option<Vec<String>>,
    /// The answer headers that pages may read besides the few that they always may, such as `"x-request-id"`.
    ///
    /// 除浏览器始终允许的几个之外，页面可以读取的响应 Header，例如 `"x-request-id"`。
    pub expose: Vec<String>,
    /// How long a browser may remember what it was allowed, in seconds or as a text like `"10m"`.
    ///
    /// 浏览器可以记住许可多久: 秒数，或 `"10m"` 这样的文本。
    pub max_age: Time,
}

impl Default for Cors {
    fn default() -> Self {
        Self { origins: Vec::new(), headers: None, expose: Vec::new(), max_age: Time(Duration::from_secs(600)) }
    }
}
