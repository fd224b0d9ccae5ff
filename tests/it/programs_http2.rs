//! HTTP/2 as real programs speak it: curl, httpx, gRPC, nginx.

use aqueduct::demo::Provider;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Authority, Nginx, Pair, Proxy, PythonServer, Script, Upstream, curl, python};

/// A certificate for this machine, and the authority that vouches for it, as files.
struct Trust {
    directory: TempDir,
    pair: Pair,
}

impl Trust {
    fn new() -> Self {
        let (authority, directory) = (Authority::new(), TempDir::new().expect("a directory"));
        std::fs::write(directory.path().join("ca.pem"), authority.certificate()).expect("writes");
        Self { directory, pair: authority.issue() }
    }

    /// The part of a configuration that names the certificate.
    fn tls(&self) -> Value {
        self.pair.write(self.directory.path())
    }

    /// Where the authority's own certificate lies.
    fn path(&self) -> String {
        self.directory.path().join("ca.pem").display().to_string()
    }
}

/// An upstream that gives every body back, and streams for ever to whoever asks for `/endless`.
fn echo() -> Upstream {
    Upstream::playing(|script: &mut Script| {
        while let Some(request) = script.request()? {
            if request.target() == "/endless" {
                script.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                loop {
                    script.send([b'x'; 4096])?;
                }
            }
            script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()))?;
            script.send(&request.body)?;
        }
        Ok(())
    })
}

#[test]
fn httpx_and_an_sdk_over_tls() {
    let (upstream, provider) = (echo(), Provider::start().expect("starts"));
    let trust = Trust::new();
    let proxy = Proxy::start(&json!({
        "server": {"tls": trust.tls()},
        "force_header_overwrite": true,
        "routes": {
            "echo": {"target_url": upstream.url()},
            "openai": {
                "target_url": format!("http://{}", provider.address()),
                "custom_headers": {"Authorization": format!("Bearer {}", aqueduct::demo::KEY)},
            },
        },
    }));
    let url = format!("https://localhost:{}", proxy.address().port());
    let said = python("http2.py", &[&url, &trust.path()]);
    assert!(said.ends_with("all ok\n"), "{said}");
    assert_eq!(proxy.logged(|line| line["path"] == "/echo/endless")["end"], "client_gone");
}

#[test]
fn curl_with_prior_knowledge_and_by_agreement() {
    let upstream = echo();
    let trust = Trust::new();
    let routes = json!({"a": {"target_url": upstream.url()}});
    let plain = Proxy::start(&json!({"routes": routes}));
    let tls = Proxy::start(&json!({"server": {"tls": trust.tls()}, "routes": routes}));
    let plain = format!("http://{}/a/x", plain.address());
    let tls_url = format!("https://localhost:{}/a/x", tls.address().port());
    let shape = ["-w", "%{http_version} %{http_code}", "-d", "hello "];
    assert_eq!(curl(&[&["--http2-prior-knowledge", &plain][..], &shape].concat()), "hello 2 200");
    assert_eq!(curl(&[&["--http1.1", &plain][..], &shape].concat()), "hello 1.1 200");
    // An upgrade in the clear is not taken up (RFC 9113 section 3.1), and does no harm.
    assert_eq!(curl(&[&["--http2", &plain][..], &shape].concat()), "hello 1.1 200");
    let authority = trust.path();
    for (version, spoken) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let arguments = [&[version, "--cacert", &authority, &tls_url][..], &shape].concat();
        assert_eq!(curl(&arguments), format!("hello {spoken} 200"));
    }
}

#[test]
fn grpc_through_a_route_of_its_service() {
    let server = PythonServer::start("grpc_echo.py", &[]);
    let target = format!("http://{}/test.Echo", server.address());
    let proxy = Proxy::start(&json!({"routes": {"test.Echo": {"target_url": target, "http2": true}}}));
    let said = python("grpc_echo.py", &[&proxy.address().to_string()]);
    assert!(said.ends_with("all ok\n"), "{said}");
}

#[test]
fn an_nginx_that_speaks_http_2_over_tls_is_spoken_to_in_it() {
    let trust = Trust::new();
    let nginx = Nginx::http2("location / { return 200 \"$server_protocol $request_method $uri\"; }", &trust.pair);
    let proxy = Proxy::start(&json!({"ca_file": trust.path(), "routes": {
        "two": {"target_url": format!("https://localhost:{}", nginx.address().port()), "http2": true},
        "one": {"target_url": format!("https://localhost:{}", nginx.address().port())},
    }}));
    for _ in 0..3 {
        assert_eq!(proxy.client().ask("POST /two/x HTTP/1.1\r\nHost: p\r\n\r\n").text(), "HTTP/2.0 POST /x");
        assert_eq!(proxy.client().ask("GET /one/x HTTP/1.1\r\nHost: p\r\n\r\n").text(), "HTTP/1.1 GET /x");
    }
}
