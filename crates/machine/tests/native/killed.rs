//! Servers that are killed while they copy, go back, fork and delete.

use super::lab::{GRACE, Lab, exe, spec};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use toft_machine::backend::Backend as _;
use toft_model::{
    checkpoint::{CheckpointId, TICKET_PATH, Ticket},
    id::ProjectId,
};

/// How often a server is killed, each time at another moment.
const KILLS: u32 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_leaves_the_old_disk_or_the_new_one() {
    let Some(lab) = Lab::open().await else { return };
    churned(lab).await;
    if let Some(lab) = Lab::open_plain().await {
        churned(lab).await;
    }
}

async fn churned(lab: Lab) {
    let (project, fork) = (lab.machine().await.0, ProjectId::random());
    lab.says(&project, "for n in 1 2 3 4 5 6 7 8 9; do mkdir d$n; echo $n > d$n/file; done").await;
    lab.native.stop(&project, GRACE).await.unwrap();
    let pool = lab.data().join("store/pool");
    let disk = pool.join("p").join(project.as_str());
    let ticket = disk.join("rootfs").join(TICKET_PATH);
    let mut written = 0;
    for round in 0..KILLS {
        // What an earlier round left is gone when this one has gone back once.
        let _ = fs::remove_file(&ticket);
        let mut server = Command::new(exe())
            .args(["churn", &lab.data().to_string_lossy(), project.as_str(), fork.as_str()])
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while !ticket.exists() {
            assert!(Instant::now() < deadline, "it does nothing");
            assert!(server.try_wait().unwrap().is_none(), "it ended by itself");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Other moments of its round, which takes some 10 ms on snapshots and 100 on folders.
        tokio::time::sleep(Duration::from_micros(u64::from(round) * 3_700)).await;
        server.kill().unwrap();
        server.wait().unwrap();

        let next = lab.reopen().await;
        next.sweep(std::slice::from_ref(&project)).await.unwrap();
        let left = fs::read_dir(pool.join("tmp")).unwrap().flatten();
        let left: Vec<_> = left.filter(|e| !is_spare(&e.path())).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_whole(&disk.join("rootfs"));
        let text = fs::read_to_string(&ticket).unwrap();
        assert!(matches!(serde_json::from_str(&text).unwrap(), Ticket::Restore { .. }));
        // Every checkpoint is whole, and nothing lies beside that belongs to none.
        let kept = pool.join("ck").join(project.as_str());
        let ids = next.checkpoints(&project).await.unwrap();
        for id in &ids {
            assert_whole(&kept.join(id.as_str()).join("rootfs"));
        }
        let beside: BTreeSet<CheckpointId> = fs::read_dir(&kept)
            .into_iter()
            .flatten()
            .filter_map(|e| e.unwrap().path().file_stem()?.to_str()?.parse().ok())
            .collect();
        assert_eq!(beside.into_iter().collect::<Vec<_>>(), ids);
        written += ids.len();
        let forked = pool.join("p").join(fork.as_str()).join("rootfs");
        if forked.exists() {
            assert_whole(&forked);
            let text = fs::read_to_string(forked.join(TICKET_PATH)).unwrap();
            assert!(matches!(serde_json::from_str(&text).unwrap(), Ticket::Fork { .. }));
        }
        next.destroy(&fork).await.unwrap();
        for id in ids {
            let base = fs::symlink_metadata(kept.join(format!("{id}.base")));
            assert!(base.unwrap().is_symlink());
            next.drop_checkpoint(&project, &id).await.unwrap();
        }
        assert!(!kept.exists(), "the last one takes the folder along");
    }
    println!("{}: {written} checkpoints were whole", lab.native.storage());
    lab.native.start(spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, "cat d9/file").await, "9");
    lab.close(&[&project]).await;
}

fn assert_whole(root: &Path) {
    for n in 1..=9 {
        let text = fs::read_to_string(root.join(format!("home/project/d{n}/file"))).unwrap();
        assert_eq!(text, format!("{n}\n"), "{}", root.display());
    }
    assert!(root.join("etc/passwd").is_file() && root.join("home/starter").is_dir());
}

fn is_spare(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("spare-"))
}
