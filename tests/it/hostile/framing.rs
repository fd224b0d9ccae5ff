//! Where a request ends: lengths and codings in every spelling.

use super::{Row, passes, post, refused, run};

#[test]
fn requests_have_one_framing() {
    run(&table());
}

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

pub(super) fn table() -> Vec<Row> {
    let mut table = Vec::new();
    for (what, value) in [
        ("a sign", "+5"),
        ("a minus", "-5"),
        ("a minus before nothing", "-0"),
        ("nothing", ""),
        ("spaces", "   "),
        ("a space between digits", "5 5"),
        ("a list of equal lengths", "5, 5"),
        ("a list of two lengths", "5, 6"),
        ("an empty member", "5,"),
        ("a hexadecimal number", "0x5"),
        ("hexadecimal digits", "a"),
        ("an octal number", "0o5"),
        ("an exponent", "5e0"),
        ("a fraction", "5.0"),
        ("a unit", "5b"),
        ("quotes", "\"5\""),
        ("an underscore", "1_0"),
        ("a semicolon", "5;x"),
        ("digits of another script", "\u{665}"),
        ("a wide digit", "\u{ff15}"),
        ("twenty digits", "00000000000000000005"),
        ("2 to the 63rd, times ten", "92233720368547758080"),
        ("2 to the 64th", "18446744073709551616"),
        ("2 to the 64th and five", "18446744073709551621"),
        ("a hundred digits", &"9".repeat(100)),
        ("infinity", "Infinity"),
        ("a variable", "${5}"),
    ] {
        table.push(refused(
            format!("a length with {what}"),
            400,
            post(&format!("Content-Length: {value}\r\n"), "hello"),
        ));
    }
    for (what, value) in [
        ("nothing", ""),
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("gzip before it", "gzip, chunked"),
        ("gzip behind it", "chunked, gzip"),
        ("identity before it", "identity, chunked"),
        ("identity behind it", "chunked, identity"),
        ("itself again", "chunked, chunked"),
        ("a comma behind it", "chunked,"),
        ("a comma before it", ",chunked"),
        ("quotes", "\"chunked\""),
        ("single quotes", "'chunked'"),
        ("a parameter", "chunked;q=1"),
        ("an empty parameter", "chunked;"),
        ("a letter before it", "xchunked"),
        ("a letter behind it", "chunkedx"),
        ("a space in it", "chun ked"),
        ("a letter of another script", "\u{441}hunked"),
        ("a long s-like letter", "chun\u{212a}ed"),
        ("a colon before it", ": chunked"),
        ("another word", "cow"),
        ("a half of it", "chunk"),
        ("a NUL", "chunked\0"),
        ("a vertical tab", "\u{b}chunked"),
        ("a form feed", "chunked\u{c}"),
        ("a space of another kind", "\u{a0}chunked"),
    ] {
        let fields = format!("Transfer-Encoding: {value}\r\n");
        table.push(refused(format!("a coding with {what}"), 400, post(&fields, CHUNKS)));
    }
    let length = "Content-Length: 5\r\n";
    let coding = "Transfer-Encoding: chunked\r\n";
    for (name, fields) in [
        ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("two lengths of nothing", "Content-Length: 0\r\nContent-Length: 0\r\n"),
        ("two lengths in two cases", "Content-Length: 5\r\ncontent-length: 5\r\n"),
        ("two lengths, one bad", "Content-Length: 5\r\nContent-Length: x\r\n"),
        ("two lengths with a field between", "Content-Length: 5\r\nX: y\r\nContent-Length: 0\r\n"),
        ("a length and a coding", &format!("{length}{coding}")),
        ("a coding and a length", &format!("{coding}{length}")),
        ("a length of nothing and a coding", &format!("Content-Length: 0\r\n{coding}")),
        ("a coding and a bad length", &format!("{coding}Content-Length: x\r\n")),
        ("a length and a bad coding", &format!("{length}Transfer-Encoding: xchunked\r\n")),
        ("a length and an empty coding", &format!("{length}Transfer-Encoding:\r\n")),
        ("a length and identity", &format!("{length}Transfer-Encoding: identity\r\n")),
        ("two codings", &format!("{coding}{coding}")),
        ("two codings, the first unknown", &format!("Transfer-Encoding: x\r\n{coding}")),
        ("two codings, the second unknown", &format!("{coding}Transfer-Encoding: x\r\n")),
        ("a coding, and identity", &format!("{coding}Transfer-Encoding: identity\r\n")),
        ("a coding that Connection names, and a length", &format!("Connection: Transfer-Encoding\r\n{coding}{length}")),
        ("a length that Connection names, and a coding", &format!("Connection: Content-Length\r\n{length}{coding}")),
    ] {
        table.push(refused(name, 400, post(fields, CHUNKS)));
    }
    let old = |fields: &str, body: &str| format!("POST /a HTTP/1.0\r\nHost: p\r\n{fields}\r\n{body}");
    let get = |fields: &str, body: &str| format!("GET /a HTTP/1.1\r\nHost: p\r\n{fields}\r\n{body}");
    table.extend([
        refused("a coding in HTTP/1.0", 400, old(coding, CHUNKS)),
        refused(
            "a coding and keep-alive in HTTP/1.0",
            400,
            old(&format!("{coding}Connection: keep-alive\r\n"), CHUNKS),
        ),
        refused("a coding and a length in HTTP/1.0", 400, old(&format!("{coding}{length}"), CHUNKS)),
        refused("two lengths in HTTP/1.0", 400, old(&length.repeat(2), "hello")),
        refused("a coding and a length with GET", 400, get(&format!("{coding}{length}"), CHUNKS)),
        passes("a length", "/", post(length, "hello")).with("content-length", "5"),
        passes("a length with zeros before it", "/", post("Content-Length: 00005\r\n", "hello"))
            .with("content-length", "5"),
        passes("a length of nineteen digits with zeros", "/", post("Content-Length: 0000000000000000005\r\n", "hello"))
            .with("content-length", "5"),
        passes("a length of nothing with zeros", "/", post("Content-Length: 000\r\n", "")).with("content-length", "0"),
        passes("a length with spaces around it", "/", post("Content-Length: \t 5 \t\r\n", "hello"))
            .with("content-length", "5"),
        passes("no length", "/", post("", "")).with("content-length", "0"),
        passes("a coding", "/", post(coding, CHUNKS)).with("transfer-encoding", "chunked"),
        passes("a coding in capitals", "/", post("TRANSFER-ENCODING: CHUNKED\r\n", CHUNKS))
            .with("transfer-encoding", "chunked"),
        passes("a coding with spaces around it", "/", post("Transfer-Encoding: \t chunked \r\n", CHUNKS))
            .with("transfer-encoding", "chunked"),
        passes("a length with GET", "/", get(length, "hello")).with("content-length", "5"),
        passes("a coding with GET", "/", get(coding, CHUNKS)).with("transfer-encoding", "chunked"),
        passes("a length in HTTP/1.0", "/", old(length, "hello")).with("content-length", "5").ends(),
        passes(
            "a length that Connection names",
            "/",
            post(&format!("Connection: Content-Length\r\n{length}"), "hello"),
        )
        .with("content-length", "5"),
        passes(
            "a coding that Connection names",
            "/",
            post(&format!("Connection: Transfer-Encoding\r\n{coding}"), CHUNKS),
        )
        .with("transfer-encoding", "chunked"),
        passes(
            "Content-Encoding is not for proxies",
            "/",
            post(&format!("Content-Encoding: chunked\r\n{length}"), "hello"),
        ),
    ]);
    table
}
