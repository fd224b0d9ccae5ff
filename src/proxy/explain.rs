//! The walk without I/O: what would become of a request, and why. It asks the same stations.

use std::sync::Arc;

use super::choose::{self, Way};
use crate::config::{Route, Snapshot};
use crate::error::Error;
use crate::h1::{RequestHead, Upgrade};
use crate::headers::Action;
use crate::relay::Timeouts;
use crate::upstream::Taken;

/// What would become of a request.
pub enum Explained {
    /// The proxy says that it is alive.
    Health,
    /// The proxy refuses it.
    Refused(Error),
    /// It goes out.
    Forwarded(Box<Plan>),
}

/// How it goes out.
pub struct Plan {
    /// Along which route.
    pub route: Arc<Route>,
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
    /// What becomes of each header, in order.
    pub headers: Vec<(Vec<u8>, Action)>,
    /// Its time limits.
    pub timeouts: Timeouts,
}

/// Says what would become of a request.
#[must_use]
pub fn explain(snapshot: &Snapshot, head: &RequestHead) -> Explained {
    let (route, forward) = match choose::choose(snapshot, head) {
        Ok(Way::Route(route, forward)) => (route, forward),
        Ok(Way::Health) => return Explained::Health,
        Err(error) => return Explained::Refused(error),
    };
    let way = match route.way_out.take(&forward.key.origin) {
        Ok(way) => way,
        Err(bad) => return Explained::Refused(choose::no_way_out(route, bad)),
    };
    let to = forward.outgoing(route, head, false);
    let mut headers = Vec::new();
    route.headers.write_request(head, &to, &mut Vec::new(), |name, action| headers.push((name.to_vec(), action)));
    Explained::Forwarded(Box::new(Plan {
        route: Arc::clone(route),
        stripped: choose::stripped(snapshot, head),
        base: forward.base(),
        way,
        host: forward.forward.host.to_vec(),
        upgrade: route.upgrade(head).cloned(),
        target: forward.forward.target,
        headers,
        timeouts: route.timeouts,
    }))
}
