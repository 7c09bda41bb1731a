//! The groups of one machine: made at start, remembered in its state file, removed at its end.
//! Init and bridge are outside the limits: a machine that runs out of memory can still be spoken
//! to.

use super::{
    CgroupHost, Way,
    detect::{CONTROLLERS, enable, tell},
};
use crate::backend::Stats;
use rustix::{
    fs::{AtFlags, CWD, Uid, chownat},
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_jail::spec::{Bind, Cgroups};
use toft_model::machine::Limits;

/// Microseconds of a scheduling period; the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// Folder inside a machine with a file to join each group.
const INSIDE: &str = "/run/toft/cg";

/// What is remembered of a machine's groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    /// Folders, deepest first.
    pub(crate) folders: Vec<PathBuf>,
    /// The v2 group of all its processes.
    pub(crate) unified: Option<PathBuf>,
    /// The group whose memory is all of its memory, v2 or v1.
    pub(crate) memory: Option<PathBuf>,
}

/// Groups that were just made.
#[derive(Debug, Default)]
pub(crate) struct MachineGroup {
    /// To be remembered.
    pub(crate) groups: Groups,
    /// What init is born into.
    pub(crate) join: Cgroups,
    /// Files that work processes join by, on the host and inside.
    pub(crate) binds: Vec<Bind>,
}

impl MachineGroup {
    /// Files that work processes join by, as they are seen inside.
    pub(crate) fn work_files(&self) -> Vec<String> {
        self.binds.iter().map(|b| b.target.clone()).collect()
    }

    /// The same files as the host sees them, for processes that are not confined.
    pub(crate) fn work_files_outside(&self) -> Vec<String> {
        self.binds.iter().map(|b| b.source.to_string_lossy().into_owned()).collect()
    }

    /// Makes the groups of the machine `name`. `owner` is its root's id on this host when that is
    /// not ours. On an error what was made is removed.
    pub(crate) fn make(
        host: &CgroupHost,
        name: &str,
        limits: &Limits,
        owner: Option<u32>,
    ) -> io::Result<Self> {
        let mut made = Self::default();
        match made.fill(host, name, limits, owner) {
            Ok(()) => {
                made.groups.folders.reverse();
                Ok(made)
            }
            Err(e) => {
                made.groups.folders.reverse();
                made.groups.remove();
                Err(e)
            }
        }
    }

    fn fill(
        &mut self,
        host: &CgroupHost,
        name: &str,
        limits: &Limits,
        owner: Option<u32>,
    ) -> io::Result<()> {
        if let Some(folder) = &host.unified {
            let group = self.folder(folder.join(name))?;
            self.groups.unified = Some(group.clone());
            if host.v2.is_empty() {
                self.join.unified = Some(group);
                self.join.namespace = true;
            } else {
                for controller in &host.v2 {
                    enable(&group, controller)?;
                }
                let (init, work) =
                    (self.folder(group.join("init"))?, self.folder(group.join("work"))?);
                for controller in &host.v2 {
                    limit_v2(&work, controller, limits)?;
                }
                if host.way("memory") == Some(Way::V2) {
                    self.groups.memory = Some(group.clone());
                }
                // To move a process the kernel asks for the right to write both.
                give(&group.join("cgroup.procs"), owner)?;
                self.work_file("unified", work.join("cgroup.procs"), owner)?;
                self.join.unified = Some(init);
            }
        }
        for controller in CONTROLLERS.into_iter().chain(["freezer"]) {
            let Some(folder) = host.v1.get(controller) else { continue };
            if controller == "cpu" && limits.cpus.is_none() {
                continue;
            }
            let group = self.folder(folder.join(name))?;
            if controller == "freezer" {
                self.join.tasks.push(group.join("tasks"));
                continue;
            }
            let work = if controller == "memory" {
                self.groups.memory = Some(group.clone());
                self.join.tasks.push(group.join("tasks"));
                self.folder(group.join("work"))?
            } else {
                group
            };
            limit_v1(&work, controller, limits)?;
            self.work_file(controller, work.join("tasks"), owner)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: PathBuf) -> io::Result<PathBuf> {
        match fs::create_dir(&path) {
            // Left by a machine that is gone: the group is empty, or it would have been swept.
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.groups.folders.push(path.clone());
        Ok(path)
    }

    fn work_file(&mut self, name: &str, file: PathBuf, owner: Option<u32>) -> io::Result<()> {
        give(&file, owner)?;
        self.binds.push(Bind {
            source: file,
            target: format!("{INSIDE}/{name}"),
            writable: true,
            mapped: false,
            optional: false,
        });
        Ok(())
    }
}

fn give(file: &Path, owner: Option<u32>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    Ok(chownat(CWD, file, Some(Uid::from_raw(owner)), None, AtFlags::empty())?)
}

fn limit_v2(work: &Path, controller: &str, limits: &Limits) -> io::Result<()> {
    match controller {
        "memory" => {
            let Some(bytes) = limits.memory_bytes else { return Ok(()) };
            // Without swap accounting there is no such file, and no swap to limit.
            let _ = tell(&work.join("memory.swap.max"), "0");
            tell(&work.join("memory.max"), &bytes.to_string())
        }
        "pids" => {
            let Some(pids) = limits.pids else { return Ok(()) };
            tell(&work.join("pids.max"), &pids.to_string())
        }
        _ => {
            let Some(quota) = limits.cpus.map(quota_us) else { return Ok(()) };
            tell(&work.join("cpu.max"), &format!("{quota} {CPU_PERIOD_US}"))
        }
    }
}

fn limit_v1(work: &Path, controller: &str, limits: &Limits) -> io::Result<()> {
    match controller {
        "memory" => {
            let Some(bytes) = limits.memory_bytes else { return Ok(()) };
            tell(&work.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // As above.
            let _ = tell(&work.join("memory.memsw.limit_in_bytes"), &bytes.to_string());
            Ok(())
        }
        "pids" => {
            let Some(pids) = limits.pids else { return Ok(()) };
            tell(&work.join("pids.max"), &pids.to_string())
        }
        _ => {
            let Some(quota) = limits.cpus.map(quota_us) else { return Ok(()) };
            tell(&work.join("cpu.cfs_period_us"), &CPU_PERIOD_US.to_string())?;
            tell(&work.join("cpu.cfs_quota_us"), &quota.to_string())
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

impl Groups {
    /// Kills whatever is left in them and removes them. Best effort: what stays is found by the
    /// next sweep.
    pub(crate) fn remove(&self) {
        if let Some(unified) = &self.unified {
            // Kernels before 5.14 have no such file; the loop below does the same.
            let _ = tell(&unified.join("cgroup.kill"), "1");
        }
        for folder in &self.folders {
            if fs::remove_dir(folder).is_ok() {
                continue;
            }
            for pid in pids_in(folder) {
                let _ = kill_process(pid, Signal::KILL);
            }
            if let Err(e) = fs::remove_dir(folder)
                && e.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(group = %folder.display(), "a control group stays for now: {e}");
            }
        }
    }

    /// What the machine uses. `None` where no group counts it.
    pub(crate) fn stats(&self) -> Stats {
        let memory = self.memory.as_ref().and_then(|folder| {
            let v2 = number(&folder.join("memory.current"));
            let (used, cache) = match v2 {
                Some(used) => (used, field(&folder.join("memory.stat"), "inactive_file")),
                None => (
                    number(&folder.join("memory.usage_in_bytes"))?,
                    field(&folder.join("memory.stat"), "total_inactive_file"),
                ),
            };
            // Files that were only read once are no need of the machine.
            Some(used.saturating_sub(cache.unwrap_or(0)))
        });
        let pids = self.unified.as_ref().map(|folder| count(folder));
        Stats { memory_bytes: memory, pids }
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Processes in a v2 group and the groups below it.
fn count(folder: &Path) -> u64 {
    let here = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let below: u64 = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| count(&e.path()))
        .sum();
    here.lines().count() as u64 + below
}

fn pids_in(folder: &Path) -> Vec<Pid> {
    fs::read_to_string(folder.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| Pid::from_raw(l.parse().ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_become_microseconds_within_what_the_kernel_takes() {
        for (cpus, expected) in [(1.5, 150_000), (0.0, 1_000), (f64::MAX, 409_600_000)] {
            assert_eq!(quota_us(cpus), expected);
        }
    }

    #[test]
    fn a_group_has_its_limits_and_leaves_nothing_behind() {
        let host = CgroupHost::detect(&format!("toft-test-{}", std::process::id()));
        if host.folders().next().is_none() {
            println!("skipped: no control groups here: {:?}", host.notes);
            return;
        }
        let limits = Limits { memory_bytes: Some(64 << 20), cpus: Some(0.5), ..Limits::default() };
        let made = MachineGroup::make(&host, "one", &limits, None).unwrap();
        let limited = |controller, v2: &str, v1: &str| {
            let work = made.groups.folders.iter().find(|f| match host.way(controller) {
                Some(Way::V2) => f.join(v2).exists() && f.ends_with("work"),
                Some(Way::V1) => {
                    f.starts_with(&host.v1[controller])
                        && (controller != "memory" || f.ends_with("work"))
                }
                None => false,
            })?;
            let file = if host.way(controller) == Some(Way::V2) { v2 } else { v1 };
            Some(fs::read_to_string(work.join(file)).unwrap().trim().to_owned())
        };
        if let Some(memory) = limited("memory", "memory.max", "memory.limit_in_bytes") {
            assert_eq!(memory, (64u64 << 20).to_string());
        }
        if let Some(pids) = limited("pids", "pids.max", "pids.max") {
            assert_eq!(pids, "4096");
        }
        if let Some(cpu) = limited("cpu", "cpu.max", "cpu.cfs_quota_us") {
            assert!(cpu.starts_with("50000"), "{cpu}");
        }
        let folders = made.groups.folders.clone();
        made.groups.remove();
        host.remove();
        assert!(folders.iter().chain(host.folders()).all(|f| !f.exists()));
    }
}
