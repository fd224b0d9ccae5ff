//! The same requests through other doors: TLS, and a Unix socket.
//!
//! What reads them is the same; what brings them is not. Of every table each third row is sent, whole, and of these each
//! third in pieces too.

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::{Row, SMALL, bodies, connections, fields, framing, lines, news, paths, pipelines, proxy_in, universal};
use crate::support::{Authority, Client, Proxy, Witness};

fn sample() -> Vec<Row> {
    let tables = [
        framing::table(),
        lines::table(),
        fields::table(),
        bodies::table(),
        connections::table(),
        pipelines::table(),
        paths::table(),
        universal::table(),
    ];
    let small = |table: Vec<Row>| table.into_iter().filter(|row| row.bytes.len() <= SMALL).step_by(3);
    let mut sample: Vec<Row> = tables.into_iter().flat_map(small).collect();
    // Parts of those that are broken on their way may come late.
    sample.sort_by_key(|row| row.in_body);
    sample
}

/// Sends the sample to a proxy that is entered by this door.
fn run<S: Read + Write>(server: Value, connect: impl Fn(&Proxy) -> Client<S>) {
    let upstream = Witness::start();
    let mut proxy = proxy_in(&upstream, server);
    let host = upstream.address().to_string();
    let (mut read, mut failures) = (Vec::new(), Vec::new());
    let sample = sample();
    assert!(sample.len() >= 100, "{}", sample.len());
    for (number, row) in sample.iter().enumerate() {
        let bytes = row.bytes(&host);
        for piece in [bytes.len(), 1].into_iter().take(1 + usize::from(number % 3 == 0)) {
            let found = row.play(&mut connect(&proxy), &bytes, piece.max(1)).and_then(|()| {
                let (heads, has_part) = news(&upstream, &mut read)?;
                if has_part && !row.in_body {
                    return Err("a part has reached the upstream".into());
                }
                row.check_forwarded(&heads, &host)
            });
            failures.extend(found.err().map(|failure| format!("{} (in pieces of {piece}): {failure}", row.name)));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(proxy.is_alive() && proxy.err().is_empty(), "{}", proxy.err());
}

#[test]
fn tls_changes_nothing_about_what_is_a_request() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let server = json!({"tls": authority.issue().write(directory.path())});
    run(server, |proxy| authority.client(proxy.address()));
}

#[test]
fn a_local_socket_changes_nothing_about_what_is_a_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("x.sock");
    run(json!({"listen": [format!("unix:{}", socket.display())]}), |_| Client::local(&socket));
}
