//! What `/proc` says of processes: whether a pid is still the process that was meant, who its
//! descendants are, what they use.

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
};
use std::{
    collections::HashMap,
    fs, io,
    time::{Duration, Instant},
};

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// Since boot, in clock ticks: field 22 of proc_pid_stat(5).
    pub(crate) start_ticks: u64,
    pub(crate) ended: bool,
}

/// `None`: there is no such process.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(line: &str) -> Option<Stat> {
    // The name is in parentheses and may hold blanks and parentheses itself.
    let mut fields = line.get(line.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, start_ticks, ended: matches!(state, "Z" | "X" | "x") })
}

/// Names this run of the kernel: pids and start times mean nothing in another.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A handle to the process with this pid and start time, if it still lives.
pub(crate) fn hold(pid: u32, start_ticks: u64) -> Option<OwnedFd> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let fd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
    // After opening: only now can the pid no longer change its meaning unnoticed.
    let now = stat(pid)?;
    (now.start_ticks == start_ticks && !now.ended).then_some(fd)
}

/// Waits until a process has ended; false when the time is up.
pub(crate) fn wait_end(pidfd: &OwnedFd, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            // A pidfd cannot fail to be polled; taking it as ended would be a lie.
            Err(_) => return false,
        }
    }
}

/// Reaps a process if it is ours to reap: a server that is pid 1 of a container inherits them.
pub(crate) fn reap(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // ECHILD: somebody else's.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// All descendants of a process, children before grandchildren.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        if let Some(below) = children.remove(&pid) {
            found.extend(&below);
            next.extend(below);
        }
    }
    found
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Number and resident bytes of a process and all below it, where no group counts them. Pages that
/// several share are counted for each.
pub(crate) fn usage(root: u32) -> (u64, u64) {
    let mut pids = descendants(root);
    pids.push(root);
    let resident = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    (pids.len() as u64, pids.iter().filter_map(resident).sum::<u64>() << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = parse(line).unwrap();
        assert_eq!((stat.parent, stat.start_ticks, stat.ended), (7, 98765, false));
        assert!(parse("42 (a) Z 1 2").is_none());
    }

    #[test]
    fn this_process_is_held_and_another_start_time_is_not() {
        let own = std::process::id();
        let stat = stat(own).unwrap();
        let held = hold(own, stat.start_ticks).unwrap();
        assert!(!wait_end(&held, Duration::ZERO));
        assert!(hold(own, stat.start_ticks + 1).is_none());
        assert!(descendants(stat.parent).contains(&own));
    }
}
