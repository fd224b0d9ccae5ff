//! The upstream of the soak: what it does is said by the path.

use std::io;
use std::thread;
use std::time::Duration;

use crate::support::{Script, Upstream};

/// The events of a stream, in chunks.
pub(super) const EVENTS: usize = 20;

pub(super) fn start() -> Upstream {
    Upstream::playing(|script| {
        loop {
            let head = script.head()?;
            let target = head.split(' ').nth(1).unwrap_or_default();
            let is_last = match target.rsplit('/').next().unwrap_or_default() {
                "events" => events(script)?,
                "endless" => endless(script)?,
                "slow" => return script.until_closed(),
                "upload" => upload(script, &head)?,
                "reset" => {
                    script.reset();
                    return Ok(());
                }
                "short" => return script.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
                "garbage" => return script.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
                "close" => return script.send("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
                "switch" => return switch(script),
                _ => echo(script, &head)?,
            };
            if is_last {
                return Ok(());
            }
        }
    })
}

/// Gives the body back.
fn echo(script: &mut Script, head: &str) -> io::Result<bool> {
    let body = script.bytes(length(head).unwrap_or_default())?;
    script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
    script.send(body)?;
    Ok(false)
}

fn events(script: &mut Script) -> io::Result<bool> {
    script.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for number in 0..EVENTS {
        let event = format!("data: {number}\n\n");
        script.send(format!("{:x}\r\n{event}\r\n", event.len()))?;
        thread::park_timeout(Duration::from_millis(1));
    }
    script.send("0\r\n\r\n")?;
    Ok(false)
}

/// Events until somebody leaves.
fn endless(script: &mut Script) -> io::Result<bool> {
    script.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    loop {
        script.send("9\r\ndata: x\n\n\r\n")?;
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Says how long the body was.
fn upload(script: &mut Script, head: &str) -> io::Result<bool> {
    let mut count = 0;
    if let Some(length) = length(head) {
        while count < length {
            count += script.bytes((length - count).min(64 * 1024))?.len();
        }
    } else {
        loop {
            let line = line(script)?;
            let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            count += script.bytes(size)?.len();
            script.bytes(2)?;
            if size == 0 {
                break;
            }
        }
    }
    let count = count.to_string();
    script.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}", count.len()))?;
    Ok(false)
}

fn line(script: &mut Script) -> io::Result<String> {
    let mut line = String::new();
    loop {
        match script.bytes(1)?[0] {
            b'\n' => return Ok(line),
            b'\r' => {}
            byte => line.push(byte.into()),
        }
    }
}

/// Becomes something that gives back what it is told.
fn switch(script: &mut Script) -> io::Result<()> {
    script.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")?;
    loop {
        let word = script.bytes(4)?;
        script.send(word)?;
    }
}

fn length(head: &str) -> Option<usize> {
    let of = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(of)
}
