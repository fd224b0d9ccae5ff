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
