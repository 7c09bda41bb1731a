//! Limits that are reached are told: once, with the command that was hit, and to nobody else.

use super::lab::{Lab, spec};
use std::time::Duration;
use toft_machine::backend::Backend as _;
use toft_model::{
    event::{LimitHit, LimitKind},
    id::ProjectId,
    machine::Limits,
};
use tokio::{sync::broadcast::Receiver, time::timeout};

const MIB: u64 = 1 << 20;
/// Many of one kind, that stay as long as the longest look may take.
const FORK_40: &str = "i=0; while [ $i -lt 40 ]; do sleep 4 & i=$((i+1)); done; wait";

async fn next(hits: &mut Receiver<(ProjectId, LimitHit)>) -> (ProjectId, LimitHit) {
    timeout(Duration::from_secs(30), hits.recv()).await.expect("it is told").unwrap()
}

impl Lab {
    async fn limited(&self, limits: Limits) -> ProjectId {
        let project = ProjectId::random();
        self.native.create(&project).await.unwrap();
        let mut small = spec(&project);
        small.limits = limits;
        self.native.start(small).await.unwrap();
        project
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_command_and_a_refused_one_are_told_once() {
    let Some(lab) = Lab::open().await else { return };
    let can = lab.native.can().limits;
    if !["memory", "pids"].iter().all(|l| can.iter().any(|c| c == l)) {
        println!("skipped: only {can:?} can be limited here");
        return lab.close(&[]).await;
    }
    let mut hits = lab.native.limit_hits();
    let limits = Limits { memory_bytes: Some(64 * MIB), pids: Some(30), ..Limits::default() };
    let (project, other) = (lab.limited(limits.clone()).await, lab.limited(limits).await);
    // `tail` keeps what has no line end in memory.
    let bomb = ["/usr/bin/tail", "-n", "7", "/dev/zero"];
    let (_, exit) = lab.exec(&project, &bomb).await;
    assert_eq!(exit.signal, Some(9), "{exit:?}");
    let (whose, hit) = next(&mut hits).await;
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Memory, Some(64 * MIB)));
    println!("{hit:?}");
    match hit.command.as_deref() {
        Some(command) => {
            assert!(command == bomb.join(" ") || command == "tail", "{command}");
            assert!(hit.message.contains(command), "{}", hit.message);
        }
        None => println!("not told whom: the kernel's messages cannot be read here"),
    }
    let peak = hit.peak.unwrap();
    assert!((60 * MIB..=64 * MIB).contains(&peak), "{peak}");
    // At once again: the same episode. A fork that is refused is another matter.
    lab.exec(&project, &bomb).await;
    lab.shell(&project, FORK_40).await;
    let (whose, hit) = next(&mut hits).await;
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Pids, Some(30)));
    println!("{hit:?}");
    assert_eq!((hit.peak, hit.command.as_deref()), (Some(30), Some("sleep 4")));
    // Of another machine, found by another server.
    let second = lab.reopen().await;
    let mut heard = second.limit_hits();
    second.adopt(&other).await.unwrap().unwrap();
    lab.exec(&other, &bomb).await;
    for hits in [&mut hits, &mut heard] {
        let (whose, hit) = next(hits).await;
        assert_eq!((&whose, hit.kind), (&other, LimitKind::Memory));
    }
    lab.close(&[&project, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_told_and_again_after_there_was_room() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("disk limit").await {
        println!("skipped: nothing bounds disks here");
        return lab.close(&[]).await;
    }
    let mut hits = lab.native.limit_hits();
    let project = lab.limited(Limits { disk_bytes: Some(24 * MIB), ..Limits::default() }).await;
    // At another bound it is another matter; at the same one there must have been room in between.
    for bound in [24 * MIB, 28 * MIB] {
        let limits = Limits { disk_bytes: Some(bound), ..Limits::default() };
        lab.native.set_limits(&project, &limits).await.unwrap();
        let (out, _) = lab.shell(&project, "cat /dev/urandom > fill$$; sync -f .").await;
        assert!(out.to_lowercase().contains("quota exceeded"), "{out}");
        let (whose, hit) = next(&mut hits).await;
        println!("{hit:?}");
        assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Disk, Some(bound)));
        assert!(hit.peak.unwrap() > bound - 2 * MIB, "{hit:?}");
    }
    // Who fills it slowly enough to be seen is named, although it has ended by then.
    let limits = Limits { disk_bytes: Some(60 * MIB), ..Limits::default() };
    lab.native.set_limits(&project, &limits).await.unwrap();
    let slow = "import os, time\ntry:\n    f = open('slow', 'wb', 0)\n    while True:\n        \
                f.write(os.urandom(65536)); os.fdatasync(f.fileno())\n        \
                if f.tell() > 52 << 20: time.sleep(0.04)\n\
                except OSError as e: print(e.strerror)\n";
    let out =
        lab.says(&project, &format!("rm fill*; cat > s.py <<'E'\n{slow}E\npython3 s.py")).await;
    assert!(out.to_lowercase().contains("quota exceeded"), "{out}");
    let (_, hit) = next(&mut hits).await;
    println!("{hit:?}");
    assert_eq!((hit.kind, hit.command.as_deref()), (LimitKind::Disk, Some("python3 s.py")));
    // Others write on.
    let (other, _) = lab.machine().await;
    lab.says(&other, "head -c 8000000 /dev/urandom > fine; sync -f .").await;
    lab.close(&[&project, &other]).await;
}
