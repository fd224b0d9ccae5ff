//! The keys that one exchange takes, one for each attempt, where its route has several.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Worker;
use super::choose::Forwarding;
use super::exchange::Exchange;
use crate::config::Route;
use crate::h1::{RequestHead, ResponseHead};
use crate::peer::Peer;
use crate::pick::{Change, Keys, Session, Strategy, Turn};
use crate::text::{Entry, Rested, Stands, shown};

/// What an exchange has taken of the keys of its route.
pub(super) struct Taken<'a> {
    route: &'a Route,
    keys: &'a Keys,
    session: Option<Session>,
    /// The places of those that it has tried.
    tried: Vec<usize>,
    turn: Option<Turn>,
}

/// What is taken along a route: nothing, where it has not several keys, or the client's own is sent. Boxed, since it is
/// held for as long as the exchange runs.
pub(super) fn of<'a>(
    route: &'a Route,
    forward: &Forwarding,
    exchange: &Exchange,
    peer: Peer,
    head: &RequestHead,
) -> Option<Box<Taken<'a>>> {
    let keys = route.keys.as_ref()?;
    if !forward.takes_from_lists(route, head, exchange.edits()) {
        return None;
    }
    let session = session(keys.strategy(), exchange, peer, head);
    Some(Box::new(Taken { route, keys, session, tried: Vec::new(), turn: None }))
}

impl Taken<'_> {
    /// Takes the key of the next attempt, and gives its place.
    pub(super) fn next(&mut self, now: Instant) -> usize {
        // Its time is that of the exchange for the first attempt only, and costs nothing then.
        let now = if self.tried.is_empty() { now } else { Instant::now() };
        // What was taken before is free for others before this one is picked.
        self.turn = None;
        let turn = self.keys.pick(now, self.session, &self.tried);
        let place = turn.place();
        self.tried.push(place);
        self.turn = Some(turn);
        place
    }

    /// Whether a key is left that has not been tried and does not rest.
    pub(super) fn is_one_left(&self) -> bool {
        self.keys.is_one_left(Instant::now(), &self.tried)
    }

    /// Takes note of what an attempt was answered with: a head with this status, or one whose stream stands for it.
    pub(super) fn answered(&mut self, status: u16, answer: &ResponseHead, exchange: &Exchange, worker: &Worker) {
        let Some(turn) = &mut self.turn else { return };
        let Some(told) = self.keys.answered(turn, status, &answer.fields, Instant::now()) else { return };
        let now = match told.change {
            Change::Limited(pause) => Stands::Limited(pause.as_secs_f64()),
            Change::Out(pause) => Stands::Refused(status, pause.as_secs_f64()),
            Change::Good => Stands::Good,
        };
        let (route, entry) = (&shown(&*self.route.key), Entry::Key(turn.place()));
        worker.log.alarm(exchange.snapshot.lang, &Rested { route, entry, now, others: told.others });
    }
}

/// What belongs to the same session as this request, where that decides.
fn session(strategy: &Strategy, exchange: &Exchange, peer: Peer, head: &RequestHead) -> Option<Session> {
    match strategy {
        Strategy::RoundRobin | Strategy::Random | Strategy::LeastUsed => None,
        Strategy::StickyHeader(name) => {
            let mut values = head.fields.iter().filter(|field| field.name().eq_ignore_ascii_case(name.as_bytes()));
            values.next().map(|field| Session::of(field.value()))
        }
        Strategy::StickyClient => {
            if let Some(client) = &exchange.client {
                return Some(Session::of(client.name.as_bytes()));
            }
            let trusted = &exchange.snapshot.greeting.trusted;
            match trusted.client(peer, head.fields.values(b"x-forwarded-for")) {
                Peer::Address(address) => Some(of_address(address.ip())),
                Peer::Host(address) => Some(of_address(address)),
                Peer::Local => None,
            }
        }
    }
}

fn of_address(address: IpAddr) -> Session {
    match address {
        IpAddr::V4(address) => Session::of(&address.octets()),
        IpAddr::V6(address) => Session::of(&address.octets()),
    }
}
