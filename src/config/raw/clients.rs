//! Clients as they are written.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::UseLimits;
use crate::config::scalar::{Hidden, in_order};

/// One client of the proxy. `aqueduct keygen NAME` makes a key and prints this.
///
/// 代理的一个客户端。`aqueduct keygen 名称` 可生成密钥和此配置。
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientKey {
    /// His key: at least 16 visible characters of ASCII, or `sha256:` and the SHA-256 of the key in hexadecimal digits.
    /// Nobody else may have the same.
    ///
    /// 密钥: 至少 16 个可见 ASCII 字符，或 `sha256:` 加密钥的 SHA-256（十六进制）。不能与他人相同。
    #[schemars(with = "String")]
    pub key: Option<Hidden>,
    /// The routes that he may use, by their keys; `*` stands for any text, as in `"claude*"`. `null`: all of them.
    ///
    /// 可以使用的路由，`*` 代表任意文本，例如 `"claude*"`。`null` 表示所有路由。
    pub routes: Option<Vec<String>>,
    /// Until when the key is good: a date (`"2027-01-01"`: to the end of that day, UTC) or a time
    /// (`"2027-01-01T12:00:00Z"`). `null`: for ever.
    ///
    /// 有效期: 日期（`"2027-01-01"`，到当天结束为止，UTC）或时间（`"2027-01-01T12:00:00Z"`）。`null` 表示永久有效。
    pub expires: Option<String>,
    /// Whether the key is good for anything.
    ///
    /// 是否启用。
    pub enabled: bool,
    /// How much is let through for this client.
    ///
    /// 此客户端的用量限制。
    pub limits: UseLimits,
}

impl Default for ClientKey {
    fn default() -> Self {
        Self { key: None, routes: None, expires: None, enabled: true, limits: UseLimits::default() }
    }
}

/// Reads the clients in the order of the text. None at all is not the same as no such field.
pub(super) fn clients<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<(String, ClientKey)>>, D::Error> {
    in_order(deserializer).map(Some)
}
