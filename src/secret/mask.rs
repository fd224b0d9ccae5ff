//! Masks for text in which a secret may stand: targets, URLs, queries, and what people put into the wrong place.
//!
//! What is shown is decided by what somebody down the way could read: percent-encoding is taken off, several times if
//! need be, before a text counts as harmless. Too much masked does no harm.

use std::borrow::Cow;

use memchr::memmem;
use percent_encoding::percent_decode;

use super::MASK;

/// How often percent-encoding is taken off. What is encoded more often than that is nothing that people write.
const LAYERS: usize = 4;

/// A request target fit to be shown: `user:password@` of every URL inside it and the values of query parameters that
/// carry keys are masked. A path with an encoded URL or secret in it is shown decoded.
#[must_use]
pub fn mask_target(target: &[u8]) -> Cow<'_, [u8]> {
    let (path, query) = split_query(target);
    match (mask_path(path), query.map(mask_query)) {
        (shown, None) => shown,
        (Cow::Borrowed(_), Some(Cow::Borrowed(_))) => Cow::Borrowed(target),
        (shown, Some(query)) => Cow::Owned([&shown, &b"?"[..], &query].concat()),
    }
}

/// The path of a target without its query, fit to be shown.
#[must_use]
pub fn mask_path(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(plain) = decoded(path) else { return Cow::Borrowed(MASK.as_bytes()) };
    let (inner, query) = split_query(&plain);
    let masked = (mask_userinfo(inner), query.map(mask_query));
    if let (Cow::Borrowed(_), None | Some(Cow::Borrowed(_))) = masked
        && !is_encoded_url(path)
    {
        return Cow::Borrowed(path);
    }
    let (mut shown, query) = (masked.0.into_owned(), masked.1);
    if let Some(query) = query {
        shown.push(b'?');
        shown.extend_from_slice(&query);
    }
    Cow::Owned(shown)
}

/// A query string in which the values of parameters that carry keys are masked.
#[must_use]
pub fn mask_query(query: &[u8]) -> Cow<'_, [u8]> {
    if !parameters(query).any(|(name, value)| is_secret(name, value)) {
        return Cow::Borrowed(query);
    }
    let mut shown = Vec::with_capacity(query.len());
    for (place, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if place > 0 {
            shown.push(b'&');
        }
        match split_pair(pair) {
            (name, value) if !is_secret(name, value) => shown.extend_from_slice(pair),
            (name, Some(_)) if !holds_secret(name) => {
                shown.extend_from_slice(name);
                shown.push(b'=');
                shown.extend_from_slice(MASK.as_bytes());
            }
            _ => shown.extend_from_slice(MASK.as_bytes()),
        }
    }
    Cow::Owned(shown)
}

/// A URL, or a path in which URLs stand, in which every `user:password@` is masked, also where the password makes the URL
/// one that nobody accepts.
#[must_use]
pub fn mask_userinfo(url: &[u8]) -> Cow<'_, [u8]> {
    let mut shown = Vec::new();
    // Up to where it has been copied, where the segment begins, and whether that is where a URL has its host.
    let (mut copied, mut start, mut is_authority) = (0, 0, false);
    for end in memchr::memchr2_iter(b'/', b'\\', url).chain([url.len()]) {
        let segment = &url[start..end];
        let userinfo = match memchr::memrchr(b'@', segment) {
            Some(at) if is_authority || segment[..at].contains(&b':') => Some(start + at),
            // A password with a slash in it, or one that lost its host.
            None if is_authority && !has_good_port(segment) => {
                Some(memchr::memrchr(b'@', &url[end..]).map_or(end, |at| end + at))
            }
            _ => None,
        };
        if let Some(at) = userinfo.filter(|_| start >= copied) {
            shown.extend_from_slice(&url[copied..start]);
            shown.extend_from_slice(MASK.as_bytes());
            copied = at;
        }
        // Slashes may have been merged on the way, or doubled.
        is_authority = segment.ends_with(b":") || (is_authority && segment.is_empty());
        start = end + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(url);
    }
    shown.extend_from_slice(&url[copied..]);
    Cow::Owned(shown)
}

/// What somebody wrote where a name should stand, up to where no name goes on: a key may follow.
#[must_use]
pub fn mask_after_name(text: &str) -> Cow<'_, str> {
    match text.find([':', '=']) {
        Some(at) if at + 1 < text.len() => Cow::Owned(format!("{}{MASK}", &text[..=at])),
        _ => Cow::Borrowed(text),
    }
}

/// The pairs of a query string, undecoded; a name without `=` has no value.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(split_pair)
}

/// Whether a query parameter is not to be shown: its name says that it carries a key, or such a parameter or a login
/// stands inside it, as in a URL that is handed over.
#[must_use]
pub fn is_secret(name: &[u8], value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| is_sensitive(name) || holds_secret(value)) || holds_secret(name)
}

/// Whether a query parameter or a header of this name is likely to carry a key.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    let Some(name) = decoded(name) else { return true };
    let name = name.to_ascii_lowercase();
    // `key[]` and `key[0]` are lists to many.
    let name = name.split(|&byte| byte == b'[').next().unwrap_or_default();
    let name = name.trim_ascii().trim_suffix_of(|byte| !byte.is_ascii_alphanumeric());
    let holds = |part: &&str| memmem::find(name, part.as_bytes()).is_some();
    name.ends_with(b"key")
        || name.ends_with(b"keys")
        || [
            "token",
            "secret",
            "password",
            "passwd",
            "passphrase",
            "signature",
            "credential",
            "auth",
            "bearer",
            "cookie",
        ]
        .iter()
        .any(holds)
        || matches!(name, b"sig" | b"pwd" | b"pass" | b"pw" | b"code" | b"jwt" | b"sas" | b"session")
}

/// Whether a header of this name carries what a client proves itself with, as far as names tell: see [`is_sensitive`].
/// This is what stays behind where a request goes to another origin than the client knows of.
#[must_use]
pub fn is_credential(name: &[u8]) -> bool {
    // It is chosen at random for each handshake, and proves nothing.
    !name.eq_ignore_ascii_case(b"sec-websocket-key") && is_sensitive(name)
}

/// A query string without the parameters that carry keys.
#[must_use]
pub fn without_credentials(query: &[u8]) -> Cow<'_, [u8]> {
    if !parameters(query).any(|(name, value)| is_secret(name, value)) {
        return Cow::Borrowed(query);
    }
    let harmless = query.split(|&byte| byte == b'&').filter(|pair| {
        let (name, value) = split_pair(pair);
        !is_secret(name, value)
    });
    Cow::Owned(harmless.collect::<Vec<_>>().join(&b'&'))
}

/// Whether something inside a text is a login or a parameter that carries a key.
fn holds_secret(text: &[u8]) -> bool {
    let Some(plain) = decoded(text) else { return true };
    let mut pieces = plain.split(|byte| b"&;?#,{}".contains(byte));
    matches!(mask_userinfo(&plain), Cow::Owned(_))
        || pieces.any(|piece| {
            let mut parts = piece.splitn(2, |byte| matches!(byte, b'=' | b':'));
            let name = parts.next().unwrap_or_default().trim_ascii();
            let name = name.trim_suffix_of(|byte| byte == b'"').trim_ascii();
            parts.next().is_some_and(|value| !value.is_empty()) && is_sensitive(name)
        })
}

/// A text without its percent-encoding. `None`: it is encoded so often that nobody knows what stands in it.
fn decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut plain = Cow::Borrowed(text);
    for _ in 0..=LAYERS {
        match Cow::from(percent_decode(&plain)) {
            Cow::Borrowed(_) => return Some(plain),
            Cow::Owned(decoded) => plain = Cow::Owned(decoded),
        }
    }
    None
}

/// Whether `host[:port]` is what it should be, as far as the port goes.
fn has_good_port(authority: &[u8]) -> bool {
    let port = authority.split(|&byte| byte == b']').next_back().unwrap_or_default();
    let port = memchr::memchr(b':', port).map_or(&[][..], |colon| &port[colon + 1..]);
    port.iter().all(u8::is_ascii_digit)
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

trait Trim {
    /// Without the bytes at its end that are such.
    fn trim_suffix_of(&self, is_such: impl Fn(u8) -> bool) -> &Self;
}

impl Trim for [u8] {
    fn trim_suffix_of(&self, is_such: impl Fn(u8) -> bool) -> &Self {
        let length = self.iter().rposition(|&byte| !is_such(byte)).map_or(0, |last| last + 1);
        &self[..length]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask(target: &str) -> String {
        String::from_utf8(mask_target(target.as_bytes()).into_owned()).expect("text")
    }

    #[test]
    fn keys_in_queries_are_masked_and_nothing_else_is() {
        assert_eq!(mask("/v1/models?key=AIza&alt=sse"), "/v1/models?key=***&alt=sse");
        assert_eq!(mask("/?a=1&API_KEY=x&%6bey=y&b"), "/?a=1&API_KEY=***&%6bey=***&b");
        assert_eq!(mask("/?access_token=x&X-Amz-Signature=y&sig=z"), "/?access_token=***&X-Amz-Signature=***&sig=***");
        assert_eq!(mask("/?key[]=x&%256bey=y&api_key%20=z&code=w"), "/?key[]=***&%256bey=***&api_key%20=***&code=***");
        for harmless in ["/a?b=c&d", "/a?key", "/key=x", "/a%20b/c%2Fd?e=f%26g", "/a?stream=true&model=a:b"] {
            assert_eq!(mask(harmless), harmless);
        }
        assert_eq!(mask("/a?key="), "/a?key=***");
    }

    #[test]
    fn keys_inside_of_values_are_masked() {
        for (query, shown) in [
            ("url=https://h/?key=x", "url=***"),
            ("url=https%3A%2F%2Fh%2F%3Fkey%3Dx&a=1", "url=***&a=1"),
            ("url=https%253A%252F%252Fu%253Ax%2540h", "url=***"),
            ("url=//u:x@h/", "url=***"),
            ("a=1;key=x", "a=***"),
            ("a=1#access_token=x", "a=***"),
            ("body={\"api_key\":\"x\"}", "body=***"),
            ("body=%7B%22api_key%22%20:%20%22x%22%7D", "body=***"),
            ("https://u:x@h/", "***"),
            ("https://u:x@h/a=b", "***"),
        ] {
            assert_eq!(mask(&format!("/a?{query}")), format!("/a?{shown}"));
        }
    }

    #[test]
    fn passwords_in_urls_are_masked() {
        for (path, shown) in [
            ("/proxy/https://u:x@host/x", "/proxy/https://***@host/x"),
            ("/proxy/https://u@host/x", "/proxy/https://***@host/x"),
            ("/proxy/https:/u:x@host", "/proxy/https:/***@host"),
            ("/proxy/https:u:x@host", "/proxy/***@host"),
            ("/proxy/u:x@host/y", "/proxy/***@host/y"),
            ("/proxy/https:\\\\u:x@host", "/proxy/https:\\\\***@host"),
            ("/proxy/https://u:x@v@host/x?key=1", "/proxy/https://***@host/x?key=***"),
            ("/proxy/https://h/to/https://u:x@host/x", "/proxy/https://h/to/https://***@host/x"),
            ("/proxy/https://a:x@h/to/https://b:x@i", "/proxy/https://***@h/to/https://***@i"),
            ("/proxy/https://u:x/y@host/z", "/proxy/https://***@host/z"),
            ("/proxy/https://u:x", "/proxy/https://***"),
            ("/proxy/https://u:x%40host/z", "/proxy/https://***@host/z"),
            ("/proxy/https://u%3Ax%40host/z", "/proxy/https://***@host/z"),
        ] {
            assert_eq!(mask(path), shown);
        }
        for harmless in [
            "/proxy/https://host/a@b",
            "/proxy/https://host:8443/a@b",
            "/proxy/https://[::1]:80/a@b",
            "/models/text-bison@001:predict",
            "/a/@scope/b",
            "/v1/files/a%20b",
        ] {
            assert_eq!(mask(harmless), harmless);
        }
    }

    #[test]
    fn encoded_urls_are_shown_decoded_and_masked() {
        assert_eq!(mask("/p/https%3A%2F%2Fu%3Ap%40h%2Fx%3Fkey%3Dabc"), "/p/https://***@h/x?key=***");
        assert_eq!(mask("/p/https%3a//h/x%3Ftoken%3Dabc?key=1"), "/p/https://h/x?token=***?key=***");
        assert_eq!(mask("/p/https%253A%252F%252Fu%253Ap%2540h"), "/p/https://***@h");
        assert_eq!(mask(&format!("/p/https:%2{}fu:p@h", "5".repeat(10))), "/p/***@h");
        assert_eq!(mask(&format!("/p/u:p%{}40h", "25".repeat(10))), "***");
    }

    #[test]
    fn what_follows_a_name_is_masked() {
        assert_eq!(mask_after_name("Authorization: Bearer sk-1"), "Authorization:***");
        assert_eq!(mask_after_name("x-api-key=sk-1"), "x-api-key=***");
        assert_eq!(mask_after_name("X y:"), "X y:");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Wherever a login stands in a target, and however often it is encoded, its password is not shown.
        #[test]
        fn no_login_is_shown(before in "(/[a-z]{1,3}){0,2}", scheme in "(https?:/{1,2}|)", after in "(/[a-z]{0,3}){0,2}", query in "(|\\?a=b)", layers in 0_usize..4) {
            let mut login = format!("{scheme}user:pa55word@host");
            for _ in 0..layers {
                login = percent_encoding::utf8_percent_encode(&login, percent_encoding::NON_ALPHANUMERIC).to_string();
            }
            let shown = mask(&format!("{before}/{login}{after}{query}"));
            prop_assert!(!shown.contains("pa55word"), "{}", shown);
            let shown = mask(&format!("{before}{after}?a={login}&b=c"));
            prop_assert!(!shown.contains("pa55word"), "{}", shown);
        }

        /// No bytes make it panic, and what is shown has no secret left.
        #[test]
        fn masks_are_final(target in "[a-z:/@%?&=0-9\\\\;\\[\\]]{0,60}") {
            // Decoded, it need not be text.
            let once = mask_target(target.as_bytes());
            prop_assert_eq!(&mask_target(&once), &once);
        }
    }
}
