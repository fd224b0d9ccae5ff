//! Field lines, hosts among them.

use super::{Row, get, passes, refused, run};

#[test]
fn field_lines_have_one_reading_or_none() {
    run(&table());
}

#[test]
fn there_is_one_good_host() {
    run(&hosts());
}

pub(super) fn table() -> Vec<Row> {
    let mut table: Vec<Row> = [
        ("no colon", "X\r\n"),
        ("no name", ": x\r\n"),
        ("a space before the colon", "X : x\r\n"),
        ("a tab before the colon", "X\t: x\r\n"),
        ("a space before the colon of a length", "Content-Length : 5\r\n"),
        ("a space before the colon of a coding", "Transfer-Encoding : chunked\r\n"),
        ("a space in a name", "X Y: x\r\n"),
        ("a name in quotes", "\"X\": x\r\n"),
        ("a folded line", "X: a\r\n b\r\n"),
        ("a line folded with a tab", "X: a\r\n\tb\r\n"),
        ("a folded line of nothing", "X: a\r\n \r\n"),
        ("a coding on a folded line", "Transfer-Encoding:\r\n chunked\r\n"),
        ("a length on a folded line", "Content-Length:\r\n 5\r\n"),
        ("a folded coding that begins like another field", "X: a\r\n Transfer-Encoding: chunked\r\n"),
        ("LF alone", "X: a\nY: b\r\n"),
        ("LF before a coding", "X: a\nTransfer-Encoding: chunked\r\n"),
        ("LF LF in the middle of the head", "X: a\n\nGET /a HTTP/1.1\r\nHost: p\r\n"),
        ("CR alone", "X: a\rY: b\r\n"),
        ("CR before a coding", "X: a\rTransfer-Encoding: chunked\r\n"),
        ("CR CR LF", "X: a\r\r\n"),
        ("CR before the colon", "X\r: a\r\n"),
        ("CR LF in the name", "X\r\nY: b\r\n"),
        ("LF at the end of the head", "X: a\r\n\n"),
        ("a request line among the fields", "GET /b HTTP/1.1\r\n"),
        ("a name above ASCII", "Ñame: x\r\n"),
        ("a length with a name above ASCII", "Content\u{2010}Length: 5\r\n"),
        ("a line of dots", "....\r\n"),
        ("brackets around a coding", "[Transfer-Encoding]: chunked\r\n"),
    ]
    .into_iter()
    .map(|(name, lines)| refused(name, 400, get("/a", lines)))
    .collect();
    for byte in (0..=31_u8).chain([127]).filter(|byte| !b"\t\n".contains(byte)) {
        let bytes = [b"GET /a HTTP/1.1\r\nHost: p\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat();
        table.push(refused(format!("the control character {byte} in a value"), 400, bytes));
    }
    for byte in (0..=32_u8).chain([127, 128, 255]).chain(*b"\"(),/;<=>?@[\\]{}").filter(|byte| *byte != b'\n') {
        let bytes = [b"GET /a HTTP/1.1\r\nHost: p\r\nX", &[byte][..], b"Y: b\r\n\r\n"].concat();
        table.push(refused(format!("the byte {byte} in a name"), 400, bytes));
    }
    table.extend([
        refused("white space before the first field", 400, "GET /a HTTP/1.1\r\n Host: p\r\n\r\n"),
        refused("a tab before the first field", 400, "GET /a HTTP/1.1\r\n\tHost: p\r\n\r\n"),
        refused("an empty fold before the first field", 400, "GET /a HTTP/1.1\r\n \r\nHost: p\r\n\r\n"),
        passes("an empty value", "/", get("/a", "X:\r\n")).with("x", ""),
        passes("no space behind the colon", "/", get("/a", "X:a\r\n")).with("x", "a"),
        passes("spaces and tabs around a value", "/", get("/a", "X: \t a \t \r\n")).with("x", "a"),
        passes("a tab in a value", "/", get("/a", "X: a\tb\r\n")).with("x", "a\tb"),
        passes("a colon in a value", "/", get("/a", "X: a: b: c\r\n")).with("x", "a: b: c"),
        passes("a name of all marks", "/", get("/a", "!#$%&'*+-.^_`|~: a\r\n")).with("!#$%&'*+-.^_`|~", "a"),
        passes("a length with an underscore is no length", "/", get("/a", "Content_Length: 5\r\n")),
        passes("a coding with an underscore is no coding", "/", get("/a", "Transfer_Encoding: chunked\r\n")),
        passes("X-HTTP-Method-Override means nothing here", "/", get("/a", "X-HTTP-Method-Override: TRACE\r\n")),
        passes("X-Original-URL means nothing here", "/", get("/a", "X-Original-URL: /admin\r\n")),
        passes("X-Forwarded-Host means nothing here", "/", get("/a", "X-Forwarded-Host: evil\r\n")),
        passes("bytes above ASCII in a value", "/", b"GET /a HTTP/1.1\r\nHost: p\r\nX: \xff\xfe\r\n\r\n"),
    ]);
    table
}

fn hosts() -> Vec<Row> {
    let with = |host: &str| format!("GET /a HTTP/1.1\r\n{host}\r\n");
    let mut table: Vec<Row> = [
        ("no host", ""),
        ("two hosts", "Host: a\r\nHost: b\r\n"),
        ("two equal hosts", "Host: a\r\nHost: a\r\n"),
        ("two hosts in two cases", "Host: a\r\nhOST: a\r\n"),
        ("two hosts far apart", "Host: a\r\nX: y\r\nHost: a\r\n"),
        ("an empty host and a host", "Host:\r\nHost: a\r\n"),
        ("a list of hosts", "Host: a, b\r\n"),
        ("a space in the host", "Host: a b\r\n"),
        ("a tab in the host", "Host: a\tb\r\n"),
        ("a path behind the host", "Host: a/b\r\n"),
        ("a query behind the host", "Host: a?b\r\n"),
        ("a fragment behind the host", "Host: a#b\r\n"),
        ("userinfo before the host", "Host: u@a\r\n"),
        ("userinfo with a password before the host", "Host: u:p@a\r\n"),
        ("a URL as host", "Host: http://a\r\n"),
        ("a backslash in the host", "Host: a\\b\r\n"),
        ("quotes around the host", "Host: \"a\"\r\n"),
        ("angles around the host", "Host: <a>\r\n"),
        ("a port of letters", "Host: a:http\r\n"),
        ("a negative port", "Host: a:-1\r\n"),
        ("a port with a sign", "Host: a:+80\r\n"),
        ("too large a port", "Host: a:65536\r\n"),
        ("a port of many digits", "Host: a:0000000080\r\n"),
        ("two ports", "Host: a:80:80\r\n"),
        ("a port with a space", "Host: a:80 x\r\n"),
        ("an address without its closing bracket", "Host: [::1\r\n"),
        ("an address without its opening bracket", "Host: ::1]\r\n"),
        ("an address without brackets", "Host: ::1\r\n"),
        ("no address in brackets", "Host: [a.b.example]\r\n"),
        ("nothing in brackets", "Host: []\r\n"),
        ("a zone in brackets", "Host: [fe80::1%25eth0]\r\n"),
        ("something behind the brackets", "Host: [::1]x\r\n"),
        ("a bar in the host", "Host: a|b\r\n"),
        ("a folded host", "Host: a\r\n b\r\n"),
    ]
    .into_iter()
    .map(|(name, host)| refused(name, 400, with(host)))
    .collect();
    table.extend([
        refused("an absolute target does not stand for the host", 400, "GET http://h/a HTTP/1.1\r\n\r\n"),
        refused("two hosts in HTTP/1.0", 400, "GET /a HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
        passes("an empty host", "/", with("Host:\r\n")),
        passes("an empty port", "/", with("Host: a:\r\n")),
        passes("a host in capitals", "/", with("HOST: A.EXAMPLE:80\r\n")),
        passes("a host that another would escape", "/", with("Host: caf%C3%A9\r\n")),
        passes("the host of a cloud's metadata changes nothing", "/", with("Host: 169.254.169.254\r\n")),
        passes("an address of the new kind", "/", with("Host: [::1]:80\r\n")),
        passes("an absolute target with another host", "/x", "GET http://b/a/x HTTP/1.1\r\nHost: c\r\n\r\n"),
        passes("no host in HTTP/1.0", "/", "GET /a HTTP/1.0\r\n\r\n").ends(),
    ]);
    table
}
