//! JSON as people write it: with comments, trailing commas and a byte order mark.
//!
//! What JSON does not have is blanked out, byte for byte, so that every position in what is left is a position in the
//! user's own text; a JSON parser then reads the rest. [`Map`] says afterwards where each value lies.

mod map;

use std::fmt;

pub use map::{Map, Path, Step};

/// A place in a text: both count from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of a byte of a text.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
        // A byte order mark is no column of its own, and the bytes after a character's first are none either.
        let is_start = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
        let marks = usize::from(line_start == 0 && before.starts_with(BYTE_ORDER_MARK));
        Self {
            line: memchr::memchr_iter(b'\n', before).count() + 1,
            column: before[line_start..].iter().filter(is_start).count() + 1 - marks,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Blanks out comments, trailing commas and the byte order mark. The result has the length of the text, and every
/// line end stands where it stood.
///
/// # Errors
/// The offset of a `/*` that is never closed.
pub fn to_json(text: &str) -> Result<String, usize> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.starts_with(BYTE_ORDER_MARK) {
        blank(&mut bytes[..BYTE_ORDER_MARK.len()]);
    }
    let mut at = 0;
    // A comma after which nothing but white space and comments has come so far.
    let mut comma = None;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => {
                at = string_end(&bytes, at);
                comma = None;
                continue;
            }
            (b'/', Some(b'/')) => {
                let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]).map_or(bytes.len(), |length| at + length);
                blank(&mut bytes[at..end]);
                at = end;
                continue;
            }
            (b'/', Some(b'*')) => {
                let length = memchr::memmem::find(&bytes[at + 2..], b"*/").ok_or(at)?;
                let end = at + 2 + length + 2;
                blank(&mut bytes[at..end]);
                at = end;
                continue;
            }
            (b',', _) => comma = Some(at),
            (b'}' | b']', _) => {
                if let Some(comma) = comma.take() {
                    // `[,]` and `{,}` stay wrong: a trailing comma trails a value.
                    if follows_value(&bytes[..comma]) {
                        bytes[comma] = b' ';
                    }
                }
            }
            (byte, _) if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    Ok(String::from_utf8(bytes).expect("only whole characters are blanked out"))
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

fn follows_value(before: &[u8]) -> bool {
    before
        .iter()
        .rev()
        .find(|byte| !byte.is_ascii_whitespace())
        .is_some_and(|byte| !matches!(byte, b'{' | b'[' | b',' | b':'))
}

/// The offset behind a string that begins at `start`, or the end of the text.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Option<Value> {
        let json = to_json(text).ok()?;
        assert_eq!(json.len(), text.len());
        serde_json::from_str(&json).ok()
    }

    #[test]
    fn what_json_lacks_is_accepted() {
        assert_eq!(
            read("\u{feff}{\"a\": 1, // one\r\n /* two\n */ \"b\": [1, 2,],}"),
            Some(json!({"a": 1, "b": [1, 2]}))
        );
        assert_eq!(read("{} // the end"), Some(json!({})));
        assert_eq!(read("[1,/**/]"), Some(json!([1])));
        assert_eq!(read("[[1],]"), Some(json!([[1]])));
    }

    #[test]
    fn strings_hold_no_comments() {
        let text = r#"{"url": "https://h//x", "a": "/* no */", "b": "q\"//", "c": ",]", "d": "\\"}"#;
        assert_eq!(to_json(text).as_deref(), Ok(text));
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for text in [
            "{\"a\": 1 \"b\": 2}",
            "[,]",
            "{,}",
            "[1,,]",
            "[1,,2]",
            "{\"a\":,}",
            "[1, /",
            "[1] // x\n ]",
            "[1]]",
            "{\"a\" 1}",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(to_json("[1] /* never closed"), Err(4));
    }

    #[test]
    fn positions_are_those_of_the_users_text() {
        let text = "{\n  // 注释\n  \"名\": \"值\", \"b\": 2\n}";
        let offset = text.find('2').expect("there");
        assert_eq!(Position::of(text, offset), Position { line: 3, column: 18 });
        assert_eq!(Position::of("\u{feff}{}", 3), Position { line: 1, column: 1 });
        assert_eq!(Position::of("", 0), Position { line: 1, column: 1 });
    }
}
