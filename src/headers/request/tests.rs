//! Heads as they go out.

use super::*;
use crate::h1::{Limits, RequestReader};
use crate::headers::Configured;

const TO: Outgoing<'_> = Outgoing {
    target: b"/v1",
    host: b"up",
    authorization: None,
    is_foreign: false,
    trailers: false,
    upgrade: None,
    edits: &[],
    picked: None,
    proxy: None,
};

fn write(policy: &Policy, request: &str, to: &Outgoing<'_>) -> (String, Vec<(String, Action)>) {
    let read = RequestReader::default().read(request.as_bytes(), &Limits::REQUEST);
    let head = read.expect("valid").expect("whole").0;
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    policy.write_request(&head, to, &mut out, |name, action| {
        notes.push((String::from_utf8_lossy(name).into_owned(), action));
    });
    (String::from_utf8(out).expect("text"), notes)
}

fn policy(force: bool) -> Policy {
    let drop = ["X-Real-Ip".to_owned()];
    let configured = ["Authorization", "X-B"].map(|name| Configured::new(name, b"ours", force));
    Policy::new(&drop, configured.into(), None)
}

#[test]
fn lines_pass_as_they_came_and_in_order() {
    let (out, _) = write(
        &Policy::default(),
        "GET /x HTTP/1.1\r\nb_c:  1 \r\nHOST: me\r\nA: 2\r\nb_C: 3\r\ncookie: a\r\ncookie: b\r\n\r\n",
        &TO,
    );
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nb_c:  1 \r\nHost: up\r\nA: 2\r\nb_C: 3\r\ncookie: a\r\ncookie: b\r\n\r\n");
}

#[test]
fn the_client_comes_first_or_the_operator_does() {
    let request = "GET / HTTP/1.1\r\nHost: me\r\nauthorization: theirs\r\nAuthorization: again\r\n\r\n";
    let (out, notes) = write(&policy(false), request, &TO);
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nHost: up\r\nauthorization: theirs\r\nAuthorization: again\r\nX-B: ours\r\n\r\n"
    );
    assert_eq!(notes[0].1, Action::Kept);
    assert_eq!(notes[2], ("X-B".into(), Action::Added));
    let (out, notes) = write(&policy(true), request, &TO);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n");
    assert_eq!((notes[0].1, notes[1].1), (Action::Overwritten, Action::Dropped(Rule::Repeated)));
}

#[test]
fn a_dropped_header_counts_as_absent() {
    let drop = ["AUTHORIZATION".to_owned()];
    let policy = Policy::new(&drop, vec![Configured::new("Authorization", b"ours", false)], None);
    let (out, notes) = write(&policy, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", &TO);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: ours\r\n\r\n");
    assert_eq!(notes[0].1, Action::Dropped(Rule::Configured));
}

#[test]
fn a_connection_option_cannot_strip_a_key() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, Authorization, Host, x-a\r\nAuthorization: a\r\nX-A: b\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: p\r\n\r\n";
    let (out, _) = write(&policy(false), request, &TO);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n");
}

#[test]
fn framing_is_said_once_and_plainly() {
    let write = |request: &str| write(&Policy::default(), request, &TO).0;
    assert_eq!(
        write("POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 007\r\n\r\n"),
        "POST /v1 HTTP/1.1\r\nHost: up\r\ncontent-length: 7\r\n\r\n"
    );
    assert_eq!(
        write("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\nTrailer: x\r\n\r\n"),
        "POST /v1 HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        write("POST / HTTP/1.1\r\nHost: h\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n"),
        "POST /v1 HTTP/1.1\r\nHost: up\r\nContent-Length: 1\r\n\r\n"
    );
    assert_eq!(
        write("POST / HTTP/1.1\r\nHost: h\r\n\r\n"),
        "POST /v1 HTTP/1.1\r\nHost: up\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(write("DELETE / HTTP/1.0\r\n\r\n"), "DELETE /v1 HTTP/1.1\r\nHost: up\r\n\r\n");
    assert_eq!(
        write("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n"),
        "PUT /v1 HTTP/1.1\r\nHost: up\r\nContent-Length: 1\r\n\r\n"
    );
}

#[test]
fn an_upgrade_is_asked_for_in_one_line_each() {
    let request = "GET / HTTP/1.1\r\nconnection: keep-alive, Upgrade, HTTP2-Settings\r\nHost: h\r\nCONNECTION: x-a\r\nUPGRADE: h2c,  websocket\r\nX-A: 1\r\nHTTP2-Settings: x\r\nupgrade: x/1\r\nSec-WebSocket-Key: k==\r\n\r\n";
    let read = RequestReader::default().read(request.as_bytes(), &Limits::REQUEST);
    let upgrade = read.expect("valid").expect("whole").0.upgrade;
    let (out, notes) = write(&policy(false), request, &Outgoing { upgrade: upgrade.as_ref(), ..TO });
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nconnection: Upgrade\r\nHost: up\r\nUPGRADE: websocket, x/1\r\nSec-WebSocket-Key: k==\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n"
    );
    assert_eq!(notes[2], ("UPGRADE".into(), Action::Passed));
    // A route that takes none sends the same request as an ordinary one.
    let (out, notes) = write(&policy(false), request, &TO);
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nHost: up\r\nSec-WebSocket-Key: k==\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n"
    );
    assert_eq!(notes[2], ("UPGRADE".into(), Action::Dropped(Rule::NoUpgrade)));
}

#[test]
fn host_can_be_configured() {
    let policy = Policy::new(&[], Vec::new(), Some(Secret::new(b"other".to_vec())));
    assert_eq!(write(&policy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &TO).0, "GET /v1 HTTP/1.1\r\nHost: other\r\n\r\n");
}

#[test]
fn a_password_in_the_url_replaces_every_other() {
    let secret = Secret::new(b"Basic dTpw".to_vec());
    let to = Outgoing { authorization: Some(&secret), ..TO };
    let (out, _) = write(&policy(false), "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\n\r\n", &to);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: Basic dTpw\r\nX-B: ours\r\n\r\n");
}

#[test]
fn what_a_client_proves_itself_with_goes_to_no_other_origin() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nauthorization: a\r\nX-Api-Key: b\r\napi-key: c\r\nx-goog-api-key: d\r\nCookie: e\r\nX-Auth-Token: f\r\nSec-WebSocket-Key: g\r\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk, openai-beta.realtime-v1\r\nAccept: h\r\n\r\n";
    let to = Outgoing { is_foreign: true, ..TO };
    let (out, notes) = write(&policy(false), request, &to);
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nHost: up\r\nSec-WebSocket-Key: g\r\nSec-WebSocket-Protocol: realtime, openai-beta.realtime-v1\r\nAccept: h\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n"
    );
    assert_eq!(notes[0].1, Action::Dropped(Rule::Credential));
    let alone = "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: openai-insecure-api-key.sk\r\n\r\n";
    assert!(!write(&Policy::default(), alone, &to).0.contains("rotocol"));
    assert!(write(&Policy::default(), request, &TO).0.contains("openai-insecure-api-key.sk"));
}

#[test]
fn a_proxy_is_told_the_whole_url_and_who_we_are() {
    let secret = Secret::new(b"Basic dTpw".to_vec());
    let request = "GET / HTTP/1.1\r\nHost: h\r\nProxy-Authorization: theirs\r\nA: b\r\n\r\n";
    let to = Outgoing { proxy: Some(ToProxy { authorization: Some(&secret) }), ..TO };
    let (out, notes) = write(&Policy::default(), request, &to);
    assert_eq!(
        out,
        "GET http://up/v1 HTTP/1.1\r\nHost: up\r\nA: b\r\nConnection: close\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    );
    assert_eq!(notes.last(), Some(&("Proxy-Authorization".into(), Action::Added)));
    let policy = Policy::new(&[], vec![Configured::new("proxy-authorization", b"mine", true)], None);
    let (out, _) = write(&policy, request, &to);
    assert!(out.ends_with("Connection: close\r\nproxy-authorization: mine\r\n\r\n"), "{out}");
}

#[test]
fn lines_with_keys_of_clients_count_as_absent() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nauthorization: Bearer ours\r\nsec-websocket-protocol: a, key, b\r\nX-Aqueduct-Key: x\r\nauthorization: Bearer theirs\r\nB: 2\r\n\r\n";
    let edits = [
        Edit { line: 2, value: None },
        Edit { line: 3, value: Some((*b"a, b").into()) },
        Edit { line: 5, value: None },
    ];
    let (out, notes) = write(&policy(false), request, &Outgoing { edits: &edits, ..TO });
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nHost: up\r\nA: 1\r\nsec-websocket-protocol: a, b\r\nB: 2\r\nAuthorization: ours\r\nX-B: ours\r\n\r\n"
    );
    let dropped = notes.iter().filter(|(_, action)| *action == Action::Dropped(Rule::ClientKey));
    assert_eq!(dropped.count(), 3);
    // What is no key of a client is the client's, and comes first.
    let (out, _) = write(&policy(false), request, &Outgoing { edits: &edits[..2], ..TO });
    assert_eq!(
        out,
        "GET /v1 HTTP/1.1\r\nHost: up\r\nA: 1\r\nsec-websocket-protocol: a, b\r\nauthorization: Bearer theirs\r\nB: 2\r\nX-B: ours\r\n\r\n"
    );
}

#[test]
fn our_own_field_never_passes() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nx-aqueduct-key: x\r\nX-AQUEDUCT-KEY: y\r\nx-aqueduct-keys: z\r\n\r\n";
    let (out, _) = write(&Policy::default(), request, &TO);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nx-aqueduct-keys: z\r\n\r\n");
    // Another of our kind may stand behind this one, with keys of its own.
    let policy = Policy::new(&[], vec![Configured::new("x-aqueduct-key", b"for the next", false)], None);
    let (out, _) = write(&policy, request, &TO);
    assert!(out.ends_with("x-aqueduct-key: for the next\r\n\r\n"), "{out}");
}

fn with_lists(force: bool) -> Policy {
    let list = |name: &str, values: [&str; 2]| Configured::one_of(name, &values.map(Secret::new), force);
    let lists = [list("Authorization", ["k0", "k1"]), list("X-Org", ["o0", "o1"])];
    Policy::new(&[], lists.into_iter().chain([Configured::new("X-B", b"ours", force)]).collect(), None)
}

#[test]
fn lists_move_in_step() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nauthorization: theirs\r\n\r\n";
    let (out, _) = write(&with_lists(true), request, &Outgoing { picked: Some(1), ..TO });
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: k1\r\nX-Org: o1\r\nX-B: ours\r\n\r\n");
    let (out, _) = write(&with_lists(false), "GET / HTTP/1.0\r\n\r\n", &Outgoing { picked: Some(0), ..TO });
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nAuthorization: k0\r\nX-Org: o0\r\nX-B: ours\r\n\r\n");
    let (out, notes) = write(&with_lists(false), request, &TO);
    assert_eq!(out, "GET /v1 HTTP/1.1\r\nHost: up\r\nauthorization: theirs\r\nX-B: ours\r\n\r\n");
    assert_eq!(notes[0], ("authorization".into(), Action::Kept));
}

#[test]
fn lists_are_used_whole_or_not_at_all() {
    let takes = |force, lines: &str, to: &Outgoing<'_>| {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let read = RequestReader::default().read(request.as_bytes(), &Limits::REQUEST);
        with_lists(force).takes_from_lists(&read.expect("valid").expect("whole").0, to)
    };
    let secret = Secret::new("Basic dTpw");
    assert!(takes(false, "", &TO) && takes(true, "AUTHORIZATION: x\r\nX-org: y\r\n", &TO));
    assert!(!takes(false, "AUTHORIZATION: x\r\n", &TO) && !takes(false, "x-org: y\r\n", &TO));
    assert!(!takes(true, "", &Outgoing { authorization: Some(&secret), ..TO }));
    // What does not go on stands in nobody's place.
    assert!(takes(false, "Connection: X-Org\r\nX-Org: y\r\nX-B: z\r\n", &TO));
    let edits = [Edit { line: 1, value: None }];
    assert!(takes(false, "Authorization: key of ours\r\n", &Outgoing { edits: &edits, ..TO }));
}
