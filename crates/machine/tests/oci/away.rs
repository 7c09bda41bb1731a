//! Somebody goes away in the middle: the one who asked, or the engine.

use super::lab::{GRACE, Lab, spec};
use std::time::Duration;
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
};
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_goes_on_whoever_stops_waiting_for_its_copy() {
    let Some(lab) = Lab::open_plain().await else { return };
    let (project, _) = lab.machine().await;
    for wait_ms in [0, 1, 5, 20, 60] {
        let (id, fork) = (CheckpointId::random(), ProjectId::random());
        let wait = Duration::from_millis(wait_ms);
        let given_up = timeout(wait, lab.oci.checkpoint(&project, &id)).await.is_err();
        lab.says(&project, "id").await;
        let from = project.clone();
        let ticket = Ticket::Fork { from, seq: 1, checkpoint_id: None, at: 1, place: None };
        let _ = timeout(wait, lab.oci.fork(&project, None, &fork, &ticket)).await;
        lab.says(&project, "id").await;
        assert!(!lab.oci.is_frozen(&project).await.unwrap());
        // What was begun is done, or nothing of it.
        let kept = lab.oci.checkpoints(&project).await.unwrap().contains(&id);
        assert!(kept || given_up);
        lab.oci.drop_checkpoint(&project, &id).await.unwrap();
        lab.oci.destroy(&fork).await.unwrap();
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_engine_a_machine_lives_on_and_ends_and_what_is_left_goes_when_it_is_back() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    let other = ProjectId::random();
    lab.oci.create(&other).await.unwrap();
    lab.podman.stop();

    // What runs needs no engine: it is spoken to, copied, paused, found.
    assert_eq!(lab.says(&project, "id -u").await, "0");
    let id: CheckpointId = CheckpointId::random();
    lab.oci.checkpoint(&project, &id).await.unwrap();
    lab.oci.freeze(&project).await.unwrap();
    lab.oci.thaw(&project).await.unwrap();
    let found = lab.oci.adopt(&project).await.unwrap().unwrap();
    assert_eq!(found.init_pid, running.init_pid);
    // A start says what is wrong, and what to do.
    let said = lab.oci.start(spec(&other)).await.unwrap_err();
    assert!(matches!(said, MachineError::DidNotStart { .. }), "{said}");
    let said = said.to_string();
    assert!(said.contains("engine does not answer; start it"), "{said}");
    // Its end needs none either.
    lab.oci.stop(&project, GRACE).await.unwrap();
    assert!(lab.oci.adopt(&project).await.unwrap().is_none());
    assert_eq!(super::steps::groups_of(&project), Vec::<std::path::PathBuf>::new());

    lab.podman.resume();
    lab.oci.start(spec(&other)).await.unwrap();
    let left = async {
        while lab.podman.containers().len() > 1 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_mins(2), left).await.expect("what was left with the engine goes");
    lab.oci.start(spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, "id -u").await, "0");
    lab.close(&[&project, &other]).await;
}
