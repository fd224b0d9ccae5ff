//! The walk without I/O: what would become of a request, and why. It asks the same stations.

use std::sync::Arc;

use jiff::Timestamp;

use super::choose::{self, Here, Way};
use super::early;
use crate::admit::Credentials;
use crate::config::{Route, Snapshot};
use crate::error::Error;
use crate::h1::{Edit, RequestHead, Upgrade};
use crate::headers::Action;
use crate::relay::Timeouts;
use crate::upstream::Taken;

/// What would become of a request.
pub enum Explained {
    /// The proxy says that it is alive.
    Health,
    /// The proxy answers a browser's question, with these lines.
    Preflight(Box<[u8]>),
    /// The proxy refuses it.
    Refused(Error),
    /// It goes out.
    Forwarded(Box<Plan>),
}

/// How it goes out.
pub struct Plan {
    /// Along which route.
    pub route: Arc<Route>,
    /// For whom.
    pub client: Option<Arc<str>>,
    /// The base path and what was left of the path, if it was taken off.
    pub stripped: Option<(Box<str>, Box<[u8]>)>,
    /// `scheme://host`.
    pub base: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// How it leaves, and why so.
    pub way: Taken,
    /// What stands in `Host`.
    pub host: Vec<u8>,
    /// The protocols that the upstream may switch to.
    pub upgrade: Option<Upgrade>,
    /// Whether one of the route's keys is sent.
    pub picks: bool,
    /// Whether no coding of the answer is asked for, since it may begin before the upstream's.
    pub is_plain: bool,
    /// What becomes of each header, in order.
    pub headers: Vec<(Vec<u8>, Action)>,
    /// Its time limits.
    pub timeouts: Timeouts,
}

/// Says what would become of a request. `client` is who asks, if that is not to be found out from the request.
///
/// # Errors
/// There is nobody of this name.
pub fn explain(snapshot: &Snapshot, head: &RequestHead, client: Option<&str>) -> Result<Explained, NobodyOfThisName> {
    let credentials = match client {
        Some(name) => {
            Some(snapshot.keys.as_ref().and_then(|keys| keys.named(name, Timestamp::now())).ok_or(NobodyOfThisName)?)
        }
        None => None,
    };
    Ok(walk(snapshot, head, credentials.as_ref()).unwrap_or_else(Explained::Refused))
}

/// No client key has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyOfThisName;

fn walk(snapshot: &Snapshot, head: &RequestHead, given: Option<&Credentials>) -> Result<Explained, Error> {
    let asked = choose::find(snapshot, head);
    let cors = asked.as_ref().map_or(snapshot.cors.as_deref(), |asked| asked.cors(snapshot));
    if let Some(lines) = choose::preflight(cors, head)? {
        return Ok(Explained::Preflight(lines));
    }
    let asked = asked?;
    let found = asked.credentials(snapshot, head);
    let credentials = given.or(found.as_deref());
    asked.check(credentials)?;
    // What stands in the request is taken out of it, whoever asks.
    let (route, mut forward) = match asked.way(snapshot, head, found.as_deref())? {
        Way::Route(route, forward) => (route, forward),
        Way::Here(Here::Health) => return Ok(Explained::Health),
        Way::Here(Here::Preflight(lines)) => return Ok(Explained::Preflight(lines)),
    };
    let way = route.way_out.take(&forward.key.origin).map_err(|bad| choose::no_way_out(route, bad))?;
    let mut edits: Box<[Edit]> = found.as_deref().map_or(&[][..], Credentials::edits).into();
    let is_plain = early::may_begin(head, route);
    if is_plain {
        edits = early::edits(head, &edits);
    }
    let picks = forward.takes_from_lists(route, head, &edits);
    // Which one it will be is not known: all of them stand in the same headers.
    forward.picked = picks.then_some(0);
    let to = forward.outgoing(route, head, &edits, false);
    let mut headers = Vec::new();
    route.headers.write_request(head, &to, &mut Vec::new(), |name, action| headers.push((name.to_vec(), action)));
    Ok(Explained::Forwarded(Box::new(Plan {
        route: Arc::clone(route),
        client: credentials.and_then(Credentials::client).map(|client| Arc::clone(&client.name)),
        stripped: choose::stripped(snapshot, head),
        base: forward.base(),
        way,
        host: forward.forward.host.to_vec(),
        upgrade: route.upgrade(head).cloned(),
        target: forward.forward.target,
        picks,
        is_plain,
        headers,
        timeouts: route.timeouts,
    })))
}
