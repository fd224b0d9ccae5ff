//! Every sentence that a person reads, in English and in Chinese: one exhaustive match per language, so that a
//! sentence without its twin does not compile.

mod clients;
mod command;
mod console;
mod cors;
mod doors;
mod failure;
mod help;
mod json;
mod keepalive;
mod limits;
mod notes;
mod pick;
mod problem;
mod replacement;
mod retry;
mod shown;
mod spent;
mod status;
mod system;
mod uncounted;
mod unmet;
mod usage;
mod way;

use std::fmt;

pub use clients::{ClientProblem, ClientSay};
pub use command::{Because, Tell};
pub use console::Say;
pub use cors::{CorsProblem, CorsSay};
pub use doors::DoorProblem;
pub use failure::failure;
pub use help::Help;
pub use json::JsonType;
pub use keepalive::{KeepAliveProblem, KeepAliveSay};
pub use limits::{Allowed, Away, LimitProblem, SharedLimits, StateNews};
pub use notes::{NotesPart, RouteNote};
pub use pick::{Entry, PickProblem, Rested, Stands};
pub use problem::Problem;
pub use replacement::{Replacement, Unreplaced};
pub use retry::{Attempt, Failed, RetryProblem};
pub use shown::{Shown, shown};
pub use status::Status;
pub use system::system_words;
pub use uncounted::{NotCounted, Unknown};
pub use unmet::Unmet;
pub use usage::UsageProblem;
pub use way::{Decided, Way};

/// A language that the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Lang {
    /// Reads `zh`, `zh_CN.UTF-8`, `zh-Hans`, `en`, `C` and their kin: Chinese if it begins so, else English.
    #[must_use]
    pub fn of_locale(locale: &str) -> Self {
        let is_chinese = locale.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("zh"));
        if is_chinese { Self::Zh } else { Self::En }
    }

    /// The language of the environment: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set decides.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        locale.map_or(Self::En, |locale| Self::of_locale(&locale))
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

/// A sentence that can be said in every language.
pub trait Speak {
    /// Writes it in one of them.
    ///
    /// # Errors
    /// Those of the writer.
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The sentence in this language, to be shown.
    fn in_lang(&self, lang: Lang) -> Spoken<'_>
    where
        Self: Sized,
    {
        spoken(self, lang)
    }
}

/// A sentence of any kind in this language, to be shown.
#[must_use]
pub fn spoken(sentence: &dyn Speak, lang: Lang) -> Spoken<'_> {
    Spoken { sentence, lang }
}

/// A sentence with its language.
pub struct Spoken<'a> {
    sentence: &'a dyn Speak,
    lang: Lang,
}

impl fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence.speak(self.lang, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_language() {
        let of = |set: &[(&str, &str)]| {
            Lang::of_environment(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[]), Lang::En);
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(of(&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C.UTF-8")]), Lang::En);
        assert_eq!(of(&[("LANG", "en_US"), ("LC_MESSAGES", "zh-TW"), ("LC_ALL", "")]), Lang::Zh);
        assert_eq!(Lang::of_locale("z"), Lang::En);
    }
}
