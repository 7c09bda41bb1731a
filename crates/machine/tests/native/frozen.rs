//! Machines that are paused on purpose stay so, whoever looks at them, and those that are not do
//! not.

use super::lab::{GRACE, Lab, groups_of, spec};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

const COUNT: &str = "(while :; do n=$((n+1)); echo $n > count; done) > /dev/null 2>&1 &";

impl Lab {
    fn mark(&self, project: &ProjectId) -> PathBuf {
        self.data().join("run/m").join(project.as_str()).join("frozen")
    }

    fn count(&self, project: &ProjectId) -> Option<u64> {
        let pool = self.data().join("store/pool/p").join(project.as_str());
        let text = fs::read_to_string(pool.join("rootfs/home/project/count")).ok()?;
        text.trim().parse().ok()
    }

    async fn counts_on(&self, project: &ProjectId) {
        let then = self.count(project).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(project).is_none_or(|now| now <= then) {
            assert!(Instant::now() < deadline, "it does not go on");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn stands_still(&self, project: &ProjectId) {
        let then = self.count(project);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(self.count(project), then);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_machine_stays_so_until_somebody_thaws_or_ends_it() {
    let Some(lab) = Lab::open().await else { return };
    let (project, first) = lab.machine().await;
    if !lab.native.can().freeze {
        skip("pausing", "no freezer here");
        let refused = lab.native.freeze(&project).await.unwrap_err();
        assert!(matches!(refused, MachineError::Unable { .. }), "{refused}");
        lab.close(&[&project]).await;
        return;
    }
    lab.says(&project, COUNT).await;
    lab.counts_on(&project).await;
    assert!(!lab.native.is_frozen(&project).await.unwrap());
    lab.native.freeze(&project).await.unwrap();
    lab.native.freeze(&project).await.unwrap();
    lab.stands_still(&project);
    // A new server finds it without waking it, token and listeners included.
    let second = lab.reopen().await;
    let found = second.adopt(&project).await.unwrap().unwrap();
    assert_eq!((found.init_pid, &found.token), (first.init_pid, &first.token));
    let addresses = found.gateway_listeners.iter().take(2).map(|l| {
        let listener = std::net::TcpListener::from(l.try_clone().unwrap());
        listener.local_addr().unwrap().ip().to_string()
    });
    assert_eq!(addresses.collect::<Vec<_>>(), ["127.77.0.1", "127.77.0.1"]);
    assert!(second.start(spec(&project)).await.unwrap().adopted);
    second.sweep(std::slice::from_ref(&project)).await.unwrap();
    let id = CheckpointId::random();
    assert!(second.checkpoint(&project, &id).await.unwrap().one_moment);
    assert!(second.is_frozen(&project).await.unwrap());
    lab.stands_still(&project);
    second.thaw(&project).await.unwrap();
    second.thaw(&project).await.unwrap();
    assert!(!lab.native.is_frozen(&project).await.unwrap() && !lab.mark(&project).exists());
    lab.counts_on(&project).await;

    lab.native.freeze(&project).await.unwrap();
    lab.native.stop(&project, GRACE).await.unwrap();
    assert!(!lab.native.is_frozen(&project).await.unwrap() && !lab.mark(&project).exists());
    let refused = lab.native.freeze(&project).await.unwrap_err();
    assert!(matches!(refused, MachineError::NotRunning(_)), "{refused}");
    lab.native.thaw(&project).await.unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    lab.says(&project, "test -e count").await;
    // Frozen again, it is destroyed.
    lab.native.freeze(&project).await.unwrap();
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_left_half_done_is_told_apart() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    lab.says(&project, COUNT).await;
    let freezer = groups_of(&project).into_iter().find(|g| g.join("cgroup.freeze").exists());
    let Some(freezer) = freezer.map(|g| g.join("cgroup.freeze")) else {
        skip("pausing", "no v2 freezer here");
        lab.close(&[&project]).await;
        return;
    };
    // Killed after the mark, or after the machine went on: it runs.
    fs::write(lab.mark(&project), "").unwrap();
    assert!(!lab.native.is_frozen(&project).await.unwrap());
    lab.reopen().await.adopt(&project).await.unwrap().unwrap();
    assert!(!lab.mark(&project).exists());
    lab.counts_on(&project).await;
    // Killed while a disk was copied: it goes on.
    fs::write(&freezer, "1").unwrap();
    assert!(!lab.native.is_frozen(&project).await.unwrap());
    lab.reopen().await.adopt(&project).await.unwrap().unwrap();
    lab.counts_on(&project).await;
    // Both together, one after the other, do not make one that is paused on purpose.
    fs::write(lab.mark(&project), "").unwrap();
    lab.native.checkpoint(&project, &CheckpointId::random()).await.unwrap();
    assert!(!lab.mark(&project).exists());
    fs::write(&freezer, "1").unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    lab.counts_on(&project).await;
    lab.close(&[&project]).await;
}
