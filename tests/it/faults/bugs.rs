//! One bug costs one connection.

use serde_json::json;

use crate::support::http2::{Http2Client, get, run};
use crate::support::{Proxy, Upstream, eventually};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

#[test]
fn a_panic_costs_one_connection_and_nothing_else() {
    let upstream = Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            if request.target() == "/stream" {
                script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
                let _ = script.until_closed();
                return Ok(());
            }
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let config = json!({
        "server": {"limits": {"max_connections": 3}, "workers": 1},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    let mut proxy = Proxy::start_with(&config, |command| {
        command.env("AQUEDUCT_BUG_AT", "/a/bug");
    });
    let mut stream = proxy.client();
    stream.send("GET /a/stream HTTP/1.1\r\nHost: p\r\n\r\n").head();
    stream.hears("a");
    let mut other = proxy.client();
    assert_eq!(other.ask(GET).status(), 200);
    for count in 1..=5 {
        // There is room for one more: who met a bug has left it.
        let mut unlucky = proxy.client();
        unlucky.send("GET /a/bug?key=sk-secret HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer sk-secret\r\n\r\n");
        assert!(unlucky.is_closed());
        eventually("it is told", || proxy.err().matches("Bug: ").count() == count);
        assert_eq!(other.ask(GET).status(), 200);
    }
    eventually("there is room", || proxy.client().send(GET).try_answer().is_ok_and(|answer| answer.status() == 200));
    assert_eq!(proxy.err().lines().count(), 5, "{}", proxy.err());
    assert!(proxy.err().contains("src/proxy/bug.rs:") && !proxy.err().contains("sk-secret"));
    assert!(!proxy.out().contains("sk-secret"));
    // It ends as ever, and the stream with it: nothing is left that an end would wait for.
    drop(stream);
    proxy.signal("TERM");
    assert!(proxy.ended().success());
}

#[test]
fn a_panic_costs_one_stream_of_a_connection_that_many_share() {
    let upstream = Upstream::ok();
    let config = json!({"routes": {"a": {"target_url": upstream.url()}}});
    let proxy = Proxy::start_with(&config, |command| {
        command.env("AQUEDUCT_BUG_AT", "/a/bug");
    });
    run(async {
        let mut client = Http2Client::connect(proxy.address()).await;
        for _ in 0..3 {
            let (answer, _) = client.begin(get("/a/bug"), true).await;
            assert!(answer.await.is_err());
            assert_eq!(client.get("/a").await.status, 200);
        }
    });
    eventually("it is told", || proxy.err().matches("Bug: ").count() == 3);
}
