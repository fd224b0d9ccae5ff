//! The walk: the way of one request through the house.
//!
//! [`serve`] greets a client, and takes its connection from request to request. For each, [`handle`] never fails: what goes wrong
//! inside becomes an answer, and is on record either way. [`walk`] is the table of contents: it strings the stations
//! together and decides nothing itself.

mod again;
mod attempt;
mod between;
#[cfg(debug_assertions)]
mod bug;
mod choose;
mod early;
mod exchange;
pub mod explain;
mod keys;
mod meter;
mod peek;
mod reply;
mod respond;
mod switch;
mod targets;
mod uncounted;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::accept::{self, Arrival, BadHeader, Client, NoGreeting, NoRequest, Protocol, Seat, Streams};
use crate::config::{Live, Snapshot};
use crate::drain::{Drain, Ticket};
use crate::error::{Error, Kind};
use crate::h1::RequestHead;
use crate::peer::Peer;
use crate::record::{Id, Log, Record};
use crate::sse;
use crate::text::Unmet;
use crate::upstream::{Limits, Own, Upstreams};

use again::Leg;
use choose::Way;
use exchange::{After, Exchange, Failure, Stop};

/// What a worker thread works with. All of it but the configuration is its own.
pub struct Worker {
    live: Arc<Live>,
    log: Log,
    upstreams: Upstreams,
    drain: Drain,
    number: usize,
    exchanges: Cell<u64>,
}

impl Worker {
    /// The worker of this number, in a program that listens there.
    #[must_use]
    pub fn new(number: usize, live: Arc<Live>, log: Log, own: Own, limits: Limits) -> Self {
        // Names of exchanges should not be those of the run before.
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 7);
        let drain = Drain::default();
        let upstreams = Upstreams::new(drain.clone(), own, limits);
        Self { live, log, upstreams, drain, number, exchanges: Cell::new(seed) }
    }

    /// The configuration in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.live.current())
    }

    /// The worker's upstream connections.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// The worker's tasks.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    fn record(&self, snapshot: &Snapshot, peer: Peer, began: Instant) -> Record {
        let number = self.exchanges.replace(self.exchanges.get() + 1);
        Record::open(&self.log, snapshot.log, Id::new(self.number, number), peer, began)
    }
}

/// Serves one client for as long as both want to go on.
pub async fn serve(arrival: Arrival, ticket: Ticket, seat: Seat, worker: Rc<Worker>) {
    let Some((mut client, protocol)) = greet(arrival, ticket, seat, &worker).await else { return };
    let next = match protocol {
        Protocol::Http1 => serve_requests(&mut client, &worker).await,
        Protocol::Http2 => Next::Streams,
    };
    if next == Next::Streams {
        // Boxed: what a few connections need must not weigh on all.
        Box::pin(serve_streams(client, worker)).await;
    }
}

/// What becomes of a connection on which there are no more requests of HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It is over.
    Nothing,
    /// Its client turned out to speak HTTP/2.
    Streams,
}

/// Serves a client that speaks HTTP/2, each of its streams as if it were a connection.
async fn serve_streams(client: Client, worker: Rc<Worker>) {
    let accept = worker.live.current().accept;
    let peer = client.peer;
    let Some(mut streams) = Streams::begin(client, &accept).await else { return };
    while let Some(stream) = streams.next(&accept).await {
        let worker = Rc::clone(&worker);
        let seat = streams.seat(worker.live.current().max_connections);
        worker.clone().drain().spawn(|ticket| async move {
            let has_seat = seat.is_some();
            let mut client = Client::of_stream(stream, peer, ticket, seat);
            if has_seat {
                serve_requests(&mut client, &worker).await;
            } else {
                refuse(&mut client, &worker, Error::new(Kind::Overloaded)).await;
            }
        });
    }
}

/// Serves one request after another.
///
/// What an `async fn` is given by value it holds twice, and what is alive at two of its waits has a place of its own. So
/// here and below things are borrowed, or gone before the next wait: all of it weighs on every silent stream.
async fn serve_requests(client: &mut Client, worker: &Worker) -> Next {
    let mut is_first = true;
    loop {
        let mut next = {
            let accept = worker.live.current().accept;
            client.next_request(&accept).await
        };
        let after = match &mut next {
            Ok(head) => handle(client, head, worker).await,
            Err(NoRequest::Over) => return Next::Nothing,
            Err(NoRequest::Bad(_)) if is_first && client.begins_http2() => return Next::Streams,
            Err(NoRequest::Bad(violation)) => refuse(client, worker, (*violation).into()).await,
            Err(NoRequest::TooSlow) => refuse(client, worker, Error::new(Kind::RequestTimeout)).await,
        };
        is_first = false;
        match after {
            After::NextRequest => continue,
            After::Close => client.close().await,
            After::Linger => client.linger().await,
            After::Cut => {}
            After::VisibleCut => client.cut().await,
        }
        return Next::Nothing;
    }
}

/// Carries one request to its end, whatever that is.
async fn handle(client: &mut Client, head: &mut RequestHead, worker: &Worker) -> After {
    let began = Instant::now();
    #[cfg(debug_assertions)]
    bug::meet(head);
    let snapshot = worker.snapshot();
    let record = worker.record(&snapshot, asker(&snapshot, client, head), began);
    let mut exchange = Exchange::new(snapshot, record, began, head);
    let walked = walk(&mut exchange, client, head, worker).await;
    let after = conclude(walked, &mut exchange, client, head).await;
    client.rests_since = exchange.ended_at;
    after
}

/// Answers where a walk has not.
async fn conclude(
    walked: Result<After, Stop>,
    exchange: &mut Exchange,
    client: &mut Client,
    head: &RequestHead,
) -> After {
    match walked {
        Ok(after) => after,
        Err(Stop::Here(asked)) => reply::here(exchange, client, head, asked).await,
        Err(Stop::Failed(Failure::Answer(error))) => reply::error(exchange, client, head, &error).await,
        Err(Stop::Failed(Failure::NobodyToTell(end))) => exchange.ends(end, After::Cut),
    }
}

/// Who asks, as the log names it.
fn asker(snapshot: &Snapshot, client: &Client, head: &RequestHead) -> Peer {
    let trusted = &snapshot.greeting.trusted;
    if trusted.is_empty() || snapshot.log.is_none() {
        return client.peer;
    }
    trusted.client(client.peer, head.fields.values(b"x-forwarded-for"))
}

/// The way of a request.
async fn walk(
    exchange: &mut Exchange,
    client: &mut Client,
    head: &mut RequestHead,
    worker: &Worker,
) -> Result<After, Stop> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let (route, forward) = match exchange.choose(&snapshot, head)? {
        Way::Here(asked) => return Err(Stop::Here(asked)),
        Way::Route(route, forward) => (route, forward),
    };
    let admission = exchange.admit(route).await?;
    if route.begins_early {
        exchange.early = early::Promise::of(head, route, exchange, worker);
    }
    let mut leg = Leg::first(exchange, route, forward, admission, client.peer, head);
    let mut relay = exchange.relay(&snapshot, client, head, &leg.forward.key);
    exchange.listen(&mut relay, head, leg.route);
    let (mut upstream, answer) = loop {
        leg.pick(exchange.began);
        attempt::begin(exchange, &mut relay, head, leg.route, &mut leg.forward)?;
        let answered = {
            let key = &leg.forward.key;
            let answered = attempt::answer_head(&mut relay, worker.upstreams(), key, exchange.is_idempotent).await;
            exchange.note_request(&relay);
            leg.answered(&answered, exchange, worker);
            answered
        };
        if exchange.course.is_none() {
            break answered?;
        }
        // Boxed: what a few need must not weigh on all.
        let judged = Box::pin(again::judge(exchange, &mut relay, head, worker, &snapshot, &mut leg, answered));
        if let Some(answered) = judged.await? {
            break answered;
        }
    };
    if answer.status == 101 {
        let tunnel = switch::tunnel(exchange, relay, upstream, answer);
        return Ok(switch::carry(exchange, tunnel).await);
    }
    if exchange.has_begun_early() && !sse::is_plain_stream(&answer) {
        let failure = Box::pin(early::refusal(exchange, &mut relay, upstream, answer)).await;
        exchange.settle(leg.admission.as_deref());
        return Err(failure.into());
    }
    let mut plan = respond::plan(exchange, &relay, head, worker, &leg, answer);
    let carried = respond::carry(exchange, &mut relay, &mut upstream, &mut plan).await;
    let after = respond::end(exchange, &relay, worker, &leg.forward.key, upstream, &plan, carried);
    exchange.settle(leg.admission.as_deref());
    Ok(after)
}

/// Answers what is no request.
async fn refuse(client: &mut Client, worker: &Worker, error: Error) -> After {
    let snapshot = worker.snapshot();
    let mut record = worker.record(&snapshot, client.peer, Instant::now());
    reply::refusal(&mut record, client, &error).await
}

/// Brings a client to its first request.
async fn greet(arrival: Arrival, ticket: Ticket, seat: Seat, worker: &Worker) -> Option<(Client, Protocol)> {
    let snapshot = worker.snapshot();
    let peer = arrival.peer();
    let why = match arrival.greet(ticket, seat, &snapshot.greeting).await {
        Ok(greeted) => return Some(greeted),
        Err(NoGreeting::Gone) => return None,
        Err(NoGreeting::Tls(error, mut client)) => {
            worker.log.unmet(peer, Unmet::Tls(error.to_string()), snapshot.lang);
            client.linger().await;
            return None;
        }
        Err(NoGreeting::TooSlow) => Unmet::TooSlow,
        Err(NoGreeting::NotTrusted) => Unmet::NotTrusted,
        Err(NoGreeting::NoHeader(BadHeader::Missing)) => Unmet::NoHeader,
        Err(NoGreeting::NoHeader(BadHeader::Malformed | BadHeader::TooLong)) => Unmet::BadHeader,
    };
    worker.log.unmet(peer, why, snapshot.lang);
    None
}

/// Tells a client for whom there is no room to come back later.
pub async fn turn_away(arrival: Arrival, ticket: Ticket, seat: Seat, worker: Rc<Worker>) {
    let Some((mut client, protocol)) = greet(arrival, ticket, seat, &worker).await else { return };
    match protocol {
        Protocol::Http1 => {
            refuse(&mut client, &worker, Error::new(Kind::Overloaded)).await;
            client.linger().await;
        }
        Protocol::Http2 => turn_streams_away(client, worker).await,
    }
}

/// The same in HTTP/2, where an answer needs a request.
async fn turn_streams_away(client: Client, worker: Rc<Worker>) {
    let accept = worker.live.current().accept;
    // Nobody waits for long who is not to stay.
    let accept = accept::Limits { keep_alive_timeout: accept.head_timeout, ..accept };
    let peer = client.peer;
    let Some(mut streams) = Streams::begin(client, &accept).await else { return };
    while let Some(stream) = streams.next(&accept).await {
        streams.end();
        let worker = Rc::clone(&worker);
        worker.clone().drain().spawn(|ticket| async move {
            let mut client = Client::of_stream(stream, peer, ticket, None);
            refuse(&mut client, &worker, Error::new(Kind::Overloaded)).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_weighs_little_in_the_task_that_serves_it() {
        fn size<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        // Every silent stream weighs as much. See docs/design.md for what makes it grow.
        assert!(size(serve) <= 2048, "{} bytes", size(serve));
    }
}
