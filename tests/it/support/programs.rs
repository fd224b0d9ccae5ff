//! Real programs: they are installed by `scripts/setup`, and a test whose program is missing fails.

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Pair, eventually};

/// A script of `tests/programs`, run by the Python that has the SDKs, to its end.
pub(crate) fn python(script: &str, arguments: &[&str]) -> String {
    python_with(script, arguments, &[])
}

/// The same, with more in its environment.
pub(crate) fn python_with(script: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let output = python_command(script, arguments).envs(environment.iter().copied()).output().expect("runs");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn python_command(script: &str, arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/programs/venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/programs").join(script)).args(arguments);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

/// A script that serves for as long as this is there. It says where in its first line.
pub(crate) struct PythonServer {
    child: Child,
    address: SocketAddr,
}

impl PythonServer {
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = python_command(script, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("no address: {line}"));
        Self { child, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs curl and gives what it wrote.
pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--noproxy", "*", "--max-time", "20"]).args(arguments).output();
    let output = output.expect("curl is there: run scripts/setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An nginx that runs.
pub(crate) struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Nginx {
    /// An nginx with this inside its `server` block, and a certificate if it is to speak TLS.
    pub(crate) fn start(block: &str, tls: Option<(&str, &str)>) -> Self {
        Self::start_beside("", block, tls)
    }

    /// The same, with something beside the `server` block.
    pub(crate) fn start_beside(beside: &str, block: &str, tls: Option<(&str, &str)>) -> Self {
        Self::listening(beside, block, tls, "")
    }

    /// An nginx that speaks HTTP/2 over TLS.
    pub(crate) fn http2(block: &str, pair: &Pair) -> Self {
        Self::listening("", block, Some((&pair.certificate, &pair.key)), " http2")
    }

    fn listening(beside: &str, block: &str, tls: Option<(&str, &str)>, protocol: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut listen = format!("listen {address}");
        if let Some((certificate, key)) = tls {
            std::fs::write(directory.path().join("cert.pem"), certificate).expect("writes");
            std::fs::write(directory.path().join("key.pem"), key).expect("writes");
            listen.push_str(" ssl");
            listen.push_str(protocol);
            listen.push_str("; ssl_certificate cert.pem; ssl_certificate_key key.pem");
        }
        let mut config = String::from(
            "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\nhttp { access_log off;\n",
        );
        for path in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(config, "{path}_temp_path {path};").expect("a string");
        }
        writeln!(config, "{beside}\nserver {{ {listen};\n{block}\n}} }}").expect("a string");
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, &config).expect("writes");
        let mut child = Command::new(program("nginx"))
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("nginx is there: run scripts/setup");
        eventually("nginx listens", || {
            assert!(matches!(child.try_wait(), Ok(None)), "nginx ended: {config}");
            TcpStream::connect(address).is_ok()
        });
        Self { child, address, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian keeps some programs out of the path of ordinary users.
pub(super) fn program(name: &str) -> PathBuf {
    let beside = Path::new("/usr/sbin").join(name);
    if beside.exists() { beside } else { name.into() }
}
