//! Networks of a test's own, in which addresses are free to be used, names mean what the test says, and links break.

use std::any::type_name_of_val;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// Set for the run of a test inside.
const INSIDE: &str = "AQUEDUCT_TEST_INSIDE";

/// Runs a test in a network and a file system of its own, where nobody else is: the test starts itself again in there.
/// That takes root, as in a container; where it cannot be had, a line says so.
pub(crate) fn in_own_network(test: impl Fn(), body: impl FnOnce()) {
    let name = type_name_of_val(&test).split_once("::").expect("a path").1;
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return body();
    }
    let can_be_had = Command::new("unshare").args(["--net", "--mount", "--", "ip", "link", "set", "lo", "up"]).output();
    if !can_be_had.is_ok_and(|output| output.status.success()) {
        #[expect(clippy::print_stderr, reason = "somebody should know")]
        {
            eprintln!("not run: {name}: no network of its own (root, unshare and ip are needed)");
        }
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]).arg(std::env::current_exe().expect("a program"));
    let output = command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().expect("unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Runs a program of the system.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("a program of the system");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Lets a command be run by another, which is given it as its last arguments.
pub(crate) fn wrap(command: &mut Command, mut by: Command) {
    by.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => by.env(name, value),
            None => by.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        by.current_dir(directory);
    }
    by.stdin(Stdio::null());
    *command = by;
}

/// Another machine, which a cable connects with this one.
pub(crate) struct Machine {
    /// It is there as long as somebody is on it.
    inhabitant: Child,
}

/// A cable between this machine and another. Each end has an address, which ends with 1 here and with 2 there.
pub(crate) struct Cable<'a> {
    to: &'a Machine,
    name: &'static str,
    number: u8,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", "ip link set lo up && echo && exec sleep infinity"]);
        let mut inhabitant = command.stdout(Stdio::piped()).spawn().expect("unshare");
        let mut said = [0];
        std::io::Read::read_exact(inhabitant.stdout.as_mut().expect("piped"), &mut said).expect("a network");
        Self { inhabitant }
    }

    /// Runs a command on it.
    pub(crate) fn wrap(&self, command: &mut Command) {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net=/proc/{}/ns/net", self.inhabitant.id())).arg("--");
        wrap(command, enter);
    }

    /// Runs a program of the system on it.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        self.wrap(command.args(arguments));
        let output = command.output().expect("nsenter");
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Lays a cable to it.
    pub(crate) fn cable(&self, name: &'static str, number: u8) -> Cable<'_> {
        let cable = Cable { to: self, name, number };
        let there = format!("{name}-there");
        let pid = self.inhabitant.id().to_string();
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", &there, "netns", &pid]);
        run("ip", &["address", "add", &format!("{}/24", cable.here()), "dev", name]);
        run("ip", &["link", "set", name, "up"]);
        self.run("ip", &["address", "add", &format!("{}/24", cable.there()), "dev", &there]);
        self.run("ip", &["link", "set", &there, "up"]);
        cable
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.inhabitant.kill();
        let _ = self.inhabitant.wait();
    }
}

impl Cable<'_> {
    pub(crate) fn here(&self) -> Ipv4Addr {
        [10, 77, self.number, 1].into()
    }

    pub(crate) fn there(&self) -> Ipv4Addr {
        [10, 77, self.number, 2].into()
    }

    /// From now on everything that is sent over it is lost, both ways, and nobody is told.
    pub(crate) fn swallow(&self) {
        // Sent to cards that are not there.
        let there = format!("{}-there", self.name);
        let lost = ["lladdr", "02:00:00:00:00:fe", "nud", "permanent", "dev"];
        self.to.run("ip", &[&["neighbour", "replace", &self.here().to_string()][..], &lost, &[&there]].concat());
        run("ip", &[&["neighbour", "replace", &self.there().to_string()][..], &lost, &[self.name]].concat());
    }

    /// It carries again.
    pub(crate) fn mend(&self) {
        let there = format!("{}-there", self.name);
        self.to.run("ip", &["neighbour", "delete", &self.here().to_string(), "dev", &there]);
        run("ip", &["neighbour", "delete", &self.there().to_string(), "dev", self.name]);
    }
}
