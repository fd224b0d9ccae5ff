//! What is known of each exchange, and where it is written down.
//!
//! A [`Record`] is opened when an exchange begins and files itself when it goes, however that comes about, so that
//! no exchange is forgotten. Lines are formatted and written by one thread of their own: a request never waits for a
//! terminal, and where the output is read too slowly, lines are dropped and counted.

mod entry;
mod json;
mod line;
mod log;
mod pretty;
mod seldom;
mod sink;
mod spent;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use entry::{Change, Entry, Forwarded, Id, Sent};
pub use line::Line;
pub use log::{Log, Output};

use crate::ending::End;
use crate::error::{Error, Kind};
use crate::peer::Peer;
use crate::spending::Spending;
use crate::text::{Attempt, Lang, Speak};

/// How requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The language of what people read.
    pub lang: Lang,
    /// For people or for programs.
    pub format: Format,
}

/// The shape of the request log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Blocks of lines, for people.
    Pretty,
    /// One JSON object a line, for programs.
    Json,
}

/// The record of one exchange. Without a style nothing is written down.
pub struct Record {
    open: Option<Open>,
}

struct Open {
    entry: Box<Entry>,
    log: Log,
    style: Style,
}

impl Record {
    /// Opens the record of an exchange; `style` is `None` where requests are not logged.
    #[must_use]
    pub fn open(log: &Log, style: Option<Style>, id: Id, peer: Peer, began: Instant) -> Self {
        let open = |style| Open { entry: Box::new(Entry::new(id, peer, began)), log: log.clone(), style };
        Self { open: style.map(open) }
    }

    /// Whether anything is written down. What is costly to find out need not be where nothing is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the steps of a request are written down one by one.
    #[must_use]
    pub fn is_pretty(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.style.format == Format::Pretty)
    }

    /// Adds what the request asked for.
    pub fn request(&mut self, method: &[u8], target: &[u8]) {
        if let Some(open) = &mut self.open {
            open.entry.method = Some(method.into());
            open.entry.target = Some(target.into());
        }
    }

    /// Adds whose key was presented.
    pub fn client(&mut self, name: &Arc<str>) {
        if let Some(open) = &mut self.open {
            open.entry.client = Some(Arc::clone(name));
        }
    }

    /// Adds which route was taken.
    pub fn route(&mut self, route: &Arc<str>) {
        if let Some(open) = &mut self.open {
            open.entry.route = Some(Arc::clone(route));
        }
    }

    /// Adds where the request goes, and through which proxy, masked.
    pub fn upstream(&mut self, upstream: &Arc<str>, proxy: Option<&Arc<str>>) {
        if let Some(open) = &mut self.open {
            open.entry.upstream = Some(Arc::clone(upstream));
            open.entry.proxy = proxy.cloned();
        }
    }

    /// Adds which of the route's keys is sent, if one was picked.
    pub fn key(&mut self, place: Option<usize>) {
        if let Some(open) = &mut self.open {
            open.entry.key_index = place;
        }
    }

    /// Counts an attempt to have the request answered, on this route.
    pub fn attempt(&mut self, route: &Arc<str>) {
        if let Some(open) = &mut self.open {
            open.entry.attempts += 1;
            if open.entry.route.as_ref().is_some_and(|asked| asked != route) {
                open.entry.fallback = Some(Arc::clone(route));
            }
        }
    }

    /// Writes why an attempt failed, and what comes next.
    pub fn attempt_failed(&mut self, attempt: &Attempt<'_>) {
        if let Some(open) = self.open.as_ref().filter(|open| open.style.format == Format::Pretty) {
            let line = format!("{}  (#{})", attempt.in_lang(open.style.lang), open.entry.id);
            open.log.write(Line::Notice(line));
        }
    }

    /// Writes the block that says what becomes of the request, in one piece.
    pub fn sent(&mut self, sent: impl FnOnce() -> Sent) {
        if let Some(open) = self.open.as_ref().filter(|open| open.style.format == Format::Pretty) {
            let sent = Box::new(sent());
            open.log.write(Line::Sent { sent, id: open.entry.id, lang: open.style.lang });
        }
    }

    /// Notes the status of the answer, whose head is here.
    pub fn answered(&mut self, status: u16) {
        let Some(open) = &mut self.open else { return };
        let entry = &mut open.entry;
        entry.status = Some(status);
        entry.time_to_first_byte = Some(entry.began.elapsed());
        if open.style.format == Format::Pretty {
            let route = entry.route.clone();
            let took = entry.began.elapsed();
            open.log.write(Line::Answered { status, route, took, id: entry.id, lang: open.style.lang });
        }
    }

    /// Notes the status that the client was sent before there was an answer, if nothing has come of that.
    pub fn begun(&mut self, status: u16) {
        if let Some(open) = &mut self.open {
            open.entry.status.get_or_insert(status);
        }
    }

    /// Notes why the proxy answers by itself.
    pub fn failed(&mut self, error: &Error) {
        let Some(open) = &mut self.open else { return };
        open.entry.code = Some(error.kind().code());
        open.entry.end = Some(error.kind().into());
        if let Kind::UpstreamStatus(status) = error.kind() {
            open.entry.upstream_status = Some(status);
        }
        if open.style.format == Format::Pretty && error.kind() != Kind::RouteNotFound {
            let detail = error.log_detail().map(Into::into);
            let (kind, step) = (error.kind(), error.step());
            open.log.write(Line::Failed { kind, step, detail, id: open.entry.id, lang: open.style.lang });
        }
    }

    /// Notes what went by.
    pub fn carried(&mut self, bytes_in: u64, bytes_out: u64, longest_silence: Duration) {
        if let Some(open) = &mut self.open {
            open.entry.bytes_in = bytes_in;
            open.entry.bytes_out = bytes_out;
            open.entry.longest_silence = longest_silence;
        }
    }

    /// Notes what it has used.
    pub fn spent(&mut self, spending: Spending) {
        if let Some(open) = &mut self.open {
            open.entry.spending = Some(Box::new(spending));
        }
    }

    /// Notes that limits could not count what it has used.
    pub fn uncounted(&mut self) {
        if let Some(open) = &mut self.open {
            open.entry.uncounted = true;
        }
    }

    /// Notes how the exchange ended.
    pub fn ended(&mut self, end: End) {
        if let Some(open) = &mut self.open {
            open.entry.end = Some(end);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(Open { mut entry, log, style }) = self.open.take() else { return };
        // Whoever goes without a word was cut off.
        let end = *entry.end.get_or_insert(End::Drained);
        entry.duration = entry.began.elapsed();
        match style.format {
            Format::Json => log.write(Line::Ended { entry }),
            Format::Pretty => ended(*entry, end, &log, style.lang),
        }
    }
}

/// What people read of the end: how an answer broke off, and what was used.
fn ended(entry: Entry, end: End, log: &Log, lang: Lang) {
    let (id, took) = (entry.id, entry.duration);
    if end != End::Done && end != End::Refused && entry.code.is_none() {
        log.write(Line::Broken { end, route: entry.route.clone(), id, took, lang });
    }
    if let Some(spending) = entry.spending.filter(|spending| spending.is_known()) {
        log.write(Line::Spent { spending, route: entry.route, id, took, lang });
    }
}
