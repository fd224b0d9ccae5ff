//! `aqueduct init`: a first configuration, with the manual as its comments.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use super::{PLACES, line, print, print_error};
use crate::config::schema::{description, properties, resolve, schema};
use crate::text::{Lang, Tell, shown};

/// What is written. `{{path}}` stands for what the manual says of a field, as comment lines.
const TEMPLATE: &str = r#"{
  {{}}
  "server": {
    {{server.host}}
    "host": "127.0.0.1",
    {{server.port}}
    "port": 3000,
    {{server.log_requests}}
    "log_requests": true,
    {{server.reload_interval}}
    "reload_interval": 5,
    {{server.base_path}}
    "base_path": ""
  },

  {{global_proxy}}
  "global_proxy": null,

  {{force_header_overwrite}}
  "force_header_overwrite": false,

  {{headers_to_drop}}
  "headers_to_drop": ["x-forwarded-for", "x-real-ip", "cf-connecting-ip"],

  {{routes}}
  "routes": {
    "openai": {
      {{routes.*.target_url}}
      "target_url": "https://api.openai.com",
      {{routes.*.custom_headers}}
      "custom_headers": {
        "Authorization": "Bearer ${OPENAI_API_KEY:-}"
      }
    },
    "anthropic": {
      "target_url": "https://api.anthropic.com",
      "custom_headers": {
        "x-api-key": "${ANTHROPIC_API_KEY:-}",
        "anthropic-version": "2023-06-01"
      }
    },
    "gemini": {
      "target_url": "https://generativelanguage.googleapis.com",
      "custom_headers": {
        "x-goog-api-key": "${GEMINI_API_KEY:-}"
      }
    },
    "deepseek": {
      "target_url": "https://api.deepseek.com",
      "custom_headers": {
        "Authorization": "Bearer ${DEEPSEEK_API_KEY:-}"
      }
    },
    "ollama": {
      "target_url": "http://localhost:11434",
      {{routes.*.proxy}}
      "proxy": ""
    },
    "proxy": {
      {{routes.*.universal_proxy}}
      "universal_proxy": true,
      {{routes.*.enabled}}
      "enabled": false
    }
  }
}
"#;
/// How long a comment line may get, in columns.
const WIDTH: usize = 100;

pub(super) fn init(lang: Lang, file: Option<&PathBuf>) -> ExitCode {
    let path = file.map_or(Path::new(PLACES[0]), PathBuf::as_path);
    let name = path.display().to_string();
    let name = shown(&name);
    match write_new(path, &configuration(lang)) {
        Ok(()) => {
            print(&line(&Tell::InitWritten(&name), lang));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            print_error(&line(&Tell::InitExists(&name), lang));
            ExitCode::FAILURE
        }
        Err(error) => {
            print_error(&line(&Tell::InitFailed { file: &name, why: &error }, lang));
            ExitCode::FAILURE
        }
    }
}

/// Writes a file that only its owner can read, and never one that exists.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// The template with the manual put in.
fn configuration(lang: Lang) -> String {
    let schema = schema();
    let mut text = String::new();
    for line in TEMPLATE.lines() {
        match line.trim_start().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(path) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                for part in comment(field(&schema, path), lang) {
                    text.push_str(&format!("{indent}// {part}\n"));
                }
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// The schema of a field; `*` is any member.
fn field<'a>(root: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|step| !step.is_empty()).fold(root, |schema, step| {
        let schema = resolve(root, schema);
        match step {
            "*" => &schema["additionalProperties"],
            step => properties(schema).and_then(|fields| fields.get(step)).unwrap_or(&Value::Null),
        }
    })
}

/// What the manual says, in lines of a bearable length.
fn comment(schema: &Value, lang: Lang) -> Vec<String> {
    let mut lines = vec![String::new()];
    let text = description(schema, lang).replace('`', "");
    // Chinese has no spaces to break at; its sentences are short.
    let words: Vec<&str> = match lang {
        Lang::En => text.split_whitespace().collect(),
        Lang::Zh => text.split_inclusive(['。', '，', '；', '\n']).map(|part| part.trim_matches('\n')).collect(),
    };
    for word in words {
        let last = lines.last_mut().expect("there is always a line");
        let space = if last.is_empty() || lang == Lang::Zh { "" } else { " " };
        if !last.is_empty() && columns(last) + columns(word) + space.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            last.push_str(space);
            last.push_str(word);
        }
    }
    lines
}

/// Chinese characters take two columns.
fn columns(text: &str) -> usize {
    text.chars().map(|letter| if letter.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Source};

    #[test]
    fn what_is_written_is_good_in_both_languages() {
        for lang in [Lang::En, Lang::Zh] {
            let text = configuration(lang);
            assert!(!text.contains("{{") && !text.contains("// \n"), "{text}");
            let (snapshot, findings) = Source::text(&text, Overrides::default(), lang).read().expect("good");
            assert_eq!((findings, snapshot.routes.len()), (Vec::new(), 6));
        }
    }

    #[test]
    fn comments_are_in_the_users_language() {
        assert!(configuration(Lang::En).is_ascii());
        assert!(configuration(Lang::Zh).contains("// 监听端口。"));
    }
}
