//! `aqueduct healthcheck`: asks a running proxy whether it is alive.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use super::{Caller, line, print, print_error, print_refusal};
use crate::config::{Listen, Snapshot};
use crate::h1::{Limits, ResponseReader};
use crate::text::Tell;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn healthcheck(caller: &Caller<'_>) -> ExitCode {
    let source = caller.source();
    let snapshot = match source.read() {
        Ok((snapshot, _)) => snapshot,
        Err(findings) => {
            print_refusal(&source, &findings, caller.lang);
            return ExitCode::FAILURE;
        }
    };
    match ask(&snapshot) {
        Ok(200) => {
            print(&line(&Tell::Healthy, snapshot.lang));
            ExitCode::SUCCESS
        }
        Ok(status) => {
            print_error(&line(&Tell::Unhealthy(&status), snapshot.lang));
            ExitCode::FAILURE
        }
        Err(error) => {
            print_error(&line(&Tell::Unhealthy(&error), snapshot.lang));
            ExitCode::FAILURE
        }
    }
}

fn ask(snapshot: &Snapshot) -> io::Result<u16> {
    let address = address(&snapshot.listen)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let path = snapshot.table.base_path().as_str();
    write!(stream, "GET {path}/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let (mut reader, mut seen, mut buffer) = (ResponseReader::default(), Vec::new(), [0; 1024]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        seen.extend_from_slice(&buffer[..length]);
        if let Some((head, _)) = reader.read(&seen, false, &Limits::RESPONSE).map_err(io::Error::other)? {
            return Ok(head.status);
        }
    }
}

/// The address under which the proxy can be reached from here: one that stands for all addresses is none to call.
fn address(listen: &Listen) -> io::Result<SocketAddr> {
    let host = match listen.host.trim_matches(['[', ']']) {
        "" => "0.0.0.0",
        host => host,
    };
    #[expect(clippy::disallowed_methods, reason = "a command that does nothing else")]
    let mut address = (host, listen.port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}
