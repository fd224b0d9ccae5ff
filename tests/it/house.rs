//! The drawing of the house (see `src/lib.rs`) holds: nothing imports upwards, and nothing in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The floors from the ground up. What stands on one may import what stands below it; the ground may import the
/// ground, everything else nothing beside it.
const FLOORS: [&[&str]; 6] = [
    &[
        "deadline", "drain", "ending", "error", "h1", "h2", "jsonc", "origin", "os", "peer", "pem", "secret",
        "spending", "sse", "stock", "text", "wire",
    ],
    &["accept", "admit", "demo", "headers", "pick", "record", "relay", "retry", "route", "upstream", "usage"],
    &["config"],
    &["proxy"],
    &["app"],
    &["cli"],
];
/// How long a file may be, tests included.
const MAX_LINES: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The top-level module that a file belongs to; `None` for `lib.rs` and `main.rs`.
fn module(file: &Path) -> Option<String> {
    let inner = file.strip_prefix(root()).expect("inside");
    let first = inner.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// The top-level modules that a text names behind `crate::`. Tests may look at more, and are left out.
fn imports(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join(" ");
    let word = |text: &str| -> String {
        text.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let mut names = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{').and_then(|list| list.split('}').next()) {
            Some(list) => names.extend(list.split(',').map(word)),
            None => _ = names.insert(word(after)),
        }
    }
    names.remove("");
    names
}

fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources(&root()) {
        let Some(module) = module(&file) else { continue };
        let text = std::fs::read_to_string(&file).expect("text");
        let imported = imports(&text).into_iter().filter(|name| *name != module);
        graph.entry(module.clone()).or_default().extend(imported);
    }
    graph
}

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("'{module}' has no place in the house"))
}

#[test]
fn nothing_imports_upwards() {
    for (module, imported) in graph() {
        for other in imported {
            let allowed = floor(&other) < floor(&module) || (floor(&module) == 0 && floor(&other) == 0);
            assert!(allowed, "{module} imports {other}");
        }
    }
}

#[test]
fn nothing_imports_in_a_circle() {
    let mut graph = graph();
    while let Some(leaf) = graph.iter().find(|(_, imported)| imported.is_empty()).map(|(module, _)| module.clone()) {
        graph.remove(&leaf);
        graph.values_mut().for_each(|imported| _ = imported.remove(&leaf));
    }
    assert!(graph.is_empty(), "in or above a circle: {graph:?}");
}

#[test]
fn every_module_is_in_the_drawing() {
    let drawing = std::fs::read_to_string(root().join("lib.rs")).expect("text");
    let (drawing, modules) = drawing.split_once("\npub mod ").expect("modules");
    for module in modules.lines().map(|line| line.trim_start_matches("pub mod ").trim_end_matches(';')) {
        assert!(drawing.contains(module), "{module}");
    }
}

#[test]
fn files_are_one_thing_each() {
    for file in sources(&root()) {
        let lines = std::fs::read_to_string(&file).expect("text").lines().count();
        assert!(lines <= MAX_LINES, "{}: {lines} lines", file.display());
    }
}

#[test]
fn imports_are_seen_in_every_form() {
    let text = "use crate::{\n    accept,\n    relay,\n};\nuse crate::h1::{self, x};\n// crate::no\nfn f() -> crate::error::Kind { crate::text::Lang::En }\n#[cfg(test)]\nmod tests { use crate::cli; }";
    assert_eq!(imports(text), ["accept", "relay", "h1", "error", "text"].map(str::to_owned).into());
}
