//! Streams that begin before their upstreams have answered: when they do, what they carry on, and how they fail.

mod failures;
mod sdks;
mod signs;

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

use crate::keepalive::{CHUNKED, COMMENT, EVENTS, chunk, comments, content, stepwise};
use crate::support::http2::{Http2Client, hear, run};
use crate::support::{Client, Message, PATIENCE, Proxy, Script, Upstream, aqueduct, eventually, write_private};
use crate::time_limits::black_hole;

const ASKS: &str = "GET /a HTTP/1.1\r\nHost: p\r\nAccept: text/event-stream\r\n\r\n";

/// A proxy whose route `a` speaks before its upstream does.
fn proxy(url: &str, more: &Value) -> Proxy {
    proxy_with(url, more, &json!({}))
}

/// The same, with more in the file than that.
fn proxy_with(url: &str, route: &Value, more: &Value) -> Proxy {
    let mut a = json!({"target_url": url, "sse_keepalive": "50ms", "sse_keepalive_before_head": true});
    a.as_object_mut().expect("an object").extend(route.as_object().expect("an object").clone());
    let mut config = json!({"server": {"workers": 1}, "routes": {"a": a}});
    for (name, value) in more.as_object().expect("an object") {
        match (config.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            (Some(known), Some(value)) => known.extend(value.clone()),
            _ => config[name] = value.clone(),
        }
    }
    Proxy::start(&config)
}

/// An upstream that answers a request when it is told to, but a witness never.
fn when_told(answer: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static) -> (Upstream, Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script: &mut Script| {
        if script.request()?.is_some_and(|request| request.target() == "/witness") {
            return script.until_closed();
        }
        let _ = wait.lock().expect("not poisoned").recv();
        answer(script)
    });
    (upstream, go)
}

/// So much time passes that whoever is to begin early has begun: the worker has let another client wait for so long.
fn a_while(proxy: &Proxy) {
    let mut witness = proxy.client();
    witness.send("GET /a/witness HTTP/1.1\r\nHost: p\r\nAccept: text/event-stream\r\n\r\n").head();
    comments(&mut witness, 4);
}

/// Whether nothing has been said to a client that it has not read.
fn is_silent(client: &Client) -> bool {
    client.stream().set_nonblocking(true).expect("a socket");
    let peeked = client.stream().peek(&mut [0]);
    client.stream().set_nonblocking(false).expect("a socket");
    client.unused().is_empty() && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads the head of a stream that has begun early.
fn begun(client: &mut Client) -> String {
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{head}");
    assert!(head.contains("\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"), "{head}");
    head
}

/// The rest of a stream in chunks that ends as it should, without comments and on a connection that stays.
fn events(client: &mut Client) -> String {
    let mut seen = String::new();
    while !seen.ends_with("0\r\n\r\n") {
        let some = client.some();
        assert!(!some.is_empty(), "it is not over: {seen}");
        seen.push_str(&String::from_utf8(some).expect("text"));
    }
    content(&seen).replace(COMMENT, "")
}

#[test]
fn a_stream_begins_when_its_upstream_has_not_answered() {
    let (one, two) = ("data: 1\n\n", "event: b\r\ndata: 2\r\n\r\n");
    let chunked = [format!("{EVENTS}X-Own: 1\r\n{CHUNKED}{}", chunk(one)), chunk(two) + "0\r\n\r\n", String::new()];
    let sized = [format!("{EVENTS}Content-Length: 30\r\n\r\n{one}"), two.to_owned(), String::new()];
    let closed = [format!("{EVENTS}\r\n{one}"), two.to_owned(), String::new()];
    for pieces in [&chunked, &sized, &closed] {
        for version in ["1.1", "1.0"] {
            let (upstream, go) = stepwise(pieces);
            let proxy = proxy(&upstream.url(), &json!({}));
            let mut client = proxy.client();
            client.send(format!(
                "GET /a HTTP/{version}\r\nHost: p\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
            ));
            let head = begun(&mut client);
            assert_eq!(head.contains("Transfer-Encoding: chunked\r\n"), version == "1.1", "{head}");
            assert_eq!(head.contains("Connection: close\r\n"), version == "1.1", "{head}");
            let mut seen = comments(&mut client, 3);
            go.send(()).expect("the upstream waits");
            // They go on between the events, whatever length the upstream has told the proxy.
            while !seen.split_once(one).is_some_and(|(_, after)| after.contains(COMMENT)) {
                seen.push_str(&String::from_utf8(client.some()).expect("text"));
            }
            go.send(()).expect("the upstream waits");
            let _ = go.send(());
            seen.push_str(&String::from_utf8(client.until_end().expect("an end in order")).expect("text"));
            let content = if version == "1.1" { content(&seen) } else { seen };
            assert!(content.starts_with(&format!("{COMMENT}{COMMENT}")), "{content}");
            assert_eq!(content.replace(COMMENT, ""), [one, two].concat());
            let line = proxy.logged(|_| true);
            assert_eq!((&line["status"], &line["end"], &line["bytes_out"]), (&json!(200), &json!("done"), &json!(30)));
        }
    }
}

#[test]
fn the_connection_goes_on_after_it() {
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"))]);
    let proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    begun(client.send(ASKS));
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), "data: 1\n\n");
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
}

#[test]
fn an_answer_that_comes_in_time_is_the_upstreams_untouched() {
    let answer = format!("{EVENTS}X-Own: 1\r\n{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"));
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    for (answer, status) in [(answer.as_str(), 200), (busy, 503)] {
        let upstream = Upstream::answering(answer);
        let proxy = proxy(&upstream.url(), &json!({"sse_keepalive": 10}));
        let received = proxy.client().ask(ASKS);
        assert_eq!(received.status(), status);
        let head = format!("{}\r\n\r\n", answer.split_once("\r\n\r\n").expect("a head").0);
        assert_eq!(received.head, head);
    }
}

#[test]
fn a_stream_begins_while_there_is_no_connection_yet() {
    let (address, waiting, listener) = black_hole();
    let body = r#"{"model": "m", "stream": true}"#;
    let proxy = proxy(&format!("http://{address}"), &json!({}));
    let mut client = proxy.client();
    // The rest of the body comes when nobody reads it, and though nobody has said that it may.
    let (first, rest) = body.split_at(20);
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}", body.len());
    client.send(format!("POST /a HTTP/1.1\r\nHost: p\r\n{fields}\r\n\r\n{first}"));
    let mut other = proxy.client();
    begun(other.send(ASKS));
    client.send(rest);
    begun(&mut client);
    comments(&mut client, 2);
    // Of a long request not all is taken in; it waits all the same.
    let mut long = proxy.client();
    long.send("POST /a HTTP/1.1\r\nHost: p\r\nAccept: text/event-stream\r\nContent-Length: 300000\r\n\r\n");
    long.send("x".repeat(200_000));
    begun(&mut long);
    // Who waits to be told to send gets nothing else before that.
    let mut expecting = proxy.client();
    let expects = ASKS.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expecting.send(expects);
    a_while(&proxy);
    assert!(is_silent(&expecting));
    drop((long, expecting));
    // Now somebody accepts. The system asks again by itself, after a second or so.
    drop((other, waiting));
    let event = "data: 1\n\n";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                let mut messages = Message::on(stream.try_clone().expect("a socket"));
                let Ok(Some(request)) = messages.request() else { continue };
                if request.text() == body {
                    let answer = format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk(event));
                    (&stream).write_all(answer.as_bytes()).expect("the proxy reads");
                    return;
                }
            }
        });
        assert_eq!(events(&mut client), event);
    });
}

#[test]
fn attempts_go_on_behind_it_and_the_client_sees_one_answer() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        // Asks to be left alone for longer than the client would wait for a sign.
        script.send("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy")?;
        script.request()?;
        let _ = wait.lock().expect("not poisoned").recv();
        script.send("HTTP/1.1 529 Overloaded\r\nContent-Length: 0\r\n\r\n")
    });
    let (other, event) = (format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n")), "data: 1\n\n");
    let other = Upstream::answering(other);
    let proxy = proxy_with(
        &upstream.url(),
        &json!({"retry": {"attempts": 2, "backoff": 0}, "fallback": ["b"]}),
        &json!({"routes": {"b": {"target_url": other.url()}}}),
    );
    let body = r#"{"stream": true}"#;
    let mut client = proxy.client();
    client.send(format!("POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    upstream.request();
    let head = begun(&mut client);
    assert!(!head.contains("x-aqueduct"), "{head}");
    upstream.request();
    comments(&mut client, 2);
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), event);
    assert_eq!(other.request().text(), body);
    let line = proxy.logged(|_| true);
    assert_eq!((&line["attempts"], &line["fallback"], &line["status"]), (&json!(3), &json!("b"), &json!(200)));
}

#[test]
fn what_begins_with_an_error_is_met_as_ever() {
    let failing = format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: {\"error\": {\"code\": 503}}\n\n"));
    let (upstream, go) = stepwise(&[failing]);
    let other = Upstream::answering(format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n")));
    let proxy = proxy_with(
        &upstream.url(),
        &json!({"retry": {"detect_stream_errors": true}, "fallback": ["b"]}),
        &json!({"routes": {"b": {"target_url": other.url()}}}),
    );
    let mut client = proxy.client();
    begun(client.send(ASKS));
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), "data: 1\n\n");
}

#[test]
fn clients_that_speak_http_2_get_it_too() {
    let (one, two) = ("data: 1\n\n", "data: 2\n\n");
    for framing in [CHUNKED, "Content-Length: 18\r\n\r\n"] {
        let pieces = [one, two].map(|event| if framing == CHUNKED { chunk(event) } else { event.to_owned() });
        let end = if framing == CHUNKED { "0\r\n\r\n" } else { "" };
        let (upstream, go) = stepwise(&[format!("{EVENTS}{framing}{}", pieces[0]), format!("{}{end}", pieces[1])]);
        let proxy = proxy(&upstream.url(), &json!({}));
        run(async {
            let mut client = Http2Client::connect(proxy.address()).await;
            let request = http::Request::get("http://p/a").header("accept", "text/event-stream");
            let (answer, _) = client.begin(request.body(()).expect("a request"), true).await;
            let answer = answer.await.expect("an answer");
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["cache-control"]),
                (200, &"no-cache".parse().expect("text"))
            );
            let mut body = answer.into_body();
            let (mut seen, mut steps) = (String::new(), 0);
            while let Some(data) = body.data().await {
                let data = data.expect("no cut");
                let _ = body.flow_control().release_capacity(data.len());
                seen.push_str(&String::from_utf8_lossy(&data));
                if seen.matches(COMMENT).count() >= 2 * (steps + 1) && steps < 2 {
                    go.send(()).expect("the upstream waits");
                    steps += 1;
                }
            }
            assert!(seen.starts_with(&COMMENT.repeat(2)), "{seen}");
            assert_eq!(seen.replace(COMMENT, ""), [one, two].concat());
        });
    }
}

/// A client that takes in one sign and the beginning of another, and then no more until it is asked for the answer.
async fn slow_reader(proxy: &Proxy) -> http::Response<h2::RecvStream> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(u32::try_from(COMMENT.len()).expect("small") + 6);
    let mut client = Http2Client::connect_as(proxy.address(), &builder).await;
    let request = http::Request::get("http://p/a").header("accept", "text/event-stream");
    let (answer, _) = client.begin(request.body(()).expect("a request"), true).await;
    answer.await.expect("an answer")
}

#[test]
fn who_does_not_read_gets_no_more_of_it_and_the_rest_in_order() {
    let (upstream, go) = stepwise(&[format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"))]);
    let proxy = proxy(&upstream.url(), &json!({}));
    run(async {
        let answer = slow_reader(&proxy).await;
        a_while(&proxy);
        go.send(()).expect("the upstream waits");
        let heard = hear(answer).await;
        assert_eq!((heard.status, heard.cut), (200, None));
        // The sign that was cut in two is whole, and nothing has been queued behind it all the time.
        let seen = String::from_utf8(heard.body).expect("text");
        assert!(seen.starts_with(&COMMENT.repeat(2)) && seen.ends_with("data: 1\n\n"), "{seen}");
        assert_eq!(seen.replace(COMMENT, ""), "data: 1\n\n");
    });
}

#[test]
fn who_does_not_read_is_not_waited_for_for_ever() {
    let (upstream, _go) = stepwise(&[String::new()]);
    let limits = json!({"server": {"limits": {"write_timeout": "300ms"}}});
    let proxy = proxy_with(&upstream.url(), &json!({}), &limits);
    run(async {
        let answer = slow_reader(&proxy).await;
        let line = proxy.logged(|line| line["route"] == "a");
        assert_eq!((&line["end"], &line["status"]), (&json!("client_stalled"), &json!(200)));
        assert!(hear(answer).await.cut.is_some());
    });
}

#[test]
fn usage_is_read_along_behind_it() {
    let last =
        "data: {\"model\": \"m\", \"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 3}}\n\n";
    for answer in [
        format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk(last)),
        format!("{EVENTS}Content-Length: {}\r\n\r\n{last}", last.len()),
        format!("{EVENTS}\r\n{last}"),
    ] {
        let (upstream, go) = stepwise(&[answer]);
        let proxy = proxy(&upstream.url(), &json!({"usage": true}));
        let mut client = proxy.client();
        client.send("POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 31\r\n\r\n{\"stream\": true, \"model\": \"ask\"}");
        begun(&mut client);
        go.send(()).expect("the upstream waits");
        assert_eq!(events(&mut client), last);
        let line = proxy.logged(|_| true);
        let figures = json!([line["model"], line["tokens_in"], line["tokens_out"], line["usage_partial"]]);
        assert_eq!(figures, json!(["m", 9, 3, false]));
    }
}

#[test]
fn pages_may_read_it_and_refusals_come_before_it() {
    let (upstream, _go) = stepwise(&[String::new()]);
    let proxy = proxy_with(
        &upstream.url(),
        &json!({"limits": {"max_concurrency": 1}}),
        &json!({"client_keys": {"alice": {"key": "alice-0123456789abcdef"}}, "cors": {"origins": ["https://app.example"]}}),
    );
    let asks = |key: &str| {
        format!(
            "GET /a HTTP/1.1\r\nHost: p\r\nAccept: text/event-stream\r\nOrigin: https://app.example\r\nx-aqueduct-key: {key}\r\n\r\n"
        )
    };
    let mut client = proxy.client();
    client.send(asks("alice-0123456789abcdef"));
    let head = begun(&mut client);
    assert!(head.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n"), "{head}");
    assert_eq!(proxy.client().ask(asks("nobody")).status(), 401);
    assert_eq!(proxy.client().ask(asks("alice-0123456789abcdef")).status(), 429);
}

#[test]
fn a_client_that_leaves_takes_the_upstream_along() {
    for leaves_early in [true, false] {
        let (gone, has_gone) = channel();
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            let _ = script.until_closed();
            let _ = gone.send(());
            Ok(())
        });
        let every = if leaves_early { "10s" } else { "50ms" };
        let proxy = proxy(&upstream.url(), &json!({"sse_keepalive": every}));
        let mut client = proxy.client();
        client.send(ASKS);
        upstream.request();
        if !leaves_early {
            begun(&mut client);
            comments(&mut client, 2);
        }
        drop(client);
        has_gone.recv_timeout(PATIENCE).expect("the upstream is left");
        let line = proxy.logged(|_| true);
        let status = if leaves_early { Value::Null } else { json!(200) };
        assert_eq!((&line["end"], &line["status"]), (&json!("client_gone"), &status));
    }
}

#[test]
fn at_the_end_of_the_program_it_finishes_or_is_cut_visibly() {
    let answer = format!("{EVENTS}{CHUNKED}{}0\r\n\r\n", chunk("data: 1\n\n"));
    let (upstream, go) = stepwise(&[answer]);
    let mut proxy = proxy(&upstream.url(), &json!({}));
    let mut client = proxy.client();
    begun(client.send(ASKS));
    proxy.signal("TERM");
    proxy.says("Stopping");
    comments(&mut client, 3);
    go.send(()).expect("the upstream waits");
    assert_eq!(events(&mut client), "data: 1\n\n");
    assert_eq!(proxy.ended().code(), Some(0));

    for version in ["1.1", "1.0"] {
        let (upstream, _go) = stepwise(&[String::new(), String::new()]);
        let mut proxy =
            proxy_with(&upstream.url(), &json!({}), &json!({"server": {"workers": 1, "shutdown_timeout": "300ms"}}));
        let mut client = proxy.client();
        begun(client.send(ASKS.replace("HTTP/1.1", &format!("HTTP/{version}"))));
        proxy.signal("TERM");
        assert_eq!(proxy.ended().code(), Some(0));
        match client.until_end() {
            Ok(seen) => assert!(version == "1.1" && !seen.ends_with(b"0\r\n\r\n"), "no end is made up"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        eventually("the cut is on record", || proxy.log().len() == 1);
        assert_eq!((&proxy.log()[0]["end"], &proxy.log()[0]["status"]), (&json!("drained"), &json!(200)));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place_and_explain_shows_the_rest() {
    let run = |route: Value, arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a directory");
        write_private(&directory.path().join("config.json"), &json!({"routes": {"a": route}}).to_string());
        let output = aqueduct().current_dir(directory.path()).args(arguments).output().expect("runs");
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
    };
    let both = json!({"target_url": "http://h", "sse_keepalive": 15, "sse_keepalive_before_head": true});
    for (more, is_good, said) in [
        (json!({}), true, ""),
        (json!({"sse_keepalive": 0}), false, "routes.a.sse_keepalive_before_head: nothing says after how long"),
        (json!({"sse_keepalive_before_head": 1}), false, "sse_keepalive_before_head: expected true or false"),
        (json!({"custom_headers": {"Accept-Encoding": "gzip"}}), true, "custom_headers.Accept-Encoding: with 'sse_"),
        (json!({"custom_headers": {"accept-encoding": "identity"}}), true, ""),
    ] {
        let mut route = both.clone();
        route.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (succeeded, text) = run(route, &["check", "--lang", "en"]);
        assert!(succeeded == is_good && text.contains(said), "{more}: {text}");
        assert_eq!(text.contains("sse_keepalive_before_head"), !said.is_empty(), "{more}: {text}");
    }
    let explain =
        |header| run(both.clone(), &["explain", "POST", "/a/x", "-H", header, "-H", "accept-encoding: gzip"]).1;
    let said = explain("Accept: text/event-stream");
    assert!(said.contains("'accept-encoding' says 'identity'") && said.contains("before the answer begins"), "{said}");
    let said = explain("Accept: */*");
    assert!(!said.contains("identity") && !said.contains("before the answer begins"), "{said}");
}
