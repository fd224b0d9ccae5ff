//! TCP to whichever of several addresses answers first.

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
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut head_start = Box::pin(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut connected = None;
            attempts.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
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
                    attempts.push(Box::pin(TcpStream::connect(SocketAddr::new(address, port))));
                    head_start.as_mut().reset(Instant::now() + NEXT_ADDRESS_AFTER);
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

    #[tokio::test]
    async fn a_refusal_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let error = connect(vec!["127.0.0.1".parse().expect("valid")], port).await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
