//! Heads, from one version to the other (RFC 9113 section 8).

use std::io;

use ::h2::ext::Protocol;
use base64::Engine;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, request, response,
};

use super::unfit;
use crate::h1::{Fields, Known, RequestHead, ResponseHead, encode, token};
use crate::origin::Scheme;

/// A request of HTTP/2 as the head of one of HTTP/1.1. It is not judged here: whoever reads it does that.
#[must_use]
pub fn request_to_h1(parts: &request::Parts, has_body: bool) -> Vec<u8> {
    let upgrade = parts.extensions.get::<Protocol>();
    let authority = parts.uri.authority().map_or("", Authority::as_str);
    let mut out = Vec::with_capacity(512);
    // Extended CONNECT (RFC 8441) is what HTTP/2 has in the place of an upgrade.
    let method = if upgrade.is_some() { Method::GET.as_str() } else { parts.method.as_str() };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    match parts.uri.path_and_query() {
        Some(path) if parts.method != Method::CONNECT || upgrade.is_some() => {
            out.extend_from_slice(path.as_str().as_bytes());
        }
        _ => out.extend_from_slice(authority.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let hosts = || parts.headers.get_all(HOST).iter();
    if !authority.is_empty() {
        encode::field("Host", authority.as_bytes(), &mut out);
        // A `host` that says something else makes two of them, and two are refused.
        for other in hosts().filter(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
            encode::field("Host", other.as_bytes(), &mut out);
        }
    } else {
        hosts().for_each(|host| encode::field("Host", host.as_bytes(), &mut out));
    }
    // What comes behind a CONNECT is no content, whatever length it is said to have (RFC 9110 section 9.3.6).
    let passes =
        |name: &HeaderName| *name != HOST && *name != COOKIE && !(upgrade.is_some() && *name == CONTENT_LENGTH);
    for (name, value) in parts.headers.iter().filter(|(name, _)| passes(name)) {
        encode::field(name.as_str(), value.as_bytes(), &mut out);
    }
    cookies(&parts.headers, &mut out);
    if let Some(protocol) = upgrade {
        encode::field("Connection", b"Upgrade", &mut out);
        encode::field("Upgrade", protocol.as_str().as_bytes(), &mut out);
        if protocol.as_str().eq_ignore_ascii_case("websocket") {
            encode::field("Sec-WebSocket-Key", websocket_key().as_bytes(), &mut out);
        }
    } else if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
        encode::field("Transfer-Encoding", b"chunked", &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Whether the other protocol that a request asks for, if it does, is named as a field may name it. It is the one part
/// of a request that `h2` takes as it comes, and a line end in it would begin another field, or another request.
#[must_use]
pub fn has_good_protocol(extensions: &Extensions) -> bool {
    let is_name = |protocol: &Protocol| {
        let mut parts = protocol.as_str().splitn(2, '/');
        parts.all(|part| token::is_token(part.as_bytes()))
    };
    extensions.get().is_none_or(is_name)
}

/// In HTTP/2 a cookie may come in pieces, which are put together for everybody else (RFC 9113 section 8.2.3).
fn cookies(headers: &HeaderMap, out: &mut Vec<u8>) {
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !pieces.is_empty() {
        encode::field("cookie", &pieces.join(&b"; "[..]), out);
    }
}

/// Only HTTP/1.1 has this field: it proves that the answer is to this handshake (RFC 6455 section 4.1).
fn websocket_key() -> String {
    use std::hash::{BuildHasher, RandomState};

    let halves = [0, 1].map(|half: u8| RandomState::new().hash_one(half).to_ne_bytes());
    base64::engine::general_purpose::STANDARD.encode(halves.concat())
}

/// The head of an HTTP/1.1 request as a request of HTTP/2. It has been judged; what cannot be said in HTTP/2 is a
/// target with bytes that RFC 3986 does not have and the `http` crate does not take.
///
/// # Errors
/// It cannot be said in HTTP/2.
pub fn request_from_h1(head: &RequestHead, scheme: Scheme) -> io::Result<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method()).map_err(|_| unfit("the method"))?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(match scheme {
        Scheme::Http => UriScheme::HTTP,
        Scheme::Https => UriScheme::HTTPS,
    });
    let host = head.fields.of(Known::Host).next().unwrap_or_default();
    uri.authority = Some(Authority::try_from(host).map_err(|_| unfit("the host cannot be said in HTTP/2"))?);
    let target = Bytes::copy_from_slice(head.raw_target());
    let path = PathAndQuery::from_maybe_shared(target).map_err(|_| unfit("the path cannot be said in HTTP/2"))?;
    if path.as_str().len() != head.raw_target().len() {
        return Err(unfit("the path cannot be said in HTTP/2"));
    }
    uri.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| unfit("the target cannot be said in HTTP/2"))?;
    fields_from_h1(&head.fields, request.headers_mut(), |name| *name == HOST)?;
    Ok(request)
}

/// An answer of HTTP/2 as the head of one of HTTP/1.1, whose body comes in chunks if it is so said.
#[must_use]
pub fn response_to_h1(parts: &response::Parts, chunked: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    encode::status_line(parts.status.as_u16(), reason.as_bytes(), &mut out);
    for (name, value) in &parts.headers {
        encode::field(name.as_str(), value.as_bytes(), &mut out);
    }
    if chunked {
        encode::field("Transfer-Encoding", b"chunked", &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The head of an HTTP/1.1 answer as an answer of HTTP/2.
///
/// # Errors
/// It cannot be said in HTTP/2.
pub fn response_from_h1(head: &ResponseHead) -> io::Result<Response<()>> {
    let mut response = Response::new(());
    // What was agreed upon by 101 is agreed upon by 200 (RFC 8441 section 5).
    let status = if head.status == 101 { 200 } else { head.status };
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| unfit("the status"))?;
    let is_of_handshake = |name: &HeaderName| head.status == 101 && name == "sec-websocket-accept";
    fields_from_h1(&head.fields, response.headers_mut(), is_of_handshake)?;
    Ok(response)
}

/// Copies the fields, but for those of an HTTP/1.1 connection (RFC 9113 section 8.2.2) and those left out.
fn fields_from_h1(fields: &Fields, to: &mut HeaderMap, leave_out: impl Fn(&HeaderName) -> bool) -> io::Result<()> {
    for field in fields.iter() {
        let name = HeaderName::from_bytes(field.name()).map_err(|_| unfit("a field name"))?;
        if is_of_connection(name.as_str()) || leave_out(&name) {
            continue;
        }
        let mut value = HeaderValue::from_bytes(field.value()).map_err(|_| unfit("a field value"))?;
        // Keys must not enter the table of the compression, where their length could be guessed at
        // (RFC 7541 section 7.1).
        value.set_sensitive(crate::secret::is_sensitive(field.name()));
        to.try_append(name, value).map_err(|_| unfit("too many fields"))?;
    }
    Ok(())
}

fn is_of_connection(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
}

/// Trailers of HTTP/2 as the end of a chunked body, and none as well.
pub(super) fn trailers_to_h1(trailers: Option<&HeaderMap>) -> Vec<u8> {
    let mut out = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flatten() {
        encode::field(name.as_str(), value.as_bytes(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Lines of a trailer section as trailers of HTTP/2. They have been checked by the scanner that gave them.
pub(super) fn trailers_from_h1(lines: &[u8], to: &mut HeaderMap) -> io::Result<()> {
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let colon = memchr::memchr(b':', line).ok_or_else(|| unfit("a trailer"))?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| unfit("a trailer's name"))?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| unfit("a trailer's value"))?;
        to.try_append(name, value).map_err(|_| unfit("too many trailers"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, RequestReader, ResponseReader, Violation};

    fn to_h1(request: Request<()>, has_body: bool) -> String {
        String::from_utf8(request_to_h1(&request.into_parts().0, has_body)).expect("text")
    }

    fn read(text: &str) -> Result<RequestHead, Violation> {
        RequestReader::default().read(text.as_bytes(), &Limits::REQUEST).map(|read| read.expect("whole").0)
    }

    #[test]
    fn a_request_becomes_one_of_the_older_version() {
        let request = Request::post("https://h:8/a%2Fb?x=1&x=2").header("x-b", "1").header("x-a", "2");
        let request = request.header("cookie", "a=1").header("cookie", "b=2").body(()).expect("valid");
        assert_eq!(
            to_h1(request, true),
            "POST /a%2Fb?x=1&x=2 HTTP/1.1\r\nHost: h:8\r\nx-b: 1\r\nx-a: 2\r\ncookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let sized = Request::put("http://h/").header("content-length", "3").body(()).expect("valid");
        assert_eq!(to_h1(sized, true), "PUT / HTTP/1.1\r\nHost: h\r\ncontent-length: 3\r\n\r\n");
        let host = Request::get("/").header("host", "h").body(()).expect("valid");
        assert_eq!(to_h1(host, false), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn two_hosts_are_refused_by_whoever_reads_the_head() {
        let one = Request::get("http://h/").header("host", "H").body(()).expect("valid");
        assert!(read(&to_h1(one, false)).is_ok());
        let two = Request::get("http://h/").header("host", "other").body(()).expect("valid");
        assert_eq!(read(&to_h1(two, false)).map(|_| ()), Err(Violation::RepeatedHost));
    }

    #[test]
    fn an_extended_connect_becomes_an_upgrade() {
        let mut request = Request::builder().method("CONNECT").uri("https://h/realtime?m=1").body(()).expect("valid");
        request.extensions_mut().insert(Protocol::from("websocket"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let text = to_h1(request, false);
        assert!(text.starts_with("GET /realtime?m=1 HTTP/1.1\r\nHost: h\r\nConnection: "), "{text}");
        assert!(text.contains("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "), "{text}");
        let plain = Request::builder().method("CONNECT").uri("h:443").body(()).expect("valid");
        assert_eq!(to_h1(plain, false), "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    }

    #[test]
    fn a_protocol_is_a_word() {
        let is_good = |name: &'static str| {
            let mut extensions = Extensions::new();
            extensions.insert(Protocol::from(name));
            has_good_protocol(&extensions)
        };
        assert!(
            has_good_protocol(&Extensions::new()) && is_good("websocket") && is_good("connect-udp") && is_good("a/1")
        );
        for bad in
            ["", "/", "a/", "/1", "a b", "a,b", "a\r\nx: y", "a\nx: y", "a/1\r\n\r\nGET / HTTP/1.1", "a/b/c", "\0"]
        {
            assert!(!is_good(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_request_becomes_one_of_the_newer_version() {
        let head = read(
            "POST /v1?a=b HTTP/1.1\r\nHost: up:1\r\nAuthorization: k\r\nTransfer-Encoding: chunked\r\nX: \t1\r\nte: trailers\r\n\r\n",
        );
        let request = request_from_h1(&head.expect("valid"), Scheme::Https).expect("fits");
        assert_eq!(request.uri().to_string(), "https://up:1/v1?a=b");
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["authorization", "x", "te"]);
        assert!(request.headers()["authorization"].is_sensitive() && !request.headers()["x"].is_sensitive());
        for path in ["/a<b", "/a`b"] {
            let head = read(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).expect("valid");
            assert!(request_from_h1(&head, Scheme::Http).is_err(), "{path}");
        }
    }

    #[test]
    fn answers_change_their_version_too() {
        let read = |text: &str| {
            let read = ResponseReader::default().read(text.as_bytes(), false, &Limits::RESPONSE);
            response_from_h1(&read.expect("valid").expect("whole").0).expect("fits")
        };
        let response = read("HTTP/1.1 404 Nope\r\nSet-Cookie: a\r\nConnection: close\r\nset-cookie: b\r\n\r\n");
        assert_eq!((response.status().as_u16(), response.headers().get_all("set-cookie").iter().count()), (404, 2));
        assert!(!response.headers().contains_key("connection"));
        let agreed = read(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\nSec-WebSocket-Protocol: z\r\n\r\n",
        );
        assert_eq!((agreed.status().as_u16(), agreed.headers().len()), (200, 1));
        let response = Response::builder().status(200).header("a", "b").body(()).expect("valid").into_parts().0;
        assert_eq!(response_to_h1(&response, true), b"HTTP/1.1 200 OK\r\na: b\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    #[test]
    fn trailers_survive_the_way_there_and_back() {
        let mut trailers = HeaderMap::new();
        trailers.append("grpc-status", HeaderValue::from_static("0"));
        trailers.append("grpc-message", HeaderValue::from_static("a: b"));
        let text = trailers_to_h1(Some(&trailers));
        assert_eq!(text, b"0\r\ngrpc-status: 0\r\ngrpc-message: a: b\r\n\r\n");
        let mut back = HeaderMap::new();
        trailers_from_h1(&text[3..text.len() - 2], &mut back).expect("fits");
        assert_eq!(back, trailers);
        assert_eq!(trailers_to_h1(None), encode::LAST_CHUNK);
    }
}
