//! How many may run at once: exactly so many, whatever they are and however they end, and never a queue.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use h2::Reason;
use serde_json::{Value, json};

use crate::support::http2::{Http2Client, get, run};
use crate::support::{Client, Proxy, Script, Upstream, aqueduct, eventually, write_private};
use crate::upgrades::SWITCH;

const OPEN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// An upstream that does what the last segment of the path says.
fn stage() -> Upstream {
    Upstream::playing(|script: &mut Script| {
        while let Some(request) = script.request()? {
            match request.target().rsplit('/').next().unwrap_or_default() {
                "open" => script.send(OPEN)?,
                "silent" => {}
                "cut" => return script.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
                "bad" => script.send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")?,
                "switch" => {
                    script.send(SWITCH)?;
                    return script.until_end().map(|_| ());
                }
                _ => script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
            }
        }
        Ok(())
    })
}

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: p\r\n\r\n")
}

/// A route with a limit of its own.
fn limited(upstream: &Upstream, max: u32) -> Value {
    json!({"target_url": upstream.url(), "limits": {"max_concurrency": max}, "timeouts": {"first_byte": "300ms"}})
}

/// A client whose answer has begun, and will not end by itself.
fn streaming(proxy: &Proxy, route: &str) -> Client {
    let mut client = proxy.client();
    client.send(ask(&format!("/{route}/open")));
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    client.hears("hello");
    client
}

/// Asks on a new connection, and gives the status.
fn status(proxy: &Proxy, path: &str) -> u16 {
    proxy.client().ask(ask(path)).status()
}

fn becomes_free(proxy: &Proxy, route: &str, after: &str) {
    eventually(&format!("a place after {after}"), || status(proxy, &format!("/{route}/ok")) == 200);
}

#[test]
fn a_crowd_gets_exactly_as_many_places_as_there_are() {
    const CROWD: usize = 60;
    let go = Arc::new(AtomicBool::new(false));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let upstream = {
        let (go, running, most) = (Arc::clone(&go), Arc::clone(&running), Arc::clone(&most));
        Upstream::playing(move |script| {
            while script.request()?.is_some() {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // The others may be told before the last of those who got a place has come this far.
                let are_all_here = || most.load(Ordering::SeqCst) >= 7;
                eventually("the crowd has been told", || go.load(Ordering::SeqCst) && are_all_here());
                running.fetch_sub(1, Ordering::SeqCst);
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Ok(())
        })
    };
    let proxy = Proxy::start(&json!({
        "server": {"workers": 4},
        "routes": {"a": {"target_url": upstream.url(), "limits": {"max_concurrency": 7}}},
    }));
    let (refused, start) = (AtomicUsize::new(0), Barrier::new(CROWD));
    let served = thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = proxy.client();
                    start.wait();
                    let answer = client.ask(ask("/a/x"));
                    if answer.status() == 200 {
                        return 1;
                    }
                    assert_eq!((answer.status(), answer.field("retry-after")), (429, Some("1")));
                    assert_eq!(answer.json()["code"], "concurrency_limited");
                    assert_eq!(answer.field("x-aqueduct-error"), Some("concurrency_limited"));
                    // All that get a place keep it until the others have heard that there is none.
                    if refused.fetch_add(1, Ordering::SeqCst) + 1 == CROWD - 7 {
                        go.store(true, Ordering::SeqCst);
                    }
                    // Whoever was refused is still welcome.
                    eventually("a place", || client.ask(ask("/a/x")).status() == 200);
                    0
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no failure")).sum::<usize>()
    });
    assert_eq!((served, refused.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (7, CROWD - 7, 7));
    for line in proxy.log().iter().filter(|line| line["status"] == 429) {
        assert_eq!(
            (&line["code"], &line["end"], &line["route"]),
            (&json!("concurrency_limited"), &json!("refused"), &json!("a"))
        );
        assert_eq!(line["upstream"], Value::Null);
    }
}

#[test]
fn a_place_is_free_however_its_exchange_ends() {
    let upstream = stage();
    let proxy = Proxy::start(&json!({
        "server": {"limits": {"max_body_size": 10}},
        "routes": {"a": limited(&upstream, 1), "gone": {
            "target_url": "http://127.0.0.1:1", "limits": {"max_concurrency": 1},
        }},
    }));
    let occupied = |what: &str| assert_eq!(status(&proxy, "/a/ok"), 429, "{what}");

    let client = streaming(&proxy, "a");
    occupied("a stream");
    drop(client);
    becomes_free(&proxy, "a", "a client that leaves");

    let client = streaming(&proxy, "a");
    occupied("a stream");
    client.reset();
    becomes_free(&proxy, "a", "a client that breaks off");

    let mut client = proxy.client();
    client.send(ask("/a/silent"));
    eventually("the request is under way", || status(&proxy, "/a/ok") == 429);
    drop(client);
    becomes_free(&proxy, "a", "a client that leaves before the first byte");

    let mut client = proxy.client();
    client.send("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 10\r\n\r\nhello");
    eventually("the upload is under way", || status(&proxy, "/a/ok") == 429);
    drop(client);
    becomes_free(&proxy, "a", "an upload that breaks off");

    let mut client = proxy.client();
    client.send("GET /a/switch HTTP/1.1\r\nHost: p\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    occupied("a tunnel");
    client.finish();
    assert!(client.is_closed());
    becomes_free(&proxy, "a", "a tunnel");

    // These end by themselves, and the next request comes at once.
    for (request, status) in [
        (ask("/a/ok"), 200),
        (ask("/a/silent"), 504),
        (ask("/a/bad"), 502),
        (ask("/gone/x"), 502),
        ("HEAD /a/ok HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 200),
        ("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 11\r\n\r\n".to_owned(), 413),
        ("POST /a/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_owned(), 400),
    ] {
        for _ in 0..2 {
            assert_eq!(proxy.client().ask(&request).status(), status, "{request}");
        }
    }
    let mut client = proxy.client();
    client.send(ask("/a/cut"));
    assert!(client.until_end().is_ok());
    becomes_free(&proxy, "a", "an answer that breaks off");
}

#[test]
fn streams_of_http_2_count_one_by_one() {
    let upstream = stage();
    let proxy =
        Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "limits": {"max_concurrency": 2}}}}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (first, mut first_send) = client.begin(get("/a/open"), true).await;
        let first = first.await.expect("an answer");
        let second = client.begin(get("/a/open"), true).await.0.await.expect("an answer");
        let heard = client.get("/a/ok").await;
        assert_eq!((heard.status, heard.headers["x-aqueduct-error"].as_bytes()), (429, &b"concurrency_limited"[..]));
        assert_eq!(heard.headers["retry-after"], "1");
        assert_eq!(status(&proxy, "/a/ok"), 429, "they count beside those of other connections");
        first_send.send_reset(Reason::CANCEL);
        drop(first);
        let mut status = 429;
        while status == 429 {
            status = client.get("/a/ok").await.status;
        }
        assert_eq!(status, 200);
        drop(second);
    });
    // Both are free, which may take the proxy a moment to see.
    let mut streams = Vec::new();
    eventually("both are free", || {
        let mut client = proxy.client();
        client.send(ask("/a/open"));
        if client.head().starts_with("HTTP/1.1 200 ") {
            streams.push(client);
        }
        streams.len() == 2
    });
    assert_eq!(status(&proxy, "/a/ok"), 429);
}

#[test]
fn the_body_of_what_is_refused_is_never_a_request() {
    let upstream = stage();
    let proxy =
        Proxy::start(&json!({"routes": {"a": {"target_url": upstream.url(), "limits": {"max_concurrency": 1}}}}));
    let running = streaming(&proxy, "a");
    upstream.request();
    let smuggled = ask("/a/smuggled");
    // All of it is here: it is taken out of the way, and the connection stays.
    let mut client = proxy.client();
    client.send(format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("connection")), (429, None));
    let answer = client.ask(ask("/a/x"));
    assert_eq!((answer.status(), answer.field("connection")), (429, None));
    drop(running);
    eventually("a place", || client.ask(ask("/a/x")).status() == 200);
    upstream.request();
    // Not all of it is here, or nobody knows where it ends: the connection does not stay.
    let _running = streaming(&proxy, "a");
    upstream.request();
    for request in [
        format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 1000\r\n\r\n{smuggled}"),
        format!("POST /a/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
    ] {
        let mut client = proxy.client();
        let answer = client.ask(&request);
        assert_eq!((answer.status(), answer.field("connection")), (429, Some("close")), "{request}");
        assert!(client.finish().is_closed(), "{request}");
    }
    assert!(upstream.has_no_request());
}

#[test]
fn a_route_and_the_server_are_asked_both() {
    let upstream = stage();
    let proxy = Proxy::start(&json!({
        "server": {"limits": {"max_concurrency": 2}, "log_format": "pretty"},
        "routes": {"a": limited(&upstream, 1), "b": limited(&upstream, 1), "free": {"target_url": upstream.url()}},
    }));
    let a = streaming(&proxy, "a");
    for _ in 0..20 {
        let answer = proxy.client().ask(ask("/a/ok"));
        assert_eq!(
            (answer.status(), answer.json()["error"].as_str()),
            (429, Some("Too many requests at once on this route. Try again shortly."))
        );
    }
    // Those took no place of all routes.
    let free = streaming(&proxy, "free");
    for _ in 0..20 {
        for path in ["/b/ok", "/free/ok"] {
            let answer = proxy.client().ask(ask(path));
            assert_eq!(
                (answer.status(), answer.json()["error"].as_str()),
                (429, Some("Too many requests at once. Try again shortly."))
            );
        }
    }
    // What needs no upstream needs no place.
    assert_eq!([status(&proxy, "/"), status(&proxy, "/none/x"), status(&proxy, "/a/%2e%2e/x")], [200, 404, 400]);
    drop(free);
    // Nor did these take the one of the route.
    becomes_free(&proxy, "b", "a stream of another route");
    assert_eq!(status(&proxy, "/a/ok"), 429);
    drop(a);
    becomes_free(&proxy, "a", "its own stream");
    proxy.says("more requests at once than routes.*.limits.max_concurrency");
    proxy.says("more requests at once than limits.max_concurrency");
}

#[test]
fn a_reload_changes_the_limits_and_what_runs_still_counts() {
    let upstream = stage();
    let route = |max: Option<u32>| json!({"target_url": upstream.url(), "limits": {"max_concurrency": max}});
    let config = |name: &str, max: Option<u32>, in_all: Option<u32>| {
        json!({
            "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 1, "limits": {"max_concurrency": in_all}},
            "routes": {name: route(max)},
        })
    };
    let proxy = Proxy::start(&config("a", Some(3), None));
    let mut clients = vec![streaming(&proxy, "a"), streaming(&proxy, "a"), streaming(&proxy, "a")];
    assert_eq!(status(&proxy, "/a/ok"), 429);
    // Lower than what runs: nothing is broken off, and nothing begins before there are fewer.
    proxy.reload(&config("a", Some(2), None));
    clients.pop();
    eventually("two are left", || proxy.log().iter().any(|line| line["end"] == "client_gone"));
    assert_eq!(status(&proxy, "/a/ok"), 429);
    clients.pop();
    becomes_free(&proxy, "a", "a second one");
    // Higher.
    proxy.reload(&config("a", Some(4), None));
    clients.extend([streaming(&proxy, "a"), streaming(&proxy, "a"), streaming(&proxy, "a")]);
    assert_eq!(status(&proxy, "/a/ok"), 429);
    // None, and then one again: those that began under a limit count, the one in between does not.
    proxy.reload(&config("a", None, None));
    let between = streaming(&proxy, "a");
    proxy.reload(&config("a", Some(5), None));
    let fifth = streaming(&proxy, "a");
    assert_eq!(status(&proxy, "/a/ok"), 429);
    drop((between, fifth));
    becomes_free(&proxy, "a", "one that counted");
    // Another name is another route, and the old one is what it was when it comes back.
    proxy.reload(&config("b", Some(1), None));
    assert_eq!([status(&proxy, "/a/ok"), status(&proxy, "/b/ok")], [404, 200]);
    proxy.reload(&config("a", Some(4), None));
    assert_eq!(status(&proxy, "/a/ok"), 429, "four still run");
    drop(clients);
    becomes_free(&proxy, "a", "all of them");
    // The same for all routes together.
    proxy.reload(&config("a", None, Some(1)));
    let client = streaming(&proxy, "a");
    proxy.reload(&config("b", None, Some(1)));
    assert_eq!(status(&proxy, "/b/ok"), 429, "whatever its route is called now");
    drop(client);
    becomes_free(&proxy, "b", "the one of old");
}

#[test]
fn the_limits_are_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    let routes =
        json!({"a": {"target_url": "http://h", "limits": {"max_concurrency": 5}}, "b": {"target_url": "http://h"}});
    write_private(&path, &json!({"server": {"limits": {"max_concurrency": 50}}, "routes": routes}).to_string());
    let said = |arguments: &[&str]| {
        let output = aqueduct().args(arguments).arg("-c").arg(&path).output().expect("runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let checked = said(&["check"]);
    assert!(checked.contains("  server.limits.max_concurrency: 50\n"), "{checked}");
    assert!(checked.contains("  routes.a.limits.max_concurrency: 5\n") && !checked.contains("routes.b"), "{checked}");
    let explained = said(&["explain", "GET", "/a/x"]);
    assert!(
        explained.contains("Limits:           on this route: 5 at once; on all routes together: 50 at once"),
        "{explained}"
    );
    let explained = said(&["--lang", "zh", "explain", "GET", "/b/x"]);
    assert!(explained.contains("用量限制:     此路由: -；所有路由合计: 同时 50 个"), "{explained}");
}
