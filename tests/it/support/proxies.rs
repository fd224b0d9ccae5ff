//! Upstream proxies as people run them: tinyproxy, squid, microsocks and dante.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::eventually;
use super::programs::program;

/// The user and the password that those with a login want.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "w0nder:l@nd";
/// That of tinyproxy, which understands letters, digits and little else.
pub(crate) const PLAIN_PASSWORD: &str = "w0nder.l-nd";

/// How long a proxy may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// A proxy that runs.
pub(crate) struct RealProxy {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl RealProxy {
    /// tinyproxy, with or without a login.
    pub(crate) fn tinyproxy(has_login: bool) -> Self {
        Self::start("tinyproxy", |port, directory| {
            let login = if has_login { format!("BasicAuth {USER} {PLAIN_PASSWORD}\n") } else { String::new() };
            let config = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\n{login}");
            ["-d".into(), "-c".into(), written(directory, "tinyproxy.conf", &config)].into()
        })
    }

    /// squid, with or without a login.
    pub(crate) fn squid(has_login: bool) -> Self {
        Self::start("squid", |port, directory| {
            let login = if has_login {
                let users = written(directory, "users", &format!("{USER}:{}\n", crypt(PASSWORD)));
                format!(
                    "auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}\nauth_param basic children 1\nacl known proxy_auth REQUIRED\nhttp_access deny !known\n"
                )
            } else {
                String::new()
            };
            let place = directory.display();
            let config = format!(
                "http_port 127.0.0.1:{port}\npid_filename {place}/squid.pid\naccess_log none\ncache_log {place}/cache.log\ncache deny all\n{login}http_access allow all\nshutdown_lifetime 0 seconds\npinger_enable off\n"
            );
            // Its shared memory is named after it, and there may be several.
            let name = format!("aqueduct{port}");
            ["-N".into(), "-n".into(), name, "-f".into(), written(directory, "squid.conf", &config)].into()
        })
    }

    /// microsocks, with or without a login.
    pub(crate) fn microsocks(has_login: bool) -> Self {
        Self::start("microsocks", |port, _| {
            let mut arguments = ["-i", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).to_vec();
            if has_login {
                arguments.extend(["-u", USER, "-P", PASSWORD].map(str::to_owned));
            }
            arguments
        })
    }

    /// dante, which speaks both versions of SOCKS.
    pub(crate) fn dante() -> Self {
        Self::start("danted", |port, directory| {
            let config = format!(
                "logoutput: {place}/log\ninternal: 127.0.0.1 port = {port}\nexternal: lo\nclientmethod: none\nsocksmethod: none\nclient pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\nsocks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n",
                place = directory.display()
            );
            let pid = directory.join("pid").display().to_string();
            ["-N".into(), "1".into(), "-p".into(), pid, "-f".into(), written(directory, "danted.conf", &config)].into()
        })
    }

    fn start(name: &str, arguments: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        let directory = TempDir::new().expect("a directory");
        // Several of them give up their rights and still want to write.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).expect("a directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut command = Command::new(program(name));
        command.args(arguments(address.port(), directory.path())).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("{name}: {why}: run scripts/setup"));
        eventually(&format!("{name} listens"), || {
            assert!(matches!(child.try_wait(), Ok(None)), "{name} ended");
            TcpStream::connect(address).is_ok()
        });
        Self { child, address, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Its URL with a login. Characters that mean something in a URL are encoded.
    pub(crate) fn url_with(&self, scheme: &str, user: &str, password: &str) -> String {
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        format!("{scheme}://{}:{}@{}", encode(user), encode(password), self.address)
    }
}

impl Drop for RealProxy {
    fn drop(&mut self) {
        // Asked to, they take their helpers and their shared memory with them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < GRACE {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

/// A password as squid's file of users has it.
fn crypt(password: &str) -> String {
    let output = Command::new("openssl").args(["passwd", "-apr1", password]).output();
    let output = output.expect("openssl is there: run scripts/setup");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
