//! The groups of one machine: made at start, remembered in its state file, removed at its end.
//! Init and bridge are outside the limits of work: a machine that runs out of memory can still be
//! spoken to. They load libraries that the machine may have changed, so they have limits too, a
//! little wider.

use super::{
    CgroupHost, Way,
    detect::{CONTROLLERS, enable, tell},
    groups::Groups,
    limits::{Was, limit, wider},
    programs::{PROGRAM_GROUPS, PROGRAMS, Programs, give, make_folder},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use toft_jail::spec::{Bind, Cgroups, View};
use toft_model::machine::Limits;

/// Folder inside a machine with a file to join each group.
const INSIDE: &str = "/run/toft/cg";
/// Machines that end at the same moment as one starts: more in a row than ever happens.
const MAKE_TRIES: usize = 8;

/// Groups that were just made.
#[derive(Debug, Default)]
pub(crate) struct MachineGroup {
    /// To be remembered.
    pub(crate) groups: Groups,
    /// What init is born into.
    pub(crate) join: Cgroups,
    /// What of them is shown inside.
    pub(crate) binds: Vec<Bind>,
    /// Files that work processes join by, inside and on the host.
    doors: Vec<(String, PathBuf)>,
    /// Where groups for single programs are made.
    programs: Option<Programs>,
}

impl MachineGroup {
    /// Files that work processes join by, as they are seen inside.
    pub(crate) fn work_files(&self) -> Vec<String> {
        self.doors.iter().map(|(inside, _)| inside.clone()).collect()
    }

    /// The same files as the host sees them, for processes that are not confined.
    pub(crate) fn work_files_outside(&self) -> Vec<String> {
        self.doors.iter().map(|(_, outside)| outside.to_string_lossy().into_owned()).collect()
    }

    /// Where the rest of the groups for programs is to be made.
    pub(crate) fn programs(&self) -> Option<Programs> {
        self.programs.clone()
    }

    /// Makes the groups of the machine `name`. `owner` is its root's id on this host when that is
    /// not ours. On an error what was made is removed.
    pub(crate) fn make(
        host: &CgroupHost,
        name: &str,
        limits: &Limits,
        owner: Option<u32>,
    ) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let mut made = Self::default();
            let filled = host.make().and_then(|()| made.fill(host, name, limits, owner));
            made.groups.folders.reverse();
            let Err(e) = filled else { return Ok(made) };
            made.groups.remove();
            tries += 1;
            // The last other machine took our folder along just now.
            if e.kind() != io::ErrorKind::NotFound || tries == MAKE_TRIES {
                return Err(e);
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
                if !host.v1.contains_key("pids") {
                    give(&group.join("cgroup.procs"), owner)?;
                    self.divided("unified", &group, "cgroup.procs", owner)?;
                }
                self.join.unified = Some(group);
                self.join.namespace = true;
            } else {
                for controller in &host.v2 {
                    enable(&group, controller)?;
                }
                let (init, work) =
                    (self.folder(group.join("init"))?, self.folder(group.join("work"))?);
                for controller in &host.v2 {
                    limit(Way::V2, &work, controller, limits, Was::Fresh)?;
                    if *controller != "cpu" {
                        limit(Way::V2, &group, controller, &wider(limits), Was::Fresh)?;
                    }
                }
                if host.way("memory") == Some(Way::V2) {
                    self.groups.memory = Some(group.clone());
                }
                // To move a process the kernel asks for the right to write both.
                give(&group.join("cgroup.procs"), owner)?;
                self.divided("unified", &work, "cgroup.procs", owner)?;
                // A user's own group belongs to the machine's root too: it makes no other ones.
                // One more for programs that are paused. Older kernels have no such limit.
                let _ =
                    tell(&work.join("cgroup.max.descendants"), &(PROGRAM_GROUPS + 2).to_string());
                self.join.unified = Some(init);
            }
        }
        for controller in CONTROLLERS.into_iter().chain(["freezer"]) {
            let Some(folder) = host.v1.get(controller) else { continue };
            if controller == "cpu" && limits.cpus.is_none() {
                continue;
            }
            make_folder(folder)?;
            let group = self.folder(folder.join(name))?;
            if controller == "freezer" {
                self.join.tasks.push(group.join("tasks"));
                self.groups.freezer = Some(group);
                continue;
            }
            let work = if controller == "cpu" {
                group
            } else {
                if controller == "memory" {
                    self.groups.memory = Some(group.clone());
                }
                limit(Way::V1, &group, controller, &wider(limits), Was::Fresh)?;
                self.join.tasks.push(group.join("tasks"));
                self.folder(group.join("work"))?
            };
            limit(Way::V1, &work, controller, limits, Was::Fresh)?;
            if controller == "pids" && self.programs.is_none() {
                self.divided(controller, &work, "tasks", owner)?;
            } else {
                self.work_file(controller, work.join("tasks"), owner)?;
            }
        }
        Ok(())
    }

    fn folder(&mut self, path: PathBuf) -> io::Result<PathBuf> {
        make_folder(&path)?;
        self.groups.folders.push(path.clone());
        Ok(path)
    }

    fn work_file(&mut self, name: &str, file: PathBuf, owner: Option<u32>) -> io::Result<()> {
        give(&file, owner)?;
        let inside = format!("{INSIDE}/{name}");
        self.doors.push((inside.clone(), file.clone()));
        self.show(file, inside);
        Ok(())
    }

    /// A group for each program, below `work`: the machine sees these and nothing above them, so
    /// the limits of `work` are out of its reach. With v1 it is the hierarchy of `pids` and not the
    /// unified one: moving there needs no lock over the whole host, which costs 10 ms and more.
    fn divided(
        &mut self,
        name: &str,
        work: &Path,
        door: &'static str,
        owner: Option<u32>,
    ) -> io::Result<()> {
        let folder = work.join(PROGRAMS);
        self.programs = Some(Programs::begin(folder.clone(), door, owner)?);
        self.groups.folders.push(folder.clone());
        let inside = format!("{INSIDE}/{name}");
        self.doors.push((format!("{inside}/{door}"), folder.join(door)));
        self.show(folder, inside);
        Ok(())
    }

    fn show(&mut self, source: PathBuf, target: String) {
        let bind = Bind { source, target, writable: true, view: View::AsOutside, optional: false };
        self.binds.push(bind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_group_has_its_limits_and_leaves_nothing_behind() {
        let host = CgroupHost::detect(Path::new(&format!("/of-a-test/{}", std::process::id())));
        if host.folders().next().is_none() {
            toft_lane::skip("control groups", format!("{:?}", host.notes));
            return;
        }
        let limits = Limits { memory_bytes: Some(64 << 20), cpus: Some(0.5), ..Limits::default() };
        let made = MachineGroup::make(&host, "one", &limits, None).unwrap();
        let limited = |controller, v2: &str, v1: &str| {
            let work = made.groups.folders.iter().find(|f| match host.way(controller) {
                Some(Way::V2) => f.join(v2).exists() && f.ends_with("work"),
                Some(Way::V1) => {
                    f.starts_with(&host.v1[controller])
                        && (controller == "cpu" || f.ends_with("work"))
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
        if let Some(programs) = made.programs() {
            programs.make_rest();
            let groups = fs::read_dir(&programs.folder).unwrap().flatten();
            assert_eq!(groups.filter(|e| e.path().is_dir()).count(), PROGRAM_GROUPS);
        }
        let folders = made.groups.folders.clone();
        made.groups.remove();
        assert!(folders.iter().chain(host.folders()).all(|f| !f.exists()));
    }
}
