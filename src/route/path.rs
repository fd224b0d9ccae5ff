//! Paths that could leave their prefix.

use crate::error::{Error, Kind};

/// Refuses a path that some server could read as one outside the target's prefix: `.` and `..` segments in any
/// disguise (`%2e`, `%2f`, `%5c`, `\`, `;`), NUL, CR, LF, broken escapes. It decides, and changes nothing.
///
/// # Errors
/// [`Kind::BadPath`].
pub(super) fn check(path: &[u8]) -> Result<(), Error> {
    // Without any of these there is nothing to find: one pass that takes many bytes at a time.
    let is_notable = |byte: u8| (byte == b'.') | (byte == b'%') | (byte <= b'\r');
    if !path.iter().fold(false, |notable, &byte| notable | is_notable(byte)) {
        return Ok(());
    }
    let mut dots = Some(0_u8);
    let mut rest = path;
    while let Some((byte, after)) = next(rest)? {
        rest = after;
        match byte {
            b'/' | b'\\' => {
                end_segment(dots)?;
                dots = Some(0);
            }
            // What follows is a parameter of the segment (RFC 3986 section 3.3); some servers cut it off.
            b';' => end_segment(dots)?,
            b'.' => dots = dots.map(|dots| dots.saturating_add(1)),
            b'\0' | b'\r' | b'\n' => return Err(Error::new(Kind::BadPath)),
            _ => dots = None,
        }
    }
    end_segment(dots)
}

/// The first byte, decoded once, and what comes after it.
fn next(rest: &[u8]) -> Result<Option<(u8, &[u8])>, Error> {
    match rest {
        [] => Ok(None),
        [b'%', high, low, after @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok(Some((high << 4 | low, after))),
            _ => Err(Error::new(Kind::BadPath)),
        },
        [b'%', ..] => Err(Error::new(Kind::BadPath)),
        [byte, after @ ..] => Ok(Some((*byte, after))),
    }
}

fn end_segment(dots: Option<u8>) -> Result<(), Error> {
    match dots {
        Some(1 | 2) => Err(Error::new(Kind::BadPath)),
        _ => Ok(()),
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "",
            "/",
            "/v1/models",
            "/a/...",
            "/.hidden",
            "/a..b",
            "/a.",
            "/a%2Fb",
            "/%2527",
            "/%252e%252e/x",
            "//a//",
            "/models/gemini:generate",
            "/é",
            "/a\\b",
            "/a;b=c",
            "/%e4",
            "/a%5Cb",
            "/..a",
            "/.a/..b/c..",
        ] {
            assert!(check(path.as_bytes()).is_ok(), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_refused_in_any_disguise() {
        for path in [
            "/..",
            "/.",
            "/../x",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/..%2fx",
            "/..%2Fx",
            "/a%2f..%2fb",
            "/..\\x",
            "/a\\..\\b",
            "/..%5cx",
            "/a%5C%2e%2e",
            "/..;/x",
            "/..;a=b/x",
            "/.;x",
            "/%2e%2e%3b/x",
        ] {
            assert!(check(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn escapes_decode_in_one_way() {
        for path in ["/%", "/%2", "/%zz", "/a%2", "/%00", "/%0d", "/%0A", "/100%/x"] {
            assert!(check(path.as_bytes()).is_err(), "{path}");
        }
    }
}
