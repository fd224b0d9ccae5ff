//! TCP to whichever of several addresses answers first.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::os;

/// After how long the next address is tried beside one that has not answered (RFC 8305 section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// How many addresses of one host are tried beside each other. The oldest is given up for one more.
const MAX_ATTEMPTS: usize = 6;
/// How many sockets a worker uses for addresses that are tried beside others, for all hosts together. A host may have many
/// addresses at which nobody answers, and sockets are what others need.
pub const MAX_BESIDE: usize = 8;

thread_local! {
    static BESIDE: Cell<usize> = const { Cell::new(0) };
}

/// One of these sockets.
struct Beside;

impl Beside {
    fn take() -> Option<Self> {
        let taken = BESIDE.get();
        (taken < MAX_BESIDE).then(|| {
            BESIDE.set(taken + 1);
            Self
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        BESIDE.set(BESIDE.get() - 1);
    }
}

/// Connects to the first address that answers, and makes the connection fit for use.
pub(super) async fn connect(addresses: Vec<IpAddr>, port: u16) -> io::Result<TcpStream> {
    let tcp = first(addresses, port).await?;
    tcp.set_nodelay(true)?;
    os::probe(&tcp);
    Ok(tcp)
}

/// Each address has a head start over the next, IPv6 and IPv4 in turn.
async fn first(addresses: Vec<IpAddr>, port: u16) -> io::Result<TcpStream> {
    type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

    let mut waiting = in_turn(addresses);
    let mut attempts: VecDeque<(Attempt, Option<Beside>)> = VecDeque::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut head_start = Box::pin(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut connected = None;
            attempts.retain_mut(|(attempt, _)| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(tcp)) => {
                    connected = Some(tcp);
                    false
                }
                Poll::Ready(Err(error)) => {
                    (failed, failure) = (true, describe(&error, &failure));
                    false
                }
            });
            if let Some(tcp) = connected {
                return Poll::Ready(Ok(tcp));
            }
            let is_due = failed || attempts.is_empty() || head_start.as_mut().poll(cx).is_ready();
            match waiting.pop_front() {
                Some(address) if is_due => {
                    head_start.as_mut().reset(Instant::now() + NEXT_ADDRESS_AFTER);
                    let beside = if attempts.is_empty() { None } else { Beside::take() };
                    if beside.is_none() || attempts.len() == MAX_ATTEMPTS {
                        attempts.pop_front();
                    }
                    attempts.push_back((Box::pin(TcpStream::connect(SocketAddr::new(address, port))), beside));
                    continue;
                }
                Some(address) => waiting.push_front(address),
                None if attempts.is_empty() => {
                    return Poll::Ready(Err(std::mem::replace(&mut failure, io::ErrorKind::Other.into())));
                }
                None => {}
            }
            return Poll::Pending;
        }
    })
    .await
}

/// Of several failures the one that says most is told: a refusal says more than a missing route.
fn describe(new: &io::Error, old: &io::Error) -> io::Error {
    let says_more = new.kind() == io::ErrorKind::ConnectionRefused || old.kind() != io::ErrorKind::ConnectionRefused;
    let told = if says_more { new } else { old };
    told.raw_os_error().map_or_else(|| told.kind().into(), io::Error::from_raw_os_error)
}

pub(super) fn in_turn(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = VecDeque::with_capacity(first.len() + second.len());
    while let Some(address) = first.pop_front() {
        ordered.push_back(address);
        std::mem::swap(&mut first, &mut second);
        if first.is_empty() {
            std::mem::swap(&mut first, &mut second);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses = ["::1", "::2", "::3", "10.0.0.1"].map(|address| address.parse().expect("valid"));
        let ordered: Vec<String> = in_turn(addresses.into()).iter().map(IpAddr::to_string).collect();
        assert_eq!(ordered, ["::1", "10.0.0.1", "::2", "::3"]);
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let addresses = ["127.0.0.2", "127.0.0.1"].map(|address| address.parse().expect("valid"));
        let tcp = connect(addresses.into(), port).await.expect("the second listens");
        assert_eq!(tcp.peer_addr().expect("connected").ip().to_string(), "127.0.0.1");
    }

    /// A listener at every local address that nobody can reach, since too many wait there already; and one that can be
    /// reached, on the same port of one address.
    fn crowded(good: [u8; 4]) -> (Vec<socket2::Socket>, std::net::TcpListener) {
        let bind = |address: [u8; 4], port: u16, backlog: i32| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            socket.set_reuse_port(true).expect("a socket");
            socket.bind(&SocketAddr::from((address, port)).into()).expect("binds");
            socket.listen(backlog).expect("listens");
            socket
        };
        let crowded = bind([0, 0, 0, 0], 0, 0);
        let port = crowded.local_addr().expect("bound").as_socket().expect("an address").port();
        let mut sockets = vec![crowded];
        for _ in 0..3 {
            let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("a socket");
            let _ = client.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into());
            sockets.push(client);
        }
        (sockets, bind(good, port, 100).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_with_many_dead_addresses_costs_few_sockets_and_is_reached_all_the_same() {
        let (_crowd, listener) = crowded([127, 0, 0, 99]);
        let port = listener.local_addr().expect("bound").port();
        let addresses: Vec<IpAddr> = (10..40).chain([99]).map(|last| [127, 0, 0, last].into()).collect();
        for (dials, wanted) in [(1, MAX_ATTEMPTS), (5, MAX_BESIDE)] {
            let most = Cell::new(0);
            let dial = || async {
                let tcp = connect(addresses.clone(), port).await.expect("the last one listens");
                assert_eq!(tcp.peer_addr().expect("connected").ip(), IpAddr::from([127, 0, 0, 99]));
            };
            let mut dials: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> =
                (0..dials).map(|_| Box::pin(dial()) as _).collect();
            poll_fn(|cx| {
                dials.retain_mut(|dial| dial.as_mut().poll(cx).is_pending());
                most.set(most.get().max(BESIDE.get()));
                if dials.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            assert_eq!((most.get(), BESIDE.get()), (wanted, 0));
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let error = connect(vec!["127.0.0.1".parse().expect("valid")], port).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
