//! What is there to be reached by a proxy whose every secret is sought: upstreams and upstream proxies that go wrong in
//! every way, and quote what they were told.

use serde_json::{Value, json};

use super::secret;
use crate::support::frames::{Frames, GOAWAY, HEADERS, INTERNAL_ERROR, SETTINGS};
use crate::support::{Script, Upstream};

/// What is there to be reached, and the routes that lead there, each with how the code of what comes of it begins; or with
/// the status of an answer that passes.
pub(super) struct Scene {
    routes: Value,
    pub(super) expected: Vec<(&'static str, &'static str)>,
    _upstreams: Vec<Upstream>,
    pub(super) echo: String,
}

impl Scene {
    pub(super) fn new() -> Self {
        let mut scene = Self { routes: json!({}), expected: Vec::new(), _upstreams: Vec::new(), echo: String::new() };
        let echo = echoing(|head| whole("200 OK", head));
        scene.echo = echo.address().to_string();
        scene.add("echo", "200", &scene.echo.clone(), &json!({}));
        scene._upstreams.push(echo);
        for (name, code, upstream) in [
            ("wrong-key", "401", echoing(|head| whole("401 Unauthorized", head))),
            ("reason", "403", echoing(|head| whole(&format!("403 {}", quoted(head)), head))),
            ("garbage", "upstream_bad_answer", echoing(|head| format!("garbage {head}"))),
            (
                "bad-field",
                "upstream_bad_answer",
                echoing(|head| format!("HTTP/1.1 200 OK\r\n{} x: y\r\n\r\n", quoted(head))),
            ),
            ("bad-status", "upstream_bad_answer", echoing(|head| format!("HTTP/1.1 {}\r\n\r\n", quoted(head)))),
            ("reset", "upstream_reset", echoing(|_| String::new())),
            ("cut", "200", echoing(|head| format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{head}"))),
            (
                "bad-chunk",
                "200",
                echoing(|head| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n", quoted(head))),
            ),
        ] {
            scene.add(name, code, &upstream.address().to_string(), &json!({}));
            scene._upstreams.push(upstream);
        }
        let stalling = Upstream::playing(Script::until_closed);
        scene.add(
            "stalls",
            "upstream_timeout",
            &stalling.address().to_string(),
            &json!({"timeouts": {"first_byte": "200ms"}}),
        );
        let leaving = going_away();
        scene.add("goes-away", "upstream_", &leaving.address().to_string(), &json!({"http2": true}));
        let no_http2 = saying(b"HTTP/1.1 400 Bad\r\n\r\n");
        scene.add("no-http2", "upstream_", &no_http2.address().to_string(), &json!({"http2": true}));
        scene._upstreams.extend([stalling, leaving, no_http2]);
        scene.add("refused", "upstream_unreachable", "127.0.0.1:1", &json!({}));
        scene.add("no-name", "upstream_dns", "nowhere.invalid", &json!({}));
        scene.proxies();
        scene.routes["no-target"] = json!({"custom_headers": {"x-api-key": secret("literal")}});
        scene.routes["off"] =
            json!({"enabled": false, "target_url": format!("http://u:{0}/@h?key={0}", secret("off"))});
        let several = |user: &str| format!("http://{user}:{0}@127.0.0.1:1/base?key={0}", secret("several"));
        scene.routes["several"] =
            json!({"proxy": "", "target_url": [several("a"), {"url": several("b"), "priority": 1}]});
        scene.expected.extend([
            ("several", "upstream_unreachable"),
            ("no-target", "route_misconfigured"),
            ("off", "route_not_found"),
            ("none", "route_not_found"),
        ]);
        scene.routes["u"] =
            json!({"universal_proxy": true, "proxy": "", "custom_headers": {"X-Universal": secret("universal")}});
        scene
    }

    /// Ways through upstream proxies that go wrong.
    fn proxies(&mut self) {
        let login = format!("{0}:{0}%40", secret("proxy"));
        let closed = "127.0.0.1:1";
        for (name, code, scheme, target, upstream) in [
            (
                "wants-login",
                "upstream_proxy_auth",
                "http",
                "http",
                echoing(|head| whole("407 Proxy Authentication Required", head)),
            ),
            ("whole-request", "200", "http", "http", echoing(|head| whole("200 OK", head))),
            (
                "no-tunnel",
                "upstream_proxy_refused",
                "http",
                "https",
                echoing(|head| whole(&format!("403 {}", quoted(head)), head)),
            ),
            ("other-login", "upstream_proxy_auth", "http", "https", echoing(|head| whole("407 Other", head))),
            ("no-proxy", "upstream_proxy_bad_answer", "http", "https", echoing(|head| format!("no {head}"))),
            ("proxy-leaves", "upstream_proxy_reset", "http", "https", echoing(|_| String::new())),
            ("no-tls", "upstream_proxy_tls", "https", "https", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ("socks-login", "upstream_proxy_auth", "socks5h", "http", saying(&[5, 2])),
            ("no-socks", "upstream_proxy_bad_answer", "socks5h", "http", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ] {
            let proxy = format!("{scheme}://{login}@{}", upstream.address());
            self.route(name, code, &format!("{target}://user:{}@{closed}", secret("target")), &json!({"proxy": proxy}));
            self._upstreams.push(upstream);
        }
        let user = secret("socks4");
        let socks4 = saying(&[0, 91, 0, 0, 0, 0, 0, 0]);
        let proxy = format!("socks4a://{user}@{}", socks4.address());
        self.add("socks4", "upstream_proxy_refused", closed, &json!({"proxy": proxy}));
        self._upstreams.push(socks4);
        let down = format!("http://{login}@{closed}");
        self.add("proxy-down", "upstream_proxy_unreachable", closed, &json!({"proxy": down}));
        self.add(
            "proxy-unknown",
            "upstream_proxy_dns",
            closed,
            &json!({"proxy": format!("http://{login}@nowhere.invalid")}),
        );
        // These go where the environment says.
        self.add("environment", "route_misconfigured", "h", &json!({"proxy": null}));
        self.route("environment-tls", "upstream_proxy_unreachable", "https://h", &json!({"proxy": null}));
    }

    fn add(&mut self, name: &'static str, code: &'static str, address: &str, more: &Value) {
        let url = format!("http://user:{0}@{address}/base?key={0}&code={0}", secret("target"));
        self.route(name, code, &url, more);
    }

    fn route(&mut self, name: &'static str, code: &'static str, url: &str, more: &Value) {
        let mut route = json!({
            "target_url": url,
            "proxy": "",
            "force_header_overwrite": true,
            "custom_headers": {
                "x-api-key": secret("literal"), "X-Pool": [secret("pool"), "${AQ_KEY}"], "X-Variable": "${AQ_KEY}", "X-File": "${file:key.txt}",
                "X-Default": format!("${{AQ_UNSET:-{}}}", secret("default")),
            },
        });
        for (field, value) in more.as_object().expect("an object") {
            route[field] = value.clone();
        }
        self.routes[name] = route;
        self.expected.push((name, code));
    }

    pub(super) fn config(&self, format: &str, lang: &str) -> Value {
        json!({
            "server": {
                "host": "127.0.0.1", "port": 0, "workers": 1, "log_format": format, "language": lang,
                "limits": {"max_body_size": 1000, "head_timeout": "5s"}, "trusted_proxies": ["127.0.0.1"],
            },
            "routes": self.routes,
        })
    }
}

/// An upstream that says what it was told, in a way that is meant to get into a log.
pub(super) fn echoing(says: impl Fn(&str) -> String + Send + Sync + 'static) -> Upstream {
    Upstream::playing(move |script| {
        let head = script.head()?;
        script.send(says(&head))?;
        script.finish()
    })
}

pub(super) fn whole(status: &str, head: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{head}", head.len())
}

/// A head in one line, as a server would quote it.
pub(super) fn quoted(head: &str) -> String {
    head.replace("\r\n", " ")
}

/// Says this to whoever comes, whatever is said.
fn saying(bytes: &'static [u8]) -> Upstream {
    Upstream::playing(move |script| {
        script.some()?;
        script.send(bytes)?;
        script.some()?;
        script.send(b"\x01\x01")?;
        script.until_closed()
    })
}

/// Speaks HTTP/2, and goes away with words that are none of the log's business.
pub(super) fn going_away() -> Upstream {
    Upstream::playing(|script| {
        let mut frames = Frames::on(script.stream().try_clone()?);
        frames.take_preface()?;
        frames.frame(SETTINGS, 0, 0, []);
        frames.until(|frame| frame.kind == HEADERS)?;
        let words = [&0_u32.to_be_bytes()[..], &INTERNAL_ERROR.to_be_bytes(), secret("goaway").as_bytes()].concat();
        frames.frame(GOAWAY, 0, 0, words);
        frames.flush()?;
        script.until_closed()
    })
}
