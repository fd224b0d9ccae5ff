//! Fields of one connection, and what clients try to do with them; `Expect`, and the key of a route.

use super::{Row, get, passes, post, run};

#[test]
fn fields_of_a_connection_stay_behind_and_take_nothing_along() {
    run(&table());
}

pub(super) fn table() -> Vec<Row> {
    let mut table = Vec::new();
    for (name, fields) in [
        ("Authorization", "Connection: Authorization\r\nAuthorization: Bearer theirs\r\n"),
        ("Authorization, which is not there", "Connection: Authorization\r\n"),
        ("Authorization in other cases", "connection: AUTHORIZATION\r\nauthorization: Bearer theirs\r\n"),
        ("Authorization on a second line", "Connection: keep-alive\r\nConnection: authorization\r\n"),
        ("X-Route", "Connection: X-Route\r\nX-Route: theirs\r\n"),
        ("Host", "Connection: Host\r\n"),
        ("Content-Length", "Connection: Content-Length\r\n"),
        ("Connection", "Connection: Connection\r\n"),
        ("everything", "Connection: Authorization, X-Route, Host, Content-Length, Transfer-Encoding, X\r\n"),
        ("an asterisk", "Connection: *\r\n"),
        ("an empty list", "Connection: , ,\r\n"),
        ("nothing", "Connection:\r\n"),
        ("no token", "Connection: a b, \"c\", d=e\r\n"),
    ] {
        let row = passes(format!("Connection names {name}"), "/", get("/a", fields));
        table.push(row.with("authorization", "Bearer of-the-route").with("x-route", "a").without("connection"));
    }
    for (name, fields) in [
        ("a field that Connection names", "Connection: X\r\nX: a\r\n"),
        ("a field that Connection names later", "X: a\r\nConnection: X\r\n"),
        ("a field that Connection names in another case", "X: a\r\nConnection: x\r\n"),
        ("a repeated field that Connection names", "X: a\r\nConnection: X\r\nX: b\r\n"),
        ("a field that the last of several Connections names", "Connection: a\r\nConnection: b, X\r\nX: a\r\n"),
    ] {
        table.push(passes(name, "/", get("/a", fields)).without("x"));
    }
    for (name, field) in [
        ("keep-alive", "Keep-Alive: timeout=5"),
        ("proxy-connection", "Proxy-Connection: keep-alive"),
        ("proxy-authorization", "Proxy-Authorization: Basic x"),
        ("te", "TE: trailers"),
        ("te", "TE: chunked, trailers;q=0.5"),
        ("trailer", "Trailer: X"),
        ("upgrade", "Upgrade: websocket"),
    ] {
        table.push(passes(format!("{field:?} stays behind"), "/", get("/a", &format!("{field}\r\n"))).without(name));
    }
    let body = "Content-Length: 5\r\n";
    table.extend([
        passes("a key of the client's", "/", get("/a", "Authorization: Bearer theirs\r\n"))
            .with("authorization", "Bearer of-the-route"),
        passes("two keys of the client's", "/", get("/a", "Authorization: a\r\nAUTHORIZATION: b\r\n"))
            .with("authorization", "Bearer of-the-route"),
        passes("Connection: close", "/", get("/a", "Connection: close\r\n")).without("connection").ends(),
        passes("Connection: close among others", "/", get("/a", "Connection: x, CLOSE, y\r\n")).ends(),
        passes("Connection: close and keep-alive", "/", get("/a", "Connection: keep-alive, close\r\n")).ends(),
        passes("Connection: close on a second line", "/", get("/a", "Connection: x\r\nConnection: close\r\n")).ends(),
        passes("Proxy-Connection: close ends nothing", "/", get("/a", "Proxy-Connection: close\r\n")),
        passes("Connection: closed ends nothing", "/", get("/a", "Connection: closed\r\n")),
        passes("keep-alive in HTTP/1.0", "/", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        passes("keep-alive and close in HTTP/1.0", "/", "GET /a HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n")
            .ends(),
        passes(
            "Connection that names the host in HTTP/1.0",
            "/",
            "GET /a HTTP/1.0\r\nHost: p\r\nConnection: host\r\n\r\n",
        )
        .ends(),
        passes("Expect without a body", "/", get("/a", "Expect: 100-continue\r\n")).without("expect"),
        passes("Expect twice without a body", "/", get("/a", "Expect: 100-continue\r\nExpect: 100-continue\r\n"))
            .without("expect"),
        passes("Expect in capitals without a body", "/", get("/a", "EXPECT: 100-CONTINUE\r\n")).without("expect"),
        passes("Expect of HTTP/1.0", "/", format!("POST /a HTTP/1.0\r\nExpect: 100-continue\r\n{body}\r\nhello"))
            .without("expect")
            .ends(),
        passes("Expect of something else", "/", post(&format!("Expect: else\r\n{body}"), "hello"))
            .with("expect", "else"),
        passes(
            "a deep route keeps its key too",
            "/one/two?v=1",
            get("/deep", "Connection: X-Route, Authorization\r\n"),
        ),
    ]);
    table
}
