//! Targets that the client names: `/{key}/{http or https}://{host}/{path}`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Forward;
use crate::error::{Error, Kind};
use crate::h1::token;
use crate::origin::{Origin, Scheme};
use crate::secret::{self, basic};

/// Reads the target out of what follows the key of a universal route.
///
/// One slash after the scheme is as good as two, since servers in front merge them. A target whose scheme is not
/// followed by plain `:/` was percent-encoded as a whole and is decoded once; any other passes byte by byte.
///
/// # Errors
/// [`Kind::BadTargetUrl`].
pub fn universal(key: &str, rest: &[u8], query: Option<&[u8]>) -> Result<Forward, Error> {
    let written = rest.strip_prefix(b"/").unwrap_or_default();
    let bad = || Error::with_answer(Kind::BadTargetUrl, explain(key, written));
    let url = decode_if_encoded(written);
    let (inner, inner_query) = match memchr::memchr(b'?', &url) {
        Some(at) => (&url[..at], Some(&url[at + 1..])),
        None => (&url[..], None),
    };
    let (scheme, after_scheme) = split_scheme(inner).ok_or_else(bad)?;
    let end = after_scheme.iter().position(|&byte| byte == b'/').unwrap_or(after_scheme.len());
    let (authority, path) = after_scheme.split_at(end);
    let (origin, authority) = Origin::parse(scheme, authority).map_err(|_| bad())?;
    let mut target = Vec::with_capacity(path.len() + 64);
    target.extend_from_slice(if path.is_empty() { b"/" } else { path });
    for (place, query) in [inner_query, query].into_iter().flatten().enumerate() {
        target.push(if place == 0 { b'?' } else { b'&' });
        target.extend_from_slice(query);
    }
    if !token::is_target(&target) {
        return Err(bad());
    }
    let host = authority.host_and_port.as_bytes().into();
    Ok(Forward { target, host, origin: Some(origin), authorization: authority.userinfo.map(basic) })
}

fn decode_if_encoded(written: &[u8]) -> Cow<'_, [u8]> {
    let plain = [&b"http:/"[..], b"https:/"];
    let is_plain = |start: &&[u8]| written.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    if plain.iter().any(is_plain) { Cow::Borrowed(written) } else { percent_decode(written).into() }
}

/// Takes `scheme:/`, with any number of slashes, off a URL.
fn split_scheme(url: &[u8]) -> Option<(Scheme, &[u8])> {
    let colon = memchr::memchr(b':', url)?;
    let scheme = Scheme::parse(&url[..colon])?;
    let after = &url[colon + 1..];
    let slashes = after.iter().take_while(|&&byte| byte == b'/').count();
    (1..=2).contains(&slashes).then(|| (scheme, &after[slashes..]))
}

fn explain(key: &str, written: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&secret::mask_target(written)).into_owned();
    format!("Invalid target URL format: '{shown}'. Use /{key}/https://host/path.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(rest: &str, query: Option<&str>) -> Option<String> {
        let forward = universal("proxy", rest.as_bytes(), query.map(str::as_bytes)).ok()?;
        let origin = forward.origin.expect("universal targets have one");
        Some(format!(
            "{origin} {} {}",
            String::from_utf8_lossy(&forward.host),
            String::from_utf8_lossy(&forward.target)
        ))
    }

    #[test]
    fn targets_pass_as_they_came() {
        assert_eq!(
            forward("/https://h/v1/a%2Fb//c", Some("a=1&a=2")).as_deref(),
            Some("https://h:443 h /v1/a%2Fb//c?a=1&a=2")
        );
        assert_eq!(forward("/http://h:81", None).as_deref(), Some("http://h:81 h:81 /"));
        assert_eq!(forward("/http:/h/x", None).as_deref(), Some("http://h:80 h /x"));
        assert_eq!(forward("/HTTPS://H/x/../y", None).as_deref(), Some("https://h:443 H /x/../y"));
        assert_eq!(forward("/https://h", Some("x")).as_deref(), Some("https://h:443 h /?x"));
        assert_eq!(forward("/http://[::1]:8/x", None).as_deref(), Some("http://[::1]:8 [::1]:8 /x"));
    }

    #[test]
    fn encoded_targets_are_decoded_once() {
        assert_eq!(forward("/http%3A%2F%2Fh%2Fx%2520y", None).as_deref(), Some("http://h:80 h /x%20y"));
        assert_eq!(forward("/http%3a//h/x", None).as_deref(), Some("http://h:80 h /x"));
        assert_eq!(forward("/https:%2F%2Fh%2Fx", None).as_deref(), Some("https://h:443 h /x"));
        assert_eq!(forward("/http%3A%2F%2Fh%2Fx%3Fa%3D1", Some("b=2")).as_deref(), Some("http://h:80 h /x?a=1&b=2"));
    }

    #[test]
    fn userinfo_never_shows_in_the_host() {
        let forward = universal("p", b"/https://u:p%40@h/x", None).expect("valid");
        assert_eq!(
            (&forward.host[..], forward.authorization.expect("there").expose()),
            (&b"h"[..], &b"Basic dTpwQA=="[..])
        );
    }

    #[test]
    fn what_is_no_url_is_refused_with_help() {
        for rest in [
            "",
            "/",
            "/h/x",
            "/ftp://h/x",
            "/https:h/x",
            "/https:///h",
            "/https://",
            "/https://:80/",
            "/https://h:0/",
            "/https://h:x/",
            "/https://good.com@evil.com/",
            "/https://a\\@b/",
            "/https://a%2eb/",
            "/https://h%0d%0a/",
            "/http%3A%2F%2Fh%2F%0d%0ax",
            "/http%3A%2F%2Fh%2Fa%20b",
            "/file:///etc/passwd",
            "/javascript:alert(1)",
            "/https://ä/",
        ] {
            assert_eq!(forward(rest, None), None, "{rest}");
        }
        let error = universal("proxy", b"", None).expect_err("nothing");
        assert_eq!(error.answer(), "Invalid target URL format: ''. Use /proxy/https://host/path.");
        let error = universal("p", b"/ftp://u:secret@h/x", None).expect_err("no such scheme");
        assert!(!error.answer().contains("secret"), "{}", error.answer());
    }
}
