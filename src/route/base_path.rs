//! The prefix under which everything is served, for use behind another server.

use percent_encoding::percent_decode;

/// A path of any number of segments with one leading and no trailing slash, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(Box<str>);

impl BasePath {
    /// Normalises what the operator wrote: `byok`, `/byok/` and `//byok` are the same.
    #[must_use]
    pub fn new(written: &str) -> Self {
        let inner = written.trim().trim_matches('/');
        if inner.is_empty() { Self::default() } else { Self(format!("/{inner}").into()) }
    }

    /// The path, or `""`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the prefix off a path, if it is there. It ends at a segment: `/byokX` is not under `/byok`.
    #[must_use]
    pub fn strip<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let rest = match path.strip_prefix(self.0.as_bytes()) {
            Some(rest) => rest,
            None => self.strip_decoded(path)?,
        };
        (rest.is_empty() || rest[0] == b'/').then_some(rest)
    }

    /// The same prefix written with escapes, as clients do for anything but ASCII.
    fn strip_decoded<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        if !path.contains(&b'%') {
            return None;
        }
        let mut rest = path;
        for segment in self.0[1..].split('/') {
            let inner = rest.strip_prefix(b"/")?;
            let end = inner.iter().position(|&byte| byte == b'/').unwrap_or(inner.len());
            if !percent_decode(&inner[..end]).eq(segment.bytes()) {
                return None;
            }
            rest = &inner[end..];
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_it_do_not_matter() {
        for written in ["byok", "/byok", "byok/", "//byok//", " /byok "] {
            assert_eq!(BasePath::new(written).as_str(), "/byok", "{written:?}");
        }
        for written in ["", "/", "//", " "] {
            assert_eq!(BasePath::new(written).as_str(), "", "{written:?}");
        }
        assert_eq!(BasePath::new("api/v1/").as_str(), "/api/v1");
    }

    #[test]
    fn it_ends_at_a_segment() {
        let base = BasePath::new("/byok");
        let strip =
            |path: &'static str| base.strip(path.as_bytes()).map(|rest| std::str::from_utf8(rest).expect("text"));
        assert_eq!(strip("/byok/openai"), Some("/openai"));
        assert_eq!(strip("/byok"), Some(""));
        assert_eq!(strip("/byok//x"), Some("//x"));
        assert_eq!(strip("/%62yok/x%2Fy"), Some("/x%2Fy"));
        for other in ["/byokopenai/v1", "/byokX", "/BYOK/x", "/", "/openai", "//byok/x"] {
            assert_eq!(strip(other), None, "{other}");
        }
        assert_eq!(BasePath::default().strip(b"/x"), None);
    }

    #[test]
    fn it_may_have_many_levels_and_letters() {
        let base = BasePath::new("/接口/v1");
        assert_eq!(base.strip("/接口/v1/x".as_bytes()), Some(&b"/x"[..]));
        assert_eq!(base.strip(b"/%E6%8E%A5%e5%8f%a3/v1/x"), Some(&b"/x"[..]));
        assert_eq!(base.strip(b"/%E6%8E%A5/v1/x"), None);
    }
}
