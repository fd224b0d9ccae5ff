//! How a shared Redis is reached: over TLS, on a local socket, as a user, with a password that is right or wrong.

use serde_json::{Value, json};

use crate::support::{Authority, Pair, Proxy, Redis, Upstream, aqueduct, write_private};

const PASSWORD: &str = "p4ss/of+the=state";
/// The same as it stands in a URL.
const IN_URL: &str = "p4ss%2Fof%2Bthe%3Dstate";

fn config(upstream: &Upstream, state: &str, more: &Value) -> Value {
    let mut config = json!({
        "state": state, "state_timeout": 10,
        "routes": {"a": {"target_url": upstream.url(), "limits": {"requests_per_minute": 3}}},
    });
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    config
}

fn ask(proxy: &Proxy) -> u16 {
    proxy.client().ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n").status()
}

fn let_in(proxies: &[&Proxy]) -> usize {
    proxies.iter().map(|proxy| (0..5).filter(|_| ask(proxy) == 200).count()).sum()
}

/// What it says nowhere.
fn no_secret_in(proxies: &[&Proxy]) {
    for said in proxies.iter().flat_map(|proxy| [proxy.out(), proxy.err()]) {
        assert!(!said.contains("p4ss") && !said.contains("%2Fof"), "{said}");
    }
}

struct Trusted {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Trusted {
    fn new() -> Self {
        let trusted = Self { authority: Authority::new(), directory: tempfile::tempdir().expect("a directory") };
        write_private(&trusted.directory.path().join("ca.pem"), &trusted.authority.certificate());
        trusted
    }

    fn issue(&self) -> Pair {
        self.authority.issue()
    }

    /// The part of a configuration that says so.
    fn ca_file(&self) -> Value {
        json!({"ca_file": self.directory.path().join("ca.pem")})
    }
}

#[test]
fn it_is_reached_over_tls_on_a_local_socket_and_in_the_clear() {
    let (trusted, upstream) = (Trusted::new(), Upstream::ok());
    let redis = Redis::with_doors(PASSWORD, &trusted.issue());
    let start = |url: String, more: &Value| Proxy::start(&config(&upstream, &url, more));
    let tls = start(format!("rediss://:{IN_URL}@localhost:{}/2", redis.tls_port()), &trusted.ca_file());
    let by_address = start(format!("REDISS://:{IN_URL}@127.0.0.1:{}/2", redis.tls_port()), &trusted.ca_file());
    let local = start(format!("unix://{}?db=2&pass={IN_URL}", redis.socket().display()), &json!({}));
    let plain = start(format!("redis://:{IN_URL}@127.0.0.1:{}/2", redis.port()), &json!({}));
    let other = start(format!("redis://:{IN_URL}@127.0.0.1:{}/3", redis.port()), &json!({}));
    tls.says(&format!("Limits are shared on Redis at localhost:{}", redis.tls_port()));
    local.says(&format!("Limits are shared on Redis at {}", redis.socket().display()));
    let all = [&tls, &by_address, &local, &plain, &other];
    all.iter().for_each(|proxy| _ = proxy.says("Limits are shared on Redis at "));
    // Three in all on the one database, whatever way one comes; another database knows nothing of it.
    assert_eq!((let_in(&all[..4]), let_in(&all[4..])), (3, 3));
    no_secret_in(&all);
}

#[test]
fn a_server_whose_certificate_nobody_vouches_for_is_away() {
    let (trusted, upstream) = (Trusted::new(), Upstream::ok());
    let redis = Redis::with_doors(PASSWORD, &trusted.issue());
    let url = format!("rediss://:{IN_URL}@localhost:{}", redis.tls_port());
    let stranger = Proxy::start(&config(&upstream, &url, &json!({})));
    stranger.complains("is away: ").complains("invalid peer certificate: UnknownIssuer");
    assert_eq!(let_in(&[&stranger]), 3, "limits hold for this instance alone");
    // Nor does the name of another do.
    let url = format!("rediss://:{IN_URL}@127.0.0.2:{}", redis.tls_port());
    let other = Proxy::start(&config(&upstream, &url, &trusted.ca_file()));
    other.complains("is away: ");
    // Who speaks in the clear there gets no answer that makes sense.
    let url = format!("redis://:{IN_URL}@127.0.0.1:{}", redis.tls_port());
    let plain = Proxy::start(&config(&upstream, &url, &json!({})));
    plain.complains("is away: ");
    no_secret_in(&[&stranger, &other, &plain]);
}

#[test]
fn an_authority_that_is_named_later_is_trusted_after_a_reload() {
    let (trusted, upstream) = (Trusted::new(), Upstream::ok());
    let redis = Redis::with_doors(PASSWORD, &trusted.issue());
    let url = format!("rediss://:{IN_URL}@localhost:{}", redis.tls_port());
    let server = json!({"host": "127.0.0.1", "port": 0, "workers": 1, "log_format": "json"});
    let proxy = Proxy::start(&config(&upstream, &url, &json!({"server": server})));
    proxy.complains("is away: ");
    let mut more = trusted.ca_file();
    more["server"] = server;
    proxy.reload(&config(&upstream, &url, &more));
    proxy.says("Limits are shared on Redis at localhost");
    // What changes nothing leaves the connection as it is.
    proxy.reload(&config(&upstream, &url, &more));
    assert_eq!(let_in(&[&proxy]), 3);
    assert_eq!(proxy.out().matches("Limits are shared").count(), 1);
}

#[test]
fn a_user_logs_in_with_name_and_password() {
    let (redis, upstream) = (Redis::with_user("alice", PASSWORD), Upstream::ok());
    let url = |user: &str, password: &str| format!("redis://{user}:{password}@127.0.0.1:{}", redis.port());
    let proxies = [0, 1].map(|_| Proxy::start(&config(&upstream, &url("alice", IN_URL), &json!({}))));
    let all: Vec<_> = proxies.iter().collect();
    all.iter().for_each(|proxy| _ = proxy.says("Limits are shared on Redis at 127.0.0.1"));
    assert_eq!(let_in(&all), 3);
    no_secret_in(&all);
}

#[test]
fn a_wrong_password_is_said_to_be_one_without_showing_it() {
    let upstream = Upstream::ok();
    let (plain, acl) = (Redis::start_with_password(PASSWORD), Redis::with_user("alice", PASSWORD));
    for (redis, login) in [(&plain, ":p4ss-wrong@"), (&acl, "alice:p4ss-wrong@"), (&acl, "bob:p4ss-wrong@")] {
        let url = format!("redis://{login}127.0.0.1:{}", redis.port());
        let open = Proxy::start(&config(&upstream, &url, &json!({})));
        open.complains(
            "is away: it does not accept the user and password in 'state'. Limits hold for this instance alone",
        );
        assert_eq!(let_in(&[&open]), 3);
        let closed =
            Proxy::start(&config(&upstream, &url, &json!({"state_failure": "closed", "server": {"language": "zh"}})));
        closed.complains("不可用: 不接受 'state' 中的用户名和密码。恢复之前，受限制的请求返回 503");
        let answer = closed.client().ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n");
        assert_eq!((answer.status(), answer.field("x-aqueduct-error")), (503, Some("state_unavailable")));
        assert!(!answer.text().contains("p4ss") && !answer.head.contains("p4ss"), "{}", answer.text());
        no_secret_in(&[&open, &closed]);
        // It is told once, however often it is tried.
        assert_eq!(open.err().matches("is away").count(), 1, "{}", open.err());
    }
    // Whoever says nothing is told what is missing.
    for redis in [&plain, &acl] {
        let none = Proxy::start(&config(&upstream, &format!("redis://127.0.0.1:{}", redis.port()), &json!({})));
        none.complains("is away: it wants a password, and 'state' has none.");
    }
}

#[test]
fn what_cannot_be_reached_says_why_in_a_line() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    let nowhere = directory.path().join("p4ss").join("none.sock");
    for (url, why) in [
        ("redis://:p4ss@127.0.0.1:1".to_owned(), "Connection refused"),
        ("rediss://:p4ss@127.0.0.1:1".to_owned(), "Connection refused"),
        ("redis://:p4ss@nowhere.invalid".to_owned(), "Redis at nowhere.invalid:6379 is away"),
        (format!("unix://{}?pass=p4ss", nowhere.display()), "No such file"),
    ] {
        let proxy = Proxy::start(&config(&upstream, &url, &json!({})));
        proxy.complains("is away: ").complains(why);
        assert!(!proxy.err().contains(":p4ss") && !proxy.err().contains("=p4ss"), "{}", proxy.err());
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_told_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let check = |config: &Value| {
        write_private(&path, &config.to_string());
        let output = aqueduct().args(["check", "-c"]).arg(&path).output().expect("runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let limits = json!({"requests_per_minute": 1});
    let told = check(&json!({"state": "rediss://:p4ss@h", "ca_file": "none.pem", "limits": limits}));
    assert!(told.contains("ca_file: ") && told.contains("1 errors, 0 warnings") && !told.contains("p4ss"), "{told}");
    for fragment in ["insecure", "x", ""] {
        let told = check(&json!({"state": format!("rediss://:p4ss@h#{fragment}"), "limits": limits}));
        assert!(told.contains("state: expected the URL of a Redis") && !told.contains("p4ss"), "{told}");
    }
}
