//! A small language in which tests read as sentences: a proxy, upstreams that behave as they are told, clients that
//! speak bytes.

mod authority;
mod client;
pub(crate) mod frames;
mod haproxy;
pub(crate) mod http2;
mod message;
mod names;
mod network;
mod programs;
mod proxies;
mod proxy;
mod redis;
pub(crate) mod strict;
mod tls;
mod upstream;
mod ways;
mod witness;

use std::time::Duration;

pub(crate) use authority::{Authority, Pair, Session, begin_shared_tls, begin_tls};
pub(crate) use client::Client;
pub(crate) use haproxy::HaProxy;
pub(crate) use message::{Message, Received};
pub(crate) use names::{NameServer, Says};
pub(crate) use network::{Cable, Machine, in_own_network, run, wrap};
pub(crate) use programs::{Nginx, PythonServer, curl, python, python_with};
pub(crate) use proxies::{PASSWORD, PLAIN_PASSWORD, RealProxy, USER};
pub(crate) use proxy::{Proxy, aqueduct, free_port, has_ended, write_private};
pub(crate) use redis::Redis;
pub(crate) use tls::TlsUpstream;
pub(crate) use upstream::{Script, Upstream};
pub(crate) use ways::{TlsFront, http_proxy, socks_proxy};
pub(crate) use witness::Witness;

/// How long a test waits for something that has to happen before it fails. Generous: machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds, without sleeping longer than a moment at a time.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
