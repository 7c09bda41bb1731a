//! Limits that are reached are told: once, with the command that was hit, and to nobody else.

use super::lab::{GRACE, Lab, spec};
use std::time::Duration;
use toft_lane::skip;
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
        skip("limits", format!("only {can:?} can be limited here"));
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
        skip("a full disk", "nothing bounds disks here");
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

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_a_disk_as_fast_as_random_bytes_come_is_named() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("disk limit").await {
        skip("a full disk", "nothing bounds disks here");
        return lab.close(&[]).await;
    }
    let mut hits = lab.native.limit_hits();
    let bound = 100 * MIB;
    let project = lab.limited(Limits { disk_bytes: Some(bound), ..Limits::default() }).await;
    let (out, _) = lab.shell(&project, "head -c 200000000 /dev/urandom > big").await;
    assert!(out.to_lowercase().contains("quota exceeded"), "{out}");
    let (_, hit) = next(&mut hits).await;
    println!("{hit:?}");
    assert_eq!((hit.kind, hit.limit), (LimitKind::Disk, Some(bound)));
    assert_eq!(hit.command.as_deref(), Some("head -c 200000000 /dev/urandom"));
    lab.close(&[&project]).await;
}

/// All that the machines of the other tests do not need: 60 processes for a moment, in one look.
const FORK_60: &str = "i=0; while [ $i -lt 60 ]; do sleep 0.3 & i=$((i+1)); done; wait";

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_between_two_looks_is_told_whatever_is_changed_meanwhile() {
    let Some(mut lab) = Lab::open().await else { return };
    let can = lab.native.can();
    if !["memory", "pids"].iter().all(|l| can.limits.iter().any(|c| c == l)) || !can.freeze {
        skip("limits between two looks", format!("only {can:?} here"));
        return lab.close(&[]).await;
    }
    let mut hits = lab.native.limit_hits();
    let limits =
        |pids| Limits { memory_bytes: Some(64 * MIB), pids: Some(pids), ..Limits::default() };
    let project = lab.limited(limits(30)).await;
    let bomb = ["/usr/bin/tail", "-n", "7", "/dev/zero"];
    let pids = async |hits: &mut Receiver<(ProjectId, LimitHit)>, limit, peak| {
        let (_, hit) = next(hits).await;
        println!("{hit:?}");
        assert_eq!((hit.kind, hit.limit), (LimitKind::Pids, Some(limit)), "{hit:?}");
        assert_eq!(hit.peak, Some(peak), "{hit:?}");
    };
    // Raised, and far above what was ever in use, as soon as the last was refused.
    lab.shell(&project, FORK_60).await;
    lab.native.set_limits(&project, &limits(500)).await.unwrap();
    pids(&mut hits, 30, 30).await;
    // Lowered below what is in use, and lifted at once.
    lab.says(&project, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done >/dev/null 2>&1")
        .await;
    lab.native.set_limits(&project, &limits(10)).await.unwrap();
    let (_, exit) = lab.shell(&project, FORK_60).await;
    assert_ne!(exit.code, Some(0));
    lab.native.set_limits(&project, &Limits::default()).await.unwrap();
    let (_, hit) = next(&mut hits).await;
    assert_eq!((hit.kind, hit.limit), (LimitKind::Pids, Some(10)), "{hit:?}");
    assert!((12..=45).contains(&hit.peak.unwrap()), "{hit:?}");
    lab.says(&project, "kill -9 -1; true").await;
    // It stands still before anybody has looked; memory is told at another limit at once.
    for (memory, pids_max) in [(64 * MIB, 20), (80 * MIB, 25)] {
        let limits = Limits { memory_bytes: Some(memory), ..limits(pids_max) };
        lab.native.set_limits(&project, &limits).await.unwrap();
        lab.shell(&project, FORK_60).await;
        lab.exec(&project, &bomb).await;
        lab.native.freeze(&project).await.unwrap();
        let mut two = [next(&mut hits).await.1, next(&mut hits).await.1];
        two.sort_by_key(|hit| hit.kind);
        let said = two.each_ref().map(|hit| (hit.kind, hit.limit));
        let expected = [(LimitKind::Memory, Some(memory)), (LimitKind::Pids, Some(pids_max))];
        assert_eq!(said, expected, "{two:?}");
        lab.native.thaw(&project).await.unwrap();
    }
    // Nobody watches: its server is gone. The next one tells it, and nothing that was told before.
    let limits = Limits { memory_bytes: Some(96 * MIB), ..limits(35) };
    lab.native.set_limits(&project, &limits).await.unwrap();
    lab.native = lab.reopen().await;
    lab.shell(&project, FORK_60).await;
    lab.exec(&project, &bomb).await;
    let mut hits = lab.native.limit_hits();
    lab.native.adopt(&project).await.unwrap().unwrap();
    let mut two = [next(&mut hits).await.1, next(&mut hits).await.1];
    two.sort_by_key(|hit| hit.kind);
    let said = two.each_ref().map(|hit| (hit.kind, hit.limit));
    assert_eq!(said, [(LimitKind::Memory, Some(96 * MIB)), (LimitKind::Pids, Some(35))], "{two:?}");
    // Its groups are made anew, where nothing has happened yet; what happens last is told as well.
    lab.native.stop(&project, GRACE).await.unwrap();
    let mut again = spec(&project);
    again.limits = limits;
    lab.native.start(again).await.unwrap();
    assert!(hits.try_recv().is_err());
    lab.exec(&project, &bomb).await;
    lab.native.stop(&project, GRACE).await.unwrap();
    let (_, hit) = next(&mut hits).await;
    assert_eq!((hit.kind, hit.limit), (LimitKind::Memory, Some(96 * MIB)), "{hit:?}");
    assert!(hits.try_recv().is_err(), "nothing is told twice");
    lab.close(&[&project]).await;
}
