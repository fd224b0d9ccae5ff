use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::h1::{Limits, RequestReader};
use crate::relay::Ends;

fn early() -> Rc<Early> {
    Rc::new(Early::new(Duration::from_secs(1), Sign::Comment, Ends::Itself, Instant::now(), Box::new(|_| {})))
}

fn head(method: &str, target: &str, fields: &str) -> RequestHead {
    let text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    RequestReader::default().read(text.as_bytes(), &Limits::REQUEST).expect("valid").expect("whole").0
}

/// Whether this body asks for a stream, shown in pieces of this size.
fn asks(body: &str, piece: usize) -> bool {
    let early = early();
    let mut members = Members::for_stream(&early);
    body.as_bytes().chunks(piece).for_each(|piece| members.read(piece));
    early.is_asked_for()
}

#[test]
fn a_body_asks_by_a_member_of_its_own() {
    for (body, expected) in [
        (r#"{"stream": true}"#, true),
        (r#"{"stream":true}"#, true),
        ("\u{feff} \r\n{\n\t\"model\": \"m\",\n\t\"stream\" : true\n}", true),
        (r#"{"a": [1, {"b": "]}"}, -1.5e3, null], "c": "\"}\\", "stream": true, "d": 1}"#, true),
        (r#"{"messages": [{"content": "\\\\\""}], "stream":true}"#, true),
        (r#"{"stream": false}"#, false),
        (r#"{"stream": null, "a": true}"#, false),
        (r#"{"stream": "true"}"#, false),
        (r#"{"stream": {"a": true}}"#, false),
        (r#"{"streams": true, "strea": true, "xstream": true, "": true}"#, false),
        (r#"{"s\u0074ream": true, "stream\\": true}"#, false),
        (r#"{"options": {"stream": true}}"#, false),
        (r#"{"options": [{"stream": true}], "a": "stream", "b": "\"stream\": true"}"#, false),
        (r#"[{"stream": true}]"#, false),
        (r#"{"a": 1} {"stream": true}"#, false),
        (r#"{"a": 1]"stream": true}"#, false),
        (r#"stream=true&{"stream": true}"#, false),
        (r#"{stream: true}"#, false),
        (r#"{"stream": tru"#, false),
        (r#"{"stream": t"#, false),
        ("", false),
    ] {
        for piece in [1, 3, 1000] {
            assert_eq!(asks(body, piece), expected, "{body} in pieces of {piece}");
        }
    }
}

#[test]
fn a_body_is_read_for_so_long_and_no_longer() {
    for (length, expected) in [(MAX_READ - 40, true), (MAX_READ, false)] {
        let body = format!(r#"{{"a": "{}", "stream": true}}"#, "x".repeat(length));
        for piece in [1000, 1 << 16, usize::MAX] {
            assert_eq!(asks(&body, piece), expected, "{length} in pieces of {piece}");
        }
    }
}

#[test]
fn a_head_asks_by_what_it_accepts_or_where_it_goes() {
    for (target, fields, expected) in [
        ("/a", "Accept: text/event-stream\r\n", true),
        ("/a", "Accept: application/json, Text/Event-Stream;q=0.5\r\n", true),
        ("/a", "Accept: */*\r\nAccept: text/event-stream\r\n", true),
        ("/a", "Accept: */*\r\n", false),
        ("/a", "Accept: text/event-stream;q=0\r\n", false),
        ("/a", "Accept: text/event-stream; Q=0.00, a/b\r\n", false),
        ("/a", "Accept: text/event-stream-of-mine\r\n", false),
        ("/a", "", false),
        ("/a?x=1&alt=sse", "", true),
        ("/a?$alt=sse", "", true),
        ("/a?alt=json", "", false),
        ("/a?salt=sse", "", false),
        ("/a?x=alt=sse", "", false),
        ("/v1beta/models/m:streamGenerateContent", "", true),
        ("/v1beta/models/m%3AstreamGenerateContent?key=k", "", true),
        ("/v1beta/models/m:streamGenerateContent?alt=sse&key=k", "", true),
        // It is told to answer with a list.
        ("/v1beta/models/m:streamGenerateContent?alt=json", "", false),
        ("/v1beta/models/m:generateContent?x=:streamGenerateContent", "", false),
        ("/v1beta/models/streamGenerateContent", "", false),
    ] {
        assert_eq!(in_head(&head("POST", target, fields)), expected, "{target} {fields}");
    }
}

#[test]
fn a_body_that_is_no_json_is_not_read() {
    for (fields, expected) in [
        ("Content-Length: 5\r\n", true),
        ("Content-Length: 5\r\nContent-Type: application/json; charset=utf-8\r\n", true),
        ("Transfer-Encoding: chunked\r\nContent-Type: application/vnd.x+JSON\r\n", true),
        ("Content-Length: 5\r\nContent-Type: multipart/form-data; boundary=x\r\n", false),
        ("Content-Length: 5\r\nContent-Type: text/plain\r\n", false),
        ("Content-Length: 5\r\nContent-Encoding: gzip\r\n", false),
        ("Content-Length: 0\r\n", false),
        ("Content-Type: application/json\r\n", false),
    ] {
        assert_eq!(may_be_in_body(&head("POST", "/a", fields)), expected, "{fields}");
    }
}
