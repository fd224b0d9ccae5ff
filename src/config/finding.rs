//! What was found in a configuration: where, what, and how to mend it.

use std::fmt;

use crate::jsonc::{Path, Position};
use crate::text::{Lang, Problem, Speak};

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The field.
    pub path: Path,
    /// The place in the file, where it has one.
    pub position: Option<Position>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is used, but probably not meant so.
    Warning,
}

impl Finding {
    /// The finding as one line, in the form that editors understand: `config.json:12:7: routes.x.target_url: …`.
    #[must_use]
    pub fn line<'a>(&'a self, file: &'a str, lang: Lang) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            match self.position {
                Some(position) => write!(f, "{file}:{position}: ")?,
                None if self.problem.is_about_environment() => {}
                None => write!(f, "{file}: ")?,
            }
            self.fmt_what(lang, f)
        })
    }

    /// The finding without the name of the file.
    #[must_use]
    pub fn what(&self, lang: Lang) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            if let Some(position) = self.position {
                write!(f, "{position}: ")?;
            }
            self.fmt_what(lang, f)
        })
    }

    fn fmt_what(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.problem.in_lang(lang))
    }
}

/// Whether a configuration with these findings is refused.
#[must_use]
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
