//! The switch to another protocol: the answer's head, and then one connection of two.

use std::future::poll_fn;

use super::exchange::{After, Exchange};
use super::respond;
use crate::admit::Credentials;
use crate::ending::End;
use crate::h1::ResponseHead;
use crate::headers::{self, Said};
use crate::relay::{Break, Relay, Tunnel};
use crate::wire::Wire;

/// Makes one connection of two, and puts the head of the 101 on its way.
pub(super) fn tunnel<'a>(
    exchange: &mut Exchange,
    relay: Relay<'a>,
    upstream: Wire,
    answer: ResponseHead,
) -> Box<Tunnel<'a>> {
    exchange.record.answered(answer.status);
    let protocol = exchange.credentials.as_deref().and_then(Credentials::only_protocol);
    let said = Said { chunked: false, connection: Some("Upgrade"), protocol, cors: None };
    // Boxed: what a tunnel needs must not weigh on every open stream.
    let tunnel = Box::new(relay.into_tunnel(upstream, |out| {
        let mut head = Vec::new();
        headers::write_answer(&answer, said, &mut head);
        if let Some(course) = &exchange.course {
            course.sign(&mut head);
        }
        out.extend_from_slice(&head);
    }));
    drop(answer);
    tunnel
}

/// Carries whatever is said after a 101 until both sides have said all. Neither connection is of use after that.
pub(super) async fn carry(exchange: &mut Exchange, mut tunnel: Box<Tunnel<'_>>) -> After {
    let record = &mut exchange.record;
    let result = poll_fn(|cx| {
        let polled = tunnel.poll(cx);
        // Noted as it goes: a tunnel that is cut off at the end of the program has no later moment.
        record.carried(tunnel.bytes_up(), tunnel.bytes_down(), tunnel.longest_silence());
        polled
    })
    .await;
    match result {
        Ok(()) => exchange.ends(End::Done, After::Cut),
        Err(broken @ (Break::ClientGone | Break::ClientStalled)) => exchange.ends(respond::end_of(&broken), After::Cut),
        Err(broken) => exchange.ends(respond::end_of(&broken), After::VisibleCut),
    }
}
