//! The contract as real programs see it: official SDKs, curl, nginx in front.

use aqueduct::demo::{KEY, Provider};
use serde_json::{Value, json};

use crate::support::{Nginx, Proxy, Upstream, curl, python};

/// Routes to the fake provider, with its keys in the places of the three SDKs.
fn providers(url: &str) -> Value {
    json!({
        "openai": {"target_url": url, "custom_headers": {"Authorization": format!("Bearer {KEY}")}},
        "anthropic": {"target_url": url, "custom_headers": {"x-api-key": KEY}},
        "gemini": {"target_url": url, "custom_headers": {"x-goog-api-key": KEY}},
    })
}

#[test]
fn the_official_sdks_over_a_plain_upstream() {
    let provider = Provider::start().expect("starts");
    let url = format!("http://{}", provider.address());
    let proxy = Proxy::start(&json!({"usage": true, "force_header_overwrite": true, "routes": providers(&url)}));
    let said = python("sdks.py", &[&format!("http://{}", proxy.address())]);
    assert!(said.ends_with("all ok\n"), "{said}");
    // An SDK may leave after the last event, before the end of the stream has been told to it.
    let is_good = |line: &Value| line["status"] == 404 || line["end"] == "done" || line["end"] == "client_gone";
    let log = proxy.log();
    assert!(log.iter().all(is_good), "{log:?}");
    // What was asked for has figures, but for streams of OpenAI's whose client does not want any.
    let asked = |line: &&Value| line["method"] == "POST" && line["status"] == 200;
    let has_figures = |line: &Value| line["tokens_in"].as_u64() > Some(0) && line["tokens_out"].is_u64();
    let posts: Vec<&Value> = log.iter().filter(asked).collect();
    assert!(posts.len() > 25 && posts.iter().all(|line| line["model"] == "demo" && line["usage_partial"].is_boolean()));
    for route in ["openai", "anthropic", "gemini"] {
        let count = posts.iter().filter(|line| line["route"] == route && has_figures(line)).count();
        assert!(count >= 2, "{route}: {posts:?}");
    }
}

#[test]
fn the_official_sdks_over_an_upstream_that_compresses() {
    let provider = Provider::start().expect("starts");
    let block = format!(
        "gzip on; gzip_proxied any; gzip_min_length 1; gzip_types application/json text/event-stream;
        location / {{ proxy_pass http://{}; proxy_buffering off; proxy_http_version 1.1; }}",
        provider.address()
    );
    let nginx = Nginx::start(&block, None);
    let url = format!("http://{}", nginx.address());
    let proxy = Proxy::start(&json!({"usage": true, "force_header_overwrite": true, "routes": providers(&url)}));
    let said = python("sdks.py", &[&format!("http://{}", proxy.address())]);
    assert!(said.ends_with("all ok\n"), "{said}");
    let is_known = |line: &&Value| line["tokens_in"].as_u64() > Some(0) && line["tokens_out"].is_u64();
    assert!(proxy.log().iter().filter(is_known).count() >= 8, "{:?}", proxy.log());
    // They ask for it, and this is what a program gets that does not decode it.
    let question = r#"{"model": "demo", "messages": [{"role": "user", "content": "x"}]}"#;
    let url = format!("http://{}/openai/v1/chat/completions", proxy.address());
    let coded =
        ["-H", "Accept-Encoding: gzip", "-H", "Content-Type: application/json", "-d", question, "-o", "/dev/null"];
    assert_eq!(curl(&[&coded[..], &["-w", "%header{content-encoding}", &url]].concat()), "gzip");
    assert!(curl(&["--compressed", "-d", question, &url]).contains("Hello from the fake provider!"));
}

#[test]
fn the_official_sdks_over_a_tls_upstream_and_behind_a_prefix() {
    let provider = Provider::start().expect("starts");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let block = format!(
        "location / {{ proxy_pass http://{}; proxy_buffering off; proxy_http_version 1.1; }}",
        provider.address()
    );
    let nginx = Nginx::start(&block, Some((&certified.cert.pem(), &certified.signing_key.serialize_pem())));
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, certified.cert.pem()).expect("writes");
    let url = format!("https://localhost:{}", nginx.address().port());
    let proxy = Proxy::start(&json!({
        "server": {"base_path": "/byok"}, "ca_file": ca_file, "force_header_overwrite": true, "routes": providers(&url),
    }));
    let said = python("sdks.py", &[&format!("http://{}/byok", proxy.address())]);
    assert!(said.ends_with("all ok\n"), "{said}");
}

/// The block of the manual, in front of a proxy.
fn in_front_of(proxy: &Proxy) -> Nginx {
    Nginx::start(
        &format!("location /byok/ {{ proxy_pass http://{}/byok/; proxy_buffering off; }}", proxy.address()),
        None,
    )
}

#[test]
fn behind_the_nginx_of_the_manual_the_sdks_work() {
    let provider = Provider::start().expect("starts");
    let url = format!("http://{}", provider.address());
    let proxy = Proxy::start(
        &json!({"server": {"base_path": "/byok"}, "force_header_overwrite": true, "routes": providers(&url)}),
    );
    let nginx = in_front_of(&proxy);
    let said = python("sdks.py", &[&format!("http://{}/byok", nginx.address())]);
    assert!(said.ends_with("all ok\n"), "{said}");
}

#[test]
fn behind_the_nginx_of_the_manual_everything_is_served() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&json!({
        "server": {"base_path": "/byok"},
        "routes": {"a": {"target_url": upstream.url()}, "proxy": {"universal_proxy": true}},
    }));
    let nginx = in_front_of(&proxy);
    let get = |path: &str| curl(&["--path-as-is", &format!("http://{}{path}", nginx.address())]);
    assert!(get("/byok/").contains("Python Proxy is running."));
    assert_eq!(get("/byok/a/v1/models?x=1&x=2"), "ok");
    assert_eq!(upstream.request().target(), "/v1/models?x=1&x=2");
    // nginx merges the two slashes after the scheme.
    assert_eq!(get(&format!("/byok/proxy/http://{}/v1/x?key=%2F", upstream.address())), "ok");
    assert_eq!(upstream.request().target(), "/v1/x?key=%2F");
    assert!(get("/byok/none/x").contains("Route 'none' not found or is disabled."));
    assert!(get("/byok/proxy/nonsense").contains("Invalid target URL format"));
}

#[test]
fn an_nginx_that_strips_the_prefix_keeps_working() {
    let upstream = Upstream::ok();
    let proxy =
        Proxy::start(&json!({"server": {"base_path": "/byok"}, "routes": {"a": {"target_url": upstream.url()}}}));
    let nginx = Nginx::start(&format!("location /byok/ {{ proxy_pass http://{}/; }}", proxy.address()), None);
    assert_eq!(curl(&[&format!("http://{}/byok/a/x", nginx.address())]), "ok");
    assert_eq!(upstream.request().target(), "/x");
}

#[test]
fn events_pass_nginx_one_by_one() {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for word in ["one", "two"] {
            let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
            script.send(format!("b\r\ndata: {word}\n\n\r\n"))?;
        }
        script.send("0\r\n\r\n")
    });
    let proxy =
        Proxy::start(&json!({"server": {"base_path": "/byok"}, "routes": {"a": {"target_url": upstream.url()}}}));
    let nginx = in_front_of(&proxy);
    let mut client = crate::support::Client::connect(nginx.address());
    client.send("GET /byok/a HTTP/1.1\r\nHost: p\r\n\r\n");
    // nginx asks for a redirect to the prefix itself only; this is below it.
    assert!(client.head().starts_with("HTTP/1.1 200"));
    for word in ["one", "two"] {
        go.send(()).expect("the upstream waits");
        client.hears(word);
    }
}

#[test]
fn curl_uploads_and_downloads() {
    let upstream = Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            script.send([head.as_bytes(), &request.body].concat())?;
        }
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("upload");
    let content: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 253) as u8).collect();
    std::fs::write(&file, &content).expect("writes");
    let url = format!("http://{}/a/echo", proxy.address());
    let back = directory.path().join("back");
    let (upload, back_path) = (format!("@{}", file.display()), back.display().to_string());
    for more in [&["-H", "Expect: 100-continue"][..], &["-H", "Transfer-Encoding: chunked"], &["-0"]] {
        // curl waits a second for 100 Continue; a minute in all would be noticed.
        curl(&[&["--data-binary", &upload, "-o", &back_path, &url], more].concat());
        assert!(std::fs::read(&back).expect("written") == content, "{more:?}");
    }
    assert_eq!(curl(&["-I", "-o", "/dev/null", "-w", "%{http_code}", &format!("http://{}/", proxy.address())]), "200");
}

#[test]
fn a_curl_that_takes_it_for_a_proxy_is_served_by_the_path() {
    let upstream = Upstream::ok();
    let proxy = Proxy::to(&upstream);
    let url = format!("http://{}", proxy.address());
    let through =
        |more: &[&str]| curl(&[&["--noproxy", "", "--proxy", &url, "--proxy-user", "u:p"][..], more].concat());
    assert_eq!(through(&["http://nowhere.invalid/a/x?y=1"]), "ok");
    let seen = upstream.request();
    assert_eq!((seen.target(), seen.field("host")), ("/x?y=1", Some(upstream.address().to_string().as_str())));
    assert!(seen.field("proxy-authorization").is_none() && seen.field("proxy-connection").is_none());
}
