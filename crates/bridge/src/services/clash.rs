//! Whether somebody else has a service's port already, and who: from `/proc/net/tcp` and the open
//! descriptors of processes (proc(5)). Said before the service is started, in words that help.

use crate::app_port::listening;
use rustix::process::{Pid, getpid, getppid};
use std::fs;
use toft_jail::spec::GATEWAY_ADDRESS;

/// Characters of a command that people are told.
const COMMAND_CHARS_MAX: usize = 120;

/// Programs between a service and the one that listens: a shell, a package manager, a reloader.
const PARENTS_MAX: usize = 16;

/// Who listens on a port.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// Toft itself.
    Toft,
    /// A service, by its name.
    Service(String, u32),
    /// Another program: pid and command.
    Program(u32, String),
    /// Somebody that cannot be seen.
    Unseen,
}

/// What stands in the way of a server that wants this port; `None`: nothing does. `own` is the
/// bridge's port; `service` names the service whose program has a pid.
pub(super) fn of_port(
    port: u16,
    own: Option<u16>,
    service: impl Fn(u32) -> Option<String>,
) -> Option<String> {
    if own != Some(port) && !listening::ports().contains(&port) {
        return None;
    }
    let holder = if own == Some(port) { Holder::Toft } else { holder(port, service) };
    Some(told(port, &holder))
}

fn told(port: u16, holder: &Holder) -> String {
    const BY_ITSELF: &str = "It starts by itself then.";
    match holder {
        Holder::Toft => format!(
            "Port {port} is Toft's own in every machine: it listens there itself, so that programs \
             inside reach it. Write another `port` into the service's row, such as 3000. {BY_ITSELF}"
        ),
        Holder::Service(name, pid) => format!(
            "Port {port} is in use by the service {name:?} (pid {pid}). Write another `port` into one \
             of the two rows, or stop that service. {BY_ITSELF}"
        ),
        Holder::Program(pid, command) => format!(
            "Port {port} is in use by pid {pid} (`{command}`), which is no service. End that program, \
             or write another `port` into the service's row. {BY_ITSELF}"
        ),
        Holder::Unseen => format!(
            "Port {port} is in use by a program that cannot be seen from here. Write another `port` \
             into the service's row. {BY_ITSELF}"
        ),
    }
}

fn holder(port: u16, service: impl Fn(u32) -> Option<String>) -> Holder {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(listening::whole);
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    let lines = || tables.iter().flat_map(|text| text.lines().skip(1));
    // Opened by the host for its gateway: no process inside has it.
    if lines().any(|line| listening::address(line, port) == Some(GATEWAY_ADDRESS)) {
        return Holder::Toft;
    }
    let inode = lines().find_map(|line| listening::inode(line, port));
    let Some(holders) = inode.map(holders) else { return Holder::Unseen };
    // The bridge, and init, which started it and keeps what the host opened for it.
    let toft = [Some(getpid()), getppid()].map(|pid| pid.map(Pid::as_raw_nonzero));
    if holders.iter().any(|pid| toft.iter().flatten().any(|own| own.get().cast_unsigned() == *pid))
    {
        return Holder::Toft;
    }
    let Some(pid) = holders.first().copied() else { return Holder::Unseen };
    let mut line = std::iter::successors(Some(pid), |pid| parent(*pid)).take(PARENTS_MAX);
    match line.find_map(service) {
        Some(name) => Holder::Service(name, pid),
        None => Holder::Program(pid, command(pid)),
    }
}

/// Processes that have a socket open, as far as they can be seen; the first of them first.
fn holders(inode: u64) -> Vec<u32> {
    let wanted = format!("socket:[{inode}]");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut holders: Vec<u32> = processes
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let has = open.any(|fd| {
                fd.and_then(|fd| fs::read_link(fd.path()))
                    .is_ok_and(|link| link.to_string_lossy() == wanted)
            });
            has.then_some(pid)
        })
        .collect();
    holders.sort_unstable();
    holders
}

/// The fourth field of `stat`, behind the name in parentheses.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then_some(parent)
}

fn command(pid: u32) -> String {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&argv).replace('\0', " ");
    text.trim().chars().take(COMMAND_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    #[test]
    fn what_listens_here_is_tofts_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = of_port(port, None, |_| None).unwrap();
        assert!(said.contains(&format!("Port {port} is Toft's own")), "{said}");
        assert!(said.contains("another `port`"), "{said}");
        drop(listener);
        assert_eq!(of_port(port, None, |_| None), None);
        assert!(of_port(port, Some(port), |_| None).is_some(), "it is, also while it is not open");
    }

    #[test]
    fn a_program_is_named_and_a_service_by_its_name() {
        let script = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); \
                      print(s.getsockname()[1], flush=True); time.sleep(600)";
        // Below a shell, as services are.
        let line = format!("python3 -c \"{script}\"; true");
        let child = Command::new("sh").args(["-c", &line]).stdout(Stdio::piped()).spawn();
        let mut shell = child.unwrap();
        let mut port = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        let program = holder(port, |_| None);
        let service = holder(port, |pid| (pid == shell.id()).then(|| "Shop".to_owned()));
        let Holder::Program(pid, command) = &program else { panic!("{program:?}") };
        let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
        shell.wait().unwrap();
        assert!(status.unwrap().success());
        assert!(command.contains("python3 -c import socket"), "{command}");
        assert_ne!(*pid, shell.id());
        assert_eq!(service, Holder::Service("Shop".into(), *pid));
        assert!(told(port, &service).contains("the service \"Shop\""));
        assert!(told(port, &program).contains(&format!("pid {pid} (`{command}`)")));
    }
}
