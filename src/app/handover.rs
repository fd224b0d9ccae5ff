//! What passes between a process and the one that takes its place: listening sockets one way, a word each way.
//!
//! The successor finds the connection where its standard input would be: without unsafe code there is no other
//! descriptor that a new process can be given. Each message on it is one byte; those of sockets carry them.

use std::io;
use std::os::unix::net::UnixStream;

use super::Site;
use crate::accept::{Inherited, Opener};
use crate::os;

/// Names the process that a new one is to replace. It is meant for nobody but a child of that process.
pub(super) const PREDECESSOR: &str = "AQUEDUCT_PREDECESSOR";
/// The successor can serve.
pub(super) const READY: u8 = b'r';
/// The predecessor leaves it to the successor to serve.
pub(super) const YOURS: u8 = b'y';

/// With sockets that a process of ours has opened.
const OURS: u8 = b'o';
/// With sockets of the manager of services.
const MANAGERS: u8 = b'm';
/// No more sockets.
const END: u8 = b'.';

/// Sends all sockets of this process. They stay ours as well.
pub(super) fn send(line: &UnixStream, sites: &[Site]) -> io::Result<()> {
    for site in sites.iter().filter(|site| site.can_be_reached()) {
        let word = match site.opener {
            Opener::Us => OURS,
            Opener::Manager => MANAGERS,
        };
        for sockets in site.listeners.chunks(os::DESCRIPTORS) {
            os::send_descriptors(line, word, sockets)?;
        }
    }
    os::send_descriptors::<UnixStream>(line, END, &[])
}

/// Receives the sockets of the predecessor.
pub(super) fn receive(line: &UnixStream) -> io::Result<Inherited> {
    let mut inherited = Inherited::default();
    loop {
        let (word, sockets) = os::receive_descriptors(line)?;
        let opener = match word {
            OURS => Opener::Us,
            MANAGERS => Opener::Manager,
            END => return Ok(inherited),
            // A version of this program that says more than this one understands.
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        for socket in sockets {
            inherited.add(socket, opener)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::accept::{At, Listener};

    fn site(at: At, opener: Opener, listeners: Vec<Listener>) -> Site {
        Site { at, opener, listeners, file: None }
    }

    #[test]
    fn every_socket_arrives_and_is_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let listener = Listener::Tcp(listener);
        let many = (0..150).map(|_| listener.try_clone().expect("a socket")).collect();
        let other = TcpListener::bind("127.0.0.1:0").expect("binds");
        let other_address = other.local_addr().expect("bound");
        let sites = [
            site(At::Port(address), Opener::Us, many),
            site(At::Port(other_address), Opener::Manager, vec![Listener::Tcp(other)]),
        ];
        let (near, far) = UnixStream::pair().expect("a pair");
        send(&near, &sites).expect("sent");
        let inherited = receive(&far).expect("received");
        let told = |given: &crate::accept::Given| (given.at.clone(), given.opener, given.listeners.len());
        let told: Vec<_> = inherited.left().iter().map(told).collect();
        assert_eq!(told, [(At::Port(address), Opener::Us, 150), (At::Port(other_address), Opener::Manager, 1)]);
    }

    #[test]
    fn half_a_list_and_words_of_another_language_are_refused() {
        let (near, far) = UnixStream::pair().expect("a pair");
        os::send_descriptors::<UnixStream>(&near, b'?', &[]).expect("sent");
        assert_eq!(receive(&far).expect_err("unknown").kind(), io::ErrorKind::InvalidData);
        drop(near);
        assert_eq!(receive(&far).expect_err("over").kind(), io::ErrorKind::UnexpectedEof);
    }
}
