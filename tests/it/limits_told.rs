//! What whoever is refused is told: which limit it was, whose, and when to come back.

use serde_json::{Value, json};

use crate::support::{Proxy, Received, Upstream, eventually};

const KEY: &str = "alice-has-a-long-key";

/// An answer that takes so many tokens.
fn taking(tokens: u64) -> Upstream {
    let content = format!(r#"{{"model": "m", "usage": {{"prompt_tokens": {tokens}, "completion_tokens": 0}}}}"#);
    Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len()))
}

/// Limits in the place of this name, and in no other.
fn limited(upstream: &Upstream, place: &str, limits: &Value, prices: &Value) -> Proxy {
    let mut config = json!({
        "prices": prices,
        "client_keys": {"alice": {"key": KEY}, "bob": {"key": "bob-has-a-longer-key"}},
        "routes": {"a": {"target_url": upstream.url()}, "b": {"target_url": upstream.url()}},
    });
    let object = match place {
        "client" => &mut config["client_keys"]["alice"],
        "route" => &mut config["routes"]["a"],
        _ => &mut config,
    };
    object["limits"] = limits.clone();
    Proxy::start(&config)
}

fn ask(proxy: &Proxy, key: &str, route: &str) -> Received {
    proxy
        .client()
        .ask(format!("POST /{route}/x HTTP/1.1\r\nHost: p\r\nx-api-key: {key}\r\nContent-Length: 2\r\n\r\n{{}}"))
}

fn number(answer: &Received, field: &str) -> u64 {
    answer.field(field).unwrap_or_else(|| panic!("{field} in {}", answer.head)).parse().expect("a number")
}

#[test]
fn tokens_by_the_minute_are_paid_back_before_more_may_begin() {
    let upstream = taking(1500);
    for (place, whose) in [("client", "with this key"), ("route", "on this route"), ("all", "")] {
        let proxy = limited(&upstream, place, &json!({"tokens_per_minute": 1000}), &Value::Null);
        assert_eq!(ask(&proxy, KEY, "a").status(), 200, "what it takes is known at its end");
        let refused = ask(&proxy, KEY, "a");
        assert_eq!((refused.status(), refused.field("x-aqueduct-error")), (429, Some("rate_limited")), "{place}");
        let text = refused.json()["error"].as_str().expect("text").to_owned();
        assert!(text.contains("tokens") && text.contains(whose), "{place}: {text}");
        // 500 are owed, and one has to be there: half a minute.
        assert!((25..=31).contains(&number(&refused, "retry-after")), "{}", refused.head);
        assert_eq!(number(&refused, "x-ratelimit-limit-tokens"), 1000);
        assert_eq!(number(&refused, "x-ratelimit-remaining-tokens"), 0);
        let reset = refused.field("x-ratelimit-reset-tokens").expect("a field");
        assert!(reset.starts_with("1m2") || reset == "1m30s", "{reset}");
        assert_eq!((refused.field("x-ratelimit-limit-requests"), refused.field("x-should-retry")), (None, None));
        // Who else is concerned.
        let others = [ask(&proxy, "bob-has-a-longer-key", "a").status(), ask(&proxy, KEY, "b").status()];
        assert_eq!(
            others,
            match place {
                "client" => [200, 429],
                "route" => [429, 200],
                _ => [429, 429],
            }
        );
    }
}

#[test]
fn whoever_has_spent_a_budget_is_told_when_the_next_one_begins() {
    let upstream = taking(10);
    let directory = tempfile::tempdir().expect("a directory");
    let prices = directory.path().join("prices.json");
    std::fs::write(&prices, r#"{"m": {"input_cost_per_token": 0.01, "output_cost_per_token": 0}}"#).expect("writes");
    let until = |next: jiff::civil::Date| {
        let next = jiff::tz::TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0)).expect("a time");
        u64::try_from(next.as_second() - jiff::Timestamp::now().as_second()).unwrap_or_default()
    };
    let today = || jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let next_day = || until(today().tomorrow().expect("a day"));
    let next_month = || until(today().last_of_month().tomorrow().expect("a day"));
    let (by_day, by_month): (&dyn Fn() -> u64, &dyn Fn() -> u64) = (&next_day, &next_month);
    for (budget, unit, left) in [
        (json!({"tokens": 10, "per": "day"}), "token", by_day),
        (json!({"usd": 0.1, "per": "day"}), "dollar", by_day),
        (json!({"tokens": 10, "usd": 100, "per": "month"}), "token", by_month),
        (json!({"tokens": 1000, "usd": 0.05, "per": "month"}), "dollar", by_month),
    ] {
        for (place, whose) in [("client", "with this key"), ("route", "on this route"), ("all", "")] {
            let proxy = limited(&upstream, place, &json!({"budget": budget}), &json!(prices));
            assert_eq!(ask(&proxy, KEY, "a").status(), 200);
            let refused = ask(&proxy, KEY, "a");
            assert_eq!(
                (refused.status(), refused.field("x-aqueduct-error")),
                (429, Some("budget_exhausted")),
                "{budget}"
            );
            let text = refused.json()["error"].as_str().expect("text").to_owned();
            assert!(text.contains(whose), "{place}: {text}");
            let (wait, left) = (number(&refused, "retry-after"), left());
            // Unless midnight has come in between.
            assert!(wait.abs_diff(left) <= 20 || wait <= 20, "{wait} of {left}");
            // Nobody can come back within a minute, but for the minute before midnight.
            assert_eq!(refused.field("x-should-retry"), (wait > 60).then_some("false"), "{unit}");
            assert_eq!(refused.field("x-ratelimit-limit-tokens"), None);
            let line = proxy.logged(|line| line["status"] == 429);
            assert_eq!(
                (&line["code"], &line["end"], &line["client"]),
                (&json!("budget_exhausted"), &json!("refused"), &json!("alice"))
            );
        }
    }
}

#[test]
fn of_several_limits_the_one_that_lasts_longest_is_told_and_all_hold() {
    let upstream = taking(100);
    let limits = json!({"requests_per_minute": 1, "tokens_per_minute": 50, "budget": {"tokens": 60, "per": "day"}});
    let proxy = limited(&upstream, "route", &limits, &Value::Null);
    assert_eq!(ask(&proxy, KEY, "a").status(), 200);
    let refused = ask(&proxy, KEY, "a");
    // Unless it is nearly midnight.
    let code = refused.field("x-aqueduct-error").expect("a code");
    assert!(code == "budget_exhausted" || number(&refused, "retry-after") >= 60, "{}", refused.head);
    // How far the others are is told beside it.
    assert_eq!(
        (number(&refused, "x-ratelimit-limit-requests"), number(&refused, "x-ratelimit-remaining-requests")),
        (1, 0)
    );
    assert_eq!(
        (number(&refused, "x-ratelimit-limit-tokens"), number(&refused, "x-ratelimit-remaining-tokens")),
        (50, 0)
    );
}

#[test]
fn a_page_in_a_browser_may_read_what_it_is_told() {
    let upstream = taking(1);
    let mut config = json!({
        "cors": {"origins": ["https://app.example.com"], "expose": ["retry-after", "x-ratelimit-remaining-requests"]},
        "routes": {"a": {"target_url": upstream.url(), "limits": {"requests_per_minute": 1}}},
    });
    config["routes"]["full"] = json!({"target_url": upstream.url(), "limits": {"max_concurrency": 1}});
    let proxy = Proxy::start(&config);
    let ask = |origin: &str| proxy.client().ask(format!("GET /a/x HTTP/1.1\r\nHost: p\r\nOrigin: {origin}\r\n\r\n"));
    assert_eq!(ask("https://app.example.com").status(), 200);
    let refused = ask("https://app.example.com");
    assert_eq!(
        (refused.status(), refused.field("access-control-allow-origin")),
        (429, Some("https://app.example.com"))
    );
    assert_eq!(refused.field("access-control-expose-headers"), Some("retry-after, x-ratelimit-remaining-requests"));
    let other = ask("https://other.example");
    assert_eq!((other.status(), other.field("access-control-allow-origin")), (429, None));
}

#[test]
fn each_client_has_places_of_its_own() {
    let upstream = Upstream::playing(|script| {
        while script.request()?.is_some() {
            script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        }
        Ok(())
    });
    let proxy = limited(&upstream, "client", &json!({"max_concurrency": 1}), &Value::Null);
    let begin = |key: &str, route: &str| {
        let mut client = proxy.client();
        client.send(format!("GET /{route}/x HTTP/1.1\r\nHost: p\r\nx-api-key: {key}\r\n\r\n"));
        (client.head(), client)
    };
    let (head, running) = begin(KEY, "a");
    assert!(head.starts_with("HTTP/1.1 200 "));
    // Whatever the route, she has one place, and nobody else is concerned.
    let refused = ask(&proxy, KEY, "b");
    assert_eq!((refused.status(), refused.field("x-aqueduct-error")), (429, Some("concurrency_limited")));
    assert!(refused.json()["error"].as_str().is_some_and(|text| text.contains("with this key")), "{}", refused.text());
    assert_eq!((refused.field("retry-after"), refused.field("x-should-retry")), (Some("1"), None));
    let others: Vec<_> = (0..3).map(|_| begin("bob-has-a-longer-key", "a")).collect();
    assert!(others.iter().all(|(head, _)| head.starts_with("HTTP/1.1 200 ")));
    drop(running);
    eventually("her place is free", || begin(KEY, "b").0.starts_with("HTTP/1.1 200 "));
}
