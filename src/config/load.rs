//! From the text of a file to its fields: comments out, references in, every value checked.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::expand::Expander;
use super::finding::{Finding, Severity};
use super::print::Print;
use super::raw::File;
use super::schema::schema;
use super::verify::verify;
use crate::jsonc::{self, Map, Path, Position};
use crate::secret::{Digest, is_sensitive, mask_target};
use crate::text::{DoorProblem, Problem};

/// What a configuration may refer to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative files lie.
    pub directory: &'a FilePath,
}

/// A configuration as written.
pub struct Loaded {
    /// Its fields.
    pub file: File,
    /// What was found on the way.
    pub findings: Vec<Finding>,
    /// Where each value lies.
    pub places: Places,
    /// Every file that it refers to, and by what its content is known again.
    pub files: Vec<(PathBuf, Option<Print>)>,
    /// Routes of which nothing is said.
    pub empty_routes: HashSet<String>,
    /// Whether keys stand in the file itself.
    pub has_literal_keys: bool,
}

/// Where the values of a text lie.
pub struct Places {
    text: Zeroizing<String>,
    map: Map,
}

impl Places {
    /// Where a problem lies: at a key or at the value under it, or at the nearest value around that exists.
    #[must_use]
    pub fn of(&self, path: &Path, problem: &Problem) -> Position {
        let offset = if problem.is_about_key() { self.map.key(path) } else { self.map.value(path) };
        Position::of(&self.text, offset)
    }
}

/// Reads the text of a configuration.
///
/// # Errors
/// It is no JSON: nothing can be said of its fields.
pub fn load(text: &[u8], around: Surroundings<'_>) -> Result<Loaded, Vec<Finding>> {
    let text = std::str::from_utf8(text).map_err(|_| vec![at(None, Problem::Syntax("not UTF-8".to_owned()))])?;
    let json = jsonc::to_json(text)
        .map(Zeroizing::new)
        .map_err(|offset| vec![at(Some(Position::of(text, offset)), Problem::UnclosedComment)])?;
    let mut value: Value = serde_json::from_str(&json).map_err(|error| vec![syntax(text, &error)])?;
    let map = Map::of(&json);
    let empty_routes = empty_routes(&value);
    let has_literal_keys = has_literal_keys(&value);
    keep_numbers_as_written(&mut value, &map, &json);

    let mut faults = Vec::new();
    for (path, _) in map.repeated() {
        faults.push((Severity::Warning, path.clone(), Problem::RepeatedKey));
    }
    faults.extend(unused_host(&value).map(|path| (Severity::Warning, path, DoorProblem::UnusedHost.into())));
    let mut expander = Expander { variable: around.variable, directory: around.directory, files: Vec::new() };
    expand(&mut value, &Path::default(), &mut |path, text| {
        expander.expand(text).map_err(|problem| faults.push((Severity::Error, path.clone(), problem))).ok()
    });
    faults.extend(verify(&schema(), &mut value));

    let places = Places { text: Zeroizing::new(text.to_owned()), map };
    let mut findings: Vec<Finding> = faults
        .into_iter()
        .map(|(severity, path, problem)| {
            let position = Some(places.of(&path, &problem));
            Finding { severity, path, position, problem }
        })
        .collect();
    let file = File::deserialize_checked(value).unwrap_or_else(|why| {
        findings.push(at(None, Problem::Syntax(why)));
        File::default()
    });
    Ok(Loaded { file, findings, places, files: expander.files, empty_routes, has_literal_keys })
}

impl File {
    /// The value has been verified, so this fails only if schema and types have drifted apart.
    fn deserialize_checked(value: Value) -> Result<Self, String> {
        // What the library says of a value may be the value itself.
        serde_json::from_value(value).map_err(|_| "it does not fit its schema".to_owned())
    }
}

fn at(position: Option<Position>, problem: Problem) -> Finding {
    Finding { severity: Severity::Error, path: Path::default(), position, problem }
}

fn syntax(text: &str, error: &serde_json::Error) -> Finding {
    // The parser counts columns in bytes; people count characters.
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let position = Position::of(text, line_start + error.column().saturating_sub(1));
    let said = error.to_string();
    let why = said.split(" at line ").next().unwrap_or(&said).to_owned();
    at(Some(position), Problem::Syntax(why))
}

/// Lets `replace` change every text, and takes those out that it refuses.
fn expand(value: &mut Value, path: &Path, replace: &mut dyn FnMut(&Path, &str) -> Option<String>) -> bool {
    match value {
        Value::String(text) => match replace(path, text) {
            Some(expanded) => std::mem::replace(text, expanded).zeroize(),
            None => return false,
        },
        Value::Object(members) => {
            let mut refused = Vec::new();
            for (name, member) in members.iter_mut() {
                if !expand(member, &path.key(name), replace) {
                    refused.push(name.clone());
                }
            }
            for name in refused {
                members.shift_remove(&name);
            }
        }
        Value::Array(elements) => {
            let mut place = 0;
            elements.retain_mut(|element| {
                let inner = path.index(place);
                place += 1;
                expand(element, &inner, replace)
            });
        }
        _ => {}
    }
    true
}

fn routes(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value["routes"].as_object().into_iter().flatten()
}

fn empty_routes(value: &Value) -> HashSet<String> {
    let is_empty = |route: &Value| route.as_object().is_some_and(serde_json::Map::is_empty);
    routes(value).filter(|(_, route)| is_empty(route)).map(|(key, _)| key.clone()).collect()
}

/// A field beside `listen` that says the same in another way.
fn unused_host(value: &Value) -> Option<Path> {
    let server = value["server"].as_object().filter(|server| server.get("listen").is_some_and(Value::is_array))?;
    let field = ["host", "port"].into_iter().find(|field| server.contains_key(*field))?;
    Some(Path::default().key("server").key(field))
}

fn has_literal_keys(value: &Value) -> bool {
    let urls = routes(value).flat_map(|(_, route)| {
        let several = route["target_url"].as_array().into_iter().flatten();
        let several = several.map(|target| target.get("url").unwrap_or(target));
        several.chain([&route["target_url"], &route["proxy"]])
    });
    let mut urls = urls.chain([&value["global_proxy"], &value["state"]]).filter_map(Value::as_str);
    // What would be masked is a login, or a key in the query.
    if urls.any(|url| !url.contains("${") && matches!(mask_target(url.trim().as_bytes()), Cow::Owned(_))) {
        return true;
    }
    let clients =
        value["client_keys"].as_object().into_iter().flatten().filter_map(|(_, client)| client["key"].as_str());
    if clients.into_iter().any(|key| !key.is_empty() && !key.contains("${") && !Digest::is_meant(key)) {
        return true;
    }
    let headers = routes(value).flat_map(|(_, route)| route["custom_headers"].as_object().into_iter().flatten());
    headers.into_iter().any(|(name, value)| {
        let is_literal = |value: &Value| value.as_str().is_some_and(|value| !value.is_empty() && !value.contains("${"));
        let is_any_literal = is_literal(value) || value.as_array().is_some_and(|list| list.iter().any(is_literal));
        is_any_literal && is_sensitive(name.as_bytes())
    })
}

/// A number that is to be sent as text is sent as it was written: `1.50` is not `1.5`.
fn keep_numbers_as_written(value: &mut Value, map: &Map, json: &str) {
    let Some(routes) = value.get_mut("routes").and_then(Value::as_object_mut) else { return };
    for (key, route) in routes {
        let Some(headers) = route.get_mut("custom_headers").and_then(Value::as_object_mut) else { continue };
        for (name, value) in headers {
            let path = Path::default().key("routes").key(key).key("custom_headers").key(name);
            let keep = |value: &mut Value, path: &Path| {
                if let (true, Some(span)) = (value.is_number(), map.span(path)) {
                    *value = Value::String(json[span].to_owned());
                }
            };
            match value {
                Value::Array(list) => {
                    list.iter_mut().enumerate().for_each(|(place, value)| keep(value, &path.index(place)));
                }
                value => keep(value, &path),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listed::{HeaderValue, TargetUrl};
    use super::*;
    use crate::secret::Secret;
    use crate::text::Lang;

    fn around() -> Surroundings<'static> {
        Surroundings { variable: &|name| (name == "KEY").then(|| "sk-1".to_owned()), directory: FilePath::new(".") }
    }

    fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| finding.line("config.json", Lang::En).to_string()).collect()
    }

    fn findings(text: &str) -> Vec<String> {
        match load(text.as_bytes(), around()) {
            Ok(loaded) => lines(&loaded.findings),
            Err(findings) => lines(&findings),
        }
    }

    #[test]
    fn problems_name_their_place_in_the_users_text() {
        assert_eq!(
            findings("{\n  // 端口\n  \"server\": {\"port\": true,},\n  \"路由\": {}, \"server\": {\"hots\": 1}\n}"),
            [
                "config.json:4:13: server: this key stands more than once in the same object; the last one counts",
                "config.json:4:24: server.hots: unknown field, ignored. Did you mean 'host'?",
                "config.json:4:3: 路由: unknown field, ignored",
            ]
        );
        assert_eq!(findings("{\"a\": 1 \"b\": 2}"), ["config.json:1:9: not valid JSON: expected `,` or `}`"]);
        assert_eq!(findings("{\"名\": 1\n \"b\": 2}"), ["config.json:2:2: not valid JSON: expected `,` or `}`"]);
        assert_eq!(findings("{ /* x"), ["config.json:1:3: this comment is never closed: '*/' is missing"]);
        assert_eq!(findings("5"), ["config.json:1:1: expected an object, found a whole number"]);
        assert_eq!(findings(""), ["config.json:1:1: not valid JSON: EOF while parsing a value"]);
    }

    #[test]
    fn references_are_put_in_and_their_faults_have_a_place() {
        let text = r#"{"routes": {"a": {"target_url": "http://${KEY}", "proxy": "${NO}"}}}"#;
        let loaded = load(text.as_bytes(), around()).expect("JSON");
        let mut urls = loaded.file.routes[0].1.target_url.iter().flat_map(TargetUrl::urls);
        assert_eq!(urls.next(), Some("http://sk-1"));
        assert!(
            lines(&loaded.findings)[0]
                .starts_with("config.json:1:59: routes.a.proxy: the environment variable NO is not set")
        );
    }

    #[test]
    fn numbers_in_headers_are_sent_as_written() {
        let text = r#"{"routes": {"a": {"custom_headers": {"A": 1.50, "B": [12345678901234567890123, 1.0], "C": true, "D": null}}}}"#;
        let loaded = load(text.as_bytes(), around()).expect("JSON");
        let values: Vec<_> = loaded.file.routes[0]
            .1
            .custom_headers
            .iter()
            .flat_map(|(_, value)| match value {
                HeaderValue::Absent => Vec::new(),
                HeaderValue::One(value) => vec![value.expose()],
                HeaderValue::Several(values) => values.iter().map(Secret::expose).collect(),
            })
            .collect();
        assert_eq!(values, [&b"1.50"[..], b"12345678901234567890123", b"1.0", b"true"]);
    }

    #[test]
    fn empty_routes_and_literal_keys_are_noticed() {
        let loaded = load(br#"{"routes": {"a": {}, "b": {"custom_headers": {"x-api-key": "${KEY}"}}}}"#, around())
            .expect("JSON");
        assert!(loaded.empty_routes.contains("a") && loaded.empty_routes.len() == 1 && !loaded.has_literal_keys);
        let loaded =
            load(br#"{"routes": {"b": {"custom_headers": {"Authorization": "Bearer x"}}}}"#, around()).expect("JSON");
        assert!(loaded.has_literal_keys);
        for (list, has) in [("[\"${KEY}\", \"sk-2\"]", true), ("[\"${KEY}\", \"${KEY}\"]", false)] {
            let text = format!("{{\"routes\": {{\"a\": {{\"custom_headers\": {{\"x-api-key\": {list}}}}}}}}}");
            assert_eq!(load(text.as_bytes(), around()).expect("JSON").has_literal_keys, has, "{list}");
        }
        for (field, has) in [
            ("\"target_url\": \"http://u:p@h\"", true),
            ("\"target_url\": \"http://h/?key=x\"", true),
            ("\"target_url\": [\"http://h\", {\"url\": \"http://h/?key=x\"}]", true),
            ("\"target_url\": [\"http://u:p@h\"]", true),
            ("\"target_url\": [\"http://h\", \"http://i\"]", false),
            ("\"proxy\": \"socks5://u:p@h\"", true),
            ("\"proxy\": \"http://u:${KEY}@h\"", false),
            ("\"target_url\": \"http://h/x?v=1\"", false),
        ] {
            let text = format!("{{\"routes\": {{\"a\": {{{field}}}}}}}");
            assert_eq!(load(text.as_bytes(), around()).expect("JSON").has_literal_keys, has, "{field}");
        }
        assert!(load(br#"{"global_proxy": "http://u:p@h"}"#, around()).expect("JSON").has_literal_keys);
    }
}
