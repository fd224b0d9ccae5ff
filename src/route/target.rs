//! Targets that the operator fixed: a base URL, to which the rest of the path is added byte by byte.

use std::sync::Arc;

use super::path;
use crate::error::Error;
use crate::origin::{Authority, BadAuthority, Origin, Scheme};
use crate::secret::Secret;
use crate::stock;

/// A compiled `target_url`.
#[derive(Debug, Clone)]
pub struct Fixed {
    origin: Origin,
    host: Arc<[u8]>,
    prefix: Box<[u8]>,
    /// A key may stand in it.
    query: Option<Secret>,
}

/// Where one request goes.
#[derive(Debug)]
pub struct Forward {
    /// Path and query, as they are sent.
    pub target: Vec<u8>,
    /// What stands in `Host`.
    pub host: Arc<[u8]>,
    /// Where the connection leads, if that is not the same for every request of the route.
    pub origin: Option<Origin>,
    /// What stands in `Authorization`, if the client wrote it into the URL.
    pub authorization: Option<Secret>,
}

/// Why a `target_url` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadUrl {
    /// It does not begin with `http://` or `https://`.
    NoScheme,
    /// It has a scheme that cannot be asked.
    OtherScheme,
    /// White space or a control character stands in it.
    BadByte,
    /// Host or port are wrong.
    Authority(BadAuthority),
}

impl Fixed {
    /// Reads a `target_url`, and gives the `user:password` that stood in it.
    ///
    /// # Errors
    /// Why it is no base URL.
    pub fn parse(url: &str) -> Result<(Self, Option<&str>), BadUrl> {
        let url = url.trim();
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'\\') {
            return Err(BadUrl::BadByte);
        }
        let (scheme, rest) = url.split_once("://").ok_or(BadUrl::NoScheme)?;
        let scheme = Scheme::parse(scheme.as_bytes()).ok_or(BadUrl::OtherScheme)?;
        // A fragment is for browsers; it is never sent.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query).filter(|query| !query.is_empty())),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (origin, Authority { userinfo, host_and_port }) =
            Origin::parse(scheme, authority.as_bytes()).map_err(BadUrl::Authority)?;
        let fixed = Self {
            origin,
            host: host_and_port.as_bytes().into(),
            prefix: escape(path.trim_end_matches('/')),
            query: query.map(|query| Secret::new(escape(query))),
        };
        Ok((fixed, userinfo))
    }

    /// Where connections lead.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Adds the rest of a request's path and its query.
    ///
    /// # Errors
    /// [`crate::error::Kind::BadPath`], if the path could leave the prefix.
    pub fn forward(&self, rest: &[u8], query: Option<&[u8]>) -> Result<Forward, Error> {
        path::check(rest)?;
        let rest = if rest == b"/" { b"" } else { rest };
        let mut target = stock::take_bytes();
        target.extend_from_slice(&self.prefix);
        target.extend_from_slice(rest);
        if target.is_empty() {
            target.push(b'/');
        }
        match (&self.query, query) {
            (None, None) => {}
            (None, Some(query)) => {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            (Some(own), query) => {
                target.push(b'?');
                target.extend_from_slice(own.expose());
                if let Some(query) = query.filter(|query| !query.is_empty()) {
                    target.push(b'&');
                    target.extend_from_slice(query);
                }
            }
        }
        Ok(Forward { target, host: Arc::clone(&self.host), origin: None, authorization: None })
    }
}

/// Bytes above ASCII are escaped, as every client would have done with this URL.
fn escape(text: &str) -> Box<[u8]> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(url: &str, rest: &str, query: Option<&str>) -> String {
        let (fixed, _) = Fixed::parse(url).expect(url);
        let forward = fixed.forward(rest.as_bytes(), query.map(str::as_bytes)).expect("a good path");
        format!("{} {}", String::from_utf8_lossy(&forward.host), String::from_utf8_lossy(&forward.target))
    }

    #[test]
    fn the_rest_of_the_path_is_added_as_it_came() {
        assert_eq!(forward("https://h", "/v1/a%2Fb%e4:c", Some("a=1&a=2&flag&x=")), "h /v1/a%2Fb%e4:c?a=1&a=2&flag&x=");
        assert_eq!(forward("http://h:81/base/", "/v1//x/", None), "h:81 /base/v1//x/");
        assert_eq!(forward("http://h/base", "//x", Some("")), "h /base//x?");
        assert_eq!(forward("http://h", "", None), "h /");
        assert_eq!(forward("http://h/", "/", None), "h /");
        assert_eq!(forward("http://h/base/", "/", Some("a=?b")), "h /base?a=?b");
        assert_eq!(forward("http://h/基", "/x", None), "h /%E5%9F%BA/x");
        assert_eq!(forward("HTTP://H#frag", "/x", None), "H /x");
    }

    #[test]
    fn a_query_of_the_target_stays_a_query() {
        assert_eq!(forward("http://h/base?api-version=1", "/sub", Some("x=2")), "h /base/sub?api-version=1&x=2");
        assert_eq!(forward("http://h/base?v=1", "", None), "h /base?v=1");
        assert_eq!(forward("http://h?v=1", "/x", Some("")), "h /x?v=1");
    }

    #[test]
    fn bad_urls_are_told_apart() {
        let parse = |url| Fixed::parse(url).map(|_| ());
        assert_eq!(parse("api.openai.com"), Err(BadUrl::NoScheme));
        assert_eq!(parse("//h"), Err(BadUrl::NoScheme));
        assert_eq!(parse("ftp://h"), Err(BadUrl::OtherScheme));
        assert_eq!(parse("http://h\r\nx"), Err(BadUrl::BadByte));
        assert_eq!(parse("http://h/a b"), Err(BadUrl::BadByte));
        assert_eq!(parse("http://"), Err(BadUrl::Authority(BadAuthority::NoHost)));
        assert_eq!(parse("http://h:99999"), Err(BadUrl::Authority(BadAuthority::BadPort)));
    }

    #[test]
    fn a_password_is_apart_from_the_host() {
        let (fixed, userinfo) = Fixed::parse("https://u:p@h/x").expect("valid");
        assert_eq!((userinfo, &fixed.host[..]), (Some("u:p"), &b"h"[..]));
    }

    #[test]
    fn paths_do_not_leave_the_prefix() {
        let (fixed, _) = Fixed::parse("http://h/base").expect("valid");
        assert!(fixed.forward(b"/../admin", None).is_err());
        assert!(fixed.forward(b"/x", Some(b"/../..%2f%zz")).is_ok());
    }
}
