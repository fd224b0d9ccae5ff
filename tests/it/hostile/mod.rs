//! Requests and answers from peers that mean no good, over HTTP/1.1: row by row.
//!
//! What became of a request is read from the bytes that its upstream really got. Either nothing came, or exactly one
//! request that a strict reader takes ([`strict`]); a body that turns out to be broken on its way never looks whole.
//! Every table is sent twice, in one piece and byte by byte, and after every row somebody else is served as before.

mod answers;
mod bodies;
mod connections;
mod doors;
mod fields;
mod framing;
mod limits;
mod lines;
mod paths;
mod pipelines;
mod universal;

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::{Client, Proxy, Received, Witness, strict};

/// One request, or several on one connection, and what becomes of them.
struct Row {
    name: String,
    bytes: Vec<u8>,
    /// The statuses of the answers, in order.
    statuses: Vec<u16>,
    /// The targets of the requests that the upstream gets.
    targets: Vec<String>,
    /// Whether the client's connection goes on.
    stays: bool,
    /// Whether a part of a request may have reached the upstream: the fault lies in its body.
    in_body: bool,
    /// Fields that every request has as the upstream gets it; without a value, that it has not.
    fields: Vec<(&'static str, Option<&'static str>)>,
}

/// What stands for the address of the upstream in a row.
const UPSTREAM: &str = "{upstream}";
/// More than that is not sent byte by byte.
const SMALL: usize = 2000;

fn row(name: impl Into<String>, bytes: impl AsRef<[u8]>, statuses: &[u16], targets: &[&str], stays: bool) -> Row {
    Row {
        name: name.into(),
        bytes: bytes.as_ref().to_vec(),
        statuses: statuses.to_vec(),
        targets: targets.iter().map(|&target| target.to_owned()).collect(),
        stays,
        in_body: false,
        fields: Vec::new(),
    }
}

/// A request that is no HTTP: nothing of it is forwarded, and the connection ends.
fn refused(name: impl Into<String>, status: u16, bytes: impl AsRef<[u8]>) -> Row {
    row(name, bytes, &[status], &[], false)
}

/// A request that is answered here.
fn ours(name: impl Into<String>, status: u16, bytes: impl AsRef<[u8]>) -> Row {
    row(name, bytes, &[status], &[], true)
}

/// A request that is forwarded, with this target.
fn passes(name: impl Into<String>, target: &str, bytes: impl AsRef<[u8]>) -> Row {
    row(name, bytes, &[200], &[target], true)
}

/// A request whose body is broken: the upstream never gets it whole.
fn broken(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Row {
    Row { in_body: true, ..row(name, bytes, &[400], &[], false) }
}

impl Row {
    /// The upstream gets this field, once.
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, Some(value)));
        self
    }

    /// The upstream does not get this field.
    fn without(mut self, name: &'static str) -> Self {
        self.fields.push((name, None));
        self
    }

    /// The connection ends after that.
    fn ends(mut self) -> Self {
        self.stays = false;
        self
    }

    fn bytes(&self, upstream: &str) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return self.bytes.clone() };
        text.replace(UPSTREAM, upstream).into_bytes()
    }

    /// Sends it, and looks at the answers.
    fn play<S: Read + Write>(&self, client: &mut Client<S>, bytes: &[u8], piece: usize) -> Result<(), String> {
        for piece in bytes.chunks(piece) {
            // Who has heard a refusal may not be heard any more.
            if client.stream_mut().write_all(piece).is_err() {
                break;
            }
        }
        for &status in &self.statuses {
            let answer = client.try_answer().map_err(|error| format!("no answer, but {error}"))?;
            if answer.status() != status || !answer.is_whole {
                return Err(format!("{status} was expected: {} {}", answer.head, answer.text()));
            }
            check_answer(&answer)?;
        }
        if self.stays {
            // Whoever reads the same bytes in another way does not find this request where it is.
            let answer = client.send("GET /none HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n").try_answer();
            if !answer.as_ref().is_ok_and(|answer| answer.status() == 404) {
                return Err(format!("the next request is not found: {answer:?}"));
            }
        }
        if client.is_closed() { Ok(()) } else { Err("the connection goes on".into()) }
    }

    /// Looks at what the upstream got.
    fn check_forwarded(&self, heads: &[String], host: &str) -> Result<(), String> {
        let targets: Vec<&str> = heads.iter().map(|head| head.split(' ').nth(1).unwrap_or_default()).collect();
        if targets != self.targets {
            return Err(format!("these were forwarded: {heads:?}"));
        }
        for head in heads {
            let key = strict::values(head, "authorization");
            let is_expected =
                |(name, value): &(&str, Option<&str>)| strict::values(head, name) == Vec::from_iter(*value);
            let is_keyed = strict::values(head, "x-route") == ["a"];
            if strict::values(head, "host") != [host] || is_keyed != (key == ["Bearer of-the-route"]) {
                return Err(format!("Host or the key is not what it has to be: {head:?}"));
            }
            if !self.fields.iter().all(is_expected) {
                return Err(format!("{:?} do not hold: {head:?}", self.fields));
            }
        }
        Ok(())
    }
}

/// An answer of our own says in JSON what is wrong.
fn check_answer(answer: &Received) -> Result<(), String> {
    let Some(code) = answer.field("x-aqueduct-error") else { return Ok(()) };
    let json: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    if json["code"] == code && json["error"].is_string() { Ok(()) } else { Err(format!("a strange answer: {json}")) }
}

/// A good request of HTTP/1.1 to this target.
fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: p\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: p\r\n{fields}\r\n{body}")
}

/// A proxy with a route `a` that has a key, `deep` that has a base and a query, `flat` that takes no upgrades, and `u`
/// that is universal.
fn proxy(upstream: &Witness) -> Proxy {
    proxy_in(upstream, json!({}))
}

/// The same, with more to be said of how clients come in.
fn proxy_in(upstream: &Witness, mut server: Value) -> Proxy {
    server["log_requests"] = json!(false);
    server["base_path"] = json!("/base");
    let url = upstream.url();
    let keyed = json!({"Authorization": "Bearer of-the-route", "X-Route": "a"});
    Proxy::start(&json!({
        "server": server,
        "force_header_overwrite": true,
        "routes": {
            "a": {"target_url": url, "custom_headers": keyed},
            "deep": {"target_url": format!("{url}/one/two?v=1"), "custom_headers": keyed},
            "flat": {"target_url": url, "custom_headers": keyed, "upgrade": false},
            "u": {"universal_proxy": true},
        },
    }))
}

/// Runs a table against one proxy, which has to live through all of it.
fn run(table: &[Row]) {
    let upstream = Witness::start();
    let mut proxy = proxy(&upstream);
    let host = upstream.address().to_string();
    let mut bystander = proxy.client();
    let mut failures = Vec::new();
    // Where a body is broken on its way, a part of it may come late.
    let may_have_parts = table.iter().any(|row| row.in_body);
    let mut read = Vec::new();
    for whole in [true, false] {
        for row in table {
            let bytes = row.bytes(&host);
            let piece = if whole { bytes.len() } else { bytes.len().div_ceil(SMALL) };
            let played = row.play(&mut proxy.client(), &bytes, piece.max(1));
            let found = played.and_then(|()| {
                let (heads, has_part) = news(&upstream, &mut read)?;
                if has_part && !may_have_parts {
                    return Err("a part has reached the upstream".into());
                }
                row.check_forwarded(&heads, &host)
            });
            let manner = if whole { "in one piece" } else { "byte by byte" };
            failures.extend(found.err().map(|failure| format!("{} ({manner}): {failure}", row.name)));
            let is_served = bystander.ask(get("/a/good", "")).status() == 200;
            if !is_served || !matches!(news(&upstream, &mut read), Ok((heads, _)) if heads.len() == 1) {
                failures.push(format!("{} ({manner}): others are not served", row.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), 2 * table.len(), failures.join("\n"));
    let every = table.iter().map(|row| row.targets.len() + 1).sum::<usize>() * 2;
    assert_eq!(upstream.whole().len(), every, "something has come late");
    assert!(proxy.is_alive() && proxy.err().is_empty(), "{}", proxy.err());
}

/// The heads of the whole requests that have come since, and whether there is a part of one. `read` says how much of
/// each connection is known.
fn news(upstream: &Witness, read: &mut Vec<usize>) -> Result<(Vec<String>, bool), String> {
    let (mut heads, mut has_part) = (Vec::new(), false);
    for (number, bytes) in upstream.carried().iter().enumerate() {
        read.resize(read.len().max(number + 1), 0);
        let carried = strict::read(&bytes[read[number]..])?;
        read[number] += carried.length;
        has_part |= carried.has_part;
        heads.extend(carried.whole);
    }
    Ok((heads, has_part))
}
