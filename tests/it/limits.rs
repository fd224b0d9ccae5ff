//! How much may be used: by the minute, in all and on each route, to the request, whatever asks at the same time.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Upstream, aqueduct, write_private};

const ASK: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

fn ask(route: &str) -> String {
    format!("GET /{route}/x HTTP/1.1\r\nHost: p\r\n\r\n")
}

fn upstream() -> Upstream {
    Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-ratelimit-remaining-requests: 9999\r\n\r\nok")
}

/// How many whole requests come back in this time.
fn come_back(per_minute: u32, since: Instant) -> usize {
    usize::try_from(since.elapsed().as_millis() * u128::from(per_minute) / 60_000).expect("few")
}

fn number(answer: &Received, field: &str) -> u64 {
    answer.field(field).unwrap_or_else(|| panic!("{field}")).parse().expect("a number")
}

#[test]
fn eight_workers_together_let_in_exactly_so_many() {
    const CLIENTS: usize = 16;
    const EACH: usize = 60;
    const A: u32 = 90;
    const ALL: u32 = 150;

    let upstream = upstream();
    let proxy = Proxy::start(&json!({
        "server": {"workers": 8, "log_requests": false},
        "limits": {"requests_per_minute": ALL},
        "routes": {
            "a": {"target_url": upstream.url(), "limits": {"requests_per_minute": A}},
            "b": {"target_url": upstream.url()},
        },
    }));
    let start = Barrier::new(CLIENTS);
    let began = Instant::now();
    let crowd = |route: &'static str| -> Vec<u16> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = proxy.client();
                        start.wait();
                        (0..EACH).map(|_| client.ask(ask(route)).status()).collect::<Vec<_>>()
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().expect("no failure")).collect()
        })
    };
    let count = |statuses: &[u16], wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    let a = crowd("a");
    let (let_in, refused) = (count(&a, 200), count(&a, 429));
    assert_eq!(let_in + refused, CLIENTS * EACH);
    let most = A as usize + come_back(A, began);
    assert!((A as usize..=most).contains(&let_in), "{let_in} of {most}");
    // The others took nothing of what all routes have together: that is left for the other route.
    let b = count(&crowd("b"), 200);
    let most = ALL as usize + come_back(ALL, began);
    assert!((ALL as usize..=most).contains(&(let_in + b)), "{let_in} and {b} of {most}");
    (0..let_in + b).for_each(|_| _ = upstream.request());
    assert!(upstream.has_no_request(), "nobody else went on");
}

#[test]
fn who_is_refused_is_told_when_to_come_back() {
    let upstream = upstream();
    let proxy = Proxy::start(&json!({
        "routes": {"a": {"target_url": upstream.url(), "limits": {"requests_per_minute": 2, "tokens_per_minute": 500}}},
    }));
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(ASK);
        assert_eq!(answer.status(), 200);
        // An answer that comes from the upstream has the upstream's fields, and no others.
        assert_eq!(answer.fields("x-ratelimit-remaining-requests"), ["9999"]);
        assert_eq!(answer.field("x-ratelimit-limit-requests"), None);
    }
    let answer = client.ask(ASK);
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (429, Some("rate_limited")));
    assert_eq!(answer.json()["error"], "Too many requests in a minute on this route. Try again later.");
    assert_eq!(answer.field("x-aqueduct-error"), Some("rate_limited"));
    assert!((29..=30).contains(&number(&answer, "retry-after")), "one comes back every 30 s");
    assert_eq!(number(&answer, "x-ratelimit-limit-requests"), 2);
    assert_eq!(number(&answer, "x-ratelimit-remaining-requests"), 0);
    assert!(["1m0s", "59s"].contains(&answer.field("x-ratelimit-reset-requests").expect("a field")));
    assert_eq!(
        (number(&answer, "x-ratelimit-limit-tokens"), number(&answer, "x-ratelimit-remaining-tokens")),
        (500, 500)
    );
    assert_eq!(answer.field("x-ratelimit-reset-tokens"), Some("0s"));
    // It is welcome as soon as there is something, on the same connection.
    assert_eq!(answer.field("connection"), None);
    let line = proxy.logged(|line| line["status"] == 429);
    assert_eq!(
        (&line["code"], &line["end"], &line["upstream"]),
        (&json!("rate_limited"), &json!("refused"), &Value::Null)
    );
}

#[test]
fn who_is_refused_by_one_limit_uses_up_no_other() {
    let upstream = upstream();
    let route = |limits: Value| json!({"target_url": upstream.url(), "limits": limits});
    let proxy = Proxy::start(&json!({
        "limits": {"requests_per_minute": 5},
        "routes": {"a": route(json!({"requests_per_minute": 3})), "b": route(json!({"requests_per_minute": 4}))},
    }));
    let mut client = proxy.client();
    let mut let_in = |route: &str| (0..20).filter(|_| client.ask(ask(route)).status() == 200).count();
    // Three, and 17 that took nothing of the five; two more, and 18 that took nothing of the four.
    assert_eq!((let_in("a"), let_in("b")), (3, 2));
    // What never gets to a route uses up nothing at all.
    assert_eq!(proxy.client().ask("GET /none/x HTTP/1.1\r\nHost: p\r\n\r\n").status(), 404);
    proxy.logged(|line| line["code"] == "rate_limited");
}

#[test]
fn each_client_has_limits_of_its_own() {
    let upstream = upstream();
    let (alice, bob) = ("alice-has-a-long-key", "bob-has-another-one");
    let proxy = Proxy::start(&json!({
        "server": {"workers": 8},
        "client_keys": {
            "alice": {"key": alice, "limits": {"requests_per_minute": 3}},
            "bob": {"key": bob, "limits": {"requests_per_minute": 20}},
        },
        "routes": {"a": {"target_url": upstream.url(), "limits": {"requests_per_minute": 9}}},
    }));
    let ask =
        |key: &str| proxy.client().ask(format!("GET /a/x HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer {key}\r\n\r\n"));
    let let_in = |key: &str| (0..15).filter(|_| ask(key).status() == 200).count();
    assert_eq!(let_in(alice), 3);
    assert_eq!(ask(alice).json()["error"], "Too many requests in a minute with this key. Try again later.");
    // Nobody lives at the cost of another: what she was refused was taken from no one.
    assert_eq!(let_in(bob), 6);
    assert_eq!(ask(bob).json()["error"], "Too many requests in a minute on this route. Try again later.");
    // Whoever has no key takes nothing at all.
    assert_eq!(ask("nobody-has-this-long-key").status(), 401);
    let line = proxy.logged(|line| line["status"] == 429);
    assert_eq!((&line["client"], &line["code"]), (&json!("alice"), &json!("rate_limited")));
}

#[test]
fn what_was_used_up_survives_a_reload() {
    let upstream = upstream();
    let config = |name: &str, per_minute: u32| {
        json!({
            "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 2},
            "routes": {name: {"target_url": upstream.url(), "limits": {"requests_per_minute": per_minute}}},
        })
    };
    let proxy = Proxy::start(&config("a", 3));
    let let_in = |route: &str| (0..8).filter(|_| proxy.client().ask(ask(route)).status() == 200).count();
    assert_eq!(let_in("a"), 3);
    proxy.reload(&config("a", 3));
    assert_eq!(let_in("a"), 0);
    proxy.reload(&config("b", 2));
    assert_eq!(let_in("b"), 2);
    proxy.reload(&config("a", 5));
    assert_eq!(let_in("a"), 2, "of five, three were used up a moment ago");
}

#[test]
fn wrong_limits_are_refused_with_their_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    for (limits, place, said) in [
        (
            r#"{"requests_per_minute": 0}"#,
            "config.json:1:79: routes.a.limits.requests_per_minute",
            "a number from 1 to 1000000000",
        ),
        (
            r#"{"requests_per_minute": 1.5}"#,
            "routes.a.limits.requests_per_minute",
            "expected a whole number or null, found a number",
        ),
        (
            r#"{"tokens_per_minute": "many"}"#,
            "routes.a.limits.tokens_per_minute",
            "expected a whole number or null, found a string",
        ),
        (r#"{"max_concurrency": -1}"#, "routes.a.limits.max_concurrency", "a number from 1 to 10000000"),
        (r#"{"budget": 5}"#, "routes.a.limits.budget", "expected an object"),
        (r#"{"budget": {"per": "day"}}"#, "routes.a.limits.budget", "a budget needs 'tokens' or 'usd', or both"),
        (r#"{"budget": {"tokens": 5}}"#, "routes.a.limits.budget", "set 'per' to \"day\" or \"month\""),
        (
            r#"{"budget": {"tokens": 5, "per": "week"}}"#,
            "routes.a.limits.budget.per",
            "expected one of: \"day\", \"month\"",
        ),
        (r#"{"budget": {"usd": 0, "per": "day"}}"#, "routes.a.limits.budget.usd", "expected an amount in dollars"),
        (r#"{"budget": {"usd": -0.5, "per": "day"}}"#, "routes.a.limits.budget.usd", "expected an amount in dollars"),
        (r#"{"budget": {"usd": 1e9, "per": "day"}}"#, "routes.a.limits.budget.usd", "expected an amount in dollars"),
        (r#"{"budget": {"tokens": 0, "per": "day"}}"#, "routes.a.limits.budget.tokens", "a number from 1 to"),
    ] {
        write_private(&path, &format!(r#"{{"routes": {{"a": {{"target_url": "http://h", "limits": {limits}}}}}}}"#));
        let output = aqueduct().args(["check", "-c"]).arg(&path).output().expect("runs");
        let told = String::from_utf8(output.stdout).expect("text");
        assert!(!output.status.success() && told.contains(place) && told.contains(said), "{limits}: {told}");
    }
}

#[test]
fn what_is_allowed_is_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let limits = json!({
        "requests_per_minute": 60, "tokens_per_minute": 1000, "max_concurrency": 4,
        "budget": {"tokens": 5000, "usd": 2.5, "per": "month"},
    });
    let routes = json!({"a": {"target_url": "http://h", "limits": limits}});
    write_private(&path, &json!({"limits": {"max_concurrency": 9}, "routes": routes}).to_string());
    let said = |arguments: &[&str]| {
        let output = aqueduct().args(arguments).arg("-c").arg(&path).output().expect("runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let checked = said(&["check"]);
    for line in ["limits.max_concurrency: 9", "routes.a.limits.tokens_per_minute: 1000"] {
        assert!(checked.contains(&format!("  {line}\n")), "{checked}");
    }
    let explained = said(&["explain", "GET", "/a/x"]);
    let allowed = "60 requests a minute, 1000 tokens a minute, 4 at once, 5000 tokens a month, $2.5 a month";
    assert!(explained.contains(&format!("on this route: {allowed}; on all routes together: 9 at once")), "{explained}");
    let explained = said(&["--lang", "zh", "explain", "GET", "/a/x"]);
    assert!(explained.contains("每月 5000 个 token，每月 2.5 美元；所有路由合计: 同时 9 个"), "{explained}");
}
