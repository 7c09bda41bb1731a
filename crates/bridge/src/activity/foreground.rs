//! Which program has a terminal in its foreground, from `/proc/<pid>/stat` (proc(5)): the process
//! group `tpgid` of the terminal. A shell that waits at its prompt is no program at work.

use std::fs;

/// Shells that people use; one of them alone in the foreground waits for input.
const SHELLS: [&str; 10] =
    ["sh", "bash", "dash", "ash", "zsh", "fish", "ksh", "mksh", "busybox", "login"];

/// A process, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pid: u32,
    name: String,
    group: u32,
    /// Foreground group of its terminal; negative without one.
    foreground: i64,
}

/// All that run here.
pub(super) fn processes() -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        })
        .collect()
}

/// `pid (name) state ppid pgrp session tty_nr tpgid …`; the name may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let group = fields.nth(2)?.parse().ok()?;
    let foreground = fields.nth(2)?.parse().ok()?;
    Some(Process { pid: pid.parse().ok()?, name: name.to_owned(), group, foreground })
}

/// What works in the foreground of the terminal that `leader` was started on.
pub(super) fn of_terminal(leader: u32, processes: &[Process]) -> Option<String> {
    let foreground = processes.iter().find(|p| p.pid == leader)?.foreground;
    let group = u32::try_from(foreground).ok().filter(|group| *group > 0)?;
    let works = |p: &&Process| p.group == group && !is_shell(&p.name);
    let program = processes.iter().filter(works).min_by_key(|p| p.pid)?;
    Some(command(program))
}

fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name.trim_start_matches('-'))
}

fn command(process: &Process) -> String {
    let argv = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    let text = String::from_utf8_lossy(&argv).replace('\0', " ");
    if text.trim().is_empty() { process.name.clone() } else { text.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &str, group: u32, foreground: i64) -> Process {
        Process { pid, name: name.into(), group, foreground }
    }

    #[test]
    fn a_name_with_brackets_is_read() {
        let stat = "42 (a) b (c) S 1 42 42 34816 77 4194304 1 2";
        assert_eq!(parse(stat), Some(process(42, "a) b (c", 42, 77)));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn a_shell_at_its_prompt_is_idle_and_a_program_in_front_of_it_is_not() {
        let idle = [process(10, "bash", 10, 10), process(11, "sleep", 11, 10)];
        assert_eq!(of_terminal(10, &idle), None, "a background job is no foreground");
        let busy = [process(10, "bash", 10, 12), process(4_000_012, "vim", 12, 12)];
        assert_eq!(of_terminal(10, &busy).as_deref(), Some("vim"));
        let script = [process(10, "sh", 10, 10), process(4_000_011, "make", 10, 10)];
        assert_eq!(of_terminal(10, &script).as_deref(), Some("make"));
        assert_eq!(of_terminal(99, &busy), None);
    }

    #[test]
    fn this_test_is_among_the_processes() {
        assert!(processes().iter().any(|p| p.pid == std::process::id()));
    }
}
