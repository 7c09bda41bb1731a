//! What the kernel says of processes that it killed for want of memory: `/dev/kmsg`, read only after
//! such a kill. Where it cannot be read, nothing is known.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    sync::Mutex,
};

/// Longest record (`PRINTK_MESSAGE_MAX` is 2 KiB, escaped it can have more).
const RECORD_BYTES: usize = 16 << 10;
/// Kills that nobody has asked for yet.
const KILLS_MAX: usize = 64;

/// A process that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    /// As the host numbers it.
    pub(super) pid: u32,
    /// The first 15 bytes of its name.
    pub(super) name: String,
    /// What it had of its own in memory.
    pub(super) bytes: Option<u64>,
    /// Whether all of the host's memory was used up, and no group's.
    pub(super) by_host: bool,
    /// The group that was full, and the one it was in; the kernel does not say it every time.
    group: Option<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KernelLog(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    file: Option<File>,
    /// The last line about which group it was, and whom it named.
    told: Option<(u32, String)>,
    kills: VecDeque<Kill>,
}

impl KernelLog {
    /// From now on.
    pub(super) fn open() -> Self {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open("/dev/kmsg")
            .and_then(|mut file| file.seek(SeekFrom::End(0)).map(|_| file));
        if let Err(e) = &file {
            tracing::info!("the kernel's messages cannot be read: {e}");
        }
        Self(Mutex::new(Heard { file: file.ok(), ..Heard::default() }))
    }

    /// The newest kill of a project that was not asked for yet: by its group, or by its process.
    /// Those before it are of the same moment.
    pub(super) fn victim(&self, project: &str, knows: impl Fn(u32) -> bool) -> Option<Kill> {
        let mut heard = self.0.lock().expect("no holder panics");
        heard.read();
        let is_ours = |kill: &Kill| match &kill.group {
            Some(group) => group.split('/').any(|part| part == project),
            None => knows(kill.pid),
        };
        let newest = heard.kills.iter().rev().find(|kill| is_ours(kill)).cloned();
        heard.kills.retain(|kill| !is_ours(kill));
        newest
    }
}

impl Heard {
    fn read(&mut self) {
        let mut buf = vec![0u8; RECORD_BYTES];
        while let Some(file) = &mut self.file {
            match file.read(&mut buf) {
                Ok(0) => return,
                Ok(len) => {
                    let record = String::from_utf8_lossy(&buf[..len]).into_owned();
                    self.take(&record);
                }
                // Some were overwritten before we came; the next read goes on behind them.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                // No more for now.
                Err(_) => return,
            }
        }
    }

    /// One record: `priority,number,time,flags;text`.
    fn take(&mut self, record: &str) {
        let Some((head, text)) = record.split_once(';') else { return };
        // Programs may write there too (facility 1 and up): only the kernel's own word counts.
        let is_kernels =
            head.split(',').next().and_then(|p| p.parse::<u32>().ok()).is_some_and(|p| p < 8);
        if !is_kernels {
            return;
        }
        let line = text.lines().next().unwrap_or_default();
        if let Some(fields) = line.strip_prefix("oom-kill:") {
            let field = |name: &str| fields.split(',').find_map(|f| f.strip_prefix(name));
            let pid = field("pid=").and_then(|pid| pid.parse().ok());
            // Either may name the machine: what was full may lie above it, and is not named when it was
            // the whole host.
            let groups = [field("oom_memcg="), field("task_memcg=")];
            let groups: Vec<&str> = groups.into_iter().flatten().collect();
            self.told = pid.zip((!groups.is_empty()).then(|| groups.join("/")));
        } else if let Some((_, killed)) = line.split_once("Killed process ") {
            let Some((pid, rest)) = killed.split_once(" (") else { return };
            let (Ok(pid), Some(end)) = (pid.parse(), rest.rfind(") total-vm:")) else { return };
            let told = self.told.take().filter(|(told, _)| *told == pid);
            let group = told.map(|(_, group)| group);
            if self.kills.len() == KILLS_MAX {
                self.kills.pop_front();
            }
            self.kills.push_back(Kill {
                pid,
                name: rest[..end].to_owned(),
                bytes: resident(&rest[end..]),
                by_host: line.starts_with("Out of memory"),
                group,
            });
        }
    }
}

/// What a process has of its own in memory, of a line such as
/// `total-vm:9kB, anon-rss:4kB, file-rss:1kB, shmem-rss:0kB, UID:0 …`. Files are nobody's own.
fn resident(text: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let rest = text.split_once(name)?.1;
        rest[..rest.find("kB")?].parse().ok()
    };
    let parts = ["anon-rss:", "shmem-rss:"].map(kib);
    parts.iter().any(Option::is_some).then(|| parts.iter().flatten().sum::<u64>() << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,\
         mems_allowed=0,oom_memcg=/toft-1/aaaaaaaaaaaa/work,task_memcg=/x,task=tail,pid=7,uid=0\n";
    const KILLED: &str = "3,2,1,-;Memory cgroup out of memory: Killed process 7 (a) b) total-vm:1kB, \
         anon-rss:3kB, file-rss:2kB, shmem-rss:0kB, UID:0 pgtables:1kB oom_score_adj:0\n";

    #[test]
    fn a_kill_is_found_by_its_group_or_its_process_and_only_once() {
        let log = KernelLog::default();
        let take = |record: &str| log.0.lock().unwrap().take(record);
        take(FULL);
        take(KILLED);
        take(&KILLED.replace(" 7 ", " 8 "));
        // Somebody else's words.
        take(&KILLED.replace("3,2", "11,2").replace(" 7 ", " 9 "));
        assert_eq!(log.victim("bbbbbbbbbbbb", |_| false), None);
        let kill = log.victim("aaaaaaaaaaaa", |_| false).unwrap();
        assert_eq!((kill.pid, kill.name.as_str()), (7, "a) b"));
        assert_eq!((kill.bytes, kill.by_host), (Some(3 << 10), false));
        assert_eq!(log.victim("aaaaaaaaaaaa", |_| false), None);
        assert_eq!(log.victim("bbbbbbbbbbbb", |pid| pid == 8).unwrap().pid, 8);
        assert_eq!(log.victim("bbbbbbbbbbbb", |_| true), None);
    }

    #[test]
    fn what_the_host_itself_ran_out_of_is_told_apart() {
        let log = KernelLog::default();
        let take = |record: &str| log.0.lock().unwrap().take(record);
        take(
            &FULL
                .replace("oom_memcg=/toft-1/aaaaaaaaaaaa/work,", "global_oom,")
                .replace("task_memcg=/x", "task_memcg=/toft-1/aaaaaaaaaaaa/work/programs"),
        );
        take(&KILLED.replace("Memory cgroup out of memory", "Out of memory"));
        assert!(log.victim("aaaaaaaaaaaa", |_| false).unwrap().by_host);
    }
}
