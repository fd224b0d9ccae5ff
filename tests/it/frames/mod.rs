//! HTTP/2 from peers that mean no good, or know no better: frame by frame, rule by rule (RFC 9113, RFC 7541).
//!
//! The rules are those that h2spec asks for, and more; h2spec itself is not run: it is no package of any registry
//! that the tests install from. Each case is a line of a table: what a client sends on a connection of its own, and
//! what has to become of it. Behind every case stand the same three claims: nothing but strictly valid requests of
//! HTTP/1.1 has reached the upstream, and so many as the case says; others are served as before; and where only a
//! stream was at fault, so is the next one on the same connection.
//!
//! Where the proxy is stricter or more lenient than the letter, the case says why that is safe. Beside the tables stand
//! sieges: floods and games that have to be bounded while others are served; and the same from the other side, with
//! upstreams that mean no good.

mod compression;
mod connection;
mod floods;
mod heads;
mod messages;
mod peer;
mod siege;
mod streams;
mod upstream_floods;
mod upstreams;
mod windows;

use serde_json::json;

use crate::support::frames::{Fate, Frames};
use crate::support::{Proxy, Witness};

/// One rule, and what happens when it is broken.
struct Case {
    /// What is done, and where it is written.
    rule: &'static str,
    does: Box<dyn Fn(&mut Frames)>,
    sees: Sees,
    /// How many whole requests reach the upstream.
    forwards: usize,
}

/// What a client sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// Its stream is answered, with one of these statuses.
    Status(u32, u16),
    /// Its stream is broken off.
    Reset(u32, u32),
    /// The connection ends with this code.
    GoAway(u32),
    /// The connection ends, with a word or without.
    End,
    /// Nothing at all.
    Nothing,
}

/// A stream that no case uses.
const NEXT: u32 = 1001;

fn case(rule: &'static str, sees: Sees, forwards: usize, does: impl Fn(&mut Frames) + 'static) -> Case {
    Case { rule, does: Box::new(does), sees, forwards }
}

/// Runs a table against one proxy, which has to live through all of it.
fn run(cases: &[Case]) {
    let upstream = Witness::start();
    let config = json!({"server": {"log_requests": false}, "routes": {"a": {"target_url": upstream.url()}}});
    let mut proxy = Proxy::start(&config);
    let mut bystander = Frames::open(proxy.address());
    let mut forwarded = 0;
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut frames = Frames::open(proxy.address());
        (case.does)(&mut frames);
        let seen = case.sees.look(&mut frames);
        if !case.sees.fits(seen.as_ref()) {
            failures.push(format!("{}: {seen:?}", case.rule));
        }
        if !matches!(case.sees, Sees::GoAway(_) | Sees::End) {
            failures.extend(serves(&mut frames, NEXT).map(|fate| format!("{}: then {fate:?}", case.rule)));
            forwarded += 1;
        }
        let stream = u32::try_from(2 * number + 1).expect("few");
        failures.extend(serves(&mut bystander, stream).map(|fate| format!("{}: others {fate:?}", case.rule)));
        forwarded += case.forwards + 1;
        let whole = upstream.whole().len();
        if whole != std::mem::replace(&mut forwarded, whole) {
            failures.push(format!("{}: other requests were forwarded: {:#?}", case.rule, upstream.whole()));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(proxy.is_alive() && proxy.err().is_empty(), "{}", proxy.err());
}

/// What becomes of a good request, if it is not answered.
fn serves(frames: &mut Frames, stream: u32) -> Option<Fate> {
    Some(frames.get(stream).fate(stream)).filter(|fate| *fate != Fate::Answered(200))
}

impl Sees {
    fn look(self, frames: &mut Frames) -> Option<Fate> {
        match self {
            Self::Status(stream, _) | Self::Reset(stream, _) => Some(frames.fate(stream)),
            Self::GoAway(_) | Self::End => Some(frames.end()),
            Self::Nothing => None,
        }
    }

    fn fits(self, seen: Option<&Fate>) -> bool {
        match (self, seen) {
            (Self::Status(_, status), Some(Fate::Answered(seen))) => *seen == status,
            (Self::Reset(_, code), Some(Fate::Reset(seen))) => *seen == code,
            (Self::GoAway(code), Some(Fate::GoneAway(seen))) => *seen == code,
            (Self::End, Some(Fate::GoneAway(_) | Fate::Closed)) | (Self::Nothing, None) => true,
            _ => false,
        }
    }
}
