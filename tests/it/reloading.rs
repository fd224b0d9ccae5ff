//! A new configuration is put in force as a whole, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Proxy, Upstream, eventually, write_private};

const GET: &str = "GET /a HTTP/1.1\r\nHost: p\r\n\r\n";

fn config(upstream: &Upstream, more: &Value) -> Value {
    let mut config = json!({
        "server": {"host": "127.0.0.1", "port": 0, "log_format": "json", "workers": 1, "reload_interval": 0},
        "routes": {"a": {"target_url": upstream.url()}},
    });
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    config
}

fn rewrite(proxy: &Proxy, config: &Value) {
    write_private(&proxy.config_path(), &config.to_string());
}

#[test]
fn everything_but_the_address_comes_from_the_new_file() {
    let (old, new) = (Upstream::ok(), Upstream::ok());
    let proxy = Proxy::start(&config(&old, &json!({})));
    let mut client = proxy.client();
    assert_eq!(client.ask(GET).status(), 200);
    let route = json!({"target_url": format!("{}/base", new.url()), "custom_headers": {"X": "new"}, "force_header_overwrite": true});
    let mut changed = config(&new, &json!({"routes": {"b": route}, "headers_to_drop": ["x-drop"]}));
    changed["server"]["base_path"] = json!("/new");
    rewrite(&proxy, &changed);
    proxy.says("Configuration reloaded.");
    // The same connection.
    assert_eq!(client.ask(GET).status(), 404);
    assert_eq!(client.ask("GET /new/b/x HTTP/1.1\r\nHost: p\r\nX: theirs\r\nX-Drop: 1\r\n\r\n").status(), 200);
    let request = new.request();
    assert_eq!((request.target(), request.fields("x"), request.field("x-drop")), ("/base/x", vec!["new"], None));
    assert!(proxy.err().is_empty(), "{}", proxy.err());
    changed["server"]["log_requests"] = json!(false);
    rewrite(&proxy, &changed);
    eventually("two reloads", || proxy.out().matches("Configuration reloaded.").count() == 2);
    let lines = proxy.log().len();
    client.ask("GET /new/b HTTP/1.1\r\nHost: p\r\n\r\n");
    changed["server"]["port"] = json!(1);
    rewrite(&proxy, &changed);
    proxy.complains("takes effect after a restart");
    assert_eq!(proxy.log().len(), lines);
    assert_eq!(client.ask("GET /new/b HTTP/1.1\r\nHost: p\r\n\r\n").status(), 200);
}

#[test]
fn a_reload_is_told_in_the_words_of_the_original() {
    let upstream = Upstream::ok();
    let mut first = config(&upstream, &json!({}));
    first["server"]["language"] = json!("zh");
    let proxy = Proxy::start(&first);
    first["routes"]["b"] = json!({});
    rewrite(&proxy, &first);
    proxy.says("] 配置文件已成功重载。\n");
    let line = proxy.out().lines().find(|line| line.contains("重载。")).map(str::to_owned).expect("a line");
    let time = line.strip_prefix("✅ [").and_then(|rest| rest.split(']').next()).expect("a time");
    assert_eq!((time.len(), time.as_bytes()[10], time.as_bytes()[13]), (19, b' ', b':'), "{line}");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_once() {
    let upstream = Upstream::ok();
    let good = config(&upstream, &json!({}));
    let proxy = Proxy::start(&good);
    let mut complaints = 0;
    for broken in [
        "",
        "{",
        "[]",
        "null",
        "5",
        "{\"routes\": {\"a\": {\"target_url\": 5}}}",
        "{\"routes\": {\"a\": {\"target_url\": \"http://h:99999\"}}}",
        "{\"routes\": {\"a\": {\"custom_headers\": {\"X\": \"a\\nb\"}}}}",
        "{\"routes\": {\"a\": {\"target_url\": \"${NOT_SET_ANYWHERE}\"}}}",
    ] {
        write_private(&proxy.config_path(), broken);
        complaints += 1;
        eventually(&format!("{broken:?} is told"), || {
            proxy.err().matches("failed to load or reload").count() == complaints
        });
        assert_eq!(proxy.client().ask(GET).status(), 200, "{broken:?}");
    }
    // Two looks later it has not been told again.
    let seen = proxy.err();
    proxy.signal("HUP");
    eventually("a signal looks again", || proxy.err().len() > seen.len());
    rewrite(&proxy, &good);
    proxy.says("Configuration reloaded.");
    assert_eq!(proxy.err().matches("failed to load or reload").count(), complaints + 1);
}

#[test]
fn a_missing_file_changes_nothing() {
    let upstream = Upstream::ok();
    let proxy = Proxy::start(&config(&upstream, &json!({})));
    std::fs::remove_file(proxy.config_path()).expect("there");
    proxy.complains("cannot read the file");
    assert_eq!(proxy.client().ask(GET).status(), 200);
}

#[test]
fn a_change_is_seen_by_content_and_not_by_time() {
    let upstream = Upstream::ok();
    let first = config(&upstream, &json!({}));
    let proxy = Proxy::start(&first);
    let touched = std::fs::metadata(proxy.config_path()).and_then(|data| data.modified()).expect("a time");
    // The same content with a newer time is no change; another content with an older one is.
    let mut second = first.clone();
    second["routes"]["b"] = json!({"target_url": upstream.url()});
    rewrite(&proxy, &second);
    let file = std::fs::File::options().write(true).open(proxy.config_path()).expect("there");
    file.set_modified(touched - std::time::Duration::from_secs(3600)).expect("a file");
    eventually("the new route is there", || proxy.client().ask("GET /b HTTP/1.1\r\nHost: p\r\n\r\n").status() == 200);
    eventually("one reload is told", || proxy.out().matches("reloaded").count() == 1);
    // Renamed over, as editors do.
    let beside = proxy.config_path().with_extension("new");
    write_private(&beside, &first.to_string());
    std::fs::rename(&beside, proxy.config_path()).expect("renames");
    eventually("the route is gone", || proxy.client().ask("GET /b HTTP/1.1\r\nHost: p\r\n\r\n").status() == 404);
}

#[test]
fn a_link_that_is_switched_is_a_change() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    // As Kubernetes does it: config.json -> ..data/config.json, ..data -> one or two.
    for (name, key) in [("one", "a"), ("two", "b")] {
        std::fs::create_dir(directory.path().join(name)).expect("creates");
        let config = config(&upstream, &json!({"routes": {key: {"target_url": upstream.url()}}}));
        write_private(&directory.path().join(name).join("config.json"), &config.to_string());
    }
    let data = directory.path().join("..data");
    std::os::unix::fs::symlink("one", &data).expect("links");
    std::os::unix::fs::symlink("..data/config.json", directory.path().join("config.json")).expect("links");
    let path = directory.path().join("config.json");
    let proxy = Proxy::start_text("{}", |command| {
        command.arg("-c").arg(&path);
    });
    assert_eq!(proxy.client().ask(GET).status(), 200);
    std::os::unix::fs::symlink("two", directory.path().join("..new")).expect("links");
    std::fs::rename(directory.path().join("..new"), &data).expect("renames");
    eventually("the other file is in force", || {
        proxy.client().ask("GET /b HTTP/1.1\r\nHost: p\r\n\r\n").status() == 200
    });
    assert_eq!(proxy.client().ask(GET).status(), 404);
}

#[test]
fn a_secret_file_that_changes_is_a_change() {
    let upstream = Upstream::ok();
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("key");
    std::fs::write(&secret, "first\n").expect("writes");
    let headers = json!({"X-Key": format!("${{file:{}}}", secret.display())});
    let proxy = Proxy::start(&config(
        &upstream,
        &json!({"routes": {"a": {"target_url": upstream.url(), "custom_headers": headers}}}),
    ));
    proxy.client().ask(GET);
    assert_eq!(upstream.request().field("x-key"), Some("first"));
    std::fs::write(&secret, "second\n").expect("writes");
    proxy.says("Configuration reloaded.");
    proxy.client().ask(GET);
    assert_eq!(upstream.request().field("x-key"), Some("second"));
}

#[test]
fn a_signal_reloads_whatever_the_interval() {
    let upstream = Upstream::ok();
    let mut first = config(&upstream, &json!({}));
    first["server"]["reload_interval"] = json!(-1);
    let proxy = Proxy::start(&first);
    first["routes"] = json!({});
    rewrite(&proxy, &first);
    proxy.signal("HUP");
    proxy.says("Configuration reloaded.");
    assert_eq!(proxy.client().ask(GET).status(), 404);
}

#[test]
fn running_streams_go_on_though_their_route_is_gone() {
    let (go, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::playing(move |script| {
        script.request()?;
        script.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
        let _: Result<(), _> = wait.lock().expect("not poisoned").recv();
        script.send("1\r\nb\r\n0\r\n\r\n")
    });
    let proxy = Proxy::start(&config(&upstream, &json!({})));
    let mut client = proxy.client();
    client.send(GET).head();
    assert_eq!(client.some(), b"1\r\na\r\n");
    rewrite(&proxy, &config(&upstream, &json!({"routes": {}})));
    proxy.says("Configuration reloaded.");
    go.send(()).expect("the upstream waits");
    assert_eq!(client.some(), b"1\r\nb\r\n0\r\n\r\n");
    assert_eq!(client.ask(GET).status(), 404);
}

#[test]
fn no_request_is_lost_while_files_come_and_go() {
    let upstream = Upstream::ok();
    let good = config(&upstream, &json!({}));
    let proxy = Proxy::start(&good);
    let stop = Arc::new(AtomicBool::new(false));
    let asking = {
        let (stop, mut client) = (Arc::clone(&stop), proxy.client());
        std::thread::spawn(move || {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                assert_eq!(client.ask(GET).status(), 200);
                count += 1;
            }
            count
        })
    };
    let text = good.to_string();
    for round in 0..200 {
        if round % 2 == 0 {
            write_private(&proxy.config_path(), &text[..text.len() / 2]);
        } else {
            let mut changed = good.clone();
            changed["routes"][format!("r{round}")] = json!({"target_url": upstream.url()});
            rewrite(&proxy, &changed);
        }
        proxy.signal("HUP");
    }
    rewrite(&proxy, &good);
    proxy.signal("HUP");
    stop.store(true, Ordering::SeqCst);
    assert!(asking.join().expect("no request failed") > 0);
}
