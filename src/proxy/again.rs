//! From one attempt to the next: what came of it, what the route's policy says to that, and what has to be done before.
//!
//! Only exchanges on routes with `retry` or `fallback` come here, after each attempt. Whatever needs waiting stands in
//! one boxed future, so that others pay nothing for it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::Worker;
use super::choose::{self, Forwarding};
use super::exchange::{Exchange, Failure};
use super::keys::{self, Taken};
use super::{between, peek, targets};
use crate::admit::Admission;
use crate::config::{Route, Snapshot, Target};
use crate::drain::Phase;
use crate::error::{Error, Kind};
use crate::h1::{self, RequestHead, ResponseHead};
use crate::peer::Peer;
use crate::relay::{Break, Relay};
use crate::retry::{Next, Outcome, Policy, Situation};
use crate::sse;
use crate::stock;
use crate::text::{Attempt, Failed};
use crate::upstream::Key;
use crate::wire::Wire;

/// The policy of a route that only has fallbacks.
static UNSET: LazyLock<Policy> = LazyLock::new(Policy::default);

/// What came of an attempt.
pub(super) type Answered = Result<(Wire, ResponseHead), Failure>;

/// Where attempts go at present.
pub(super) struct Leg<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) forward: Forwarding,
    pub(super) admission: Option<Box<Admission>>,
    keys: Option<Box<Taken<'a>>>,
}

impl<'a> Leg<'a> {
    /// Along the route that was asked for, with the keys that will be picked from.
    pub(super) fn first(
        exchange: &mut Exchange,
        route: &'a Arc<Route>,
        forward: Forwarding,
        admission: Option<Box<Admission>>,
        peer: Peer,
        head: &RequestHead,
    ) -> Self {
        if let Some(course) = &mut exchange.course {
            course.peer = Some(peer);
        }
        let keys = keys::of(route, &forward, exchange, peer, head);
        Self { route, forward, admission, keys }
    }

    /// Station `pick`: which of the route's keys goes with the next attempt.
    pub(super) fn pick(&mut self, began: Instant) {
        self.forward.picked = self.keys.as_mut().map(|keys| keys.next(began));
    }

    /// Tells station `pick` what came of it, and whoever has to know if limits cannot count it.
    pub(super) fn answered(&mut self, answered: &Answered, exchange: &mut Exchange, worker: &Worker) {
        targets::attempted(&mut self.forward, self.route, answered, exchange, worker);
        if let (Some(admission), Ok((_, answer))) = (&self.admission, answered) {
            exchange.watch(admission, self.route, answer, worker);
        }
        if let (Some(keys), Ok((_, answer))) = (&mut self.keys, answered) {
            keys.answered(answer.status, answer, exchange, worker);
        }
    }

    /// Whether the next attempt would be made with another key or to another target, which has nothing to do with what
    /// came of this one.
    fn is_next_fresh(&self, outcome: Outcome, tried: &[usize]) -> bool {
        match (outcome, &self.route.target) {
            (Outcome::Status(401 | 402 | 403 | 429), _) => self.keys.as_ref().is_some_and(|keys| keys.is_one_left()),
            (_, Target::Several(several)) => several.picks.is_one_left(Instant::now(), tried),
            _ => false,
        }
    }
}

/// What has been done so far to have one request answered.
pub(super) struct Course {
    /// How many attempts were made, on all routes.
    attempts: u32,
    /// How many on the present one.
    made: u32,
    /// How many fallbacks were looked at.
    fallbacks: usize,
    /// How long the head was that went out last, in bytes.
    head_length: usize,
    body_buffer: usize,
    first: Arc<Route>,
    /// Which connections lead where the client wanted to go.
    first_key: Option<Arc<Key>>,
    present: Arc<str>,
    peer: Option<Peer>,
    /// Which targets of the present route failed, if it has several.
    tried: Vec<usize>,
}

impl Course {
    /// That of a request on this route, if there can be more than one attempt.
    pub(super) fn on(route: &Arc<Route>) -> Option<Box<Self>> {
        let policy = route.retry.as_ref()?;
        Some(Box::new(Self {
            attempts: 0,
            made: 0,
            fallbacks: 0,
            head_length: 0,
            body_buffer: policy.body_buffer,
            first: Arc::clone(route),
            first_key: None,
            present: Arc::clone(&route.key),
            peer: None,
            tried: Vec::new(),
        }))
    }

    /// Begins an attempt with a head of this length. Gives the length of the head before, and how many bytes are kept.
    pub(super) fn begin(&mut self, length: usize, key: &Arc<Key>) -> (usize, usize) {
        self.attempts += 1;
        self.made += 1;
        self.first_key.get_or_insert_with(|| Arc::clone(key));
        (std::mem::replace(&mut self.head_length, length), length.saturating_add(self.body_buffer))
    }

    /// What the client is told of it: fields of the answer.
    pub(super) fn fields(&self) -> [(&'static str, String); 2] {
        [("x-aqueduct-attempts", self.attempts.to_string()), ("x-aqueduct-route", spoken(&self.present))]
    }

    /// Puts that into the head of an answer. Another Aqueduct on the way may have said the same of itself.
    pub(super) fn sign(&self, head: &mut Vec<u8>) {
        let fields = self.fields();
        let mut signed = stock::take_bytes();
        for line in head.split_inclusive(|&byte| byte == b'\n').filter(|line| *line != b"\r\n") {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if !fields.iter().any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes())) {
                signed.extend_from_slice(line);
            }
        }
        for (name, value) in &fields {
            h1::encode::field(name, value.as_bytes(), &mut signed);
        }
        signed.extend_from_slice(b"\r\n");
        stock::give_bytes(std::mem::replace(head, signed));
    }

    /// Whether anything could come after this attempt, going by numbers alone.
    fn may_go_on(&self, policy: &Policy) -> bool {
        self.made < policy.attempts || self.fallbacks < self.first.fallback.len()
    }
}

/// What comes of an attempt: the answer that the client gets, or nothing where another attempt is to be made.
pub(super) async fn judge<'a>(
    exchange: &mut Exchange,
    relay: &mut Relay<'_>,
    head: &mut RequestHead,
    worker: &Worker,
    snapshot: &'a Snapshot,
    leg: &mut Leg<'a>,
    mut answered: Answered,
) -> Result<Option<(Wire, ResponseHead)>, Failure> {
    let Some(mut course) = exchange.course.take() else { return answered.map(Some) };
    let policy = leg.route.retry.as_ref().unwrap_or(&UNSET);
    let found = found(relay, policy, &course, leg, &mut answered).await;
    let mut next = Next::Tell;
    if let (Ok(Some((_, Failed::Stream(status)))), Some(keys), Ok((_, answer))) = (&found, &mut leg.keys, &answered) {
        keys.answered(*status, answer, exchange, worker);
    }
    if let Ok(Some((outcome, _))) = &found {
        let asked = match &answered {
            Ok((_, answer)) => h1::retry_after(&answer.fields, Timestamp::now()),
            Err(_) => None,
        };
        if let Some(turn) = &leg.forward.target {
            course.tried.push(turn.place());
        }
        let situation = Situation {
            made: course.made,
            is_repeatable: relay.can_begin_again(),
            asked,
            time_left: relay.time_left(),
            is_fresh: leg.is_next_fresh(*outcome, &course.tried),
        };
        next = policy.next(*outcome, situation, chance());
    }
    let failed = match found {
        Ok(found) => found.map(|(_, failed)| failed),
        Err(broken) => {
            exchange.course = Some(course);
            return Err(broken);
        }
    };
    let number = course.attempts;
    let gone_on = match next {
        Next::Tell => None,
        Next::Again(wait) => {
            Some((wait, other_target(exchange, &course, head, snapshot, leg).map(|next| (leg.route, next))))
        }
        Next::Fallback => {
            fallback(exchange, &mut course, head, snapshot, leg).await.map(|next| (Duration::ZERO, Some(next)))
        }
    };
    exchange.course = Some(course);
    let (Some((wait, next)), Some(why)) = (gone_on, failed) else {
        relay.settle();
        head.forget_lines();
        leg.forward.forget_target();
        return answered.map(Some);
    };
    let wait = if worker.drain().phase() > Phase::Serving { Duration::ZERO } else { wait };
    let detail = answered.as_ref().err().and_then(Failure::log_detail);
    let fallback = next.as_ref().filter(|(route, _)| !Arc::ptr_eq(route, leg.route)).map(|(route, _)| &*route.key);
    exchange.record.attempt_failed(&Attempt { number, why, detail, wait, fallback });
    between::pass(relay, worker, &leg.forward.key, answered, wait).await?;
    if let Some((route, forward)) = next {
        if !Arc::ptr_eq(route, leg.route) {
            let peer = exchange.course.as_ref().and_then(|course| course.peer);
            leg.keys = peer.and_then(|peer| keys::of(route, &forward, exchange, peer, head));
        }
        (leg.route, leg.forward) = (route, forward);
    }
    Ok(None)
}

/// What came of the attempt that could lead to another one, and why it failed.
async fn found(
    relay: &mut Relay<'_>,
    policy: &Policy,
    course: &Course,
    leg: &Leg<'_>,
    answered: &mut Answered,
) -> Result<Option<(Outcome, Failed)>, Failure> {
    let broken = match answered {
        Err(Failure::NobodyToTell(end)) => return Err(Failure::NobodyToTell(*end)),
        Err(Failure::Answer(error)) => {
            let kind = error.kind();
            return Ok(outcome(kind, relay.is_untouched()).map(|outcome| (outcome, Failed::Kind(kind))));
        }
        Ok((_, answer)) if answer.status >= 400 => {
            return Ok(Some((Outcome::Status(answer.status), Failed::Status(answer.status))));
        }
        Ok((upstream, answer)) => {
            let is_looked_at = policy.detects_stream_errors
                && course.may_go_on(policy)
                && relay.can_begin_again()
                && relay.is_request_sent()
                && sse::is_plain_stream(answer);
            if !is_looked_at {
                return Ok(None);
            }
            let limit = leg.route.timeouts.first_byte.unwrap_or(Duration::MAX);
            // What does not come in time may come later: the client gets the head, and waits for itself.
            match relay.pause(timeout(limit, peek::first_event(upstream, answer))).await? {
                Err(_) | Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(status))) => return Ok(Some((Outcome::Status(status), Failed::Stream(status)))),
                Ok(Err(error)) => Failure::from(Break::UpstreamClosed(error)),
            }
        }
    };
    *answered = Err(broken);
    Ok(Some((Outcome::Reset, Failed::Kind(Kind::UpstreamReset))))
}

/// What an attempt without an answer counts as. `None`: whatever is done, it would not help.
fn outcome(kind: Kind, is_untouched: bool) -> Option<Outcome> {
    Some(match (kind.was_connected()?, kind) {
        (false, _) => Outcome::Connect,
        (true, Kind::UpstreamTimeout(_)) => Outcome::Timeout,
        (true, _) if is_untouched => Outcome::Connect,
        (true, _) => Outcome::Reset,
    })
}

/// The way to a target of the same route that has not failed yet, where there are several.
fn other_target(
    exchange: &Exchange,
    course: &Course,
    head: &RequestHead,
    snapshot: &Snapshot,
    leg: &Leg<'_>,
) -> Option<Forwarding> {
    leg.forward.target.as_ref()?;
    let credentials = exchange.credentials.as_deref();
    choose::along(snapshot, leg.route, head, credentials, leg.forward.is_foreign, &course.tried).ok()
}

/// The next fallback that can take the request. The place on the route before is given up for one on it.
async fn fallback<'a>(
    exchange: &Exchange,
    course: &mut Course,
    head: &RequestHead,
    snapshot: &'a Snapshot,
    leg: &mut Leg<'a>,
) -> Option<(&'a Arc<Route>, Forwarding)> {
    let first_key = course.first_key.clone()?;
    while let Some(&place) = course.first.fallback.get(course.fallbacks) {
        course.fallbacks += 1;
        let route = &snapshot.routes[place];
        let Ok(forward) = choose::fallback(snapshot, route, head, exchange.credentials.as_deref(), &first_key) else {
            continue;
        };
        if route.admit.take_over(&mut leg.admission, Instant::now()).await.is_ok() {
            course.made = 0;
            course.tried.clear();
            course.present = Arc::clone(&route.key);
            return Some((route, forward));
        }
    }
    None
}

/// A number between 0 and 1. It only has to differ from that of others.
fn chance() -> f64 {
    let random = RandomState::new().hash_one(());
    #[expect(clippy::cast_precision_loss, reason = "a few bits are chance enough")]
    let part = (random >> 11) as f64 / (1_u64 << 53) as f64;
    part
}

/// The key of a route as it can stand in a header field.
fn spoken(key: &str) -> String {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain {
        key.to_owned()
    } else {
        percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
    }
}

impl Failure {
    /// What only the log reads of it.
    fn log_detail(&self) -> Option<&str> {
        match self {
            Self::Answer(error) => Error::log_detail(error),
            Self::NobodyToTell(_) => None,
        }
    }
}
