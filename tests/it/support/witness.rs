//! An upstream that writes down every byte that it gets, for tests of what must never reach one.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::{Message, Received, Upstream, eventually};

type Connections = Arc<Mutex<Vec<Vec<u8>>>>;

/// An upstream that answers whole requests, and remembers what came.
pub(crate) struct Witness {
    upstream: Upstream,
    connections: Connections,
}

struct Noting {
    stream: TcpStream,
    connections: Connections,
    number: usize,
}

impl Witness {
    /// One that says OK.
    pub(crate) fn start() -> Self {
        let connections = Connections::default();
        let noted = Arc::clone(&connections);
        let upstream = Upstream::playing(move |script| {
            let mut messages = Message::on(Noting::on(script.stream(), &noted)?);
            while messages.request()?.is_some() {
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        Self { upstream, connections }
    }

    pub(crate) fn url(&self) -> String {
        self.upstream.url()
    }

    /// The whole requests that have come so far, each of which must have one reading.
    pub(crate) fn whole(&self) -> Vec<Received> {
        let connections = self.connections.lock().expect("not poisoned");
        connections.iter().flat_map(|bytes| requests(bytes)).collect()
    }

    /// Waits until so many whole requests have come.
    pub(crate) fn hears(&self, count: usize) {
        eventually(&format!("{count} requests"), || self.whole().len() >= count);
        assert_eq!(self.whole().len(), count, "{:#?}", self.whole());
    }
}

impl Noting {
    fn on(stream: &TcpStream, connections: &Connections) -> io::Result<Self> {
        let (stream, connections) = (stream.try_clone()?, Arc::clone(connections));
        let mut all = connections.lock().expect("not poisoned");
        all.push(Vec::new());
        let number = all.len() - 1;
        drop(all);
        Ok(Self { stream, connections, number })
    }
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.connections.lock().expect("not poisoned")[self.number].extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

/// The whole requests at the start of what a connection carried. What follows them may be a part of one.
fn requests(bytes: &[u8]) -> Vec<Received> {
    let mut messages = Message::on(bytes);
    let mut requests = Vec::new();
    while let Ok(Some(request)) = messages.request() {
        check_head(&request);
        if request.is_whole {
            requests.push(request);
        }
    }
    requests
}

/// A head that nobody could read in two ways.
fn check_head(request: &Received) {
    let head = &request.head;
    let line: Vec<&str> = request.line().split(' ').collect();
    assert!(line.len() == 3 && line[1].starts_with('/') && line[2] == "HTTP/1.1", "{head:?}");
    let is_clean = |text: &str| text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    assert!(head.split("\r\n").all(is_clean), "{head:?}");
    for line in head.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?} in {head:?}"));
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{head:?}");
    }
    assert_eq!(request.fields("host").len(), 1, "{head:?}");
    assert!(request.fields("content-length").len() + request.fields("transfer-encoding").len() <= 1, "{head:?}");
    for name in ["connection", "upgrade", "keep-alive", "proxy-connection", "te", "trailer"] {
        assert_eq!(request.field(name), None, "{head:?}");
    }
}
