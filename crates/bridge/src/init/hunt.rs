//! Finds every process that a program started, wherever it hid: below it in the process tree, in
//! its session, in its control group, or anywhere with its mark in the environment. Reads `/proc`
//! only; ending them is in `end`.
//!
//! What escapes where a program has no group of its own: a process that left its session, lost its
//! parents *and* threw away its environment.

use rustix::process::Pid;
use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

/// Environment name that carries a program's id.
pub(super) const MARK_ID: &str = "TOFT_EXEC";

/// Environment name that tells one init's programs from another's: machines of the `host` backend
/// share one process table.
pub(super) const MARK_INIT: &str = "TOFT_INIT";

/// Whom to look for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prey<'a> {
    /// The init that started it.
    pub(super) init: &'a str,
    /// Its id.
    pub(super) id: &'a str,
    /// Its pid: the session it leads, even when the process itself is gone.
    pub(super) session: Pid,
    /// Whether that pid is surely still its own.
    pub(super) leads: bool,
    /// Folder of its control group.
    pub(super) group: Option<&'a Path>,
}

/// One process of `/proc`.
#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    parent: i32,
    session: i32,
    mark: Mark,
}

/// What `/proc` says of a living process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: i32,
    session: i32,
    /// Device number of its controlling terminal; 0 for none.
    terminal: i32,
}

/// What a process's environment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It is the prey's.
    Ours,
    /// It belongs to another program.
    Other,
    /// It says nothing, or may not be read.
    None,
}

/// Pids of all living processes of `prey`, zombies excluded, never the caller's own.
pub(super) fn find(prey: &Prey<'_>) -> Vec<Pid> {
    let me = std::process::id();
    let all: Vec<Process> = pids().filter_map(|pid| read(pid, prey)).collect();
    let grouped: HashSet<i32> = prey.group.map(members).unwrap_or_default();
    let session = prey.session.as_raw_nonzero().get();
    let mut found: HashSet<i32> = HashSet::new();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let mut queue = Vec::new();
    for process in &all {
        let pid = process.pid.as_raw_nonzero().get();
        children.entry(process.parent).or_default().push(pid);
        // A session number may be that of a later program once its first leader is gone; the mark
        // tells them apart.
        let in_session = process.session == session && (prey.leads || process.mark != Mark::Other);
        let is_leader = prey.leads && pid == session;
        if is_leader || in_session || process.mark == Mark::Ours || grouped.contains(&pid) {
            queue.push(pid);
        }
    }
    while let Some(pid) = queue.pop() {
        if found.insert(pid) {
            queue.extend(children.get(&pid).into_iter().flatten());
        }
    }
    all.iter()
        .map(|p| p.pid)
        .filter(|pid| {
            let raw = pid.as_raw_nonzero().get();
            found.contains(&raw) && raw.unsigned_abs() != me
        })
        .collect()
}

/// Every living process below this one but `except` and what is below that: with a subreaper's
/// orphans nothing that it ever started is missing.
pub(super) fn descendants(except: Option<Pid>) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
    for pid in pids() {
        if let Some(stat) = stat(pid).filter(|_| Some(pid) != except) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut queue = vec![rustix::process::getpid()];
    while let Some(pid) = queue.pop() {
        let below = children.remove(&pid.as_raw_nonzero().get()).unwrap_or_default();
        found.extend(&below);
        queue.extend(below);
    }
    found
}

/// Every process but the caller: what is left of a machine when its pid 1 ends it.
pub(super) fn everybody() -> Vec<Pid> {
    let me = std::process::id();
    pids()
        .filter(|pid| pid.as_raw_nonzero().get().unsigned_abs() != me)
        .filter(|pid| stat(*pid).is_some())
        .collect()
}

/// Those of them that have a controlling terminal.
pub(super) fn at_terminals(pids: &[Pid]) -> Vec<Pid> {
    pids.iter().copied().filter(|pid| stat(*pid).is_some_and(|s| s.terminal != 0)).collect()
}

fn pids() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
}

fn members(group: &Path) -> HashSet<i32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn read(pid: Pid, prey: &Prey<'_>) -> Option<Process> {
    let Stat { parent, session, .. } = stat(pid)?;
    let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    Some(Process { pid, parent, session, mark: mark(&environ, prey) })
}

fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&text)
}

/// Fields 3, 4, 6 and 7 of proc(5) `stat`; `None` for the dead. The name before them may hold
/// anything, brackets included.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&text[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let terminal = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Stat { parent, session, terminal })
}

fn mark(environ: &[u8], prey: &Prey<'_>) -> Mark {
    let value = |name: &str| {
        environ
            .split(|b| *b == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    match (value(MARK_INIT), value(MARK_ID)) {
        (Some(init), Some(id)) if init == prey.init.as_bytes() => {
            if prey.id.as_bytes() == id {
                Mark::Ours
            } else {
                Mark::Other
            }
        }
        (Some(_), Some(_)) => Mark::Other,
        (_, None) | (None, _) => Mark::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_confuse_the_parser() {
        let line = b"7 (a) Z 1 (b)) S 3 4 5 34816 -1";
        assert_eq!(parse_stat(line), Some(Stat { parent: 3, session: 5, terminal: 34816 }));
        assert_eq!(parse_stat(b"7 (x) Z 3 4 5 0 -1"), None, "a zombie is dead");
        assert_eq!(parse_stat(b"7 (x"), None);
    }

    #[test]
    fn only_the_mark_of_the_same_init_counts() {
        let prey = Prey { init: "aa", id: "job", session: Pid::INIT, leads: false, group: None };
        let environ = |init: &str, id: &str| format!("PATH=/bin\0TOFT_EXEC={id}\0TOFT_INIT={init}");
        assert_eq!(mark(environ("aa", "job").as_bytes(), &prey), Mark::Ours);
        assert_eq!(mark(environ("aa", "job2").as_bytes(), &prey), Mark::Other);
        assert_eq!(mark(environ("bb", "job").as_bytes(), &prey), Mark::Other);
        assert_eq!(mark(b"PATH=/bin", &prey), Mark::None);
    }
}
