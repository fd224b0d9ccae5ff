//! Which way out a request takes: the route's own, the one for all, the environment's, or none; and where that is told.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, write_private};
use crate::ways_out::{GET, LOGIN, keeps_the_password};

/// The way that one request took: `direct`, or the name of the proxy that was asked.
fn taken(config: &Value, set: &[(&str, &str)]) -> &'static str {
    let (target, one, two) = (Upstream::ok(), Upstream::ok(), Upstream::ok());
    let fill = |text: &str| text.replace("TARGET", &target.url()).replace("ONE", &one.url()).replace("TWO", &two.url());
    let config: Value = serde_json::from_str(&fill(&config.to_string())).expect("JSON");
    let proxy = Proxy::start_with(&config, |command| {
        for (name, value) in set {
            command.env(name, fill(value));
        }
    });
    assert_eq!(proxy.client().ask(GET).status(), 200);
    match (target.connections(), one.connections(), two.connections()) {
        (1, 0, 0) => "direct",
        (0, 1, 0) => "ONE",
        (0, 0, 1) => "TWO",
        other => panic!("{other:?}"),
    }
}

fn route(more: &Value) -> Value {
    let mut route = json!({"target_url": "TARGET"});
    route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    route
}

#[test]
fn the_route_comes_first_then_the_file_then_the_environment() {
    let environment =
        [("HTTP_PROXY", "TWO"), ("HTTPS_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")];
    for (config, set, expected) in [
        (json!({"routes": {"a": route(&json!({}))}}), &[][..], "direct"),
        (json!({"routes": {"a": route(&json!({"proxy": "ONE"}))}}), &[], "ONE"),
        (json!({"global_proxy": "ONE", "routes": {"a": route(&json!({}))}}), &[], "ONE"),
        (json!({"global_proxy": "ONE", "routes": {"a": route(&json!({"proxy": null}))}}), &[], "ONE"),
        (json!({"global_proxy": "ONE", "routes": {"a": route(&json!({"proxy": "TWO"}))}}), &[], "TWO"),
        (json!({"global_proxy": "ONE", "routes": {"a": route(&json!({"proxy": ""}))}}), &[], "direct"),
        (json!({"routes": {"a": route(&json!({}))}}), &environment, "TWO"),
        (json!({"global_proxy": null, "routes": {"a": route(&json!({}))}}), &environment, "TWO"),
        (json!({"routes": {"a": route(&json!({"proxy": "ONE"}))}}), &environment, "ONE"),
        (json!({"global_proxy": "ONE", "routes": {"a": route(&json!({}))}}), &environment, "ONE"),
        (json!({"routes": {"a": route(&json!({"proxy": ""}))}}), &environment, "direct"),
        (json!({"global_proxy": "", "routes": {"a": route(&json!({}))}}), &environment, "direct"),
        (json!({"global_proxy": "  ", "routes": {"a": route(&json!({}))}}), &environment, "direct"),
    ] {
        assert_eq!(taken(&config, set), expected, "{config} {set:?}");
    }
}

#[test]
fn the_environment_speaks_in_either_case() {
    let config = json!({"routes": {"a": route(&json!({}))}});
    for (set, expected) in [
        (&[("http_proxy", "ONE")][..], "ONE"),
        (&[("HTTP_PROXY", "ONE")], "ONE"),
        (&[("all_proxy", "ONE")], "ONE"),
        (&[("ALL_PROXY", "ONE")], "ONE"),
        (&[("http_proxy", "ONE"), ("HTTP_PROXY", "TWO"), ("ALL_PROXY", "TWO")], "ONE"),
        (&[("http_proxy", ""), ("HTTP_PROXY", "TWO")], "TWO"),
        (&[("https_proxy", "ONE"), ("HTTPS_PROXY", "ONE")], "direct"),
        (&[("HTTP_PROXY", "ONE"), ("NO_PROXY", "127.0.0.1")], "direct"),
        (&[("HTTP_PROXY", "ONE"), ("no_proxy", "example.com,127.0.0.0/8")], "direct"),
        (&[("HTTP_PROXY", "ONE"), ("no_proxy", "*")], "direct"),
        (&[("HTTP_PROXY", "ONE"), ("no_proxy", "localhost")], "ONE"),
    ] {
        assert_eq!(taken(&config, set), expected, "{set:?}");
    }
}

#[test]
fn no_proxy_of_the_file_is_for_all_but_a_routes_own_proxy() {
    for (no_proxy, proxy, set, expected) in [
        (json!("127.0.0.1"), json!(null), &[][..], "direct"),
        (json!("localhost, 127.0.0.0/8"), json!(null), &[], "direct"),
        (json!(["localhost", "127.0.0.1"]), json!(null), &[], "direct"),
        (json!(["*"]), json!(null), &[], "direct"),
        (json!(["localhost", "10.0.0.0/8"]), json!(null), &[], "TWO"),
        (json!([]), json!(null), &[], "TWO"),
        (json!("*"), json!("ONE"), &[], "ONE"),
        (json!(null), json!(null), &[], "TWO"),
        // What the environment excepts is excepted from its own proxies only.
        (json!([]), json!(null), &[("NO_PROXY", "*")], "TWO"),
    ] {
        let config =
            json!({"global_proxy": "TWO", "no_proxy": no_proxy, "routes": {"a": route(&json!({"proxy": proxy}))}});
        assert_eq!(taken(&config, set), expected, "{config}");
    }
    let config = json!({"no_proxy": "127.0.0.1", "routes": {"a": route(&json!({}))}});
    assert_eq!(taken(&config, &[("HTTP_PROXY", "ONE")]), "direct");
}

#[test]
fn a_universal_route_decides_by_each_target() {
    let (upstream, upstream_proxy) = (Upstream::ok(), Upstream::ok());
    let config = json!({
        "global_proxy": upstream_proxy.url(), "no_proxy": "127.0.0.1", "routes": {"u": {"universal_proxy": true}},
    });
    let proxy = Proxy::start(&config);
    let get = |url: &str| proxy.client().ask(format!("GET /u/{url} HTTP/1.1\r\nHost: p\r\n\r\n")).status();
    assert_eq!(get(&format!("{}/x", upstream.url())), 200);
    assert_eq!((upstream.request().target(), upstream_proxy.connections()), ("/x", 0));
    assert_eq!(get("http://target.invalid/x"), 200);
    assert_eq!((upstream_proxy.request().target(), upstream.connections()), ("http://target.invalid/x", 1));
}

#[test]
fn a_variable_that_names_no_proxy_stops_its_routes_and_is_told() {
    let target = Upstream::ok();
    let config = json!({"server": {"log_format": "pretty"}, "routes": {
        "a": {"target_url": target.url()},
        "u": {"universal_proxy": true},
        "own": {"target_url": target.url(), "proxy": ""},
        "tls": {"target_url": "https://127.0.0.1:1"},
    }});
    let url = format!("gopher://{LOGIN}@h");
    let proxy = Proxy::start_with(&config, |command| {
        command.env("http_proxy", &url);
    });
    proxy.complains("⚠️  the environment variable http_proxy does not hold the URL of a proxy.");
    proxy.says(&format!("✅ /a -> {}  (proxy: ⚠️ (http_proxy in the environment))", target.url()));
    let mut answers = Vec::new();
    for path in ["/a".to_owned(), format!("/u/{}", target.url())] {
        let answer = proxy.client().ask(format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n"));
        let route = &path[1..2];
        let expected =
            json!({"error": format!("Route '{route}' has no usable upstream proxy."), "code": "route_misconfigured"});
        assert_eq!((answer.status(), answer.json()), (500, expected));
        proxy.complains("❌ Request failed: the environment names no usable proxy for this route: http_proxy  (#");
        answers.push(answer.text());
    }
    assert_eq!(target.connections(), 0, "nothing goes out directly");
    for (path, status) in [("/own", 200), ("/tls", 502)] {
        assert_eq!(proxy.client().ask(format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n")).status(), status);
    }
    keeps_the_password(&proxy, &answers);
}

#[test]
fn a_reload_changes_the_way() {
    let (target, one, two) = (Upstream::ok(), Upstream::ok(), Upstream::ok());
    let config = |proxy: &Upstream| {
        let server = json!({"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"});
        json!({"server": server, "global_proxy": proxy.url(), "routes": {"a": {"target_url": target.url()}}})
    };
    let proxy = Proxy::start(&config(&one));
    proxy.client().ask(GET);
    write_private(&proxy.config_path(), &config(&two).to_string());
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    proxy.client().ask(GET);
    assert_eq!((target.connections(), one.connections(), two.connections()), (0, 1, 1));
}

/// What a command says of a configuration.
fn command(config: &Value, arguments: &[&str], more: impl FnOnce(&mut Command)) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    let mut command = aqueduct();
    command.current_dir(directory.path()).args(arguments);
    more(&mut command);
    let output = command.output().expect("runs");
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().expect("an end"), String::from_utf8(text).expect("text"))
}

#[test]
fn explain_says_which_way_and_why() {
    let config = json!({
        "global_proxy": format!("http://{LOGIN}@proxy.example:3128"),
        "no_proxy": ["in.example", "10.0.0.0/8"],
        "routes": {
            "global": {"target_url": "https://api.example"},
            "own": {"target_url": "https://api.example", "proxy": format!("socks5h://{LOGIN}@socks.example")},
            "none": {"target_url": "https://api.example", "proxy": ""},
            "in": {"target_url": "https://x.in.example"},
            "u": {"universal_proxy": true},
            "plain": {"target_url": "http://api.example"},
        },
    });
    let way = |path: &str, lang: &str, config: &Value, set: &[(&str, &str)]| {
        let (status, said) = command(config, &["explain", "GET", path, "--lang", lang], |command| {
            command.envs(set.iter().copied());
        });
        assert!(status == 0 && !said.contains("w0nder") && !said.contains("al%20ice"), "{said}");
        let mark = if lang == "zh" { "   出口:         " } else { "   Way out:          " };
        said.lines().find_map(|line| line.strip_prefix(mark)).expect("a line").to_owned()
    };
    for (path, english, chinese) in [
        ("/global", "http://***@proxy.example:3128 (global_proxy)", "http://***@proxy.example:3128 (global_proxy)"),
        (
            "/own",
            "socks5h://***@socks.example:1080 (the route's proxy)",
            "socks5h://***@socks.example:1080 (路由的 proxy)",
        ),
        ("/none", "direct (the route's proxy is \"\")", "直连 (路由的 proxy 为 \"\")"),
        ("/in", "direct (no_proxy: in.example)", "直连 (no_proxy: in.example)"),
        ("/u/http://10.9.9.9/x", "direct (no_proxy: 10.0.0.0/8)", "直连 (no_proxy: 10.0.0.0/8)"),
        (
            "/u/https://x.example/x",
            "http://***@proxy.example:3128 (global_proxy)",
            "http://***@proxy.example:3128 (global_proxy)",
        ),
    ] {
        assert_eq!(
            (way(path, "en", &config, &[]), way(path, "zh", &config, &[])),
            (english.into(), chinese.into()),
            "{path}"
        );
    }
    let (_, said) = command(&config, &["explain", "GET", "/plain"], |_| {});
    assert!(said.contains("Added:           'Proxy-Authorization'"), "{said}");

    let bare = json!({"routes": {"a": {"target_url": "https://api.example"}}});
    let url = format!("{LOGIN}@p.example:8");
    let set = [("HTTPS_PROXY", &*url), ("no_proxy", "*.api.example .example:8")];
    assert_eq!(way("/a", "en", &bare, &[]), "direct");
    assert_eq!(way("/a", "en", &bare, &set), "http://***@p.example:8 (HTTPS_PROXY in the environment)");
    assert_eq!(way("/a", "zh", &bare, &set), "http://***@p.example:8 (环境变量 HTTPS_PROXY)");
    let excepted = [set[0], ("NO_PROXY", "x, .example")];
    assert_eq!(way("/a", "en", &bare, &excepted), "direct (NO_PROXY in the environment: .example)");
    assert_eq!(way("/a", "zh", &bare, &excepted), "直连 (环境变量 NO_PROXY: .example)");
    let none = json!({"global_proxy": "", "routes": {"a": {"target_url": "https://api.example"}}});
    assert_eq!(way("/a", "en", &none, &set), "direct (global_proxy is \"\")");
    assert_eq!(way("/a", "zh", &none, &set), "直连 (global_proxy 为 \"\")");

    let (status, said) = command(&bare, &["explain", "GET", "/a"], |command| {
        command.env("HTTPS_PROXY", "http://:0");
    });
    assert!(status == 1 && said.contains("500 route_misconfigured"), "{said}");
}

#[test]
fn the_banner_says_which_way_and_why() {
    let config = json!({
        "server": {"language": "zh"},
        "global_proxy": format!("http://{LOGIN}@127.0.0.1:7890"),
        "no_proxy": ["localhost", "10.0.0.0/8"],
        "headers_to_drop": ["X"],
        "routes": {
            "a": {"target_url": "https://api.example", "force_header_overwrite": true},
            "own": {"target_url": "https://api.example", "proxy": format!("socks5://{LOGIN}@h")},
            "none": {"target_url": "https://api.example", "proxy": ""},
            "in": {"target_url": "http://localhost:1"},
            "u": {"universal_proxy": true},
            "off": {"target_url": "https://api.example", "enabled": false, "proxy": "nonsense://"},
        },
    });
    let proxy = Proxy::start(&config);
    proxy.says(
        "  - 全局Header策略: 🔄 优先客户端
  - 全局转发代理: http://***@127.0.0.1:7890
  - 直连目标 (no_proxy): localhost, 10.0.0.0/8
  - 移除客户端Header: X
",
    );
    proxy.says(
        "[路由表]
  ✅ /a -> https://api.example  (❗️ 强制覆盖Header, 代理: http://***@127.0.0.1:7890 (global_proxy))
  ✅ /own -> https://api.example  (代理: socks5://***@h:1080)
  ✅ /none -> https://api.example  (代理: 直连 (路由的 proxy 为 \"\"))
  ✅ /in -> http://localhost:1  (代理: 直连 (no_proxy: localhost))
  ✅ /u -> [万能代理模式]  (代理: http://***@127.0.0.1:7890)
  ❌ /off -> https://api.example  (已禁用)
",
    );
    keeps_the_password(&proxy, &[]);

    let routes = json!({"a": {"target_url": "https://h"}, "b": {"target_url": "http://h"}, "u": {"universal_proxy": true}, "n": {"target_url": "http://h", "proxy": ""}});
    let proxy = Proxy::start_with(&json!({"routes": routes}), |command| {
        let url = format!("http://{LOGIN}@p:1");
        command.env("HTTPS_PROXY", url).env("http_proxy", "q:2").env("NO_PROXY", "x.example, 10.0.0.0/8");
    });
    proxy.says(
        "  - Upstream proxy: http://***@p:1 (HTTPS_PROXY in the environment)
  - Upstream proxy: http://q:2 (http_proxy in the environment)
  - Reached directly (NO_PROXY): x.example, 10.0.0.0/8
",
    );
    proxy.says(
        "  ✅ /a -> https://h  (proxy: http://***@p:1 (HTTPS_PROXY in the environment))
  ✅ /b -> http://h  (proxy: http://q:2 (http_proxy in the environment))
  ✅ /u -> [universal proxy]  (proxy: http://***@p:1 (HTTPS_PROXY in the environment), http://q:2 (http_proxy in the environment))
  ✅ /n -> http://h  (proxy: direct (the route's proxy is \"\"))
",
    );
    keeps_the_password(&proxy, &[]);

    let proxy = Proxy::start(&json!({"no_proxy": "x", "routes": {"a": {"target_url": "http://h", "proxy": ""}}}));
    proxy.says("  ✅ /a -> http://h\n");
    assert!(!proxy.out().to_lowercase().contains("proxy:"), "{}", proxy.out());
}

#[test]
fn bad_proxies_in_the_file_are_errors_with_their_place() {
    let scheme = "expected a proxy URL: http://, https://, socks5://, socks5h://, socks4:// or socks4a://";
    for (proxy, said) in [
        (format!("gopher://{LOGIN}@h"), scheme),
        (format!("http://{LOGIN}@h/path"), scheme),
        (format!("http://{LOGIN}@"), "the URL has no host"),
        (format!("http://{LOGIN}@h:99999"), "the port is not a number from 1 to 65535"),
        (format!("http://{LOGIN}@a b"), "the host is not valid"),
        (format!("http://w0nder {LOGIN}@h"), "what stands before '@' is not user:password"),
        (format!("socks4://{LOGIN}@h"), "SOCKS5 carries names and passwords of up to 255 bytes"),
    ] {
        for (config, place) in [
            (json!({"global_proxy": proxy}), "config.json:1:17: global_proxy: "),
            (
                json!({"routes": {"a": {"proxy": proxy, "target_url": "http://h"}}}),
                "config.json:1:25: routes.a.proxy: ",
            ),
        ] {
            for arguments in [&["check"][..], &["explain", "GET", "/a"], &["run"], &["routes"]] {
                let (status, told) = command(&config, arguments, |_| {});
                let place = if arguments == ["check"] { place } else { place.trim_start_matches("config.json:") };
                assert!(status != 0 && told.contains(&format!("{place}{said}")), "{arguments:?} {proxy}: {told}");
                assert!(!told.contains("w0nder"), "{told}");
            }
        }
    }
    let (_, told) = command(&json!({"global_proxy": "x://"}), &["check", "--lang", "zh"], |_| {});
    assert!(told.starts_with("config.json:1:17: global_proxy: 应为代理 URL: http://、https://、socks5://"), "{told}");
}

#[test]
fn bad_exceptions_in_the_file_are_errors_and_in_the_environment_warnings() {
    let (status, told) = command(&json!({"no_proxy": ["a.example", "10.0.0.0/33"]}), &["check"], |_| {});
    assert_eq!(status, 1);
    assert!(told.starts_with("config.json:1:26: no_proxy[1]: '10.0.0.0/33' is no name, address or network"), "{told}");
    let (status, told) = command(&json!({"no_proxy": format!("a, http://{LOGIN}@h")}), &["check"], |_| {});
    assert_eq!(status, 1);
    assert!(told.starts_with("config.json:1:13: no_proxy: 'http://***@h' is no name"), "{told}");
    let (status, told) = command(&json!({"no_proxy": 5}), &["check"], |_| {});
    assert!(
        status == 1 && told.contains("no_proxy: expected an array or a string or null, found a whole number"),
        "{told}"
    );

    let config = json!({"routes": {"a": {"target_url": "http://h"}}});
    let set = [("HTTP_PROXY", "http://h"), ("NO_PROXY", "a.example, <local>")];
    let (status, told) = command(&config, &["check"], |command| {
        command.envs(set);
    });
    assert_eq!(status, 0);
    assert!(told.starts_with("⚠️  '<local>' is no name, address or network such as 10.0.0.0/8; it stands in the environment variable NO_PROXY and is ignored\n"), "{told}");
    let (_, told) = command(&config, &["check", "--lang", "zh"], |command| {
        command.env("https_proxy", "http://");
    });
    assert!(told.starts_with("⚠️  环境变量 https_proxy 的值不是代理 URL。"), "{told}");
}

#[test]
fn the_demonstration_needs_no_proxy() {
    let mut command = aqueduct();
    command.args(["demo", "--port", "0", "--lang", "en"]).env("ALL_PROXY", "http://127.0.0.1:1");
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).expect("text");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(". ").next()).expect("an address");
    let address = address.parse().expect("an address");
    let mut client = crate::support::Client::connect(address);
    let answer = client.ask("GET /openai/v1/models HTTP/1.1\r\nHost: p\r\n\r\n");
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(answer.status(), 200, "{}", answer.text());
}
