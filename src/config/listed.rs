//! Values that may be lists of which one is taken, and how it is taken.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use crate::secret::Secret;

/// The value of a header.
#[derive(Debug, Clone)]
pub enum HeaderValue {
    /// `null` stands for no header.
    Absent,
    /// One value.
    One(Secret),
    /// Several, of which one is sent.
    Several(Vec<Secret>),
}

/// How one of several keys is picked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeyStrategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The one that the fewest requests under way use.
    LeastUsed,
    /// The same for the same client, or for the same value of this header.
    Sticky(Option<String>),
}

impl KeyStrategy {
    /// Those that are written as a word.
    pub const NAMES: [&'static str; 4] = ["round_robin", "random", "least_used", "sticky"];

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "round_robin" => Self::RoundRobin,
            "random" => Self::Random,
            "least_used" => Self::LeastUsed,
            "sticky" => Self::Sticky(None),
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let one = |value| match value {
            Value::String(text) => Some(Secret::new(text.into_bytes())),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(Secret::new(value.to_string().into_bytes())),
            _ => None,
        };
        let value = match Value::deserialize(deserializer)? {
            Value::Null => Some(Self::Absent),
            Value::Array(values) => values.into_iter().map(one).collect::<Option<_>>().map(Self::Several),
            value => one(value).map(Self::One),
        };
        value.ok_or_else(|| D::Error::custom("not a header value"))
    }
}

impl<'de> Deserialize<'de> for KeyStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let strategy = match Value::deserialize(deserializer)? {
            Value::String(name) => Self::named(&name),
            // Without a name it is compiled as one that cannot be: it has been taken out, and told of.
            Value::Object(members) => {
                let header = members.get("sticky").and_then(Value::as_str).unwrap_or_default();
                Some(Self::Sticky(Some(header.to_owned())))
            }
            _ => None,
        };
        strategy.ok_or_else(|| D::Error::custom("not a strategy"))
    }
}

impl JsonSchema for HeaderValue {
    fn schema_name() -> Cow<'static, str> {
        "HeaderValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean", "null", "array"],
            "items": { "type": ["string", "number", "boolean"] },
        })
    }
}

impl JsonSchema for KeyStrategy {
    fn schema_name() -> Cow<'static, str> {
        "KeyStrategy".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "format": "key_strategy",
            "properties": { "sticky": { "type": "string" } },
        })
    }
}
