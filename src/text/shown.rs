//! Foreign bytes made fit for a terminal and a log.

use std::fmt::{self, Write};

/// Bytes from outside, with whatever could forge a line or move a cursor written as an escape.
pub struct Shown<'a>(&'a [u8]);

/// Makes bytes from outside fit to be shown.
#[must_use]
pub fn shown<T: AsRef<[u8]> + ?Sized>(bytes: &T) -> Shown<'_> {
    Shown(bytes.as_ref())
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                if misleads(letter) {
                    write!(f, "{}", letter.escape_unicode())?;
                } else {
                    f.write_char(letter)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, line separators, and marks that turn the direction of what follows them.
fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cannot_be_forged_and_cursors_cannot_be_moved() {
        assert_eq!(shown("路由 é\t").to_string(), "路由 é\\u{9}");
        assert_eq!(shown("a\r\n\u{1b}[2Jb").to_string(), "a\\u{d}\\u{a}\\u{1b}[2Jb");
        assert_eq!(shown("\u{9b}1m\u{202e}").to_string(), "\\u{9b}1m\\u{202e}");
        assert_eq!(shown(b"a\xff\xc3").to_string(), "a\\xff\\xc3");
    }
}
