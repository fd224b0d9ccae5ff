//! What the system says of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The machine's monotonic clock: the same in every process.
pub(crate) fn monotonic_nanoseconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// The processor time that a process and its children have had, over all their threads, in nanoseconds.
pub(crate) fn cpu_nanoseconds(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for pid in family(pid) {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += stat.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// The memory that a process and its children have to themselves, shared pages counted by share (PSS), in KiB.
pub(crate) fn memory_kib(pid: u32) -> u64 {
    family_kib(pid, "smaps_rollup", "Pss:")
}

/// The resident memory of a process and its children, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    family_kib(pid, "status", "VmRSS:")
}

/// The most that it ever was, in KiB.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    family_kib(pid, "status", "VmHWM:")
}

fn family_kib(pid: u32, file: &str, field: &str) -> u64 {
    let of = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default()
    };
    family(pid).into_iter().map(of).sum()
}

/// How many files each of a process's epoll instances watches, by the number of a descriptor of it: one instance for
/// each worker of the product, and some for other threads.
pub(crate) fn watched(pid: u32) -> io::Result<BTreeMap<u32, usize>> {
    let mut descriptors: Vec<(u32, PathBuf)> = Vec::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let file = file?;
        descriptors.extend(file.file_name().to_string_lossy().parse().ok().map(|number| (number, file.path())));
    }
    descriptors.sort_unstable();
    let (mut watched, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for (number, path) in descriptors {
        let text = fs::read_to_string(path).unwrap_or_default();
        let files: Vec<String> = text.lines().filter(|line| line.starts_with("tfd:")).map(str::to_owned).collect();
        // An instance may have several descriptors.
        if !files.is_empty() && seen.insert(files.clone()) {
            watched.insert(number, files.len());
        }
    }
    Ok(watched)
}

/// A process and its children, whose own children none of the peers have.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}
