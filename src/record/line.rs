//! What goes through the queue of the log.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::entry::{Entry, Id, Sent};
use crate::ending::End;
use crate::error::{Kind, Step};
use crate::peer::Peer;
use crate::spending::Spending;
use crate::text::{Lang, Unknown, Unmet};

/// What is written. Everything is formatted by the writer.
pub enum Line {
    /// The block of a request that goes out.
    Sent {
        /// What becomes of it.
        sent: Box<Sent>,
        /// Its name.
        id: Id,
        /// The language.
        lang: Lang,
    },
    /// The status of an answer.
    Answered {
        /// The status.
        status: u16,
        /// The key of the route.
        route: Option<Arc<str>>,
        /// From the request's head to the answer's.
        took: Duration,
        /// Its name.
        id: Id,
        /// The language.
        lang: Lang,
    },
    /// Why the proxy answered by itself.
    Failed {
        /// What went wrong.
        kind: Kind,
        /// On which step, where that is not clear from the kind.
        step: Option<Step>,
        /// What only the log says.
        detail: Option<Box<str>>,
        /// Its name.
        id: Id,
        /// The language.
        lang: Lang,
    },
    /// An answer that did not end well.
    Broken {
        /// How it ended.
        end: End,
        /// The key of the route.
        route: Option<Arc<str>>,
        /// Its name.
        id: Id,
        /// How long it took.
        took: Duration,
        /// The language.
        lang: Lang,
    },
    /// What an exchange has used.
    Spent {
        /// How much of what.
        spending: Box<Spending>,
        /// The key of the route.
        route: Option<Arc<str>>,
        /// Its name.
        id: Id,
        /// How long it took.
        took: Duration,
        /// The language.
        lang: Lang,
    },
    /// A whole exchange, as JSON.
    Ended {
        /// All that is known of it.
        entry: Box<Entry>,
    },
    /// A client that did not come to its first request.
    Unmet {
        /// Who it was.
        peer: Peer,
        /// Why.
        why: Unmet,
        /// The language.
        lang: Lang,
    },
    /// An answer that limits could not count.
    Uncounted {
        /// The key of its route.
        route: Arc<str>,
        /// Why not.
        why: Unknown,
        /// The language.
        lang: Lang,
    },
    /// A notice on standard output.
    Notice(String),
    /// A warning or an error on standard error.
    Alarm(String),
    /// The last line: the writer says when it has written all that came before, and ends.
    Last(SyncSender<()>),
}

impl Line {
    /// How much it holds of what others have said, in bytes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Sent { sent, .. } => sent.weight(),
            Self::Ended { entry } => entry.weight(),
            Self::Failed { detail, .. } => detail.as_ref().map_or(0, |detail| detail.len()),
            Self::Spent { spending, .. } => spending.model.as_ref().map_or(0, |model| model.len()),
            Self::Notice(text) | Self::Alarm(text) => text.len(),
            Self::Uncounted { why: Unknown::NoPrice(Some(model)), .. } => model.len(),
            Self::Answered { .. }
            | Self::Broken { .. }
            | Self::Unmet { .. }
            | Self::Uncounted { .. }
            | Self::Last(_) => 0,
        }
    }
}
