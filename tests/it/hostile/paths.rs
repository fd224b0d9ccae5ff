//! Paths that try to leave the target's prefix, or to be taken for another route.

use super::{Row, get, ours, passes, run};

#[test]
fn paths_stay_where_they_are_told_to() {
    run(&table());
}

pub(super) fn table() -> Vec<Row> {
    let mut table: Vec<Row> = [
        "/..",
        "/.",
        "/../",
        "/./",
        "/../x",
        "/./x",
        "/x/..",
        "/x/.",
        "/x/../y",
        "/x/./y",
        "//../x",
        "/x//..//y",
        "/%2e",
        "/%2E",
        "/%2e%2e",
        "/%2E%2E/x",
        "/.%2e/x",
        "/%2e./x",
        "/x/%2e%2e/y",
        "/..%2f",
        "/..%2Fx",
        "/%2e%2e%2fx",
        "/x%2f..%2fy",
        "/x%2f%2e%2e",
        "/%2f..",
        "/x%2F.%2Fy",
        "/..\\x",
        "/x\\..\\y",
        "/x\\..",
        "/\\..\\x",
        "/..%5cx",
        "/x%5C..%5Cy",
        "/%5c..",
        "/x\\%2e%2e%5cy",
        "/..;/x",
        "/..;a=b/x",
        "/.;x",
        "/x/..;",
        "/..%3b/x",
        "/%2e%2e%3bx/y",
        "/x/../../..",
        "/..?x",
        "/../..%2f..%5c..",
    ]
    .into_iter()
    .map(|rest| ours(format!("dots in {rest:?}"), 400, get(&format!("/deep{rest}"), "")))
    .collect();
    for rest in ["/%", "/%2", "/%zz", "/%2g", "/x%", "/%%32e", "/%u002e", "/%-1", "/% 2"] {
        if !rest.contains(' ') {
            table.push(ours(format!("the broken escape in {rest:?}"), 400, get(&format!("/deep{rest}"), "")));
        }
    }
    for rest in ["/%00", "/x%00.json", "/%0d%0aX:y", "/%0a", "/%0D", "/x%0d%0a%0d%0aGET%20/"] {
        table.push(ours(format!("the control character in {rest:?}"), 400, get(&format!("/deep{rest}"), "")));
    }
    table.push(ours("dots in an absolute target", 400, get("http://h/deep/../x", "")));
    table.push(ours("dots behind the base path", 400, get("/base/deep/%2e%2e/x", "")));
    for (rest, forwarded) in [
        ("", ""),
        ("/", ""),
        ("//", "//"),
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("//x//y", "//x//y"),
        ("/...", "/..."),
        ("/..x", "/..x"),
        ("/x..", "/x.."),
        ("/.x", "/.x"),
        ("/x.", "/x."),
        ("/%2ex", "/%2ex"),
        ("/x%2Fy", "/x%2Fy"),
        ("/x%5cy", "/x%5cy"),
        ("/x\\y", "/x\\y"),
        ("/x;y=..z", "/x;y=..z"),
        ("/%252e%252e/x", "/%252e%252e/x"),
        ("/%25", "/%25"),
        ("/%c0%ae%c0%ae/x", "/%c0%ae%c0%ae/x"),
        ("/%ef%bc%8e%ef%bc%8e/x", "/%ef%bc%8e%ef%bc%8e/x"),
        ("/%20", "/%20"),
        ("/x%3f", "/x%3f"),
        ("/x%23", "/x%23"),
        ("/http://evil/", "/http://evil/"),
        ("//evil.example/x", "//evil.example/x"),
        ("/@evil.example", "/@evil.example"),
        ("/:80", "/:80"),
        ("@evil.example", ""),
    ] {
        if rest.starts_with('@') {
            // What does not begin with a slash belongs to the key.
            table.push(ours(format!("the key with {rest:?}"), 404, get(&format!("/deep{rest}"), "")));
        } else {
            let target = format!("/one/two{forwarded}?v=1");
            table.push(passes(format!("the path {rest:?}"), &target, get(&format!("/deep{rest}"), "")));
        }
    }
    for (query, forwarded) in [
        ("", ""),
        ("..", "&.."),
        ("/../x", "&/../x"),
        ("%00", "&%00"),
        ("%", "&%"),
        ("v=2", "&v=2"),
        ("&", "&&"),
        ("?", "&?"),
        ("x=http://evil/../", "&x=http://evil/../"),
    ] {
        let target = format!("/one/two/x?v=1{forwarded}");
        table.push(passes(format!("the query {query:?}"), &target, get(&format!("/deep/x?{query}"), "")));
    }
    for path in [
        "/A",
        "/aa",
        "/a;x",
        "/a.",
        "/a%20",
        "/a%00",
        "/%61%2fx",
        "/a%2f..",
        "/a\\..",
        "/..",
        "/../a",
        "/./a",
        "/%2e%2e/a",
        "/x/../a",
        "/;/a",
        "/%2fa",
        "/base/../a",
        "/base/..;/a",
        "/base/%2e%2e/a",
        "/base%2fa",
        "/basea",
        "/BASE/a",
        "/base/base/a",
        "/%",
        "/%zz/a",
        "/a%",
        "/*",
        "/\\a",
        "/a:80",
        "/~a",
        "/.a",
        "/a,deep",
        "/deep@a",
    ] {
        table.push(ours(format!("no route at {path:?}"), 404, get(path, "")));
    }
    for (path, target) in [
        ("/%61/x", "/x"),
        ("//a/x", "/x"),
        ("///a//x", "//x"),
        ("/base/a/x", "/x"),
        ("/base//a/x", "/x"),
        ("/b%61se/a/x", "/x"),
        ("/base/%61", "/"),
        ("/a?/base/deep", "/?/base/deep"),
        ("/a/base/a/x", "/base/a/x"),
        ("/a/deep", "/deep"),
    ] {
        table.push(passes(format!("the route in {path:?}"), target, get(path, "")));
    }
    table
}
