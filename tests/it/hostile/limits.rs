//! Heads that are too large, and those that are just not.

use super::{Row, get, passes, refused, run};

#[test]
fn heads_have_an_end() {
    run(&table());
}

fn line(length: usize) -> String {
    let target = "x".repeat(length - "GET /a/ HTTP/1.1\r\n".len());
    get(&format!("/a/{target}"), "")
}

fn head(length: usize) -> String {
    let value = "x".repeat(length - get("/a", "X: \r\n").len());
    get("/a", &format!("X: {value}\r\n"))
}

fn table() -> Vec<Row> {
    let fields = |count: usize| get("/a", &"A: b\r\n".repeat(count - 1));
    let target = format!("/{}", "x".repeat(16 * 1024 - "GET /a/ HTTP/1.1\r\n".len()));
    vec![
        passes("a line of 16 KiB", &target, line(16 * 1024)),
        refused("a line of a byte more", 414, line(16 * 1024 + 1)),
        refused("a line of 32 KiB", 414, line(32 * 1024)),
        refused("a line that does not end", 414, "x".repeat(17 * 1024)),
        refused("a method that does not end", 414, "G".repeat(17 * 1024)),
        refused("a version that does not end", 414, format!("GET /a HTTP/1.1{}", "1".repeat(17 * 1024))),
        refused("a query that does not end", 414, format!("GET /a?{}", "x".repeat(17 * 1024))),
        passes("a head of 64 KiB", "/", head(64 * 1024)),
        refused("a head of a byte more", 431, head(64 * 1024 + 1)),
        refused(
            "a value that does not end",
            431,
            format!("GET /a HTTP/1.1\r\nHost: p\r\nX: {}", "x".repeat(65 * 1024)),
        ),
        refused("a name that does not end", 431, format!("GET /a HTTP/1.1\r\nHost: p\r\n{}", "x".repeat(65 * 1024))),
        refused("a head of many large fields", 431, get("/a", &format!("X: {}\r\n", "x".repeat(1000)).repeat(70))),
        passes("128 fields", "/", fields(128)),
        refused("129 fields", 431, fields(129)),
        refused("a thousand fields", 431, fields(1000)),
        refused("a thousand fields without a value", 431, get("/a", &"A:\r\n".repeat(1000))),
    ]
}
