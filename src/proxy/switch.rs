//! The switch to another protocol: the answer's head, and then one connection of two.

use std::future::poll_fn;

use super::exchange::{After, Exchange};
use super::respond;
use crate::ending::End;
use crate::h1::ResponseHead;
use crate::headers::{self, Said};
use crate::relay::{Break, Relay};
use crate::wire::Wire;

/// Carries whatever is said after a 101 until both sides have said all. Neither connection is of use after that.
pub(super) async fn carry(exchange: &mut Exchange, relay: Relay<'_>, upstream: Wire, answer: ResponseHead) -> After {
    let record = &mut exchange.record;
    record.answered(answer.status);
    let said = Said { chunked: false, connection: Some("Upgrade") };
    let mut tunnel = relay.into_tunnel(upstream, |out| headers::write_answer(&answer, said, out));
    drop(answer);
    let result = poll_fn(|cx| {
        let polled = tunnel.poll(cx);
        // Noted as it goes: a tunnel that is cut off at the end of the program has no later moment.
        record.carried(tunnel.bytes_up(), tunnel.bytes_down(), tunnel.longest_silence());
        polled
    })
    .await;
    match result {
        Ok(()) => exchange.ends(End::Done, After::Cut),
        Err(broken @ (Break::ClientGone | Break::ClientStalled)) => exchange.ends(respond::end(&broken), After::Cut),
        Err(broken) => exchange.ends(respond::end(&broken), After::VisibleCut),
    }
}
