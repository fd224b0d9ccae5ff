//! The race for a connection that its origin closes just when it is used again: how much is lost to it, and whether
//! anything is delivered twice. Timers of the runtime are too coarse for this; here every connection has a thread.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::Count;

/// For how long connections are kept, in microseconds.
const KEPT: [u64; 2] = [5_000, 500];
/// How many requests are made at each timing with each method.
const REQUESTS: u64 = 2_000;

/// How often each request was read to its end, by its target.
static DELIVERED: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

/// How many requests were delivered more than once since this was asked last.
pub(crate) fn twice() -> usize {
    let delivered = std::mem::take(&mut *DELIVERED.lock().expect("not poisoned"));
    delivered.values().filter(|&&times| times > 1).count()
}

/// Serves connections, each of which is closed without a word when no request has come for as long as the path of the
/// last one says.
pub(crate) fn serve(listen: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that leaves is the end of most runs.
            thread::spawn(|| connection(stream));
        }
    });
    Ok(())
}

fn connection(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let request = message(&mut stream)?;
        let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let kept = target.split('/').nth(1).and_then(|kept| kept.parse().ok()).unwrap_or(KEPT[0]);
        *DELIVERED.lock().expect("not poisoned").entry(target).or_default() += 1;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        thread::sleep(Duration::from_micros(kept));
        stream.set_nonblocking(true)?;
        stream.peek(&mut [0; 1])?;
        stream.set_nonblocking(false)?;
    }
}

/// Makes the requests, one after the other, and counts those that had no good answer.
pub(crate) fn race(to: SocketAddr, prefix: &str) -> io::Result<Vec<Count>> {
    let mut counts = Vec::new();
    for method in ["POST", "GET"] {
        for kept in KEPT {
            let mut lost = 0;
            let mut client = None;
            for number in 0..REQUESTS {
                let stream = match &mut client {
                    Some(stream) => stream,
                    None => client.insert(TcpStream::connect(to)?),
                };
                stream.set_nodelay(true)?;
                let body = if method == "POST" { "Content-Length: 3\r\n\r\nabc" } else { "\r\n" };
                let request = format!("{method} {prefix}/{kept}/{method}/{number} HTTP/1.1\r\nHost: bench\r\n{body}");
                let answer = stream.write_all(request.as_bytes()).and_then(|()| message(stream));
                let answered_at = Instant::now();
                lost += u64::from(!answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
                if answer.is_err() {
                    client = None;
                }
                // Between nine and eleven tenths of the time, evenly: about when the connection is closed.
                let rest = Duration::from_micros(kept * (900 + number * 61 % 100 * 2) / 1000);
                thread::sleep((answered_at + rest).saturating_duration_since(Instant::now()));
            }
            counts.push((format!("{method} lost at {} ms", kept as f64 / 1000.0), lost));
        }
    }
    Ok(counts)
}

/// Reads a message whose body has a length, or none.
fn message(stream: &mut TcpStream) -> io::Result<String> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok()).flatten()
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.into_owned());
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => seen.extend_from_slice(&buffer[..length]),
        }
    }
}
