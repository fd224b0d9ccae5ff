//! Messages as bytes. This reader shares nothing with the product's own, so that the two cannot be wrong together.

use std::io::{self, Read};

/// A message that was received: its head as it came, and its body without framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// The head with its empty line.
    pub(crate) head: String,
    /// The body as it came, framing included.
    pub(crate) raw_body: Vec<u8>,
    /// The content.
    pub(crate) body: Vec<u8>,
    /// Whether the message ended as its framing says.
    pub(crate) is_whole: bool,
}

/// Reads messages off a stream.
pub(crate) struct Message<R> {
    stream: R,
    seen: Vec<u8>,
}

/// How a body ends.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl<R: Read> Message<R> {
    pub(crate) fn on(stream: R) -> Self {
        Self { stream, seen: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &R {
        &self.stream
    }

    pub(crate) fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The next head, or `None` if the stream ends before it begins.
    pub(crate) fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.seen, b"\r\n\r\n") {
                let head = self.seen.drain(..end + 4).collect();
                return Ok(Some(String::from_utf8(head).unwrap_or_else(|error| latin(error.as_bytes()))));
            }
            if !self.more()? {
                let rest = std::mem::take(&mut self.seen);
                return if rest.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::other(format!("half a head: {}", latin(&rest))))
                };
            }
        }
    }

    /// The next request.
    pub(crate) fn request(&mut self) -> io::Result<Option<Received>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let framing = match (field(&head, "transfer-encoding"), field(&head, "content-length")) {
            (Some(_), None) => Framing::Chunked,
            (None, length) => Framing::Length(length.map_or(0, |length| length.parse().expect("a length"))),
            (Some(_), Some(_)) => panic!("two framings: {head}"),
        };
        self.body(head, &framing).map(Some)
    }

    /// The next answer to a request of this method.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Received> {
        let head = self.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.get(9..12).unwrap_or_default().to_owned();
        let framing = match (field(&head, "transfer-encoding"), field(&head, "content-length")) {
            _ if method == "HEAD" || status == "204" || status == "304" || status.starts_with('1') => {
                Framing::Length(0)
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().expect("a length")),
            (None, None) => Framing::UntilClose,
            other => panic!("bad framing {other:?}: {head}"),
        };
        self.body(head, &framing)
    }

    /// Whatever comes until the stream ends.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while matches!(self.more(), Ok(true)) {}
        std::mem::take(&mut self.seen)
    }

    /// Everything until the stream ends in an orderly way.
    pub(crate) fn until_end(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.seen))
    }

    /// Whatever has been read and not been used.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.seen
    }

    /// The next bytes of a body, as many as there are, at least one; empty at the end of the stream.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.seen.is_empty() {
            self.more()?;
        }
        Ok(std::mem::take(&mut self.seen))
    }

    /// Exactly so many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.seen.len() < count {
            if !self.more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.seen.drain(..count).collect())
    }

    fn body(&mut self, head: String, framing: &Framing) -> io::Result<Received> {
        let mut received = Received { head, raw_body: Vec::new(), body: Vec::new(), is_whole: false };
        match framing {
            Framing::Length(length) => {
                while self.seen.len() < *length {
                    if !matches!(self.more(), Ok(true)) {
                        received.body = std::mem::take(&mut self.seen);
                        received.raw_body = received.body.clone();
                        return Ok(received);
                    }
                }
                received.body = self.seen.drain(..*length).collect();
                received.raw_body = received.body.clone();
            }
            Framing::UntilClose => {
                let mut is_whole = true;
                loop {
                    match self.more() {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(_) => {
                            is_whole = false;
                            break;
                        }
                    }
                }
                received.body = std::mem::take(&mut self.seen);
                received.raw_body = received.body.clone();
                received.is_whole = is_whole;
                return Ok(received);
            }
            Framing::Chunked => {
                loop {
                    let Some(line) = self.line(&mut received.raw_body) else { return Ok(received) };
                    let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("a chunk size: {line:?}"));
                    if size == 0 {
                        break;
                    }
                    while self.seen.len() < size + 2 {
                        if !matches!(self.more(), Ok(true)) {
                            received.body.extend_from_slice(&self.seen);
                            received.raw_body.append(&mut self.seen);
                            return Ok(received);
                        }
                    }
                    received.body.extend_from_slice(&self.seen[..size]);
                    assert_eq!(&self.seen[size..size + 2], b"\r\n", "the end of a chunk");
                    received.raw_body.extend(self.seen.drain(..size + 2));
                }
                loop {
                    match self.line(&mut received.raw_body) {
                        None => return Ok(received),
                        Some(line) if line.is_empty() => break,
                        Some(_) => {}
                    }
                }
            }
        }
        received.is_whole = true;
        Ok(received)
    }

    /// One line without its CRLF, noted in `raw`.
    fn line(&mut self, raw: &mut Vec<u8>) -> Option<String> {
        loop {
            if let Some(end) = find(&self.seen, b"\r\n") {
                let line: Vec<u8> = self.seen.drain(..end + 2).collect();
                raw.extend_from_slice(&line);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !matches!(self.more(), Ok(true)) {
                raw.append(&mut self.seen);
                return None;
            }
        }
    }

    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let length = self.stream.read(&mut buffer)?;
        self.seen.extend_from_slice(&buffer[..length]);
        Ok(length > 0)
    }
}

impl Received {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The values of every field of this name.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head).filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The names of all fields, as they came.
    pub(crate) fn names(&self) -> Vec<&str> {
        fields(&self.head).map(|(name, _)| name).collect()
    }

    /// The content as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    fields(head).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Bytes that are no UTF-8, so that a failing test can show them.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
