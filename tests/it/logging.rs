//! Banner and log: the words are the interface, and no secret stands in them.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, aqueduct, eventually};

fn pretty(config: &mut Value, lang: &str) {
    config["server"]["log_format"] = json!("pretty");
    config["server"]["language"] = json!(lang);
}

#[test]
fn the_chinese_banner() {
    let config = json!({
        "server": {"host": "127.0.0.1", "port": 0, "base_path": "/api/v1", "reload_interval": 5, "log_requests": true},
        "force_header_overwrite": true,
        "headers_to_drop": ["x-forwarded-for", "X-Real-Ip"],
        "routes": {
            "openai": {"target_url": "https://api.openai.com", "force_header_overwrite": true},
            "proxy": {"universal_proxy": true},
            "broken": {"enabled": true},
            "disabled-route": {"target_url": "https://example.com", "enabled": false},
            "client": {"target_url": "https://u:p@example.com/x?key=sk-1", "force_header_overwrite": false},
        },
    });
    let proxy = Proxy::start_text(&config.to_string(), |command| {
        command.env("LC_ALL", "zh_CN.UTF-8");
    });
    let expected = format!(
        "============================================================
🚀 高级功能代理服务已启动
============================================================

[全局配置]
  - 版本: {}
  - 配置文件: config.json
  - 监听地址: http://{}
  - 基础路径 (base_path): /api/v1
    → 前端反代示例: https://your-domain.com/api/v1/openai/v1/chat/completions
  - 请求日志: ✅ 已开启
  - 配置热重载: ✅ 已开启 (每 5 秒检查一次)
  - 全局Header策略: ❗️ 强制覆盖
  - 移除客户端Header: x-forwarded-for, X-Real-Ip

[路由表]
  ✅ /api/v1/openai -> https://api.openai.com  (❗️ 强制覆盖Header)
  ✅ /api/v1/proxy -> [万能代理模式]
  ✅ /api/v1/broken -> [⚠️ 缺少目标URL]
  ❌ /api/v1/disabled-route -> https://example.com  (已禁用)
  ✅ /api/v1/client -> https://***@example.com/x?key=***  (🔄 优先客户端Header)

============================================================
...等待请求...

",
        env!("CARGO_PKG_VERSION"),
        proxy.address()
    );
    assert_eq!(proxy.says("...等待请求...\n\n").out(), expected);
}

#[test]
fn the_banner_without_anything() {
    let proxy = Proxy::start_text(
        r#"{"server": {"port": 0, "host": "127.0.0.1", "log_requests": false, "reload_interval": 0}}"#,
        |command| {
            command.args(["--lang", "zh"]);
        },
    );
    for line in [
        "  - 基础路径 (base_path): (未配置)\n",
        "  - 请求日志: ❌ 已关闭\n",
        "  - 配置热重载: ✅ 已开启 (实时监控)\n",
        "  - 全局Header策略: 🔄 优先客户端\n",
        "[路由表]\n  - ⚠️  未配置任何路由。\n",
    ] {
        assert!(proxy.out().contains(line), "{line}: {}", proxy.out());
    }
    assert!(!proxy.out().contains("→") && !proxy.out().contains("移除客户端Header"));
}

#[test]
fn a_request_is_told_in_the_words_of_the_original() {
    let upstream = Upstream::ok();
    let mut config = json!({
        "server": {"base_path": "/api/v1"},
        "headers_to_drop": ["X-Drop"],
        "routes": {"openai": {
            "target_url": upstream.url(),
            "force_header_overwrite": true,
            "custom_headers": {"Authorization": "Bearer sk-secret", "X": "ours"},
        }},
    });
    pretty(&mut config, "zh");
    let proxy = Proxy::start(&config);
    let request = "POST /api/v1/openai/v1/chat?a=1&key=sk-query HTTP/1.1\r\nHost: p\r\nx: theirs\r\nx-drop: 1\r\n\r\n";
    assert_eq!(proxy.client().ask(request).status(), 200);
    let out = proxy.says("⬅️  响应状态:      200").out();
    let block = out.split("...等待请求...\n\n").nth(1).expect("a block");
    let id = block.lines().next().and_then(|line| line.split('#').nth(1)).expect("a name").to_owned();
    let expected = format!(
        "⬇️  收到请求:      POST /api/v1/openai/v1/chat?a=1&key=***  #{id}
   剥离前缀:      '/api/v1' -> 有效路径: 'openai/v1/chat'
➡️  路由 'openai' 转发到: {}/v1/chat
   携带参数:     {{'a': '1', 'key': '***'}}
   --- Header 处理 ---
   ❗️  强制覆盖Header:  'x'
   🗑️  移除Header:      'x-drop'
   ➕  添加Header:      'Authorization'
   -------------------
⬅️  响应状态:      200",
        upstream.url()
    );
    assert!(block.starts_with(&expected), "{block}");
    let last = block.lines().last().expect("a line");
    assert!(last.contains("(openai, ") && last.ends_with(&format!("#{id})")), "{last}");
}

#[test]
fn a_request_is_told_in_english_with_the_same_shape() {
    let upstream = Upstream::ok();
    let mut config = json!({"routes": {
        "a": {"target_url": upstream.url(), "custom_headers": {"X": "ours"}},
        "proxy": {"universal_proxy": true},
    }});
    pretty(&mut config, "en");
    let proxy = Proxy::start(&config);
    proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\nX: theirs\r\n\r\n");
    proxy
        .says("⬇️  Request:          GET /a?  #")
        .says("   🔄  Kept:            'X'\n")
        .says("⬅️  Status:           200  (a, ");
    proxy.client().ask(format!("GET /proxy/{}/x HTTP/1.1\r\nHost: p\r\n\r\n", upstream.url()));
    proxy.says(&format!("🔗 [universal] Route 'proxy' forwards to: {}/x\n", upstream.url()));
}

#[test]
fn failures_are_told_where_they_belong() {
    let mut config =
        json!({"routes": {"down": {"target_url": "http://127.0.0.1:1"}, "proxy": {"universal_proxy": true}}});
    config["routes"]["way"] = json!({"target_url": "http://127.0.0.1:1", "proxy": "http://127.0.0.1:2"});
    pretty(&mut config, "zh");
    let proxy = Proxy::start(&config);
    proxy.says("✅ /way -> http://127.0.0.1:1  (代理: http://127.0.0.1:2)");
    proxy.client().ask("GET /way HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.says("   使用代理:     http://127.0.0.1:2\n");
    proxy.complains("❌ 请求转发失败: 无法连接转发代理: 连接被拒绝").says("⬅️  响应状态:      502  (way, ");
    proxy.client().ask("GET /down HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.complains("❌ 请求转发失败: 无法连接上游: 连接被拒绝").says("⬅️  响应状态:      502  (down, ");
    proxy.client().ask("GET /proxy/nonsense HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.says("⚠️  万能路由错误: 目标 URL 无效").says("⬅️  响应状态:      400");
    proxy.client().ask("GET /down HTTP/1.1\r\n\r\n");
    proxy.says("⚠️  无效请求: 请求无效: the Host field is missing");
    proxy.client().ask("GET /none HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.says("⬇️  收到请求:      GET /none?").says("⬅️  响应状态:      404");
}

#[test]
fn an_answer_that_breaks_off_is_told() {
    let upstream = Upstream::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let mut config = json!({"routes": {"a": {"target_url": upstream.url()}}});
    pretty(&mut config, "zh");
    let proxy = Proxy::start(&config);
    proxy.client().ask("GET /a HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.says("✂️  响应中断: upstream_cut  (a, ");
}

#[test]
fn lines_cannot_be_forged() {
    let mut config = json!({"routes": {"proxy": {"universal_proxy": true}}});
    pretty(&mut config, "en");
    let proxy = Proxy::start(&config);
    let before = proxy.out().lines().count();
    // A bare ESC and line ends, once as bytes that a target may hold and once escaped.
    proxy.client().ask("GET /x\u{80}\u{9b}2J%0a%1b[2J HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.client().ask("GET /proxy/http%3A%2F%2Fh%2F%0aforged%1b[2J HTTP/1.1\r\nHost: p\r\n\r\n");
    proxy.says("⚠️  Universal route error");
    eventually("both are told", || proxy.out().matches("⬅️").count() == 2);
    assert!(!proxy.out().contains('\u{1b}') && !proxy.out().contains('\u{9b}'));
    assert!(!proxy.out().lines().any(|line| line.starts_with("forged")));
    assert!(proxy.out().lines().count() - before < 10);
}

#[test]
fn silence_when_it_is_asked_for() {
    let upstream = Upstream::ok();
    let config = json!({"server": {"log_requests": false}, "routes": {"a": {"target_url": upstream.url()}, "down": {"target_url": "http://127.0.0.1:1"}}});
    let mut proxy = Proxy::start(&config);
    let banner = proxy.out();
    for target in ["/a", "/down", "/none", "/"] {
        proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: p\r\n\r\n"));
    }
    proxy.signal("TERM");
    proxy.ended();
    eventually("the end is told", || proxy.out().contains("Stopped"));
    assert!(proxy.out()[banner.len()..].lines().all(|line| line.contains("Stop")), "{}", proxy.out());
    assert_eq!(proxy.err(), "");
}

#[test]
fn one_json_object_for_each_request() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        script.stream().set_read_timeout(Some(std::time::Duration::from_millis(60)))?;
        let _ = script.some();
        script.send("1\r\n!\r\n0\r\n\r\n")
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    let peer = client.stream().local_addr().expect("connected").to_string();
    client.ask(
        "POST /a/x?q=1&api_key=sk-1 HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    let line = proxy.logged(|_| true);
    let names: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ts",
            "id",
            "peer",
            "route",
            "method",
            "path",
            "status",
            "code",
            "upstream",
            "proxy",
            "attempts",
            "bytes_in",
            "bytes_out",
            "ttfb_ms",
            "duration_ms",
            "max_gap_ms",
            "end"
        ]
    );
    let expected = json!({
        "peer": peer, "route": "a", "method": "POST", "path": "/a/x?q=1&api_key=***", "status": 200, "code": null,
        "upstream": upstream.url(), "attempts": 1, "bytes_in": 2, "bytes_out": 6, "end": "done",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&line[name], value, "{name}");
    }
    let number = |name: &str| line[name].as_f64().expect("a number");
    assert!(
        number("max_gap_ms") >= 50.0
            && number("duration_ms") >= number("max_gap_ms")
            && number("ttfb_ms") <= number("duration_ms"),
        "{line}"
    );
    let health = client.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n");
    let line = proxy.logged(|line| line["path"] == "/");
    assert_eq!((line["end"].as_str(), &line["route"], &line["upstream"]), (Some("done"), &Value::Null, &Value::Null));
    assert_eq!(line["bytes_out"].as_u64(), Some(health.body.len() as u64), "{line}");
    let refusal = client.send("nonsense\r\n\r\n").answer();
    let line = proxy.logged(|line| line["method"].is_null());
    assert_eq!(line["bytes_out"].as_u64(), Some(refusal.body.len() as u64), "{line}");
    assert_eq!(
        (line["status"].as_u64(), line["code"].as_str(), line["end"].as_str()),
        (Some(400), Some("bad_request"), Some("refused"))
    );
}

#[test]
fn no_secret_is_ever_written() {
    let upstream = Upstream::ok();
    let secrets = ["sk-configured", "sk-client", "sk-query", "sk-token", "upass", "tpass", "cookie-secret"];
    for format in ["pretty", "json"] {
        let config = json!({
            "server": {"log_format": format},
            "routes": {
                "a": {"target_url": format!("http://tuser:tpass@{}", upstream.address()), "custom_headers": {"x-api-key": "sk-configured"}},
                "proxy": {"universal_proxy": true},
                "down": {"target_url": "http://tuser:tpass@127.0.0.1:1"},
            },
        });
        let proxy = Proxy::start(&config);
        let headers = "Authorization: Bearer sk-client\r\nx-goog-api-key: sk-client\r\nCookie: cookie-secret\r\n";
        for target in [
            "/a/x?key=sk-query&access_token=sk-token".to_owned(),
            "/down?key=sk-query".into(),
            format!("/proxy/http://u:upass@{}/x?key=sk-query", upstream.address()),
            format!("/proxy/http%3A%2F%2Fu%3Aupass%40{}%2Fx%3Fkey%3Dsk-query", upstream.address()),
            "/proxy/ftp://u:upass@h/?key=sk-query".into(),
            "/none?token=sk-token".into(),
        ] {
            let answer = proxy.client().ask(format!("GET {target} HTTP/1.1\r\nHost: p\r\n{headers}\r\n"));
            for secret in secrets {
                assert!(!answer.text().contains(secret), "{target}: {}", answer.text());
            }
        }
        proxy.client().ask(format!("GET /a?key=sk-query HTTP/1.1\r\n{headers}\r\n"));
        proxy.says("none");
        let written = format!("{}{}", proxy.out(), proxy.err());
        for secret in secrets {
            assert!(!written.contains(secret), "{secret} in {written}");
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_request() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let config = json!({"server": {"host": "127.0.0.1", "port": port, "workers": 1}, "routes": {"a": {"target_url": upstream.url()}}});
    crate::support::write_private(&directory.path().join("config.json"), &config.to_string());
    let mut child =
        aqueduct().current_dir(directory.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let address = ([127, 0, 0, 1], port).into();
    eventually("it listens", || std::net::TcpStream::connect(address).is_ok());
    let mut client = crate::support::Client::connect(address);
    // A pipe holds 64 KiB; this is many times as much, and more than the queue of lines.
    for _ in 0..6000 {
        assert_eq!(client.ask("GET /a/with/a/path/of/some/length HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    }
    let status = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("kill");
    assert!(status.success());
    assert!(child.wait().expect("it ends").success());
}
