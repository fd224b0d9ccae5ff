//! Secrets of every kind, on every way through the program, and nowhere in what it says.
//!
//! Each secret begins with the same word ([`WORD`]), so that all of them are found by one search, and a leak says by what
//! follows whose it is. It is looked for in every form that a program might make of it: in any case, in base64, in
//! hexadecimal digits, percent-encoded however often.
//!
//! What is searched is all that the program says of itself: both outputs, the bodies and heads of its own answers, what it
//! tells a manager of services, the files around it. Not searched is what it passes on: an upstream that sends a client's
//! key back to that client may do so. Nor are these secrets: paths (but for logins in them), names of files, of variables
//! and of headers, and what is said on a command line.

mod commands;
mod failing;
mod keys;
mod scene;
mod traffic;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// How every secret begins.
const WORD: &str = "Sq7secret";

/// A secret that says whose it is.
fn secret(name: &str) -> String {
    format!("{WORD}{name}")
}

/// All that has been said, and by whom.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.0.push((by.into(), text.into()));
    }

    /// Fails if a secret stands anywhere.
    fn check(&self) {
        let leaks = self.0.iter().filter_map(|(by, text)| Some(format!("{by}: {}", leak(text)?)));
        let leaks: Vec<String> = leaks.collect();
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    }
}

/// The place at which a secret stands in a text, in whatever form.
fn leak(text: &str) -> Option<String> {
    let mut layers = vec![text.to_owned()];
    while let Some(last) = layers.last().filter(|last| last.contains('%')) {
        let plain = percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned();
        if plain == *last {
            break;
        }
        layers.push(plain);
    }
    let hex: String = WORD.bytes().map(|byte| format!("{byte:02x}")).collect();
    layers.iter().find_map(|layer| {
        let lower = layer.to_ascii_lowercase();
        let plain = [WORD.to_ascii_lowercase(), hex.clone()].into_iter().find_map(|form| lower.find(&form));
        let coded = || in_base64().into_iter().find_map(|form| layer.find(&form));
        plain.or_else(coded).map(|at| excerpt(layer, at))
    })
}

/// What base64 makes of the word, in each case of letters, at each of the places that it can have in a text.
fn in_base64() -> Vec<String> {
    let mut forms = Vec::new();
    for word in [WORD.to_owned(), WORD.to_lowercase(), WORD.to_uppercase()] {
        for before in 0..3 {
            let text = [&vec![b'x'; before][..], word.as_bytes()].concat();
            // What depends on the bytes around it is left out.
            let (start, end) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
            forms.extend([&STANDARD, &URL_SAFE].map(|engine| engine.encode(&text)[start..end].to_owned()));
        }
    }
    forms
}

fn excerpt(text: &str, at: usize) -> String {
    let start = text[..at].char_indices().rev().nth(60).map_or(0, |(place, _)| place);
    text[start..].chars().take(120).collect()
}

#[test]
fn every_form_is_found() {
    let hidden = secret("x");
    let percent: String = hidden.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let hex: String = hidden.bytes().map(|byte| format!("{byte:02X}")).collect();
    for form in
        [hidden.clone(), hidden.to_lowercase(), hidden.to_uppercase(), percent.replace('%', "%25"), percent, hex]
    {
        assert!(leak(&format!("before {form} after")).is_some(), "{form}");
    }
    for before in ["", "u:", "user:", "Bearer "] {
        for text in [format!("{before}{hidden}"), format!("{before}{}\u{3ff}", hidden.to_uppercase())] {
            assert!(leak(&STANDARD.encode(&text)).is_some() && leak(&URL_SAFE.encode(&text)).is_some(), "{text}");
        }
    }
    assert_eq!(leak("nothing to be seen, not even %53q7 or U3E3"), None);
}
