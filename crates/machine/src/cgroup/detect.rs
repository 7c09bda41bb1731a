//! Looks which controllers can be used here, by trying.

use super::clear::clear;
use crate::storage::{Mount, mount_points};
use rustix::process::geteuid;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Controllers that machines are limited by.
pub(super) const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// What the names of our folders begin with.
pub(super) const INSTANCE: &str = "toft-";
/// Where the server goes when it must leave its own group for the group's children to be limited.
const LEAF: &str = "toft-server";

/// How a controller is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the unified hierarchy.
    V2,
    /// By a hierarchy of its own.
    V1,
}

/// What this host has.
#[derive(Debug, Clone, Default)]
pub(crate) struct CgroupHost {
    /// Our folder in the unified hierarchy, if we may have one.
    pub(super) unified: Option<PathBuf>,
    /// Controllers that work in it.
    pub(super) v2: Vec<&'static str>,
    /// Our folder per v1 controller (and `freezer`).
    pub(super) v1: BTreeMap<&'static str, PathBuf>,
    /// Why something is missing.
    pub(crate) notes: Vec<String>,
}

impl CgroupHost {
    /// Tries everything. Our folders are named after the data folder.
    pub(crate) fn detect(data: &Path) -> Self {
        let hash = crc32c::crc32c(data.as_os_str().as_encoded_bytes());
        let instance = &format!("{INSTANCE}{hash:08x}");
        let mounts = mount_points().unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(instance, geteuid().is_root(), &mounts, &own)
    }

    /// The same from what is mounted, and the groups of this process (`/proc/self/cgroup`).
    pub(super) fn of(instance: &str, is_root: bool, mounts: &[Mount], own: &str) -> Self {
        let mut host = Self::default();
        if let Some(unified) = mounts.iter().find(|m| m.kind == "cgroup2") {
            let parent = if is_root {
                // A machine outlives the session or the unit that the server was started in.
                unified.point.clone()
            } else {
                let path = own.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/");
                // Another backend of this process has moved us there.
                let path = path.strip_suffix(&format!("/{LEAF}")).unwrap_or(path);
                unified.point.join(path.trim_matches('/'))
            };
            host.use_unified(&parent, instance);
        }
        for controller in CONTROLLERS.into_iter().chain(["freezer"]) {
            if host.v2.contains(&controller) || (controller == "freezer" && host.unified.is_some())
            {
                continue;
            }
            let mount = mounts
                .iter()
                .find(|m| m.kind == "cgroup" && m.options.split(',').any(|o| o == controller));
            let Some(mount) = mount else { continue };
            let folder = mount.point.join(instance);
            match make(&folder) {
                Ok(()) => {
                    host.v1.insert(controller, folder);
                }
                Err(e) => host.notes.push(format!("cgroup v1 {controller}: {e}")),
            }
        }
        host
    }

    fn use_unified(&mut self, parent: &Path, instance: &str) {
        let folder = parent.join(instance);
        if let Err(e) = make(&folder) {
            self.notes.push(format!("cgroup v2: {e}"));
            return;
        }
        for controller in CONTROLLERS {
            if let Err(e) = enable(parent, controller) {
                self.notes.push(format!("cgroup v2 {controller}: {e}"));
                continue;
            }
            match enable(&folder, controller) {
                Ok(()) => self.v2.push(controller),
                Err(e) => self.notes.push(format!("cgroup v2 {controller}: {e}")),
            }
        }
        self.unified = Some(folder);
    }

    /// How a controller is used, if it is.
    pub(crate) fn way(&self, controller: &str) -> Option<Way> {
        if self.v2.contains(&controller) {
            Some(Way::V2)
        } else if self.v1.contains_key(controller) {
            Some(Way::V1)
        } else {
            None
        }
    }

    /// How machines can be paused, if they can.
    pub(crate) fn freezer(&self) -> Option<Way> {
        if self.unified.is_some() { Some(Way::V2) } else { self.way("freezer") }
    }

    /// Makes our folders: the last machine takes them along. Not that of the v1 controller `cpu`:
    /// few machines have a group in it.
    pub(super) fn make(&self) -> io::Result<()> {
        let seldom = self.v1.get("cpu");
        for folder in self.folders().filter(|folder| Some(*folder) != seldom) {
            make(folder)?;
        }
        let Some(folder) = &self.unified else { return Ok(()) };
        self.v2.iter().try_for_each(|controller| enable(folder, controller))
    }

    /// Our folder in the unified hierarchy.
    pub(crate) fn unified(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// Our folders.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.unified.iter().chain(self.v1.values())
    }

    /// Removes the groups of a machine that does not run, with whatever is left in them.
    pub(crate) fn sweep(&self, name: &str) {
        for folder in self.folders() {
            let group = folder.join(name);
            if group.is_dir() {
                clear(&group);
            }
        }
    }

    /// Removes our folders when no machine is left in them.
    pub(crate) fn remove(&self) {
        for folder in self.folders() {
            // Not empty: machines run on, and the next server uses it.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Writes to a file that the kernel made: never creates one.
pub(super) fn tell(file: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

/// Lets the children of a group be limited by a controller.
pub(super) fn enable(group: &Path, controller: &str) -> io::Result<()> {
    let listed = |file: &str| -> io::Result<bool> {
        Ok(fs::read_to_string(group.join(file))?.split_whitespace().any(|c| c == controller))
    };
    if listed("cgroup.subtree_control")? {
        return Ok(());
    }
    if !listed("cgroup.controllers")? {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "not delegated to this group"));
    }
    let control = group.join("cgroup.subtree_control");
    match tell(&control, &format!("+{controller}")) {
        // A group with processes of its own cannot limit its children. When they are only us, we
        // can move.
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            let leaf = group.join(LEAF);
            make(&leaf)?;
            tell(&leaf.join("cgroup.procs"), "0")?;
            tell(&control, &format!("+{controller}"))
        }
        other => other,
    }
}
