//! What the parts cost through which every request goes: time, and instructions where valgrind is there.
//!
//! Time is criterion's. For instructions this program runs itself under callgrind, twice for each part, once and then
//! twice as often: start and end cost the same both times, and what is more is the part's. They are the same on a busy
//! machine as on a quiet one.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Duration;

use aqueduct::ending::End;
use aqueduct::h1::{Body, Framing, Limits, RequestHead, RequestReader, ResponseHead, ResponseReader, Step, Trailers};
use aqueduct::headers::{Configured, Outgoing, Policy, Said, write_answer};
use aqueduct::peer::Peer;
use aqueduct::record::{Entry, Id};
use aqueduct::route::{BasePath, Table};
use criterion::Criterion;
use tokio::time::Instant;

/// How often a part runs under callgrind, the first time.
const TIMES: u64 = 1_000;
/// Says which part is to be run how often, and nothing else to be done.
const ORDER: &str = "AQUEDUCT_PART";

const REQUEST: &[u8] = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: localhost:3000\r\nContent-Type: application/json\r\nAccept: application/json\r\nAuthorization: Bearer sk-client\r\nUser-Agent: OpenAI/Python 1.50.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 1.50.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Length: 528\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nopenai-processing-ms: 12\r\nx-request-id: req_0123456789abcdef\r\nx-ratelimit-remaining-requests: 9999\r\nCache-Control: no-cache\r\n\r\n";
const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n";
/// How many routes the router has, and how many events the body.
const ROUTES: usize = 100;
const EVENTS: usize = 100;

/// A part, ready to be run once.
type Run = Box<dyn FnMut()>;
/// Its name, and how it is made ready.
type Part = (&'static str, fn() -> Run);

const PARTS: [Part; 7] = [
    ("request head", request_head),
    ("answer head", answer_head),
    ("chunks of 100 events", chunks),
    ("router, 100 routes", router),
    ("headers to the upstream", headers_policy),
    ("headers to the client", headers_of_answer),
    ("log line", log_line),
];

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(order) = std::env::var(ORDER) {
        return carry_out(&order);
    }
    let mut criterion = Criterion::default()
        .sample_size(50)
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    for (name, part) in PARTS {
        criterion.bench_function(name, |bencher| bencher.iter(part()));
    }
    criterion.final_summary();
    // Otherwise cargo only wants to know whether it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        print_instructions()?;
    }
    Ok(())
}

fn request_head() -> Run {
    Box::new(|| _ = black_box(RequestReader::default().read(black_box(REQUEST), &Limits::REQUEST)))
}

fn answer_head() -> Run {
    Box::new(|| _ = black_box(ResponseReader::default().read(black_box(ANSWER), false, &Limits::RESPONSE)))
}

fn chunks() -> Run {
    let chunk = [format!("{:x}\r\n", EVENT.len()).as_bytes(), EVENT, b"\r\n"].concat();
    let bytes = [chunk.repeat(EVENTS).as_slice(), b"0\r\n\r\n"].concat();
    Box::new(move || {
        let mut body = Body::new(Framing::Chunked, Trailers::Pass);
        let mut rest = black_box(&bytes[..]);
        while let Ok(Step::Pass(length) | Step::Skip(length)) = body.step(rest) {
            rest = &rest[length..];
        }
        assert!(body.is_done() && rest.is_empty());
    })
}

fn router() -> Run {
    let mut table = Table::new(BasePath::new("/byok"));
    (0..ROUTES).for_each(|number| table.add(&format!("route-{number}"), number));
    Box::new(move || _ = black_box(table.choose(black_box(b"/byok/route-42/v1/chat/completions?stream=true"))))
}

fn headers_policy() -> Run {
    let head = read_request();
    let configured = [("Authorization", "Bearer sk-ours"), ("X-Team", "ours")];
    let configured = configured.map(|(name, value)| Configured::new(name, value.as_bytes(), true));
    let policy = Policy::new(&["User-Agent".to_owned()], configured.into(), None);
    let mut out = Vec::new();
    Box::new(move || {
        let to = Outgoing {
            target: b"/v1/chat/completions",
            host: b"api.openai.com",
            authorization: None,
            is_foreign: false,
            trailers: false,
            upgrade: None,
            edits: &[],
            picked: None,
            proxy: None,
        };
        out.clear();
        policy.write_request(black_box(&head), &to, &mut out, |_, _| {});
        black_box(&out);
    })
}

fn headers_of_answer() -> Run {
    let head = read_answer();
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let said = Said { chunked: true, connection: None, protocol: None, cors: None };
        write_answer(black_box(&head), said, &mut out);
        black_box(&out);
    })
}

fn log_line() -> Run {
    let mut entry = Entry::new(Id::new(0, 1), Peer::Address(([127, 0, 0, 1], 50_000).into()), Instant::now());
    entry.method = Some(b"POST".as_slice().into());
    entry.target = Some(b"/openai/v1/chat/completions?key=sk-secret".as_slice().into());
    entry.route = Some("openai".into());
    entry.upstream = Some("https://api.openai.com".into());
    (entry.status, entry.attempts, entry.end) = (Some(200), 1, Some(End::Done));
    entry.time_to_first_byte = Some(Duration::from_micros(420_300));
    let mut out = String::new();
    Box::new(move || {
        out.clear();
        black_box(&entry).write_json(&mut out);
        black_box(&out);
    })
}

fn read_request() -> RequestHead {
    RequestReader::default().read(REQUEST, &Limits::REQUEST).expect("a good head").expect("a whole one").0
}

fn read_answer() -> ResponseHead {
    ResponseReader::default().read(ANSWER, false, &Limits::RESPONSE).expect("a good head").expect("a whole one").0
}

/// Runs one part: its number, and how often.
fn carry_out(order: &str) -> Result<(), Box<dyn Error>> {
    let (number, times) = order.split_once(' ').ok_or("a number, and how often")?;
    let (_, part) = PARTS.get(number.parse::<usize>()?).ok_or("no such part")?;
    let mut run = part();
    (0..times.parse()?).for_each(|_: u64| run());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is a program for the terminal")]
fn print_instructions() -> Result<(), Box<dyn Error>> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("valgrind is not there: no instructions");
        return Ok(());
    }
    println!("instructions, each time:");
    for (number, (name, _)) in PARTS.iter().enumerate() {
        let count = instructions(number, 2 * TIMES)?.saturating_sub(instructions(number, TIMES)?) / TIMES;
        println!("{name:<24} {count:>7}");
    }
    Ok(())
}

/// The instructions of this program if it runs one part so often.
fn instructions(number: usize, times: u64) -> Result<u64, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(std::env::current_exe()?)
        .env(ORDER, format!("{number} {times}"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let counted = fs::read_to_string(&out)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("valgrind counted nothing")?;
    Ok(total.trim().parse()?)
}
