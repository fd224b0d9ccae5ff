//! What it costs, by a list of prices.

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, write_private};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n{\"model\": \"gpt-4o-2024-08-06\", \"usage\": {\"prompt_tokens\": 1000, \"completion_tokens\": 100, \"a\": \"aaa\"}}";
const POST: &str = "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}";

fn list(went_in: f64) -> String {
    json!({"gpt-4o": {"input_cost_per_token": went_in, "output_cost_per_token": 1e-05}}).to_string()
}

#[test]
fn the_log_tells_the_cost_and_a_new_list_is_in_force_without_a_restart() {
    let upstream = Upstream::answering(ANSWER);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("prices.json");
    std::fs::write(&file, list(2.5e-06)).expect("writes");
    let proxy = Proxy::start(&json!({"server": {"reload_interval": 0}, "usage": true, "prices": file,
        "routes": {"a": {"target_url": upstream.url()}}}));
    assert!(proxy.client().send(POST).answer().is_whole);
    assert_eq!(proxy.logged(|line| line["route"] == "a")["cost_usd"], 0.0035);
    std::fs::write(&file, list(5e-06)).expect("writes");
    proxy.says("reloaded");
    assert!(proxy.client().send(POST).answer().is_whole);
    proxy.logged(|line| line["cost_usd"] == 0.006);
    // A broken list changes nothing.
    std::fs::write(&file, "{\"gpt-4o\": {\"input_cost_per_token\": \"free\"}}").expect("writes");
    proxy.complains("'input_cost_per_token' of 'gpt-4o' is not an amount of dollars");
    // A model that is not listed costs nobody knows what.
    std::fs::write(&file, "{\"gpt-4\": {\"input_cost_per_token\": 0, \"output_cost_per_token\": 0}}").expect("writes");
    crate::support::eventually("the third list is in force", || proxy.out().matches("reloaded").count() >= 2);
    assert!(proxy.client().send(POST).answer().is_whole);
    proxy.logged(|line| line["tokens_in"] == 1000 && line["cost_usd"].is_null());
}

/// What `check` says of a configuration.
fn check(config: &Value, lang: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    std::fs::write(directory.path().join("list.json"), "[]").expect("writes");
    std::fs::write(directory.path().join("torn.json"), "{\"a\": ").expect("writes");
    std::fs::write(directory.path().join("bad.json"), "{\"m\": {\"output_cost_per_token\": -1}}").expect("writes");
    let output = aqueduct().current_dir(directory.path()).args(["--lang", lang, "check"]).output().expect("runs");
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn wrong_fields_are_refused_with_their_place() {
    let route = json!({"target_url": "http://h"});
    for (config, english, chinese) in [
        (json!({"usage": "yes"}), "usage: expected", "usage: 应为"),
        (json!({"usage": true, "prices": 5}), "prices: expected", "prices: 应为"),
        (json!({"usage": true, "prices": "none.json"}), "prices: cannot read the file", "prices: 无法读取文件"),
        (
            json!({"usage": true, "prices": "torn.json"}),
            "prices: the file of prices is not valid JSON",
            "prices: 价格文件不是有效的 JSON",
        ),
        (
            json!({"usage": true, "prices": "list.json"}),
            "prices: the file of prices is not an object",
            "prices: 价格文件应为一个对象",
        ),
        (
            json!({"usage": true, "prices": "bad.json"}),
            "'output_cost_per_token' of 'm' is not an amount",
            "不是美元金额",
        ),
        (
            json!({"on_client_gone": "stay"}),
            "on_client_gone: expected one of: \"cancel\", \"drain\"",
            "on_client_gone: 应为以下之一: \"cancel\"、\"drain\"",
        ),
        (json!({"drain_timeout": -1}), "drain_timeout: ", "drain_timeout: "),
        (
            json!({"on_client_gone": "drain"}),
            "on_client_gone: answers are read on for their usage figures",
            "on_client_gone: 继续读取响应是为了获得用量",
        ),
        (json!({"prices": "bad.json"}), "prices: no route reads usage along", "prices: 没有任何路由读取用量"),
        (
            json!({"routes": {"a": {"target_url": "http://h", "usage": 1}}}),
            "routes.a.usage: expected",
            "routes.a.usage: 应为",
        ),
        (
            json!({"routes": {"a": {"target_url": "http://h", "on_client_gone": "drain"}}}),
            "routes.a.on_client_gone: answers",
            "routes.a.on_client_gone: 继续",
        ),
        (
            json!({"routes": {"a": {"target_url": "http://h", "drain_timeout": "x"}}}),
            "routes.a.drain_timeout: expected a duration",
            "routes.a.drain_timeout: 应为时长",
        ),
    ] {
        let mut config = config;
        config.as_object_mut().expect("an object").entry("routes").or_insert(json!({"a": route}));
        for (lang, expected) in [("en", english), ("zh", chinese)] {
            let said = check(&config, lang);
            assert!(said.contains(expected) && said.contains("config.json:1:"), "{config}: {said}");
        }
    }
}

#[test]
fn what_an_answer_used_counts_against_limits_that_ask_for_it() {
    let upstream = Upstream::answering(ANSWER);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("prices.json");
    std::fs::write(&file, list(2.5e-06)).expect("writes");
    // Each answer takes 1,100 tokens, and 0.0035 dollars. Nobody has said that usage is to be read along.
    for (limits, code) in [
        (json!({"tokens_per_minute": 2000}), "rate_limited"),
        (json!({"budget": {"tokens": 2000, "per": "day"}}), "budget_exhausted"),
        (json!({"budget": {"usd": 0.006, "per": "month"}}), "budget_exhausted"),
    ] {
        let proxy =
            Proxy::start(&json!({"prices": file, "routes": {"a": {"target_url": upstream.url(), "limits": limits}}}));
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(client.send(POST).answer().status(), 200, "{limits}");
        }
        let refused = client.send(POST).answer();
        assert_eq!((refused.status(), refused.field("x-aqueduct-error")), (429, Some(code)), "{limits}");
        assert_eq!(proxy.logged(|line| line["status"] == 200)["cost_usd"], 0.0035);
    }
    let said = check(
        &json!({"routes": {"a": {"target_url": "http://h", "limits": {"budget": {"usd": 1, "per": "day"}}}}}),
        "en",
    );
    assert!(said.contains("routes.a.limits.budget: without prices"), "{said}");
}
