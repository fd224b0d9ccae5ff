//! Answers from upstreams that mean no good, or know no better, over HTTP/1.1: row by row.
//!
//! The client gets an error of the proxy's own, in which nothing of the upstream's stands, or an answer that is visibly
//! cut, or exactly the answer that is there; never a second one. Every table is played twice, in one piece and byte by
//! byte, and whatever came of it, the next request is answered as before, on the same connection if that goes on, and
//! on another.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{Client, Proxy, Received, Script, Upstream};

/// A word that no answer of the proxy's own may have.
const EVIL: &str = "evil";
/// More than that is not sent byte by byte.
const SMALL: usize = 2000;

/// One answer, and what becomes of it.
struct Row {
    name: String,
    method: &'static str,
    bytes: Vec<u8>,
    /// Where the answer ends, if something follows it. What follows comes with its last byte: of what comes later nobody
    /// can tell that it is not the answer to the next request.
    end: Option<usize>,
    /// What the upstream does behind it.
    then: Then,
    sees: Sees,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    /// It waits for the proxy to close.
    Wait,
    /// It says the same again and again.
    Repeat,
}

/// What the client sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sees {
    /// An error of the proxy's own.
    Refused,
    /// An answer that is not whole.
    Cut,
    /// This status and content, and the upstream's connection serves no further request.
    Whole(u16, &'static str),
}

fn row(name: impl Into<String>, bytes: impl AsRef<[u8]>, then: Then, sees: Sees) -> Row {
    Row { name: name.into(), method: "GET", bytes: bytes.as_ref().to_vec(), end: None, then, sees }
}

fn refused(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Row {
    row(name, bytes, Then::Wait, Sees::Refused)
}

fn cut(name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Row {
    row(name, bytes, Then::Close, Sees::Cut)
}

impl Row {
    fn to(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    fn ending_at(self, end: usize) -> Self {
        Self { end: Some(end), ..self }
    }

    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn check(&self, answer: &io::Result<Received>) -> Result<(), String> {
        let answer = match answer {
            Ok(answer) => answer,
            // Half a head is a visible cut too.
            Err(_) if self.sees == Sees::Cut => return Ok(()),
            Err(error) => return Err(format!("no answer, but {error}")),
        };
        let text = answer.text();
        let is_ours = answer.field("x-aqueduct-error").is_some();
        let fits = match self.sees {
            Sees::Refused => {
                let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let is_clean = !answer.head.contains(EVIL) && !text.contains(EVIL) && answer.is_whole;
                let code = json["code"].as_str().unwrap_or_default();
                let is_known = matches!(code, "upstream_bad_answer" | "upstream_reset");
                is_ours
                    && is_clean
                    && is_known
                    && answer.status() == 502
                    && answer.field("x-aqueduct-error") == Some(code)
            }
            Sees::Cut => !is_ours && !answer.is_whole,
            Sees::Whole(status, content) => !is_ours && answer.is_whole && answer.status() == status && text == content,
        };
        if fits { Ok(()) } else { Err(format!("{} {text:?}, whole: {}", answer.head, answer.is_whole)) }
    }
}

/// An upstream that gives the answer of the row that a target names; a connection that has given one is used up, and
/// says so to whoever asks it again.
fn upstream(rows: Arc<HashMap<String, Row>>) -> Upstream {
    Upstream::playing(move |script| {
        while let Some(request) = script.request()? {
            let Some(row) = rows.get(request.target()) else {
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")?;
                continue;
            };
            let is_small = request.target().ends_with('b');
            let piece = if is_small { row.bytes.len().div_ceil(SMALL) } else { row.bytes.len() };
            give(script, row, piece.max(1))?;
            if row.then == Then::Close {
                return Ok(());
            }
            if script.request()?.is_some() {
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nused")?;
            }
            return Ok(());
        }
        Ok(())
    })
}

fn give(script: &mut Script, row: &Row, piece: usize) -> io::Result<()> {
    let (before, seam) = row.bytes.split_at(row.end.map_or(row.bytes.len(), |end| end - 1));
    let (seam, behind) = seam.split_at(seam.len().min(2));
    for piece in before.chunks(piece).chain([seam]).chain(behind.chunks(piece)) {
        script.send(piece)?;
    }
    if row.then == Then::Repeat {
        loop {
            script.send(&row.bytes)?;
        }
    }
    Ok(())
}

fn is_good(client: &mut Client) -> bool {
    client.send("GET /a/good HTTP/1.1\r\nHost: p\r\n\r\n").try_answer().is_ok_and(|answer| answer.text() == "good")
}

/// Plays a table on one proxy, which has to live through all of it.
fn run(table: Vec<Row>) {
    let mut rows = HashMap::new();
    let mut order = Vec::new();
    for (number, row) in table.into_iter().enumerate() {
        for manner in ["w", "b"] {
            order.push(format!("/{number}{manner}"));
            let Row { ref name, ref bytes, method, end, then, sees } = row;
            rows.insert(
                format!("/{number}{manner}"),
                Row { name: name.clone(), bytes: bytes.clone(), method, end, then, sees },
            );
        }
    }
    let rows = Arc::new(rows);
    let upstream = upstream(Arc::clone(&rows));
    let config = json!({"server": {"log_requests": false}, "routes": {"a": {"target_url": upstream.url()}}});
    let mut proxy = Proxy::start(&config);
    let mut bystander = proxy.client();
    let mut failures = Vec::new();
    for target in &order {
        let row = &rows[target];
        let mut client = proxy.client();
        client.send(format!("{} /a{target} HTTP/1.1\r\nHost: p\r\n\r\n", row.method));
        let answer = client.try_answer_to(row.method);
        failures.extend(row.check(&answer).err().map(|failure| format!("{} ({target}): {failure}", row.name)));
        // Whatever comes next on this connection is the answer to what is asked next, or the end.
        let goes_on = answer.is_ok_and(|answer| answer.is_whole && answer.field("connection") != Some("close"));
        if !(if goes_on { is_good(&mut client) } else { client.rest().is_empty() }) {
            failures.push(format!("{} ({target}): something follows the answer", row.name));
        }
        if !is_good(&mut bystander) || !is_good(&mut proxy.client()) {
            failures.push(format!("{} ({target}): others are not served", row.name));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), order.len(), failures.join("\n"));
    assert!(proxy.is_alive() && proxy.err().is_empty(), "{}", proxy.err());
}

fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Word: evil\r\n{fields}\r\n{body}")
}

#[test]
fn broken_heads_become_a_clean_502() {
    let mut table: Vec<Row> = [
        ("garbage", "evil garbage\r\n\r\n"),
        ("a banner of SSH", "SSH-2.0-evil\r\n"),
        ("an alert of TLS", "\u{15}\u{3}\u{1}\0\u{2}\u{2}\u{28}"),
        ("a request", "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"),
        ("a page without a head (HTTP/0.9)", "<html>evil</html>\r\n"),
        ("an empty line first", "\r\nHTTP/1.1 200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a space first", " HTTP/1.1 200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("ICY", "ICY 200 evil\r\n\r\n"),
        ("HTTP/2.0", "HTTP/2.0 200 evil\r\n\r\n"),
        ("HTTP/0.9", "HTTP/0.9 200 evil\r\n\r\n"),
        ("HTTP/1.2", "HTTP/1.2 200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("HTTP/1.10", "HTTP/1.10 200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a version in lower case", "http/1.1 200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("no status", "HTTP/1.1\r\nX: evil\r\n\r\n"),
        ("a status of two digits", "HTTP/1.1 20 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a status of four digits", "HTTP/1.1 2000 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a status of letters", "HTTP/1.1 abc evil\r\nContent-Length: 0\r\n\r\n"),
        ("a negative status", "HTTP/1.1 -20 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a status below 100", "HTTP/1.1 099 evil\r\nContent-Length: 0\r\n\r\n"),
        ("two spaces before the status", "HTTP/1.1  200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a tab before the status", "HTTP/1.1\t200 evil\r\nContent-Length: 0\r\n\r\n"),
        ("a status that runs into its reason", "HTTP/1.1 200evil\r\nContent-Length: 0\r\n\r\n"),
        ("NUL in the reason", "HTTP/1.1 200 e\0vil\r\nContent-Length: 0\r\n\r\n"),
        ("CR in the reason", "HTTP/1.1 200 evil\rX: y\r\nContent-Length: 0\r\n\r\n"),
        ("LF behind the status line", "HTTP/1.1 200 evil\nContent-Length: 0\n\n"),
        ("a field with NUL", &answer("X: a\0b\r\nContent-Length: 0\r\n", "")),
        ("a field with CR", &answer("X: a\rb\r\nContent-Length: 0\r\n", "")),
        ("a field with LF", &answer("X: a\nY: b\r\nContent-Length: 0\r\n", "")),
        ("a field with a control character", &answer("X: \u{1b}[31m\r\nContent-Length: 0\r\n", "")),
        ("a field without a colon", &answer("X\r\nContent-Length: 0\r\n", "")),
        ("a field without a name", &answer(": x\r\nContent-Length: 0\r\n", "")),
        ("a name with a space", &answer("X Y: x\r\nContent-Length: 0\r\n", "")),
        ("a space before a colon", &answer("Content-Length : 4\r\n", "evil")),
        ("a folded field", &answer("X: a\r\n b\r\nContent-Length: 0\r\n", "")),
        ("white space before the first field", "HTTP/1.1 200 OK\r\n X: evil\r\nContent-Length: 0\r\n\r\n"),
        ("two equal lengths", &answer("Content-Length: 4\r\nContent-Length: 4\r\n", "evil")),
        ("two lengths", &answer("Content-Length: 4\r\nContent-Length: 5\r\n", "evil!")),
        ("a list of lengths", &answer("Content-Length: 4, 4\r\n", "evil")),
        ("an empty length", &answer("Content-Length:\r\n", "evil")),
        ("a length with a sign", &answer("Content-Length: +4\r\n", "evil")),
        ("a negative length", &answer("Content-Length: -4\r\n", "evil")),
        ("a hexadecimal length", &answer("Content-Length: 0x4\r\n", "evil")),
        ("a length of twenty digits", &answer("Content-Length: 18446744073709551620\r\n", "evil")),
        (
            "a length and a coding",
            &answer("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "4\r\nevil\r\n0\r\n\r\n"),
        ),
        (
            "a coding and a length",
            &answer("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "4\r\nevil\r\n0\r\n\r\n"),
        ),
        ("two codings", &answer("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("gzip and chunked", &answer("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("chunked and identity", &answer("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("a coding nobody knows", &answer("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("an empty coding", &answer("Transfer-Encoding:\r\n", "0\r\n\r\n")),
        ("a coding in HTTP/1.0", "HTTP/1.0 200 evil\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a 101 that nobody asked for", "HTTP/1.1 101 evil\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil"),
        ("a 101 without a protocol", "HTTP/1.1 101 evil\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        ("a bad interim answer", "HTTP/1.1 100 evil\r\nX : y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        ("garbage behind an interim answer", "HTTP/1.1 102 Early\r\n\r\nevil\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, bytes)| refused(name, bytes))
    .collect();
    let (field, interim) = ("X: evil\r\n", "HTTP/1.1 102 evil\r\n\r\n");
    let wordy = format!("HTTP/1.1 102 evil\r\nX: {}\r\n\r\n", "x".repeat(3000));
    let last = answer("Content-Length: 4\r\n", "evil");
    table.extend([
        refused("a head of more than 64 KiB", answer(&format!("X: {}\r\n", "x".repeat(65 * 1024)), "")),
        refused("a field that does not end", answer(&format!("X: {}", "x".repeat(65 * 1024)), "")),
        refused("a status line that does not end", format!("HTTP/1.1 200 {}", "evil".repeat(17 * 1024))),
        refused("more than 256 fields", answer(&field.repeat(256), "")),
        refused("17 interim answers", format!("{}{last}", interim.repeat(17))),
        refused("interim answers of more than 8 KiB", format!("{}{last}", wordy.repeat(3))),
        refused("fields for ever", format!("HTTP/1.1 200 OK\r\n{}", field.repeat(2000))).then(Then::Repeat),
        refused("interim answers for ever", interim).then(Then::Repeat),
        refused("nothing", "").then(Then::Close),
    ]);
    let whole = answer("Content-Length: 4\r\n", "");
    for length in 1..whole.len() {
        table.push(refused(format!("{length} bytes of a head"), &whole[..length]).then(Then::Close));
    }
    run(table);
}

#[test]
fn broken_bodies_are_cut_where_everybody_sees_it() {
    let mut table: Vec<Row> = [
        ("no size", "\r\nevil\r\n0\r\n\r\n"),
        ("a size of letters", "4\r\ngood\r\nxyz\r\n"),
        ("a size with a sign", "+4\r\nevil\r\n0\r\n\r\n"),
        ("a negative size", "4\r\ngood\r\n-1\r\n\r\n"),
        ("a size with 0x", "0x4\r\nevil\r\n0\r\n\r\n"),
        ("a space behind a size", "4 \r\nevil\r\n0\r\n\r\n"),
        ("seventeen digits", "00000000000000004\r\nevil\r\n0\r\n\r\n"),
        ("LF behind a size", "4\nevil\r\n0\r\n\r\n"),
        ("CR behind a size", "4\revil\r\n0\r\n\r\n"),
        ("LF behind the data", "4\r\ngood\n0\r\n\r\n"),
        ("more data than the size says", "4\r\ngoodevil\r\n0\r\n\r\n"),
        ("less data than the size says", "9\r\ngood\r\n0\r\n\r\n"),
        ("LF in an extension", "4;a\nb\r\nevil\r\n0\r\n\r\n"),
        ("an extension of more than 4 KiB", &format!("4;{}\r\nevil\r\n0\r\n\r\n", "a".repeat(4200))),
        ("LF behind the last chunk", "4\r\ngood\r\n0\r\n\n"),
        ("a trailer without a colon", "4\r\ngood\r\n0\r\nX\r\n\r\n"),
        ("a folded trailer", "4\r\ngood\r\n0\r\nX: a\r\n b\r\n\r\n"),
        ("NUL in a trailer", "4\r\ngood\r\n0\r\nX: a\0\r\n\r\n"),
        ("trailers of more than 8 KiB", &format!("4\r\ngood\r\n0\r\n{}\r\n", "X: a\r\n".repeat(1500))),
        ("an answer where the trailers are", "4\r\ngood\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, body)| cut(name, answer("Transfer-Encoding: chunked\r\n", body)))
    .collect();
    let chunks = "4\r\ngood\r\n3\r\nall\r\n0\r\nX: y\r\n\r\n";
    for length in 0..chunks.len() {
        table.push(cut(
            format!("{length} bytes of chunks"),
            answer("Transfer-Encoding: chunked\r\n", &chunks[..length]),
        ));
    }
    for length in 0..7 {
        table.push(cut(format!("{length} bytes of seven"), answer("Content-Length: 7\r\n", &"goodall"[..length])));
    }
    table.push(cut("the largest length", answer("Content-Length: 9999999999999999999\r\n", "good")));
    run(table);
}

#[test]
fn what_follows_an_answer_is_nobodys() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut table = Vec::new();
    for (name, behind) in [("an answer", second), ("a word", "evil"), ("a line end", "\r\n"), ("a byte", "\0")] {
        let length = answer("Content-Length: 4\r\n", "good");
        let chunks = answer("Transfer-Encoding: chunked\r\n", "4\r\ngood\r\n0\r\n\r\n");
        let empty = answer("Content-Length: 0\r\n", "");
        for (what, first, whole) in [
            ("a length", length.as_str(), Sees::Whole(200, "good")),
            ("the last chunk", &chunks, Sees::Whole(200, "good")),
            ("a length of nothing", &empty, Sees::Whole(200, "")),
            ("204", "HTTP/1.1 204 No Content\r\n\r\n", Sees::Whole(204, "")),
            ("304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", Sees::Whole(304, "")),
        ] {
            let bytes = format!("{first}{behind}");
            table.push(row(format!("{name} behind {what}"), bytes, Then::Wait, whole).ending_at(first.len()));
        }
        table.push(
            row(
                format!("{name} behind an answer to HEAD"),
                format!("{length}{behind}"),
                Then::Wait,
                Sees::Whole(200, ""),
            )
            .to("HEAD")
            .ending_at(length.len() - "good".len()),
        );
    }
    for (name, field, content) in [
        ("204 with chunks", "Transfer-Encoding: chunked", "4\r\nevil\r\n0\r\n\r\n"),
        ("204 with a length", "Content-Length: 4", "evil"),
    ] {
        let head = format!("HTTP/1.1 204 x\r\n{field}\r\n\r\n");
        let bytes = format!("{head}{content}");
        table.push(row(name, bytes, Then::Wait, Sees::Whole(204, "")).ending_at(head.len()));
    }
    run(table);
}

#[test]
fn what_an_upstream_says_unasked_is_not_the_answer_to_the_next_request() {
    let told = Arc::new(Mutex::new(false));
    let tells = Arc::clone(&told);
    let upstream = Upstream::playing(move |script| {
        while script.request()?.is_some() {
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")?;
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
            *tells.lock().expect("not poisoned") = true;
        }
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    for _ in 0..20 {
        assert!(is_good(&mut client));
        crate::support::eventually("it is said", || std::mem::take(&mut *told.lock().expect("not poisoned")));
    }
}
