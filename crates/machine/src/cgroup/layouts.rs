//! Trees of files that look like the control groups of hosts, for tests: what the kernel would make
//! lies there beforehand, empty.

use super::detect::{CONTROLLERS, CgroupHost};
use crate::storage::Mount;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Name of our folder in each hierarchy.
const INSTANCE: &str = "toft-of-a-test";
/// The machine that has groups there.
pub(super) const MACHINE: &str = "one";

/// How a host has its controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// All by the unified hierarchy.
    V2,
    /// The same, but one is not handed down to us.
    V2Without(&'static str),
    /// Each by a hierarchy of its own, and no unified one.
    V1,
    /// The same, with a unified one that has no controllers.
    Hybrid,
    /// Both, and no folder of ours can be made in any.
    Closed,
    /// Not at all.
    None,
}

/// See the module.
pub(super) struct Tree {
    dir: TempDir,
    layout: Layout,
}

impl Tree {
    pub(super) fn new(layout: Layout) -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap(), layout };
        let unified = tree.unified();
        match layout {
            Layout::V2 => tree.hand_down(&CONTROLLERS),
            Layout::V2Without(one) => {
                let some: Vec<&str> = CONTROLLERS.into_iter().filter(|c| *c != one).collect();
                tree.hand_down(&some);
            }
            Layout::Hybrid => tree.hand_down(&[]),
            Layout::V1 | Layout::Closed | Layout::None => {}
        }
        if matches!(layout, Layout::V2 | Layout::V2Without(_)) {
            for group in [MACHINE, "one/work"] {
                let files = ["memory.max", "memory.swap.max", "pids.max", "cpu.max"];
                put(&unified.join(INSTANCE).join(group), &files);
            }
        }
        if matches!(layout, Layout::V1 | Layout::Hybrid) {
            for (controller, files) in [
                ("memory", vec!["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
                ("pids", vec!["pids.max"]),
                ("cpu", vec!["cpu.cfs_period_us", "cpu.cfs_quota_us"]),
                ("freezer", vec!["freezer.state"]),
            ] {
                let group = tree.v1(controller).join(INSTANCE).join(MACHINE);
                put(&group, &files);
                if ["memory", "pids"].contains(&controller) {
                    put(&group.join("work"), &files);
                }
            }
        }
        tree
    }

    fn unified(&self) -> PathBuf {
        self.dir.path().join("unified")
    }

    fn v1(&self, controller: &str) -> PathBuf {
        self.dir.path().join(controller)
    }

    /// Both our folder and the one above it list these.
    fn hand_down(&self, controllers: &[&str]) {
        for folder in [self.unified(), self.unified().join(INSTANCE)] {
            fs::create_dir_all(&folder).unwrap();
            for file in ["cgroup.controllers", "cgroup.subtree_control"] {
                fs::write(folder.join(file), controllers.join(" ")).unwrap();
            }
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let mount = |point: PathBuf, kind: &str, options: &str| Mount {
            point,
            root: "/".to_owned(),
            kind: kind.to_owned(),
            options: options.to_owned(),
        };
        let unified = mount(self.unified(), "cgroup2", "rw,nsdelegate");
        let v1 = || {
            // As hosts mount two of them together.
            [("memory", "rw,memory"), ("pids", "rw,pids"), ("cpu", "rw,cpu,cpuacct")]
                .into_iter()
                .chain([("freezer", "rw,freezer")])
                .map(|(controller, options)| mount(self.v1(controller), "cgroup", options))
        };
        match self.layout {
            Layout::V2 | Layout::V2Without(_) => vec![unified],
            Layout::V1 => v1().collect(),
            // Of one that is closed nothing lies there.
            Layout::Hybrid | Layout::Closed => v1().chain([unified]).collect(),
            Layout::None => Vec::new(),
        }
    }

    /// What is found there, as root.
    pub(super) fn detect(&self) -> CgroupHost {
        CgroupHost::of(INSTANCE, true, &self.mounts(), "0::/elsewhere\n")
    }

    /// What a file of the machine's groups says; nothing where there is no such file.
    pub(super) fn says(&self, controller: &str, file: &str) -> String {
        let top = if self.unified().join(INSTANCE).join(MACHINE).exists() {
            self.unified()
        } else {
            self.v1(controller)
        };
        fs::read_to_string(top.join(INSTANCE).join(MACHINE).join(file)).unwrap_or_default()
    }
}

fn put(folder: &Path, files: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    for file in files {
        fs::write(folder.join(file), "").unwrap();
    }
}
