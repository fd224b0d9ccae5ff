//! Clients that leave before their answer is over: where the configuration says so it is read on, for its figures.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use h2::Reason;
use serde_json::{Value, json};

use crate::support::http2::{Http2Client, hears, post, run};
use crate::support::{Client, PATIENCE, Proxy, Upstream};

const POST: &str = "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const WORD: &str = "data: {\"model\": \"m\", \"choices\": [{\"delta\": {\"content\": \"word\"}}], \"usage\": null}\n\n";
const LAST: &str =
    "data: {\"model\": \"m\", \"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 3}}\n\n";

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

/// An upstream that sends these pieces, each when it is told to, and says when it has sent all or has been left.
fn stepwise(pieces: Vec<String>) -> (Upstream, Sender<()>, Receiver<&'static str>) {
    let (go, wait) = channel::<()>();
    let (over, is_over) = channel();
    let wait: Mutex<Receiver<()>> = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        let wait = wait.lock().expect("not poisoned");
        for piece in &pieces {
            let _ = wait.recv();
            script.send(piece)?;
        }
        let _ = over.send("sent");
        let _ = script.until_closed();
        let _ = over.send("closed");
        Ok(())
    });
    (upstream, go, is_over)
}

fn draining(upstream: &Upstream, more: &Value) -> Proxy {
    let mut config = json!({"usage": true, "on_client_gone": "drain", "routes": {"a": {"target_url": upstream.url()}}});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Proxy::start(&config)
}

/// Leaves, and waits until the proxy has seen it: its only worker answers questions that come later after that.
fn leaves(client: Client, proxy: &Proxy) {
    drop(client);
    assert_eq!(proxy.client().send("GET / HTTP/1.1\r\nHost: p\r\n\r\n").answer().status(), 200);
}

fn figures(line: &Value) -> Value {
    json!([line["end"], line["status"], line["model"], line["tokens_in"], line["tokens_out"], line["usage_partial"]])
}

#[test]
fn an_answer_is_read_to_its_end_though_its_client_left() {
    let answer = vec![HEAD.to_owned(), chunk(WORD), chunk(WORD), chunk(LAST) + "0\r\n\r\n"];
    // After a word, after the head, and before any of the answer.
    for heard in [2, 1, 0] {
        let (upstream, go, _over) = stepwise(answer.clone());
        let proxy = draining(&upstream, &json!({}));
        let mut client = proxy.client();
        client.send(POST);
        upstream.request();
        (0..heard).for_each(|_| go.send(()).expect("the upstream waits"));
        match heard {
            2 => client.hears("word"),
            1 => _ = client.head(),
            _ => {}
        }
        leaves(client, &proxy);
        // Nobody hears the rest, but it comes.
        (heard..answer.len()).for_each(|_| go.send(()).expect("the upstream waits"));
        let line = proxy.logged(|line| line["route"] == "a");
        assert_eq!(figures(&line), json!(["client_gone", 200, "m", 9, 3, false]), "{heard}");
    }
}

#[test]
fn a_stream_of_http2_that_is_reset_is_read_to_its_end() {
    let (upstream, go, _over) = stepwise(vec![HEAD.to_owned() + &chunk(WORD), chunk(LAST) + "0\r\n\r\n"]);
    let proxy = draining(&upstream, &json!({}));
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        let (answer, mut send) = client.begin(post("/a/x"), true).await;
        upstream.request();
        go.send(()).expect("the upstream waits");
        hears(answer.await.expect("an answer").body_mut(), "word").await;
        send.send_reset(Reason::CANCEL);
        assert_eq!(client.get("/none").await.status, 404);
    });
    go.send(()).expect("the upstream waits");
    let line = proxy.logged(|line| line["route"] == "a");
    assert_eq!(figures(&line), json!(["client_gone", 200, "m", 9, 3, false]));
}

#[test]
fn it_holds_its_place_meanwhile_and_for_so_long_and_no_longer() {
    let (upstream, go, over) = stepwise(vec![HEAD.to_owned() + &chunk(WORD), chunk(LAST)]);
    let proxy = draining(
        &upstream,
        &json!({"drain_timeout": "400ms", "routes": {"a": {"target_url": upstream.url(), "limits": {"max_concurrency": 1}}}}),
    );
    let mut client = proxy.client();
    client.send(POST);
    upstream.request();
    go.send(()).expect("the upstream waits");
    client.hears("word");
    drop(client);
    let refused = proxy.client().send(POST).answer();
    assert_eq!(refused.field("x-aqueduct-error"), Some("concurrency_limited"));
    // The end of the stream never comes.
    go.send(()).expect("the upstream waits");
    assert_eq!(over.recv_timeout(PATIENCE), Ok("sent"));
    assert_eq!(over.recv_timeout(PATIENCE), Ok("closed"));
    let line = proxy.logged(|line| line["status"] == 200);
    assert_eq!(figures(&line), json!(["client_gone", 200, "m", 9, 3, true]));
    assert!(line["duration_ms"].as_f64() >= Some(400.0), "{line}");
}

#[test]
fn what_is_not_paid_for_or_not_heard_ends_with_its_client() {
    let json_head = "HTTP/1.1 404 No\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for (request, more, first) in [
        // What is off, what is not a POST, and what is no good answer.
        (POST, json!({"routes": {}, "on_client_gone": "cancel"}), HEAD.to_owned() + &chunk(WORD)),
        (POST, json!({"routes": {}, "usage": false}), HEAD.to_owned() + &chunk(WORD)),
        ("GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n", json!({"routes": {}}), HEAD.to_owned() + &chunk(WORD)),
        (POST, json!({"routes": {}}), json_head + &chunk("word")),
    ] {
        let (upstream, go, over) = stepwise(vec![first]);
        let mut more = more;
        more["routes"] = json!({"a": {"target_url": upstream.url()}});
        let proxy = draining(&upstream, &more);
        let mut client = proxy.client();
        client.send(request);
        upstream.request();
        go.send(()).expect("the upstream waits");
        client.hears("word");
        drop(client);
        assert_eq!(over.recv_timeout(PATIENCE), Ok("sent"));
        assert_eq!(over.recv_timeout(PATIENCE), Ok("closed"), "{more}");
        assert_eq!(proxy.logged(|line| line["route"] == "a")["end"], "client_gone");
    }
    // A request that is not whole has not been paid for.
    let (upstream, _go, _over) = stepwise(vec![HEAD.to_owned()]);
    let proxy = draining(&upstream, &json!({}));
    let mut client = proxy.client();
    client.send("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 20\r\n\r\n{");
    drop(client);
    assert_eq!(proxy.logged(|line| line["route"] == "a")["end"], "client_gone");
}

#[test]
fn the_end_of_the_program_ends_it_too() {
    let (upstream, go, _over) = stepwise(vec![HEAD.to_owned() + &chunk(WORD)]);
    let mut proxy = draining(&upstream, &json!({"server": {"shutdown_timeout": "200ms"}}));
    let mut client = proxy.client();
    client.send(POST);
    upstream.request();
    go.send(()).expect("the upstream waits");
    client.hears("word");
    drop(client);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(proxy.logged(|line| line["route"] == "a")["usage_partial"], true);
}
