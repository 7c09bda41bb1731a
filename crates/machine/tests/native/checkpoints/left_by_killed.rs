//! What a killed server left, and the next one makes of it: copies half made, a machine that is paused.

use super::labs;
use crate::lab::{Lab, is_root};
use std::{fs, os::unix::fs::symlink, path::PathBuf};
use toft_lane::skip;
use toft_machine::backend::Backend as _;
use toft_model::checkpoint::CheckpointId;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_left_is_swept_and_the_rest_stays() {
    for lab in labs().await {
        let (project, _) = lab.machine().await;
        let id = lab.keep(&project).await;
        let (kept, pool) = (lab.kept(&project), lab.data().join("store/pool"));
        // Killed after the base was written down, and while a disk was prepared.
        let half = CheckpointId::random();
        symlink("host-x", kept.join(format!("{half}.base"))).unwrap();
        fs::write(kept.join(format!("{half}.marks")), "").unwrap();
        fs::create_dir_all(pool.join("tmp/half/rootfs")).unwrap();
        // Killed after a project's checkpoints were taken away: write-protected ones.
        let (gone, _) = lab.machine().await;
        lab.keep(&gone).await;
        fs::rename(lab.kept(&gone), pool.join("tmp/ck-gone")).unwrap();
        lab.keep(&gone).await;
        let next = lab.reopen().await;
        assert!(!pool.join("tmp/half").exists() && !pool.join("tmp/ck-gone").exists());
        next.sweep(std::slice::from_ref(&project)).await.unwrap();
        assert!(!lab.kept(&gone).exists(), "nobody knows this project");
        let mut left: Vec<_> = fs::read_dir(&kept)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.retain(|name| *name != format!("{id}.marks"));
        left.sort();
        assert_eq!(left, [id.to_string(), format!("{id}.base")]);
        assert_eq!(next.checkpoints(&project).await.unwrap(), [id]);
        lab.close(&[&project, &gone]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_paused_by_a_killed_server_goes_on_with_the_next() {
    let Some(lab) = Lab::open_plain().await else { return };
    if !lab.native.can().freeze || !is_root() {
        skip("a paused machine", "no group that pauses one");
        return;
    }
    let (project, _) = lab.machine().await;
    let state = lab.data().join("run/m").join(project.as_str()).join("state.json");
    let state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    let group = PathBuf::from(state["groups"]["unified"].as_str().unwrap());
    fs::write(group.join("cgroup.freeze"), "1").unwrap();
    let next = lab.reopen().await;
    assert!(next.adopt(&project).await.unwrap().is_some());
    assert_eq!(lab.says(&project, "echo on").await, "on");
    lab.close(&[&project]).await;
}
