//! Coded answers: read along on a copy, and on their way untouched, whatever they hold.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::support::http2::{Http2Client, post, run};
use crate::support::{Client, Proxy, Upstream, eventually};

const DOCUMENT: &str = r#"{"model": "gpt-4o", "choices": [{"message": {"content": "hello"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 12}}"#;
/// Streams as programs that are not ours make them.
const BROTLI: &[u8] = include_bytes!("../../src/usage/coding/fixtures/stream.br");
const ZSTD: &[u8] = include_bytes!("../../src/usage/coding/fixtures/stream.zst");
const POST: &str = "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}";

fn events() -> Vec<String> {
    let word = |word: &str| {
        format!("data: {{\"model\": \"gpt-4o\", \"choices\": [{{\"delta\": {{\"content\": \"{word}\"}}}}]}}\n\n")
    };
    let last = "data: {\"model\": \"gpt-4o\", \"choices\": [], \"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 12}}\n\n";
    vec![word("one"), word("two"), last.to_owned(), "data: [DONE]\n\n".to_owned()]
}

/// What a coding makes of these pieces, each of them flushed.
fn coded(coding: &str, pieces: &[String]) -> Vec<Vec<u8>> {
    match coding {
        "gzip" => flushed(pieces, GzEncoder::new(Vec::new(), Compression::default()), |encoder, is_last| {
            if is_last { encoder.try_finish() } else { encoder.flush() }.expect("a vector");
            std::mem::take(encoder.get_mut())
        }),
        "deflate" => flushed(pieces, ZlibEncoder::new(Vec::new(), Compression::default()), |encoder, is_last| {
            if is_last { encoder.try_finish() } else { encoder.flush() }.expect("a vector");
            std::mem::take(encoder.get_mut())
        }),
        "br" => blocks(pieces, brotli),
        "zstd" => blocks(pieces, zstd),
        other => panic!("{other}"),
    }
}

fn flushed<W: Write>(pieces: &[String], mut encoder: W, made: fn(&mut W, bool) -> Vec<u8>) -> Vec<Vec<u8>> {
    let last = pieces.len() - 1;
    let code = |(number, piece): (usize, &String)| {
        encoder.write_all(piece.as_bytes()).expect("a vector");
        made(&mut encoder, number == last)
    };
    pieces.iter().enumerate().map(code).collect()
}

fn blocks(pieces: &[String], block: fn(&str, bool, bool) -> Vec<u8>) -> Vec<Vec<u8>> {
    let last = pieces.len() - 1;
    pieces.iter().enumerate().map(|(number, piece)| block(piece, number == 0, number == last)).collect()
}

/// A block that is not compressed (RFC 7932 section 9.2), and the stream around it.
fn brotli(piece: &str, is_first: bool, is_last: bool) -> Vec<u8> {
    let length = u32::try_from(piece.len()).expect("short") - 1;
    // The window of 64 KiB is one bit that is not set. Then: not the last, four digits, the length, not compressed.
    let head = (length << 3 | 1 << 19) << u32::from(is_first);
    let end: &[u8] = if is_last { &[0x03] } else { &[] };
    [&head.to_le_bytes()[..3], piece.as_bytes(), end].concat()
}

/// The same (RFC 8878 section 3.1.1.2).
fn zstd(piece: &str, is_first: bool, is_last: bool) -> Vec<u8> {
    let head: &[u8] = if is_first { &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58] } else { &[] };
    let block = u32::try_from(piece.len()).expect("short") << 3 | u32::from(is_last);
    [head, &block.to_le_bytes()[..3], piece.as_bytes()].concat()
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// A whole answer with this content, in each of the three framings; and what of it is its body as it comes.
fn framed(coding: &str, kind: &str, content: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: {coding}\r\n");
    let chunks: Vec<u8> = content.chunks(37).flat_map(chunk).chain(*b"0\r\n\r\n").collect();
    [
        (format!("Content-Length: {}\r\n\r\n", content.len()), content.to_vec()),
        ("Transfer-Encoding: chunked\r\n\r\n".to_owned(), chunks),
        ("Connection: close\r\n\r\n".to_owned(), content.to_vec()),
    ]
    .into_iter()
    .map(|(framing, body)| ([head.as_bytes(), framing.as_bytes(), &body].concat(), body))
    .collect()
}

fn metered(upstream: &Upstream) -> Proxy {
    Proxy::start(&json!({"usage": true, "routes": {"a": {"target_url": upstream.url()}}}))
}

fn figures(line: &Value) -> Value {
    json!([line["model"], line["tokens_in"], line["tokens_out"], line["usage_partial"]])
}

#[test]
fn every_coding_passes_as_it_came_and_its_figures_are_known() {
    let mut contents = vec![("br", "text/event-stream", BROTLI.to_vec()), ("zstd", "text/event-stream", ZSTD.to_vec())];
    for coding in ["gzip", "deflate", "br", "zstd"] {
        contents.push((coding, "application/json", coded(coding, &[DOCUMENT.to_owned()]).concat()));
        contents.push((coding, "text/event-stream", coded(coding, &events()).concat()));
    }
    for (coding, kind, content) in &contents {
        for (number, (answer, body)) in framed(coding, kind, content).into_iter().enumerate() {
            let upstream = Upstream::answering_once(&answer);
            let proxy = metered(&upstream);
            let received = proxy.client().ask(POST);
            assert_eq!((received.status(), received.field("content-encoding")), (200, Some(*coding)));
            assert!(received.is_whole && received.body == *content, "{coding} {kind} {number}");
            // What ended with its connection is sent in chunks of ours; the others come as they were framed.
            assert!(number == 2 || received.raw_body == body, "{coding} {kind} {number}");
            let line = proxy.logged(|line| line["route"] == "a");
            assert_eq!(figures(&line), json!(["gpt-4o", 9, 12, false]), "{coding} {kind} {number}");
        }
    }
}

#[test]
fn a_client_of_http2_gets_the_same_bytes() {
    for coding in ["gzip", "br", "zstd"] {
        let content = coded(coding, &events()).concat();
        let upstream = Upstream::answering(&framed(coding, "text/event-stream", &content)[1].0);
        let proxy = metered(&upstream);
        let heard = run(async { Http2Client::connect(proxy.address()).await.ask(post("/a/x"), b"{}").await });
        assert!(heard.body == content && heard.headers["content-encoding"] == coding, "{coding}");
        assert_eq!(figures(&proxy.logged(|line| line["route"] == "a")), json!(["gpt-4o", 9, 12, false]), "{coding}");
    }
}

#[test]
fn every_coded_event_is_there_before_the_next_is_sent() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let pieces = coded(coding, &events());
        let (go, wait) = channel::<()>();
        let (wait, sent) = (Mutex::new(wait), pieces.clone());
        let upstream = Upstream::playing(move |script| {
            script.request()?;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
            script.send(format!("{head}Content-Encoding: {coding}\r\n\r\n"))?;
            for piece in &sent {
                let _ = wait.lock().expect("not poisoned").recv();
                script.send(chunk(piece))?;
            }
            script.send("0\r\n\r\n")
        });
        let proxy = metered(&upstream);
        let mut client = proxy.client();
        client.send(POST).head();
        for piece in &pieces {
            go.send(()).expect("the upstream waits");
            let wanted = chunk(piece);
            let mut seen = Vec::new();
            while seen.len() < wanted.len() {
                seen.extend(client.some());
            }
            assert!(seen.starts_with(&wanted), "{coding}");
        }
        let line = proxy.logged(|line| line["route"] == "a");
        assert_eq!(figures(&line), json!(["gpt-4o", 9, 12, false]), "{coding}");
    }
}

/// What a client gets of this content, and what the log knows of it.
fn carried(coding: &str, content: &[u8]) -> (bool, Value, Value) {
    let upstream = Upstream::answering(&framed(coding, "text/event-stream", content)[0].0);
    let proxy = metered(&upstream);
    let received = proxy.client().ask(POST);
    let line = proxy.logged(|line| line["route"] == "a");
    (received.is_whole && received.body == content, figures(&line), line["end"].clone())
}

#[test]
fn what_is_broken_passes_as_it_came_and_is_said_to_be_partial() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let pieces = coded(coding, &events());
        // All but the last event, and the end with it.
        let cut = pieces[..2].concat();
        let garbled = [&pieces[0][..], &[0xff; 40], &pieces[1][..]].concat();
        let nonsense = vec![0xff; 300];
        for content in [cut, garbled, nonsense] {
            let (is_same, figures, end) = carried(coding, &content);
            assert!(is_same && end == "done", "{coding}: {end}");
            assert_eq!((&figures[1], &figures[2], &figures[3]), (&Value::Null, &Value::Null, &json!(true)), "{coding}");
        }
        // Whatever is known of what came before the fault, it may not be all.
        let late = [&pieces[..3].concat()[..], &[0xff; 40]].concat();
        let (is_same, figures, _) = carried(coding, &late);
        assert!(is_same && figures[3] == true && (figures[2] == 12 || figures[2].is_null()), "{coding}: {figures}");
    }
}

#[test]
fn what_is_not_what_it_says_passes_and_is_unknown() {
    for coding in ["gzip", "br", "zstd", "compress", "gzip, br", "x-own"] {
        let (is_same, figures, _) = carried(coding, DOCUMENT.as_bytes());
        assert!(is_same, "{coding}");
        assert_eq!((&figures[1], &figures[2]), (&Value::Null, &Value::Null), "{coding}");
    }
    let (is_same, figures, _) = carried("identity", DOCUMENT.as_bytes());
    assert!(is_same && figures == json!(["gpt-4o", 9, 12, false]), "{figures}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_would_grow_beyond_all_bounds_passes_as_it_came_and_costs_no_memory() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for event in &events()[..2] {
        gzip.write_all(event.as_bytes()).expect("a vector");
    }
    for _ in 0..256 {
        gzip.write_all(&[b' '; 1 << 20]).expect("a vector");
    }
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    // 128 KiB of one byte in four bytes each: 2 GiB in all.
    zstd.extend([0x02, 0x00, 0x10, b' '].repeat(16_384));
    for (coding, content) in [("gzip", gzip.finish().expect("a vector")), ("zstd", zstd)] {
        let upstream = Upstream::answering(&framed(coding, "text/event-stream", &content)[0].0);
        let proxy = metered(&upstream);
        let ask = |client: &mut Client| assert!(client.ask(POST).body == content, "{coding}");
        let mut client = proxy.client();
        let before = proxy.memory("status", "VmHWM:");
        for _ in 0..4 {
            ask(&mut client);
        }
        let grown = proxy.memory("status", "VmHWM:") - before;
        assert!(grown < 8 * 1024, "{coding}: {grown} KiB for {} bytes", content.len());
        eventually("four lines", || proxy.log().len() == 4);
        assert!(proxy.log().iter().all(|line| line["usage_partial"] == true && line["end"] == "done"), "{coding}");
    }
}

#[test]
fn a_coded_answer_counts_against_limits() {
    for coding in ["gzip", "br", "zstd"] {
        let content = coded(coding, &[DOCUMENT.to_owned()]).concat();
        let upstream = Upstream::answering(&framed(coding, "application/json", &content)[0].0);
        // 21 tokens each.
        let proxy = Proxy::start(&json!({"routes": {"a": {
            "target_url": upstream.url(), "limits": {"budget": {"tokens": 40, "per": "month"}},
        }}}));
        let mut client = proxy.client();
        let statuses = [0, 1, 2].map(|_| client.ask(POST).status());
        assert_eq!(statuses, [200, 200, 429], "{coding}");
    }
}
