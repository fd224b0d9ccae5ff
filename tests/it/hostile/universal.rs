//! Targets that the client names: one reading of the authority, and no key of another route.

use super::{Row, UPSTREAM, get, ours, passes, refused, run};

#[test]
fn universal_targets_lead_where_they_say_or_nowhere() {
    run(&table());
}

pub(super) fn table() -> Vec<Row> {
    let mut table: Vec<Row> = [
        "",
        "/",
        "/x",
        "/{u}/x",
        "/ftp://{u}/x",
        "/file:///etc/passwd",
        "/gopher://{u}/",
        "/ws://{u}/x",
        "/unix:/run/x",
        "/javascript:alert(1)",
        "/data:,x",
        "/http",
        "/http:",
        "/http:/",
        "/http://",
        "/http:{u}/x",
        "/http:///{u}/x",
        "/http:////{u}/x",
        "/http:\\\\{u}\\x",
        "/http:/\\{u}/x",
        "/http://\\{u}/x",
        "/http://{u}\\x",
        "/http://{u}\\@evil/",
        "/http://evil\\@{u}/",
        "/http://user@{u}/",
        "/http://good.example@{u}/",
        "/http://u:p@v@{u}/",
        "/http://u:p\\@{u}/",
        "/http://u:p\"@{u}/",
        "/http://@{u}/",
        "/http://%75:p%0d%0a@/",
        "/http://:80/",
        "/http://h:0/",
        "/http://h:x/",
        "/http://h:+80/",
        "/http://h:-1/",
        "/http://h:65536/",
        "/http://h:999999/",
        "/http://h:000080/",
        "/http://h:80:80/",
        "/http://[::1/",
        "/http://[::1]x/",
        "/http://[x]/",
        "/http://[]/",
        "/http://[fe80::1%25lo]/",
        "/http://a%2eb/",
        "/http://127%2e0.0.1/",
        "/http://h%00/",
        "/http://h%0d%0aX:y/",
        "/http://h%20/",
        "/http://./",
        "/http://../x",
        "/http://a,b/",
        "/http://a;b/",
        "/http://a|b/",
        "/http://a*b/",
        "/http://a$b/",
        "/http://(a)/",
        "/http://\u{e4}.example/",
        "/http://\u{ff11}27.0.0.1/",
        "/http%3A%2F%2F{u}%2F%0d%0aX:y",
        "/http%3A%2F%2F{u}%2F%00",
        "/http%3A%2F%2F{u}%2Fa%20b",
        "/http%3A%2F%2F{u}%2Fa%23b",
        "/http%3A%2F%2Fu@{u}%2Fx",
        "/http%3A%2F%2F{u}%5Cx",
        "/http%253A%252F%252F{u}/x",
        "/%68ttp://h%0a/",
        "/http%3A%2F%2F",
        "/hxxp://{u}/",
        "/httpss://{u}/",
        "/ http",
    ]
    .into_iter()
    .filter(|rest| !rest.contains(' '))
    .map(|rest| {
        let target = format!("/u{}", rest.replace("{u}", UPSTREAM));
        ours(format!("the target {rest:?}"), 400, get(&target, ""))
    })
    .collect();
    for (rest, forwarded) in [
        ("/http://{u}", "/"),
        ("/http://{u}/", "/"),
        ("/http://{u}/x", "/x"),
        ("/http:/{u}/x", "/x"),
        ("/HTTP://{u}/x", "/x"),
        ("/http://{u}?x", "/?x"),
        ("/http://{u}/x?http://evil/", "/x?http://evil/"),
        ("/http://{u}/http://evil/", "/http://evil/"),
        ("/http://{u}//evil/x", "//evil/x"),
        ("/http://{u}/@evil", "/@evil"),
        ("/http://{u}/%2e%2e/x", "/%2e%2e/x"),
        ("/http://{u}/%0d%0aX:y", "/%0d%0aX:y"),
        ("/http%3A%2F%2F{u}%2Fx", "/x"),
        ("/http%3A%2F%2F{u}%2F%250d%250a", "/%0d%0a"),
        ("/http%3a//{u}/x%3Fy?z", "/x?y&z"),
    ] {
        let target = format!("/u{}", rest.replace("{u}", UPSTREAM));
        let row = passes(format!("the target {rest:?}"), forwarded, get(&target, ""));
        table.push(row.without("authorization").without("x-route"));
    }
    let target = format!("/u/http://{UPSTREAM}/x");
    let named = get(&target, "Connection: Host, X-Route\r\nX-Route: b\r\n");
    let password = get(&format!("/u/http://u:p@{UPSTREAM}/x"), "Authorization: Bearer theirs\r\n");
    table.extend([
        passes("the base path before it", "/x", get(&format!("/base{target}"), "")).without("x-route"),
        passes("the host of the client", "/x", get(&target, "X: y\r\n").replace("Host: p", "Host: evil")),
        passes("fields that Connection names", "/x", named).without("x-route"),
        passes("a password in the URL", "/x", password).with("authorization", "Basic dTpw"),
        passes("a key of the client's own", "/x", get(&target, "Authorization: Bearer theirs\r\n"))
            .with("authorization", "Bearer theirs"),
        refused("a fragment in the target", 400, get(&format!("{target}#y"), "")),
        refused("a space in the target", 400, get(&format!("{target} y"), "")),
        ours("another route behind it", 400, get("/u/a/x", "")),
        ours("dots that lead to another route", 400, get("/u/../a", "")),
    ]);
    table
}
