//! Every command, over configurations that are good, broken, or hold a secret in just the wrong place.

use std::path::Path;

use serde_json::{Value, json};

use super::{Said, secret};
use crate::support::{Authority, aqueduct, write_private};

/// What every configuration here can refer to.
fn run(directory: &Path, arguments: &[&str], said: &mut Said) -> bool {
    let output = aqueduct()
        .current_dir(directory)
        .args(arguments)
        .env("AQ_KEY", secret("variable"))
        .env("AQ_LINES", format!("{}\r\nX: y", secret("lines")))
        .env("HTTP_PROXY", format!("sock5://u:{}@h", secret("http-proxy")))
        .env("ALL_PROXY", format!("http://u:{}@127.0.0.1:1", secret("all-proxy")))
        .env("NO_PROXY", format!("u:{0}@h,http://u:{0}@h,http://u:{0}/x@h", secret("no-proxy")))
        .env("RUST_BACKTRACE", "1")
        .env("RUST_LOG", "trace")
        .output()
        .expect("runs");
    let text = [output.stdout, output.stderr].concat();
    said.add(format!("{arguments:?}"), String::from_utf8_lossy(&text));
    output.status.success()
}

/// A configuration with a secret wherever one belongs. Nobody listens on its port.
fn good(directory: &Path) -> Value {
    let pair = Authority::new().issue();
    json!({
        "server": {"host": "127.0.0.1", "port": 7, "tls": pair.write(directory)},
        "headers_to_drop": ["cookie"],
        "client_keys": {
            "a": {"key": secret("client-key")},
            "b": {"key": "${AQ_KEY}-of-b", "routes": ["a*"], "expires": "2099-01-01"},
            "c": {"key": format!("${{AQ_UNSET:-{}}}", secret("default-of-c")), "enabled": false},
        },
        "no_proxy": ["in.example"],
        "state": format!("redis://{0}:{0}@127.0.0.1:1/0", secret("state")),
        "limits": {"requests_per_minute": 5},
        "routes": {
            "a": {
                "target_url": format!("http://user:{0}@h/base?key={0}&code={0}#{0}", secret("target")),
                "proxy": format!("socks5h://{0}:{0}@h:1", secret("proxy")),
                "custom_headers": {
                    "Authorization": format!("Bearer {}", secret("literal")),
                    "X-Variable": "${AQ_KEY}",
                    "X-Default": format!("${{AQ_UNSET:-{}}}", secret("default")),
                    "X-File": "${file:key.txt}",
                    "Host": secret("host"),
                },
            },
            "b": {
                "target_url": [format!("https://user:{0}@h?key={0}", secret("several")), {"url": "https://i", "priority": 1}],
                "custom_headers": {"x-api-key": [secret("pool-0"), secret("pool-1")]},
                "retry": {"attempts": 2}, "fallback": ["a"], "usage": true,
            },
            "c": {"target_url": "http://h", "custom_headers": {"x-api-key": secret("literal")}},
            "u": {"universal_proxy": true, "custom_headers": {"x-api-key": secret("literal")}},
        },
    })
}

#[test]
fn no_command_shows_a_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    write_private(&directory.path().join("config.json"), &good(directory.path()).to_string());
    write_private(&directory.path().join("key.txt"), &format!("{}\n", secret("file")));
    let mut said = Said::default();
    let bearer = format!("Authorization: Bearer {}", secret("header"));
    let cookie = format!("Cookie: {}", secret("cookie"));
    let broken = format!("Authorization Bearer {}", secret("broken"));
    let query = format!("key={0}&%61pi_key={0}&url=https%3A%2F%2Fu%3A{0}%40h%2F%3Ftoken%3D{0}", secret("query"));
    let asked = ["/a/x", "/b", "/none", "/a/../x", "/u/http://u:{}@h/x", "/u/http%3A%2F%2Fu%3A{}%40h", "/u/u:{}@h"];
    for lang in ["en", "zh"] {
        let mut run = |arguments: &[&str]| run(directory.path(), &[&["--lang", lang], arguments].concat(), &mut said);
        assert!(run(&["check"]) && run(&["-t"]) && run(&["routes"]) && run(&["schema"]));
        assert!(!run(&["healthcheck"]) && !run(&["init"]));
        assert!(run(&["init", &format!("{lang}.json")]) && run(&["--help"]) && run(&["completions", "bash"]));
        for target in asked {
            let target = format!("{}?{query}", target.replace("{}", &secret("login")));
            run(&[
                "explain",
                "GET",
                &target,
                "-H",
                &bearer,
                "-H",
                &cookie,
                "-H",
                "X-Variable: theirs",
                "--client",
                "a",
            ]);
            run(&["explain", "GET", &target, "-H", &format!("x-aqueduct-key: {}", secret("client-key"))]);
            run(&["explain", "GET", &target, "-H", &bearer]);
            run(&["explain", "POST", &target, "-H", &broken]);
            run(&["--base-path", "/a", "explain", "GET", &target]);
        }
    }
    let told = said.0.iter().filter(|(by, text)| by.contains("explain") && text.contains("X-Variable")).count();
    assert!(told >= 4, "explain has told what becomes of headers");
    said.check();
}

/// Values that are refused, or odd, and hold a secret: as the whole configuration, or as what stands in one place of it.
fn broken() -> Vec<String> {
    let it = secret("broken");
    let route =
        |field: &str, value: Value| json!({"routes": {"a": {"target_url": "http://h", field: value}}}).to_string();
    let off = |url: &str| json!({"routes": {"a": {"enabled": false, "target_url": url}}}).to_string();
    let headers = |headers: Value| route("custom_headers", headers);
    let server = |field: &str, value: Value| json!({"server": {field: value}}).to_string();
    let mut all = Vec::new();
    for url in [
        "http://u:{}@h:99999",
        "http://h:{}",
        "u:{}@h",
        "{}@h",
        "http://u:{}/x@h/",
        "ftp://u:{}@h",
        "http://u:{} x@h",
        "http://u:{}\r\n@h",
        "http:\\\\u:{}@h",
        "http:u:{}@h",
        "http:/u:{}@h",
        "http://u:{}@",
        "http://u:{}@v@h",
        "http://u%3A{}%40h",
        "http://u:{}@h h/?key={}",
        "//u:{}@h",
        "http://h/?a=b c#key={}",
        "http://{}@[::1",
        "${{}",
    ] {
        let url = url.replace("{}", &it);
        all.extend([
            route("target_url", json!(url)),
            off(&url),
            off(&format!("http://h/to/http://{url}?next=http://{url}")),
        ]);
        all.extend([route("proxy", json!(url)), json!({"global_proxy": url, "no_proxy": [url]}).to_string()]);
        all.push(json!({"no_proxy": url, "global_proxy": "http://h"}).to_string());
    }
    for url in ["sock5://u:{}@h", "http://u:{}@h/x", "http://u:{}@h?x", "socks4://u:{}@h", "socks5://u:{0}{0}@h"] {
        let url = url.replace("{}", &it).replace("{0}", &it.repeat(20));
        all.extend([route("proxy", json!(url)), json!({"global_proxy": url}).to_string()]);
    }
    for value in [json!([it]), json!({"key": it}), json!([{"a": it}])] {
        all.extend(
            ["target_url", "proxy", "custom_headers", "allow_hosts", "deny_hosts", "timeouts", "http2"]
                .map(|field| route(field, value.clone())),
        );
        all.extend(
            ["port", "host", "listen", "tls", "limits", "workers", "language"]
                .map(|field| server(field, value.clone())),
        );
    }
    for value in [
        json!({"X": format!("{it}\r\nY: z")}),
        json!({"X": format!("{it}\0")}),
        json!({"X": {"a": it}}),
        json!({"X": [it]}),
        json!({format!("Authorization: Bearer {it}"): ""}),
        json!({format!("x-api-key={it}"): ""}),
        json!({"X": "${AQ_LINES}"}),
        json!({"X": it, "x": it}),
        json!({"Connection": it, "Host": format!("{it} x")}),
        json!({"X": format!("${{{it}")}),
        json!({"X": format!("${{AQ_KEY:+{it}}}")}),
        json!({"X": format!("${{{it}1}}")}),
        json!({"X": format!("${{{it} x}}")}),
        json!({"X": format!("${{AQ_KEY}} ${{file:/nowhere/at/all}} {it}")}),
        json!({"X": format!("${{AQ_UNSET}}{it}")}),
        json!({"X": "${AQ_KEY}\n"}),
    ] {
        all.push(headers(value));
    }
    for field in ["port", "log_format", "language", "reload_interval", "shutdown_timeout", "workers", "proxy_protocol"]
    {
        all.push(server(field, json!(it)));
    }
    for client in [
        json!(it),
        json!([it]),
        json!({"key": it}),
        json!({"key": format!("{it} and more of it")}),
        json!({"key": format!("{it}\r\nand-more-of-it")}),
        json!({"key": format!("sha256:{it}")}),
        json!({"key": [it]}),
        json!({"key": format!("${{{it}")}),
        json!({"key": format!("{it}-long-enough"), "expires": it}),
        json!({"key": format!("{it}-long-enough"), "expires": [it]}),
        json!({"key": format!("{it}-long-enough"), "routes": it}),
        json!({"key": format!("{it}-long-enough"), "enabled": it}),
        json!({"password": it}),
    ] {
        all.push(json!({"client_keys": {"a": client, "b": {"key": format!("{it}-of-b")}}}).to_string());
    }
    all.push(
        json!({"client_keys": {"a": {"key": format!("{it}-of-b")}, "b": {"key": format!("{it}-of-b")}}}).to_string(),
    );
    for (field, value) in [
        ("origins", json!([format!("https://u:{it}@h")])),
        ("origins", json!(it)),
        ("headers", json!([format!("x-api-key: {it}")])),
        ("expose", json!([format!("x-api-key={it}")])),
        ("max_age", json!(it)),
    ] {
        all.extend([json!({"cors": {field: value}}).to_string(), route("cors", json!({field: value}))]);
    }
    for url in [
        "redis://u:{}@h:99999",
        "redis://u:{}@h/x",
        "http://u:{}@h",
        "rediss://u:{}@h#{}",
        "{}",
        "unix://{}?pass={}",
        "redis://{} x@h",
    ] {
        let url = url.replace("{}", &it);
        all.push(json!({"state": url, "limits": {"requests_per_minute": 1}}).to_string());
        all.push(json!({"state": [url]}).to_string());
        all.push(json!({"state": url, "state_failure": it, "state_timeout": it}).to_string());
    }
    for field in
        ["retry", "fallback", "usage", "limits", "key_strategy", "sse_keepalive", "on_client_gone", "drain_timeout"]
    {
        for value in
            [json!(it), json!([it]), json!({"a": it}), json!({"attempts": it}), json!({"sticky": format!("x {it}")})]
        {
            all.push(route(field, value));
        }
    }
    for (field, value) in [
        ("prices", json!([it])),
        ("usage", json!(it)),
        ("limits", json!({"budget": it})),
        ("limits", json!({"budget": {"per": it, "usd": it, "tokens": it}})),
        ("on_client_gone", json!(it)),
        ("drain_timeout", json!(it)),
    ] {
        all.push(json!({field: value}).to_string());
    }
    all.push(headers(json!({"X": [it, ""], "Y": [it]})));
    all.push(headers(json!({"X": [it, it]})));
    all.push(route(
        "target_url",
        json!([format!("http://u:{it}@h:x"), {"url": format!("ftp://u:{it}@h"), "weight": it}]),
    ));
    for field in ["max_head_size", "head_timeout", "max_connections"] {
        all.push(server("limits", json!({field: it})));
    }
    all.extend([
        server("base_path", json!(format!("/x?key={it}"))),
        server("trusted_proxies", json!([it, format!("u:{it}@h")])),
        server("listen", json!([format!("u:{it}@h:x"), format!("http://u:{it}@h")])),
        server("password", json!(it)),
        route("api_key", json!(it)),
        route("allow_hosts", json!([format!("u:{it}@h")])),
        json!({"api_key": it, "$schema": it}).to_string(),
        json!({"headers_to_drop": [format!("x-api-key: {it}"), format!("x-api-key={it}")]}).to_string(),
        json!({"routes": {"a": it}}).to_string(),
        json!([it]).to_string(),
        json!(it).to_string(),
        it.clone(),
        // What loses its quotes, its comma, its end.
        format!(r#"{{"routes": {{"a": {{"custom_headers": {{"X": "{it}" "Y": "{it}"}}}}}}}}"#),
        format!(r#"{{"routes": {{"a": {{"custom_headers": {{"X": {it}}}}}}}}}"#),
        format!(r#"{{"routes": {{"a": {{"custom_headers": {{"X": "{it}"#),
        format!("{{\"X\": \"{it}\n\"}}"),
        format!("{{\"X\": \"{it}\\x\"}}"),
        format!("{{\"X\": {{\"{it}\" 1}}}}"),
        format!("{{}} {it}"),
        format!("/* {it}"),
    ]);
    let long = [it.as_str(); 6].join("/+");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &long);
    for key in [
        long.clone(),
        base64.clone(),
        format!("----BEGIN PRIVATE KEY-----\n{base64}\n"),
        format!("{base64}\n{base64}\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN {base64}"),
        format!("-----BEGIN PRIVATE KEY-----\n{long}"),
    ] {
        all.push(server("tls", json!({"cert": key, "key": key})));
        all.push(server("tls", json!({"cert": key, "key": key, "client_ca": key})));
    }
    all
}

#[test]
fn no_complaint_about_a_configuration_shows_a_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut said = Said::default();
    let texts = broken();
    for (number, text) in texts.iter().enumerate() {
        write_private(&directory.path().join("config.json"), text);
        // Both languages read the same findings.
        let lang = ["--lang", ["en", "zh"][number % 2]];
        let before = said.0.len();
        let is_good = run(directory.path(), &[&lang[..], &["check"]].concat(), &mut said);
        let command: &[&str] = if is_good { &["routes"] } else { &["run"] };
        assert_eq!(run(directory.path(), &[&lang[..], command].concat(), &mut said), is_good, "{text}");
        for (by, _) in &mut said.0[before..] {
            *by = format!("{by} of {text}");
        }
    }
    let refused = said.0.iter().filter(|(by, _)| by.contains("\"run\"")).count();
    assert!(refused > 50, "{refused} of {} were refused", texts.len());
    said.check();
}
