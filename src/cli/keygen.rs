//! `aqueduct keygen`: a key for a client, and what of it belongs into the configuration.

use std::process::ExitCode;

use serde_json::Value;

use super::{MISUSE, line, print, print_error};
use crate::secret::{Digest, new_key};
use crate::text::{ClientProblem, ClientSay, Lang, Speak, Tell, shown};

/// Prints a new key. Standard output has the key and the entry and nothing else, each on a line of its own.
pub(super) fn keygen(lang: Lang, name: &str) -> ExitCode {
    if name.is_empty() || name.chars().any(char::is_control) {
        print_error(&line(&Tell::BadUsage(&ClientProblem::BadName.in_lang(lang)), lang));
        return MISUSE.into();
    }
    let Ok(key) = new_key() else {
        print_error(&line(&ClientSay::NoRandomness, lang));
        return ExitCode::FAILURE;
    };
    let (name_in_json, digest) = (Value::from(name), Digest::of(key.as_bytes()));
    print_error(&line(&ClientSay::NewKey(&shown(name)), lang));
    print(&format_args!("{}\n", *key));
    print_error(&line(&ClientSay::NewEntry, lang));
    print(&format_args!("{name_in_json}: {{\"key\": \"{digest}\"}}\n"));
    ExitCode::SUCCESS
}
