//! A server is killed at every durable step of every deed: the next one finds the old state or the
//! new one, and the engine has no container that nobody knows. A step that a deed does not come by
//! fails this.

use super::lab::{GRACE, Lab, spec};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use toft_lane::{deep, skip};
use toft_machine::{backend::Backend as _, oci::Oci, steps};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

const KEPT: &str = "/home/project/kept";

/// What other backends do.
const OTHERS: &[&str] = &["create.slot", "fork.slot", "delete.slot"];

/// In the lane of every day: the middle of each deed.
const FEW: &[&str] = &[
    "create.placed",
    "start.groups",
    "start.written",
    "checkpoint.paused",
    "restore.exchanged",
    "fork.copied",
    "freeze.marked",
    "stop.ended",
    "delete.taken",
];

/// One project that a server was doing something to when it was killed.
struct Case {
    step: &'static str,
    project: ProjectId,
    fork: ProjectId,
    id: CheckpointId,
}

impl Case {
    fn deed(&self) -> &'static str {
        self.step.split('.').next().unwrap()
    }

    /// Brings a project to where the deed begins.
    async fn prepare(&self, lab: &Lab) {
        let (oci, project) = (&lab.oci, &self.project);
        if self.deed() == "create" {
            return;
        }
        oci.create(project).await.unwrap();
        oci.start(spec(project)).await.unwrap();
        lab.says(project, &format!("echo old > {KEPT}; sync")).await;
        if matches!(self.deed(), "drop" | "restore" | "delete") {
            oci.checkpoint(project, &self.id).await.unwrap();
        }
        match self.deed() {
            "restore" => {
                lab.says(project, &format!("echo new > {KEPT}; sync")).await;
                oci.stop(project, GRACE).await.unwrap();
            }
            "start" => oci.stop(project, GRACE).await.unwrap(),
            "thaw" => oci.freeze(project).await.unwrap(),
            _ => {}
        }
    }

    /// Whether the server was killed there; otherwise it has done its deed.
    fn is_killed(&self, lab: &Lab) -> bool {
        let out = Command::new(env!("CARGO_BIN_EXE_toft-machine-probe"))
            .arg("oci")
            .arg(lab.data())
            .arg(lab.podman.socket())
            .arg(&lab.tarball)
            .args([self.step, self.project.as_str(), self.fork.as_str(), self.id.as_str()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let killed = out.status.signal() == Some(9);
        assert!(killed || out.status.success(), "{}: {:?} {said}", self.step, out.status);
        killed
    }

    /// What the next server finds and can do.
    async fn check(&self, lab: &Lab, next: &Oci) {
        let (step, project) = (self.step, &self.project);
        let data = lab.data();
        let found = next.adopt(project).await.unwrap();
        let known = if self.deed() == "delete" { Vec::new() } else { vec![project.clone()] };
        next.sweep(&known).await.unwrap();
        assert_eq!(in_folder(&data.join("store/pool/tmp")), Vec::<PathBuf>::new(), "{step}");
        let runs = found.is_some() && self.deed() != "delete";
        let containers = lab.podman.containers();
        assert_eq!(containers.len(), usize::from(runs), "{step}: {containers:?}");
        if !runs {
            assert_eq!(groups_of(project), Vec::<PathBuf>::new(), "{step}");
            assert!(!data.join("run/m").join(project.as_str()).join("state.json").exists());
        }
        if self.deed() == "delete" {
            // What the next one does with a project that was to be deleted.
            return next.destroy(project).await.unwrap();
        }
        let ids = next.checkpoints(project).await.unwrap();
        for id in &ids {
            assert_eq!(next.read(project, Some(id), KEPT, 100).await.unwrap().unwrap(), b"old\n");
        }
        let beside = in_folder(&data.join("store/pool/ck").join(project.as_str()));
        let beside: BTreeSet<CheckpointId> =
            beside.iter().filter_map(|p| p.file_stem()?.to_str()?.parse().ok()).collect();
        assert_eq!(beside.into_iter().collect::<Vec<_>>(), ids, "{step}");
        if data.join("store/pool/p").join(self.fork.as_str()).exists() {
            next.start(spec(&self.fork)).await.unwrap();
            assert_eq!(lab.says(&self.fork, &format!("cat {KEPT}")).await, "old", "{step}");
        }
        let frozen = next.is_frozen(project).await.unwrap();
        assert!(!frozen || matches!(self.deed(), "freeze" | "thaw"), "{step}");
        next.thaw(project).await.unwrap();
        next.create(project).await.unwrap();
        let started = next.start(spec(project)).await.unwrap();
        if let Some(found) = &found {
            assert_eq!(started.init_pid, found.init_pid, "{step}");
        }
        let said = lab.says(project, &format!("cat {KEPT} 2>/dev/null || echo none")).await;
        let wanted: &[&str] = match self.deed() {
            "create" => &["none"],
            "restore" => &["old", "new"],
            _ => &["old"],
        };
        assert!(wanted.contains(&said.as_str()), "{step}: {said}");
    }

    async fn end(&self, lab: &Lab, next: &Oci) {
        for project in [&self.project, &self.fork] {
            next.destroy(project).await.unwrap();
            for folder in ["store/pool/p", "store/pool/ck", "logs", "run/m"] {
                let path = lab.data().join(folder).join(project.as_str());
                assert!(!path.exists(), "{}: {folder}", self.step);
            }
            assert_eq!(groups_of(project), Vec::<PathBuf>::new(), "{}", self.step);
        }
        assert_eq!(lab.podman.containers(), Vec::<String>::new(), "{}", self.step);
    }
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// Control groups that have a project's name, in all hierarchies.
pub(crate) fn groups_of(project: &ProjectId) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let below = in_folder(&folder)
            .into_iter()
            .filter(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()));
        for path in below {
            if path.to_string_lossy().contains(project.as_str()) {
                found.push(path.clone());
            }
            folders.push(path);
        }
    }
    found
}

async fn killed_at_each(lab: Lab, steps: &[&'static str]) {
    for step in steps {
        if OTHERS.contains(step) {
            skip(step, "containers have no such step");
            continue;
        }
        let case = Case {
            step,
            project: ProjectId::random(),
            fork: ProjectId::random(),
            id: CheckpointId::random(),
        };
        case.prepare(&lab).await;
        assert!(case.is_killed(&lab), "{step} is not visited by its deed");
        let next = lab.reopen().await;
        case.check(&lab, &next).await;
        case.end(&lab, &next).await;
    }
    lab.close(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_leaves_the_old_state_or_the_new_one() {
    let Some(lab) = Lab::open().await else { return };
    assert!(FEW.iter().all(|step| steps::ALL.contains(step)));
    Box::pin(killed_at_each(lab, if deep() { steps::ALL } else { FEW })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_where_disks_are_plain_folders() {
    if deep() {
        let Some(lab) = Lab::open_plain().await else { return };
        Box::pin(killed_at_each(lab, steps::ALL)).await;
    } else {
        skip("plain folders", "it takes long: only in the deep lane");
    }
}
