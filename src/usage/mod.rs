//! What an exchange has used: the figures that providers put into their answers, read along as the bytes pass.
//!
//! A [`Reader`] is shown the content of an answer and asked at the end. It knows the shapes of bodies and not who sent
//! them: an answer is one JSON document, a list of them, one a line, or a stream of events, and figures have a few known
//! names in a few known places. It holds a fixed amount of memory whatever comes, and whatever comes changes nothing but
//! what it says: of what it cannot read it knows nothing.

mod coding;
mod figures;
mod json;
mod lines;
mod plain;
mod prices;
mod question;

use std::sync::Arc;

use coding::Decoder;
use plain::Plain;
pub use prices::{BadPrices, Prices};
pub use question::Question;

use crate::spending::{Money, Spending};

/// How it is read along.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What tokens cost, where that is known.
    pub prices: Option<Arc<Prices>>,
}

impl Policy {
    /// What this costs, if both the figures and the prices are known.
    #[must_use]
    pub fn cost(&self, spending: &Spending) -> Option<Money> {
        self.prices.as_ref()?.cost(spending)
    }
}

/// Reads the content of an answer along.
pub struct Reader(Content);

#[expect(clippy::large_enum_variant, reason = "nearly all are of the larger kind")]
enum Content {
    Plain(Plain),
    /// Boxed: few answers are coded, and what is needed for those is large.
    Coded(Box<Decoder>),
}

impl Reader {
    /// A reader of content in this coding, if it can be read: `Content-Encoding` as it is written.
    #[must_use]
    pub fn of(coding: Option<&[u8]>) -> Option<Self> {
        match coding {
            None => Some(Self(Content::Plain(Plain::default()))),
            Some(name) if name.trim_ascii().eq_ignore_ascii_case(b"identity") => Self::of(None),
            Some(name) => Decoder::of(name).map(|decoder| Self(Content::Coded(Box::new(decoder)))),
        }
    }

    /// Shows it what comes next of the content.
    pub fn read(&mut self, content: &[u8]) {
        match &mut self.0 {
            Content::Plain(plain) => plain.read(content),
            Content::Coded(decoder) => decoder.read(content),
        }
    }

    /// What is known of the answer. `whole`: all of it has been seen.
    #[must_use]
    pub fn finish(self, whole: bool) -> Spending {
        match self.0 {
            Content::Plain(plain) => plain.finish(whole),
            Content::Coded(decoder) => {
                let (plain, is_decoded) = decoder.finish();
                plain.finish(whole && is_decoded)
            }
        }
    }
}

#[cfg(test)]
mod tests;
