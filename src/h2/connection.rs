//! Connections to upstreams, shared by many exchanges.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use ::h2::client::SendRequest;
use ::h2::{Ping, PingPong};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::client::ClientStream;
use super::watch::Watch;
use super::{FRAME, SEND_BUFFER, STREAM_WINDOW, failure};
use crate::origin::Scheme;
use crate::wire::Wire;

/// How many streams run on one connection at once. A further one gets another connection.
const MAX_STREAMS: usize = 100;
/// The largest table that compressed fields of answers may fill, and the longest list of them, in bytes.
const MAX_HEAD: u32 = 64 * 1024;
/// What may be held on a connection beside content where that comes in small frames, in bytes: `h2` reckons with 256
/// for each. It is what all streams need together whose recipients are slow, if frames have some 60 bytes on the
/// average. Beyond that the connection ends with everybody's streams on it, so it has to be more than a few clients
/// that do not read can bring about.
const SMALL_FRAMES: usize = 3 * STREAM_WINDOW as usize * MAX_STREAMS;
/// For how long an upstream may be silent in the wrong place before its connection takes no new streams: inside a head
/// or its greeting, where it reads nothing, where it says nothing at all to somebody who then gives up.
const STUCK: Duration = Duration::from_secs(10);
/// After how long a silence an upstream is asked for a sign of life when a stream begins on its connection. It may have
/// vanished without a word, and then one stream after the other would wait for it.
const DOUBT: Duration = Duration::from_secs(5);
/// How long after one such question the next may follow. Servers of gRPC take many of them for an attack.
const NEXT_QUESTION: Duration = Duration::from_secs(60);
/// How long a connection that nobody uses has for its last word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// A connection to an upstream, shared by many streams.
pub struct Connection {
    pub(super) scheme: Scheme,
    requests: SendRequest<Bytes>,
    watch: Rc<Watch>,
    streams: Cell<usize>,
    is_over: Cell<bool>,
    idle_since: Cell<Instant>,
    /// When something new had last been heard, as far as anybody looked, and how much it was then.
    last_heard: Cell<(Instant, u64)>,
    /// When it was last asked for a sign of life.
    asked: Cell<Option<Instant>>,
    /// Tells the driver to ask for one.
    doubt: Rc<Notify>,
    /// Tells that the upstream has said how many streams it takes, or that it never will.
    greeted: Rc<Notify>,
    /// Tells the driver when this goes.
    gone: Rc<Notify>,
}

/// Begins to speak HTTP/2 with an upstream. The future that comes with the connection has to be kept going for as
/// long as it is used: it is over when the connection is.
///
/// # Errors
/// The upstream does not speak HTTP/2.
pub async fn connect(wire: Wire, scheme: Scheme) -> io::Result<(Rc<Connection>, impl Future<Output = ()>)> {
    let mut builder = ::h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .initial_window_size(STREAM_WINDOW)
        // As much as all streams together: one whose recipient is slow never holds up another.
        .initial_connection_window_size(STREAM_WINDOW * 100)
        .max_frame_size(FRAME)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES);
    let (wire, watch) = Watch::over(wire, 0);
    let (requests, mut driver) = builder.handshake(wire).await.map_err(failure)?;
    let connection = Rc::new(Connection {
        scheme,
        requests,
        watch: Rc::clone(&watch),
        streams: Cell::new(0),
        is_over: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
        last_heard: Cell::new((Instant::now(), 0)),
        asked: Cell::new(None),
        doubt: Rc::default(),
        greeted: Rc::default(),
        gone: Rc::default(),
    });
    let greeted = Rc::clone(&connection.greeted);
    let (weak, gone) = (Rc::downgrade(&connection), Rc::clone(&connection.gone));
    let asking = ask_after(driver.ping_pong(), Rc::clone(&connection.doubt), weak.clone());
    let driver = async move {
        // Every stream learns by itself how the connection ended.
        let mut is_greeted = false;
        let heard = Rc::clone(&greeted);
        let ended = poll_fn(move |cx| {
            let polled = Pin::new(&mut driver).poll(cx);
            if !is_greeted && watch.has_settings() {
                is_greeted = true;
                heard.notify_waiters();
            }
            match polled {
                Poll::Pending if !watch.is_flooded() => Poll::Pending,
                _ => Poll::Ready(()),
            }
        });
        let mut ended = pin!(ended);
        tokio::select! {
            biased;
            () = &mut ended => {}
            () = asking => {}
            // An upstream that does not read would keep it going for ever.
            () = gone.notified() => {
                let _ = timeout(LAST_WORD, ended).await;
            }
        }
        if let Some(connection) = weak.upgrade() {
            connection.is_over.set(true);
        }
        greeted.notify_waiters();
    };
    Ok((connection, driver))
}

impl Connection {
    /// A new stream, if there is room for one. Before the upstream has said how many it takes there is room for the first:
    /// a crowd would be refused.
    #[must_use]
    pub fn open(self: &Rc<Self>) -> Option<ClientStream> {
        let room = match self.watch.has_settings() {
            true => self.requests.current_max_send_streams().min(MAX_STREAMS),
            false => 1,
        };
        if self.is_over() || self.streams.get() >= room {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.look();
        Some(ClientStream::new(Rc::clone(self), self.requests.clone()))
    }

    /// Waits until the upstream has said how many streams it takes, but not for one that is stuck.
    pub async fn greeted(&self) {
        let notified = self.greeted.notified();
        if !self.watch.has_settings() && !self.is_over() {
            let _ = timeout(STUCK, notified).await;
        }
    }

    /// Has the upstream asked for a sign of life if it has given none for a while.
    fn look(&self) {
        let (now, heard) = (Instant::now(), self.heard());
        let (since, before) = self.last_heard.get();
        if heard != before {
            self.last_heard.set((now, heard));
        } else if now - since >= DOUBT && self.asked.get().is_none_or(|asked| now - asked >= NEXT_QUESTION) {
            self.asked.set(Some(now));
            self.doubt.notify_one();
        }
    }

    /// Lets no new stream begin.
    pub(super) fn give_up(&self) {
        self.is_over.set(true);
    }

    /// How much has been heard from the upstream.
    pub(super) fn heard(&self) -> u64 {
        self.watch.heard()
    }

    /// A stream has ended. `unheard_since`: so long has it waited for an answer, and not a byte of anything has come.
    pub(super) fn close(&self, unheard_since: Option<Instant>) {
        let left = self.streams.get().saturating_sub(1);
        self.streams.set(left);
        if left == 0 {
            let now = Instant::now();
            self.idle_since.set(now);
            self.last_heard.set((now, self.heard()));
        }
        let takes_none = left == 0 && self.requests.current_max_send_streams() == 0;
        if takes_none || is_stuck(unheard_since) {
            // There may be nobody any more, or nobody who ever takes a stream.
            self.give_up();
        }
    }

    /// Whether no new stream can be had on it, now or ever.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.get() || is_stuck(self.watch.stalled_since()) || is_stuck(self.watch.unfinished_since())
    }

    /// Since when no stream has run on it.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }
}

/// Asks the upstream for a sign of life each time that there is doubt. One that gives none gets no new streams; those that
/// run have limits of their own, since it may only be slow. Never over.
async fn ask_after(pings: Option<PingPong>, doubt: Rc<Notify>, connection: Weak<Connection>) {
    let Some(mut pings) = pings else { return pending().await };
    loop {
        doubt.notified().await;
        let heard = connection.upgrade().map(|connection| connection.heard());
        let answered = timeout(STUCK, pings.ping(Ping::opaque())).await.is_ok();
        match connection.upgrade() {
            Some(connection) if !answered && heard == Some(connection.heard()) => connection.give_up(),
            _ => {}
        }
    }
}

fn is_stuck(since: Option<Instant>) -> bool {
    since.is_some_and(|since| since.elapsed() >= STUCK)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::advance;

    use super::*;
    use crate::wire::{Layer, Stream};

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

    impl Layer for DuplexStream {
        fn is_quiet(&self) -> bool {
            true
        }

        fn has_ended(&mut self, _: &mut Context<'_>) -> bool {
            false
        }

        fn end_visibly(&mut self) {}
    }

    /// A connection, what keeps it going, and the upstream's end of it.
    async fn connected(room: usize) -> (Rc<Connection>, Pin<Box<dyn Future<Output = ()>>>, DuplexStream) {
        let (ours, theirs) = duplex(room);
        let wire = Wire::new(Stream::Layered(Box::new(ours)));
        let (connection, driver) = connect(wire, Scheme::Http).await.expect("HTTP/2");
        (connection, Box::pin(driver), theirs)
    }

    fn go_on(driver: &mut Pin<Box<dyn Future<Output = ()>>>) -> bool {
        driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    async fn ask(connection: &Rc<Connection>) -> Wire {
        let mut stream = Wire::new(Stream::Layered(Box::new(connection.open().expect("room"))));
        stream.write_all(REQUEST).await.expect("a request");
        stream
    }

    #[tokio::test(start_paused = true)]
    async fn before_an_upstream_has_said_how_many_it_takes_there_is_room_for_one() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        let first = connection.open();
        assert!(first.is_some() && connection.open().is_none());
        let mut greeted = pin!(connection.greeted());
        assert!(!go_on(&mut driver) && poll_once(&mut greeted).is_pending());
        // It takes two.
        upstream.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2]).await.expect("room");
        assert!(!go_on(&mut driver) && poll_once(&mut greeted).is_ready());
        let second = connection.open();
        assert!(second.is_some() && connection.open().is_none());
        // Nobody waits for one that never says it.
        let (silent, _driver, _upstream) = connected(64 * 1024).await;
        let began = Instant::now();
        silent.greeted().await;
        assert_eq!(began.elapsed(), STUCK);
    }

    fn poll_once(future: &mut Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_does_not_greet_is_asked_no_more() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        advance(STUCK / 2).await;
        assert!(!go_on(&mut driver) && connection.open().is_some());
        advance(STUCK / 2).await;
        assert!(connection.open().is_none());
        upstream.write_all(SETTINGS).await.expect("room");
        assert!(!go_on(&mut driver) && connection.open().is_some(), "it was only slow");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_is_silent_inside_a_head_is_asked_no_more() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        upstream.write_all(SETTINGS).await.expect("room");
        upstream.write_all(&[0, 0, 9, 1, 4, 0, 0, 0, 1]).await.expect("room");
        assert!(!go_on(&mut driver) && connection.open().is_some());
        advance(STUCK).await;
        assert!(connection.open().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_does_not_read_is_asked_no_more_and_let_go() {
        let (connection, mut driver, mut upstream) = connected(256).await;
        upstream.write_all(SETTINGS).await.expect("room");
        assert!(!go_on(&mut driver));
        let streams = [ask(&connection).await, ask(&connection).await, ask(&connection).await, ask(&connection).await];
        for _ in 0..20 {
            assert!(!go_on(&mut driver));
            // What the upstream asks for does not find its way out.
            let _ = upstream.write(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await;
        }
        advance(STUCK).await;
        assert!(connection.open().is_none());
        drop(streams);
        drop(connection);
        let began = Instant::now();
        driver.await;
        assert_eq!(began.elapsed(), LAST_WORD);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_from_which_nothing_is_heard_is_asked_no_more_once_somebody_gives_up() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        upstream.write_all(SETTINGS).await.expect("room");
        assert!(!go_on(&mut driver));
        for (silence, is_over) in [(STUCK / 2, false), (STUCK, true)] {
            let stream = ask(&connection).await;
            assert!(!go_on(&mut driver));
            advance(silence).await;
            drop(stream);
            assert_eq!(connection.is_over(), is_over, "after {silence:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_gives_no_sign_of_life_when_it_is_asked_is_asked_no_more() {
        /// Frames and their payload of eight bytes.
        const QUESTION: [u8; 9] = [0, 0, 8, 6, 0, 0, 0, 0, 0];
        const ANSWER: [u8; 9] = [0, 0, 8, 6, 1, 0, 0, 0, 0];

        for answers in [true, false] {
            let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
            upstream.write_all(SETTINGS).await.expect("room");
            assert!(!go_on(&mut driver));
            let _thinks = ask(&connection).await;
            advance(DOUBT / 2).await;
            let _thinks_too = ask(&connection).await;
            assert!(!go_on(&mut driver));
            let mut said = vec![0; 1024];
            let length = upstream.read(&mut said).await.expect("requests");
            let question = |said: &[u8]| said.windows(9).position(|frame| frame == QUESTION);
            assert_eq!(question(&said[..length]), None, "there is no doubt yet");
            advance(DOUBT / 2).await;
            let _late = ask(&connection).await;
            // It is asked in one turn, and the question leaves in the next.
            assert!(!go_on(&mut driver) && !go_on(&mut driver));
            let length = upstream.read(&mut said).await.expect("more");
            let at = question(&said[..length]).expect("a question");
            if answers {
                upstream.write_all(&[&ANSWER[..], &said[at + 9..at + 17]].concat()).await.expect("room");
            }
            assert!(!go_on(&mut driver));
            advance(STUCK).await;
            assert!(!go_on(&mut driver), "the streams that run go on");
            assert_eq!(connection.open().is_some(), answers);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_is_enough() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        upstream.write_all(SETTINGS).await.expect("room");
        let stream = ask(&connection).await;
        assert!(!go_on(&mut driver));
        advance(STUCK).await;
        upstream.write_all(&[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await.expect("room");
        assert!(!go_on(&mut driver));
        drop(stream);
        assert!(!connection.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_takes_no_streams_is_let_go() {
        let (connection, mut driver, mut upstream) = connected(64 * 1024).await;
        let stream = ask(&connection).await;
        upstream.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]).await.expect("room");
        assert!(!go_on(&mut driver) && !connection.is_over());
        drop(stream);
        assert!(connection.is_over());
        let mut said = Vec::new();
        drop(connection);
        driver.await;
        upstream.read_to_end(&mut said).await.expect("an end");
        assert!(said.starts_with(super::super::PREFACE));
    }
}
