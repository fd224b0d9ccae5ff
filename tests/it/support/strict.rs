//! The strict reader of what an upstream gets: bytes that anybody could read in another way are a fault. It shares
//! nothing with the product's own parser.

use super::message::find;

/// What one connection carried.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// The heads of the whole requests, in order.
    pub(crate) whole: Vec<String>,
    /// How many bytes they have.
    pub(crate) length: usize,
    /// Whether a part of another request follows them.
    pub(crate) has_part: bool,
}

/// Reads everything that a connection carried.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Carried, String> {
    let mut carried = Carried::default();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let (head, rest) = bytes.split_at(end + 4);
        let text: String = head.iter().map(|&byte| char::from(byte)).collect();
        let framing = check_head(&text).map_err(|fault| format!("{fault}: {text:?}"))?;
        let length = match framing {
            Framing::Length(length) => Some(length).filter(|length| *length <= rest.len()),
            Framing::Chunked => chunks(rest).map_err(|fault| format!("{fault} behind {text:?}"))?,
        };
        let Some(length) = length else { return Ok(Carried { has_part: true, ..carried }) };
        carried.whole.push(text);
        carried.length += head.len() + length;
        bytes = &rest[length..];
    }
    carried.has_part = !bytes.is_empty();
    Ok(carried)
}

/// The values of every field of this name.
pub(crate) fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches([' ', '\t']))
        .collect()
}

enum Framing {
    Length(usize),
    Chunked,
}

/// A head that nobody could read in two ways.
fn check_head(head: &str) -> Result<Framing, String> {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let parts: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err("no request line".into()) };
    let is_printable = |letter: char| letter > ' ' && letter != '\x7f' && letter != '#';
    if !is_token(method) || !target.starts_with('/') || !target.chars().all(is_printable) {
        return Err("a bad request line".into());
    }
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field {line:?}"))?;
        if !is_token(name) || !value.chars().all(|letter| letter == '\t' || letter >= ' ' && letter != '\x7f') {
            return Err(format!("a bad field {line:?}"));
        }
    }
    if !matches!(values(head, "host")[..], [host] if !host.is_empty() && !host.contains(['/', '@', ' ', ','])) {
        return Err("not one good host".into());
    }
    if values(head, "connection").len() != values(head, "upgrade").len() {
        return Err("half an upgrade".into());
    }
    if values(head, "connection").iter().any(|value| *value != "Upgrade") {
        return Err("options of a connection".into());
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"] {
        if !values(head, name).is_empty() {
            return Err(format!("'{name}' has passed"));
        }
    }
    match (&values(head, "content-length")[..], &values(head, "transfer-encoding")[..]) {
        ([], []) => Ok(Framing::Length(0)),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) && !length.starts_with("00") => {
            Ok(Framing::Length(length.parse().map_err(|_| "a length of more than 64 bits")?))
        }
        _ => Err("not one framing".into()),
    }
}

/// The length of a whole chunked body without extensions and trailers; `None` if it is not whole.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let digits = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("a bad chunk size {digits:?}"));
        }
        let Ok(size) = usize::from_str_radix(&digits, 16) else { return Ok(None) };
        let end = (at + length + 2).checked_add(size).and_then(|data| data.checked_add(2));
        let Some(end) = end.filter(|end| *end <= bytes.len()) else { return Ok(None) };
        if &bytes[end - 2..end] != b"\r\n" {
            return Err("a bad end of a chunk, or trailers".into());
        }
        if size == 0 {
            return Ok(Some(end));
        }
        at = end;
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A request that is read as one, with its framing.
fn request(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: h:1\r\n{fields}\r\n{body}")
}

#[test]
fn good_requests_are_read_with_their_ends() {
    for (fields, body) in [
        ("", ""),
        ("Content-Length: 5\r\n", "hello"),
        ("content-length:\t0 \r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
        ("X: \u{e4} \t y\r\nX:\r\n", ""),
    ] {
        let one = request(fields, body);
        let carried = read(one.repeat(2).as_bytes()).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!((carried.whole.len(), carried.length, carried.has_part), (2, 2 * one.len(), false), "{one:?}");
        for length in 1..one.len() {
            let carried = read(&one.as_bytes()[..length]).expect("the beginning of a good one");
            assert!(carried.whole.is_empty() && carried.has_part, "{:?}", &one.as_bytes()[..length]);
        }
    }
}

#[test]
fn heads_that_can_be_read_in_two_ways_are_faults() {
    for line in [
        "",
        "GET",
        "GET /a",
        "GET /a HTTP/1.0",
        "GET /a HTTP/1.1 ",
        "GET  /a HTTP/1.1",
        " GET /a HTTP/1.1",
        "GET /a\tHTTP/1.1",
        "G@T /a HTTP/1.1",
        "GET a HTTP/1.1",
        "GET http://h/a HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /a\u{7f} HTTP/1.1",
        "GET /a\0 HTTP/1.1",
        "GET /a\nX HTTP/1.1",
        "GET * HTTP/1.1",
    ] {
        assert!(read(format!("{line}\r\nHost: h\r\n\r\n").as_bytes()).is_err(), "{line:?}");
    }
    for fields in [
        "no field\r\n",
        "X : y\r\n",
        ": y\r\n",
        " X: y\r\n",
        "X: a\r\n b\r\n",
        "X: a\nY: b\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X: a\u{7f}\r\n",
        "X\u{e4}: a\r\n",
        "Host: other\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\ncontent-length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 001\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Connection: close\r\n",
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade, x\r\nUpgrade: websocket\r\n",
        "Keep-Alive: timeout=1\r\n",
        "Proxy-Connection: close\r\n",
        "Proxy-Authorization: Basic x\r\n",
        "TE: trailers\r\n",
        "Trailer: x\r\n",
    ] {
        assert!(read(request(fields, "").as_bytes()).is_err(), "{fields:?}");
    }
    for host in ["", "h h", "u@h", "h/x", "h,i", "http://h"] {
        assert!(read(format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).is_err(), "{host:?}");
    }
    assert!(read(b"GET /a HTTP/1.1\r\nX: y\r\n\r\n").is_err(), "no host");
}

#[test]
fn chunks_that_can_be_read_in_two_ways_are_faults() {
    for body in [
        "5;x\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\n \r\n\r\n",
    ] {
        assert!(read(request("Transfer-Encoding: chunked\r\n", body).as_bytes()).is_err(), "{body:?}");
    }
    // What is not a part of the first is read as the next, and has to be good itself.
    assert!(read(request("Content-Length: 1\r\n", "xGET /b HTTP/1.1\r\n\r\n").as_bytes()).is_err());
    assert!(read(request("Content-Length: 1\r\n", "xy").as_bytes()).is_ok_and(|carried| carried.has_part));
}

#[test]
fn values_are_found_whatever_the_case_of_their_names() {
    let head = request("X-Key: a\r\nx-key:b \r\nX-Keys: c\r\n", "");
    assert_eq!(values(&head, "X-KEY"), ["a", "b"]);
}
