//! Answers as they are meant, whatever their shape.

use super::figures::Figures;
use super::json::Scanner;
use super::lines::Lines;
use crate::spending::Spending;

/// Reads the content of an answer that is not coded.
#[derive(Debug, Default)]
pub(super) struct Plain {
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

impl Plain {
    /// Shows it what comes next of the content.
    pub(super) fn read(&mut self, mut content: &[u8]) {
        if let Shape::Blank = self.shape {
            content = behind_blanks(content);
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
    pub(super) fn finish(mut self, whole: bool) -> Spending {
        if let Shape::Lines(lines) = &mut self.shape {
            lines.end(&mut self.figures);
        }
        let is_over = !matches!(self.shape, Shape::Document(_));
        let spending = self.figures.spending();
        Spending { partial: spending.partial || !whole || !is_over, ..spending }
    }
}

/// What follows white space and the bytes of a mark of byte order, which may come one by one.
fn behind_blanks(content: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    let at = content.iter().position(|byte| !is_blank(byte)).unwrap_or(content.len());
    &content[at..]
}
