//! One thread that formats lines and writes them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::line::Line;
use super::pretty::{self, Why};
use super::seldom::Seldom;
use super::sink::Sink;
use crate::peer::Peer;
use crate::text::{Lang, NotCounted, Say, Speak, Unknown, Unmet, shown, spoken};

/// How many lines may wait to be written, and how much of what clients and upstreams have said may wait in them, in bytes:
/// a target may be as long as a head.
const QUEUE: usize = 8192;
const QUEUE_BYTES: usize = 8 << 20;
/// How many lines are written at once, and how much text, in bytes.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 512 << 10;
/// How long the writer rests after a batch, so that under load it is woken for many lines and not for each.
const REST: Duration = Duration::from_millis(3);

/// Of how many routes it is remembered what was last said of them. A configuration may be replaced very often.
const MAX_ROUTES: usize = 10_000;

/// How much goes out at once where other processes write as well: the system keeps that together, even in a pipe that
/// is nearly full.
const WHOLE: usize = 4096;

/// The way to the writer.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Line>,
    is_shared: Arc<AtomicBool>,
    queued: Arc<Queued>,
}

/// What is known of the queue on both sides.
#[derive(Default)]
struct Queued {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Where lines go. Both may be the same.
pub struct Output {
    /// The request log and notices.
    pub out: Box<dyn Write + Send>,
    /// Warnings and errors.
    pub err: Box<dyn Write + Send>,
}

impl Output {
    /// The console of the process.
    #[must_use]
    pub fn console() -> Self {
        Self { out: Box::new(io::stdout()), err: Box::new(io::stderr()) }
    }
}

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(output: Output, lang: Lang) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let queued = Arc::new(Queued::default());
        let is_shared = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            out: Sink::to(output.out),
            err: Sink::to(output.err),
            is_shared: Arc::clone(&is_shared),
            queued: Arc::clone(&queued),
            loss: Seldom::default(),
            unmet: Seldom::default(),
            uncounted: HashMap::new(),
            lang,
        };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&lines))?;
        Ok(Self { queue, is_shared, queued })
    }

    /// Says that another process writes to the same output from now on: lines must not run into its lines.
    pub fn share(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Puts a line into the queue, or drops it if there is no room. Never waits.
    pub fn write(&self, line: Line) {
        let weight = line.weight();
        let before = self.queued.bytes.fetch_add(weight, Ordering::Relaxed);
        // A single line always has room, however long it is.
        let has_room = before == 0 || before + weight <= QUEUE_BYTES;
        if !has_room || self.queue.try_send(line).is_err() {
            self.queued.bytes.fetch_sub(weight, Ordering::Relaxed);
            self.queued.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A client that did not come to its first request. Of many, a few are told.
    pub fn unmet(&self, peer: Peer, why: Unmet, lang: Lang) {
        self.write(Line::Unmet { peer, why, lang });
    }

    /// An answer that limits could not count. Of many on one route, a few are told.
    pub fn uncounted(&self, route: Arc<str>, why: Unknown, lang: Lang) {
        self.write(Line::Uncounted { route, why, lang });
    }

    /// A notice on standard output.
    pub fn notice(&self, lang: Lang, say: &dyn Speak) {
        self.write(Line::Notice(spoken(say, lang).to_string()));
    }

    /// A warning or an error on standard error.
    pub fn alarm(&self, lang: Lang, say: &dyn Speak) {
        self.write(Line::Alarm(spoken(say, lang).to_string()));
    }

    /// Waits until everything is written, but not longer than this: an output that nobody reads must not hold up
    /// the end.
    pub fn finish(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        // The queue may be full because the output is stuck: then the wait below says so.
        if self.queue.try_send(Line::Last(done)).is_ok() {
            let _: Result<(), RecvTimeoutError> = wait.recv_timeout(patience);
        }
    }
}

struct Writer {
    out: Sink,
    err: Sink,
    is_shared: Arc<AtomicBool>,
    queued: Arc<Queued>,
    /// Of losses to an output that takes nothing.
    loss: Seldom,
    unmet: Seldom,
    /// Of answers that could not be counted, by route.
    uncounted: HashMap<Arc<str>, Seldom>,
    lang: Lang,
}

impl Writer {
    fn run(&mut self, lines: &Receiver<Line>) {
        while let Ok(first) = lines.recv() {
            let mut last = self.format(first);
            for _ in 1..BATCH {
                if self.out.text.len().max(self.err.text.len()) >= BATCH_BYTES {
                    break;
                }
                match lines.try_recv() {
                    Ok(line) => last = last.or(self.format(line)),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            self.flush();
            if let Some(done) = last {
                let _ = done.try_send(());
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "this thread is the writer's own, and a rest is meant")]
            thread::sleep(REST);
        }
    }

    fn format(&mut self, line: Line) -> Option<SyncSender<()>> {
        self.queued.bytes.fetch_sub(line.weight(), Ordering::Relaxed);
        match line {
            Line::Sent { sent, id, lang } => pretty::sent(&sent, id, lang, &mut self.out.text),
            Line::Answered { status, route, took, id, lang } => {
                pretty::answered(status, route.as_deref(), took, id, lang, &mut self.out.text);
            }
            Line::Failed { kind, step, detail, id, lang } => {
                let to = if pretty::is_for_stderr(kind) { &mut self.err } else { &mut self.out };
                pretty::failed(&Why { kind, step, detail: detail.as_deref(), id, lang }, &mut to.text);
            }
            Line::Broken { end, route, id, took, lang } => {
                pretty::broken(end, route.as_deref(), took, id, lang, &mut self.out.text);
            }
            Line::Spent { spending, route, id, took, lang } => {
                pretty::spent(&spending, route.as_deref(), took, id, lang, &mut self.out.text);
            }
            Line::Ended { entry } => entry.write_json(&mut self.out.text),
            Line::Unmet { peer, why, lang } => {
                if let Some(others) = self.unmet.turn(Instant::now()) {
                    let say = Say::Unmet { peer: &peer, why: &why.in_lang(lang), others };
                    push(&mut self.err, &say.in_lang(lang));
                }
            }
            Line::Uncounted { route, why, lang } => {
                if self.uncounted.len() > MAX_ROUTES {
                    self.uncounted.clear();
                }
                if let Some(others) = self.uncounted.entry(Arc::clone(&route)).or_default().turn(Instant::now()) {
                    push(&mut self.err, &NotCounted { route: &shown(&*route), why: &why, others }.in_lang(lang));
                }
            }
            Line::Notice(text) => push(&mut self.out, &text),
            Line::Alarm(text) => push(&mut self.err, &text),
            Line::Last(done) => return Some(done),
        }
        None
    }

    /// Says how many lines are missing: where an output takes nothing, once in a while.
    fn tell_loss(&mut self) {
        let missing = self.queued.dropped.load(Ordering::Relaxed);
        if missing > 0 && (!self.out.is_stuck() || self.loss.turn(Instant::now()).is_some()) {
            self.queued.dropped.fetch_sub(missing, Ordering::Relaxed);
            push(&mut self.err, &Say::LinesDropped(missing).in_lang(self.lang));
        }
    }

    /// An output that is closed or full is no reason to stop: the proxy goes on without its log.
    fn flush(&mut self) {
        let at_once = if self.is_shared.load(Ordering::Relaxed) { WHOLE } else { usize::MAX };
        let lost = self.out.flush(at_once);
        self.queued.dropped.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tell_loss();
        // What this one does not take nobody is there to be told of.
        self.err.flush(at_once);
    }
}

fn push(to: &mut Sink, text: &dyn std::fmt::Display) {
    use std::fmt::Write;
    // Writing to a string does not fail.
    let _ = writeln!(to.text, "{text}");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing before it is told to.
    struct Stuck {
        started: Sender<()>,
        go: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.started.send(());
            let _ = self.go.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_go_where_they_belong_before_the_end() {
        let (out, err) = (Shared::default(), Shared::default());
        let output = Output { out: Box::new(out.clone()), err: Box::new(err.clone()) };
        let log = Log::start(output, Lang::En).expect("a thread");
        log.write(Line::Notice("one".into()));
        log.write(Line::Alarm("two".into()));
        log.finish(Duration::from_secs(10));
        assert_eq!(out.0.lock().expect("not poisoned").as_slice(), b"one\n");
        assert_eq!(err.0.lock().expect("not poisoned").as_slice(), b"two\n");
    }

    #[test]
    fn a_stuck_output_costs_lines_and_no_time() {
        let ((started, has_started), (go, wait)) = (channel(), channel());
        let err = Shared::default();
        let output = Output { out: Box::new(Stuck { started, go: wait }), err: Box::new(err.clone()) };
        let log = Log::start(output, Lang::En).expect("a thread");
        log.write(Line::Notice("first".into()));
        has_started.recv().expect("the writer writes");
        for _ in 0..QUEUE + 5 {
            log.write(Line::Notice("x".into()));
        }
        log.finish(Duration::ZERO);
        drop(go);
        while !err.0.lock().expect("not poisoned").starts_with("⚠️  5 log lines were dropped".as_bytes()) {
            thread::yield_now();
        }
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let ((started, has_started), (go, wait)) = (channel(), channel());
        let err = Shared::default();
        let output = Output { out: Box::new(Stuck { started, go: wait }), err: Box::new(err.clone()) };
        let log = Log::start(output, Lang::En).expect("a thread");
        log.write(Line::Notice("first".into()));
        has_started.recv().expect("the writer writes");
        let long = "x".repeat(QUEUE_BYTES / 10);
        for _ in 0..15 {
            log.write(Line::Notice(long.clone()));
        }
        assert!(log.queued.bytes.load(Ordering::Relaxed) <= QUEUE_BYTES);
        drop(go);
        log.finish(Duration::from_secs(10));
        assert!(err.0.lock().expect("not poisoned").starts_with("⚠️  5 log lines were dropped".as_bytes()));
        assert_eq!(log.queued.bytes.load(Ordering::Relaxed), 0);
    }
}
