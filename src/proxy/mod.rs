//! The walk: the way of one request through the house.
//!
//! [`serve`] greets a client, and takes its connection from request to request. For each, [`handle`] never fails: what goes wrong
//! inside becomes an answer, and is on record either way. [`walk`] is the table of contents: it strings the stations
//! together and decides nothing itself.

mod again;
mod attempt;
#[cfg(debug_assertions)]
mod bug;
mod choose;
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
use crate::ending::End;
use crate::error::{Error, Kind};
use crate::h1::RequestHead;
use crate::peer::Peer;
use crate::record::{Id, Log, Record};
use crate::text::Unmet;
use crate::upstream::{Limits, Own, Upstreams};

use again::Leg;
use choose::Way;
use exchange::{After, Exchange, Failure};

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
    let Some((client, protocol)) = greet(arrival, ticket, seat, &worker).await else { return };
    let client = match protocol {
        Protocol::Http1 => serve_requests(client, &worker).await,
        Protocol::Http2 => Some(client),
    };
    if let Some(client) = client {
        // Boxed: what a few connections need must not weigh on all.
        Box::pin(serve_streams(client, worker)).await;
    }
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
                serve_requests(client, &worker).await;
            } else {
                refuse(&mut client, &worker, Error::new(Kind::Overloaded)).await;
            }
        });
    }
}

/// Serves one request after another. Gives the client back if it turns out to speak HTTP/2.
async fn serve_requests(mut client: Client, worker: &Worker) -> Option<Client> {
    let mut is_first = true;
    loop {
        let accept = worker.live.current().accept;
        let after = match client.next_request(&accept).await {
            Ok(mut head) => handle(&mut client, &mut head, worker).await,
            Err(NoRequest::Over) => return None,
            Err(NoRequest::Bad(_)) if is_first && client.begins_http2() => return Some(client),
            Err(NoRequest::Bad(violation)) => refuse(&mut client, worker, violation.into()).await,
            Err(NoRequest::TooSlow) => refuse(&mut client, worker, Error::new(Kind::RequestTimeout)).await,
        };
        is_first = false;
        match after {
            After::NextRequest => continue,
            After::Close => client.close().await,
            After::Linger => client.linger().await,
            After::Cut => {}
            After::VisibleCut => client.cut().await,
        }
        return None;
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
    let after = match walk(&mut exchange, client, head, worker).await {
        Ok(after) => after,
        Err(Failure::Answer(error)) => reply::error(&mut exchange, client, head, &error).await,
        Err(Failure::ClientGone) => exchange.ends(End::ClientGone, After::Cut),
    };
    client.rests_since = exchange.ended_at;
    after
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
) -> Result<After, Failure> {
    let snapshot = Arc::clone(&exchange.snapshot);
    let mut leg = match exchange.choose(&snapshot, head)? {
        Way::Health => return Ok(reply::health(exchange, client, head).await),
        Way::Preflight(lines) => return Ok(reply::preflight(exchange, client, head, lines).await),
        Way::Route(route, forward) => {
            let admission = exchange.admit(route).await?;
            Leg::first(exchange, route, forward, admission, client.peer, head)
        }
    };
    let mut relay = exchange.relay(client, head, &leg.forward.key);
    exchange.listen(&mut relay, head, leg.route);
    let (upstream, answer) = loop {
        leg.pick(exchange.began);
        attempt::begin(exchange, &mut relay, head, leg.route, &mut leg.forward)?;
        let key = &leg.forward.key;
        let answered = attempt::answer_head(&mut relay, worker.upstreams(), key, exchange.is_idempotent).await;
        exchange.note_request(&relay);
        leg.answered(&answered, exchange, worker);
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
        let tunnel = switch::tunnel(exchange, relay, upstream, &answer);
        drop(answer);
        return Ok(switch::carry(exchange, tunnel).await);
    }
    let mut plan = respond::plan(exchange, &relay, head, worker, leg.route, &answer);
    drop(answer);
    let after = respond::carry(exchange, &mut relay, worker, &leg.forward.key, upstream, &mut plan).await;
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
