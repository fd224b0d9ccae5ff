//! What must not be shown: a type for it, and masks for text in which it may stand.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use memchr::memmem;
use percent_encoding::percent_decode;
use zeroize::Zeroize;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A key, a password, a configured header value. It cannot be printed, and its memory is zeroed when it goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes over a secret.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A login as `Authorization` and its kin want it, from a `user:password` that is still percent-encoded (RFC 7617).
#[must_use]
pub fn basic(userinfo: &str) -> Secret {
    let decoded: Vec<u8> = percent_decode(userinfo.as_bytes()).collect();
    Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(decoded)).into_bytes())
}

/// A request target fit to be shown: `user:password@` of a URL inside its path and the values of query parameters
/// that carry keys are masked. A target that is a percent-encoded URL is shown decoded, since it may hold both.
#[must_use]
pub fn mask_target(target: &[u8]) -> Cow<'_, [u8]> {
    let (path, query) = split_query(target);
    if is_encoded_url(path) {
        let decoded: Vec<u8> = percent_decode(path).collect();
        let (inner_path, inner_query) = split_query(&decoded);
        let mut shown = mask_userinfo(inner_path).into_owned();
        for query in [inner_query, query].into_iter().flatten() {
            shown.push(b'?');
            shown.extend_from_slice(&mask_query(query));
        }
        return Cow::Owned(shown);
    }
    let shown = mask_userinfo(path);
    match query.map(mask_query) {
        None => shown,
        Some(Cow::Borrowed(_)) if matches!(shown, Cow::Borrowed(_)) => Cow::Borrowed(target),
        Some(query) => Cow::Owned([&shown, &b"?"[..], &query].concat()),
    }
}

/// A query string in which the values of parameters that carry keys are masked.
#[must_use]
pub fn mask_query(query: &[u8]) -> Cow<'_, [u8]> {
    if !parameters(query).any(|(name, value)| value.is_some() && is_sensitive(name)) {
        return Cow::Borrowed(query);
    }
    let mut shown = Vec::with_capacity(query.len());
    for (place, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if place > 0 {
            shown.push(b'&');
        }
        match split_pair(pair) {
            (name, Some(_)) if is_sensitive(name) => {
                shown.extend_from_slice(name);
                shown.push(b'=');
                shown.extend_from_slice(MASK.as_bytes());
            }
            _ => shown.extend_from_slice(pair),
        }
    }
    Cow::Owned(shown)
}

/// A URL, or a path that ends in one, in which `user:password@` is masked.
#[must_use]
pub fn mask_userinfo(url: &[u8]) -> Cow<'_, [u8]> {
    let Some(scheme_end) = memmem::find(url, b":/") else { return Cow::Borrowed(url) };
    let slashes = url[scheme_end + 1..].iter().take_while(|&&byte| byte == b'/').count();
    let start = scheme_end + 1 + slashes;
    let end = url[start..].iter().position(|&byte| byte == b'/').map_or(url.len(), |length| start + length);
    match url[start..end].iter().rposition(|&byte| byte == b'@') {
        Some(at) => Cow::Owned([&url[..start], MASK.as_bytes(), &url[start + at..]].concat()),
        None => Cow::Borrowed(url),
    }
}

/// The pairs of a query string, undecoded; a name without `=` has no value.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(split_pair)
}

/// Whether a query parameter of this name is likely to carry a key. Too much masked does no harm.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    let name: Vec<u8> = percent_decode(name).map(|byte| byte.to_ascii_lowercase()).collect();
    let holds = |part: &str| memmem::find(&name, part.as_bytes()).is_some();
    name.ends_with(b"key")
        || ["token", "secret", "password", "passwd", "signature", "credential", "auth"].into_iter().any(holds)
        || matches!(&name[..], b"sig" | b"pwd" | b"pass")
}

fn is_encoded_url(path: &[u8]) -> bool {
    // `:/`, with one of the two or both encoded.
    [&b"%3a%2f"[..], b"%3a/", b":%2f"]
        .iter()
        .any(|mark| path.windows(mark.len()).any(|window| window.eq_ignore_ascii_case(mark)))
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

fn split_pair(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(target: &str) -> String {
        String::from_utf8(mask_target(target.as_bytes()).into_owned()).expect("text")
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new(b"sk-1".to_vec());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.expose(), b"sk-1");
    }

    #[test]
    fn keys_in_queries_are_masked_and_nothing_else_is() {
        assert_eq!(mask("/v1/models?key=AIza&alt=sse"), "/v1/models?key=***&alt=sse");
        assert_eq!(mask("/?a=1&API_KEY=x&%6bey=y&b"), "/?a=1&API_KEY=***&%6bey=***&b");
        assert_eq!(mask("/?access_token=x&X-Amz-Signature=y&sig=z"), "/?access_token=***&X-Amz-Signature=***&sig=***");
        assert_eq!(mask("/a?b=c&d"), "/a?b=c&d");
        assert_eq!(mask("/a?key"), "/a?key");
        assert_eq!(mask("/a?key="), "/a?key=***");
        assert_eq!(mask("/key=x"), "/key=x");
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        assert_eq!(mask("/proxy/https://u:p@host/x"), "/proxy/https://***@host/x");
        assert_eq!(mask("/proxy/https:/u:p@host"), "/proxy/https:/***@host");
        assert_eq!(mask("/proxy/https://host/a@b"), "/proxy/https://host/a@b");
        assert_eq!(mask("/proxy/https://u:p@v@host/x?key=1"), "/proxy/https://***@host/x?key=***");
    }

    #[test]
    fn encoded_urls_are_shown_decoded_and_masked() {
        assert_eq!(mask("/p/https%3A%2F%2Fu%3Ap%40h%2Fx%3Fkey%3Dabc"), "/p/https://***@h/x?key=***");
        assert_eq!(mask("/p/https%3a//h/x%3Ftoken%3Dabc?key=1"), "/p/https://h/x?token=***?key=***");
    }
}
