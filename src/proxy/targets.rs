//! Which of the targets of a route an exchange goes to, where there are several, and what is learned of it.

use tokio::time::Instant;

use super::Worker;
use super::choose::Forwarding;
use super::exchange::{Exchange, Failure};
use crate::config::{Route, Target};
use crate::pick::Change;
use crate::text::{Entry, Rested, Stands, shown};

/// Takes note of whether the target of an attempt could be reached.
pub(super) fn attempted<T>(
    forward: &mut Forwarding,
    route: &Route,
    answered: &Result<T, Failure>,
    exchange: &Exchange,
    worker: &Worker,
) {
    let (Some(turn), Target::Several(several)) = (&mut forward.target, &route.target) else { return };
    let now = Instant::now();
    let told = match answered {
        Ok(_) => several.picks.reached(turn, now),
        Err(Failure::NobodyToTell(_)) => None,
        Err(Failure::Answer(error)) => match error.kind().was_connected() {
            Some(true) => several.picks.reached(turn, now),
            Some(false) => several.picks.not_reached(turn, now),
            None => None,
        },
    };
    let Some(told) = told else { return };
    let now = match told.change {
        Change::Out(pause) | Change::Limited(pause) => Stands::Unreachable(pause.as_secs_f64()),
        Change::Good => Stands::Good,
    };
    let (route, entry) = (&shown(&*route.key), Entry::Target(&shown(&*forward.name)));
    worker.log.alarm(exchange.snapshot.lang, &Rested { route, entry, now, others: told.others });
}
