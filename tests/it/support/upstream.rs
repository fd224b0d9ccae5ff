//! Upstreams that behave as they are told, and remember what they got.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Message, PATIENCE, Received};

/// An upstream on a port of its own.
pub(crate) struct Upstream {
    address: SocketAddr,
    requests: Mutex<Receiver<Received>>,
    connections: Arc<AtomicUsize>,
}

/// What an upstream does with one connection.
pub(crate) struct Script {
    messages: Message<TcpStream>,
    stream: TcpStream,
    seen: Sender<Received>,
}

impl Upstream {
    /// An upstream that does `play` with every connection.
    pub(crate) fn playing(play: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::playing_on(TcpListener::bind("127.0.0.1:0").expect("a port"), play)
    }

    /// The same, where it is told to be.
    pub(crate) fn playing_on(
        listener: TcpListener,
        play: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("bound");
        let (seen, requests) = channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (play, count) = (Arc::new(play), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let (play, seen) = (Arc::clone(&play), seen.clone());
                thread::spawn(move || {
                    stream.set_nodelay(true).expect("a socket");
                    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                    let messages = Message::on(stream.try_clone().expect("a socket"));
                    // A proxy that leaves is the end of many plays.
                    let _ = play(&mut Script { messages, stream, seen });
                });
            }
        });
        Self { address, requests: Mutex::new(requests), connections }
    }

    /// An upstream that gives this answer to every request, on connections that stay.
    pub(crate) fn answering(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::playing(move |script| {
            while script.request()?.is_some() {
                script.send(&answer)?;
            }
            Ok(())
        })
    }

    /// An upstream that says OK.
    pub(crate) fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// An upstream that gives this answer and closes the connection.
    pub(crate) fn answering_once(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::playing(move |script| {
            script.request()?;
            script.send(&answer)
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that it got.
    pub(crate) fn request(&self) -> Received {
        let requests = self.requests.lock().expect("not poisoned");
        requests.recv_timeout(PATIENCE).expect("the upstream gets a request")
    }

    /// Whether it has got no request that has not been looked at. Only meaningful once the client has its answer.
    pub(crate) fn has_no_request(&self) -> bool {
        self.requests.lock().expect("not poisoned").try_recv().is_err()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Script {
    /// Reads a whole request; `None` if the proxy closes the connection instead.
    pub(crate) fn request(&mut self) -> io::Result<Option<Received>> {
        let request = self.messages.request()?;
        if let Some(request) = &request {
            let _ = self.seen.send(request.clone());
        }
        Ok(request)
    }

    /// Reads the head of a request.
    pub(crate) fn head(&mut self) -> io::Result<String> {
        let head = self.messages.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let _ =
            self.seen.send(Received { head: head.clone(), raw_body: Vec::new(), body: Vec::new(), is_whole: false });
        Ok(head)
    }

    /// The next bytes of a body, as many as there are.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        self.messages.some()
    }

    /// Exactly so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.messages.exactly(count)
    }

    /// Becomes a tunnel to another connection, until either side ends it.
    pub(crate) fn tunnel(&mut self, mut to: TcpStream) -> io::Result<()> {
        let (mut near, mut far) = (self.stream.try_clone()?, to.try_clone()?);
        let back = thread::spawn(move || {
            let _ = io::copy(&mut far, &mut near);
            let _ = near.shutdown(Shutdown::Both);
        });
        to.write_all(self.messages.unused())?;
        let _ = io::copy(&mut self.stream, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        back.join().map_err(|_| io::Error::other("a panic"))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Everything until the proxy ends what it sends, or how that broke off.
    pub(crate) fn until_end(&mut self) -> io::Result<Vec<u8>> {
        self.messages.until_end()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits until the proxy closes the connection.
    pub(crate) fn until_closed(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        while self.stream.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
