//! An upstream that writes down every byte that it gets, for tests of what must never reach one.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::{Message, Received, Upstream, eventually, strict};

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

    pub(crate) fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    pub(crate) fn url(&self) -> String {
        self.upstream.url()
    }

    /// The whole requests that have come so far, each of which must have one reading.
    pub(crate) fn whole(&self) -> Vec<Received> {
        let connections = self.connections.lock().expect("not poisoned");
        connections.iter().flat_map(|bytes| requests(bytes)).collect()
    }

    /// All that has come so far, connection by connection.
    pub(crate) fn carried(&self) -> Vec<Vec<u8>> {
        self.connections.lock().expect("not poisoned").clone()
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
    let carried = strict::read(bytes).unwrap_or_else(|fault| panic!("{fault}"));
    let mut messages = Message::on(bytes);
    carried.whole.iter().map(|_| messages.request().expect("read before").expect("read before")).collect()
}
