//! The command line: its commands, its flags, and what it says when it does not understand.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, EnumValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, value_parser};
use clap_complete::Shell;

use crate::config::Overrides;
use crate::config::scalar::LogFormat;
use crate::text::{Help, Lang, Speak, Tell};

/// The language in which the command line speaks: it has to be known before the rest is read.
pub(super) fn language(arguments: &[OsString]) -> Option<Lang> {
    let texts: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let flag = texts.iter().enumerate().find_map(|(place, text)| match text.strip_prefix("--lang")? {
        "" => texts.get(place + 1).copied(),
        rest => rest.strip_prefix('='),
    });
    let variable = std::env::var("AQUEDUCT_LANG").ok();
    flag.or(variable.as_deref()).filter(|value| matches!(*value, "zh" | "en")).map(Lang::of_locale)
}

/// The whole command line.
pub(super) fn command(lang: Lang) -> Command {
    let text = |help: Help| help.text(lang);
    let root = localized(Command::new("aqueduct"), lang)
        .version(env!("CARGO_PKG_VERSION"))
        .about(text(Help::About))
        .after_help(text(Help::First))
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommand_help_heading(text(Help::Commands))
        .subcommand_value_name(lang.command_word())
        .arg(flag(lang, "version", Help::VersionFlag).short('V').long("version").action(ArgAction::Version))
        .arg(flag(lang, "test", Help::Test).short('t').action(ArgAction::SetTrue))
        .args(run_flags(lang));
    root.subcommand(localized(Command::new("run"), lang).about(text(Help::Run)).args(run_flags(lang)))
        .subcommand(
            localized(Command::new("check"), lang)
                .visible_alias("validate")
                .about(text(Help::Check))
                .arg(flag(lang, "strict", Help::Strict).long("strict").action(ArgAction::SetTrue))
                .args(run_flags(lang)),
        )
        .subcommand(
            localized(Command::new("explain"), lang)
                .about(text(Help::Explain))
                .arg(positional(lang, "method", "METHOD", Help::Method).required(true))
                .arg(positional(lang, "path", "PATH", Help::Path).required(true))
                .arg(option(lang, "header", "HEADER", Help::Header).short('H').action(ArgAction::Append))
                .arg(option(lang, "client", "NAME", Help::ExplainClient))
                .args(run_flags(lang)),
        )
        .subcommand(
            localized(Command::new("init"), lang)
                .about(text(Help::Init))
                .arg(language_flag(lang))
                .arg(positional(lang, "file", "FILE", Help::InitFile).value_parser(value_parser!(PathBuf))),
        )
        .subcommand(
            localized(Command::new("keygen"), lang)
                .about(text(Help::Keygen))
                .arg(language_flag(lang))
                .arg(positional(lang, "name", "NAME", Help::KeygenName).required(true)),
        )
        .subcommand(localized(Command::new("schema"), lang).about(text(Help::Schema)).arg(language_flag(lang)))
        .subcommand(localized(Command::new("routes"), lang).about(text(Help::Routes)).args(run_flags(lang)))
        .subcommand(localized(Command::new("healthcheck"), lang).about(text(Help::Healthcheck)).args(run_flags(lang)))
        .subcommand(
            localized(Command::new("demo"), lang)
                .about(text(Help::Demo))
                .arg(option(lang, "port", "PORT", Help::Port).value_parser(value_parser!(u16)))
                .arg(language_flag(lang)),
        )
        .subcommand(
            localized(Command::new("completions"), lang).about(text(Help::Completions)).arg(language_flag(lang)).arg(
                positional(lang, "shell", "SHELL", Help::Shell)
                    .required(true)
                    .value_parser(EnumValueParser::<Shell>::new()),
            ),
        )
}

/// Reads the command line. A wish for help, or a mistake, is answered with a text and an exit status.
pub(super) fn read(arguments: Vec<OsString>, lang: Lang) -> Result<ArgMatches, (String, u8)> {
    command(lang).try_get_matches_from(arguments).map_err(|error| {
        let status = u8::try_from(error.exit_code()).unwrap_or(2);
        match (error.kind(), lang) {
            (ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _) | (_, Lang::En) => {
                (error.render().ansi().to_string(), status)
            }
            (kind, Lang::Zh) => (in_chinese(&error, kind), status),
        }
    })
}

/// The flags of `run`, which may stand before a command or after it.
pub(super) struct Flags<'a> {
    root: &'a ArgMatches,
    command: Option<&'a ArgMatches>,
}

impl<'a> Flags<'a> {
    pub(super) fn of(root: &'a ArgMatches) -> Self {
        Self { root, command: root.subcommand().map(|(_, matches)| matches) }
    }

    /// What is said: after the command, before it, or in the environment.
    pub(super) fn value<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<T> {
        let said = |matches: &ArgMatches, source: ValueSource| {
            let is_there = matches.try_contains_id(name).is_ok() && matches.value_source(name) == Some(source);
            is_there.then(|| matches.get_one::<T>(name).cloned()).flatten()
        };
        let places = [self.command, Some(self.root)];
        let mut flags = places.into_iter().flatten();
        flags
            .find_map(|matches| said(matches, ValueSource::CommandLine))
            .or_else(|| said(self.root, ValueSource::EnvVariable))
    }

    /// What is said instead of the file.
    pub(super) fn overrides(&self, lang: Option<Lang>) -> Overrides {
        Overrides {
            host: self.value("host"),
            port: self.value("port"),
            base_path: self.value("base-path"),
            lang,
            log_format: self.value("log-format"),
            log_requests: self.value("log-requests"),
            workers: self.value("workers"),
        }
    }
}

fn run_flags(lang: Lang) -> Vec<Arg> {
    vec![
        option(lang, "config", "FILE", Help::Config)
            .short('c')
            .long("config")
            .env("AQUEDUCT_CONFIG")
            .value_parser(value_parser!(PathBuf)),
        option(lang, "host", "HOST", Help::Host).long("host").env("AQUEDUCT_HOST"),
        option(lang, "port", "PORT", Help::Port).env("AQUEDUCT_PORT").value_parser(value_parser!(u16)),
        option(lang, "base-path", "PATH", Help::BasePath).env("AQUEDUCT_BASE_PATH"),
        language_flag(lang),
        option(lang, "log-format", "FORMAT", Help::LogFormat)
            .env("AQUEDUCT_LOG_FORMAT")
            .value_parser(EnumValueParser::<LogFormat>::new()),
        option(lang, "log-requests", "BOOL", Help::LogRequests)
            .env("AQUEDUCT_LOG_REQUESTS")
            .value_parser(BoolishValueParser::new()),
        option(lang, "workers", "N", Help::Workers)
            .env("AQUEDUCT_WORKERS")
            .value_parser(value_parser!(u32).range(1..=1024).map(|workers| workers)),
    ]
}

fn language_flag(lang: Lang) -> Arg {
    // Read before anything else: see [`language`].
    option(lang, "lang", "LANG", Help::Lang).env("AQUEDUCT_LANG").value_parser(PossibleValuesParser::new(["zh", "en"]))
}

fn option(lang: Lang, name: &'static str, value: &'static str, help: Help) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .hide_env_values(true)
        .help(help.text(lang))
        .help_heading(Help::Options.text(lang))
}

fn flag(lang: Lang, name: &'static str, help: Help) -> Arg {
    Arg::new(name).help(help.text(lang)).help_heading(Help::Options.text(lang))
}

fn positional(lang: Lang, name: &'static str, value: &'static str, help: Help) -> Arg {
    Arg::new(name).value_name(value).help(help.text(lang)).help_heading(Help::Arguments.text(lang))
}

/// What every command has: its help in the user's language.
fn localized(command: Command, lang: Lang) -> Command {
    let usage = Help::Usage.text(lang);
    command
        .disable_help_flag(true)
        .help_template(format!(
            "{{before-help}}{{about-with-newline}}\n{usage}: {{usage}}\n\n{{all-args}}{{after-help}}"
        ))
        .arg(flag(lang, "help", Help::HelpFlag).short('h').long("help").action(ArgAction::Help))
}

/// The parser speaks English only.
fn in_chinese(error: &clap::Error, kind: ErrorKind) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
    let said = match kind {
        ErrorKind::UnknownArgument => format!("未知参数 '{argument}'"),
        ErrorKind::InvalidSubcommand => format!("未知命令 '{}'", context(ContextKind::InvalidSubcommand)),
        ErrorKind::MissingRequiredArgument => format!("缺少参数: {argument}"),
        ErrorKind::InvalidValue if value.is_empty() => format!("'{argument}' 需要一个值"),
        ErrorKind::InvalidValue => {
            format!("'{argument}' 的值 '{value}' 无效，可选: {}", context(ContextKind::ValidValue))
        }
        ErrorKind::ValueValidation => format!("'{argument}' 的值 '{value}' 无效"),
        ErrorKind::ArgumentConflict => format!("参数 '{argument}' 不能这样组合"),
        _ => return error.render().ansi().to_string(),
    };
    format!("{}\n", Tell::BadUsage(&said).in_lang(Lang::Zh))
}

impl ValueEnum for LogFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Pretty, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }))
    }
}

impl Lang {
    fn command_word(self) -> &'static str {
        match self {
            Self::En => "COMMAND",
            Self::Zh => "命令",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_in_both_languages() {
        for lang in [Lang::En, Lang::Zh] {
            command(lang).debug_assert();
        }
    }

    #[test]
    fn the_language_is_known_first() {
        let language = |arguments: &[&str]| language(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(language(&["aqueduct", "check", "--lang", "zh"]), Some(Lang::Zh));
        assert_eq!(language(&["aqueduct", "--lang=en"]), Some(Lang::En));
        assert_eq!(language(&["aqueduct", "--lang=fr"]), None);
    }

    #[test]
    fn mistakes_are_told_in_the_users_language() {
        let told = |lang, arguments: &[&str]| {
            read(arguments.iter().map(OsString::from).collect(), lang).expect_err("a mistake")
        };
        let (text, status) = told(Lang::Zh, &["aqueduct", "--port", "x"]);
        assert!(text.contains("'--port <PORT>' 的值 'x' 无效") && status == 2, "{text}");
        let (text, _) = told(Lang::En, &["aqueduct", "chekc"]);
        assert!(text.contains("chekc"), "{text}");
        let (text, status) = told(Lang::Zh, &["aqueduct", "--help"]);
        assert!(text.contains("用法: ") && text.contains("启动代理") && status == 0, "{text}");
    }
}
