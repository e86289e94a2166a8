//! What the system says of processes: their CPU and memory. Linux only.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

/// The ticks a second of `/proc/*/stat`: the kernel's promise to programs, whatever its own are.
const TICKS: u64 = 100;

/// A process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

/// The CPU that some processes have used, at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Cpu(Vec<Option<Duration>>);

impl Process {
    pub(crate) const fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// The process that listens on a port of this machine, if it is there and may be looked at.
    pub(crate) fn listening(port: u16) -> Option<Self> {
        let sockets =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let port = format!(":{port:04X}");
        let inode = sockets.iter().flat_map(|table| table.lines()).find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // 0A is the state of a socket that listens.
            (fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A")
                .then(|| fields.get(9).copied())
                .flatten()
        })?;
        let name = format!("socket:[{inode}]");
        let has = |folder: &Path| {
            let files = fs::read_dir(folder.join("fd")).ok()?;
            files.flatten().find(|file| fs::read_link(file.path()).is_ok_and(|link| link == Path::new(&name)))
        };
        // Not `self`: the processes are the folders that have a number for a name.
        let processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            Some((process, entry.path()))
        });
        processes.into_iter().find_map(|(process, folder)| has(&folder).map(|_| Self(process)))
    }

    /// The CPU that it has used, in its own code and in the kernel's.
    fn cpu(self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name, in parentheses, may have spaces in it.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or(&stat).split_whitespace().collect();
        let field =
            |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("no such field");
        Ok(Duration::from_millis((field(11)? + field(12)?) * 1_000 / TICKS))
    }

    /// Its memory, now and at most, in MiB.
    pub(crate) fn memory(self) -> anyhow::Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let kib = field("VmRSS:").zip(field("VmHWM:")).context("the system does not tell the memory")?;
        Ok((kib.0 / 1024.0, kib.1 / 1024.0))
    }
}

impl Cpu {
    /// What processes have used until now; one that cannot be looked at is left open.
    pub(crate) fn of(processes: &[Option<Process>]) -> Self {
        Self(processes.iter().map(|process| process.and_then(|process| process.cpu().ok())).collect())
    }

    /// The microseconds that each used since then, for each of so many things.
    pub(crate) fn per(&self, before: &Self, count: u64) -> Vec<Option<f64>> {
        let used = |(now, before): (&Option<Duration>, &Option<Duration>)| {
            Some(now.as_ref()?.saturating_sub((*before)?).as_secs_f64() * 1e6 / count.max(1) as f64)
        };
        self.0.iter().zip(&before.0).map(used).collect()
    }
}

/// What this runs on, and how busy it was before this began.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{count} CPUs ({}), load before: {load}", model.trim_start_matches([' ', '\t', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_port_and_measured() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = Process::listening(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.0, std::process::id());
        let (now, most) = found.memory().unwrap();
        assert!(now > 1.0 && most >= now);
        assert!(found.cpu().is_ok());
    }
}
