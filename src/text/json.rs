//! The words of JSON.

/// The types of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`
    Null,
}

impl JsonType {
    pub(super) fn en(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Null => "null",
        }
    }

    pub(super) fn zh(self) -> &'static str {
        match self {
            Self::Object => "对象",
            Self::Array => "数组",
            Self::String => "字符串",
            Self::Integer => "整数",
            Self::Number => "数字",
            Self::Boolean => "true 或 false",
            Self::Null => "null",
        }
    }
}

/// The parser speaks English only; what it says most often is said in Chinese here.
pub(super) fn syntax_in_chinese(why: &str) -> &str {
    const KNOWN: [(&str, &str); 17] = [
        ("EOF while parsing a list", "文件在数组中间结束，可能缺少 ']'"),
        ("EOF while parsing an object", "文件在对象中间结束，可能缺少 '}'"),
        ("EOF while parsing a string", "文件在字符串中间结束，可能缺少引号"),
        ("EOF while parsing a value", "文件在应有值的地方结束"),
        ("expected `:`", "此处应为 ':'"),
        ("expected `,` or `]`", "此处应为 ',' 或 ']'，可能漏了逗号"),
        ("expected `,` or `}`", "此处应为 ',' 或 '}'，可能漏了逗号"),
        ("expected ident", "应为 true、false 或 null"),
        ("expected value", "此处应有一个值"),
        ("invalid escape", "字符串中的转义无效"),
        ("invalid number", "数字无效"),
        ("number out of range", "数字超出范围"),
        ("invalid unicode code point", "无效的 Unicode 字符"),
        ("control character", "字符串中有未转义的控制字符"),
        ("key must be a string", "键必须是带双引号的字符串"),
        ("trailing comma", "多余的逗号"),
        ("trailing characters", "内容结束后还有多余的字符"),
    ];
    KNOWN.iter().find(|(english, _)| why.starts_with(english)).map_or(why, |(_, chinese)| chinese)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_says_is_known_in_chinese() {
        for text in [
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\": 1 \"b\": 2}",
            "[",
            "{",
            "\"",
            "",
            "[tru]",
            "{1: 2}",
            "[1] 2",
            "\"\\x\"",
            "[01]",
            "\"\n\"",
            "[1e999]",
        ] {
            let error = serde_json::from_str::<serde_json::Value>(text).expect_err(text);
            let why = error.to_string();
            assert_ne!(syntax_in_chinese(&why), why, "{text}: {why}");
        }
    }
}
