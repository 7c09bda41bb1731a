//! Room on disk: counted and bounded where the storage can.

use super::lab::{GRACE, Lab, spec};
use std::time::{Duration, Instant};
use toft_lane::skip;
use toft_machine::backend::Backend as _;
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
    machine::DiskUse,
};

const MIB: u64 = 1 << 20;
/// What cannot be made smaller by compression.
const WRITE_8_MIB: &str = "head -c 8388608 /dev/urandom > big$N && sync -f big$N";

impl Lab {
    /// Waits until the figures, which the kernel writes down now and then, are as expected.
    async fn takes(&self, project: &ProjectId, expected: std::ops::Range<u64>) -> DiskUse {
        let deadline = Instant::now() + Duration::from_secs(45);
        loop {
            let disk = self.native.disk(project).await.unwrap();
            if expected.contains(&disk.exclusive_bytes.unwrap()) {
                return disk;
            }
            assert!(Instant::now() < deadline, "{disk:?}, not {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_bounded_with_its_checkpoints_and_a_fork_counts_only_its_own() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let free = lab.native.disk(&project).await.unwrap();
    assert!(free.free_bytes.unwrap() > MIB);
    if !lab.enforced("disk limit").await {
        skip("the size of disks", "nothing counts them here");
        assert_eq!((free.exclusive_bytes, free.quota_bytes), (None, None));
        lab.close(&[&project]).await;
        return;
    }
    assert!(lab.native.can().limits.iter().any(|l| l == "disk"));
    assert_eq!(lab.takes(&project, 0..2 * MIB).await.quota_bytes, None);
    lab.native.stop(&project, GRACE).await.unwrap();
    let mut bounded = spec(&project);
    bounded.limits.disk_bytes = Some(20 * MIB);
    lab.native.start(bounded.clone()).await.unwrap();
    lab.says(&project, &format!("N=1; {WRITE_8_MIB}")).await;
    let id = CheckpointId::random();
    lab.native.checkpoint(&project, &id).await.unwrap();
    // The first is deleted, but its checkpoint has it still.
    lab.says(&project, &format!("rm big1; N=2; {WRITE_8_MIB}")).await;
    let disk = lab.takes(&project, 16 * MIB..18 * MIB).await;
    assert_eq!(disk.quota_bytes, Some(20 * MIB));
    let (out, exit) = lab.shell(&project, &format!("N=3; {WRITE_8_MIB}")).await;
    assert!(exit.code != Some(0) && out.contains("quota exceeded"), "{out}");
    lab.shell(&project, "rm -f big3").await;
    // A fork has it all and has written nothing.
    let fork = ProjectId::random();
    let ticket =
        Ticket::Fork { from: project.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
    lab.native.fork(&project, None, &fork, &ticket).await.unwrap();
    lab.native.start(spec(&fork)).await.unwrap();
    assert_eq!(lab.says(&fork, "stat -c %s big2").await, (8 * MIB).to_string());
    lab.says(&fork, "echo x > small; sync -f small").await;
    lab.takes(&fork, 0..2 * MIB).await;
    // Full to the brim, it goes back; and without the checkpoint there is room again.
    lab.shell(&project, "cat /dev/urandom > fill; sync -f .").await;
    let full = CheckpointId::random();
    lab.native.checkpoint(&project, &full).await.unwrap();
    lab.native.stop(&project, GRACE).await.unwrap();
    let ticket =
        Ticket::Restore { checkpoint_id: id.clone(), label: None, at: 2, taken_at: 1, place: None };
    lab.native.restore(&project, &id, &ticket, false).await.unwrap();
    lab.native.start(bounded).await.unwrap();
    assert_eq!(lab.says(&project, "ls").await, "big1");
    lab.native.stop(&project, GRACE).await.unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    assert_eq!(lab.native.disk(&project).await.unwrap().quota_bytes, None);
    lab.says(&project, &format!("for N in 4 5 6; do {WRITE_8_MIB}; done")).await;
    lab.native.sweep(&[project.clone(), fork.clone()]).await.unwrap();
    lab.takes(&project, 20 * MIB..64 * MIB).await;
    lab.close(&[&project, &fork]).await;
}
