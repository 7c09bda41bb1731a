//! Groups of a machine whose first process somebody else has put into groups already: a container
//! engine. Ours lie below those, so that what is done to all of the container holds for them too.
//! The machine sees no folder of them: work processes get files to join by, already open.

use super::{
    CgroupHost, Way,
    detect::{CONTROLLERS, tell},
    groups::{Groups, procs_below},
    limits::{Was, limit, wider},
    programs::make_folder,
};
use crate::storage::{Mount, mount_points};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use toft_model::machine::Limits;

/// Group of init and bridge, beside that of work; only where version 2 asks for it.
const INIT: &str = "init";

/// Groups that were just made.
#[derive(Debug, Default)]
pub(crate) struct ContainedGroup {
    /// To be remembered.
    pub(crate) groups: Groups,
    /// Files that work processes join by, open for writing.
    pub(crate) doors: Vec<File>,
}

impl CgroupHost {
    /// What there is around a process of a container, as if its groups were folders of ours: those
    /// of the machine `name` are made in there, or have been. Nothing where the container has no
    /// group of its own.
    pub(crate) fn around(pid: u32, name: &str) -> Self {
        let mounts = mount_points().unwrap_or_default();
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut host = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let folder_at = |mount: &Mount| around(&mount.point, path, name, pid);
            if controllers.is_empty() {
                let unified = mounts.iter().find(|m| m.kind == "cgroup2");
                host.unified = unified.and_then(folder_at);
                continue;
            }
            for controller in CONTROLLERS.into_iter().chain(["freezer"]) {
                if !controllers.split(',').any(|c| c == controller) {
                    continue;
                }
                let is_its = |m: &&Mount| {
                    m.kind == "cgroup" && m.options.split(',').any(|o| o == controller)
                };
                let folder = mounts.iter().find(is_its).and_then(folder_at);
                host.v1.extend(folder.map(|folder| (controller, folder)));
            }
        }
        if let Some(folder) = &host.unified {
            let listed = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
            let has = |c: &&str| listed.split_whitespace().any(|l| l == *c);
            host.v2 = CONTROLLERS.into_iter().filter(has).collect();
        }
        host
    }

    /// The same with only these controllers.
    pub(crate) fn only(mut self, controllers: &[String]) -> Self {
        let wanted = |c: &str| controllers.iter().any(|w| w == c);
        self.v2.retain(|c| wanted(c));
        self.v1.retain(|c, _| wanted(c) || *c == "freezer");
        self
    }
}

/// The container's own folder: where the process lives, without what we have made below it.
fn around(point: &Path, path: &str, name: &str, pid: u32) -> Option<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    let lives = point.join(path);
    // Seen from a server that is confined itself, paths may begin elsewhere.
    if !procs_below(&lives).contains(&pid) {
        return None;
    }
    let mut own = path.to_owned();
    if own.ends_with(Path::new(name).join(INIT)) {
        own.pop();
    }
    if own.ends_with(name) {
        own.pop();
    }
    // The top of a hierarchy is nobody's own.
    own.components().next().is_some().then(|| point.join(own))
}

impl ContainedGroup {
    /// Makes the groups of the machine `name`, moves its only process there, and limits its work. On
    /// an error what was made is removed, and the process with it.
    pub(crate) fn make(
        host: &CgroupHost,
        name: &str,
        pid: u32,
        limits: &Limits,
    ) -> io::Result<Self> {
        let mut made = Self::default();
        let filled = made.fill(host, name, pid, limits);
        made.groups.folders.reverse();
        if filled.is_err() {
            made.groups.remove();
        }
        filled.map(|()| made)
    }

    fn fill(&mut self, host: &CgroupHost, name: &str, pid: u32, limits: &Limits) -> io::Result<()> {
        let pid = pid.to_string();
        let join = |folder: &Path| tell(&folder.join("cgroup.procs"), &pid);
        if let Some(folder) = &host.unified {
            let group = self.folder(folder.join(name))?;
            self.groups.unified = Some(group.clone());
            if host.v2.is_empty() {
                join(&group)?;
            } else {
                // First of all: a group with processes of its own limits none below it.
                join(&self.folder(group.join(INIT))?)?;
                for above in [folder, &group] {
                    let control = above.join("cgroup.subtree_control");
                    host.v2.iter().try_for_each(|c| tell(&control, &format!("+{c}")))?;
                }
                let work = self.folder(group.join("work"))?;
                for controller in &host.v2 {
                    limit(Way::V2, &work, controller, limits, Was::Fresh)?;
                    if *controller != "cpu" {
                        limit(Way::V2, &group, controller, &wider(limits), Was::Fresh)?;
                    }
                }
                if host.way("memory") == Some(Way::V2) {
                    self.groups.memory = Some(group);
                }
                self.door(&work)?;
            }
        }
        for (controller, folder) in &host.v1 {
            let is_free = *controller == "cpu" && limits.cpus.is_none();
            if is_free || (*controller == "freezer" && host.unified.is_some()) {
                continue;
            }
            let group = self.folder(folder.join(name))?;
            match *controller {
                "freezer" => self.groups.freezer = Some(group.clone()),
                "cpu" => limit(Way::V1, &group, controller, limits, Was::Fresh)?,
                _ => {
                    if *controller == "memory" {
                        self.groups.memory = Some(group.clone());
                    }
                    limit(Way::V1, &group, controller, &wider(limits), Was::Fresh)?;
                    let work = self.folder(group.join("work"))?;
                    limit(Way::V1, &work, controller, limits, Was::Fresh)?;
                    self.door(&work)?;
                }
            }
            join(&group)?;
        }
        Ok(())
    }

    fn folder(&mut self, path: PathBuf) -> io::Result<PathBuf> {
        make_folder(&path)?;
        self.groups.folders.push(path.clone());
        Ok(path)
    }

    fn door(&mut self, work: &Path) -> io::Result<()> {
        // With version 1 single threads may join, which is how a program that is just made does it.
        let name = if work.join("tasks").exists() { "tasks" } else { "cgroup.procs" };
        self.doors.push(File::options().write(true).open(work.join(name))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn groups_lie_below_those_of_a_process_and_are_found_again() {
        let detected = CgroupHost::detect(Path::new(&format!("/of-a-box/{}", std::process::id())));
        if !rustix::process::geteuid().is_root() || detected.folders().next().is_none() {
            toft_lane::skip("groups in a container", "no control groups that this user may make");
            return;
        }
        // What an engine would make, and its first process.
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        for folder in detected.folders() {
            make_folder(folder).unwrap();
            tell(&folder.join("cgroup.procs"), &child.id().to_string()).unwrap();
        }
        let host = CgroupHost::around(child.id(), "one");
        assert_eq!(host.folders().collect::<Vec<_>>(), detected.folders().collect::<Vec<_>>());
        let limits = Limits { memory_bytes: Some(64 << 20), pids: Some(9), ..Limits::default() };
        let made = ContainedGroup::make(&host, "one", child.id(), &limits).unwrap();
        let again = CgroupHost::around(child.id(), "one");
        assert_eq!(again.folders().collect::<Vec<_>>(), host.folders().collect::<Vec<_>>());
        for (controller, file) in [("memory", "memory.limit_in_bytes"), ("pids", "pids.max")] {
            let Some((way, work)) = again.work_group(controller, "one") else { continue };
            let file = if way == Way::V2 && controller == "memory" { "memory.max" } else { file };
            let wanted = if controller == "pids" { 9 } else { 64 << 20 };
            let text = fs::read_to_string(work.join(file)).unwrap();
            assert_eq!(text.trim(), wanted.to_string());
            assert!(procs_below(&work).is_empty(), "the first process is beside its work");
        }
        let none = host.only(&[]);
        assert!(none.v2.is_empty() && none.v1.keys().all(|c| *c == "freezer"));
        let folders = made.groups.folders.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| child.wait().unwrap());
            made.groups.remove();
        });
        assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
        detected.remove();
        assert!(detected.folders().all(|folder| !folder.exists()));
    }
}
