//! What an exchange has used: the figures that providers put into their answers, read along as the bytes pass.
//!
//! A [`Reader`] is shown the content of an answer and asked at the end. It knows the shapes of bodies and not who sent
//! them: an answer is one JSON document, a list of them, one a line, or a stream of events, and figures have a few known
//! names in a few known places. It holds a fixed amount of memory whatever comes, and whatever comes changes nothing but
//! what it says: of what it cannot read it knows nothing.

mod figures;
mod json;
mod lines;
mod prices;
mod question;

use std::sync::Arc;

use figures::Figures;
use json::Scanner;
use lines::Lines;
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
#[derive(Debug, Default)]
pub struct Reader {
    shape: Shape,
    figures: Figures,
}

/// What the content looks like.
#[derive(Debug, Default)]
enum Shape {
    /// Nothing has come but white space.
    #[default]
    Blank,
    /// A document, or a list of them.
    Document(Scanner),
    /// A document that is over. Whether it was all turns out when something follows.
    Behind,
    /// Lines.
    Lines(Lines),
    /// Nothing that figures stand in.
    Other,
}

impl Reader {
    /// Shows it what comes next of the content.
    pub fn read(&mut self, mut content: &[u8]) {
        if let Shape::Blank = self.shape {
            content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
            self.shape = match content.first() {
                None => return,
                Some(b'{' | b'[') => Shape::Document(Scanner::default()),
                // `data`, `event`, `id`, `retry`, or a comment.
                Some(b'd' | b'e' | b'i' | b'r' | b':') => Shape::Lines(Lines::default()),
                Some(_) => Shape::Other,
            };
        }
        if let Shape::Document(scanner) = &mut self.shape {
            let Some(length) = scanner.read(content, &mut self.figures) else { return };
            content = &content[length..];
            self.shape = Shape::Behind;
        }
        if let Shape::Behind = self.shape {
            content = content.trim_ascii_start();
            self.shape = match content.first() {
                None => return,
                Some(b'{') => Shape::Lines(Lines::of_documents()),
                Some(_) => Shape::Other,
            };
        }
        if let Shape::Lines(lines) = &mut self.shape {
            lines.read(content, &mut self.figures);
        }
    }

    /// What is known of the answer. `whole`: all of it has been seen.
    #[must_use]
    pub fn finish(mut self, whole: bool) -> Spending {
        if let Shape::Lines(lines) = &mut self.shape {
            lines.end(&mut self.figures);
        }
        let is_over = !matches!(self.shape, Shape::Document(_));
        let spending = self.figures.spending();
        Spending { partial: spending.partial || !whole || !is_over, ..spending }
    }
}

#[cfg(test)]
mod tests;
