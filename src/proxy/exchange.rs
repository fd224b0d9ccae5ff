//! What one request carries with it on its way.

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use super::again::Course;
use super::choose::{self, Asked, Forwarding, Here, Way};
use super::early::Promise;
use super::meter::Meter;
use super::uncounted::Watch;
use crate::accept::Client;
use crate::admit::{self, Admission, Credentials};
use crate::config::{Route, Snapshot};
use crate::ending::End;
use crate::error::{Error, Kind};
use crate::h1::{self, Edit, Framing, RequestHead, Trailers, Version};
use crate::headers::{Action, Rule};
use crate::record::{Change, Forwarded, Record, Sent};
use crate::relay::{Break, Flow, Nature, Outbox, Relay};
use crate::spending::Money;
use crate::stock;
use crate::upstream::Key;

/// One exchange.
pub(super) struct Exchange {
    /// The configuration that was in force when it began. It keeps it, whatever comes after.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) record: Record,
    pub(super) began: Instant,
    /// When the last byte of its answer had been written.
    pub(super) ended_at: Option<Instant>,
    /// Whether its answer has no body.
    pub(super) to_head: bool,
    /// Whether it does no harm to ask twice (RFC 9110 section 9.2.2).
    pub(super) is_idempotent: bool,
    /// How much of the request is left in the client's connection.
    pub(super) request_left: Left,
    /// Who asks, where that has to be somebody or is said all the same.
    pub(super) client: Option<Arc<admit::Client>>,
    /// What he has proved it with. Boxed: there is none where everybody may come.
    pub(super) credentials: Option<Box<Credentials>>,
    /// What its answer says to pages in browsers, as lines, if there are rules for that.
    pub(super) cors: Option<Box<[u8]>>,
    /// What was done to have it answered, where more than one attempt may be made.
    pub(super) course: Option<Box<Course>>,
    /// Who reads along what it uses, where somebody wants to know.
    pub(super) meter: Option<Box<Meter>>,
    /// Who is told if limits cannot count what it uses, where there are such limits.
    pub(super) watch: Option<Box<Watch>>,
    /// What is kept for an answer that may begin before the upstream's.
    pub(super) early: Option<Box<Promise>>,
    /// Whether the log has been told what becomes of the request.
    is_told: bool,
}

/// How much of a request is left in the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: the next request begins there.
    Nothing,
    /// All of its body.
    Body,
    /// Something that nobody knows the end of.
    Rest,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may come.
    NextRequest,
    /// It ends.
    Close,
    /// It ends, but the client may still be sending: it is listened to until it has read what it was told.
    Linger,
    /// It ends at once.
    Cut,
    /// It ends in such a way that the client sees that the answer is not whole.
    VisibleCut,
}

/// Why a walk did not get to its end.
pub(super) enum Stop {
    /// It led nowhere: what was asked for is answered here.
    Here(Here),
    /// Something went wrong.
    Failed(Failure),
}

/// What went wrong.
pub(super) enum Failure {
    /// The client is told.
    Answer(Error),
    /// There is nobody to tell: the client has left, or does not read.
    NobodyToTell(End),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

impl From<Break> for Failure {
    fn from(broken: Break) -> Self {
        Self::Answer(match broken {
            Break::ClientGone => return Self::NobodyToTell(End::ClientGone),
            Break::ClientStalled => return Self::NobodyToTell(End::ClientStalled),
            Break::RequestTimeout => Error::new(Kind::RequestTimeout),
            Break::BadBody(violation) => violation.into(),
            Break::BodyTooLarge => Error::new(Kind::BodyTooLarge),
            // So says HTTP/2 of what it cannot read.
            Break::UpstreamClosed(error) if error.kind() == io::ErrorKind::InvalidData => {
                Error::new(Kind::UpstreamBadAnswer).detail(error)
            }
            Break::UpstreamClosed(error) => Error::new(Kind::UpstreamReset).detail(error),
            Break::BadAnswer(bad) => Error::new(Kind::UpstreamBadAnswer).detail(bad),
            Break::Timeout(limit) => Error::new(Kind::UpstreamTimeout(limit)),
        })
    }
}

impl Exchange {
    pub(super) fn new(snapshot: Arc<Snapshot>, mut record: Record, began: Instant, head: &RequestHead) -> Self {
        record.request(head.method(), head.raw_target());
        let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
        let request_left = if has_body { Left::Body } else { Left::Nothing };
        let to_head = h1::is_to_head(head);
        let is_idempotent = matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE");
        Self {
            snapshot,
            record,
            began,
            ended_at: None,
            to_head,
            is_idempotent,
            request_left,
            client: None,
            credentials: None,
            cors: None,
            course: None,
            meter: None,
            watch: None,
            early: None,
            is_told: false,
        }
    }

    /// Station `route`, and of station `admit` who may go where.
    pub(super) fn choose<'a>(&mut self, snapshot: &'a Snapshot, head: &RequestHead) -> Result<Way<'a>, Error> {
        let asked = choose::find(snapshot, head);
        let cors = asked.as_ref().map_or(snapshot.cors.as_deref(), |asked| asked.cors(snapshot));
        self.cors = cors.map(|cors| cors.answer_lines(head));
        if let Some(route) = asked.as_ref().ok().and_then(Asked::route) {
            self.record.route(&route.key);
        }
        if let Some(lines) = choose::preflight(cors, head)? {
            return Ok(Way::Here(Here::Preflight(lines)));
        }
        let asked = asked?;
        self.credentials = asked.credentials(snapshot, head);
        let credentials = self.credentials.as_deref();
        if let Some(owner) = credentials.and_then(Credentials::owner) {
            self.record.client(&owner.name);
        }
        asked.check(credentials)?;
        // Not before: what is said of it tells that there is such a route.
        self.course = asked.route().and_then(Course::on);
        self.client = credentials.and_then(Credentials::client).cloned();
        asked.way(snapshot, head, credentials)
    }

    /// Station `admit`: the exchange runs from here on, if it may. It has ended when what this gives goes.
    pub(super) async fn admit(&self, route: &Route) -> Result<Option<Box<Admission>>, Failure> {
        let client = self.client.as_ref().and_then(|client| client.limits.as_ref());
        route.admit.enter(client, self.began).await.map_err(|refused| Error::from(refused).into())
    }

    /// Both directions of the exchange, with nothing of the request on its way yet: each attempt begins with a head.
    pub(super) fn relay<'a>(
        &self,
        snapshot: &'a Snapshot,
        client: &'a mut Client,
        head: &RequestHead,
        key: &Key,
    ) -> Relay<'a> {
        let limits = &snapshot.client;
        let is_client_http2 = client.wire.is_http2();
        let trailers = if self.passes_trailers(is_client_http2, key) { Trailers::Pass } else { Trailers::Drop };
        let nature = Nature {
            to_head: self.to_head,
            expects_continue: head.expects_continue,
            understands_interim: head.version == Version::Http11,
            began: self.began,
        };
        let request = Flow::new(Outbox::default(), head.body(trailers)).with_limit(limits.max_body);
        Relay::new(&mut client.wire, &mut client.deadline, request, nature, limits)
    }

    /// Lines of the request that do not pass as they came.
    pub(super) fn edits(&self) -> &[Edit] {
        match &self.early {
            None => self.credentials.as_deref().map_or(&[], Credentials::edits),
            Some(promise) => promise.edits(),
        }
    }

    /// Whether the client has the head of an answer that is ours, whatever the upstream's will be.
    pub(super) fn has_begun_early(&self) -> bool {
        self.early.as_ref().is_some_and(|promise| promise.begun().is_some())
    }

    /// Station `usage`: from here on it is read along what the exchange uses, if the route wants to know, or one that may
    /// come to answer in its place.
    pub(super) fn listen(&mut self, relay: &mut Relay<'_>, head: &RequestHead, route: &Route) {
        if let Some(promise) = &self.early {
            promise.attach(relay, head);
        }
        let mut fallbacks = route.fallback.iter().map(|place| &self.snapshot.routes[*place]);
        if let Some(policy) = route.usage.as_ref().or_else(|| fallbacks.find_map(|route| route.usage.as_ref())) {
            self.meter = Meter::of(head, policy);
            if let Some(meter) = &self.meter {
                relay.tap_request(meter.on_request());
                if let Some(drain) = route.drain {
                    relay.drain(drain);
                }
            }
        }
    }

    /// Station `headers`: the head as it goes out in one attempt.
    pub(super) fn prepare(
        &mut self,
        is_client_http2: bool,
        route: &Route,
        forward: &Forwarding,
        head: &RequestHead,
    ) -> Vec<u8> {
        self.record.upstream(&forward.name, forward.proxy());
        self.record.key(forward.picked);
        self.record.attempt(&route.key);
        let to = forward.outgoing(route, head, self.edits(), self.passes_trailers(is_client_http2, &forward.key));
        let mut out = stock::take_bytes();
        let mut changes = Vec::new();
        let is_pretty = self.record.is_pretty();
        route.headers.write_request(head, &to, &mut out, |name, action| {
            if let (true, Some(change)) = (is_pretty, change(action)) {
                changes.push((change, name.into()));
            }
        });
        self.tell(head, || {
            Some(Forwarded {
                route: Arc::clone(&route.key),
                universal: forward.is_universal,
                base: forward.base().into(),
                target: forward.forward.target.as_slice().into(),
                proxy: forward.proxy().cloned(),
                headers: changes,
            })
        });
        out
    }

    /// Station `relay`: the request is taken from the client from here on, if it is not known to be too large.
    pub(super) fn take_body(&mut self, head: &RequestHead) -> Result<(), Error> {
        if let (Framing::Length(length), Some(max)) = (head.framing, self.snapshot.client.max_body)
            && length > max
        {
            return Err(Error::new(Kind::BodyTooLarge));
        }
        if self.request_left == Left::Body {
            self.request_left = Left::Rest;
        }
        Ok(())
    }

    /// Notes how much of the request a relay has taken.
    pub(super) fn note_request(&mut self, relay: &Relay<'_>) {
        if relay.is_request_read() {
            self.request_left = Left::Nothing;
        }
    }

    /// Tells the log what becomes of the request, once: what comes later is told as what happened on the way.
    pub(super) fn tell(&mut self, head: &RequestHead, forwarded: impl FnOnce() -> Option<Forwarded>) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let (snapshot, credentials) = (&self.snapshot, self.credentials.as_deref());
        self.record.sent(|| Sent {
            method: head.method().into(),
            target: head.raw_target().into(),
            client: credentials.and_then(Credentials::owner).map(|owner| Arc::clone(&owner.name)),
            stripped: choose::stripped(snapshot, head),
            forwarded: forwarded(),
        });
    }

    /// Whether trailers of a request may pass: only from HTTP/2 to HTTP/2, where nobody can take them for anything else,
    /// and not where another attempt may go to somebody who speaks HTTP/1.1, or what there is of the body is taken in before
    /// it is known who gets it.
    fn passes_trailers(&self, is_client_http2: bool, key: &Key) -> bool {
        key.http2 && is_client_http2 && self.course.is_none() && self.early.is_none()
    }

    /// Puts on record what has been used, if anybody has read along, and counts it where there are limits.
    pub(super) fn settle(&mut self, admission: Option<&Admission>) {
        if let Some(meter) = self.meter.take() {
            let mut spending = meter.spending();
            spending.cost = meter.policy.cost(&spending);
            let uncounted = admission
                .and_then(|admission| admission.settle(spending.tokens(), spending.cost.map(Money::picodollars)));
            if let Some(why) = uncounted.and_then(|what| meter.unknown(what, &spending)) {
                self.not_counted(why);
            }
            self.record.spent(spending);
        }
    }

    /// Notes the end, and passes on what becomes of the connection.
    pub(super) fn ends(&mut self, end: End, after: After) -> After {
        self.record.ended(end);
        after
    }
}

impl Drop for Exchange {
    /// Also of what is cut off at the end of the program it is on record how much it has used until then.
    fn drop(&mut self) {
        self.settle(None);
        if self.has_begun_early() {
            self.record.begun(200);
        }
    }
}

/// What of all decisions people want to read.
fn change(action: Action) -> Option<Change> {
    match action {
        Action::Added => Some(Change::Added),
        Action::Overwritten => Some(Change::Overwritten),
        Action::Kept => Some(Change::Kept),
        Action::Dropped(Rule::Configured) => Some(Change::Dropped),
        Action::Dropped(_) | Action::Passed => None,
    }
}
