//! Checkpoints, restores and forks, on snapshots where this host has them and on plain folders.

mod hostile;
mod left_by_killed;
mod taken;

use super::lab::{GRACE, Lab, spec};
use std::{fs, os::unix::fs::symlink, path::PathBuf};
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{
    checkpoint::{ChangeKind, CheckpointId, SESSIONS_BEFORE, TICKET_PATH, Ticket},
    id::ProjectId,
};

/// Both kinds of storage; one where the first is plain anyway.
async fn labs() -> Vec<Lab> {
    let Some(first) = Lab::open().await else { return Vec::new() };
    let mut labs = vec![first];
    if labs[0].native.can().live_checkpoint {
        labs.extend(Lab::open_plain().await);
    }
    labs
}

fn ticket(id: &CheckpointId) -> Ticket {
    Ticket::Restore {
        checkpoint_id: id.clone(),
        label: Some("before".to_owned()),
        at: 2,
        taken_at: 1,
        place: None,
    }
}

fn fork_ticket(from: &ProjectId) -> Ticket {
    Ticket::Fork { from: from.clone(), seq: 9, checkpoint_id: None, at: 1, place: None }
}

impl Lab {
    /// A checkpoint of a machine that runs, or of a stopped one where that is not possible.
    async fn keep(&self, project: &ProjectId) -> CheckpointId {
        let id = CheckpointId::random();
        match self.native.checkpoint(project, &id).await {
            Ok(done) => assert!(done.base.starts_with("host-"), "{done:?}"),
            Err(MachineError::Unable { why, .. }) => {
                let can = self.native.can();
                assert!(!can.live_checkpoint && !can.freeze, "{why}");
                assert!(why.contains("stop the machine first"), "{why}");
                assert!(!self.native.checkpoints(project).await.unwrap().contains(&id));
                self.native.stop(project, GRACE).await.unwrap();
                self.native.checkpoint(project, &id).await.unwrap();
                self.native.start(spec(project)).await.unwrap();
            }
            Err(e) => panic!("{e}"),
        }
        id
    }

    fn disk(&self, project: &ProjectId) -> PathBuf {
        self.data().join("store/pool/p").join(project.as_str())
    }

    fn kept(&self, project: &ProjectId) -> PathBuf {
        self.data().join("store/pool/ck").join(project.as_str())
    }

    async fn restored(&self, project: &ProjectId, id: &CheckpointId) {
        self.native.stop(project, GRACE).await.unwrap();
        self.native.restore(project, id, &ticket(id), false).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_files_back_and_keeps_longer_sessions() {
    for lab in labs().await {
        println!("storage: {}", lab.native.storage());
        let (project, _) = lab.machine().await;
        lab.says(
            &project,
            "echo one > same; echo old > changed; echo x > removed; mkdir -p d/e; ln -s d link; \
             chmod 750 changed; mkdir -p /home/starter/sessions/p; \
             echo 1 > /home/starter/sessions/p/a; echo 1 > /home/starter/sessions/b",
        )
        .await;
        let id = lab.keep(&project).await;
        // As it was asked already.
        lab.native.checkpoint(&project, &id).await.unwrap();
        lab.says(
            &project,
            "echo newer > changed; rm removed; echo y > added; rmdir d/e; \
             echo 2 >> /home/starter/sessions/p/a; echo 1 > /home/starter/sessions/c",
        )
        .await;
        let changes = lab.native.diff(&project, &id, None, 100).await.unwrap();
        let in_project = changes.changes.iter().filter(|c| c.path.starts_with("/home/project/"));
        let told: Vec<_> =
            in_project.map(|c| (&c.path["/home/project/".len()..], c.kind)).collect();
        let expected = [
            ("added", ChangeKind::Added),
            ("changed", ChangeKind::Modified),
            ("d/e", ChangeKind::Removed),
            ("removed", ChangeKind::Removed),
        ];
        assert_eq!(told, expected);
        assert!(!changes.changes.iter().any(|c| c.path.starts_with("/home/starter")));
        let file = async |at: Option<&CheckpointId>, max| {
            lab.native.read(&project, at, "/home/project/changed", max).await
        };
        assert_eq!(file(Some(&id), 99).await.unwrap().unwrap(), b"old\n");
        assert_eq!(file(None, 99).await.unwrap().unwrap(), b"newer\n");
        assert!(matches!(file(None, 5).await, Err(MachineError::Unable { .. })));

        let e = lab.native.restore(&project, &id, &ticket(&id), false).await.unwrap_err();
        assert!(e.to_string().contains("stop it first"), "{e}");
        assert_eq!(lab.says(&project, "cat changed").await, "newer");
        lab.restored(&project, &id).await;
        let root = lab.disk(&project).join("rootfs");
        let text = fs::read_to_string(root.join(TICKET_PATH)).unwrap();
        assert_eq!(serde_json::from_str::<Ticket>(&text).unwrap(), ticket(&id));
        let before = root.join(SESSIONS_BEFORE);
        assert_eq!(fs::read_to_string(before.join("p/a")).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(before.join("c")).unwrap(), "1\n");
        // Once more before any bridge has looked: nothing that was kept is lost.
        lab.native.restore(&project, &id, &ticket(&id), false).await.unwrap();
        assert_eq!(fs::read_to_string(before.join("p/a")).unwrap(), "1\n2\n");
        lab.native.start(spec(&project)).await.unwrap();
        let now = "cat same changed removed; ls; stat -c %a changed; readlink link; \
                   cat /home/starter/sessions/p/a";
        let now = lab.says(&project, now).await;
        let expected = "one old x changed d link removed same 750 d 1";
        assert_eq!(now.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        lab.says(&project, "test -d d/e && test ! -e /home/starter/sessions/c").await;
        // What the machine does now changes no checkpoint.
        lab.says(&project, "echo changed again > same").await;
        lab.restored(&project, &id).await;
        assert_eq!(fs::read_to_string(root.join("home/project/same")).unwrap(), "one\n");

        assert_eq!(lab.native.checkpoints(&project).await.unwrap(), std::slice::from_ref(&id));
        lab.native.drop_checkpoint(&project, &id).await.unwrap();
        lab.native.drop_checkpoint(&project, &id).await.unwrap();
        assert_eq!(lab.native.checkpoints(&project).await.unwrap(), []);
        let e = lab.native.restore(&project, &id, &ticket(&id), false).await.unwrap_err();
        assert!(matches!(e, MachineError::NoCheckpoint { .. }), "{e}");
        lab.close(&[&project]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_stands_alone() {
    for lab in labs().await {
        let (one, _) = lab.machine().await;
        let usr = lab.enforced("system folders").await;
        lab.says(
            &one,
            "echo then > file; mkdir -p /home/starter/sessions; echo s > /home/starter/sessions/s",
        )
        .await;
        if usr {
            lab.says(&one, "echo tool > /usr/bin/toft-tool; rm /usr/bin/head").await;
        }
        let id = lab.keep(&one).await;
        lab.says(&one, "echo now > file").await;
        let (two, three) = (ProjectId::random(), ProjectId::random());
        lab.native.fork(&one, Some(&id), &two, &fork_ticket(&one)).await.unwrap();
        lab.native.fork(&one, Some(&id), &two, &fork_ticket(&one)).await.unwrap();
        let from_now = lab.native.fork(&one, None, &three, &fork_ticket(&one)).await;
        let can = lab.native.can();
        if can.live_checkpoint || can.freeze {
            from_now.unwrap();
        } else {
            assert!(matches!(from_now, Err(MachineError::Unable { .. })), "{from_now:?}");
            lab.native.stop(&one, GRACE).await.unwrap();
            lab.native.fork(&one, None, &three, &fork_ticket(&one)).await.unwrap();
            lab.native.start(spec(&one)).await.unwrap();
        }
        let own = lab.disk(&two).join("rootfs").join(TICKET_PATH);
        let text = fs::read_to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Ticket>(&text).unwrap(), fork_ticket(&one));
        assert!(!lab.disk(&one).join("rootfs").join(TICKET_PATH).exists());
        // All run at once, each with ids and files of its own.
        let mut maps = Vec::new();
        for (project, expected) in [(&two, "then"), (&three, "now")] {
            assert!(!lab.native.start(spec(project)).await.unwrap().adopted);
            assert_eq!(
                lab.says(project, "cat file /home/starter/sessions/s").await,
                format!("{expected}\ns")
            );
            if usr {
                lab.says(project, "test -e /usr/bin/toft-tool && test ! -e /usr/bin/head").await;
            }
            lab.says(project, "echo mine > file; echo mine >> /home/starter/sessions/s").await;
            maps.push(lab.says(project, "cat /proc/self/uid_map").await);
        }
        assert_eq!(lab.says(&one, "cat file /home/starter/sessions/s").await, "now\ns");
        maps.push(lab.says(&one, "cat /proc/self/uid_map").await);
        if lab.enforced("id range").await {
            maps.sort();
            maps.dedup();
            assert_eq!(maps.len(), 3);
        }
        // It outlives where it came from.
        lab.native.destroy(&one).await.unwrap();
        assert!(!lab.kept(&one).exists());
        assert_eq!(lab.says(&two, "cat file").await, "mine");
        let missing = lab.native.fork(&one, None, &ProjectId::random(), &fork_ticket(&one)).await;
        assert!(missing.is_err());
        lab.close(&[&one, &two, &three]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_base_is_refused_unless_forced() {
    for lab in labs().await {
        let (project, _) = lab.machine().await;
        lab.says(&project, "echo then > file").await;
        let id = lab.keep(&project).await;
        lab.says(&project, "echo now > file").await;
        lab.native.stop(&project, GRACE).await.unwrap();
        // As a checkpoint of last month's host looks.
        let base = lab.kept(&project).join(format!("{id}.base"));
        fs::remove_file(&base).unwrap();
        symlink("host-00000000", &base).unwrap();
        let file = lab.disk(&project).join("rootfs/home/project/file");
        match lab.native.restore(&project, &id, &ticket(&id), false).await {
            Err(MachineError::BaseChanged { was, now }) => {
                assert!(was == "host-00000000" && now != was, "{was} {now}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "now\n");
        lab.native.restore(&project, &id, &ticket(&id), true).await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "then\n");
        lab.close(&[&project]).await;
    }
}
