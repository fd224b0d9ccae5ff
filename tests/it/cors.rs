//! Pages in browsers (CORS): what they may ask and read, whatever the upstream says of it.

use serde_json::{Value, json};

use crate::support::http2::{Http2Client, run};
use crate::support::{Client, Proxy, Received, Upstream, aqueduct, eventually, write_private};
use crate::upgrades::SWITCH;

const PAGE: &str = "https://app.example.com";
const OTHER: &str = "https://other.example";
const KEY: &str = "key-of-the-page-0123456789";

/// An upstream with rules of its own.
fn upstream() -> Upstream {
    Upstream::answering(
        "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://upstream.example\r\naccess-control-allow-credentials: true\r\nACCESS-CONTROL-EXPOSE-HEADERS: x-theirs\r\nVary: Accept\r\nx-request-id: 7\r\nContent-Length: 2\r\n\r\nok",
    )
}

fn config(upstream: &Upstream) -> Value {
    json!({
        "cors": {"origins": [PAGE, "HTTP://Localhost:80"], "expose": ["x-request-id", "retry-after"], "max_age": "1h"},
        "client_keys": {"page": {"key": KEY, "routes": ["a", "any", "gone"]}},
        "routes": {
            "a": {"target_url": upstream.url()},
            "b": {"target_url": upstream.url()},
            "any": {"target_url": upstream.url(), "cors": {"origins": ["*"], "headers": ["Authorization"], "expose": ["*"]}},
            "none": {"target_url": upstream.url(), "public": true, "cors": {"origins": []}},
            "gone": {"target_url": "http://127.0.0.1:1"},
        },
    })
}

fn ask(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: p\r\n{fields}\r\n")
}

fn preflight(origin: &str, more: &str) -> String {
    format!("Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n{more}")
}

/// What an answer says about pages: each such field in the order of its name.
fn about_pages(answer: &Received) -> Vec<(String, String)> {
    let names = answer.names().into_iter().filter(|name| name.to_lowercase().starts_with("access-control-"));
    let mut said: Vec<_> = names
        .map(|name| (name.to_lowercase()["access-control-".len()..].to_owned(), answer.fields(name).join("|")))
        .collect();
    said.sort();
    said
}

fn said(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn allowed() -> Vec<(String, String)> {
    said(&[("allow-credentials", "true"), ("allow-origin", PAGE), ("expose-headers", "x-request-id, retry-after")])
}

#[test]
fn a_preflight_is_answered_before_keys_are_asked_for() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    let mut client = proxy.client();
    let wants = preflight(PAGE, "Access-Control-Request-Headers: authorization,content-type, X-Stainless-Lang\r\n");
    for path in ["/a/v1/chat?x=1", "/b", "/nowhere/x", "/", "/gone"] {
        let answer = client.ask(ask("OPTIONS", path, &wants));
        assert_eq!((answer.status(), answer.text()), (204, String::new()), "{path}");
        assert_eq!(
            about_pages(&answer),
            said(&[
                ("allow-credentials", "true"),
                ("allow-headers", "authorization, content-type, X-Stainless-Lang"),
                ("allow-methods", "POST"),
                ("allow-origin", PAGE),
                ("max-age", "3600"),
            ]),
            "{path}"
        );
        assert_eq!(answer.fields("vary"), ["Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]);
        assert_eq!((answer.field("content-length"), answer.field("content-type")), (None, None));
    }
    // Browsers write no port that goes without saying.
    assert_eq!(client.ask(ask("OPTIONS", "/a", &preflight("http://localhost", ""))).status(), 204);
    let answer = client.ask(ask(
        "OPTIONS",
        "/any/x",
        &preflight(OTHER, "Access-Control-Request-Headers: authorization, x-api-key\r\n"),
    ));
    assert_eq!(answer.status(), 204);
    assert_eq!(
        about_pages(&answer),
        said(&[
            ("allow-headers", "authorization"),
            ("allow-methods", "POST"),
            ("allow-origin", "*"),
            ("max-age", "600")
        ])
    );
    assert!(upstream.has_no_request());
    let line = proxy.logged(|line| line["path"] == "/a/v1/chat?x=1");
    assert_eq!(
        (&line["status"], &line["code"], &line["end"], &line["route"]),
        (&json!(204), &Value::Null, &json!("done"), &json!("a"))
    );
}

#[test]
fn pages_that_are_not_allowed_are_told_so() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    let mut client = proxy.client();
    for (path, origin) in [
        ("/a/x", OTHER),
        ("/a/x", "null"),
        ("/none/x", PAGE),
        ("/nowhere", OTHER),
        ("/a/x", "https://app.example.com.evil.example"),
    ] {
        let answer = client.ask(ask("OPTIONS", path, &preflight(origin, "")));
        assert_eq!((answer.status(), answer.field("x-aqueduct-error")), (403, Some("origin_not_allowed")), "{origin}");
        assert_eq!((about_pages(&answer), answer.fields("vary")), (vec![], vec!["Origin"]), "{origin}");
    }
    assert!(upstream.has_no_request());
    // What is no question of a browser is a request like any other: a key is asked for, or it goes on.
    assert_eq!(client.ask(ask("OPTIONS", "/a/x", &format!("Origin: {PAGE}\r\n"))).status(), 401);
    let key = format!("x-aqueduct-key: {KEY}\r\n");
    assert_eq!(
        client.ask(ask("OPTIONS", "/a/x", &format!("{key}Access-Control-Request-Method: POST\r\n"))).status(),
        200
    );
    assert_eq!(upstream.request().line(), "OPTIONS /x HTTP/1.1");
    // Other requests are answered all the same: a browser keeps the answer from the page.
    let answer = client.ask(ask("POST", "/a/x", &format!("{key}Origin: {OTHER}\r\nContent-Length: 0\r\n")));
    assert_eq!((answer.status(), about_pages(&answer), answer.fields("vary")), (200, vec![], vec!["Accept", "Origin"]));
}

#[test]
fn the_upstreams_word_is_replaced() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    let mut client = proxy.client();
    let mut get = |path: &str, origin: &str| client.ask(ask("GET", path, &format!("x-api-key: {KEY}\r\n{origin}")));
    let page = format!("Origin: {PAGE}\r\n");
    let answer = get("/a/x", &page);
    assert_eq!(
        (answer.text(), about_pages(&answer), answer.fields("vary")),
        ("ok".into(), allowed(), vec!["Accept", "Origin"])
    );
    assert_eq!((upstream.request().field("origin"), answer.field("x-request-id")), (Some(PAGE), Some("7")));
    // Whoever keeps answers for others has to know of it, too, if no page asks.
    let answer = get("/a/x", "");
    assert_eq!((about_pages(&answer), answer.fields("vary")), (vec![], vec!["Accept", "Origin"]));
    for origin in ["", &page] {
        let answer = get("/any/x", origin);
        assert_eq!(about_pages(&answer), said(&[("allow-origin", "*"), ("expose-headers", "*")]));
        assert_eq!(answer.fields("vary"), ["Accept"]);
    }
    assert_eq!(about_pages(&get("/none/x", &page)), []);
    // Without rules of ours the upstream's hold.
    let without = Proxy::to(&upstream);
    let answer = without.client().ask(ask("OPTIONS", "/a/x", &preflight(PAGE, "")));
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://upstream.example"));
    assert_eq!(answer.fields("vary"), ["Accept"]);
}

#[test]
fn our_own_answers_may_be_read_too() {
    let upstream = upstream();
    let mut config = config(&upstream);
    config["server"] = json!({"limits": {"max_body_size": 10}});
    let proxy = Proxy::start(&config);
    let page = format!("Origin: {PAGE}\r\n");
    let key = format!("{page}x-api-key: {KEY}\r\n");
    for (method, path, fields, status) in [
        ("GET", "/", page.clone(), 200),
        ("GET", "/a/x", page.clone(), 401),
        ("GET", "/b/x", key.clone(), 403),
        ("GET", "/nowhere", key.clone(), 404),
        ("GET", "/gone/x", key.clone(), 502),
        ("GET", "/a/../x", key.clone(), 400),
        ("POST", "/a/x", format!("{key}Content-Length: 11\r\n"), 413),
        ("TRACE", "/a/x", page.clone(), 405),
        ("POST", "/", format!("{page}Content-Length: 0\r\n"), 405),
    ] {
        let answer = proxy.client().ask(ask(method, path, &fields));
        assert_eq!((answer.status(), about_pages(&answer)), (status, allowed()), "{method} {path}");
        assert_eq!(answer.fields("vary"), ["Origin"], "{method} {path}");
    }
    let answer = proxy.client().ask(ask("GET", "/any/x", ""));
    assert_eq!((answer.status(), answer.field("access-control-allow-origin")), (401, Some("*")));
}

#[test]
fn streams_of_http_2_are_told_the_same() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let request = |method: &str, fields: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method).uri("http://p/a/x");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            request.body(()).expect("a request")
        };
        let asks = [("origin", PAGE), ("access-control-request-method", "POST")];
        let heard = client.ask(request("OPTIONS", &asks), b"").await;
        assert_eq!(
            (heard.status, &heard.headers["access-control-allow-origin"]),
            (204, &PAGE.parse().expect("a value"))
        );
        let heard = client.ask(request("GET", &[("origin", PAGE), ("x-api-key", KEY)]), b"").await;
        assert_eq!((heard.status, heard.headers.get_all("access-control-allow-origin").iter().count()), (200, 1));
        assert_eq!(heard.headers["access-control-allow-origin"], PAGE);
    });
}

#[test]
fn a_websocket_is_no_matter_of_origins() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send(SWITCH)?;
        script.until_end().map(|_| ())
    });
    let proxy = Proxy::start(&config(&upstream));
    let mut client = proxy.client();
    let asks = format!("Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: {OTHER}\r\nx-api-key: {KEY}\r\n");
    client.send(ask("GET", "/a/x", &asks));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.to_lowercase().contains("access-control"), "{head}");
    assert_eq!(upstream.request().field("origin"), Some(OTHER));
}

#[test]
fn a_preflight_leaves_the_connection_as_it_was() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    let asks = |more: &str| ask("OPTIONS", "/a", &preflight(PAGE, more));
    let mut client = proxy.client();
    client.send(asks("Content-Length: 5\r\n") + "hello" + &asks(""));
    assert_eq!((client.answer().status(), client.answer().status()), (204, 204));
    let mut client = proxy.client();
    let answer = client.ask(asks("Content-Length: 5\r\n"));
    assert_eq!((answer.status(), answer.field("connection")), (204, Some("close")));
    let mut old = proxy.client();
    old.send(asks("").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!((old.answer().status(), Client::is_closed(&mut old)), (204, true));
}

#[test]
fn a_reload_changes_who_may_read() {
    let upstream = upstream();
    let mut config = config(&upstream);
    config["server"] = json!({"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"});
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    assert_eq!(client.ask(ask("OPTIONS", "/a", &preflight(OTHER, ""))).status(), 403);
    config["cors"]["origins"] = json!([OTHER]);
    write_private(&proxy.config_path(), &config.to_string());
    proxy.signal("HUP");
    eventually("it is in force", || proxy.out().contains("Configuration reloaded"));
    assert_eq!(client.ask(ask("OPTIONS", "/a", &preflight(OTHER, ""))).status(), 204);
}

fn check(config: &Value) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    let output = aqueduct().current_dir(directory.path()).arg("check").output().expect("runs");
    (output.status.code().expect("an end"), String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn what_is_refused_and_what_is_odd() {
    for (cors, path, why) in [
        (json!({"origins": ["app.example.com"]}), "origins[0]", "expected an origin such as"),
        (json!({"origins": [PAGE, "https://h/"]}), "origins[1]", "expected an origin such as"),
        (json!({"origins": ["https://*.example.com"]}), "origins[0]", "expected an origin such as"),
        (json!({"origins": ["null"]}), "origins[0]", "expected an origin such as"),
        (json!({"origins": ["https://h\r\nX: y"]}), "origins[0]", "expected an origin such as"),
        (json!({"origins": ["*", PAGE]}), "origins", "\"*\" means every page: it stands alone"),
        (json!({"origins": PAGE}), "origins", "expected an array, found a string"),
        (json!({"origins": [PAGE], "headers": ["x y"]}), "headers[0]", "is not a header name"),
        (json!({"origins": [PAGE], "expose": ["x\r\ny"]}), "expose[0]", "is not a header name"),
        (json!({"origins": [PAGE], "max_age": "soon"}), "max_age", "expected a duration"),
        (json!({"origins": [PAGE], "max_age": -1}), "max_age", "expected a number of at least 0"),
        (json!([PAGE]), "", "expected an object, found an array"),
    ] {
        for (place, config) in [
            ("cors", json!({"cors": cors})),
            ("routes.a.cors", json!({"routes": {"a": {"target_url": "http://h", "cors": cors}}})),
        ] {
            let (status, said) = check(&config);
            let place = format!("{place}{}{path}: ", if path.is_empty() { "" } else { "." });
            assert!(status == 1 && said.contains(&place) && said.contains(why), "{place} {why}: {said}");
        }
    }
    let secret = json!({"a": {"target_url": "http://h", "custom_headers": {"x-api-key": "k"}}});
    let local = json!({"host": "127.0.0.1"});
    let warned = |config: &Value| check(config).1.contains("every page that a browser on this network opens");
    assert!(warned(&json!({"server": local, "cors": {"origins": ["*"]}, "routes": secret})));
    assert!(!warned(&json!({"server": local, "cors": {"origins": [PAGE]}, "routes": secret})));
    assert!(!warned(
        &json!({"server": local, "cors": {"origins": ["*"]}, "routes": secret, "client_keys": {"a": {"key": KEY}}})
    ));
    assert!(check(&json!({"cors": {"origins": []}})).1.contains("cors: 'origins' names nobody"));
}

#[test]
fn the_banner_and_explain_say_whose_pages() {
    let upstream = upstream();
    let proxy = Proxy::start(&config(&upstream));
    proxy.says("  - Pages in browsers (CORS): https://app.example.com, http://localhost\n");
    proxy.says("CORS: *)");
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config(&upstream).to_string());
    let explain = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let arguments = ["explain", "OPTIONS", "/a/x", "-H", &origin, "-H", "Access-Control-Request-Method: POST"];
        let output = aqueduct().current_dir(directory.path()).args(arguments).output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("text"))
    };
    let (is_good, said) = explain(PAGE);
    assert!(is_good && said.contains("answers the preflight") && said.contains("Allow-Methods: POST"), "{said}");
    let (is_good, said) = explain(OTHER);
    assert!(!is_good && said.contains("403 origin_not_allowed"), "{said}");
}
