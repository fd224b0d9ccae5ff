//! Several targets of one route: shared out by weight and priority, and those that cannot be reached rest.

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, eventually, free_port, write_private};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// An upstream that says its name.
fn named(name: &str) -> Upstream {
    Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
}

fn proxy(targets: &Value) -> Proxy {
    Proxy::start(&json!({"routes": {"a": {"target_url": targets}}}))
}

/// What so many requests, one after the other, are answered with: a name, or a code.
fn answers(proxy: &Proxy, count: usize) -> Vec<String> {
    let mut client = proxy.client();
    let answers = (0..count).map(|_| {
        let answer = client.ask(GET);
        answer.field("x-aqueduct-error").map_or_else(|| answer.text(), str::to_owned)
    });
    answers.collect()
}

fn count(answers: &[String], name: &str) -> usize {
    answers.iter().filter(|answer| *answer == name).count()
}

#[test]
fn requests_are_shared_out_by_weight_and_each_target_has_its_own_url() {
    let (one, three, backup) = (named("one"), named("three"), named("backup"));
    let proxy = proxy(&json!([
        format!("{}/base?v=1", one.url()),
        {"url": three.url(), "weight": 3},
        {"url": backup.url(), "priority": 1},
    ]));
    let answers = answers(&proxy, 40);
    assert!(count(&answers, "one").abs_diff(10) <= 2 && count(&answers, "three").abs_diff(30) <= 2, "{answers:?}");
    let (request, other) = (one.request(), three.request());
    assert_eq!((request.target(), request.field("host")), ("/base/x?v=1", Some(one.address().to_string().as_str())));
    assert_eq!((other.target(), other.field("host")), ("/x", Some(three.address().to_string().as_str())));
    assert!(backup.has_no_request());
    // Connections are kept for each of them, and the log says where each request went.
    assert_eq!((one.connections(), three.connections()), (1, 1));
    eventually("the log says where", || {
        let to = |upstream: &Upstream| proxy.log().iter().filter(|line| line["upstream"] == upstream.url()).count();
        to(&one) == count(&answers, "one") && to(&three) == count(&answers, "three")
    });
}

#[test]
fn who_cannot_be_reached_rests_and_is_found_again() {
    let port = free_port();
    let alive = named("alive");
    let proxy = proxy(&json!([format!("http://127.0.0.1:{port}"), alive.url()]));
    // No retry is configured: one request learns of it, the others do not.
    let before = answers(&proxy, 10);
    assert_eq!((count(&before, "upstream_unreachable"), count(&before, "alive")), (1, 9), "{before:?}");
    proxy.complains(&format!("Route 'a', target http://127.0.0.1:{port}: cannot be reached, tried again after 1 s"));
    // One request at a time finds out, here twice at most in a second and a half.
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("still free");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut head);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nback",
            );
        }
    });
    eventually("it is found again", || answers(&proxy, 1) == ["back"]);
    proxy.complains(&format!("target http://127.0.0.1:{port}: works again"));
    let after = answers(&proxy, 20);
    assert!(
        count(&after, "back").abs_diff(10) <= 2 && count(&after, "alive") + count(&after, "back") == 20,
        "{after:?}"
    );
}

#[test]
fn a_lower_priority_stands_in_for_those_before_it() {
    let backup = named("backup");
    let proxy = proxy(&json!([
        {"url": "http://127.0.0.1:1"},
        {"url": "http://nowhere.invalid"},
        {"url": backup.url(), "priority": 9},
    ]));
    let heard = answers(&proxy, 8);
    assert!(heard[..2].contains(&"upstream_unreachable".to_owned()) && heard[..2].contains(&"upstream_dns".to_owned()));
    assert_eq!(count(&heard[2..], "backup"), 6, "{heard:?}");
}

#[test]
fn if_none_can_be_reached_the_next_one_due_is_asked_all_the_same() {
    let proxy = proxy(&json!(["http://127.0.0.1:1", "http://localhost:1"]));
    assert_eq!(count(&answers(&proxy, 6), "upstream_unreachable"), 6);
}

#[test]
fn answers_that_are_failures_are_no_reason_to_rest() {
    let (broken, good) = (Upstream::answering("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nnope"), named("good"));
    let proxy = proxy(&json!([broken.url(), good.url()]));
    let heard = answers(&proxy, 20);
    assert!(count(&heard, "nope").abs_diff(10) <= 2, "{heard:?}");
    assert!(proxy.err().is_empty());
}

#[test]
fn what_is_known_of_a_target_outlives_a_reload() {
    let alive = named("alive");
    let config = |targets: &Value| json!({"server": {"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"}, "routes": {"a": {"target_url": targets}}});
    let proxy = Proxy::start(&config(&json!(["http://127.0.0.1:1", alive.url()])));
    // Refused so often that it is out for longer than this test takes.
    eventually("it is out for a while", || {
        answers(&proxy, 5);
        proxy.err().contains("tried again after 4 s")
    });
    write_private(&proxy.config_path(), &config(&json!([alive.url(), "http://127.0.0.1:1/other"])).to_string());
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    assert_eq!(count(&answers(&proxy, 5), "alive"), 5);
}

#[test]
fn a_login_in_the_url_of_one_target_goes_to_that_one_alone() {
    let (with, without) = (Upstream::ok(), Upstream::ok());
    let url = with.url().replace("http://", "http://user:password@");
    let proxy = Proxy::start(&json!({"routes": {"a": {
        "target_url": [url, without.url()], "custom_headers": {"Authorization": ["Bearer zero", "Bearer one"]},
    }}}));
    answers(&proxy, 10);
    for _ in 0..3 {
        assert_eq!(with.request().fields("authorization"), ["Basic dXNlcjpwYXNzd29yZA=="]);
        let request = without.request();
        let sent = request.fields("authorization");
        assert!(sent == ["Bearer zero"] || sent == ["Bearer one"], "{sent:?}");
    }
}

#[test]
fn lists_of_targets_that_cannot_be_meant_are_refused_with_their_place() {
    for (fields, why) in [
        (r#""target_url": []"#, "routes.a.target_url: the list is empty"),
        (r#""target_url": ["http://h", ""]"#, "routes.a.target_url[1]: expected a URL, or {"),
        (r#""target_url": ["http://h", {"weight": 2}]"#, "routes.a.target_url[1]: expected a URL, or {"),
        (r#""target_url": ["http://h", 5]"#, "routes.a.target_url[1]: expected a string or an object"),
        (r#""target_url": ["http://h", "ftp://h"]"#, "routes.a.target_url[1]: only http:// and https:// URLs"),
        (r#""target_url": [{"url": "http://h:0"}, "http://h"]"#, "routes.a.target_url[0].url: the port is not"),
        (
            r#""target_url": [{"url": "http://h", "weight": 0}]"#,
            "target_url[0].weight: expected a number from 1 to 1000",
        ),
        (
            r#""target_url": [{"url": "http://h", "priority": -1}]"#,
            "target_url[0].priority: expected a number from 0 to",
        ),
        (r#""target_url": [{"url": "http://h", "weight": 1.5}]"#, "target_url[0].weight: expected a whole number"),
        (r#""target_url": ["${NOT_SET}", "http://h"]"#, "routes.a.target_url[0]: the environment variable NOT_SET"),
        (r#""target_url": {"url": "http://h"}"#, "routes.a.target_url: expected a string or an array or null"),
        (r#""universal_proxy": true, "target_url": ["http://h"]"#, "routes.a.target_url: clients of a universal route"),
    ] {
        let (told, _) = run(&["check"], &format!(r#"{{"routes": {{"a": {{{fields}}}}}}}"#));
        assert!(told.contains(why) && told.contains("1 errors, "), "{fields}: {told}");
    }
    let (told, _) = run(&["check"], r#"{"routes": {"a": {"target_url": [{"url": "http://h", "wieght": 2}]}}}"#);
    assert!(told.contains("target_url[0].wieght: unknown field, ignored. Did you mean 'weight'?"), "{told}");
}

#[test]
fn all_of_them_are_shown_and_no_login() {
    let config = r#"{"routes": {"a": {"target_url": [
        "https://user:password@h/base?key=secret", {"url": "https://i", "weight": 3, "priority": 1}
    ]}}}"#;
    let targets = "https://***@h/base?key=***, https://i [weight 3, priority 1]";
    let (told, _) = run(&["routes"], config);
    assert!(told.contains(&format!("/a -> {targets}")), "{told}");
    let (told, _) = run(&["explain", "GET", "/a/x"], config);
    assert!(told.contains(&format!("one of 2, picked when it goes out: {targets}")), "{told}");
    assert!(!told.contains("password") && !told.contains("secret"), "{told}");
}

fn run(arguments: &[&str], config: &str) -> (String, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), config);
    let output = aqueduct().current_dir(directory.path()).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn with_retry_another_target_is_asked_within_the_same_request() {
    let (busy, alive) = (Upstream::answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), named("alive"));
    let dead = format!("http://127.0.0.1:{}", free_port());
    let proxy = Proxy::start(&json!({"routes": {"a": {
        "target_url": [
            dead,
            {"url": busy.url(), "priority": 1},
            {"url": alive.url(), "priority": 2},
        ],
        // No wait could be that short in a test that has to wait for it.
        "retry": {"attempts": 3, "backoff": "1m", "max_wait": "1m"},
    }}}));
    let answer = proxy.client().ask("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "alive"));
    assert_eq!((answer.field("x-aqueduct-attempts"), answer.field("x-aqueduct-route")), (Some("3"), Some("a")));
    assert_eq!((busy.request().text(), alive.request().text()), ("hello".to_owned(), "hello".to_owned()));
    let line = proxy.logged(|line| line["route"] == "a");
    assert_eq!(
        (&line["attempts"], &line["upstream"], line.get("fallback").is_none_or(Value::is_null)),
        (&json!(3), &json!(alive.url()), true)
    );
}
