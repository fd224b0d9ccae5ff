//! The command line: everything that a person does with the program by hand.

mod arguments;
mod banner;
mod check;
mod clients;
mod demo;
mod explain;
mod healthcheck;
mod init;
mod keygen;
mod notes;
mod run;
mod ways;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::config::{Finding, Severity, Source};
use crate::text::{Lang, Say, Speak, Tell, shown, spoken};

/// A mistake in how the program was called, or a file that cannot be read.
const MISUSE: u8 = 2;
/// Where the configuration is looked for if nothing is said.
const PLACES: [&str; 2] = ["config.json", "/etc/aqueduct/config.json"];

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let said = arguments::language(&arguments);
    let lang = said.unwrap_or_else(|| Lang::of_environment(|name| std::env::var(name).ok()));
    report_panics(lang);
    let matches = match arguments::read(arguments, lang) {
        Ok(matches) => matches,
        Err((text, 0)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err((text, status)) => {
            print_error(&text);
            return status.into();
        }
    };
    let caller = Caller { flags: arguments::Flags::of(&matches), said, lang };
    match matches.subcommand() {
        None if matches.get_flag("test") => check::check(&caller, false),
        None | Some(("run", _)) => run::run(&caller),
        Some(("check", matches)) => check::check(&caller, matches.get_flag("strict")),
        Some(("explain", matches)) => explain::explain(&caller, matches),
        Some(("routes", _)) => check::routes(&caller),
        Some(("schema", _)) => check::schema(),
        Some(("init", matches)) => init::init(lang, matches.get_one::<PathBuf>("file")),
        Some(("keygen", matches)) => keygen::keygen(lang, matches.get_one::<String>("name").map_or("", String::as_str)),
        Some(("healthcheck", _)) => healthcheck::healthcheck(&caller),
        Some(("demo", matches)) => demo::demo(lang, matches.get_one("port").copied()),
        Some(("completions", matches)) => completions(lang, matches),
        Some((name, _)) => unreachable!("the command '{name}' is declared and not served"),
    }
}

/// How the program was called.
struct Caller<'a> {
    flags: arguments::Flags<'a>,
    /// The language that was asked for.
    said: Option<Lang>,
    /// The language to speak before a file says otherwise.
    lang: Lang,
}

impl Caller<'_> {
    /// The configuration file that is named, if one is: by the flag or by `AQUEDUCT_CONFIG`.
    fn named(&self) -> Option<PathBuf> {
        self.flags.value("config")
    }

    /// Where the configuration comes from: the named file, else the usual places.
    fn source(&self) -> Source {
        let path = self.named().unwrap_or_else(|| {
            let found = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
            found.unwrap_or_else(|| PLACES[0].into())
        });
        Source::file(path, self.flags.overrides(self.said), self.lang)
    }
}

fn completions(lang: Lang, matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") else { return MISUSE.into() };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut arguments::command(lang), "aqueduct", &mut script);
    print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Says why a configuration cannot be used: in one line where there is one reason, else each in a line of its own.
fn print_refusal(source: &Source, findings: &[Finding], lang: Lang) {
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let file = shown(&source.name()).to_string();
    if let [error] = errors[..] {
        print_error(&line(&Say::LoadFailed { file: &file, why: &error.what(lang) }, lang));
        return;
    }
    let count = Tell::SeveralProblems(errors.len());
    print_error(&line(&Say::LoadFailed { file: &file, why: &count.in_lang(lang) }, lang));
    for error in errors {
        print_error(&format!("  {}\n", error.line(&file, lang)));
    }
}

/// Reports a bug without its message, in which anything might stand. A proxy that runs has its log say it.
fn report_panics(lang: Lang) {
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(|| "?".to_owned(), ToString::to_string);
        print_error(&line(&Say::Panicked(&place), lang));
    }));
}

fn line(say: &dyn Speak, lang: Lang) -> String {
    format!("{}\n", spoken(say, lang))
}

/// Writes to standard output. That nobody reads it is no fault of ours.
fn print(text: &(impl Display + ?Sized)) {
    let mut out = anstream::AutoStream::auto(io::stdout());
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Writes to standard error.
fn print_error(text: &(impl Display + ?Sized)) {
    let mut err = anstream::AutoStream::auto(io::stderr());
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}
