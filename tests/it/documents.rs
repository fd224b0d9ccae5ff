//! What is written down is true: the schema and the reference are those of the code, and examples load.
//!
//! `AQUEDUCT_BLESS=1 cargo test documents` writes the generated files anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use aqueduct::config::schema::{description, properties, resolve, schema};
use aqueduct::config::{Overrides, Source};
use aqueduct::text::Lang;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Holds a file against what it should be, or writes it.
fn fresh(name: &str, wanted: &str) {
    if std::env::var_os("AQUEDUCT_BLESS").is_some() {
        std::fs::write(root().join(name), wanted).expect("writes");
    }
    assert!(read(name) == wanted, "{name} is stale: run AQUEDUCT_BLESS=1 cargo test documents");
}

#[test]
fn the_schema_is_fresh() {
    let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    fresh("docs/config.schema.json", &text);
}

#[test]
fn the_reference_is_fresh() {
    for (lang, name) in [(Lang::En, "docs/configuration.md"), (Lang::Zh, "docs/configuration.zh-CN.md")] {
        let text = read(name);
        let (before, rest) = text.split_once("<!-- generated -->\n").expect("a place for what is generated");
        let (_, after) = rest.split_once("<!-- end -->").expect("an end of what is generated");
        fresh(name, &format!("{before}<!-- generated -->\n{}<!-- end -->{after}", reference(lang)));
    }
}

/// A table for the file as a whole and for each of its parts.
fn reference(lang: Lang) -> String {
    let schema = schema();
    let mut text = table("", &schema, &schema, lang);
    for (name, part) in schema["$defs"].as_object().expect("parts") {
        let title = match name.as_str() {
            "Server" => "server",
            "ServerTls" => "server.tls",
            "Limits" => "server.limits",
            "Timeouts" => "timeouts",
            "Cors" => "cors",
            "ClientKey" => "client_keys.<name>",
            "Route" => "routes.<key>",
            "RouteTimeouts" => "routes.<key>.timeouts",
            "UseLimits" => "limits, routes.<key>.limits, client_keys.<name>.limits",
            "Budget" => "limits.budget, routes.<key>.limits.budget, client_keys.<name>.limits.budget",
            "Retry" => "routes.<key>.retry",
            other => panic!("'{other}' has no title"),
        };
        text.push_str(&table(title, part, &schema, lang));
    }
    text
}

fn table(title: &str, part: &Value, root: &Value, lang: Lang) -> String {
    let mut text = String::new();
    if !title.is_empty() {
        writeln!(text, "\n### `{title}`\n").expect("a string");
    }
    writeln!(text, "{}\n", one_line(description(part, lang))).expect("a string");
    let head = match lang {
        Lang::En => "| field | type | default | meaning |",
        Lang::Zh => "| 字段 | 类型 | 默认 | 含义 |",
    };
    writeln!(text, "{head}\n|---|---|---|---|").expect("a string");
    for (name, field) in properties(part).expect("fields") {
        let default = field.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
        let meaning = one_line(description(field, lang));
        writeln!(text, "| `{name}` | {} | {default} | {meaning} |", kind(field, root)).expect("a string");
    }
    text
}

/// The type in one word or a few: JSON's own names, in both languages.
fn kind(field: &Value, root: &Value) -> String {
    let names = match &resolve(root, field)["type"] {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    match field["format"].as_str() {
        Some("duration") => "duration".to_owned(),
        Some("size") => format!("size{}", if names.iter().any(|name| name == "null") { ", null" } else { "" }),
        _ => names.join(", "),
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// The fenced blocks of this kind in a document.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let open = format!("```{kind}\n");
    text.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn documents() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path()).collect();
    files.extend(["README.md", "README.zh-CN.md", "SECURITY.md", "SECURITY.zh-CN.md"].map(|name| root().join(name)));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files
}

#[test]
fn examples_in_documents_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.path().join("fullchain.pem"), own.cert.pem()).expect("writes");
    std::fs::write(directory.path().join("privkey.pem"), own.signing_key.serialize_pem()).expect("writes");
    let mut count = 0;
    for file in documents() {
        let text = std::fs::read_to_string(&file).expect("text");
        for example in blocks(&text, "jsonc") {
            // Examples name keys of an environment that is not here.
            let example = example
                .replace("_API_KEY}", "_API_KEY:-key}")
                .replace("_PASSWORD}", "_PASSWORD:-key}")
                .replace("${file:/run/secrets/openai}", "key");
            let example = ["/etc/aqueduct/tls", "/etc/letsencrypt/live/llm.example.com"]
                .iter()
                .fold(example, |example, path| example.replace(path, directory.path().to_str().expect("text")));
            let (_, findings) = Source::text(&example, Overrides::default(), Lang::En)
                .read()
                .unwrap_or_else(|findings| panic!("{}: {}\n{example}", file.display(), findings[0].what(Lang::En)));
            let unknown = findings.iter().find(|finding| finding.what(Lang::En).to_string().contains("unknown field"));
            assert!(unknown.is_none(), "{}: {}\n{example}", file.display(), unknown.expect("one").what(Lang::En));
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} examples were found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in documents() {
        let text = std::fs::read_to_string(&file).expect("text");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = file.parent().expect("a directory").join(path);
            assert!(target.exists(), "{}: {link}", file.display());
        }
    }
}

/// All that is written in Rust below a directory.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("text"));
        }
    }
    text
}

/// The cells of a row of a table.
fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn tests_that_promises_name_exist() {
    let text = read("docs/promises.md");
    let tests = root().join("tests/it");
    let code = sources(&root().join("src")) + &sources(&tests);
    let mut named = 0;
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let mut rows = table.lines().map(cells);
        if rows.next().and_then(|head| head.last().copied()) != Some("test") {
            continue;
        }
        for row in rows {
            for name in row.last().expect("a cell").split('`').skip(1).step_by(2) {
                let is_module = |module: &str| {
                    let path = tests.join(module.replace("::", "/"));
                    path.is_dir() || path.with_extension("rs").exists()
                };
                let exists = match name.rsplit_once("::") {
                    _ if is_module(name) => true,
                    Some((module, test)) => {
                        let path = tests.join(module.replace("::", "/"));
                        let files = [path.with_extension("rs"), path.join("mod.rs")];
                        let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
                        text.is_some_and(|text| text.contains(&format!("fn {test}(")))
                    }
                    None => code.contains(&format!("fn {name}(")),
                };
                assert!(exists, "there is no test '{name}'");
                named += 1;
            }
        }
    }
    assert!(named > 150, "only {named} tests are named");
}

#[test]
fn the_two_manuals_say_the_same() {
    for (english, chinese) in [
        ("README.md", "README.zh-CN.md"),
        ("SECURITY.md", "SECURITY.zh-CN.md"),
        ("docs/configuration.md", "docs/configuration.zh-CN.md"),
    ] {
        let (english, chinese) = (read(english), read(chinese));
        let shape = |text: &str| {
            let headings = text
                .lines()
                .filter(|line| line.starts_with('#'))
                .map(|line| line.chars().take_while(|letter| *letter == '#').count());
            let rows = text.lines().filter(|line| line.starts_with('|')).count();
            (headings.collect::<Vec<_>>(), rows)
        };
        assert_eq!(shape(&english), shape(&chinese));
        for kind in ["sh", "jsonc", "nginx", "ini"] {
            // Commands and configurations are the same; only what people read in them differs.
            let code = |text: &str| -> Vec<String> {
                let lines = |block: String| {
                    block
                        .lines()
                        .filter(|line| line.is_ascii() && !line.trim_start().starts_with(['#', '/']))
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                blocks(text, kind).into_iter().flat_map(lines).collect()
            };
            assert_eq!(code(&english), code(&chinese), "{kind}");
        }
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = read("Cargo.toml");
    let reasons = read("docs/dependencies.md");
    for part in ["[dependencies]", "[dev-dependencies]"] {
        let table = manifest.split(part).nth(1).expect("a table").split("\n[").next().unwrap_or_default();
        for name in table
            .lines()
            .filter_map(|line| line.split('=').next())
            .map(str::trim)
            .filter(|name| !name.is_empty() && !name.starts_with('#'))
        {
            assert!(reasons.contains(&format!("`{name}`")), "docs/dependencies.md says nothing of '{name}'");
        }
    }
}
