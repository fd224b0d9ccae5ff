//! `aqueduct check`, `routes` and `schema`: looking at a configuration without serving it.

use std::process::ExitCode;

use serde_json::Value;

use super::{Caller, MISUSE, banner, clients, line, notes, print, print_error, print_refusal};
use crate::admit::Failure;
use crate::app;
use crate::config::{Finding, Severity, has_errors, schema as schema_of};
use crate::text::{Lang, Say, SharedLimits, Tell, shown};

/// Shows every finding with its place, and the limits that would hold.
pub(super) fn check(caller: &Caller<'_>, strict: bool) -> ExitCode {
    let source = caller.source();
    let file = shown(&source.name()).to_string();
    let (lang, findings, read) = match source.read_settings() {
        Ok((snapshot, findings, settings)) => (snapshot.lang, findings, Some((snapshot, settings))),
        Err(findings) => (caller.lang, findings, None),
    };
    if read.is_none() && source.is_unreadable() {
        print_refusal(&source, &findings, lang);
        return MISUSE.into();
    }
    for finding in &findings {
        print(&format!("{}\n", finding_line(finding, &file, lang)));
    }
    let warnings = findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
    let errors = findings.len() - warnings;
    if has_errors(&findings) || (strict && warnings > 0) {
        print(&line(&Tell::CheckFailed { file: &file, errors, warnings }, lang));
        return ExitCode::FAILURE;
    }
    print(&line(&Tell::CheckPassed { file: &file, warnings }, lang));
    if let Some((snapshot, settings)) = read {
        if let Some(keys) = &snapshot.keys {
            print(&clients::list(keys, lang));
        }
        print(&notes::list(&snapshot));
        print(&line(&Tell::LimitsPart, lang));
        print(&limits(&settings));
        if let Some(state) = &snapshot.state {
            let is_closed = state.setting().failure == Failure::Closed;
            print(&line(&SharedLimits { place: &state.place(), is_closed }, lang));
        }
        let allowed = app::max_connections(&snapshot);
        if allowed < snapshot.max_connections {
            print(&line(&Tell::FewConnections { allowed }, lang));
        }
    }
    ExitCode::SUCCESS
}

/// Lists the routes as the banner does.
pub(super) fn routes(caller: &Caller<'_>) -> ExitCode {
    let source = caller.source();
    match source.read() {
        Ok((snapshot, _)) => {
            print(&banner::routes(&snapshot));
            ExitCode::SUCCESS
        }
        Err(findings) => {
            print_refusal(&source, &findings, caller.lang);
            ExitCode::FAILURE
        }
    }
}

/// Prints the JSON Schema.
pub(super) fn schema() -> ExitCode {
    match serde_json::to_string_pretty(&schema_of::schema()) {
        Ok(text) => {
            print(&format!("{text}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&format!("{error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn finding_line(finding: &Finding, file: &str, lang: Lang) -> String {
    match finding.severity {
        Severity::Error => finding.line(file, lang).to_string(),
        Severity::Warning => line(&Say::Warning(&finding.line(file, lang)), lang).trim_end().to_owned(),
    }
}

/// Every limit that would hold, by its name in the file.
fn limits(settings: &Value) -> String {
    let mut text = String::new();
    for (part, values) in settings.as_object().into_iter().flatten() {
        for (name, value) in values.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("  {part}.{name}: {value}\n"));
        }
    }
    text
}
