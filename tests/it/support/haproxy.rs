//! A real HAProxy: it is installed by `scripts/setup`, and a test whose program is missing fails.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;

/// A HAProxy that runs, and passes on bytes.
pub(crate) struct HaProxy {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl HaProxy {
    /// A HAProxy in front of this server, as it is written in its configuration, with its options.
    pub(crate) fn start(server: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let config = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 20s\n  timeout client 20s\n  \
             timeout server 20s\nlisten tests\n  bind {address}\n  server aqueduct {server}\n"
        );
        let path = directory.path().join("haproxy.cfg");
        std::fs::write(&path, &config).expect("writes");
        let mut child = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-q", "-f"])
            .arg(&path)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("haproxy is there: run scripts/setup");
        eventually("haproxy listens", || {
            assert!(matches!(child.try_wait(), Ok(None)), "haproxy ended: {config}");
            TcpStream::connect(address).is_ok()
        });
        Self { child, address, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
