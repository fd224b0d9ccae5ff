//! Request lines, and targets in the other forms.

use super::{Row, get, ours, passes, refused, run};

#[test]
fn request_lines_have_one_reading_or_none() {
    run(&table());
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: p\r\n\r\n")
}

pub(super) fn table() -> Vec<Row> {
    let mut table: Vec<Row> = [
        ("a method alone", "GET"),
        ("a method and a space", "GET "),
        ("no version (HTTP/0.9)", "GET /a"),
        ("no version behind the space", "GET /a "),
        ("two spaces before the target", "GET  /a HTTP/1.1"),
        ("two spaces before the version", "GET /a  HTTP/1.1"),
        ("a space behind the version", "GET /a HTTP/1.1 "),
        ("a space before the method", " GET /a HTTP/1.1"),
        ("tabs instead of spaces", "GET\t/a\tHTTP/1.1"),
        ("a tab before the target", "GET \t/a HTTP/1.1"),
        ("a space in the target", "GET /a b HTTP/1.1"),
        ("two versions", "GET /a HTTP/1.1 HTTP/1.1"),
        ("a version in lower case", "GET /a http/1.1"),
        ("a version with two digits behind the dot", "GET /a HTTP/1.10"),
        ("a version with two digits before the dot", "GET /a HTTP/01.1"),
        ("a version without a dot", "GET /a HTTP/1"),
        ("a version with a comma", "GET /a HTTP/1,1"),
        ("a version of letters", "GET /a HTTP/x.y"),
        ("a sign in the version", "GET /a HTTP/+1.1"),
        ("another protocol", "GET /a HTTPS/1.1"),
        ("ICY", "GET /a ICY/1.1"),
        ("a line of SIP", "REGISTER sip:h SIP/2.0"),
        ("a method with a colon", "GET: /a HTTP/1.1"),
        ("a method with brackets", "G(E)T /a HTTP/1.1"),
        ("a method with a slash", "G/T /a HTTP/1.1"),
        ("a method with quotes", "\"GET\" /a HTTP/1.1"),
        ("a method with an at sign", "G@T /a HTTP/1.1"),
        ("a method above ASCII", "GÉT /a HTTP/1.1"),
        ("no method", "/a HTTP/1.1"),
        ("a fragment", "GET /a#b HTTP/1.1"),
        ("a fragment alone", "GET # HTTP/1.1"),
        ("a relative path", "GET a HTTP/1.1"),
        ("a path with a backslash at its start", "GET \\a HTTP/1.1"),
        ("dots instead of a slash", "GET ../a HTTP/1.1"),
        ("an escaped slash at the start", "GET %2Fa HTTP/1.1"),
        ("a query alone", "GET ?a HTTP/1.1"),
        ("an asterisk for GET", "GET * HTTP/1.1"),
        ("two asterisks", "OPTIONS ** HTTP/1.1"),
        ("an authority for GET", "GET h:80 HTTP/1.1"),
        ("a CR in the line", "GET /a\rX HTTP/1.1"),
        ("a CR instead of a space", "GET\r/a HTTP/1.1"),
        ("a CR behind the version", "GET /a HTTP/1.1\r"),
        ("a request within the target", "GET /a\rGET /b HTTP/1.1"),
        ("a preface of TLS", "\u{16}\u{3}\u{1}\u{2}"),
        ("a field line first", "Host: p"),
        ("an answer", "HTTP/1.1 200 OK"),
        ("a JSON text", "{\"jsonrpc\": \"2.0\"}"),
        ("userinfo in an absolute target", "GET http://u:p@h/a HTTP/1.1"),
        ("an absolute target without host", "GET http:///a HTTP/1.1"),
        ("an absolute target with a query and no path", "GET http://h?x HTTP/1.1"),
        ("an absolute target with one slash", "GET http:/h/a HTTP/1.1"),
        ("an absolute target without slashes", "GET http:h/a HTTP/1.1"),
        ("an absolute target with a backslash", "GET http://h\\a/a HTTP/1.1"),
        ("an absolute target with a bad port", "GET http://h:port/a HTTP/1.1"),
        ("an absolute target with too large a port", "GET http://h:65536/a HTTP/1.1"),
        ("an absolute target with two ports", "GET http://h:1:2/a HTTP/1.1"),
        ("an absolute target with an open bracket", "GET http://[::1/a HTTP/1.1"),
        ("an absolute target with a scheme of odd letters", "GET ht_tp://h/a HTTP/1.1"),
        ("CONNECT to a bad port", "CONNECT h:x HTTP/1.1"),
        ("a javascript target", "GET javascript:alert(1) HTTP/1.1"),
    ]
    .into_iter()
    .map(|(name, text)| refused(name, 400, line(text)))
    .collect();
    for byte in (0..=31_u8).chain([127]).filter(|byte| !b"\n".contains(byte)) {
        let bytes = [b"GET /a", &[byte][..], b"x HTTP/1.1\r\nHost: p\r\n\r\n"].concat();
        table.push(refused(format!("the control character {byte} in the target"), 400, bytes));
    }
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        table.push(refused(format!("{version} written as a version"), 505, line(&format!("GET /a {version}"))));
    }
    table.extend([
        refused("LF before the line", 400, format!("\n{}", get("/a", ""))),
        refused("two empty lines before the line", 400, format!("\r\n\r\n{}", get("/a", ""))),
        refused("a space on an empty line before the line", 400, format!(" \r\n{}", get("/a", ""))),
        refused("LF behind the line", 400, "GET /a HTTP/1.1\nHost: p\r\n\r\n"),
        refused("NUL before the method", 400, format!("\0{}", get("/a", ""))),
        refused("a mark of byte order before the method", 400, format!("\u{feff}{}", get("/a", ""))),
        passes("one empty line before the line", "/x", format!("\r\n{}", get("/a/x", ""))),
        passes("a method nobody knows", "/x", "M-SEARCH /a/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        passes("a method in lower case", "/x", "get /a/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        passes("a method of all marks", "/x", "!#$%&'*+-.^_`|~ /a/x HTTP/1.1\r\nHost: p\r\n\r\n"),
        passes("a second question mark", "/x?y?z", get("/a/x?y?z", "")),
        passes("bytes that others would escape", "/{x}|\"<>^`", get("/a/{x}|\"<>^`", "")),
        passes("an absolute target", "/x?y", get("http://elsewhere/a/x?y", "")),
        passes("an absolute target with another port", "/x", get("http://elsewhere:9/a/x", "")),
        passes("an absolute target of https", "/x", get("https://elsewhere/a/x", "")),
        passes("an absolute target of another scheme", "/x", get("ftp://elsewhere/a/x", "")),
        passes("an absolute target in capitals", "/x", get("HTTP://ELSEWHERE/a/x", "")),
        passes("an absolute target to an address", "/x", get("http://[::1]:80/a/x", "")),
        ours("an absolute target without a path", 200, get("http://elsewhere", "")),
        ours("OPTIONS for everything", 405, line("OPTIONS * HTTP/1.1")),
        ours("CONNECT to a path", 405, line("CONNECT /a HTTP/1.1")),
        ours("TRACE", 405, line("TRACE /a HTTP/1.1")),
        ours("TRACE of an absolute target", 405, line("TRACE http://h/a HTTP/1.1")),
    ]);
    table
}
