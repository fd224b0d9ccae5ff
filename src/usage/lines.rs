//! Answers of many lines: events (`text/event-stream`), and JSON documents one a line.
//!
//! There are many lines, and few of them matter: the first ones, which name the model, and those with figures, of which
//! the last counts. So a line is read only if it holds the name of what is looked for, and even then mostly later, when
//! it has turned out to be the last.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::figures::Figures;
use super::json::Scanner;

/// How much of a line is held that has not come to its end, in bytes. What is longer is read as it comes.
const MAX_HELD: usize = 16 * 1024;
/// How many documents are looked into for the name of the model.
const FIRST: u8 = 4;

/// How the names of figures begin: `"usage"` and `"usageMetadata"`.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage"));
/// What only Ollama says, where documents stand one a line.
static EVALUATED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"eval_count\""));

/// Reads lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line of which the end has not come.
    held: Vec<u8>,
    /// What has become of a line that is too long to be held.
    long: Option<Long>,
    /// The last two lines with figures, the older one first: they are read when no other comes.
    candidates: [Vec<u8>; 2],
    has_candidate: bool,
    /// How many documents have been looked into.
    looked_into: u8,
    /// Whether these are documents and not events.
    are_documents: bool,
}

#[derive(Debug)]
enum Long {
    /// It is a document, or the data of an event.
    Read(Box<Scanner>),
    /// It is something else.
    Skipped,
}

impl Lines {
    /// A reader of documents one a line, one of which has been read.
    pub(super) fn of_documents() -> Self {
        Self { are_documents: true, looked_into: 1, ..Self::default() }
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8], figures: &mut Figures) {
        if !self.held.is_empty() || self.long.is_some() {
            let end = memchr(b'\n', bytes);
            self.more_of_line(&bytes[..end.unwrap_or(bytes.len())], figures);
            let Some(end) = end else { return };
            self.line_ends(figures);
            bytes = &bytes[end + 1..];
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        self.whole_lines(&bytes[..whole], figures);
        self.more_of_line(&bytes[whole..], figures);
    }

    /// There are no more lines.
    pub(super) fn end(&mut self, figures: &mut Figures) {
        self.line_ends(figures);
        self.read_candidates(figures);
    }

    fn whole_lines(&mut self, mut lines: &[u8], figures: &mut Figures) {
        while self.looks_for_model(figures) {
            let Some(end) = memchr(b'\n', lines) else { return };
            self.line(&lines[..end], figures);
            lines = &lines[end + 1..];
        }
        while let Some(at) = self.find(lines) {
            let start = memrchr(b'\n', &lines[..at]).map_or(0, |before| before + 1);
            let end = memchr(b'\n', &lines[at..]).map_or(lines.len(), |after| at + after);
            self.candidate(&lines[start..end], figures);
            lines = lines.get(end + 1..).unwrap_or_default();
        }
    }

    /// One whole line.
    fn line(&mut self, line: &[u8], figures: &mut Figures) {
        if self.looks_for_model(figures) {
            let Some(document) = document(line) else { return };
            self.looked_into += 1;
            self.read_candidates(figures);
            Scanner::default().read(document, figures);
            self.has_candidate |= self.find(line).is_some();
        } else if self.find(line).is_some() {
            self.candidate(line, figures);
        }
    }

    /// A line in which figures seem to stand.
    fn candidate(&mut self, line: &[u8], figures: &mut Figures) {
        let Some(document) = document(line) else { return };
        // The first one is read at once: it may say what no other does.
        if !self.has_candidate || document.len() > MAX_HELD {
            self.has_candidate = true;
            self.read_candidates(figures);
            Scanner::default().read(document, figures);
            return;
        }
        self.candidates.swap(0, 1);
        self.candidates[1].clear();
        self.candidates[1].extend_from_slice(document);
    }

    fn read_candidates(&mut self, figures: &mut Figures) {
        for candidate in &mut self.candidates {
            if !candidate.is_empty() {
                Scanner::default().read(candidate, figures);
                candidate.clear();
            }
        }
    }

    fn more_of_line(&mut self, piece: &[u8], figures: &mut Figures) {
        match &mut self.long {
            Some(Long::Read(scanner)) => _ = scanner.read(piece, figures),
            Some(Long::Skipped) => {}
            None if self.held.len() + piece.len() <= MAX_HELD => self.held.extend_from_slice(piece),
            None => {
                let held = std::mem::take(&mut self.held);
                self.read_candidates(figures);
                // A line so long that nothing of it was held comes in one piece.
                let start = if held.is_empty() { piece } else { &held };
                self.long = Some(match document(start) {
                    Some(document) => {
                        let mut scanner = Box::<Scanner>::default();
                        scanner.read(document, figures);
                        if !held.is_empty() {
                            scanner.read(piece, figures);
                        }
                        Long::Read(scanner)
                    }
                    None => Long::Skipped,
                });
            }
        }
    }

    fn line_ends(&mut self, figures: &mut Figures) {
        if self.long.take().is_none() && !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.line(&held, figures);
            held.clear();
            self.held = held;
        }
    }

    fn looks_for_model(&self, figures: &Figures) -> bool {
        self.looked_into < FIRST && !figures.has_model()
    }

    /// Where the next name of figures stands that has some.
    fn find(&self, lines: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(next) = USAGE.find(&lines[at..]) {
            let name = at + next;
            // In a text the quotation mark has a backslash in front; and many events say that there are no figures.
            if lines[..name].last() != Some(&b'\\') && has_object(&lines[name + USAGE.needle().len()..]) {
                return Some(name);
            }
            at = name + 1;
        }
        if self.are_documents { EVALUATED.find(lines) } else { None }
    }
}

/// Whether what follows `"usage` is the rest of a name with an object behind it.
fn has_object(rest: &[u8]) -> bool {
    let rest = rest.strip_prefix(b"Metadata").unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(b"\"") else { return false };
    // Not beyond the end of the line.
    let behind_blanks = |rest: &[u8]| rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    let at = |rest: &[u8], sign| behind_blanks(rest).filter(|at| rest[*at] == sign);
    at(rest, b':').is_some_and(|colon| at(&rest[colon + 1..], b'{').is_some())
}

/// The document that a line is, or that is the data of its event.
fn document(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:").unwrap_or(line).trim_ascii_start();
    data.starts_with(b"{").then_some(data)
}
