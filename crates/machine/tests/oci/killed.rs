//! Servers that are killed at a step: the next one finds the old state or the new one, and no
//! container that nobody knows.

use super::lab::{GRACE, Lab, spec};
use std::{os::unix::process::ExitStatusExt as _, process::Command};
use toft_machine::backend::Backend as _;
use toft_model::id::ProjectId;

/// Ends a server of its own at the step of a deed.
fn killed(lab: &Lab, project: &ProjectId, step: &str, deed: &str) {
    let out = Command::new(env!("CARGO_BIN_EXE_toft-machine-probe"))
        .arg("oci")
        .arg(lab.data())
        .arg(lab.podman.socket())
        .arg(&lab.tarball)
        .args([project.as_str(), &format!("{step}:1"), deed])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.signal(), Some(9), "{step} was not reached in {deed}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_leaves_no_container_that_nobody_knows() {
    let Some(lab) = Lab::open().await else { return };
    let freezes = lab.oci.can().freeze;
    let project = ProjectId::random();
    let known = std::slice::from_ref(&project);
    for step in ["create.log", "create.copied", "create.placed"] {
        killed(&lab, &project, step, "create");
        lab.reopen().await.sweep(known).await.unwrap();
    }
    lab.oci.create(&project).await.unwrap();
    for step in
        ["start.folders", "start.sockets", "start.written", "start.committed", "start.greeted"]
    {
        killed(&lab, &project, step, "start");
        let next = lab.reopen().await;
        next.sweep(known).await.unwrap();
        let found = next.adopt(&project).await.unwrap();
        let alive = lab.podman.containers();
        assert_eq!(alive.len(), usize::from(found.is_some()), "{step}: {alive:?}");
        assert_eq!(found.is_some(), matches!(step, "start.committed" | "start.greeted"), "{step}");
        next.start(spec(&project)).await.unwrap();
        assert_eq!(lab.says(&project, "id -u").await, "0", "{step}");
        next.stop(&project, GRACE).await.unwrap();
    }
    for step in ["stop.asked", "stop.ended", "stop.forgotten"] {
        lab.oci.start(spec(&project)).await.unwrap();
        killed(&lab, &project, step, "stop");
        let next = lab.reopen().await;
        next.sweep(known).await.unwrap();
        assert!(next.adopt(&project).await.unwrap().is_none(), "{step}");
        assert_eq!(lab.podman.containers(), Vec::<String>::new(), "{step}");
    }
    if freezes {
        for (step, frozen) in [("freeze.marked", false), ("freeze.frozen", true)] {
            lab.oci.start(spec(&project)).await.unwrap();
            killed(&lab, &project, step, "freeze");
            let next = lab.reopen().await;
            assert!(next.adopt(&project).await.unwrap().is_some(), "{step}");
            assert_eq!(next.is_frozen(&project).await.unwrap(), frozen, "{step}");
            next.thaw(&project).await.unwrap();
            assert_eq!(lab.says(&project, "id -u").await, "0", "{step}");
        }
        // Paused for a copy: it goes on, and the copy is there or not.
        killed(&lab, &project, "checkpoint.base", "checkpoint");
        let next = lab.reopen().await;
        assert!(next.adopt(&project).await.unwrap().is_some());
        assert_eq!(lab.says(&project, "id -u").await, "0");
        next.sweep(known).await.unwrap();
        assert!(next.checkpoints(&project).await.unwrap().is_empty());
    }
    lab.close(&[&project]).await;
}
