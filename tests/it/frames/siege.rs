//! A proxy that somebody means to wear out, and somebody else who goes on using it meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::frames::{END_HEADERS, END_STREAM, Fate, Frames, HEADERS, request_for};
use crate::support::{Client, Proxy, Upstream};

/// How much memory an attack may cost at its peak, in KiB.
const MOST: u64 = 64 * 1024;
/// How long anybody else may have to wait meanwhile. Machines are busy; that nobody waits for good is what counts.
const PROMPTLY: Duration = Duration::from_secs(5);

/// A proxy under attack.
pub(super) struct Siege {
    pub(super) proxy: Proxy,
    before: u64,
    is_over: Arc<AtomicBool>,
    bystander: Option<JoinHandle<Duration>>,
}

impl Siege {
    /// Of a proxy with these limits, whose route `a` leads to an upstream that may be part of the attack.
    pub(super) fn lay(upstream: &str, limits: &Value) -> Self {
        Self::lay_on(&json!({"target_url": upstream}), limits)
    }

    /// The same, with a route of any kind.
    pub(super) fn lay_on(route: &Value, limits: &Value) -> Self {
        let good = Upstream::ok();
        let routes = json!({"a": route, "good": {"target_url": good.url()}});
        let proxy = Proxy::start(&json!({"server": {"log_requests": false, "limits": limits}, "routes": routes}));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut siege = Self { proxy, before: 0, is_over, bystander: None };
        let mut client = siege.proxy.client();
        assert!(serves(&mut client) < PROMPTLY);
        siege.before = siege.peak();
        let is_over = Arc::clone(&siege.is_over);
        siege.bystander = Some(thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::SeqCst) {
                slowest = slowest.max(serves(&mut client));
                thread::park_timeout(Duration::from_millis(1));
            }
            drop(good);
            slowest
        }));
        siege
    }

    /// An attacker, who has said who he is.
    pub(super) fn attacker(&self) -> Frames {
        Frames::open(self.proxy.address())
    }

    /// The end of it: what has it cost?
    pub(super) fn ends(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(bystander) = self.bystander.take() {
            let slowest = bystander.join().expect("others are served");
            assert!(slowest < PROMPTLY, "somebody else waited for {slowest:?}");
        }
        let mut frames = self.attacker();
        frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, request_for("/good", "GET", &[]));
        assert_eq!(frames.fate(1), Fate::Answered(200));
        let grown = self.peak() - self.before;

        assert!(grown < MOST, "{grown} KiB");
        assert!(self.proxy.is_alive() && self.proxy.err().is_empty(), "{}", self.proxy.err());
    }

    /// How much memory it has cost at its peak, in KiB.
    pub(super) fn grown(&self) -> u64 {
        self.peak() - self.before
    }

    fn peak(&self) -> u64 {
        self.proxy.memory("status", "VmHWM:")
    }
}

fn serves(client: &mut Client) -> Duration {
    let began = Instant::now();
    assert_eq!(client.ask("GET /good HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    began.elapsed()
}
