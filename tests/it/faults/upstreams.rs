//! Upstreams that break off, drag on, or never come to the point.

use std::io;
use std::time::Duration;

use serde_json::json;

use crate::support::{Proxy, Script, Upstream};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

fn failed(play: impl Fn(&mut Script) -> io::Result<()> + Send + Sync + 'static) -> (u16, String, String) {
    let upstream = Upstream::playing(play);
    let timeouts = json!({"first_byte": "500ms"});
    let proxy = Proxy::start(&json!({"timeouts": timeouts, "routes": {"a": {"target_url": upstream.url()}}}));
    let mut client = proxy.client();
    let answer = client.ask(GET);
    let line = proxy.logged(|_| true);
    // The client's connection is none the worse for it.
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
    (answer.status(), answer.json()["code"].as_str().expect("a code").to_owned(), line["end"].to_string())
}

#[test]
fn a_reset_before_the_head() {
    let (status, code, _) = failed(|script| {
        script.request()?;
        script.reset();
        Ok(())
    });
    assert_eq!((status, code.as_str()), (502, "upstream_reset"));
}

#[test]
fn a_reset_inside_the_head() {
    let (status, code, _) = failed(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nContent-Le")?;
        script.reset();
        Ok(())
    });
    assert_eq!((status, code.as_str()), (502, "upstream_reset"));
}

#[test]
fn a_head_that_comes_byte_by_byte_for_ever() {
    let (status, code, end) = failed(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nX: ")?;
        loop {
            script.send("x")?;
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert_eq!((status, code.as_str(), end.as_str()), (504, "upstream_timeout", "\"first_byte_timeout\""));
}

#[test]
fn fields_without_end() {
    let (status, code, _) = failed(|script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\n")?;
        loop {
            script.send("X: y\r\n".repeat(100))?;
        }
    });
    assert_eq!((status, code.as_str()), (502, "upstream_bad_answer"));
}

#[test]
fn interim_answers_without_end() {
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"] {
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            loop {
                script.send(interim.repeat(100))?;
            }
        });
        let proxy = Proxy::to(&upstream);
        let mut client = proxy.client();
        client.send(GET);
        // Early hints are passed on, as many as are allowed.
        let mut heads = Vec::new();
        while heads.last().is_none_or(|head: &String| head.starts_with("HTTP/1.1 1")) {
            heads.push(client.head());
        }
        assert!(heads.len() <= 17 && heads[heads.len() - 1].starts_with("HTTP/1.1 502 "), "{heads:#?}");
        assert_eq!(proxy.logged(|_| true)["code"], "upstream_bad_answer");
    }
}
