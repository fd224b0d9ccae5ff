//! Our side of a SOCKS handshake, without sockets: bytes in, bytes out.

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::super::proxy::{Login, Proxy, ProxyScheme};
use crate::error::Refusal;
use crate::origin::Host;

const VERSION_5: u8 = 5;
const VERSION_4: u8 = 4;
/// The version of the login inside version 5.
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED_5: u8 = 0;
const GRANTED_4: u8 = 90;
const REJECTED_4: u8 = 91;
/// Refusals that are about who asks: no identd, or another user.
const IDENTITY_4: [u8; 2] = [92, 93];

/// A handshake that is under way.
pub struct Handshake<'a> {
    login: Option<&'a Login>,
    host: &'a Host,
    port: u16,
    waits: Waits,
}

/// For what it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Method,
    Login,
    Reply5,
    Reply4,
}

/// What has become of what has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// More has to arrive.
    Starved,
    /// So many bytes are used, and these are to be sent.
    Say(usize, Zeroizing<Vec<u8>>),
    /// So many bytes are used. Whatever follows comes from the other end of the tunnel.
    Open(usize),
}

/// Why there is no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTunnel {
    /// The proxy wants a login, or does not accept ours.
    Auth,
    /// The proxy does not make the connection.
    Refused(Refusal),
    /// This is no SOCKS: what should have been said, and the byte that was.
    Garbage(&'static str, u8),
}

impl<'a> Handshake<'a> {
    /// A handshake with this proxy for a connection to this host and port. `None`: its protocol cannot say that.
    #[must_use]
    pub fn new(proxy: &'a Proxy, host: &'a Host, port: u16) -> Option<Self> {
        let waits = match (proxy.scheme, host) {
            (ProxyScheme::Http | ProxyScheme::Https, _) => return None,
            (ProxyScheme::Socks5 | ProxyScheme::Socks5h, _) => Waits::Method,
            (ProxyScheme::Socks4 | ProxyScheme::Socks4a, Host::Address(IpAddr::V6(_))) => return None,
            (ProxyScheme::Socks4 | ProxyScheme::Socks4a, _) => Waits::Reply4,
        };
        Some(Self { login: proxy.login.as_ref(), host, port, waits })
    }

    /// What is said first.
    #[must_use]
    pub fn greeting(&self) -> Zeroizing<Vec<u8>> {
        match (self.waits, self.login) {
            (Waits::Reply4, _) => self.request_4(),
            (_, None) => vec![VERSION_5, 1, NO_LOGIN].into(),
            (_, Some(_)) => vec![VERSION_5, 2, NO_LOGIN, USER_AND_PASSWORD].into(),
        }
    }

    /// Takes what has arrived since the last use of it.
    ///
    /// # Errors
    /// There will be no tunnel.
    pub fn hear(&mut self, arrived: &[u8]) -> Result<Heard, NoTunnel> {
        match self.waits {
            Waits::Method => self.method(arrived),
            Waits::Login => self.login_reply(arrived),
            Waits::Reply5 => reply_5(arrived),
            Waits::Reply4 => reply_4(arrived),
        }
    }

    fn method(&mut self, arrived: &[u8]) -> Result<Heard, NoTunnel> {
        check_version(VERSION_5, arrived)?;
        let [_, method, ..] = arrived else { return Ok(Heard::Starved) };
        match (*method, self.login) {
            (NO_LOGIN, _) => Ok(self.ask(2)),
            (USER_AND_PASSWORD, Some(login)) => {
                self.waits = Waits::Login;
                Ok(Heard::Say(2, login.encode()))
            }
            (USER_AND_PASSWORD, None) | (NO_METHOD, _) => Err(NoTunnel::Auth),
            (other, _) => Err(NoTunnel::Garbage("a method of login", other)),
        }
    }

    fn login_reply(&mut self, arrived: &[u8]) -> Result<Heard, NoTunnel> {
        // Servers disagree on which version stands here.
        match arrived {
            [_, 0, ..] => Ok(self.ask(2)),
            [_, _, ..] => Err(NoTunnel::Auth),
            _ => Ok(Heard::Starved),
        }
    }

    fn ask(&mut self, used: usize) -> Heard {
        self.waits = Waits::Reply5;
        let mut out = vec![VERSION_5, CONNECT, 0];
        match self.host {
            Host::Address(IpAddr::V4(address)) => {
                out.push(IPV4);
                out.extend_from_slice(&address.octets());
            }
            Host::Address(IpAddr::V6(address)) => {
                out.push(IPV6);
                out.extend_from_slice(&address.octets());
            }
            Host::Name(name) => {
                out.push(NAME);
                push_counted(name.as_bytes(), &mut out);
            }
        }
        out.extend_from_slice(&self.port.to_be_bytes());
        Heard::Say(used, out.into())
    }

    fn request_4(&self) -> Zeroizing<Vec<u8>> {
        let mut out = vec![VERSION_4, CONNECT];
        out.extend_from_slice(&self.port.to_be_bytes());
        let (address, name) = match self.host {
            Host::Address(IpAddr::V4(address)) => (address.octets(), None),
            // An address that cannot be says that a name follows.
            Host::Name(name) => ([0, 0, 0, 1], Some(name)),
            Host::Address(IpAddr::V6(_)) => unreachable!("there is no such handshake"),
        };
        out.extend_from_slice(&address);
        out.extend_from_slice(self.login.map_or(b"", |login| login.user.expose()));
        out.push(0);
        if let Some(name) = name {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
        out.into()
    }
}

fn reply_5(arrived: &[u8]) -> Result<Heard, NoTunnel> {
    check_version(VERSION_5, arrived)?;
    match arrived {
        // Some servers close before the rest of a refusal.
        [_, reply, ..] if *reply != SUCCEEDED_5 => Err(NoTunnel::Refused(Refusal::Socks5(*reply))),
        [_, _, _, kind, rest @ ..] => {
            let address = match (*kind, rest) {
                (IPV4, _) => 4,
                (IPV6, _) => 16,
                (NAME, [length, ..]) => 1 + usize::from(*length),
                (NAME, []) => return Ok(Heard::Starved),
                (other, _) => return Err(NoTunnel::Garbage("a kind of address", other)),
            };
            let length = 4 + address + 2;
            Ok(if arrived.len() < length { Heard::Starved } else { Heard::Open(length) })
        }
        _ => Ok(Heard::Starved),
    }
}

fn reply_4(arrived: &[u8]) -> Result<Heard, NoTunnel> {
    check_version(0, arrived)?;
    match arrived {
        [_, GRANTED_4, ..] if arrived.len() >= 8 => Ok(Heard::Open(8)),
        [_] | [] | [_, GRANTED_4, ..] => Ok(Heard::Starved),
        [_, REJECTED_4, ..] => Err(NoTunnel::Refused(Refusal::Socks4(REJECTED_4))),
        [_, reply, ..] if IDENTITY_4.contains(reply) => Err(NoTunnel::Auth),
        [_, other, ..] => Err(NoTunnel::Garbage("a reply", *other)),
    }
}

/// What is no SOCKS is known from its first byte.
fn check_version(version: u8, arrived: &[u8]) -> Result<(), NoTunnel> {
    match arrived.first() {
        Some(&other) if other != version => Err(NoTunnel::Garbage("a version", other)),
        _ => Ok(()),
    }
}

/// A text behind its length. Names and logins that are longer than a byte can say do not get here.
fn push_counted(text: &[u8], out: &mut Vec<u8>) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&text[..usize::from(length)]);
}

impl Login {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (user, password) = (self.user.expose(), self.password.expose());
        let mut out = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 3));
        out.push(LOGIN_VERSION);
        push_counted(user, &mut out);
        push_counted(password, &mut out);
        out
    }
}

impl fmt::Display for NoTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth => f.write_str("a login is wanted, or another one"),
            Self::Refused(_) => f.write_str("refused"),
            Self::Garbage(wanted, byte) => write!(f, "expected {wanted} of SOCKS, found byte {byte:#04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server says, piece by piece, and what we say in between.
    fn talk(proxy: &str, host: &str, said: &[&[u8]]) -> (Vec<Vec<u8>>, Result<Heard, NoTunnel>) {
        let proxy = Proxy::parse(proxy).expect(proxy);
        let host = Host::with_port(host).expect(host).0;
        let mut handshake = Handshake::new(&proxy, &host, 443).expect("can be said");
        let mut ours = vec![handshake.greeting().to_vec()];
        let mut heard = Ok(Heard::Starved);
        for bytes in said {
            heard = handshake.hear(bytes);
            match &heard {
                Ok(Heard::Say(used, bytes_out)) => {
                    assert_eq!(*used, bytes.len());
                    ours.push(bytes_out.to_vec());
                }
                _ => return (ours, heard),
            }
        }
        (ours, heard)
    }

    const GRANTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn a_name_goes_to_the_proxy() {
        let (ours, heard) = talk("socks5h://h", "api.example", &[&[5, 0], GRANTED]);
        assert_eq!(ours, [b"\x05\x01\x00".to_vec(), b"\x05\x01\x00\x03\x0bapi.example\x01\xbb".to_vec()]);
        assert_eq!(heard, Ok(Heard::Open(10)));
    }

    #[test]
    fn addresses_are_said_as_such() {
        let (ours, _) = talk("socks5h://h", "10.0.0.1", &[&[5, 0], GRANTED]);
        assert_eq!(ours[1], b"\x05\x01\x00\x01\x0a\x00\x00\x01\x01\xbb");
        let (ours, _) = talk("socks5://h", "[::1]", &[&[5, 0], GRANTED]);
        assert_eq!(ours[1], [&[5, 1, 0, 4][..], &[0; 15], &[1, 1, 0xbb]].concat());
    }

    #[test]
    fn a_login_is_offered_and_given_if_wanted() {
        let (ours, heard) = talk("socks5h://us:p%40@h", "a", &[&[5, 2], &[1, 0], GRANTED]);
        assert_eq!(ours[..2], [b"\x05\x02\x00\x02".to_vec(), b"\x01\x02us\x02p@".to_vec()]);
        assert_eq!((ours.len(), heard), (3, Ok(Heard::Open(10))));
        let (ours, _) = talk("socks5h://us:p@h", "a", &[&[5, 0], GRANTED]);
        assert_eq!(ours.len(), 2, "nobody asked for it");
        // As several servers say it.
        assert_eq!(talk("socks5h://u:p@h", "a", &[&[5, 2], &[5, 0], GRANTED]).1, Ok(Heard::Open(10)));
    }

    #[test]
    fn logins_can_be_wanted_or_wrong() {
        for (proxy, said) in [
            ("socks5h://h", &[&[5, 0xff][..]][..]),
            ("socks5h://h", &[&[5, 2]]),
            ("socks5h://u:p@h", &[&[5, 0xff]]),
            ("socks5h://u:p@h", &[&[5, 2], &[1, 1]]),
            ("socks5h://u:p@h", &[&[5, 2], &[1, 0xff]]),
            ("socks4a://u@h", &[&[0, 92, 0, 0, 0, 0, 0, 0]]),
            ("socks4a://u@h", &[&[0, 93]]),
        ] {
            assert_eq!(talk(proxy, "a", said).1, Err(NoTunnel::Auth), "{said:?}");
        }
    }

    #[test]
    fn every_refusal_is_told() {
        for reply in 1..=255 {
            let heard = talk("socks5h://h", "a", &[&[5, 0], &[5, reply]]).1;
            assert_eq!(heard, Err(NoTunnel::Refused(Refusal::Socks5(reply))));
        }
        let heard = talk("socks4a://h", "a", &[&[0, 91, 0, 0, 0, 0, 0, 0]]).1;
        assert_eq!(heard, Err(NoTunnel::Refused(Refusal::Socks4(91))));
    }

    #[test]
    fn garbage_is_known_from_its_first_byte() {
        for said in [
            &[&b"HTTP/1.1 400"[..]][..],
            &[&[4]],
            &[&[5, 1]],
            &[&[5, 3]],
            &[&[5, 0], &[1]],
            &[&[5, 0], b"HTTP"],
            &[&[5, 0], &[5, 0, 0, 2]],
        ] {
            assert!(matches!(talk("socks5h://h", "a", said).1, Err(NoTunnel::Garbage(..))), "{said:?}");
        }
        for said in [&[4][..], &[5, 0], &[0, 5], &[0, 94]] {
            assert!(matches!(talk("socks4a://h", "a", &[said]).1, Err(NoTunnel::Garbage(..))), "{said:?}");
        }
    }

    #[test]
    fn version_4_has_names_too() {
        let (ours, heard) = talk("socks4a://me@h", "api.example", &[&[0, 90, 1, 2, 3, 4, 5, 6]]);
        assert_eq!(ours, [b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00api.example\x00".to_vec()]);
        assert_eq!(heard, Ok(Heard::Open(8)));
        let (ours, _) = talk("socks4://h", "10.0.0.1", &[]);
        assert_eq!(ours, [b"\x04\x01\x01\xbb\x0a\x00\x00\x01\x00".to_vec()]);
        let (proxy, host) = (Proxy::parse("socks4://h").expect("valid"), Host::with_port("[::1]").expect("valid").0);
        assert!(Handshake::new(&proxy, &host, 1).is_none());
    }

    #[test]
    fn what_follows_the_reply_is_not_part_of_it() {
        for (reply, length) in [
            (&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], 10),
            (&[5, 0, 0, 3, 2, b'a', b'b', 0, 0], 9),
            (&[5, 0, 0, 3, 0, 0, 0], 7),
            (&[5, 0, 0xaa, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 22),
        ] {
            let more = [reply, b"HTTP/1.1 200"].concat();
            assert_eq!(talk("socks5h://h", "a", &[&[5, 0], &more]).1, Ok(Heard::Open(length)));
            for end in 0..reply.len() {
                assert_eq!(talk("socks5h://h", "a", &[&[5, 0], &reply[..end]]).1, Ok(Heard::Starved), "{end}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The longest names, users and passwords arrive with their lengths.
        #[test]
        fn lengths_are_said_truly(user in "[a-z]{1,255}", password in "[a-z]{0,255}", name in "[a-z]{1,253}") {
            let length = |text: &str| u8::try_from(text.len()).expect("short");
            let (ours, _) = talk(&format!("socks5h://{user}:{password}@h"), &name, &[&[5, 2], &[1, 0]]);
            let login = [&[1, length(&user)][..], user.as_bytes(), &[length(&password)], password.as_bytes()].concat();
            prop_assert_eq!(&ours[1], &login);
            prop_assert_eq!(&ours[2][3..5 + name.len()], &[&[3, length(&name)][..], name.as_bytes()].concat()[..]);
        }
    }
}
