//! Holds a configuration against its schema: every wrong type and every unknown field, each with its place.
//!
//! The schema is made from the fields (`raw`), so there is one description of what may stand where. The messages a
//! deserializer gives name neither the path nor the place, and stop at the first fault.

use serde_json::Value;

use super::finding::Severity;
use super::listed::KeyStrategy;
use super::raw::RetryOn;
use super::scalar::{Port, Size, Time};
use super::schema::{properties, resolve};
use crate::jsonc::Path;
use crate::text::{JsonType, Problem};

/// Fields of which this much is alike are taken for misspellings.
const ALIKE: f64 = 0.75;

/// What is wrong at which place.
pub(super) type Fault = (Severity, Path, Problem);

/// Holds `value` against `schema`. Values that are wrong are taken out, so that the rest can be looked at further.
pub(super) fn verify(root: &Value, value: &mut Value) -> Vec<Fault> {
    let mut verifier = Verifier { root, faults: Vec::new() };
    if !verifier.is_good(root, value, &Path::default()) {
        *value = Value::Object(serde_json::Map::new());
    }
    verifier.faults
}

struct Verifier<'a> {
    root: &'a Value,
    faults: Vec<Fault>,
}

impl Verifier<'_> {
    /// Whether the value itself may stand where it stands. What is wrong inside it has been taken out.
    fn is_good(&mut self, schema: &Value, value: &mut Value, path: &Path) -> bool {
        let schema = resolve(self.root, schema);
        if let Some(problem) = wrong_type(schema, value).or_else(|| wrong_value(schema, value)) {
            self.faults.push((Severity::Error, path.clone(), problem));
            return false;
        }
        match value {
            Value::Object(members) => {
                let names: Vec<String> = members.keys().cloned().collect();
                for name in names {
                    let inner = path.key(&name);
                    let known = properties(schema).and_then(|fields| fields.get(&name));
                    let Some(schema) = known.or_else(|| schema.get("additionalProperties")) else {
                        let problem = Problem::UnknownField { suggestion: suggestion(schema, &name) };
                        self.faults.push((Severity::Warning, inner, problem));
                        members.remove(&name);
                        continue;
                    };
                    let is_good = members.get_mut(&name).is_some_and(|member| self.is_good(schema, member, &inner));
                    if !is_good {
                        members.remove(&name);
                    }
                }
            }
            Value::Array(elements) => {
                let mut place = 0;
                elements.retain_mut(|element| {
                    let inner = path.index(place);
                    place += 1;
                    self.is_good(&schema["items"], element, &inner)
                });
            }
            _ => {}
        }
        true
    }
}

fn wrong_type(schema: &Value, value: &Value) -> Option<Problem> {
    let expected: Vec<JsonType> = match &schema["type"] {
        Value::String(name) => json_type(name).into_iter().collect(),
        Value::Array(names) => names.iter().filter_map(|name| json_type(name.as_str()?)).collect(),
        _ => return None,
    };
    let found = type_of(value);
    let fits =
        |expected: &JsonType| *expected == found || (*expected == JsonType::Number && found == JsonType::Integer);
    (!expected.iter().any(fits)).then_some(Problem::WrongType { expected, found })
}

fn wrong_value(schema: &Value, value: &Value) -> Option<Problem> {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names = allowed.iter().filter(|allowed| !allowed.is_null()).map(Value::to_string).collect();
        return Some(Problem::NotOneOf(names));
    }
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let (minimum, maximum) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
            #[expect(clippy::cast_precision_loss, reason = "limits are small whole numbers")]
            let is_out = minimum.is_some_and(|minimum| number < minimum as f64)
                || maximum.is_some_and(|maximum| number > maximum as f64);
            if is_out {
                return Some(Problem::OutOfRange { minimum, maximum });
            }
            // Durations have a largest value of their own.
            (schema["format"] == "duration" && Time::parse(&format!("{number}")).is_none())
                .then_some(Problem::BadDuration)
        }
        Value::String(text) => match schema["format"].as_str()? {
            "port" if Port::parse(text).is_none() => Some(Problem::BadPort),
            "duration" if Time::parse(text).is_none() => Some(Problem::BadDuration),
            "retry_on" if RetryOn::parse(text).is_none() => {
                let words = RetryOn::WORDS.map(|word| format!("\"{word}\""));
                Some(Problem::NotOneOf(words.into_iter().chain(["400", "…", "599"].map(str::to_owned)).collect()))
            }
            "size" if Size::parse(text).is_none() => Some(Problem::BadSize),
            "key_strategy" if !KeyStrategy::NAMES.contains(&text.as_str()) => {
                Some(Problem::NotOneOf(KeyStrategy::NAMES.map(|name| format!("\"{name}\"")).into()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn suggestion(schema: &Value, name: &str) -> Option<String> {
    let simple = |name: &str| name.to_ascii_lowercase().replace(['-', ' '], "_");
    let alike = |known: &str| strsim::normalized_damerau_levenshtein(&simple(known), &simple(name));
    let known = properties(schema)?.keys().map(|known| (alike(known), known));
    known
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known.clone())
}

fn json_type(name: &str) -> Option<JsonType> {
    Some(match name {
        "object" => JsonType::Object,
        "array" => JsonType::Array,
        "string" => JsonType::String,
        "integer" => JsonType::Integer,
        "number" => JsonType::Number,
        "boolean" => JsonType::Boolean,
        "null" => JsonType::Null,
        _ => return None,
    })
}

fn type_of(value: &Value) -> JsonType {
    match value {
        Value::Object(_) => JsonType::Object,
        Value::Array(_) => JsonType::Array,
        Value::String(_) => JsonType::String,
        Value::Number(number) if number.is_f64() => JsonType::Number,
        Value::Number(_) => JsonType::Integer,
        Value::Bool(_) => JsonType::Boolean,
        Value::Null => JsonType::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::raw::File;
    use super::super::schema::schema;
    use super::*;
    use crate::text::{Lang, Speak};

    fn faults(mut value: Value) -> Vec<String> {
        let faults = verify(&schema(), &mut value);
        serde_json::from_value::<File>(value).expect("what is left can be read");
        faults
            .iter()
            .map(|(severity, path, problem)| format!("{severity:?} {path}: {}", problem.in_lang(Lang::En)))
            .collect()
    }

    #[test]
    fn every_wrong_type_is_found_at_its_place() {
        let value = json!({
            "server": {"port": true, "host": 5, "log_requests": "yes", "workers": 0, "limits": {"head_timeout": "soon"}},
            "headers_to_drop": ["a", 5],
            "routes": {"a": {"target_url": 5, "custom_headers": {"X": {}, "Y": 5, "Z": null}}, "b": []},
            "global_proxy": 5,
        });
        assert_eq!(
            faults(value),
            [
                "Error server.port: expected a whole number or a string, found true or false",
                "Error server.host: expected a string, found a whole number",
                "Error server.log_requests: expected true or false, found a string",
                "Error server.workers: expected a number from 1 to 1024",
                "Error server.limits.head_timeout: expected a duration: seconds, or a text like \"300ms\", \"10s\", \"5m\", \"1h\"",
                "Error headers_to_drop[1]: expected a string, found a whole number",
                "Error routes.a.target_url: expected a string or an array or null, found a whole number",
                "Error routes.a.custom_headers.X: expected a string or a number or true or false or null or an array, found an object",
                "Error routes.b: expected an object, found an array",
                "Error global_proxy: expected a string or null, found a whole number",
            ]
        );
    }

    #[test]
    fn only_an_object_is_a_configuration() {
        for value in [json!([]), json!(null), json!(5), json!("x")] {
            assert_eq!(faults(value).len(), 1);
        }
        assert!(faults(json!({})).is_empty());
    }

    #[test]
    fn unknown_fields_are_warned_of_with_what_was_meant() {
        let found = faults(
            json!({"sever": {}, "routes": {"a": {"targetUrl": "x", "comment": 1}}, "globalProxy": null, "zzz": 1}),
        );
        assert_eq!(
            found,
            [
                "Warning sever: unknown field, ignored. Did you mean 'server'?",
                "Warning routes.a.targetUrl: unknown field, ignored. Did you mean 'target_url'?",
                "Warning routes.a.comment: unknown field, ignored",
                "Warning globalProxy: unknown field, ignored. Did you mean 'global_proxy'?",
                "Warning zzz: unknown field, ignored",
            ]
        );
    }

    #[test]
    fn ports_may_be_written_in_digits() {
        assert!(faults(json!({"server": {"port": "3000"}})).is_empty());
        assert!(faults(json!({"server": {"port": 0}})).is_empty());
        for port in [json!("x"), json!(65536), json!(-1), json!("65536"), json!(1.5), json!("")] {
            assert_eq!(faults(json!({"server": {"port": port}})).len(), 1, "{port}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[0-9]{0,3}(ms|s|m|KiB)?".prop_map(Value::from),
            Just(json!({})),
            Just(json!([1, "a"])),
            Just(json!({"x": {"enabled": 1}})),
        ]
    }

    proptest! {
        /// What passes here can be read: the schema and the types do not drift apart.
        #[test]
        fn what_is_left_can_always_be_read(
            server in prop::collection::hash_map("(host|port|log_requests|log_format|language|reload_interval|base_path|workers|shutdown_timeout|limits)", any_value(), 0..6),
            limits in prop::collection::hash_map("(max_head_size|max_head_fields|max_body_size|head_timeout|write_timeout)", any_value(), 0..4),
            route in prop::collection::hash_map("(enabled|target_url|universal_proxy|proxy|force_header_overwrite|custom_headers|key_strategy|timeouts)", any_value(), 0..5),
            top in prop::collection::hash_map("(server|routes|global_proxy|no_proxy|timeouts|headers_to_drop|ca_file|force_header_overwrite|.schema)", any_value(), 0..4),
        ) {
            let mut value = json!({"server": server, "routes": {"a": route}});
            value["server"]["limits"] = json!(limits);
            value.as_object_mut().expect("an object").extend(top);
            faults(value);
        }
    }
}
