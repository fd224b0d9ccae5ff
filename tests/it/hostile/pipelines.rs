//! Several requests on one connection: what follows a request is the next one, whole, or nothing.

use super::{Row, get, post, row, run};

#[test]
fn what_follows_a_request_is_the_next_one_or_none() {
    run(&table());
}

#[test]
fn nothing_goes_on_behind_an_upgrade_but_requests() {
    run(&upgrades());
}

pub(super) fn table() -> Vec<Row> {
    let good = get("/a/1", "");
    let second = get("/a/2", "");
    let hello = post("Content-Length: 5\r\n", "hello");
    let chunks = post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
    let after = |first: &str, junk: &str| format!("{first}{junk}");
    let mut table = Vec::new();
    for (name, junk, status) in [
        ("a word", "evil\r\n\r\n", 400),
        ("a space and a request", " GET /a/2 HTTP/1.1\r\nHost: p\r\n\r\n", 400),
        ("LF and a request", "\nGET /a/2 HTTP/1.1\r\nHost: p\r\n\r\n", 400),
        ("two empty lines and a request", "\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: p\r\n\r\n", 400),
        ("a NUL and a request", "\0GET /a/2 HTTP/1.1\r\nHost: p\r\n\r\n", 400),
        ("a letter and a request", "x GET /a/2 HTTP/1.1\r\nHost: p\r\n\r\n", 400),
        ("a request without a host", "GET /a/2 HTTP/1.1\r\n\r\n", 400),
        ("a request of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("a request of HTTP/0.9", "GET /a/2\r\n\r\n", 400),
        ("chunks without a head", "5\r\nhello\r\n0\r\n\r\n", 400),
        (
            "a request with two framings",
            "POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    ] {
        table.push(row(format!("{name} behind a request"), after(&good, junk), &[200, status], &["/1"], false));
        table.push(row(format!("{name} behind a length"), after(&hello, junk), &[200, status], &["/"], false));
        table.push(row(format!("{name} behind the last chunk"), after(&chunks, junk), &[200, status], &["/"], false));
    }
    let closing = get("/a/1", "Connection: close\r\n");
    let no_route = get("/none", "");
    let bad = get("/a/\u{1}", "");
    table.extend([
        row("two requests", after(&good, &second), &[200, 200], &["/1", "/2"], true),
        row("twenty requests", good.repeat(20), &[200; 20], &["/1"; 20], true),
        row("an empty line between two", after(&good, &format!("\r\n{second}")), &[200, 200], &["/1", "/2"], true),
        row("a request behind a length", after(&hello, &second), &[200, 200], &["/", "/2"], true),
        row("a request behind the last chunk", after(&chunks, &second), &[200, 200], &["/", "/2"], true),
        row("a request behind one that ends the connection", after(&closing, &second), &[200], &["/1"], false),
        row("a request behind one that is refused", after(&bad, &second), &[400], &[], false),
        row("a request behind one that has no route", after(&no_route, &second), &[404, 200], &["/2"], true),
        row(
            "a request in a body",
            post(&format!("Content-Length: {}\r\n", second.len()), &second),
            &[200],
            &["/"],
            true,
        ),
        row(
            "a request in the body of GET",
            format!("{}{second}", get("/a/1", &format!("Content-Length: {}\r\n", second.len()))),
            &[200],
            &["/1"],
            true,
        ),
        row("a request behind one of HTTP/1.0", after("GET /a/1 HTTP/1.0\r\n\r\n", &second), &[200], &["/1"], false),
        row(
            "a request behind one of HTTP/1.0 that stays",
            after("GET /a/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &second),
            &[200, 200],
            &["/1", "/2"],
            true,
        ),
        row(
            "a request behind CONNECT",
            after("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", &second),
            &[405, 200],
            &["/2"],
            true,
        ),
        row(
            "a request behind TRACE",
            after("TRACE /a HTTP/1.1\r\nHost: p\r\n\r\n", &second),
            &[405, 200],
            &["/2"],
            true,
        ),
    ]);
    table
}

fn upgrades() -> Vec<Row> {
    let second = get("/a/2", "");
    let mut table = Vec::new();
    for (name, fields) in [
        ("websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("websocket in other cases", "connection: UPGRADE\r\nupgrade: WebSocket\r\n"),
        ("several protocols", "Connection: Upgrade\r\nUpgrade: h2c, websocket, HTTP/2.0\r\n"),
        ("a length of nothing", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        ("an Upgrade that Connection names with others", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
    ] {
        let asks = get("/a/1", fields);
        let targets = ["/1", "/2"];
        table.push(row(
            format!("{name}, refused, and a request behind it"),
            format!("{asks}{second}"),
            &[200, 200],
            &targets,
            true,
        ));
        table.push(row(
            format!("{name}, refused, and bytes behind it"),
            format!("{asks}\u{1}\u{2}evil\r\n\r\n"),
            &[200, 400],
            &["/1"],
            false,
        ));
    }
    for (name, fields) in [
        ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        ("h2c alone", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ("HTTP/2.0", "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n"),
        ("TLS/1.2", "Connection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n"),
        ("an Upgrade that Connection does not name", "Upgrade: websocket\r\n"),
        ("Connection without Upgrade", "Connection: Upgrade\r\n"),
        ("an Upgrade that is empty", "Connection: Upgrade\r\nUpgrade:\r\n"),
        ("an Upgrade with a space", "Connection: Upgrade\r\nUpgrade: web socket\r\n"),
        ("an Upgrade with a body", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"),
    ] {
        let body = if fields.contains("Length: 5") { "hello" } else { "" };
        let bytes = format!("{}{body}{second}", get("/a/1", fields));
        let asks = row(format!("{name} is not asked for"), bytes, &[200, 200], &["/1", "/2"], true);
        table.push(asks.without("upgrade").without("connection").without("http2-settings"));
    }
    let flat = get("/flat/1", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let old = "GET /a/1 HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n";
    table.extend([
        row("a route that takes no upgrades", format!("{flat}{second}"), &[200, 200], &["/1", "/2"], true)
            .without("upgrade"),
        row("an Upgrade of HTTP/1.0", format!("{old}{second}"), &[200, 200], &["/1", "/2"], true).without("upgrade"),
    ]);
    table
}
