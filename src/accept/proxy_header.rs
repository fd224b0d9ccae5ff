//! The PROXY protocol, versions 1 and 2: the first bytes of a connection say for whom a proxy speaks.
//!
//! As HAProxy's specification has it, <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. What is doubtful
//! is refused, and as soon as it can be known: somebody who sends no header should not wait for his time to run out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr;

use crate::peer::Peer;

/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";
/// The longest header of version 1 with its line end, in bytes (section 2.1).
const MAX_TEXT: usize = 107;
/// What a header of version 2 begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What every header of version 2 has: the bytes above, version and command, family and protocol, length.
const BINARY_START: usize = 16;
/// The longest header of version 2, in bytes, extensions included: the same as nginx's.
const MAX_BINARY: usize = 4096;

/// The header of a program that speaks for itself.
pub const OWN_HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The header of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Who the client is. `None`: the proxy speaks for itself, or does not know.
    pub peer: Option<Peer>,
    /// How many bytes it takes.
    pub length: usize,
}

/// Why the first bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadHeader {
    /// They are something else.
    Missing,
    /// They begin as one, and go on as none.
    Malformed,
    /// They are one, and longer than one may be.
    TooLong,
}

impl ProxyHeader {
    /// The header at the start of `bytes`, or `None` while it is incomplete.
    ///
    /// # Errors
    /// There is none, and will be none.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, BadHeader> {
        if starts_like(bytes, TEXT) {
            text(bytes)
        } else if starts_like(bytes, BINARY) {
            binary(bytes)
        } else {
            Err(BadHeader::Missing)
        }
    }
}

/// Whether the bytes begin like this, as far as they are there.
fn starts_like(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(one, other)| one == other)
}

fn text(bytes: &[u8]) -> Result<Option<ProxyHeader>, BadHeader> {
    let Some(end) = memchr(b'\n', &bytes[..bytes.len().min(MAX_TEXT)]) else {
        return if bytes.len() < MAX_TEXT { Ok(None) } else { Err(BadHeader::TooLong) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(BadHeader::Malformed)?;
    let said = line.strip_prefix(TEXT).and_then(|said| std::str::from_utf8(said).ok()).ok_or(BadHeader::Malformed)?;
    let peer = match said.split_once(' ') {
        Some(("TCP4", rest)) => Some(source::<Ipv4Addr>(rest)?),
        Some(("TCP6", rest)) => Some(source::<Ipv6Addr>(rest)?),
        // Whatever stands behind it means nothing.
        Some(("UNKNOWN", _)) => None,
        None if said == "UNKNOWN" => None,
        _ => return Err(BadHeader::Malformed),
    };
    Ok(Some(ProxyHeader { peer, length: end + 1 }))
}

/// The first of two addresses of one family, with the first of two ports.
fn source<A: FromStr + Into<IpAddr>>(text: &str) -> Result<Peer, BadHeader> {
    let mut words = text.split(' ');
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or(BadHeader::Malformed);
    let (from, _) = (address()?, address()?);
    let mut port = || words.next().and_then(port).ok_or(BadHeader::Malformed);
    let (from_port, _) = (port()?, port()?);
    match words.next() {
        None => Ok(Peer::Address(SocketAddr::new(from.into(), from_port))),
        Some(_) => Err(BadHeader::Malformed),
    }
}

/// A port in the one way in which it can be written.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}

fn binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, BadHeader> {
    let rest = bytes.get(BINARY.len()..).unwrap_or_default();
    let speaks_for_itself = match rest.first() {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(BadHeader::Malformed),
    };
    let Some(&[family, high, low]) = rest.get(1..4) else { return Ok(None) };
    let length = BINARY_START + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY {
        return Err(BadHeader::TooLong);
    }
    let Some(addresses) = bytes.get(BINARY_START..length) else { return Ok(None) };
    let peer = if speaks_for_itself { None } else { binary_source(family, addresses)? };
    Ok(Some(ProxyHeader { peer, length }))
}

/// The source among the addresses; extensions may stand behind them. Only what is a stream can be this connection.
fn binary_source(family: u8, addresses: &[u8]) -> Result<Option<Peer>, BadHeader> {
    /// Two paths of 108 bytes.
    const LOCAL: usize = 216;

    match (family, addresses) {
        (0x00, _) => Ok(None),
        (0x11 | 0x12, [a, b, c, d, _, _, _, _, high, low, _, _, ..]) => {
            Ok(stream(family, SocketAddr::new([*a, *b, *c, *d].into(), u16::from_be_bytes([*high, *low]))))
        }
        (0x21 | 0x22, _) => {
            let (from, ports) = (addresses.first_chunk::<16>(), addresses.get(32..36));
            match (from, ports) {
                (Some(from), Some(&[high, low, _, _])) => {
                    Ok(stream(family, SocketAddr::new((*from).into(), u16::from_be_bytes([high, low]))))
                }
                _ => Err(BadHeader::Malformed),
            }
        }
        (0x31 | 0x32, _) if addresses.len() >= LOCAL => Ok(Some(Peer::Local).filter(|_| is_stream(family))),
        _ => Err(BadHeader::Malformed),
    }
}

fn stream(family: u8, from: SocketAddr) -> Option<Peer> {
    is_stream(family).then_some(Peer::Address(from))
}

fn is_stream(family: u8) -> bool {
    family & 0x0f == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(text: &str) -> Option<Peer> {
        Some(Peer::Address(text.parse().expect("an address")))
    }

    fn version_2(command: u8, family: u8, addresses: &[u8], extensions: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len() + extensions.len()).expect("short");
        [BINARY, &[command, family], &length.to_be_bytes(), addresses, extensions].concat()
    }

    /// The header, and that it is one only when it is whole, whatever comes after it.
    fn whole(bytes: &[u8]) -> Option<Peer> {
        for end in 0..bytes.len() {
            assert_eq!(ProxyHeader::read(&bytes[..end]), Ok(None), "{end}");
        }
        let header = ProxyHeader::read(&[bytes, b"GET / HTTP/1.1\r\n"].concat()).expect("good").expect("whole");
        assert_eq!(header.length, bytes.len());
        header.peer
    }

    #[test]
    fn version_1_is_read() {
        assert_eq!(whole(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"), peer("192.0.2.1:56324"));
        assert_eq!(whole(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), peer("[2001:db8::1]:0"));
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(whole(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), None);
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(MAX_TEXT - 16));
        assert_eq!((longest.len(), whole(longest.as_bytes())), (MAX_TEXT, None));
    }

    #[test]
    fn version_2_is_read() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        let mut six = [0; 36];
        (six[0], six[15], six[33]) = (0x20, 1, 80);
        assert_eq!(whole(&version_2(0x21, 0x11, &four, b"")), peer("192.0.2.1:56324"));
        assert_eq!(whole(&version_2(0x21, 0x11, &four, &[4, 0, 3, 1, 2, 3])), peer("192.0.2.1:56324"));
        assert_eq!(whole(&version_2(0x21, 0x21, &six, b"")), peer("[2000::1]:80"));
        assert_eq!(whole(&version_2(0x21, 0x31, &[b'x'; 216], b"")), Some(Peer::Local));
        // Of no stream, of no known family, and of the proxy itself, whatever it says besides.
        for header in [(0x21, 0x12), (0x21, 0x00), (0x20, 0x11), (0x20, 0x00), (0x20, 0xff)] {
            assert_eq!(whole(&version_2(header.0, header.1, &four, b"")), None, "{header:x?}");
        }
        assert_eq!((version_2(0x20, 0, b"", b"").as_slice(), whole(OWN_HEADER)), (OWN_HEADER, None));
    }

    #[test]
    fn what_is_none_is_refused_at_once() {
        for bytes in ["G", "PROXX", "PROXY\t", "proxy ", "\r\n\r\nGET", "\x16\x03\x01", "\n", "\r\n\r\n\0\r\nQUIT\r"] {
            assert_eq!(ProxyHeader::read(bytes.as_bytes()), Err(BadHeader::Missing), "{bytes:?}");
        }
        for line in [
            "TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "TCP4 2001:db8::1 ::1 1 2\r\n",
            "TCP4 localhost 192.0.2.2 1 2\r\n",
            "TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "UNKNOWNX\r\n",
            "unknown\r\n",
            "TCP4\r\n",
            "\r\n",
            "UNKNOWN\n",
        ] {
            let read = ProxyHeader::read(format!("PROXY {line}").as_bytes());
            assert_eq!(read, Err(BadHeader::Malformed), "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}", "x".repeat(MAX_TEXT));
        assert_eq!(ProxyHeader::read(long.as_bytes()), Err(BadHeader::TooLong));
        for (command, family, addresses) in [
            (0x11, 0x11, 12),
            (0x22, 0x11, 12),
            (0x31, 0x11, 12),
            (0x21, 0x13, 12),
            (0x21, 0x10, 12),
            (0x21, 0x41, 12),
            (0x21, 0x11, 11),
            (0x21, 0x21, 35),
            (0x21, 0x31, 215),
        ] {
            let header = version_2(command, family, &vec![0; addresses], b"");
            assert_eq!(ProxyHeader::read(&header), Err(BadHeader::Malformed), "{command:x} {family:x}");
        }
        let long = version_2(0x20, 0, &[0; MAX_BINARY], b"");
        assert_eq!(ProxyHeader::read(&long[..BINARY_START]), Err(BadHeader::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(from: SocketAddr, to: SocketAddr, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let (family, code) = if from.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            prop_assume!(from.is_ipv4() == to.is_ipv4());
            let octets = |address: SocketAddr| match address.ip() {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            let addresses = [octets(from), octets(to), ports].concat();
            let line = format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
            // Flow labels and zones are not said.
            let peer = Some(Peer::Address(SocketAddr::new(from.ip(), from.port())));
            for header in [line.into_bytes(), version_2(0x21, code, &addresses, &rest)] {
                let read = ProxyHeader::read(&[&header[..], &rest].concat());
                prop_assert_eq!(read, Ok(Some(ProxyHeader { peer, length: header.len() })));
            }
        }
    }
}
