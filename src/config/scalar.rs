//! Values that are written in more than one way: ports, durations, sizes.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::secret::{MASK, Secret};

/// A text that is not looked at.
#[derive(Debug, Default)]
pub struct IgnoredText;

/// A port, as a number or in digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

/// A span of time as written: seconds, or digits with a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time(pub Duration);

/// A number of bytes as written: a number, or digits with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// The path of a PEM file, or what stands in one: that may be a key, so it is never shown.
#[derive(Debug, Clone)]
pub struct Pem(Secret);

/// A text in which a login or a key may stand. It is not printed, and overwritten when it goes.
pub struct Hidden(Zeroizing<String>);

/// Several texts: a list of them, or one with commas between them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// One text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// The shape of the request log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

/// What becomes of an answer whose client has left.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnClientGone {
    /// Its upstream connection is closed.
    #[default]
    Cancel,
    /// It is read to its end.
    Drain,
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

/// For how long a budget has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// What happens to requests under limits while a shared state is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateFailure {
    /// Each instance counts for itself.
    Open,
    /// They are refused.
    Closed,
}

impl Time {
    /// Reads `300ms`, `10s`, `5m`, `1h` or plain seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number = number.trim();
        if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        Self::from_seconds(number.parse::<f64>().ok()? * factor)
    }

    fn from_seconds(seconds: f64) -> Option<Self> {
        /// A year: what is longer is a mistake, or means no limit.
        const MAX: f64 = 365.0 * 24.0 * 3600.0;
        (0.0..=MAX).contains(&seconds).then(|| Self(Duration::from_secs_f64(seconds)))
    }

    /// The span as a limit: zero is none.
    #[must_use]
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl Size {
    /// Reads `64KiB`, `32MiB`, `1GiB`, `500KB` (thousands) or plain bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return None,
        };
        let number = number.trim();
        let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u64>().ok().filter(|_| is_digits)?.checked_mul(factor).map(Self)
    }
}

impl Deref for Hidden {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl Pem {
    /// The file, if it is one.
    #[must_use]
    pub fn file(&self, directory: &Path) -> Option<PathBuf> {
        let text = String::from_utf8_lossy(self.0.expose());
        (!text.contains("-----BEGIN")).then(|| directory.join(&*text))
    }

    /// Whether it may be told as the path of a file. What is neither PEM nor like a path may be a key that lost its first
    /// line.
    #[must_use]
    pub fn is_like_path(&self) -> bool {
        /// Shorter than any key.
        const SHORT: usize = 40;
        /// Longer than most paths.
        const LONG: usize = 256;

        let text = self.0.expose();
        let may_be = text.len() < SHORT || text.starts_with(b"/") || text.contains(&b'.');
        may_be && text.len() < LONG && !text.iter().any(u8::is_ascii_control)
    }

    /// What stands in it.
    ///
    /// # Errors
    /// Which file cannot be read, and why.
    pub fn read(&self, directory: &Path) -> Result<Vec<u8>, (PathBuf, io::Error)> {
        match self.file(directory) {
            Some(file) => std::fs::read(&file).map_err(|error| (file, error)),
            None => Ok(self.0.expose().to_vec()),
        }
    }
}

/// Reads the members of an object in the order of the text, which is that of the banner and of the headers sent.
pub(super) fn in_order<'de, D, T>(deserializer: D) -> Result<Vec<(String, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Members<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = Vec<(String, T)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(Members(PhantomData))
}

/// A number or a text, as several fields take it.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(serde_json::Number),
    Text(String),
}

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let port = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
            NumberOrText::Text(text) => Self::parse(&text).map(|port| port.0),
        };
        port.map(Self).ok_or_else(|| D::Error::custom("not a port"))
    }
}

impl Port {
    /// Reads a port in digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => number.as_f64().and_then(Self::from_seconds),
            NumberOrText::Text(text) => Self::parse(&text),
        };
        time.ok_or_else(|| D::Error::custom("not a duration"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(number) => number.as_u64().map(Self),
            NumberOrText::Text(text) => Self::parse(&text),
        };
        size.ok_or_else(|| D::Error::custom("not a size"))
    }
}

impl<'de> Deserialize<'de> for Pem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text.into_bytes())))
    }
}

impl Serialize for Pem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

/// Whole seconds as a number, as most people write them.
impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_secs_f64())
        }
    }
}

/// Whole units as a text, as most people write them.
impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Schemas of the types above that are written in more than one way. `format` names the check that the loader makes.
macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(LogFormat, "LogFormat", { "type": "string", "enum": ["pretty", "json"] });
schema!(OnClientGone, "OnClientGone", { "type": "string", "enum": ["cancel", "drain"] });
schema!(Language, "Language", { "type": "string", "enum": ["en", "zh"] });
schema!(Per, "Per", { "type": "string", "enum": ["day", "month"] });
schema!(StateFailure, "StateFailure", { "type": ["string", "null"], "enum": ["open", "closed", null] });
schema!(Texts, "Texts", { "type": ["array", "string", "null"], "items": { "type": "string" } });
schema!(IgnoredText, "Text", { "type": "string" });
schema!(Pem, "Pem", { "type": "string" });
schema!(Port, "Port", { "type": ["integer", "string"], "minimum": 0, "maximum": 65535, "format": "port" });
schema!(Time, "Time", { "type": ["number", "string"], "minimum": 0, "format": "duration" });
schema!(Size, "Size", { "type": ["integer", "string"], "minimum": 0, "format": "size" });

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations() {
        let parse = |text| Time::parse(text).map(|time| time.0);
        assert_eq!(parse("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(parse("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse("1.5 m"), Some(Duration::from_secs(90)));
        assert_eq!(parse("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2"), Some(Duration::from_secs(2)));
        for bad in ["", "s", "-1s", "1d", "1e3", "inf", "nan", "10 seconds", "1.2.3s", "999999999h"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(Time(Duration::ZERO).limit(), None);
    }

    #[test]
    fn sizes() {
        let parse = |text| Size::parse(text).map(|size| size.0);
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("1 GiB"), Some(1 << 30));
        assert_eq!(parse("5kb"), Some(5_000));
        assert_eq!(parse("10"), Some(10));
        for bad in ["", "KiB", "-1", "1.5MiB", "1TiB", "99999999999GiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
