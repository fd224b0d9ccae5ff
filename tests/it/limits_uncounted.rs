//! Answers of which nobody knows what they have used, though a limit should count it: the operator is told, in the log of
//! each of them and now and then in a warning.

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream};
use crate::upgrades::SWITCH;

const CHAT: &str = r#"{"model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 12}}"#;
const SILENT: &str = "data: {\"model\": \"m\", \"choices\": []}\n\ndata: [DONE]\n\n";

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{{}}")
}

fn whole(status: &str, fields: &str, content: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{content}", content.len())
}

fn tokens() -> Value {
    json!({"tokens_per_minute": 1000})
}

#[test]
fn it_is_told_of_each_in_the_log_and_of_a_few_in_a_warning() {
    let upstream = Upstream::answering(whole("200 OK", "Content-Type: text/event-stream\r\n", SILENT));
    let route = |limits: Value| json!({"target_url": upstream.url(), "limits": limits});
    let proxy = Proxy::start(&json!({"routes": {
        "a": route(tokens()), "b": route(json!({"budget": {"tokens": 1000, "per": "day"}})), "free": route(json!({})),
    }}));
    let mut client = proxy.client();
    for path in ["/a/1", "/a/2", "/a/3", "/b/1", "/free/1"] {
        assert_eq!(client.ask(post(path)).text(), SILENT);
    }
    for path in ["/a/1", "/a/2", "/a/3", "/b/1"] {
        let line = proxy.logged(|line| line["path"] == path);
        assert_eq!(
            (&line["uncounted"], &line["tokens_in"], &line["tokens_out"]),
            (&json!(true), &Value::Null, &Value::Null)
        );
    }
    assert_eq!(proxy.logged(|line| line["route"] == "free").get("uncounted"), None);
    proxy.complains("⚠️  Route 'b': limits could not count an answer: it does not say how many tokens it took.");
    proxy.complains("\"stream_options\": {\"include_usage\": true}");
    assert_eq!(proxy.err().matches("could not count").count(), 2, "one line for each route: {}", proxy.err());
}

/// What is said of an answer to this request.
fn said(upstream: &Upstream, more: &Value, request: &str) -> (Value, String) {
    let mut config = json!({"routes": {"a": {"target_url": upstream.url()}}});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    config["routes"]["a"]["target_url"] = json!(upstream.url());
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    client.send(request);
    client.head();
    // Whatever comes is read to its end, or left.
    let is_switched = request.contains("Upgrade");
    if is_switched {
        drop(client);
    } else {
        client.finish().rest();
    }
    let line = proxy.logged(|line| line["route"] == "a");
    // The alarm stands before the line in the queue, and is written with it.
    if line["uncounted"] == true {
        proxy.complains("⚠️  ");
    }
    (line, proxy.err())
}

#[test]
fn each_reason_is_told_with_what_helps() {
    let limits = json!({"routes": {"a": {"limits": tokens()}}});
    let event = "data: {\"model\": \"m\"}\n\n";
    let chunks = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let upgrade = "GET /a/x HTTP/1.1\r\nHost: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let directory = tempfile::tempdir().expect("a directory");
    let prices = directory.path().join("prices.json");
    std::fs::write(&prices, r#"{"other": {"input_cost_per_token": 1, "output_cost_per_token": 1}}"#).expect("writes");
    let budget = json!({"prices": prices, "limits": {"budget": {"usd": 1, "per": "month"}}});
    let mut in_chinese = limits.clone();
    in_chinese["server"] = json!({"language": "zh"});
    for (answer, config, request, why) in [
        (format!("{chunks}{:x}\r\n{event}\r\n", event.len()), &limits, post("/a/x"), "\"on_client_gone\": \"drain\""),
        (whole("200 OK", "Content-Encoding: compress\r\n", CHAT), &limits, post("/a/x"), "could not be decoded"),
        (whole("200 OK", "Content-Encoding: gzip\r\n", CHAT), &limits, post("/a/x"), "could not be decoded"),
        (SWITCH.to_owned(), &limits, upgrade.to_owned(), "through a WebSocket is not read along"),
        (whole("200 OK", "", CHAT), &budget, post("/a/x"), "'prices' has no price for the model 'm'"),
        (whole("200 OK", "", "{}"), &budget, post("/a/x"), "it does not say how many tokens it took"),
        (
            whole("201 Made", "", "{}"),
            &in_chinese,
            post("/a/x"),
            "路由 'a': 有响应未能计入用量限制: 响应中没有 token 用量",
        ),
    ] {
        let (line, err) = said(&Upstream::answering_once(&answer), config, &request);
        assert!(line["uncounted"] == true && err.contains(why), "{why}: {line} {err}");
    }
}

#[test]
fn what_is_counted_or_costs_nothing_is_no_matter() {
    let limits = json!({"routes": {"a": {"limits": tokens()}}});
    let requests =
        json!({"usage": true, "routes": {"a": {"limits": {"requests_per_minute": 9, "max_concurrency": 9}}}});
    let get = "GET /a/v1/models HTTP/1.1\r\nHost: p\r\n\r\n".to_owned();
    for (answer, config, request) in [
        (whole("200 OK", "", CHAT), &limits, post("/a/x")),
        (whole("429 Slow", "", "{}"), &limits, post("/a/x")),
        (whole("500 Broken", "", "{}"), &limits, post("/a/x")),
        (whole("200 OK", "", "{}"), &limits, get),
        (whole("200 OK", "", r#"{"input_tokens": 7}"#), &limits, post("/a/v1/messages/count_tokens?beta=true")),
        (whole("200 OK", "", r#"{"totalTokens": 7}"#), &limits, post("/a/v1beta/models/m:countTokens")),
        (whole("200 OK", "", "{}"), &requests, post("/a/x")),
    ] {
        let (line, err) = said(&Upstream::answering_once(&answer), config, &request);
        assert!(line.get("uncounted").is_none() && err.is_empty(), "{request}: {line} {err}");
    }
}

#[test]
fn limits_of_clients_and_of_all_are_limits_too_and_no_request_log_is_needed() {
    let upstream = Upstream::answering(whole("200 OK", "", "{}"));
    let key = "alice-has-a-long-key";
    for (limits, keys) in
        [(tokens(), json!({"alice": {"key": key}})), (json!({}), json!({"alice": {"key": key, "limits": tokens()}}))]
    {
        let proxy = Proxy::start(&json!({
            "server": {"log_requests": false}, "limits": limits, "client_keys": keys,
            "routes": {"a": {"target_url": upstream.url()}},
        }));
        let answer = proxy.client().ask(post("/a/x").replace("Host: p", &format!("Host: p\r\nx-api-key: {key}")));
        assert_eq!(answer.status(), 200);
        proxy.complains("Route 'a': limits could not count an answer");
        assert!(proxy.log().is_empty());
    }
}

#[test]
fn what_a_fallback_answers_counts_against_its_own_limits_and_is_told_of_its_own_route() {
    let busy = Upstream::answering(whole("503 Busy", "", ""));
    let proxy = |answer: &str| {
        let upstream = Upstream::answering(whole("200 OK", "", answer));
        let routes = json!({
            // Nobody reads along on this one.
            "a": {"target_url": busy.url(), "fallback": ["b"]},
            "b": {"target_url": upstream.url(), "limits": {"budget": {"tokens": 40, "per": "month"}}},
        });
        (Proxy::start(&json!({"routes": routes})), upstream)
    };
    // 21 tokens each.
    let (counting, _upstream) = proxy(CHAT);
    let statuses = [0, 1, 2].map(|_| counting.client().ask(post("/a/x")).status());
    assert_eq!(statuses, [200, 200, 503], "there is no room on the fallback any more");
    let line = counting.logged(|line| line["fallback"] == "b");
    assert_eq!((&line["tokens_in"], line.get("uncounted")), (&json!(9), None));
    // What is answered by a route on which nobody reads along is not read.
    assert_eq!(counting.logged(|line| line["status"] == 503).get("tokens_in"), None);
    let (silent, _upstream) = proxy("{}");
    assert_eq!(silent.client().ask(post("/a/x")).status(), 200);
    silent.complains("Route 'b': limits could not count");
    assert_eq!(silent.logged(|line| line["route"] == "a")["uncounted"], true);
}
