//! The commands besides `run` and `check`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Client, Proxy, aqueduct, write_private};

fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = aqueduct().current_dir(directory).args(arguments).output().expect("runs");
    let Output { status, stdout, stderr } = output;
    (status.code().expect("an end"), String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"))
}

fn with(config: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    directory
}

#[test]
fn a_first_run_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    for (lang, hint) in [("en", "aqueduct init   writes one to begin with"), ("zh", "aqueduct init   生成一份初始配置")]
    {
        let (status, out, err) = run(directory.path(), &["--lang", lang]);
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains("config.json") && err.contains(hint) && err.contains("aqueduct demo"), "{err}");
    }
}

#[test]
fn init_writes_what_check_accepts_and_never_twice() {
    for (lang, word) in [("en", "// The port to listen on."), ("zh", "// 监听端口。")] {
        let directory = tempfile::tempdir().expect("a directory");
        let (status, out, _) = run(directory.path(), &["init", "--lang", lang]);
        assert!(status == 0 && out.contains("config.json"), "{out}");
        let text = std::fs::read_to_string(directory.path().join("config.json")).expect("written");
        assert!(text.contains(word), "{text}");
        assert_eq!(run(directory.path(), &["check", "--strict"]).0, 0);
        let (status, _, err) = run(directory.path(), &["init", "--lang", lang]);
        assert!(status == 1 && err.contains("config.json"), "{err}");
        assert_eq!(std::fs::read_to_string(directory.path().join("config.json")).expect("there"), text);
    }
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(run(directory.path(), &["init", "nowhere/x.json"]).0, 1);
}

#[test]
fn explain_says_what_would_happen_and_why() {
    let directory = with(&json!({
        "server": {"base_path": "/byok"},
        "headers_to_drop": ["x-real-ip"],
        "timeouts": {"connect": 5, "total": "1h"},
        "routes": {"a": {
            "target_url": "https://api.example.com/base?v=1", "force_header_overwrite": true, "timeouts": {"idle": 7},
            "custom_headers": {"Authorization": "Bearer sk-secret", "X-New": "sk-secret"},
        }},
    }));
    let (status, out, _) = run(
        directory.path(),
        &[
            "explain",
            "POST",
            "/byok/a/x?key=sk-secret",
            "-H",
            "authorization: mine",
            "-H",
            "X-Real-IP: 1",
            "-H",
            "X-Pass: 1",
            "-H",
            "Connection: x-hop",
            "-H",
            "X-Hop: 1",
            "-H",
            "Content-Type: y",
        ],
    );
    let expected = "   Prefix stripped:  '/byok' -> path: 'a/x?key=***'
➡️  Route 'a' forwards to: https://api.example.com/base/x?v=1&key=***
   Host:             api.example.com
   Way out:          direct
   --- Headers ---
   ❗️  Overwritten:     'authorization'
   🗑️  Dropped:         'X-Real-IP' (named by headers_to_drop)
   ➡️  Passed:          'X-Pass'
   🗑️  Dropped:         'Connection' (belongs to one connection, RFC 9110 section 7.6.1)
   🗑️  Dropped:         'X-Hop' (named by the client's Connection header)
   ➡️  Passed:          'Content-Type'
   ➕  Added:           'X-New'
   Time limits:      connect 5 s, first byte 600 s, idle 7 s, total 3600 s
";
    assert_eq!((status, out.as_str()), (0, expected.replace("a/x?key=***", "a/x").as_str()));
}

#[test]
fn explain_says_where_http_2_is_spoken() {
    let directory = with(&json!({"routes": {
        "two": {"target_url": "https://api.example.com", "http2": true},
        "one": {"target_url": "https://api.example.com"},
    }}));
    let says = |arguments: &[&str]| {
        let (status, out, _) = run(directory.path(), &[&["explain", "GET"], arguments].concat());
        assert_eq!(status, 0, "{arguments:?}");
        out.contains("   Version:          HTTP/2, over TLS only if the upstream agrees\n")
    };
    assert!(says(&["/two"]) && !says(&["/one"]));
    assert!(!says(&["/two", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket"]), "those go over HTTP/1.1");
}

#[test]
fn explain_tells_refusals_and_health_from_requests() {
    let directory = with(&json!({"routes": {"a": {"target_url": "http://h"}}}));
    let (status, out, _) = run(directory.path(), &["explain", "GET", "/"]);
    assert!(status == 0 && out.contains("200"), "{out}");
    for (arguments, word) in [
        (["GET", "/none", "-H", "X: y"], "404 route_not_found"),
        (["GET", "/a/../x", "-H", "X: y"], "400 bad_path"),
        (["TRACE", "/a", "-H", "X: y"], "405 method_not_allowed"),
        (["GET", "/a", "-H", "X : y"], "400 bad_request"),
        (["GET", "no path", "-H", "X: y"], "400 bad_request"),
    ] {
        let (status, _, err) = run(directory.path(), &[&["explain"], &arguments[..]].concat());
        assert!(status == 1 && err.contains(word), "{arguments:?}: {err}");
    }
}

#[test]
fn routes_are_listed_as_in_the_banner() {
    let directory = with(
        &json!({"server": {"base_path": "b", "language": "zh"}, "routes": {"z": {"target_url": "http://h"}, "a": {"universal_proxy": true, "enabled": false}}}),
    );
    let (status, out, _) = run(directory.path(), &["routes"]);
    assert_eq!((status, out.as_str()), (0, "[路由表]\n  ✅ /b/z -> http://h\n  ❌ /b/a -> [万能代理模式]  (已禁用)\n"));
}

#[test]
fn healthcheck_asks_a_running_proxy() {
    let proxy = Proxy::start(&json!({"server": {"base_path": "/byok"}}));
    let port = proxy.address().port();
    let directory = with(&json!({"server": {"host": "0.0.0.0", "port": port, "base_path": "/byok"}}));
    assert_eq!(run(directory.path(), &["healthcheck"]).0, 0);
    drop(proxy);
    let (status, _, err) = run(directory.path(), &["healthcheck", "--lang", "zh"]);
    assert!(status == 1 && err.contains("连接被拒绝"), "{err}");
}

#[test]
fn versions_help_and_completions() {
    let directory = tempfile::tempdir().expect("a directory");
    let (status, out, _) = run(directory.path(), &["--version"]);
    assert_eq!((status, out.as_str()), (0, format!("aqueduct {}\n", env!("CARGO_PKG_VERSION")).as_str()));
    for lang in ["en", "zh"] {
        for command in ["run", "check", "explain", "init", "schema", "routes", "healthcheck", "demo", "completions"] {
            let (status, out, _) = run(directory.path(), &[command, "--help", "--lang", lang]);
            assert!(status == 0 && !out.contains('\u{1b}'), "{command}: {out}");
        }
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (status, out, _) = run(directory.path(), &["completions", shell]);
        assert!(status == 0 && out.contains("healthcheck"), "{shell}");
    }
    assert_eq!(run(directory.path(), &["nonsense"]).0, 2);
    assert_eq!(run(directory.path(), &["--port", "x"]).0, 2);
    assert_eq!(run(directory.path(), &["check", "-c", "nowhere.json"]).0, 2);
}

#[test]
fn the_flag_of_nginx_checks_too() {
    let directory = with(&json!({}));
    assert!(run(directory.path(), &["-t"]).1.starts_with("✅ config.json: good"));
    assert!(run(directory.path(), &["validate"]).1.starts_with("✅ config.json: good"));
}

#[test]
fn colour_is_for_terminals_and_can_be_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    // `script` gives the program a terminal.
    let on_terminal = |environment: &str| {
        let program = env!("CARGO_BIN_EXE_aqueduct");
        let output = Command::new("script")
            .args(["-qec", &format!("{environment} {program} --help"), "/dev/null"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output();
        String::from_utf8_lossy(&output.expect("script is there").stdout).into_owned()
    };
    assert!(on_terminal("TERM=xterm").contains('\u{1b}'));
    assert!(!on_terminal("TERM=xterm NO_COLOR=1").contains('\u{1b}'));
    assert!(!run(directory.path(), &["--help"]).1.contains('\u{1b}'));
}

#[test]
fn the_demonstration_shows_requests_that_work() {
    let mut child =
        aqueduct().args(["demo", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut requests = Vec::new();
    while requests.len() < 3 {
        let line = lines.next().expect("a line").expect("text");
        if line.starts_with("curl ") {
            requests.push(line);
        }
    }
    for (request, word) in requests.iter().zip(["data: [DONE]", "event: message_stop", "\"finishReason\":\"STOP\""]) {
        let output = Command::new("sh").args(["-c", &format!("{request} -s")]).output().expect("runs");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(answer.contains(word) && answer.contains("fake"), "{request}: {answer}");
    }
    child.kill().expect("runs");
    child.wait().expect("ends");
}

#[test]
fn a_proxy_starts_to_serve_in_no_time() {
    // A figure for the benchmark, here only with a generous bound.
    let start = std::time::Instant::now();
    let proxy = Proxy::start(&json!({}));
    assert_eq!(Client::connect(proxy.address()).ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn check_and_the_banner_tell_what_is_configured_on_each_route() {
    let config = serde_json::json!({
        "server": {"host": "127.0.0.1"},
        "state": "redis://:s3cret@127.0.0.1:1/3",
        "client_keys": {"alice": {"key": "alice-has-a-long-s3cret", "limits": {"max_concurrency": 2}}},
        "routes": {
            "plain": {"target_url": "http://h"},
            "off": {"enabled": false, "target_url": "http://h", "usage": true},
            "keys": {"target_url": "http://h", "custom_headers": {"x-api-key": ["s3cret-1", "s3cret-2"]}, "key_strategy": "least_used"},
            "many": {
                "target_url": ["http://h", "http://i"], "retry": {"attempts": 3}, "fallback": ["plain", "keys"],
                "limits": {"requests_per_minute": 60}, "usage": true, "on_client_gone": "drain", "sse_keepalive": "1500ms",
                "sse_keepalive_before_head": true,
            },
            "once": {"target_url": "http://h", "retry": {"attempts": 1}, "fallback": ["plain"]},
        },
    });
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &config.to_string());
    let said = |lang: &str, command: &str| {
        let output = aqueduct().current_dir(directory.path()).args(["--lang", lang, command]).output().expect("runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let notes = "2 targets; up to 3 attempts; fallback: plain, keys; limits: 60 requests a minute; \
                 usage, also of answers whose client leaves; SSE keep-alive: 1.5 s, also before the head of an answer";
    let routes =
        format!("\n[Routes]\n  keys: 2 keys [least_used]\n  many: {notes}\n  once: fallback: plain\n\n[Limits]\n");
    let checked = said("en", "check");
    assert!(checked.contains(&routes), "{checked}");
    assert!(checked.contains("  ✅ alice: every route, 2 at once\n"), "{checked}");
    assert!(checked.contains("  state: on Redis at 127.0.0.1:1; while it is away: open\n"), "{checked}");
    let listed = said("en", "routes");
    assert!(listed.contains("  ✅ /keys -> http://h  (2 keys [least_used])\n"), "{listed}");
    assert!(
        listed.contains("  ✅ /plain -> http://h\n") && listed.contains("  ❌ /off -> http://h  (disabled)\n"),
        "{listed}"
    );
    let checked = said("zh", "check");
    assert!(
        checked.contains(
            "[路由]\n  keys: 2 个密钥 [least_used]\n  many: 2 个目标；最多尝试 3 次；备用路由: plain, keys；"
        ),
        "{checked}"
    );
    assert!(
        checked
            .contains("限制: 每分钟 60 个请求；读取用量，客户端离开后仍读完；SSE 保活: 1.5 秒，响应头到达之前也发\n"),
        "{checked}"
    );
    assert!(!(checked + &listed).contains("s3cret"));
    // Where nothing of it is configured, nothing is said.
    write_private(&directory.path().join("config.json"), r#"{"routes": {"a": {"target_url": "http://h"}}}"#);
    assert!(!said("en", "check").contains("[Routes]"));
}
