//! Values that may be lists of which one is taken, and how it is taken.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::scalar::Hidden;
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

/// Where a route leads.
#[derive(Debug)]
pub enum TargetUrl {
    /// To one place.
    One(Hidden),
    /// To one of these.
    Several(Vec<TargetEntry>),
}

/// One of several targets.
#[derive(Debug)]
pub struct TargetEntry {
    /// Its URL; empty if there is none.
    pub url: Hidden,
    /// How much of the work it does beside others of the same priority.
    pub weight: u32,
    /// One with a higher number works only where all with lower ones rest.
    pub priority: u32,
    /// Whether it stands in an object.
    pub is_object: bool,
}

impl TargetUrl {
    /// The URLs, as they are written.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            Self::One(url) => (Some(url), &[][..]),
            Self::Several(entries) => (None, &entries[..]),
        };
        one.into_iter().chain(several.iter().map(|entry| &entry.url)).map(|url| &**url)
    }
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

impl<'de> Deserialize<'de> for TargetUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What the library says of a value may be the value itself.
        let hidden = |value| serde_json::from_value::<Hidden>(value).map_err(|_| D::Error::custom("not a URL"));
        let number = |value: Option<&Value>, absent| {
            let number = value.and_then(Value::as_u64).unwrap_or(absent);
            u32::try_from(number).map_err(|_| D::Error::custom("not a number"))
        };
        let entry = |value| match value {
            Value::Object(mut members) => {
                let url = members.remove("url").unwrap_or_else(|| Value::String(String::new()));
                let (weight, priority) = (number(members.get("weight"), 1)?, number(members.get("priority"), 0)?);
                Ok(TargetEntry { url: hidden(url)?, weight, priority, is_object: true })
            }
            value => Ok(TargetEntry { url: hidden(value)?, weight: 1, priority: 0, is_object: false }),
        };
        match Value::deserialize(deserializer)? {
            Value::Array(values) => values.into_iter().map(entry).collect::<Result<_, _>>().map(Self::Several),
            value => hidden(value).map(Self::One),
        }
    }
}

impl JsonSchema for TargetUrl {
    fn schema_name() -> Cow<'static, str> {
        "TargetUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array", "null"],
            "items": {
                "type": ["string", "object"],
                "properties": {
                    "url": { "type": "string" },
                    "weight": { "type": "integer", "minimum": 1, "maximum": 1000 },
                    "priority": { "type": "integer", "minimum": 0, "maximum": 1000 },
                },
            },
        })
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
