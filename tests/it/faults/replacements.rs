//! Configurations that are replaced again and again, and often badly.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::support::{Client, Proxy, Upstream, eventually, write_private};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";
const REPLACEMENTS: usize = 200;

#[test]
fn two_hundred_replacements_half_of_them_torn_cost_no_request_and_no_stream() {
    let upstream = Upstream::playing(|script| {
        while let Some(request) = script.request()? {
            if request.target() == "/stream" {
                script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
                script.until_closed()?;
                return Ok(());
            }
            script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    });
    let config = |number: usize| {
        json!({
            "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 2, "reload_interval": -1},
            "routes": {"a": {"target_url": upstream.url()}, format!("r{number}"): {"target_url": upstream.url()}},
        })
        .to_string()
    };
    let proxy = Proxy::start_text(&config(0), |_| {});
    let mut stream = proxy.client();
    stream.send("GET /a/stream HTTP/1.1\r\nHost: p\r\n\r\n").head();
    stream.hears("a");
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let goes_on = || !stop.load(Ordering::SeqCst);
    let ask = |client: &mut Client| {
        assert_eq!(client.ask(GET).status(), 200);
        asked.fetch_add(1, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        let stops = scopeguard(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = proxy.client();
                while goes_on() {
                    ask(&mut client);
                }
            });
        }
        scope.spawn(|| {
            while goes_on() {
                ask(&mut proxy.client());
            }
        });
        let (mut good, mut bad) = (0, 0);
        for number in 1..=REPLACEMENTS {
            let text = config(number);
            if number % 2 == 0 {
                write_private(&proxy.config_path(), &text);
                good += 1;
            } else {
                // Cut off wherever it may be.
                write_private(&proxy.config_path(), &text[..text.len() * number / (REPLACEMENTS + 1)]);
                bad += 1;
            }
            let before = asked.load(Ordering::SeqCst);
            proxy.signal("HUP");
            eventually("the file is read", || {
                let reloads = proxy.out().matches("Configuration reloaded").count();
                (reloads, proxy.err().matches("failed to load or reload").count()) == (good, bad)
            });
            if number % 2 == 0 {
                let target = format!("GET /r{number} HTTP/1.1\r\nHost: p\r\n\r\n");
                assert_eq!(proxy.client().ask(target).status(), 200, "the new one is in force");
            }
            eventually("requests go on", || asked.load(Ordering::SeqCst) > before);
        }
        drop(stops);
    });
    // The stream has the configuration with which it began, and goes on with it.
    let left = proxy.log().iter().filter(|line| line["path"] == "/a/stream").count();
    assert_eq!(left, 0, "the stream has ended");
    assert!(proxy.log().iter().all(|line| line["status"] == 200), "a request has failed");
}

/// Lets the others stop also where this thread fails.
fn scopeguard(stop: &AtomicBool) -> impl Drop + '_ {
    struct Stops<'a>(&'a AtomicBool);
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    Stops(stop)
}
