//! A name server that says what it is told to. It is the machine's own: see `in_own_network`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::network::run;

/// What a name server says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    /// It has these addresses.
    Addresses(Vec<Ipv4Addr>),
    /// It does not exist.
    Unknown,
    /// Something is wrong with the server.
    Failure,
    /// Nothing.
    Silence,
}

/// A server that gives each name to `says`, and counts how often it was asked for.
pub(crate) struct NameServer {
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl NameServer {
    /// Makes this machine ask it, and nobody else. `patience` is how many seconds the machine waits for an answer.
    pub(crate) fn start(directory: &Path, patience: u32, says: impl Fn(&str) -> Says + Send + 'static) -> Self {
        for (file, text) in [
            ("resolv.conf", format!("nameserver 127.0.0.1\noptions timeout:{patience} attempts:1\n")),
            ("nsswitch.conf", "hosts: files dns\n".to_owned()),
            ("hosts", "127.0.0.1 localhost\n".to_owned()),
        ] {
            std::fs::write(directory.join(file), text).expect("a file");
            let (ours, theirs) = (directory.join(file), format!("/etc/{file}"));
            run("mount", &["--bind", ours.to_str().expect("text"), &theirs]);
        }
        let socket = UdpSocket::bind("127.0.0.1:53").expect("a port that is free here");
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let question = &question[..length];
                let (name, end) = name_in(question);
                // Each name is asked for twice: its IPv6 addresses, of which there are none, and the others.
                let is_v4 = question[end..end + 2] == [0, 1];
                if is_v4 {
                    *counted.lock().expect("not poisoned").entry(name.clone()).or_insert(0) += 1;
                }
                if let Some(answer) = answer(question, end + 4, is_v4, &says(&name)) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { asked }
    }

    /// How often a name was asked for.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().expect("not poisoned").get(name).copied().unwrap_or_default()
    }
}

/// The name in a question (RFC 1035 section 4.1.2), and where it ends.
fn name_in(question: &[u8]) -> (String, usize) {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(question[at]);
        at += 1;
        if length == 0 {
            return (name, at);
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(&question[at..at + length]));
        at += length;
    }
}

fn answer(question: &[u8], end: usize, is_v4: bool, says: &Says) -> Option<Vec<u8>> {
    let (code, addresses): (u8, &[Ipv4Addr]) = match says {
        Says::Silence => return None,
        Says::Failure => (2, &[]),
        Says::Unknown => (3, &[]),
        Says::Addresses(addresses) if is_v4 => (0, addresses),
        Says::Addresses(_) => (0, &[]),
    };
    let count = u8::try_from(addresses.len()).expect("a few");
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[12..end]);
    for address in addresses {
        // The name above, an address of the internet, good for no time at all.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
