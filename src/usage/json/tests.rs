//! Documents in pieces.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Default, Debug, PartialEq)]
struct Found(Vec<(Wanted, String)>);

impl Finds for Found {
    fn found(&mut self, wanted: Wanted, value: &[u8]) {
        self.0.push((wanted, String::from_utf8_lossy(value).into_owned()));
    }
}

/// What is found in a text that comes in pieces, and how many documents it holds.
fn find(text: &str, piece: usize) -> (Found, usize, bool) {
    let (mut scanner, mut found, mut documents) = (Scanner::default(), Found::default(), 0);
    for mut piece in text.as_bytes().chunks(piece) {
        while let Some(length) = scanner.read(piece, &mut found) {
            documents += 1;
            piece = &piece[length..];
        }
    }
    (found, documents, scanner.is_broken())
}

const USAGE: Wanted = Wanted::Usage { first: false };

#[test]
fn members_are_found_where_they_mean_something_and_nowhere_else() {
    let text = r#" {"id": "usage", "model": "m\"1", "content": [{"usage": {"a": 1}}, "\"usage\": {}"], "tool": {"model": "no", "usage": 1},
        "eval_count": 12 , "prompt_eval_count":7, "message": {"usage": {"b": [{}, "}"]}, "content": {"usage": {}}},
        "choices": [{"model": "no", "message": {"usage": {}}, "usage": {"c": 1}}, {}, []], "response": {"modelVersion": "m2"}, "usage" : null,
        "usage": {"d": {"e": "\\\"}"}}} "#;
    for piece in 1..text.len() {
        let (found, documents, broken) = find(text, piece);
        let expected = [
            (Wanted::Model, "\"m\\\"1\""),
            (Wanted::EvaluatedOut, "12"),
            (Wanted::EvaluatedIn, "7"),
            (Wanted::Usage { first: true }, r#"{"b": [{}, "}"]}"#),
            (USAGE, r#"{"c": 1}"#),
            (Wanted::Model, "\"m2\""),
            (USAGE, r#"{"d": {"e": "\\\"}"}}"#),
        ];
        assert_eq!(found.0, expected.map(|(wanted, value)| (wanted, value.to_owned())), "{piece}");
        assert_eq!((documents, broken), (1, false));
    }
}

#[test]
fn lists_and_documents_one_after_the_other() {
    let (found, documents, _) = find("[{\"usageMetadata\": {\"a\": 1}},\r\n{}, 5, {\"usageMetadata\": {\"a\": 2}}]", 3);
    assert_eq!((found.0.len(), documents), (2, 1));
    let (found, documents, _) = find("{\"eval_count\": 1}\n{\"eval_count\": 2}\n", 5);
    assert_eq!((found.0.len(), documents), (2, 2));
}

#[test]
fn what_is_no_json_ends_the_search_and_what_is_too_long_is_not_there() {
    for text in ["x", "{x", "{\"a\" 1", "{\"a\":}", "{\"a\":1]", "[1}", "{]", "{\"a\":1 2}", "\"a\"", "[{}}"] {
        assert!(find(text, 2).2, "{text}");
    }
    let long = format!("{{\"usage\": {{\"a\": \"{}\"}}, \"usage\": {{}}}}", "x".repeat(MAX_KEPT));
    assert_eq!(find(&long, 1000).0.0, [(USAGE, "{}".to_owned())]);
    let deep = format!("{{\"a\": {}{}, \"usage\": {{}}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(find(&deep, 999).0.0, [(USAGE, "{}".to_owned())]);
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z\"\\\\{}\\[\\]:,é]{0,8}",
        Just("\"usage\": {\"x\": 1}".to_owned()),
        Just("\\\"usage".to_owned())
    ];
    let leaf = prop_oneof![text.prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof!["[a-z\"\\\\]{0,4}", Just("usage".to_owned()), Just("model".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever stands around it and however it arrives: what is at the top is found, and nothing else.
    #[test]
    fn only_the_right_member_is_found(
        members in prop::collection::vec(("[b-dy-z]{1,3}", value()), 0..4),
        more in prop::collection::vec(("[b-dy-z]{1,3}", value()), 0..4),
        pretty: bool,
        piece in 1_usize..40,
    ) {
        let mut document: serde_json::Map<String, Value> = members.into_iter().collect();
        document.insert("usage".to_owned(), json!({"right": true}));
        document.extend(more);
        let document = Value::Object(document);
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let (found, documents, broken) = find(&text.expect("JSON"), piece);
        prop_assert_eq!((documents, broken, found.0.len()), (1, false, 1));
        prop_assert_eq!(serde_json::from_str::<Value>(&found.0[0].1).expect("JSON"), json!({"right": true}));
    }

    #[test]
    fn no_bytes_make_it_panic(text in "[{}\\[\\]\",:a\\\\ u1\n]{0,60}", piece in 1_usize..10) {
        find(&text, piece);
    }
}
