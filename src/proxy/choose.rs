//! Where a request goes, by its method and target alone, and whether whoever asks may go there.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use percent_encoding::percent_decode;
use tokio::time::Instant;

use crate::admit::Credentials;
use crate::config::{Route, Snapshot, Target as RouteTarget};
use crate::error::{Error, Kind};
use crate::h1::{Edit, RequestHead, Target};
use crate::headers::{Cors, NotAllowed, Outgoing, ToProxy, is_preflight};
use crate::pick::Turn;
use crate::relay::Sign;
use crate::route::{Chosen, Forward, universal};
use crate::secret;
use crate::stock;
use crate::upstream::{BadVariable, Key};

/// Methods that routes accept: all of them, in fact. These are the ones worth naming.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// Those of the question whether the proxy is alive.
const ALLOWED_AT_ROOT: &str = "GET, HEAD";

/// What a request asks for.
pub(super) enum Asked<'a, 'h> {
    /// Whether the proxy is alive.
    Health,
    /// A route, by the key that stands in it, if there is one of this key.
    Route {
        segment: &'h [u8],
        route: Option<&'a Arc<Route>>,
        /// What follows the key.
        rest: &'h [u8],
        query: Option<&'h [u8]>,
    },
}

/// Where a request goes.
pub(super) enum Way<'a> {
    /// Nowhere: it is answered here.
    Here(Here),
    /// Along a route.
    Route(&'a Arc<Route>, Forwarding),
}

/// What is no upstream's business.
pub(super) enum Here {
    /// Whether the proxy is alive.
    Health,
    /// A browser asks whether it may send what a page wants to send, and these lines say so.
    Preflight(Box<[u8]>),
}

/// Where a route leads this time.
pub(super) struct Forwarding {
    /// What is sent.
    pub(super) forward: Forward,
    /// Which connections lead there.
    pub(super) key: Arc<Key>,
    /// The place as the log names it.
    pub(super) name: Arc<str>,
    /// Whether the client named it.
    pub(super) is_universal: bool,
    /// Which of the keys of the route is sent, if one is.
    pub(super) picked: Option<usize>,
    /// Whether it is another origin than the one the client knows of.
    pub(super) is_foreign: bool,
    /// What is said in a silence of the answer, if anything is.
    pub(super) sign: Sign,
    /// Which of the targets of the route it is, if there are several.
    pub(super) target: Option<Box<Turn>>,
}

impl Forwarding {
    /// Makes the way one that can be switched to another protocol: no stream among others, and no whole request to a
    /// proxy.
    fn take_connection_of_its_own(&mut self) {
        if self.key.http2 || self.key.takes_whole_requests() {
            self.key = Arc::new(self.key.in_tunnel());
        }
    }

    /// What the head of the request needs to know of that, and whether its trailers pass.
    pub(super) fn outgoing<'a>(
        &'a self,
        route: &Route,
        head: &'a RequestHead,
        edits: &'a [Edit],
        trailers: bool,
    ) -> Outgoing<'a> {
        Outgoing {
            target: &self.forward.target,
            host: &self.forward.host,
            authorization: self.forward.authorization.as_ref(),
            is_foreign: self.is_foreign,
            trailers,
            upgrade: route.upgrade(head),
            edits,
            picked: self.picked,
            proxy: self
                .key
                .takes_whole_requests()
                .then(|| ToProxy { authorization: self.key.proxy.as_ref().and_then(|proxy| proxy.authorization()) }),
        }
    }

    /// Gives the storage of the target back, which has gone out: a request may wait for its answer for minutes.
    pub(super) fn forget_target(&mut self) {
        stock::give_bytes(std::mem::take(&mut self.forward.target));
    }

    /// Whether one of the route's keys is sent with this request: there are several, and the client's own is not kept.
    pub(super) fn takes_from_lists(&self, route: &Route, head: &RequestHead, edits: &[Edit]) -> bool {
        route.keys.is_some() && route.headers.takes_from_lists(head, &self.outgoing(route, head, edits, false))
    }

    /// The place as the operator or the client wrote it: `scheme://host`.
    pub(super) fn base(&self) -> Vec<u8> {
        [self.key.origin.scheme.name().as_bytes(), b"://", &self.forward.host].concat()
    }

    /// The upstream proxy on the way, masked.
    pub(super) fn proxy(&self) -> Option<&Arc<str>> {
        self.key.proxy.as_ref().map(|proxy| proxy.shown())
    }
}

/// What a request asks for.
pub(super) fn find<'a, 'h>(snapshot: &'a Snapshot, head: &'h RequestHead) -> Result<Asked<'a, 'h>, Error> {
    let target = match head.target() {
        // TRACE would send the injected key back to the client; CONNECT would open a tunnel past every route.
        _ if head.is("TRACE") || head.is("CONNECT") => return Err(not_allowed(ALLOWED)),
        Target::Authority(_) | Target::Asterisk => return Err(not_allowed(ALLOWED_AT_ROOT)),
        Target::Path(path) => path,
    };
    let choice = snapshot.table.choose(target);
    let is_read = head.is("GET") || head.is("HEAD");
    let query = choice.query;
    match choice.chosen {
        Chosen::Root if is_read => Ok(Asked::Health),
        Chosen::Root if choice.stripped => Err(Error::new(Kind::EmptyPath)),
        Chosen::Root => Err(not_allowed(ALLOWED_AT_ROOT)),
        Chosen::Unknown { segment } => Ok(Asked::Route { segment, route: None, rest: b"", query }),
        Chosen::Route { number, rest } => {
            let route = Some(&snapshot.routes[number]);
            Ok(Asked::Route { segment: &choice.effective[..choice.effective.len() - rest.len()], route, rest, query })
        }
    }
}

impl<'a> Asked<'a, '_> {
    /// The route, if there is one.
    pub(super) fn route(&self) -> Option<&'a Arc<Route>> {
        match self {
            Self::Route { route, .. } => *route,
            Self::Health => None,
        }
    }

    /// What is said to pages in browsers.
    pub(super) fn cors(&self, snapshot: &'a Snapshot) -> Option<&'a Cors> {
        self.route().and_then(|route| route.cors.as_deref()).or(snapshot.cors.as_deref())
    }

    /// Who asks, if anybody is asked for that.
    pub(super) fn credentials(&self, snapshot: &Snapshot, head: &RequestHead) -> Option<Box<Credentials>> {
        let (Some(keys), Self::Route { route, rest, query, .. }) = (&snapshot.keys, self) else { return None };
        let now = Timestamp::now();
        // The whole target is the client's own on such a route, and a part of the query may stand encoded in the path.
        let target = match route {
            Some(route) if matches!(route.target, RouteTarget::Universal(_)) => {
                universal(&route.key, rest, *query).ok()
            }
            _ => None,
        };
        let query = target.as_ref().map_or(*query, |forward| split_query(&forward.target).1);
        Some(Box::new(keys.find(head, query, now)))
    }

    /// Whether he may go on. Strangers are not told which routes there are: all but those that are open to everybody
    /// look alike to them.
    pub(super) fn check(&self, credentials: Option<&Credentials>) -> Result<(), Error> {
        match (self, credentials) {
            (Self::Health, _) | (_, None) => Ok(()),
            (Self::Route { route: None, .. }, Some(credentials)) => credentials.check().map(|_| ()),
            (Self::Route { route: Some(route), .. }, Some(_)) if route.is_public => Ok(()),
            (Self::Route { route: Some(route), .. }, Some(credentials)) => credentials.check_for(&route.key),
        }
    }

    /// Where it goes, without what the client has proved himself with.
    pub(super) fn way(
        self,
        snapshot: &'a Snapshot,
        head: &RequestHead,
        credentials: Option<&Credentials>,
    ) -> Result<Way<'a>, Error> {
        let (route, rest, query) = match self {
            Self::Health => return Ok(Way::Here(Here::Health)),
            Self::Route { segment, route: None, .. } => return Err(not_found(segment)),
            Self::Route { route: Some(route), rest, query, .. } => (route, rest, query),
        };
        let mut forwarding = forward(snapshot, route, rest, query, credentials, &[])?;
        if route.upgrade(head).is_some() {
            forwarding.take_connection_of_its_own();
        }
        Ok(Way::Route(route, forwarding))
    }
}

/// The way along another route than the one that was asked for. What the client proves itself with goes to no other
/// origin than before.
pub(super) fn fallback(
    snapshot: &Snapshot,
    route: &Route,
    head: &RequestHead,
    credentials: Option<&Credentials>,
    first: &Key,
) -> Result<Forwarding, Error> {
    let is_foreign = match &route.target {
        RouteTarget::Fixed { key, .. } => key.origin != first.origin,
        RouteTarget::Several(several) => several.places.iter().any(|place| place.key.origin != first.origin),
        _ => return Err(Error::new(Kind::Internal)),
    };
    along(snapshot, route, head, credentials, is_foreign, &[])
}

/// The way along this route, whatever the request asked for, and to none of the targets that were tried if there is
/// another. To another origin than the one the client knows of, no credentials of its own go.
pub(super) fn along(
    snapshot: &Snapshot,
    route: &Route,
    head: &RequestHead,
    credentials: Option<&Credentials>,
    is_foreign: bool,
    tried: &[usize],
) -> Result<Forwarding, Error> {
    let Asked::Route { rest, query, .. } = find(snapshot, head)? else { return Err(Error::new(Kind::Internal)) };
    let query = credentials.map_or(query, |credentials| credentials.query(query));
    let harmless = query.filter(|_| is_foreign).map(secret::without_credentials);
    let query = harmless.as_deref().or(query).filter(|query| !is_foreign || !query.is_empty());
    let mut forwarding = forward(snapshot, route, rest, query, None, tried)?;
    forwarding.is_foreign = is_foreign;
    if route.upgrade(head).is_some() {
        forwarding.take_connection_of_its_own();
    }
    Ok(forwarding)
}

/// The base path and what was left of the path, if it was taken off.
pub(super) fn stripped(snapshot: &Snapshot, head: &RequestHead) -> Option<(Box<str>, Box<[u8]>)> {
    let Target::Path(target) = head.target() else { return None };
    let choice = snapshot.table.choose(target);
    choice.stripped.then(|| (snapshot.table.base_path().as_str().into(), choice.effective.into()))
}

fn forward(
    snapshot: &Snapshot,
    route: &Route,
    rest: &[u8],
    query: Option<&[u8]>,
    credentials: Option<&Credentials>,
    tried: &[usize],
) -> Result<Forwarding, Error> {
    let without_keys = |query| credentials.map_or(query, |credentials| credentials.query(query));
    match &route.target {
        RouteTarget::Missing => Err(Error::with_answer(
            Kind::RouteMisconfigured,
            format!("Route '{}' is missing 'target_url' configuration.", route.key),
        )),
        RouteTarget::NoWayOut(bad) => Err(no_way_out(route, *bad)),
        RouteTarget::Fixed { url, key, name } => Ok(Forwarding {
            forward: url.forward(rest, without_keys(query))?,
            key: Arc::clone(key),
            name: Arc::clone(name),
            is_universal: false,
            picked: None,
            is_foreign: false,
            sign: Sign::Comment,
            target: None,
        }),
        RouteTarget::Several(several) => {
            let turn = several.picks.pick(Instant::now(), tried);
            let place = &several.places[turn.place()];
            let forward = place.url.forward(rest, without_keys(query))?;
            Ok(Forwarding {
                // A login in the URL of one target is for that one alone.
                forward: Forward { authorization: place.authorization.clone(), ..forward },
                key: Arc::clone(&place.key),
                name: Arc::clone(&place.name),
                is_universal: false,
                picked: None,
                is_foreign: false,
                sign: Sign::Comment,
                target: Some(Box::new(turn)),
            })
        }
        RouteTarget::Universal(guard) => {
            let mut forward = universal(&route.key, rest, query)?;
            let (path, query) = split_query(&forward.target);
            let rest = without_keys(query);
            if rest.map(<[u8]>::len) != query.map(<[u8]>::len) {
                forward.target = rest.map_or_else(|| path.to_vec(), |rest| [path, rest].join(&b'?'));
            }
            let origin = forward.origin.take().ok_or_else(|| Error::new(Kind::Internal))?;
            guard.check(&origin.host)?;
            let name = origin.to_string().into();
            let proxy = route.way_out.take(&origin).map_err(|bad| no_way_out(route, bad))?.proxy;
            let key = Key::new(origin, proxy, snapshot.tls.as_ref()).guarded(guard).speaking_http2(route.http2);
            let key = Arc::new(key);
            Ok(Forwarding {
                forward,
                key,
                name,
                is_universal: true,
                picked: None,
                is_foreign: false,
                sign: Sign::Comment,
                target: None,
            })
        }
    }
}

/// The environment wishes for a proxy that there is not.
pub(super) fn no_way_out(route: &Route, bad: BadVariable) -> Error {
    let answer = format!("Route '{}' has no usable upstream proxy.", route.key);
    Error::with_answer(Kind::RouteProxyUnusable, answer).detail(bad.name)
}

/// What is said to a browser that asks whether it may send something. It asks without any key.
pub(super) fn preflight(cors: Option<&Cors>, head: &RequestHead) -> Result<Option<Box<[u8]>>, Error> {
    match cors.filter(|_| is_preflight(head)) {
        Some(cors) => cors.preflight_lines(head).map(Some).map_err(|NotAllowed| Error::new(Kind::OriginNotAllowed)),
        None => Ok(None),
    }
}

/// A target's path and its query.
fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

fn not_allowed(allowed: &str) -> Error {
    Error::new(Kind::MethodNotAllowed).field("Allow", allowed)
}

fn not_found(segment: &[u8]) -> Error {
    let key: Cow<'_, [u8]> = percent_decode(segment).into();
    let key = secret::mask_path(&key);
    let key = String::from_utf8_lossy(&key);
    Error::with_answer(Kind::RouteNotFound, format!("Route '{key}' not found or is disabled."))
}
