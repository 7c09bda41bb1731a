//! A server is killed at every durable step of every deed: the next one finds the old state or the
//! new one, whole, and nothing else. A step that a deed does not come by fails this.

use super::lab::{GRACE, Lab, exe, groups_of, spec};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use toft_lane::{deep, skip};
use toft_machine::{backend::Backend as _, native::Native, steps};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

const KEPT: &str = "home/project/kept";

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
        let (native, project) = (&lab.native, &self.project);
        if self.deed() == "create" {
            return;
        }
        native.create(project).await.unwrap();
        native.start(spec(project)).await.unwrap();
        lab.says(project, "echo old > kept; sync -f kept").await;
        if matches!(self.deed(), "drop" | "restore" | "delete") {
            native.checkpoint(project, &self.id).await.unwrap();
        }
        match self.deed() {
            "restore" => {
                lab.says(project, "echo new > kept; sync -f kept").await;
                native.stop(project, GRACE).await.unwrap();
            }
            "start" => native.stop(project, GRACE).await.unwrap(),
            "thaw" => native.freeze(project).await.unwrap(),
            _ => {}
        }
    }

    /// Whether the server was killed there; otherwise it has done its deed.
    fn is_killed(&self, lab: &Lab) -> bool {
        let status = Command::new(exe())
            .args(["deed", &lab.data().to_string_lossy(), self.step])
            .args([self.project.as_str(), self.fork.as_str(), self.id.as_str()])
            .status()
            .unwrap();
        assert!(status.success() || status.signal() == Some(9), "{}: {status:?}", self.step);
        status.signal() == Some(9)
    }

    /// What the next server finds and can do.
    async fn check(&self, lab: &Lab, next: &Native) {
        let (step, project) = (self.step, &self.project);
        let data = lab.data();
        let found = next.adopt(project).await.unwrap();
        let known = if self.deed() == "delete" { Vec::new() } else { vec![project.clone()] };
        next.sweep(&known).await.unwrap();
        let left: Vec<PathBuf> = in_folder(&data.join("store/pool/tmp"));
        assert!(left.iter().all(|p| name(p).starts_with("spare-")), "{step}: {left:?}");
        if found.is_none() || self.deed() == "delete" {
            assert_eq!(groups_of(project), Vec::<PathBuf>::new(), "{step}");
            assert!(!data.join("run/m").join(project.as_str()).join("state.json").exists());
        }
        if self.deed() == "delete" {
            // What the next one does with a project that was to be deleted.
            return next.destroy(project).await.unwrap();
        }
        let ids = next.checkpoints(project).await.unwrap();
        for id in &ids {
            let text =
                next.read(project, Some(id), &format!("/{KEPT}"), 100).await.unwrap().unwrap();
            assert_eq!(text, b"old\n", "{step}");
        }
        let beside = in_folder(&data.join("store/pool/ck").join(project.as_str()));
        let beside: BTreeSet<CheckpointId> =
            beside.iter().filter_map(|p| p.file_stem()?.to_str()?.parse().ok()).collect();
        assert_eq!(beside.into_iter().collect::<Vec<_>>(), ids, "{step}");
        let forked = data.join("store/pool/p").join(self.fork.as_str());
        if forked.exists() {
            assert_eq!(fs::read(forked.join("rootfs").join(KEPT)).unwrap(), b"old\n");
            next.start(spec(&self.fork)).await.unwrap();
            assert_eq!(lab.says(&self.fork, "cat kept").await, "old", "{step}");
        }
        let frozen = next.is_frozen(project).await.unwrap();
        assert!(!frozen || matches!(self.deed(), "freeze" | "thaw"), "{step}");
        next.thaw(project).await.unwrap();
        next.create(project).await.unwrap();
        let started = next.start(spec(project)).await.unwrap();
        if let Some(found) = &found {
            assert_eq!(started.init_pid, found.init_pid, "{step}");
        }
        let said = lab.says(project, "cat kept 2>/dev/null || echo none").await;
        let wanted: &[&str] = match self.deed() {
            "create" => &["none"],
            "restore" => &["old", "new"],
            _ => &["old"],
        };
        assert!(wanted.contains(&said.as_str()), "{step}: {said}");
    }

    async fn end(&self, lab: &Lab, next: &Native) {
        for project in [&self.project, &self.fork] {
            next.destroy(project).await.unwrap();
            let name = project.as_str();
            for folder in ["store/pool/p", "store/pool/ck", "logs", "run/m"] {
                assert!(!lab.data().join(folder).join(name).exists(), "{}: {folder}", self.step);
            }
            assert_eq!(groups_of(project), Vec::<PathBuf>::new(), "{}", self.step);
        }
        assert_eq!(in_folder(&lab.data().join("store/slots")), Vec::<PathBuf>::new());
    }
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or_default()
}

/// Steps that the storage or the user of this host does not come by.
async fn is_absent(lab: &Lab, step: &str) -> bool {
    let can = lab.native.can();
    match step {
        "create.slot" | "fork.slot" => !lab.enforced("id range").await,
        // A disk is kept ready there, and takes its place.
        "create.copied" => !can.live_checkpoint,
        "freeze.marked" | "freeze.frozen" | "thaw.thawed" | "thaw.unmarked" => !can.freeze,
        _ => !can.live_checkpoint && !can.freeze,
    }
}

async fn killed_at_each(lab: Lab) {
    // The template is there from now on: no two servers make one.
    let (first, _) = lab.machine().await;
    lab.native.destroy(&first).await.unwrap();
    for step in steps::ALL {
        if is_absent(&lab, step).await {
            skip(step, format!("{} has no such step", lab.native.storage()));
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
        // The first server knows the id ranges that it gave: not those that another took back.
        lab.native.destroy(&case.project).await.unwrap();
    }
    lab.close(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_leaves_the_old_state_or_the_new_one() {
    let Some(lab) = Lab::open().await else { return };
    killed_at_each(lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_where_disks_are_plain_folders() {
    if deep() {
        let Some(lab) = Lab::open_plain().await else { return };
        killed_at_each(lab).await;
    } else {
        skip("plain folders", "it takes long: only in the deep lane");
    }
}
