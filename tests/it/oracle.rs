//! The codec against hyper: the same bytes in, the same verdict and the same message out.
//!
//! Where the two differ on purpose, the difference is listed with the rule that wants it: [`stricter_here`] where this
//! codec refuses what hyper takes, [`stricter_there`] where hyper refuses what passes here as it came.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aqueduct::h1::{Body, Fields, Framing, Limits, RequestReader, ResponseReader, Step, Violation};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::messages::{answers, mutated, pieces};

/// A message as both sides can tell it: its first line in words, its fields with names in lower case, its content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    line: String,
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
}

/// What became of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    messages: Vec<Told>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Every byte belongs to a message, or comes after the last.
    Clean,
    /// The last message is not whole.
    Cut,
    /// It is no HTTP.
    Refused(Option<Violation>),
}

/// Why this codec refuses what hyper takes.
fn stricter_here(violation: Violation) -> Option<&'static str> {
    Some(match violation {
        Violation::BareLineFeed => "RFC 9112 2.2: a recipient MAY take a lone LF; two that differ see two messages",
        Violation::BadRequestLine => "RFC 9112 2.2: at least one empty line before a request is skipped; here no more",
        Violation::MissingHost | Violation::RepeatedHost | Violation::BadHost => {
            "RFC 9112 3.2: a server MUST answer 400"
        }
        Violation::RepeatedLength => "RFC 9110 8.6: equal repetitions MAY be taken; smuggling lives from them",
        Violation::LengthWithCoding | Violation::BadLength => {
            "RFC 9112 6.3: hyper looks at no length beside a coding; such a message ought to be handled as an error"
        }
        Violation::CodingInHttp10 => "RFC 9112 6.1: MUST be treated as faulty framing",
        Violation::BadCoding => "RFC 9112 6.1: an unknown coding ought to be 501; here only 'chunked' exists",
        Violation::BadTarget => "RFC 9112 3.2: a target has one of four forms",
        Violation::BadChunkSize | Violation::BadChunkExtension | Violation::ChunkExtensionTooLong => {
            "RFC 9112 7.1: no white space after a size but before an extension, no controls in it, and an end to it"
        }
        Violation::ControlCharacter | Violation::Nul | Violation::BareCarriageReturn => "RFC 9110 5.5: dangerous",
        Violation::BadFieldName | Violation::SpaceBeforeColon | Violation::FoldedLine => {
            "RFC 9112 5.1, 5.2, 7.1.2: hyper skims trailers, and folds lines of answers"
        }
        Violation::TrailersTooLong => "server.limits",
        Violation::BadStatusLine => "RFC 9112 4: hyper ignores what comes after HTTP/1.0 answers without length",
        _ => return None,
    })
}

/// Why hyper refuses what passes here.
fn stricter_there(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    let target = text.trim_start_matches("\r\n").split(' ').nth(1).unwrap_or_default().to_owned();
    let odd = |letter: char| !letter.is_ascii_alphanumeric() && !"/?:@!$&'()*+,;=-._~%[]".contains(letter);
    if target.contains(odd) || target.starts_with("//") || target.contains("://") || text.starts_with("CONNECT") {
        // The `http` crate holds targets against its own grammar of URIs.
        return Some("RFC 9112 3.2: a target passes byte for byte");
    }
    if text.contains("upgrade") {
        return Some("RFC 9110 7.8: hyper takes part in upgrades");
    }
    None
}

fn ours_fields(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    grouped(fields.iter().map(|field| (lower(field.name()), field.value().to_vec())).collect())
}

fn hypers_fields(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    grouped(fields.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
}

/// hyper keeps the order of values of one name, and not the order of names.
fn grouped(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

/// The content of a body at the start of the bytes, and how many of them it takes. `None`: it is not whole.
fn content(mut body: Body, bytes: &[u8], ends_with_stream: bool) -> Result<Option<(Vec<u8>, usize)>, Violation> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        match body.step(&bytes[at..])? {
            Step::Pass(length) => {
                content.extend_from_slice(&bytes[at..at + length]);
                at += length;
            }
            Step::Skip(length) => at += length,
            Step::Done => return Ok(Some((content, at))),
            Step::Starved if ends_with_stream => return Ok(Some((content, at))),
            Step::Starved => return Ok(None),
        }
    }
}

fn ours_of_requests(bytes: &[u8]) -> Verdict {
    let mut verdict = Verdict { messages: Vec::new(), end: End::Clean };
    let mut at = 0;
    loop {
        match RequestReader::default().read(&bytes[at..], &Limits::REQUEST) {
            Err(violation) => verdict.end = End::Refused(Some(violation)),
            Ok(None) if matches!(&bytes[at..], b"" | b"\r" | b"\r\n") => {}
            Ok(None) => verdict.end = End::Cut,
            Ok(Some((head, length))) => {
                at += length;
                match content(Body::without_chunks(head.framing), &bytes[at..], false) {
                    Err(violation) => verdict.end = End::Refused(Some(violation)),
                    Ok(None) => verdict.end = End::Cut,
                    Ok(Some((content, length))) => {
                        at += length;
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        let line = format!("{} {}", text(head.method()), text(head.raw_target()));
                        verdict.messages.push(Told { line, fields: ours_fields(&head.fields), content });
                        if head.keep_alive {
                            continue;
                        }
                    }
                }
            }
        }
        return verdict;
    }
}

async fn hypers_of_requests(bytes: &[u8]) -> Verdict {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(bytes).await.expect("room");
    far.shutdown().await.expect("a pipe");
    let told = Arc::new(Mutex::new((Vec::new(), false)));
    let seen = Arc::clone(&told);
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = Arc::clone(&seen);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let fields = hypers_fields(request.headers());
            match request.into_body().collect().await {
                Ok(body) => {
                    seen.lock().expect("not poisoned").0.push(Told { line, fields, content: body.to_bytes().into() });
                }
                Err(_) => seen.lock().expect("not poisoned").1 = true,
            }
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let served = builder.half_close(true).max_headers(128).serve_connection(TokioIo::new(near), service).await;
    drop(far);
    let (messages, broke) = std::mem::take(&mut *told.lock().expect("not poisoned"));
    let end = match served {
        Err(error) if error.is_incomplete_message() => End::Cut,
        Err(_) => End::Refused(None),
        Ok(()) if broke => End::Refused(None),
        Ok(()) => End::Clean,
    };
    Verdict { messages, end }
}

fn ours_of_answer(bytes: &[u8]) -> Verdict {
    let mut at = 0;
    let refused = |violation| Verdict { messages: Vec::new(), end: End::Refused(Some(violation)) };
    loop {
        match ResponseReader::default().read(&bytes[at..], false, &Limits::RESPONSE) {
            Err(violation) => return refused(violation),
            Ok(None) => return Verdict { messages: Vec::new(), end: End::Cut },
            Ok(Some((head, length))) if head.is_interim() && head.status != 101 => at += length,
            Ok(Some((head, length))) => {
                at += length;
                let body = Body::without_chunks(head.framing);
                return match content(body, &bytes[at..], head.framing == Framing::UntilClose) {
                    Err(violation) => refused(violation),
                    Ok(None) => Verdict { messages: Vec::new(), end: End::Cut },
                    Ok(Some((content, _))) => {
                        let told = Told { line: head.status.to_string(), fields: ours_fields(&head.fields), content };
                        Verdict { messages: vec![told], end: End::Clean }
                    }
                };
            }
        }
    }
}

async fn hypers_of_answer(bytes: &[u8]) -> Verdict {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut builder = hyper::client::conn::http1::Builder::new();
    let (mut sender, connection) = builder.max_headers(256).handshake(TokioIo::new(near)).await.expect("a pipe");
    let upstream = async {
        // hyper takes nothing for an answer that comes before its question.
        let mut request = [0; 1024];
        let _ = far.read(&mut request).await;
        let _ = far.write_all(bytes).await;
        let _ = far.shutdown().await;
        std::future::pending::<()>().await;
    };
    let exchange = async {
        let cut = |error: &hyper::Error| if error.is_incomplete_message() { End::Cut } else { End::Refused(None) };
        let request = Request::get("/").header("host", "h").body(Empty::<Bytes>::new()).expect("a request");
        match sender.send_request(request).await {
            Err(error) => Verdict { messages: Vec::new(), end: cut(&error) },
            Ok(answer) => {
                let (line, fields) = (answer.status().as_u16().to_string(), hypers_fields(answer.headers()));
                match answer.into_body().collect().await {
                    Ok(body) => {
                        let told = Told { line, fields, content: body.to_bytes().into() };
                        Verdict { messages: vec![told], end: End::Clean }
                    }
                    Err(error) => Verdict { messages: Vec::new(), end: cut(&error) },
                }
            }
        }
    };
    let connected = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        verdict = exchange => verdict,
        () = connected => unreachable!("it waits"),
        () = upstream => unreachable!("it waits"),
    }
}

/// Fails unless the verdicts are the same, or differ in a listed way.
fn agree(bytes: &[u8], ours: &Verdict, hypers: &Verdict) {
    let explain = || format!("{}\nours: {ours:?}\nhyper's: {hypers:?}", bytes.escape_ascii());
    let common = ours.messages.len().min(hypers.messages.len());
    if stricter_there(bytes).is_none() {
        assert_eq!(ours.messages[..common], hypers.messages[..common], "{}", explain());
    }
    match (ours.end, hypers.end) {
        (End::Refused(Some(violation)), End::Clean | End::Cut) => {
            assert!(stricter_here(violation).is_some(), "refused here for {violation:?}: {}", explain());
        }
        (End::Refused(_), End::Refused(_)) => {}
        (End::Clean, End::Refused(_)) => assert!(stricter_there(bytes).is_some(), "refused there: {}", explain()),
        // Neither sees a whole message; who says so first, and how, is a matter of taste.
        (End::Cut, _) => {}
        (End::Clean, End::Cut) => assert!(stricter_there(bytes).is_some(), "cut there: {}", explain()),
        (End::Clean, End::Clean) => {
            assert!(ours.messages.len() == hypers.messages.len() || stricter_there(bytes).is_some(), "{}", explain());
        }
        (End::Refused(None), _) => unreachable!("this codec always says why"),
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn requests_agree(bytes: &[u8]) {
    agree(bytes, &ours_of_requests(bytes), &run(hypers_of_requests(bytes)));
}

fn answers_agree(bytes: &[u8]) {
    agree(bytes, &ours_of_answer(bytes), &run(hypers_of_answer(bytes)));
}

#[test]
fn ordinary_requests_are_told_the_same() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"POST /v1/chat?x=%2F HTTP/1.1\r\nhost: h:8\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\nignored",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /ignored HTTP/1.1\r\n\r\n",
    ] {
        let (ours, hypers) = (ours_of_requests(bytes), run(hypers_of_requests(bytes)));
        assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(bytes));
        assert!(!ours.messages.is_empty());
    }
}

#[test]
fn ordinary_answers_are_told_the_same() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nhello"[..],
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 404 Not Found\r\n\r\nuntil the end",
    ] {
        let (ours, hypers) = (ours_of_answer(bytes), run(hypers_of_answer(bytes)));
        assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(ours.messages.len(), 1);
    }
}

/// Every listed difference exists: what it is about is refused here and taken there.
#[test]
fn listed_differences_are_real() {
    for bytes in [
        &b"GET / HTTP/1.1\nHost: h\n\n"[..],
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ] {
        let (ours, hypers) = (ours_of_requests(bytes), run(hypers_of_requests(bytes)));
        assert!(matches!(ours.end, End::Refused(Some(violation)) if stricter_here(violation).is_some()), "{ours:?}");
        assert_eq!((hypers.end, hypers.messages.len()), (End::Clean, 1), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_corpus_is_told_the_same() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (directory, agree) in [("request_head", requests_agree as fn(&[u8])), ("response_head", answers_agree)] {
        let mut count = 0;
        for entry in std::fs::read_dir(corpus.join(directory)).expect("a corpus") {
            agree(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count >= 20, "{directory}: {count}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_are_told_the_same(bytes in mutated(pieces())) {
        requests_agree(&bytes.0);
    }

    #[test]
    fn any_answer_is_told_the_same(bytes in mutated(answers())) {
        answers_agree(&bytes.0);
    }
}
