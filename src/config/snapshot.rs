//! The configuration as it is meant: checked, complete, immutable. It is swapped as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::h1::{RequestHead, Upgrade};
use crate::record::Style;
use crate::secret::Secret;
use crate::text::Lang;
use crate::{accept, admit, headers, pick, relay, retry, route, upstream, usage};

/// One whole configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// What takes effect at a start only.
    pub listen: Listen,
    /// The language of all that the program says.
    pub lang: Lang,
    /// How requests are logged, if they are.
    pub log: Option<Style>,
    /// How often the file is checked; zero is live.
    pub reload: Option<Duration>,
    /// How long running answers may go on at the end.
    pub shutdown_timeout: Duration,
    /// How clients are received.
    pub greeting: accept::Greeting,
    /// What is accepted from clients.
    pub accept: accept::Limits,
    /// What a client may cost while its exchange runs.
    pub client: relay::ClientLimits,
    /// How many clients may be connected.
    pub max_connections: usize,
    /// The keys of clients. `None`: everybody may come.
    pub keys: Option<admit::Keys>,
    /// What is said to pages in browsers, if anything.
    pub cors: Option<Arc<headers::Cors>>,
    /// Base path and keys; the numbers are places in `routes`.
    pub table: route::Table,
    /// Every route of the file, in its order.
    pub routes: Vec<Arc<Route>>,
    /// The answer to the question whether the proxy is alive.
    pub health: Box<str>,
    /// How TLS is spoken to upstreams, if any needs it.
    pub tls: Option<Arc<upstream::tls::Tls>>,
    /// How requests leave on routes that name no proxy themselves.
    pub way_out: upstream::WayOut,
    /// Where several instances count together.
    pub state: Option<Arc<admit::State>>,
    /// What the banner says of the global policy.
    pub force: bool,
    /// Client headers that are removed, as written.
    pub headers_to_drop: Vec<String>,
}

/// Where to listen, and with how many threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The places, in their order.
    pub places: Vec<accept::Place>,
    /// The number of threads; `None`: one for each core.
    pub workers: Option<usize>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its key.
    pub key: Arc<str>,
    /// Whether it is in the table.
    pub enabled: bool,
    /// Where it leads.
    pub target: Target,
    /// How its requests leave.
    pub way_out: upstream::WayOut,
    /// What the banner says of where it leads.
    pub shown_target: Box<str>,
    /// Whether everybody may use it, also where there are keys of clients.
    pub is_public: bool,
    /// What is said to pages in browsers, if that is not what is said to all.
    pub cors: Option<Arc<headers::Cors>>,
    /// How many exchanges may run at once.
    pub admit: admit::Policy,
    /// Which of its keys a request takes, where there are several.
    pub keys: Option<pick::Keys>,
    /// What is done to headers.
    pub headers: headers::Policy,
    /// Its own header policy, if it has one.
    pub force: Option<bool>,
    /// Whether HTTP/2 is spoken to its upstream.
    pub http2: bool,
    /// How it is read along what exchanges use, if it is.
    pub usage: Option<usage::Policy>,
    /// Whether and how long answers are read on whose client has left.
    pub drain: Option<relay::Drain>,
    /// Its time limits.
    pub timeouts: relay::Timeouts,
    /// How failed attempts are met. `None`: not at all.
    pub retry: Option<retry::Policy>,
    /// Which routes are asked when it fails: places in [`Snapshot::routes`].
    pub fallback: Box<[usize]>,
    /// How long a stream of events may be silent before a comment goes out. `None`: for ever.
    pub sse_keepalive: Option<Duration>,
    /// Whether such a stream also begins by itself when its upstream has not answered for so long.
    pub begins_early: bool,
    /// Whether its upstream may switch to another protocol when a client asks for it.
    pub takes_upgrades: bool,
}

impl Route {
    /// What of a request's wish to speak another protocol goes on.
    #[must_use]
    pub fn upgrade<'a>(&self, head: &'a RequestHead) -> Option<&'a Upgrade> {
        head.upgrade.as_ref().filter(|_| self.takes_upgrades)
    }
}

/// Several places to which a route leads.
#[derive(Debug)]
pub struct Several {
    /// In the order of the file.
    pub places: Box<[Place]>,
    /// Which of them is picked.
    pub picks: pick::Targets,
}

/// One of several places.
#[derive(Debug)]
pub struct Place {
    /// What is added to the rest of the path.
    pub url: route::Fixed,
    /// Which connections lead there.
    pub key: Arc<upstream::Key>,
    /// The place as the log names it: `scheme://host:port`.
    pub name: Arc<str>,
    /// What stands in `Authorization` there and nowhere else, if a login stands in its URL.
    pub authorization: Option<Secret>,
}

/// Where a route leads.
#[derive(Debug)]
pub enum Target {
    /// Nowhere: `target_url` is missing.
    Missing,
    /// To one place.
    Fixed {
        /// What is added to the rest of the path.
        url: route::Fixed,
        /// Which connections lead there.
        key: Arc<upstream::Key>,
        /// The place as the log names it: `scheme://host:port`.
        name: Arc<str>,
    },
    /// To one of several places.
    Several(Box<Several>),
    /// To wherever the client says, if this lets it.
    Universal(Arc<upstream::Guard>),
    /// To one place, but the environment names a proxy for it that cannot be used. Nothing is sent directly instead.
    NoWayOut(upstream::BadVariable),
}
