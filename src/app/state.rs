//! The server on which several instances count their limits together, while the program runs.

use crate::admit::{Failure, News};
use crate::config::Live;
use crate::record::Log;
use crate::text::StateNews;

/// Connects to it, if the configuration in force names one, and tells the operator what becomes of it.
pub(super) fn attend(live: &Live, log: &Log) {
    let snapshot = live.current();
    let Some(state) = &snapshot.state else { return };
    let (lang, log, place) = (snapshot.lang, log.clone(), state.place());
    let is_closed = state.setting().failure == Failure::Closed;
    state.start(move |news| match news {
        News::Up => log.notice(lang, &StateNews::Up { place: &place }),
        News::Down(why) => log.alarm(lang, &StateNews::Down { place: &place, why: &why, is_closed }),
    });
}

/// Tells it what has been used up to the end.
pub(super) fn finish(live: &Live) {
    if let Some(state) = &live.current().state {
        state.finish();
    }
}
