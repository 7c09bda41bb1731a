//! The limits of a machine's groups, at its start and while it runs. What a limit means is in
//! `toft_model::machine::Limits`.

use super::{
    CgroupHost, Way,
    detect::{CONTROLLERS, tell},
    groups::{Groups, procs_below},
    programs::make_folder,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_model::machine::Limits;

/// Microseconds of a scheduling period; the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// Processes and threads of init and bridge beyond those of work: some 20, and people's requests.
const BEYOND_WORK_PIDS: u64 = 256;
/// Memory of init and bridge beyond that of work: 20 MiB at rest; long conversations take more.
const BEYOND_WORK_BYTES: u64 = 1 << 30;
/// Rounds of moving what forks meanwhile.
const MOVE_ROUNDS_MAX: usize = 20;

/// Whether a group has limits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    /// It was made just now: what is not limited needs no word.
    Fresh,
    /// It may have any.
    Limited,
}

/// Limits of a machine as a whole.
pub(super) fn wider(limits: &Limits) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes.map(|bytes| bytes.saturating_add(BEYOND_WORK_BYTES)),
        pids: limits.pids.map(|pids| pids.saturating_add(BEYOND_WORK_PIDS)),
        ..limits.clone()
    }
}

/// Limits one group by one controller.
pub(super) fn limit(
    way: Way,
    group: &Path,
    controller: &str,
    limits: &Limits,
    was: Was,
) -> io::Result<()> {
    let wanted = match controller {
        "memory" => limits.memory_bytes,
        "pids" => limits.pids,
        _ => limits.cpus.map(quota_us),
    };
    if wanted.is_none() && was == Was::Fresh {
        return Ok(());
    }
    let say = |file: &str, text: &str| tell(&group.join(file), text);
    let number = wanted.map(|n| n.to_string());
    match (controller, way) {
        ("memory", Way::V2) => {
            // Without swap accounting there is no such file, and no swap to limit.
            let _ = say("memory.swap.max", if number.is_some() { "0" } else { "max" });
            say("memory.max", number.as_deref().unwrap_or("max"))
        }
        ("memory", Way::V1) => {
            let text = number.as_deref().unwrap_or("-1");
            // Memory with swap is never less than memory: it goes first upwards, and last
            // downwards. As above it may not be there.
            let _ = say("memory.memsw.limit_in_bytes", text);
            say("memory.limit_in_bytes", text)?;
            let _ = say("memory.memsw.limit_in_bytes", text);
            Ok(())
        }
        ("pids", _) => say("pids.max", number.as_deref().unwrap_or("max")),
        (_, Way::V2) => {
            say("cpu.max", &format!("{} {CPU_PERIOD_US}", number.as_deref().unwrap_or("max")))
        }
        (_, Way::V1) => {
            say("cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
            say("cpu.cfs_quota_us", number.as_deref().unwrap_or("-1"))
        }
    }
}

/// Microseconds per period; the kernel refuses less than 1 ms.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of processors, clamped to a range that all of these hold"
)]
fn quota_us(cpus: f64) -> u64 {
    (cpus.clamp(0.01, 4096.0) * CPU_PERIOD_US as f64) as u64
}

impl CgroupHost {
    /// Changes the limits of the machine `name`, whose groups are given; answers true when these
    /// have become more and must be remembered. Memory first, which the kernel may refuse: then
    /// nothing has changed.
    pub(crate) fn limit_again(
        &self,
        name: &str,
        groups: &mut Groups,
        limits: &Limits,
    ) -> io::Result<bool> {
        let mut grown = false;
        for controller in CONTROLLERS {
            let Some((way, group)) = self.group_of(controller, name) else { continue };
            let work = group.join("work");
            if way == Way::V1 && controller == "cpu" && !group.exists() {
                if limits.cpus.is_none() {
                    continue;
                }
                // Made when it is first needed, since few machines have such a limit. All of the
                // machine goes there: what its init starts later must, too.
                group.parent().map_or(Ok(()), make_folder)?;
                make_folder(&group)?;
                groups.folders.insert(0, group.clone());
                grown = true;
                limit(way, &group, controller, limits, Was::Limited)?;
                move_all(groups, &group)?;
                continue;
            }
            if !work.is_dir() {
                limit(way, &group, controller, limits, Was::Limited)?;
                continue;
            }
            limit(way, &work, controller, limits, Was::Limited)?;
            if controller != "cpu" {
                limit(way, &group, controller, &wider(limits), Was::Limited)?;
            }
        }
        Ok(grown)
    }

    /// The group of a machine by which a controller limits it, and how.
    fn group_of(&self, controller: &str, name: &str) -> Option<(Way, PathBuf)> {
        let way = self.way(controller)?;
        let folder = match way {
            Way::V2 => self.unified.as_ref()?,
            Way::V1 => self.v1.get(controller)?,
        };
        Some((way, folder.join(name)))
    }

    /// The group that limits a machine's work by a controller.
    pub(crate) fn work_group(&self, controller: &str, name: &str) -> Option<(Way, PathBuf)> {
        let (way, group) = self.group_of(controller, name)?;
        Some((way, group.join("work")))
    }
}

fn move_all(groups: &Groups, to: &Path) -> io::Result<()> {
    let door = to.join("cgroup.procs");
    for _ in 0..MOVE_ROUNDS_MAX {
        let there = procs_below(to);
        let missing: Vec<u32> =
            groups.everyone().into_iter().filter(|pid| !there.contains(pid)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for pid in missing {
            match tell(&door, &pid.to_string()) {
                // It has ended.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                other => other?,
            }
        }
    }
    Err(io::Error::other("its processes fork faster than they can be moved"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::layouts::{Layout, MACHINE, Tree},
        *,
    };

    /// Files of a machine's groups, with what they must say.
    fn check(layout: Layout, files: &[(&str, &str, &str)]) {
        let (tree, mut groups) = (Tree::new(layout), Groups::default());
        let limits = Limits {
            memory_bytes: Some(64 << 20),
            pids: Some(30),
            cpus: Some(0.5),
            ..Limits::default()
        };
        let host = tree.detect();
        assert!(!host.limit_again(MACHINE, &mut groups, &limits).unwrap(), "{layout:?}");
        for (controller, file, expected) in files {
            assert_eq!(tree.says(controller, file), *expected, "{layout:?}: {file}");
        }
    }

    #[test]
    fn each_layout_is_limited_by_its_own_files_and_the_rest_of_a_machine_a_little_wider() {
        const WORK: &str = "67108864";
        const ALL: &str = "1140850688";
        check(
            Layout::V2,
            &[
                ("memory", "work/memory.max", WORK),
                ("memory", "work/memory.swap.max", "0"),
                ("memory", "memory.max", ALL),
                ("pids", "work/pids.max", "30"),
                ("pids", "pids.max", "286"),
                ("cpu", "work/cpu.max", "50000 100000"),
                ("cpu", "cpu.max", ""),
            ],
        );
        for layout in [Layout::V1, Layout::Hybrid] {
            check(
                layout,
                &[
                    ("memory", "work/memory.limit_in_bytes", WORK),
                    ("memory", "work/memory.memsw.limit_in_bytes", WORK),
                    ("memory", "memory.limit_in_bytes", ALL),
                    ("pids", "work/pids.max", "30"),
                    ("pids", "pids.max", "286"),
                    ("cpu", "cpu.cfs_period_us", "100000"),
                    ("cpu", "cpu.cfs_quota_us", "50000"),
                ],
            );
        }
        // Nothing is there to be written to, and nobody is told that it was.
        check(Layout::None, &[("memory", "work/memory.max", "")]);
        check(Layout::Closed, &[("memory", "work/memory.limit_in_bytes", "")]);
        check(
            Layout::V2Without("memory"),
            &[("memory", "work/memory.max", ""), ("pids", "work/pids.max", "30")],
        );
    }

    #[test]
    fn processors_become_microseconds_within_what_the_kernel_takes() {
        for (cpus, expected) in [(1.5, 150_000), (0.0, 1_000), (f64::MAX, 409_600_000)] {
            assert_eq!(quota_us(cpus), expected);
        }
    }
}
