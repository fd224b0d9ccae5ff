//! Open files are shared out beforehand: whoever is let in finds one for the upstream, too.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{Client, Proxy, Script, Upstream, aqueduct, eventually, wrap, write_private};

/// The same command under a limit on open files, which it cannot raise.
fn with_files(command: &mut Command, files: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]);
    wrap(command, shell);
}

/// An upstream that holds its answers back until it is told, or begins one that does not end.
fn stage(go: &Arc<AtomicBool>) -> Upstream {
    let go = Arc::clone(go);
    Upstream::playing(move |script: &mut Script| {
        while let Some(request) = script.request()? {
            if request.target().ends_with("/open") {
                script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
            } else {
                eventually("all have asked", || go.load(Ordering::SeqCst));
                script.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
        }
        Ok(())
    })
}

/// How many clients there is room for, as `check` says it.
fn room(config: &Value, files: u32) -> usize {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.json");
    write_private(&path, &config.to_string());
    let mut check = aqueduct();
    check.args(["check", "-c"]).arg(&path);
    with_files(&mut check, files);
    let output = check.output().expect("runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let (_, rest) = said.split_once("there is room for ").unwrap_or_else(|| panic!("{said}"));
    rest.split(' ').next().expect("a word").parse().expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_is_let_in_finds_a_connection_to_the_upstream() {
    const FILES: u32 = 256;
    let go = Arc::new(AtomicBool::new(false));
    let upstream = stage(&go);
    let config = json!({
        "server": {"workers": 2},
        "routes": {"a": {"target_url": upstream.url()}, "u": {"universal_proxy": true}},
    });
    let room = room(&config, FILES);
    assert!((FILES as usize / 6..FILES as usize / 2).contains(&room), "{room}");
    let proxy = Proxy::start_with(&config, |command| with_files(command, FILES));
    proxy.complains(&format!("allows {room} connections"));
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("a process").count();

    let own = open_files();
    let mut clients: Vec<Client> = (0..room).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET /a/ok HTTP/1.1\r\nHost: p\r\n\r\n");
    }
    (0..room).for_each(|_| _ = upstream.request());
    go.store(true, Ordering::SeqCst);
    for client in &mut clients {
        assert_eq!(client.answer().status(), 200);
    }
    // As many upstream connections rest now as ever do, and every client needs another one.
    let resting = || open_files().saturating_sub(own + room);
    eventually("some are kept, and no more than were reckoned with", || (room / 4..=room / 2).contains(&resting()));
    for client in &mut clients {
        client.send(format!("GET /u/{}/open HTTP/1.1\r\nHost: p\r\n\r\n", upstream.url()));
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.hears("hello");
    }
    let open = open_files();
    assert!(2 * room < open && open < FILES as usize, "{open} of {FILES} files");
    // Who comes now is told so, and told of the others' leaving.
    let answer = proxy.client().answer();
    assert_eq!(
        (answer.status(), answer.field("retry-after"), answer.json()["code"].as_str()),
        (503, Some("1"), Some("overloaded"))
    );
    assert!(proxy.log().iter().all(|line| line["status"] != 502), "{:?}", proxy.log());
    drop(clients);
    eventually("there is room again", || {
        proxy
            .client()
            .send("GET /a/ok HTTP/1.1\r\nHost: p\r\n\r\n")
            .try_answer()
            .is_ok_and(|answer| answer.status() == 200)
    });
}

#[test]
fn a_reload_changes_how_many_may_be_connected() {
    let config = |max: u32| {
        json!({
            "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 1, "limits": {"max_connections": max}},
        })
    };
    let proxy = Proxy::start(&config(1));
    let reload = |max: u32| proxy.reload(&config(max));
    let ask = |client: &mut Client| client.send("GET / HTTP/1.1\r\nHost: p\r\n\r\n").answer().status();
    let mut first = proxy.client();
    assert_eq!((ask(&mut first), proxy.client().answer().status()), (200, 503));
    reload(3);
    let mut others = [proxy.client(), proxy.client()];
    assert_eq!(others.each_mut().map(ask), [200, 200]);
    assert_eq!(proxy.client().answer().status(), 503);
    reload(2);
    assert_eq!((ask(&mut first), proxy.client().answer().status()), (200, 503), "who is inside stays");
    assert!(proxy.err().is_empty(), "{}", proxy.err());
}
