//! What the processes of a machine's work are and have written, from `/proc`. Only looked at when
//! something happens.

use crate::cgroup::procs_below;
use std::{collections::HashMap, fs, path::Path, time::Instant};

/// Processes that are looked at: a machine with more is full of one kind of them.
const LOOK_MAX: usize = 512;
/// Longest command line that is told.
const COMMAND_CHARS_MAX: usize = 200;

/// What all programs together may write in a second: into memory, whatever disk is below.
pub(crate) const WRITE_RATE_MAX: u64 = 2 << 30;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its arguments with blanks between them.
    pub(super) command: String,
    /// Pid inside the machine.
    pub(super) inner: Option<u32>,
}

/// Processes by their pid on the host.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) seen: HashMap<u32, Seen>,
}

impl Sample {
    /// Names first: one that is being killed loses its own within a millisecond.
    pub(super) fn take(work: &Path) -> Self {
        let mut pids = procs_below(work);
        pids.truncate(LOOK_MAX);
        let named: Vec<(u32, String)> =
            pids.into_iter().filter_map(|pid| Some((pid, command(pid)?))).collect();
        let seen = named
            .into_iter()
            .map(|(pid, command)| (pid, Seen { command, inner: inner_pid(pid) }))
            .collect();
        Self { at: Instant::now(), seen }
    }

    /// The command that at least half of all processes run.
    pub(super) fn most(&self) -> Option<(&str, usize)> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for seen in self.seen.values() {
            *counts.entry(&seen.command).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
        (most.1 * 2 >= self.seen.len()).then_some(most)
    }

    /// The only one that has ended since, if it is only one.
    pub(super) fn ended(&self) -> Option<(u32, &Seen)> {
        let is_gone = |pid: u32| crate::procs::stat(pid).is_none_or(|stat| stat.ended);
        let mut gone = self.seen.iter().filter(|(pid, _)| is_gone(**pid));
        let first = gone.next()?;
        gone.next().is_none().then_some((*first.0, first.1))
    }
}

/// The command line of a process that has one.
fn command(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(&bytes));
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(COMMAND_CHARS_MAX)
        .collect();
    (!text.trim().is_empty()).then_some(text)
}

fn inner_pid(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|l| l.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// Bytes that processes have written so far, by their pid on the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written(HashMap<u32, (u64, String)>);

impl Written {
    pub(crate) fn take(work: &Path) -> Self {
        let pids = procs_below(work).into_iter().take(LOOK_MAX);
        Self(pids.filter_map(|pid| Some((pid, (written(pid)?, command(pid)?)))).collect())
    }

    /// Who has written how much since `before`, most first. A process that began since then has
    /// written all of it since then.
    pub(crate) fn since(&self, before: &Self) -> Vec<Writer> {
        let grown = |pid: &u32, now: u64| now.saturating_sub(before.0.get(pid).map_or(0, |b| b.0));
        let mut writers: Vec<Writer> = self
            .0
            .iter()
            .map(|(pid, (now, command))| Writer {
                pid: *pid,
                command: command.clone(),
                bytes: grown(pid, *now),
            })
            .filter(|writer| writer.bytes > 0)
            .collect();
        writers.sort_by_key(|writer| std::cmp::Reverse(writer.bytes));
        writers
    }
}

/// See [`Written::since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) pid: u32,
    pub(crate) command: String,
    pub(crate) bytes: u64,
}

impl Writer {
    /// Its pid inside the machine.
    pub(crate) fn inner(&self) -> Option<u32> {
        inner_pid(self.pid)
    }
}

/// Of proc_pid_io(5): what went into the page cache to be written to a disk. By its threads: that of
/// the whole process also counts children that have ended.
fn written(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let of_thread = |folder: std::path::PathBuf| -> Option<u64> {
        let text = fs::read_to_string(folder.join("io")).ok()?;
        text.lines().find_map(|l| l.strip_prefix("write_bytes: ")?.parse().ok())
    };
    Some(threads.filter_map(|thread| of_thread(thread.path())).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(commands: &[&str]) -> Sample {
        let seen = (0u32..).zip(commands).map(|(pid, command)| {
            (u32::MAX - pid, Seen { command: (*command).to_owned(), inner: None })
        });
        Sample { at: Instant::now(), seen: seen.collect() }
    }

    #[test]
    fn only_what_half_of_all_run_is_named() {
        assert_eq!(sample(&["a", "b", "a", "c"]).most(), Some(("a", 2)));
        assert_eq!(sample(&["a", "b", "c", "d", "a"]).most(), None);
        assert_eq!(sample(&[]).most(), None);
    }

    #[test]
    fn of_two_that_ended_none_is_named() {
        assert_eq!(sample(&["a"]).ended().map(|(_, seen)| seen.command.as_str()), Some("a"));
        assert_eq!(sample(&["a", "b"]).ended(), None);
    }

    #[test]
    fn who_wrote_most_comes_first() {
        let written = |list: &[(u32, u64)]| {
            Written(list.iter().map(|(pid, n)| (*pid, (*n, pid.to_string()))).collect())
        };
        let before = written(&[(1, 100), (2, 5)]);
        let since = written(&[(1, 100), (2, 15), (3, 7)]).since(&before);
        assert_eq!(since.iter().map(|w| (w.pid, w.bytes)).collect::<Vec<_>>(), [(2, 10), (3, 7)]);
    }
}
