//! What is in a checkpoint: one moment of a machine that goes on writing, and as little of its own as
//! the storage allows.

use super::labs;
use crate::lab::{GRACE, Lab};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};
use toft_lane::skip;
use toft_machine::backend::Backend as _;
use toft_model::checkpoint::CheckpointId;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_writes_is_kept_and_goes_on() {
    for lab in labs().await {
        let can = lab.native.can();
        if !can.live_checkpoint && !can.freeze {
            skip("a live checkpoint", "no snapshots, and no group that pauses a machine");
            continue;
        }
        let (project, running) = lab.machine().await;
        let writer = "(n=0; while [ $n -lt 100000 ]; do n=$((n+1)); echo $n >> log; \
                      echo $n > last; done) > /dev/null 2>&1 &";
        lab.says(&project, writer).await;
        for _ in 0..5 {
            let id = CheckpointId::random();
            let taken = lab.native.checkpoint(&project, &id).await.unwrap();
            let kept = lab.kept(&project).join(id.as_str()).join("rootfs/home/project");
            let log = || fs::read_to_string(kept.join("log")).unwrap_or_default();
            let then = log();
            let count = then.lines().count();
            assert!(then.lines().enumerate().all(|(at, l)| l == (at + 1).to_string()), "{then}");
            // The second file is written after the first, each time. A machine that could not be paused
            // in time may have one without the other.
            let last: usize = fs::read_to_string(kept.join("last"))
                .unwrap_or_default()
                .trim()
                .parse()
                .unwrap_or(0);
            assert!(!taken.one_moment || last <= count, "{last} of {count}");
            let live = lab.disk(&project).join("rootfs/home/project/log");
            let deadline = Instant::now() + Duration::from_secs(20);
            while fs::read_to_string(&live).unwrap_or_default().lines().count() <= count {
                assert!(Instant::now() < deadline, "the writer does not go on");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert_eq!(log(), then);
            assert!(can.freeze || !taken.one_moment);
        }
        // The same processes.
        let found = lab.native.adopt(&project).await.unwrap().unwrap();
        assert_eq!(found.init_pid, running.init_pid);
        lab.close(&[&project]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_checkpoints_share_what_did_not_change_and_nothing_with_the_machine() {
    let Some(lab) = Lab::open_plain().await else { return };
    let (project, _) = lab.machine().await;
    // Older than the time within which files count as new.
    lab.says(&project, "head -c 300000 /dev/zero > big; echo 1 > small").await;
    let disk = lab.disk(&project).join("rootfs/home/project");
    let changed = fs::metadata(disk.join("big")).unwrap().ctime();
    let until = Instant::now() + Duration::from_secs(30);
    while now_s() < changed + 5 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lab.native.stop(&project, GRACE).await.unwrap();
    let ids = [CheckpointId::random(), CheckpointId::random()];
    let first = lab.native.checkpoint(&project, &ids[0]).await.unwrap();
    // The same length at the same time: only the kernel knows.
    let time = fs::metadata(disk.join("small")).unwrap().modified().unwrap();
    fs::write(disk.join("small"), "2\n").unwrap();
    fs::File::options().write(true).open(disk.join("small")).unwrap().set_modified(time).unwrap();
    let second = lab.native.checkpoint(&project, &ids[1]).await.unwrap();
    assert!(second.copied_bytes < first.copied_bytes, "{first:?} {second:?}");
    let file = |id: &CheckpointId, name: &str| {
        lab.kept(&project).join(id.as_str()).join("rootfs/home/project").join(name)
    };
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(file(&ids[0], "big")), inode(file(&ids[1], "big")));
    assert_ne!(inode(file(&ids[0], "big")), inode(disk.join("big")));
    let small = ids.each_ref().map(|id| fs::read_to_string(file(id, "small")).unwrap());
    assert_eq!(small, ["1\n", "2\n"]);
    lab.native.drop_checkpoint(&project, &ids[0]).await.unwrap();
    assert_eq!(fs::metadata(file(&ids[1], "big")).unwrap().len(), 300_000);
    lab.restored(&project, &ids[1]).await;
    assert_ne!(inode(file(&ids[1], "big")), inode(disk.join("big")));
    lab.close(&[&project]).await;
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
