//! What was found in a configuration: where, what, and how to mend it.

use std::fmt;

use crate::jsonc::{Path, Position};
use crate::text::{Lang, Problem, Speak, shown};

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
        // It quotes the file: a line end in a key would begin a line that nobody wrote.
        write!(f, "{}", shown(&self.problem.in_lang(lang).to_string()))
    }
}

/// Whether a configuration with these findings is refused.
#[must_use]
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let path = Path::default().key("custom_headers").key("a\nb");
        let problem = Problem::BadHeaderName("a\nb".to_owned());
        let finding = Finding { severity: Severity::Error, path, position: None, problem };
        assert_eq!(
            finding.line("config.json", Lang::En).to_string(),
            "config.json: custom_headers[\"a\\nb\"]: 'a\\u{a}b' is not a header name"
        );
    }
}
