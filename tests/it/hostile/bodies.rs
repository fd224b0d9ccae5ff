//! Bodies that turn out to be broken when the head has already been forwarded.

use super::{Row, broken, passes, post, run};

#[test]
fn broken_bodies_never_look_whole() {
    run(&table());
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

pub(super) fn table() -> Vec<Row> {
    let mut table: Vec<Row> = [
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a size of letters", "g\r\nhello\r\n0\r\n\r\n"),
        ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a negative last chunk", "-0\r\n\r\n"),
        ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a size with an h", "5h\r\nhello\r\n0\r\n\r\n"),
        ("a size in quotes", "\"5\"\r\nhello\r\n0\r\n\r\n"),
        ("a size with a comma", "5,\r\nhello\r\n0\r\n\r\n"),
        ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a dot", "5.0\r\nhello\r\n0\r\n\r\n"),
        ("a size of a wide digit", "\u{ff15}\r\nhello\r\n0\r\n\r\n"),
        ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a tab before the size", "\t5\r\nhello\r\n0\r\n\r\n"),
        ("a space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a tab behind the size", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("a space behind the last size", "0 \r\n\r\n"),
        ("two sizes", "5 5\r\nhello\r\n0\r\n\r\n"),
        ("seventeen digits", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("seventeen digits that wrap around", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("seventeen zeros", "00000000000000000\r\n\r\n"),
        ("a hundred digits", &format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(100))),
        ("LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("CR behind the size", "5\rhello\r\n0\r\n\r\n"),
        ("CR CR LF behind the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("LF behind the last size", "0\n\r\n"),
        ("NUL behind the size", "5\0\r\nhello\r\n0\r\n\r\n"),
        ("LF behind the data", "5\r\nhello\n0\r\n\r\n"),
        ("CR behind the data", "5\r\nhello\r0\r\n\r\n"),
        ("nothing behind the data", "5\r\nhello0\r\n\r\n"),
        ("two bytes that are no line end behind the data", "5\r\nhelloXX0\r\n\r\n"),
        ("LF CR behind the data", "5\r\nhello\n\r0\r\n\r\n"),
        ("a space behind the data", "5\r\nhello \r\n0\r\n\r\n"),
        ("more data than the size says", "4\r\nhello\r\n0\r\n\r\n"),
        ("less data than the size says", "6\r\nhello\r\n0\r\n\r\n"),
        ("an empty line between chunks", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        ("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        ("LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("DEL in an extension", "5;a\u{7f}\r\nhello\r\n0\r\n\r\n"),
        ("an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n"),
        ("an extension without its semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a size", ";a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension of more than 4 KiB", &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(4200))),
        ("spaces of more than 4 KiB before an extension", &format!("5{};a\r\nhello\r\n0\r\n\r\n", " ".repeat(4200))),
        ("LF behind the last chunk", "0\r\n\n"),
        ("CR and a letter behind the last chunk", "0\r\n\rX\r\n\r\n"),
        ("a trailer without a colon", "0\r\nX\r\n\r\n"),
        ("a trailer without a name", "0\r\n: x\r\n\r\n"),
        ("a space before the colon of a trailer", "0\r\nX : x\r\n\r\n"),
        ("a folded trailer", "0\r\nX: a\r\n b\r\n\r\n"),
        ("LF behind a trailer", "0\r\nX: a\nY: b\r\n\r\n"),
        ("CR in a trailer", "0\r\nX: a\rY: b\r\n\r\n"),
        ("NUL in a trailer", "0\r\nX: \0\r\n\r\n"),
        ("a control character in a trailer", "0\r\nX: \u{1}\r\n\r\n"),
        ("a bad name of a trailer", "0\r\nX(: a\r\n\r\n"),
        ("a request where the trailers are", "0\r\nGET /a/evil HTTP/1.1\r\nHost: p\r\n\r\n"),
        ("trailers of more than 8 KiB", &format!("0\r\nX: {}\r\n\r\n", "a".repeat(9000))),
        ("many trailers of more than 8 KiB", &format!("0\r\n{}\r\n", "X: a\r\n".repeat(1500))),
    ]
    .into_iter()
    .map(|(name, body)| broken(name, chunked(body)))
    .collect();
    for (name, body) in [
        ("sizes with zeros before them", "005\r\nhello\r\n00\r\n\r\n"),
        ("sixteen digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"),
        ("sizes in both cases", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension with a line end in its quotes, escaped", "5;a=\"\\r\\n\"\r\nhello\r\n0;b\r\n\r\n"),
        ("spaces around the semicolon", "5 ; a=b\r\nhello\r\n0\r\n\r\n"),
        ("a semicolon and no extension", "5;\r\nhello\r\n0;\r\n\r\n"),
        ("open quotes in an extension", "5;a=\"\r\nhello\r\n0\r\n\r\n"),
        ("trailers", "5\r\nhello\r\n0\r\nX: a\r\nY: b\r\n\r\n"),
        ("a length among the trailers", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
        ("a coding among the trailers", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("a key among the trailers", "5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\nHost: evil\r\n\r\n"),
        ("a request in the data", "26\r\nGET /a/evil HTTP/1.1\r\nHost: p\r\n\r\n12345\r\n0\r\n\r\n"),
        ("a last chunk in the data", "7\r\n0\r\n\r\nab\r\n0\r\n\r\n"),
        ("no data at all", "0\r\n\r\n"),
        ("chunks of one byte", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
    ] {
        table.push(passes(name, "/", chunked(body)).with("transfer-encoding", "chunked").without("x"));
    }
    table
}
