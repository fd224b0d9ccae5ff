//! Keys, and every place in which they may stand.

use proptest::prelude::*;

use super::*;
use crate::admit::Pattern;
use crate::h1::{Limits, RequestReader};

const ALICE: &str = "alice-0123456789";
const BOB: &str = "bob-0123456789-+/=%";
const OLD: &str = "old-0123456789ab";
const OFF: &str = "off-0123456789ab";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    let mut add = |name: &str, key: &str, routes: Option<&[&str]>, expires: Option<i64>, enabled| {
        let routes = routes.map(|routes| routes.iter().map(|route| Pattern::new(route)).collect());
        let client = Client { name: name.into(), routes, expires: expires.map(at), enabled, limits: None };
        keys.add(Digest::of(key.as_bytes()), client).expect("new");
    };
    add("alice", ALICE, Some(&["a*"]), Some(2000), true);
    add("bob", BOB, None, None, true);
    add("old", OLD, None, Some(1000), true);
    add("off", OFF, None, None, false);
    keys
}

fn head(fields: &str) -> RequestHead {
    let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    RequestReader::default().read(text.as_bytes(), &Limits::REQUEST).expect("valid").expect("whole").0
}

fn find(fields: &str, query: Option<&str>) -> Credentials {
    keys().find(&head(fields), query.map(str::as_bytes), at(1000))
}

/// Who asks, and which lines are left out or changed.
fn seen(fields: &str) -> (Option<String>, Vec<(usize, Option<String>)>) {
    let found = find(fields, None);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let edits = found.edits().iter().map(|edit| (edit.line, edit.value.as_deref().map(text))).collect();
    (found.owner().map(|client| client.name.to_string()), edits)
}

#[test]
fn every_field_in_which_programs_send_keys_is_looked_at() {
    for field in [
        format!("Authorization: Bearer {ALICE}"),
        format!("authorization: bearer   {ALICE} "),
        format!("AUTHORIZATION: BEARER {ALICE}"),
        format!("x-api-key: {ALICE}"),
        format!("X-Api-Key:{ALICE}"),
        format!("api-key: {ALICE}"),
        format!("x-goog-api-key: {ALICE}"),
        format!("Sec-WebSocket-Protocol: openai-insecure-api-key.{ALICE}"),
    ] {
        assert_eq!(seen(&format!("{field}\r\n")), (Some("alice".to_owned()), vec![(1, None)]), "{field}");
    }
    // It is left out in any case, and not as a line that is known.
    assert_eq!(seen(&format!("x-aqueduct-key: {ALICE}\r\n")), (Some("alice".to_owned()), vec![]));
    for field in [
        format!("Authorization: {ALICE}"),
        format!("Authorization: Basic {ALICE}"),
        format!("Authorization: Bearer{ALICE}"),
        format!("Authorization: Bearer {ALICE}x"),
        format!("Authorization: Bearer {}", &ALICE[..15]),
        format!("Authorization: Bearer {}", ALICE.to_uppercase()),
        format!("x-api-key: Bearer {ALICE}"),
        format!("x-api-keys: {ALICE}"),
        format!("Cookie: {ALICE}"),
        format!("Sec-WebSocket-Protocol: {ALICE}"),
        format!("Sec-WebSocket-Protocol: OpenAI-insecure-api-key.{ALICE}"),
        "Authorization: Bearer ".to_owned(),
        "x-api-key:".to_owned(),
    ] {
        assert_eq!(seen(&format!("{field}\r\n")), (None, vec![]), "{field}");
    }
}

#[test]
fn all_that_are_known_are_taken_and_no_others() {
    let fields = format!(
        "Authorization: Bearer sk-provider-0123456789\r\nx-api-key: {OLD}\r\nx-api-key: other-0123456789\r\napi-key: {OFF}\r\nauthorization: Bearer {ALICE}\r\n"
    );
    assert_eq!(seen(&fields), (Some("alice".to_owned()), vec![(2, None), (4, None), (5, None)]));
}

#[test]
fn of_several_one_that_is_good_counts_and_ours_before_others() {
    let who = |fields: &str| seen(fields).0.unwrap_or_default();
    assert_eq!(who(&format!("x-api-key: {ALICE}\r\napi-key: {BOB}\r\n")), "alice");
    assert_eq!(who(&format!("x-api-key: {ALICE}\r\nx-aqueduct-key: {BOB}\r\n")), "bob");
    assert_eq!(who(&format!("x-aqueduct-key: {BOB}\r\nx-api-key: {ALICE}\r\n")), "bob");
    assert_eq!(who(&format!("x-aqueduct-key: {OLD}\r\nx-api-key: {ALICE}\r\n")), "alice");
    assert_eq!(who(&format!("x-api-key: {OFF}\r\nx-api-key: {OLD}\r\n")), "old");
    assert_eq!(who(&format!("x-aqueduct-key: no-key-of-anybody\r\nx-api-key: {ALICE}\r\n")), "alice");
}

#[test]
fn a_query_loses_keys_and_nothing_else() {
    let coded = "bob-0123456789-%2B%2F%3D%25";
    let percent: String = ALICE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for (query, who, rest) in [
        (format!("key={ALICE}"), "alice", None),
        (format!("key={ALICE}&a=1"), "alice", Some("a=1")),
        (format!("a=1&key={ALICE}"), "alice", Some("a=1")),
        (format!("a=1&key={ALICE}&b=%2f&a=1"), "alice", Some("a=1&b=%2f&a=1")),
        (format!("key={ALICE}&a=1&key={OLD}&b=2&key={OFF}"), "alice", Some("a=1&b=2")),
        (format!("a&&key={ALICE}&&b"), "alice", Some("a&&&b")),
        (format!("%6be%79={percent}&x=+"), "alice", Some("x=+")),
        (format!("key={coded}&y"), "bob", Some("y")),
        (format!("key=theirs-0123456789&key={ALICE}"), "alice", Some("key=theirs-0123456789")),
    ] {
        let found = find("", Some(&query));
        assert_eq!(found.owner().expect(&query).name.as_ref(), who, "{query}");
        assert_eq!(found.query(Some(query.as_bytes())), rest.map(str::as_bytes), "{query}");
        assert!(found.edits().is_empty());
    }
    for query in [
        String::new(),
        "a=1&key=&key&=".to_owned(),
        format!("KEY={ALICE}"),
        format!("a=key={ALICE}"),
        ALICE.to_owned(),
        format!("key={ALICE}%00"),
        format!("key=+{ALICE}"),
        "key=bob-0123456789- /=%".to_owned(),
    ] {
        let found = find("", Some(&query));
        assert!(found.owner().is_none(), "{query}");
        assert_eq!(found.query(Some(query.as_bytes())), Some(query.as_bytes()), "{query}");
    }
    assert_eq!(find("", None).query(None), None);
}

#[test]
fn subprotocols_lose_keys_and_keep_their_order() {
    let key = |key: &str| format!("openai-insecure-api-key.{key}");
    let lines = |value: &str| format!("Sec-WebSocket-Protocol: {value}\r\n");
    let offered = format!("realtime,{} , openai-beta.realtime-v1", key(ALICE));
    let changed = Some("realtime, openai-beta.realtime-v1".to_owned());
    assert_eq!(seen(&lines(&offered)), (Some("alice".to_owned()), vec![(1, changed)]));
    assert_eq!(find(&lines(&offered), None).only_protocol(), None);
    let theirs = format!("realtime, {}, {}", key("sk-provider-0123456789"), key(ALICE));
    let rest = Some(format!("realtime, {}", key("sk-provider-0123456789")));
    assert_eq!(seen(&lines(&theirs)).1, [(1, rest)]);
    // Nothing is left to choose from.
    let only = find(&lines(&key(ALICE)), None);
    assert_eq!(only.only_protocol(), Some(key(ALICE).as_bytes()));
    let beside = lines(&key(ALICE)) + &lines("realtime");
    assert_eq!(seen(&beside).1, [(1, None)]);
    assert_eq!(find(&beside, None).only_protocol(), None);
    let twice = find(&(lines(&key(OLD)) + &lines(&key(ALICE))), None);
    assert_eq!(twice.only_protocol(), Some(key(OLD).as_bytes()));
}

#[test]
fn what_a_key_is_worth_is_told() {
    let kind = |fields: &str, route: &str| find(fields, None).check_for(route).err().map(|error| error.kind());
    assert_eq!(kind(&format!("x-api-key: {ALICE}\r\n"), "a1"), None);
    assert_eq!(kind(&format!("x-api-key: {ALICE}\r\n"), "b"), Some(Kind::Forbidden));
    assert_eq!(kind(&format!("x-api-key: {BOB}\r\n"), "b"), None);
    assert_eq!(kind(&format!("x-api-key: {OLD}\r\n"), "a"), Some(Kind::Unauthorized(Unproven::Expired)));
    assert_eq!(kind(&format!("x-api-key: {OFF}\r\n"), "a"), Some(Kind::Unauthorized(Unproven::Disabled)));
    assert_eq!(kind("x-api-key: nobodys\r\n", "a"), Some(Kind::Unauthorized(Unproven::Unknown)));
    assert_eq!(kind("", "a"), Some(Kind::Unauthorized(Unproven::Missing)));
    let later = keys().find(&head(&format!("x-api-key: {ALICE}\r\n")), None, at(2000));
    assert!(later.client().is_none() && later.owner().is_some());
}

#[test]
fn a_key_has_one_owner() {
    let mut keys = keys();
    let client = Client { name: "other".into(), routes: None, expires: None, enabled: true, limits: None };
    assert_eq!(keys.add(Digest::of(ALICE.as_bytes()), client), Err("alice".into()));
    assert_eq!(keys.clients().len(), 4);
    let named = |name| keys.named(name, at(0)).and_then(|found| found.client().map(|client| client.name.to_string()));
    assert_eq!((named("bob").as_deref(), named("off"), named("other")), (Some("bob"), None, None));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a query is made of: keys go, and all else stays in its place, byte for byte.
    #[test]
    fn no_query_keeps_a_key_or_loses_anything_else(parts in prop::collection::vec(
        prop_oneof![
            Just(format!("key={ALICE}")),
            Just(format!("%6bey={}", OLD.replace('o', "%6F"))),
            Just(format!("key={OFF}")),
            Just("key=their-own-0123456789".to_owned()),
            "[a-z=%+;?]{0,8}",
        ],
        0..8,
    )) {
        let query = parts.join("&");
        let found = find("", Some(&query));
        let is_ours = |part: &&String| part.starts_with("%6bey=") || part.contains(ALICE) || part.contains(OFF);
        prop_assert_eq!(found.owner().is_some(), parts.iter().any(|part| is_ours(&part)));
        let rest: Vec<&str> = parts.iter().filter(|part| !is_ours(part)).map(String::as_str).collect();
        let rest = rest.join("&");
        let expected = if rest.is_empty() && found.owner().is_some() { None } else { Some(rest.as_bytes()) };
        prop_assert_eq!(found.query(Some(query.as_bytes())), expected);
    }
}
