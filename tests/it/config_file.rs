//! Files: what is accepted, what is refused, and with which words.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, write_private};

/// Checks a text, and gives the exit status and what was said.
fn check(text: &str, more: impl FnOnce(&mut Command)) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), text);
    let mut command = aqueduct();
    command.current_dir(directory.path()).arg("check");
    more(&mut command);
    said(&command.output().expect("runs"))
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().expect("an end"), String::from_utf8(text).expect("text"))
}

/// Starts with a text that is refused, and gives what was said on standard error.
fn refused(text: &str, lang: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), text);
    let output = aqueduct().current_dir(directory.path()).args(["--lang", lang]).output().expect("runs");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]));
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn every_configuration_of_the_original_loads_and_routes() {
    let examples: Value = serde_json::from_str(include_str!("../fixtures/drop-in.json")).expect("JSON");
    let examples = examples.as_array().expect("a list");
    assert_eq!(examples.len(), 17);
    for example in examples {
        let config = &example["config"];
        let name = example["name"].as_str().expect("a name");
        let (status, said) = check(&config.to_string(), |_| {});
        assert_eq!(status, 0, "{name}: {said}");
        let base_path = config["server"]["base_path"].as_str().unwrap_or_default();
        for (key, route) in config["routes"].as_object().into_iter().flatten() {
            let directory = tempfile::tempdir().expect("a directory");
            write_private(&directory.path().join("config.json"), &config.to_string());
            let explain = |target: &str| {
                let path = format!("{base_path}/{key}{target}");
                let output = aqueduct()
                    .current_dir(directory.path())
                    .args(["explain", "POST", &path, "-H", "Authorization: Bearer theirs"])
                    .output();
                self::said(&output.expect("runs"))
            };
            let proxy = route.get("proxy").filter(|proxy| !proxy.is_null()).unwrap_or(&config["global_proxy"]);
            let way = proxy.as_str().filter(|proxy| !proxy.is_empty()).unwrap_or("direct");
            let (status, said) = explain("/v1/x?a=1");
            if route["universal_proxy"] == true {
                let (status, said) = explain("/https://api.openai.com/v1/models");
                assert!(said.contains(&format!("Way out:          {way}")), "{name}: {key}: {said}");
                assert!(status == 0 && said.contains("https://api.openai.com/v1/models"), "{name}: {key}: {said}");
            } else {
                assert!(said.contains(&format!("Way out:          {way}")), "{name}: {key}: {said}");
                let url = format!("{}/v1/x?a=1", route["target_url"].as_str().expect("a URL"));
                assert!(status == 0 && said.contains(&url), "{name}: {key}: {said}");
                let force = route["force_header_overwrite"]
                    .as_bool()
                    .or(config["force_header_overwrite"].as_bool())
                    .unwrap_or(false);
                if route["custom_headers"].get("Authorization").is_some() {
                    let word = if force { "Overwritten" } else { "Kept" };
                    assert!(
                        said.lines().any(|line| line.contains(word) && line.contains("'Authorization'")),
                        "{name}: {said}"
                    );
                }
                for (header, _) in route["custom_headers"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| *name != "Authorization")
                {
                    assert!(
                        said.lines().any(|line| line.contains("Added") && line.contains(&format!("'{header}'"))),
                        "{name}: {said}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_commented_file_of_the_original_starts() {
    let proxy = Proxy::start_text(include_str!("../fixtures/commented.json"), |_| {});
    let answer = proxy.client().ask("GET /internal_service/x HTTP/1.1\r\nHost: p\r\n\r\n");
    // Nobody listens where its proxy should be.
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (502, Some("upstream_proxy_unreachable")));
    let answer = proxy.client().ask("GET /disabled_api/x HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!(answer.status(), 404);
}

#[test]
fn an_empty_object_is_a_configuration() {
    let (status, said) = check("{}", |_| {});
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("✅ config.json: good"), "{said}");
}

#[test]
fn line_ends_marks_and_comments_do_not_matter() {
    for text in ["\u{feff}{}", "{\r\n\"server\": {\r\n\"port\": \"3000\",\r\n},\r\n}\r\n", "// a\n{} /* b */"] {
        assert_eq!(check(text, |_| {}).0, 0, "{text:?}");
    }
}

#[test]
fn problems_are_told_with_path_line_and_column() {
    let text = "{\n  // 路由\n  \"routes\": {\n    \"openai\": {\"target_url\": 5},\n    \"b\": {\"target_url\": \"api.openai.com\", \"custom_headers\": {\"X y\": \"1\"}}\n  }\n}";
    let (status, said) = check(text, |_| {});
    assert_eq!(status, 1);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "config.json:4:30: routes.openai.target_url: expected a string or an array or null, found a whole number",
            "config.json:5:25: routes.b.target_url: the URL must begin with http:// or https://",
            "config.json:5:62: routes.b.custom_headers[\"X y\"]: 'X y' is not a header name",
            "❌ config.json: 3 errors, 0 warnings",
        ]
    );
    let (_, said) = check(text, |command| {
        command.args(["--lang", "zh"]);
    });
    assert!(
        said.starts_with("config.json:4:30: routes.openai.target_url: 应为字符串或数组或null，实际为整数\n"),
        "{said}"
    );
}

#[test]
fn what_is_refused() {
    for (text, why) in [
        ("", "1:1: not valid JSON"),
        ("[]", "1:1: expected an object, found an array"),
        ("null", "expected an object, found null"),
        ("{\"a\": 1 \"b\": 2}", "1:9: not valid JSON: expected `,` or `}`"),
        ("{ /* x }", "1:3: this comment is never closed"),
        (
            r#"{"server": {"port": true}}"#,
            "1:21: server.port: expected a whole number or a string, found true or false",
        ),
        (r#"{"server": {"port": 65536}}"#, "server.port: expected a number from 0 to 65535"),
        (r#"{"server": {"port": "80x"}}"#, "server.port: expected a port"),
        (r#"{"server": {"host": null}}"#, "server.host: expected a string, found null"),
        (r#"{"server": []}"#, "server: expected an object, found an array"),
        (r#"{"server": {"log_requests": "no"}}"#, "server.log_requests: expected true or false, found a string"),
        (r#"{"server": {"log_format": "xml"}}"#, "server.log_format: expected one of: \"pretty\", \"json\""),
        (r#"{"server": {"base_path": "/a?b"}}"#, "server.base_path: a base path cannot hold"),
        (r#"{"server": {"shutdown_timeout": "soon"}}"#, "server.shutdown_timeout: expected a duration"),
        (r#"{"server": {"limits": {"max_head_size": 0}}}"#, "server.limits.max_head_size: expected a number from 1 to"),
        (r#"{"timeouts": {"idle": -1}}"#, "timeouts.idle: expected a number of at least 0"),
        (r#"{"headers_to_drop": "x"}"#, "headers_to_drop: expected an array, found a string"),
        (r#"{"headers_to_drop": [1]}"#, "headers_to_drop[0]: expected a string"),
        (r#"{"force_header_overwrite": null}"#, "force_header_overwrite: expected true or false, found null"),
        (r#"{"ca_file": "nowhere.pem"}"#, "ca_file: cannot read the file"),
        (r#"{"routes": {"a": 5}}"#, "routes.a: expected an object"),
        (r#"{"routes": {"a": {"enabled": null}}}"#, "routes.a.enabled: expected true or false, found null"),
        (r#"{"routes": {"a": {"custom_headers": null}}}"#, "routes.a.custom_headers: expected an object, found null"),
        (r#"{"routes": {"a": {"target_url": "ftp://h"}}}"#, "only http:// and https:// URLs"),
        (r#"{"routes": {"a": {"target_url": "http://"}}}"#, "the URL has no host"),
        (r#"{"routes": {"a": {"target_url": "http://h:0"}}}"#, "the port is not a number from 1 to 65535"),
        (r#"{"routes": {"a": {"target_url": "http://a b"}}}"#, "white space"),
        (r#"{"routes": {"a": {"target_url": "http://例え.jp"}}}"#, "xn--"),
        (r#"{"routes": {"a": {"custom_headers": {"X": "a\r\nB: c"}}}}"#, "cannot hold line ends"),
        (r#"{"routes": {"a": {"custom_headers": {"X": "a\u0000"}}}}"#, "cannot hold line ends"),
        (r#"{"routes": {"a": {"custom_headers": {"": "a"}}}}"#, "is not a header name"),
        (
            r#"{"routes": {"a": {"custom_headers": {"X": {}}}}}"#,
            "custom_headers.X: expected a string or a number or true or false or null",
        ),
        (r#"{"routes": {"a": {"custom_headers": {"Host": "a/b"}}}}"#, "custom_headers.Host"),
        (
            r#"{"routes": {"a": {"custom_headers": {"X": "${NOT_SET}"}}}}"#,
            "the environment variable NOT_SET is not set",
        ),
        (r#"{"routes": {"a": {"custom_headers": {"X": "${a b}"}}}}"#, "a '${' in it begins none of"),
        (r#"{"routes": {"a": {"custom_headers": {"X": "${file:/nowhere/x}"}}}}"#, "cannot read the file '/nowhere/x'"),
    ] {
        let (status, said) = check(text, |_| {});
        assert!(status == 1 && said.contains(why), "{text}: {said}");
        let message = refused(text, "en");
        assert!(
            message.starts_with("❌ Error: failed to load or reload the configuration file 'config.json': "),
            "{text}: {message}"
        );
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn a_refusal_names_the_file_in_the_words_of_the_original() {
    assert!(refused("{", "zh").starts_with("❌ 错误: 加载或重载配置文件 'config.json' 失败: 1:1: 不是有效的 JSON: "));
    let several = refused(r#"{"routes": {"a": 5, "b": 6}}"#, "zh");
    assert_eq!(several.lines().count(), 3, "{several}");
    assert!(
        several
            .starts_with("❌ 错误: 加载或重载配置文件 'config.json' 失败: 共 2 处问题\n  config.json:1:18: routes.a: "),
        "{several}"
    );
}

#[test]
fn what_is_warned_of() {
    let config = r#"{
      "sever": {}, "server": {"host": "0.0.0.0"}, "headers_to_drop": ["host", "bad name"],
      "routes": {
        "a": {"target_url": "http://h", "custom_headers": {"Connection": "x", "X-A": "1", "x-a": "2"}, "targetURL": ""},
        "b": {}, "c": {"enabled": true}, "u": {"universal_proxy": true}, "x/y": {"target_url": "http://h"},
        "off": {"enabled": false, "target_url": "nonsense"}, "a2": {"target_url": "http://h"}, "a2": {"target_url": "http://h"}
      }
    }"#;
    let (status, said) = check(config, |_| {});
    assert_eq!(status, 0, "{said}");
    for warning in [
        "⚠️  config.json:2:7: sever: unknown field, ignored. Did you mean 'server'?",
        "headers_to_drop[0]: the proxy writes 'host' itself",
        "headers_to_drop[1]: 'bad name' is not a header name",
        "routes.a.custom_headers.Connection: the proxy writes 'Connection' itself",
        "routes.a.custom_headers.x-a: 'x-a' is configured more than once",
        "routes.a.targetURL: unknown field, ignored. Did you mean 'target_url'?",
        "routes.b: the route is empty: it answers 404",
        "routes.c: the route has neither target_url nor universal_proxy: it answers 500",
        "routes.u: this universal route lets everybody",
        "routes[\"x/y\"]: a route key is one path segment",
        "routes.off.target_url: the URL must begin with",
        "routes.a2: this key stands more than once",
    ] {
        assert!(said.contains(warning), "{warning}: {said}");
    }
    assert_eq!(said.matches("⚠️").count(), 12, "{said}");
    let (status, _) = check(config, |command| {
        command.arg("--strict");
    });
    assert_eq!(status, 1);
}

#[test]
fn a_file_of_keys_that_everybody_can_read_is_worth_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let config = |value: &str| {
        json!({"routes": {"a": {"target_url": "http://h", "custom_headers": {"x-api-key": value}}}}).to_string()
    };
    let check =
        || said(&aqueduct().current_dir(directory.path()).arg("check").env("KEY", "k").output().expect("runs")).1;
    std::fs::write(&path, config("sk-1")).expect("writes");
    assert!(check().contains("every user of this machine can read the keys in this file"));
    std::fs::write(&path, config("${KEY}")).expect("writes");
    assert!(!check().contains("every user of this machine"));
    write_private(&path, &config("sk-1"));
    assert!(!check().contains("every user of this machine"));
}

#[test]
fn references_reach_the_upstream() {
    let upstream = Upstream::ok();
    let headers = json!({"A": "${KEY_A}", "B": "${KEY_B:-fallback}", "C": "$${KEY_A} $5", "D": "x${KEY_A}y${KEY_A}"});
    let proxy =
        Proxy::start_with(&json!({"routes": {"a": {"target_url": "${UP}", "custom_headers": headers}}}), |command| {
            command.env("KEY_A", "va").env("UP", upstream.url());
        });
    proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n");
    let request = upstream.request();
    for (name, value) in [("A", "va"), ("B", "fallback"), ("C", "${KEY_A} $5"), ("D", "xvayva")] {
        assert_eq!(request.field(name), Some(value), "{name}");
    }
}

#[test]
fn hosts_may_be_names_and_of_either_family() {
    for (host, shown) in
        [("localhost", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("0.0.0.0", "0.0.0.0"), ("", "0.0.0.0")]
    {
        let proxy = Proxy::start(&json!({"server": {"host": host}}));
        assert!(proxy.out().contains(&format!("http://{shown}:")), "{host}: {}", proxy.out());
        let mut address = proxy.address();
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        assert_eq!(crate::support::Client::connect(address).ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    }
}

#[test]
fn a_taken_port_is_a_message_and_a_status() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    for (lang, words) in [("en", "❌ Error: cannot listen on 127.0.0.1:"), ("zh", "❌ 错误: 无法监听 127.0.0.1:")]
    {
        let directory = tempfile::tempdir().expect("a directory");
        write_private(&directory.path().join("config.json"), "{}");
        let output = aqueduct()
            .current_dir(directory.path())
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--lang", lang])
            .output();
        let (status, said) = said(&output.expect("runs"));
        assert!(status == 1 && said.starts_with(words) && said.contains(&port.to_string()), "{said}");
    }
    // A port that another proxy of ours listens on is taken as well, though the kernel would let them share it.
    let proxy = Proxy::start(&json!({}));
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), "{}");
    let port = proxy.address().port().to_string();
    let output = aqueduct().current_dir(directory.path()).args(["--host", "127.0.0.1", "--port", &port]).output();
    assert_eq!(said(&output.expect("runs")).0, 1);
}

#[test]
fn configurations_are_found_where_they_are_looked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let named = directory.path().join("named.json");
    write_private(&named, r#"{"routes": {"named": {"target_url": "http://h"}}}"#);
    let inner = directory.path().join("inner");
    std::fs::create_dir(&inner).expect("creates");
    let routes = |command: &mut Command| said(&command.current_dir(&inner).arg("routes").output().expect("runs"));
    let (status, text) = routes(&mut aqueduct());
    assert!(status == 1 && text.contains("'config.json'"), "{text}");
    assert!(routes(aqueduct().arg("-c").arg(&named)).1.contains("/named"));
    assert!(routes(aqueduct().env("AQUEDUCT_CONFIG", &named)).1.contains("/named"));
    let mut file = std::fs::File::create(inner.join("config.json")).expect("creates");
    file.write_all(br#"{"routes": {"here": {"target_url": "http://h"}}}"#).expect("writes");
    assert!(routes(&mut aqueduct()).1.contains("/here"));
    assert!(routes(aqueduct().arg("-c").arg(&named)).1.contains("/named"));
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let config = json!({"server": {"base_path": "/file", "log_format": "pretty"}});
    let base_path = |more: &dyn Fn(&mut Command)| {
        let proxy = Proxy::start_with(&config, |command| more(command));
        let answer = proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
        answer.json()["base_path"].as_str().expect("a path").to_owned()
    };
    assert_eq!(base_path(&|_| {}), "/file");
    assert_eq!(base_path(&|command| _ = command.env("AQUEDUCT_BASE_PATH", "/env")), "/env");
    assert_eq!(
        base_path(&|command| _ = command.env("AQUEDUCT_BASE_PATH", "/env").args(["--base-path", "/flag"])),
        "/flag"
    );
    let proxy = Proxy::start_with(&config, |command| {
        command.env("AQUEDUCT_LOG_FORMAT", "json").env("AQUEDUCT_LANG", "zh").env("AQUEDUCT_WORKERS", "2");
    });
    assert!(proxy.out().contains("高级功能代理服务已启动"));
    proxy.client().ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.logged(|line| line["status"] == 200);
}
