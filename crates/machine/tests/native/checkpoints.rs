//! Checkpoints, restores and forks, on snapshots where this host has them and on plain folders.

use super::lab::{GRACE, Lab, is_root, spec};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::PathBuf,
    time::{Duration, Instant},
};
use toft_lane::skip;
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
async fn hostile_trees_lead_nowhere() {
    for lab in labs().await {
        // A folder of the host, laid out as a machine's home.
        let host = tempfile::tempdir().unwrap();
        let own = host.path().join("starter");
        fs::create_dir_all(own.join("sessions")).unwrap();
        fs::write(own.join("sessions/secret"), "of the host").unwrap();
        let untouched = || {
            let names = |path: &PathBuf| {
                fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>()
            };
            assert_eq!(
                (names(&own), names(&own.join("sessions"))),
                (vec!["sessions".into()], vec!["secret".into()])
            );
        };
        let at = host.path().display();
        let plots = [
            format!("rm -rf /home && ln -s {at} /home"),
            format!("rm -rf /home/starter && ln -s {at}/starter /home/starter"),
            format!("rm -rf /home/starter && ln -s ../../../../../../..{at}/starter /home/starter"),
        ];
        for plot in &plots {
            let (project, _) = lab.machine().await;
            lab.says(&project, &format!("cd /; {plot}")).await;
            let bad = lab.keep(&project).await;
            lab.native.stop(&project, GRACE).await.unwrap();
            let e = lab.native.restore(&project, &bad, &ticket(&bad), false).await.unwrap_err();
            assert!(
                matches!(&e, MachineError::Unable { why, .. } if why.contains("plain folder")),
                "{e}"
            );
            let other = ProjectId::random();
            let e = lab.native.fork(&project, Some(&bad), &other, &fork_ticket(&project)).await;
            assert!(matches!(e, Err(MachineError::Unable { .. })), "{e:?}");
            assert!(!lab.disk(&other).exists());
            for path in ["/home/starter/sessions/secret", "/home/sessions/secret"] {
                assert_eq!(lab.native.read(&project, Some(&bad), path, 99).await.unwrap(), None);
                assert_eq!(lab.native.read(&project, None, path, 99).await.unwrap(), None);
            }
            let none = lab.native.diff(&project, &bad, None, 99).await.unwrap();
            assert!(!format!("{none:?}").contains("secret"), "{none:?}");
            untouched();
            lab.native.destroy(&other).await.unwrap();
            lab.native.destroy(&project).await.unwrap();
        }
        // A good checkpoint, and a tree of now that is not: going back works, and brings nothing
        // of the host along.
        let (project, _) = lab.machine().await;
        let good = lab.keep(&project).await;
        let inside = format!(
            "cd /home/starter && rm -rf sessions .sessions-before .toft-ticket.json && ln -s {at}/starter/sessions sessions && \
             ln -s {at}/starter/sessions .sessions-before && ln -s {at}/starter/sessions/secret .toft-ticket.json"
        );
        for plot in plots.iter().chain([&inside]) {
            lab.says(&project, &format!("cd /; {plot}")).await;
            lab.restored(&project, &good).await;
            untouched();
            let home = lab.disk(&project).join("rootfs/home/starter");
            assert!(home.join(".toft-ticket.json").symlink_metadata().unwrap().is_file());
            assert!(!home.join(".sessions-before/secret").exists());
            lab.native.start(spec(&project)).await.unwrap();
        }
        // The links lie in the checkpoint.
        lab.says(&project, &inside).await;
        let linked = lab.keep(&project).await;
        lab.says(&project, "cd /home/starter; rm sessions; mkdir sessions; echo 1 > sessions/x; mkfifo sessions/pipe").await;
        lab.restored(&project, &linked).await;
        untouched();
        let home = lab.disk(&project).join("rootfs/home/starter");
        assert!(home.join(".toft-ticket.json").symlink_metadata().unwrap().is_file());
        let before = home.join(".sessions-before");
        assert!(before.symlink_metadata().unwrap().is_dir());
        assert_eq!(fs::read_dir(before).unwrap().count(), 1);
        lab.close(&[&project]).await;
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
