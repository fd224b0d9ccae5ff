//! The JSON Schema of the configuration, made from the fields themselves.

use serde_json::{Map, Value};

use super::raw::File;
use crate::text::Lang;

/// The schema, as editors and the loader read it.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    drop_idle_defaults(&mut schema);
    schema
}

/// What the manual says of a field or a definition, in one language: the first paragraph is English, the second
/// Chinese.
#[must_use]
pub fn description(schema: &Value, lang: Lang) -> &str {
    let both = schema["description"].as_str().unwrap_or_default();
    match (both.split_once("\n\n"), lang) {
        (Some((english, _)), Lang::En) => english,
        (Some((_, chinese)), Lang::Zh) => chinese,
        (None, _) => both,
    }
}

/// Follows a reference to a definition.
#[must_use]
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap_or(schema),
        None => schema,
    }
}

/// The fields of an object schema, in the order of the manual.
#[must_use]
pub fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// `null` is no default worth naming, and those of an object are named field by field.
fn drop_idle_defaults(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
                members.remove("default");
            }
            members.values_mut().for_each(drop_idle_defaults);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_idle_defaults),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_described_in_both_languages() {
        fn check(name: &str, schema: &Value) {
            if let Some(fields) = properties(schema) {
                for (field, schema) in fields {
                    let (english, chinese) = (description(schema, Lang::En), description(schema, Lang::Zh));
                    assert!(!english.is_empty() && english.is_ascii(), "{name}.{field}: {english}");
                    assert!(!chinese.is_ascii(), "{name}.{field}: {chinese}");
                }
            }
        }
        let schema = schema();
        check("", &schema);
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            check(name, definition);
        }
    }

    #[test]
    fn references_lead_to_definitions() {
        let schema = schema();
        let server = resolve(&schema, &schema["properties"]["server"]);
        assert_eq!(server["properties"]["port"]["default"], 3000);
    }
}
