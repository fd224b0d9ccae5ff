//! What several instances count together on a real Redis, and what becomes of it when that goes and comes back.

use std::sync::Arc;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use aqueduct::admit::{Budget, Failure, Limits, Per, Policy, Setting, State, Tallies};
use aqueduct::secret::Secret;
use serde_json::{Value, json};

use crate::support::http2::run;
use crate::support::{Proxy, Redis, Upstream, aqueduct, eventually, write_private};

const PASSWORD: &str = "s3cret-of-the-state";

fn ask(proxy: &Proxy, route: &str) -> u16 {
    proxy.client().ask(format!("GET /{route}/x HTTP/1.1\r\nHost: p\r\n\r\n")).status()
}

/// How many of so many are let in, one after the other.
fn let_in(proxy: &Proxy, route: &str, asked: usize) -> usize {
    (0..asked).filter(|_| ask(proxy, route) == 200).count()
}

fn config(redis: &Redis, upstream: &Upstream, limits: &Value) -> Value {
    json!({
        "server": {"workers": 4},
        // A machine that is busy with other tests is no Redis that is away.
        "state": redis.url(), "state_timeout": 10,
        "routes": {"a": {"target_url": upstream.url(), "limits": limits}},
    })
}

fn is_shared(proxy: &Proxy, times: usize) {
    eventually("limits are shared", || proxy.out().matches("Limits are shared on Redis at 127.0.0.1").count() == times);
}

#[test]
fn two_instances_share_a_limit_to_the_request() {
    const CLIENTS: usize = 16;
    const EACH: usize = 15;
    const PER_MINUTE: u32 = 60;

    let (redis, upstream) = (Redis::start(), Upstream::ok());
    let config = config(&redis, &upstream, &json!({"requests_per_minute": PER_MINUTE}));
    let proxies = [Proxy::start(&config), Proxy::start(&config)];
    proxies.iter().for_each(|proxy| is_shared(proxy, 1));
    let (start, began) = (Barrier::new(CLIENTS), Instant::now());
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (proxy, start) = (&proxies[number % 2], &start);
                scope.spawn(move || {
                    let mut client = proxy.client();
                    start.wait();
                    (0..EACH).map(|_| client.ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n").status()).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("no failure")).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(200) + count(429), CLIENTS * EACH);
    let come_back = began.elapsed().as_millis() * u128::from(PER_MINUTE) / 60_000;
    let most = PER_MINUTE as usize + usize::try_from(come_back).expect("few");
    assert!((PER_MINUTE as usize..=most).contains(&count(200)), "{} of {most}", count(200));
}

#[test]
fn who_is_refused_by_one_limit_uses_up_no_other_anywhere() {
    let (redis, upstream) = (Redis::start(), Upstream::ok());
    let mut config = config(&redis, &upstream, &json!({"requests_per_minute": 3}));
    config["limits"] = json!({"requests_per_minute": 5});
    config["routes"]["b"] = json!({"target_url": upstream.url(), "limits": {"requests_per_minute": 4}});
    let (one, other) = (Proxy::start(&config), Proxy::start(&config));
    assert_eq!((let_in(&one, "a", 2), let_in(&other, "a", 9), let_in(&one, "a", 9)), (2, 1, 0));
    assert_eq!((let_in(&other, "b", 1), let_in(&one, "b", 9), let_in(&other, "b", 9)), (1, 1, 0));
    let answer = other.client().ask("GET /b/x HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!((answer.status(), answer.field("x-ratelimit-limit-requests")), (429, Some("5")));
}

#[test]
fn a_redis_that_is_away_leaves_each_instance_to_its_own_count() {
    let (mut redis, upstream) = (Redis::start(), Upstream::ok());
    let config = config(&redis, &upstream, &json!({"requests_per_minute": 6}));
    let (one, other) = (Proxy::start(&config), Proxy::start(&config));
    assert_eq!((let_in(&one, "a", 3), let_in(&other, "a", 1)), (3, 1));
    redis.kill();
    one.complains("is away").complains("Limits hold for this instance alone");
    other.complains("is away");
    // Each goes on from what it was told last.
    assert_eq!((let_in(&one, "a", 9), let_in(&other, "a", 9)), (3, 2));
    redis.restart();
    is_shared(&one, 2);
    is_shared(&other, 2);
    // It has lost what it knew, and instances do not bring minutes back that are nearly over.
    let third = Proxy::start(&config);
    is_shared(&third, 1);
    assert_eq!(let_in(&third, "a", 9), 6);
}

#[test]
fn closed_means_that_nobody_is_let_in_while_it_is_away() {
    let (mut redis, upstream) = (Redis::start(), Upstream::ok());
    let mut config = config(&redis, &upstream, &json!({"requests_per_minute": 100}));
    config["state_failure"] = json!("closed");
    config["routes"]["free"] = json!({"target_url": upstream.url()});
    let proxy = Proxy::start(&config);
    assert_eq!(ask(&proxy, "a"), 200);
    redis.kill();
    proxy.complains("Requests under limits are answered with 503");
    let answer = proxy.client().ask("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n");
    assert_eq!((answer.status(), answer.json()["code"].as_str()), (503, Some("state_unavailable")));
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert_eq!(ask(&proxy, "free"), 200, "where there is no limit nobody is asked");
    redis.restart();
    is_shared(&proxy, 2);
    assert_eq!(ask(&proxy, "a"), 200);
}

#[test]
fn a_redis_that_hangs_holds_up_nobody_for_long() {
    let (redis, upstream) = (Redis::start(), Upstream::ok());
    let mut config = config(&redis, &upstream, &json!({"requests_per_minute": 100}));
    config["state_timeout"] = json!("200ms");
    let proxy = Proxy::start(&config);
    is_shared(&proxy, 1);
    redis.signal("STOP");
    // The first finds it out. Those behind it are not even asked for.
    assert_eq!(let_in(&proxy, "a", 3), 3);
    proxy.complains("is away");
    redis.signal("CONT");
    is_shared(&proxy, 2);
}

#[test]
fn a_redis_may_come_later_and_another_one_after_a_reload() {
    let (mut redis, upstream) = (Redis::start(), Upstream::ok());
    let with = |redis: &Redis| {
        let mut config = config(redis, &upstream, &json!({"requests_per_minute": 4}));
        config["server"] = json!({"workers": 2, "host": "127.0.0.1", "port": 0, "log_format": "json"});
        config
    };
    redis.kill();
    let proxy = Proxy::start(&with(&redis));
    proxy.complains("is away");
    assert_eq!(let_in(&proxy, "a", 1), 1);
    redis.restart();
    is_shared(&proxy, 1);
    let second = Redis::start();
    write_private(&proxy.config_path(), &with(&second).to_string());
    proxy.signal("HUP");
    is_shared(&proxy, 2);
    let beside = Proxy::start(&with(&second));
    assert_eq!(let_in(&beside, "a", 9) + let_in(&proxy, "a", 9), 4);
}

#[test]
fn its_password_is_used_and_never_shown() {
    let (redis, upstream) = (Redis::start_with_password(PASSWORD), Upstream::ok());
    let config = config(&redis, &upstream, &json!({"requests_per_minute": 2}));
    let proxy = Proxy::start(&config);
    is_shared(&proxy, 1);
    assert_eq!(let_in(&proxy, "a", 5), 2);
    let wrong = config.to_string().replace(PASSWORD, "not-the-s3cret");
    let other = Proxy::start(&serde_json::from_str(&wrong).expect("JSON"));
    other.complains("is away");
    for said in [proxy.out(), proxy.err(), other.out(), other.err()] {
        assert!(!said.contains("s3cret"), "{said}");
    }
    for command in [&["check"][..], &["explain", "GET", "/a/x"], &["routes"]] {
        let output = aqueduct().args(command).arg("-c").arg(proxy.config_path()).output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains("s3cret"), "{command:?}");
    }
}

#[test]
fn what_is_no_redis_is_refused_with_its_place_and_without_its_password() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let check = |text: &str| {
        write_private(&path, text);
        let output = aqueduct().args(["check", "-c"]).arg(&path).output().expect("runs");
        String::from_utf8(output.stdout).expect("text")
    };
    for url in [
        "http://u:s3cret@h",
        "redis://u:s3cret@h:99999",
        "redis://u:s3cret@h:6379/x",
        "s3cret",
        "",
        "rediss://u:s3cret@h/0#insecure",
    ] {
        let told = check(&format!(r#"{{"state": "{url}", "limits": {{"requests_per_minute": 1}}}}"#));
        assert!(
            told.contains(":1:11: state: expected the URL of a Redis") && !told.contains("s3cret"),
            "{url}: {told}"
        );
    }
    let told = check(r#"{"state": "redis://h", "state_failure": "maybe", "state_timeout": 0}"#);
    assert!(told.contains("state_failure: expected one of: \"open\", \"closed\""), "{told}");
    let told = check(r#"{"state": "redis://h", "state_timeout": 0, "limits": {"requests_per_minute": 1}}"#);
    assert!(told.contains("state_timeout: expected a time from 1 ms to 60 s"), "{told}");
    let told = check(r#"{"state": "redis://h", "limits": {"max_concurrency": 1}}"#);
    assert!(told.contains("state: there is no limit that could be counted there"), "{told}");
    let told = check(r#"{"state_failure": "open", "limits": {"max_concurrency": 1}}"#);
    assert!(told.contains("state_failure: without 'state' this does nothing"), "{told}");
}

/// An instance without a proxy around it, to be told what was used.
struct Instance {
    policy: Policy,
    state: Arc<State>,
    _tallies: Tallies,
}

impl Instance {
    fn start(redis: &Redis, limits: Limits) -> Self {
        let (timeout, failure) = (Duration::from_secs(10), Failure::Open);
        let tallies = Tallies::default();
        let state =
            tallies.state(Setting { url: Secret::new(redis.url()), failure, timeout, tls: None }).expect("a URL");
        state.start(|_| {});
        let policy = Policy { route: tallies.of_route("a", limits), server: None, state: Some(Arc::clone(&state)) };
        Self { policy, state, _tallies: tallies }
    }

    /// An exchange that uses so much, if it may begin.
    async fn uses(&self, tokens: u64) -> bool {
        let admission = self.policy.enter(None, tokio::time::Instant::now()).await;
        let Ok(admission) = admission else { return false };
        admission.expect("a limit").settle(Some(tokens), None);
        true
    }
}

#[test]
fn a_budget_is_spent_together_and_outlives_instances_and_the_redis() {
    let mut redis = Redis::start();
    let budget = Budget { tokens: Some(1000), picodollars: None, per: Per::Month };
    let limits = Limits { budget: Some(budget), ..Limits::default() };
    let (one, other) = (Instance::start(&redis, limits), Instance::start(&redis, limits));
    run(async {
        assert!(one.uses(400).await && other.uses(300).await);
        one.state.finish();
        other.state.finish();
        // Who comes now knows of both.
        let third = Instance::start(&redis, limits);
        assert!(third.uses(250).await);
        third.state.finish();
        assert!(one.uses(1).await);
        one.state.finish();
        // It goes, and loses everything. What is used meanwhile is brought to it with all that was known before.
        redis.kill();
        assert!(one.uses(40).await);
        redis.restart();
        let mut is_let_in = true;
        let start = Instant::now();
        while is_let_in && start.elapsed() < Duration::from_secs(20) {
            let fresh = Instance::start(&redis, limits);
            // 991 are spent. One more that uses 9 ends it, whoever asks.
            is_let_in = fresh.uses(9).await;
            fresh.state.finish();
        }
        assert!(!is_let_in);
    });
}
