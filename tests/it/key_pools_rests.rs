//! For how long a key rests, as providers say it: read from whatever they say it in, and told in the log.

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};

const GET: &str = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n";

/// One that says this of the first key, and that the others are good.
fn saying(status: &str, fields: &str) -> Upstream {
    let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n");
    Upstream::playing(move |script| {
        while let Some(request) = script.request()? {
            let is_first = request.field("x-api-key") == Some("key-zero");
            script.send(if is_first { &answer } else { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" })?;
        }
        Ok(())
    })
}

fn proxy(upstream: &Upstream, more: &Value) -> Proxy {
    let mut route =
        json!({"target_url": upstream.url(), "custom_headers": {"x-api-key": ["key-zero", "key-one", "key-two"]}});
    route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Proxy::start(&json!({"routes": {"a": route}}))
}

#[test]
fn whatever_it_is_said_in() {
    const NOW: &str = "Date: Thu, 01 Jan 2026 12:00:00 GMT\r\n";
    for (fields, seconds) in [
        ("", "60"),
        ("Retry-After: soon\r\n", "60"),
        ("Retry-After: 20\r\n", "20"),
        ("retry-after-ms: 1500\r\nRetry-After: 2\r\n", "1.5"),
        (&format!("{NOW}Retry-After: Thu, 01 Jan 2026 12:01:30 GMT\r\n"), "90"),
        (&format!("{NOW}Retry-After: Thursday, 01-Jan-26 12:00:10 GMT\r\n"), "10"),
        ("Retry-After: 86400\r\n", "3600"),
        ("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n", "360"),
        ("x-ratelimit-remaining-requests: 3\r\nx-ratelimit-reset-requests: 6m0s\r\n", "60"),
        (
            &format!(
                "{NOW}anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2026-01-01T12:00:45Z\r\n"
            ),
            "45",
        ),
        (&format!("{NOW}X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1767268812000\r\n"), "12"),
        ("RateLimit-Remaining: 0\r\nRateLimit-Reset: 50\r\n", "50"),
    ] {
        let upstream = saying("429 Too Many Requests", fields);
        let proxy = proxy(&upstream, &json!({}));
        // The client gets what the upstream says, whatever is made of it here.
        let answer = proxy.client().ask(GET);
        assert_eq!((answer.status(), answer.field("x-aqueduct-error")), (429, None), "{fields}");
        assert!(fields.lines().all(|line| answer.head.contains(line)), "{fields}: {}", answer.head);
        proxy.complains(&format!("Route 'a', key [0]: rests for {seconds} s (429)\n"));
        assert_eq!(proxy.client().ask(GET).status(), 200);
    }
}

#[test]
fn who_is_refused_is_out_for_a_minute_whatever_it_says() {
    for status in ["401 Unauthorized", "402 Payment Required", "403 Forbidden"] {
        let upstream = saying(status, "Retry-After: 5\r\n");
        let proxy = proxy(&upstream, &json!({}));
        assert_eq!(proxy.client().ask(GET).status().to_string(), status[..3]);
        proxy.complains(&format!("Route 'a', key [0]: is out ({}), tried again after 60 s\n", &status[..3]));
    }
}

#[test]
fn other_failures_say_nothing_of_a_key() {
    for status in ["400 Bad Request", "404 Not Found", "408 Timeout", "500 Broken", "503 Busy", "529 Overloaded"] {
        let upstream = saying(status, "Retry-After: 5\r\n");
        let proxy = proxy(&upstream, &json!({}));
        let mut client = proxy.client();
        let statuses: Vec<_> = (0..6).map(|_| client.ask(GET).status()).collect();
        let refused = statuses.iter().filter(|answered| **answered != 200).count();
        assert_eq!(refused, 2, "{status}: each has its turn: {statuses:?}");
        assert!(proxy.err().is_empty(), "{}", proxy.err());
    }
}

#[test]
fn any_of_them_at_random() {
    let upstream = Upstream::ok();
    let proxy = proxy(&upstream, &json!({"key_strategy": "random"}));
    let mut client = proxy.client();
    let mut seen = Vec::new();
    for _ in 0..60 {
        client.ask(GET);
        seen.push(upstream.request().field("x-api-key").expect("a key").to_owned());
    }
    let count = |key: &str| seen.iter().filter(|used| *used == key).count();
    let counts = ["key-zero", "key-one", "key-two"].map(count);
    assert!(counts.iter().sum::<usize>() == 60 && counts.iter().all(|count| *count >= 5), "{counts:?}");
    let in_turn = seen.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(in_turn > 0, "one after the other is not at random: {seen:?}");
}
