//! A client that speaks bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Message, PATIENCE, Received};

/// A connection to a proxy, over whatever stream.
pub(crate) struct Client<S = TcpStream> {
    messages: Message<S>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the proxy listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::over(stream)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.stream().shutdown(Shutdown::Write).expect("a connection");
        self
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

impl Client<UnixStream> {
    /// A client on a local socket.
    pub(crate) fn local(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { messages: Message::on(stream) }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.messages.stream_mut().write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// The next answer to a request of any method but HEAD.
    pub(crate) fn answer(&mut self) -> Received {
        self.messages.answer("GET").expect("an answer")
    }

    /// The next answer, or why there is none.
    pub(crate) fn try_answer(&mut self) -> io::Result<Received> {
        self.messages.answer("GET")
    }

    /// The next answer to a request of this method.
    pub(crate) fn answer_to(&mut self, method: &str) -> Received {
        self.messages.answer(method).expect("an answer")
    }

    /// The next answer to a request of this method, or why there is none.
    pub(crate) fn try_answer_to(&mut self, method: &str) -> io::Result<Received> {
        self.messages.answer(method)
    }

    /// The head of the next answer.
    pub(crate) fn head(&mut self) -> String {
        self.messages.head().expect("a head").expect("a head")
    }

    /// The next bytes of a body.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        self.messages.some().expect("some bytes")
    }

    /// Reads a body until this has come.
    pub(crate) fn hears(&mut self, word: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(word) {
            seen.extend(self.some());
        }
    }

    /// The next bytes, so many of them, whatever they mean.
    pub(crate) fn raw(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.messages.stream_mut().read_exact(&mut bytes).expect("bytes");
        bytes
    }

    /// Whatever has been read beyond the last answer.
    pub(crate) fn unused(&self) -> &[u8] {
        self.messages.unused()
    }

    /// Sends a request and gives the answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Received {
        let method = String::from_utf8_lossy(request.as_ref()).split(' ').next().unwrap_or_default().to_owned();
        self.send(request).answer_to(&method)
    }

    /// Whether the proxy has ended the connection, without a further byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.messages.unused().is_empty() && matches!(self.messages.stream_mut().read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// Everything until the connection ends.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.messages.rest()
    }

    /// Everything until the connection ends, or how it broke off instead of that.
    pub(crate) fn until_end(&mut self) -> io::Result<Vec<u8>> {
        self.messages.until_end()
    }

    pub(crate) fn stream(&self) -> &S {
        self.messages.stream()
    }

    pub(crate) fn stream_mut(&mut self) -> &mut S {
        self.messages.stream_mut()
    }
}
