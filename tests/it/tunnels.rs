//! Tunnels: what follows a 101, byte by byte, until both sides have ended it.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Authority, PATIENCE, Proxy, Script, TlsUpstream, Upstream, eventually, write_private};
use crate::upgrades::{ASK, SWITCH, switched, switching};

fn with(upstream: &Upstream, more: &[(&str, Value)]) -> Proxy {
    let mut config = json!({"routes": {"a": {"target_url": upstream.url()}}});
    for (name, value) in more {
        config[name] = value.clone();
    }
    Proxy::start(&config)
}

/// What the log says of the one exchange: how it ended, and how much went by.
fn ended(proxy: &Proxy) -> (String, u64, u64) {
    let line = proxy.logged(|_| true);
    assert_eq!((line["status"].as_u64(), &line["code"]), (Some(101), &Value::Null));
    let bytes = |name: &str| line[name].as_u64().expect("a number");
    (line["end"].as_str().expect("an end").to_owned(), bytes("bytes_in"), bytes("bytes_out"))
}

#[test]
fn bytes_pass_both_ways_at_once() {
    let upstream = switching(|script| {
        loop {
            let said = script.some()?;
            if said.is_empty() {
                return Ok(());
            }
            script.send(said)?;
        }
    });
    let proxy = Proxy::to(&upstream);
    let mut client = switched(&proxy);
    for said in ["a", "\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}\u{7f}", "0\r\n\r\n"] {
        assert_eq!(String::from_utf8_lossy(&client.send(said).some()), said);
    }
    let much: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut writer = client.stream().try_clone().expect("a socket");
    let sent = much.clone();
    let sends = std::thread::spawn(move || writer.write_all(&sent));
    let mut heard = Vec::new();
    while heard.len() < much.len() {
        heard.extend(client.some());
    }
    sends.join().expect("ends").expect("the proxy reads");
    assert!(heard == much, "what comes back is what was sent");
    assert_eq!(client.finish().until_end().expect("an orderly end"), b"");
    assert_eq!(ended(&proxy), ("done".into(), 3_000_031, 3_000_031));
}

#[test]
fn what_comes_behind_either_head_goes_first() {
    let upstream = Upstream::playing(|script| {
        script.request()?;
        // Nothing may arrive before the switch. That cannot be waited for; what came would be seen here.
        script.stream().set_read_timeout(Some(Duration::from_millis(300)))?;
        assert!(script.some().is_err(), "the client's bytes wait for the switch");
        script.stream().set_read_timeout(Some(PATIENCE))?;
        script.send([SWITCH.as_bytes(), b"first "].concat())?;
        script.send("second ")?;
        let mut heard = Vec::new();
        while heard.len() < 40_009 {
            heard.extend(script.some()?);
        }
        assert!(heard.starts_with(b"early") && heard.ends_with(b"late"));
        script.send("heard")
    });
    let proxy = Proxy::to(&upstream);
    let mut client = proxy.client();
    // More than is read ahead of an answer.
    client.send([ASK.as_bytes(), b"early", &[b'x'; 40_000]].concat());
    client.send("late");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.until_end().expect("an orderly end"), b"first second heard");
}

#[test]
fn a_client_may_end_first() {
    let upstream = switching(|script| {
        let heard = script.until_end()?;
        script.send("you said: ")?;
        script.send(heard)
    });
    let proxy = Proxy::to(&upstream);
    let mut client = switched(&proxy);
    client.send("all that I have").finish();
    assert_eq!(client.until_end().expect("an orderly end"), b"you said: all that I have");
    assert_eq!(ended(&proxy), ("done".into(), 15, 25));
}

#[test]
fn an_upstream_may_end_first() {
    let (heard, hears) = channel();
    let upstream = switching(move |script| {
        script.send("all that I have")?;
        script.finish()?;
        let _ = heard.send(script.until_end()?);
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = switched(&proxy);
    assert_eq!(client.until_end().expect("an orderly end"), b"all that I have");
    client.send("I still talk").finish();
    assert_eq!(hears.recv_timeout(PATIENCE).expect("heard"), b"I still talk");
    assert_eq!(ended(&proxy), ("done".into(), 12, 15));
}

#[test]
fn a_client_that_leaves_ends_the_upstream() {
    for resets in [false, true] {
        let (closed, is_closed) = channel();
        let upstream = switching(move |script| {
            script.send("hello")?;
            let _ = closed.send(script.until_end().map_err(|error| error.kind()));
            Ok(())
        });
        let proxy = Proxy::to(&upstream);
        let mut client = switched(&proxy);
        client.hears("hello");
        if resets {
            client.reset();
        } else {
            drop(client);
        }
        let seen = is_closed.recv_timeout(PATIENCE).expect("the upstream connection ends");
        let (seen_wanted, end) = match resets {
            false => (Ok(Vec::new()), "done"),
            true => (Err(std::io::ErrorKind::ConnectionReset), "client_gone"),
        };
        assert_eq!((seen, ended(&proxy).0.as_str()), (seen_wanted, end));
    }
}

#[test]
fn a_client_that_left_is_noticed_when_it_is_spoken_to() {
    let (closed, is_closed) = channel();
    let upstream = switching(move |script| {
        // The end of what the client sends is not its leaving.
        script.until_end()?;
        while script.send("hello").is_ok() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = closed.send(());
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    drop(switched(&proxy));
    is_closed.recv_timeout(PATIENCE).expect("the upstream connection ends");
    assert_eq!(ended(&proxy).0, "client_gone");
}

#[test]
fn an_upstream_that_breaks_off_is_seen_by_the_client() {
    let upstream = switching(|script| {
        script.send("hello")?;
        // What came before the reset has been passed on by then.
        script.some()?;
        script.reset();
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    let mut client = switched(&proxy);
    client.hears("hello");
    client.send("x");
    let end = client.until_end().map_err(|error| error.kind());
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(ended(&proxy).0, "upstream_cut");
}

#[test]
fn the_last_words_of_an_upstream_that_takes_no_more_are_delivered() {
    let upstream = switching(|script| {
        script.stream().peek(&mut [0])?;
        // It closes with bytes of the client unread, which makes its end a reset.
        script.send("goodbye")
    });
    let proxy = Proxy::to(&upstream);
    for _ in 0..20 {
        let mut client = switched(&proxy);
        let mut writer = client.stream().try_clone().expect("a socket");
        let floods = std::thread::spawn(move || while writer.write_all(&[b'x'; 1024]).is_ok() {});
        client.hears("goodbye");
        let _ = client.until_end();
        floods.join().expect("ends");
    }
    eventually("every end is on record", || proxy.log().len() == 20);
    assert!(proxy.log().iter().all(|line| line["end"] == "upstream_cut"));
}

#[test]
fn silence_of_both_ends_a_tunnel() {
    let upstream = switching(Script::until_closed);
    let proxy = with(&upstream, &[("timeouts", json!({"idle": "300ms"}))]);
    let mut client = switched(&proxy);
    assert!(client.until_end().is_err(), "the cut is visible");
    assert_eq!(ended(&proxy).0, "idle_timeout");
}

#[test]
fn silence_of_one_does_not() {
    let upstream = switching(|script| {
        let mut heard = 0;
        while heard < 20 {
            heard += script.some()?.len();
        }
        // Now it is the client that is silent, and it may have said its last word.
        for _ in 0..20 {
            std::thread::park_timeout(Duration::from_millis(100));
            script.send("x")?;
        }
        Ok(())
    });
    let proxy = with(&upstream, &[("timeouts", json!({"idle": 1}))]);
    let mut client = switched(&proxy);
    for _ in 0..20 {
        std::thread::park_timeout(Duration::from_millis(100));
        client.send("x");
    }
    assert_eq!(client.finish().until_end().expect("an orderly end").len(), 20);
    assert_eq!(ended(&proxy).0, "done");
}

#[test]
fn a_tunnel_can_be_limited_as_a_whole() {
    let upstream = switching(|script| {
        while script.send("x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    });
    let proxy = with(&upstream, &[("timeouts", json!({"total": "500ms"}))]);
    let mut client = switched(&proxy);
    assert!(client.until_end().is_err(), "the cut is visible");
    assert_eq!(ended(&proxy).0, "total_timeout");
}

#[test]
fn who_does_not_read_slows_the_other_down_and_is_let_go() {
    let endless = vec![b'x'; 64 * 1024];
    // An upstream that does not read.
    let upstream = switching(|script| {
        let mut stream = script.stream();
        while stream.write_all(b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    });
    let proxy = with(&upstream, &[("timeouts", json!({"idle": "500ms"}))]);
    let client = switched(&proxy);
    let (mut writer, mut sent) = (client.stream(), 0);
    while writer.write_all(&endless).is_ok() {
        sent += endless.len();
        assert!(sent < 64 << 20, "more is taken from the client than anybody reads");
    }
    assert_eq!(ended(&proxy).0, "idle_timeout");
    // A client that does not read.
    let (sent, has_sent) = channel();
    let upstream = switching(move |script| {
        let (mut stream, mut total) = (script.stream(), 0_usize);
        while stream.write_all(&endless).is_ok() {
            total += endless.len();
        }
        let _ = sent.send(total);
        Ok(())
    });
    let proxy = with(&upstream, &[("server", json!({"limits": {"write_timeout": "500ms"}}))]);
    let client = switched(&proxy);
    let total = has_sent.recv_timeout(PATIENCE).expect("the upstream is let go");
    assert!(total < 64 << 20, "{total} bytes were taken from the upstream though nobody read them");
    assert_eq!(ended(&proxy).0, "client_stalled");
    drop(client);
}

#[test]
fn a_tunnel_may_finish_when_the_program_ends() {
    let upstream = switching(|script| {
        let heard = script.until_end()?;
        script.send(heard)
    });
    let mut proxy = Proxy::to(&upstream);
    let mut client = switched(&proxy);
    client.send("before ");
    proxy.signal("TERM");
    proxy.says("Stopping");
    assert!(proxy.is_alive());
    assert_eq!(client.send("after").finish().until_end().expect("an orderly end"), b"before after");
    assert_eq!(proxy.ended().code(), Some(0));
    assert_eq!(ended(&proxy).0, "done");
}

#[test]
fn a_tunnel_that_does_not_finish_is_cut_visibly() {
    let (cut, is_cut) = channel();
    let upstream = switching(move |script| {
        script.send("hello")?;
        let _ = cut.send(script.until_end().is_err());
        Ok(())
    });
    let mut proxy = with(&upstream, &[("server", json!({"shutdown_timeout": "300ms"}))]);
    let mut client = switched(&proxy);
    client.send("hi").hears("hello");
    proxy.signal("TERM");
    assert!(client.until_end().is_err(), "the cut is visible");
    assert!(is_cut.recv_timeout(PATIENCE).expect("the upstream connection ends"), "the cut is visible there too");
    assert_eq!(proxy.ended().code(), Some(0));
    eventually("the cut is on record", || proxy.log().len() == 1);
    assert_eq!(ended(&proxy), ("drained".into(), 2, 5));
}

#[test]
fn tunnels_go_over_tls_too() {
    let upstream = TlsUpstream::playing("localhost", |stream| {
        stream.write_all([SWITCH.as_bytes(), b"first "].concat().as_slice())?;
        let mut said = [0; 5];
        stream.read_exact(&mut said)?;
        stream.write_all(&said)?;
        // The client has ended what it sends, and is told all the same.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        stream.write_all(b" and goodbye")?;
        stream.conn.send_close_notify();
        stream.flush()
    });
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    write_private(&ca_file, &upstream.certificate);
    let route = json!({"target_url": format!("https://localhost:{}", upstream.port())});
    let proxy = Proxy::start(&json!({"ca_file": ca_file, "routes": {"a": route}}));
    let mut client = switched(&proxy);
    client.send("hello").hears("hello");
    assert_eq!(client.finish().until_end().expect("an orderly end"), b" and goodbye");
    assert_eq!(upstream.session().protocol.as_deref(), Some("http/1.1"));
    assert_eq!(ended(&proxy), ("done".into(), 5, 23));
}

#[test]
fn tunnels_come_in_over_tls_too() {
    let upstream = switching(|script| {
        let heard = script.until_end()?;
        script.send("you said: ")?;
        script.send(heard)
    });
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
    let proxy = with(&upstream, &[("server", json!({"tls": authority.issue().write(directory.path())}))]);
    let mut client = authority.client(proxy.address());
    client.send(ASK);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send("all that I have");
    client.stream_mut().conn.send_close_notify();
    client.stream_mut().flush().expect("a connection");
    assert_eq!(client.until_end().expect("an orderly end"), b"you said: all that I have");
    assert_eq!(ended(&proxy), ("done".into(), 15, 25));
    // A client that is cut off does not take that for the end.
    let upstream = switching(Script::until_closed);
    let server = json!({"tls": authority.issue().write(directory.path())});
    let proxy = with(&upstream, &[("server", server), ("timeouts", json!({"idle": "300ms"}))]);
    let mut client = authority.client(proxy.address());
    client.send(ASK).head();
    assert!(client.until_end().is_err(), "the cut is visible");
}

#[test]
fn a_tls_upstream_that_just_closes_has_broken_off() {
    let upstream = TlsUpstream::playing("localhost", |stream| stream.write_all(SWITCH.as_bytes()));
    let directory = tempfile::tempdir().expect("a directory");
    let ca_file = directory.path().join("ca.pem");
    write_private(&ca_file, &upstream.certificate);
    let route = json!({"target_url": format!("https://localhost:{}", upstream.port())});
    let proxy = Proxy::start(&json!({"ca_file": ca_file, "routes": {"a": route}}));
    assert!(switched(&proxy).until_end().is_err(), "without its close_notify nobody knows that it is the end");
    assert_eq!(ended(&proxy).0, "upstream_cut");
}

#[test]
fn neither_direction_starves_the_other() {
    let (heard, hears) = channel();
    let upstream = switching(move |script| {
        let mut stream = script.stream().try_clone()?;
        let flood = vec![b'x'; 256 * 1024];
        std::thread::spawn(move || while stream.write_all(&flood).is_ok() {});
        for _ in 0..20 {
            let _ = heard.send(script.some()?);
        }
        script.until_closed()
    });
    let proxy = Proxy::to(&upstream);
    let client = switched(&proxy);
    let mut reader = client.stream().try_clone().expect("a socket");
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while matches!(reader.read(&mut buffer), Ok(1..)) {}
    });
    let mut writer = client.stream();
    for _ in 0..20 {
        writer.write_all(b"ping").expect("the proxy reads");
        assert_eq!(hears.recv_timeout(PATIENCE).expect("a word gets through a flood of the other direction"), b"ping");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn tunnels_that_wait_hold_little() {
    const TUNNELS: u64 = 256;
    // The promise for streams, in KiB, holds for tunnels.
    const MOST: u64 = 8;

    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = switching(move |script| {
        script.send("hello")?;
        script.some()?;
        let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
        Ok(())
    });
    let proxy = Proxy::to(&upstream);
    // Pages of its file are shared with the proxies of other tests, which come and go.
    let memory = || proxy.memory("smaps_rollup", "Anonymous:");
    let open = |count: u64| -> Vec<_> {
        (0..count)
            .map(|_| {
                let mut client = switched(&proxy);
                client.send("hello").hears("hello");
                client
            })
            .collect()
    };
    drop(open(16));
    let before = memory();
    let _clients = open(TUNNELS);
    let grown = memory().saturating_sub(before);
    assert!(grown <= TUNNELS * MOST, "{grown} KiB for {TUNNELS} tunnels");
    drop(go);
}
