//! Limits hold for work alone, and are told when they are reached: init outlives them.

use super::lab::{Lab, spec};
use std::{fs, time::Duration};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, Running, StartSpec};
use toft_model::{
    event::{LimitHit, LimitKind},
    id::ProjectId,
    machine::Limits,
};
use tokio::{
    sync::broadcast::Receiver,
    time::{sleep, timeout},
};

const MIB: u64 = 1 << 20;
/// A shell that holds ever more.
const GROW: &str = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
/// Many that stay as long as the longest look may take.
const FORK_40: &str = "i=0; while [ $i -lt 40 ]; do sleep 4 & i=$((i+1)); done; wait";

async fn next(hits: &mut Receiver<(ProjectId, LimitHit)>) -> (ProjectId, LimitHit) {
    timeout(Duration::from_secs(30), hits.recv()).await.expect("it is told").unwrap()
}

async fn limited(lab: &Lab, limits: Limits) -> (ProjectId, Running) {
    let project = ProjectId::random();
    lab.oci.create(&project).await.unwrap();
    let running = lab.oci.start(StartSpec { limits, ..spec(&project) }).await.unwrap();
    (project, running)
}

/// Pid and start of a process, by which it is itself.
fn identity(pid: u32) -> (u32, String) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat[stat.rfind(')').unwrap() + 2..].split(' ').nth(19).unwrap();
    (pid, start.to_owned())
}

/// The group of a process in the hierarchy that counts its memory.
fn memory_group(pid: u32) -> String {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let memory = groups.lines().find(|l| l.contains(":memory:"));
    memory.or_else(|| groups.lines().find(|l| l.starts_with("0::"))).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_much_ends_and_init_does_not() {
    let Some(lab) = Lab::open().await else { return };
    let abilities = lab.oci.abilities().await;
    let ours = |name: &str| {
        abilities.iter().any(|a| a.name == name && a.enforced && a.how.contains("for work"))
    };
    if !ours("memory limit") || !ours("process limit") {
        skip("limits of work", "no control groups of ours below those of containers");
        return lab.close(&[]).await;
    }
    let mut hits = lab.oci.limit_hits();
    let limits = Limits { memory_bytes: Some(64 * MIB), pids: Some(30), ..Limits::default() };
    let (project, running) = limited(&lab, limits.clone()).await;
    let init = identity(running.init_pid);
    let group = memory_group(running.init_pid);
    assert!(group.contains(project.as_str()) && !group.ends_with("/work"), "{group}");

    assert_eq!(lab.shell(&project, GROW).await.1, None, "it was killed");
    let (whose, hit) = next(&mut hits).await;
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Memory, Some(64 * MIB)));
    assert!(hit.peak.is_some_and(|peak| peak > 32 * MIB), "{hit:?}");
    lab.shell(&project, FORK_40).await;
    let (_, hit) = next(&mut hits).await;
    assert_eq!((hit.kind, hit.limit), (LimitKind::Pids, Some(30)));
    assert_eq!(identity(running.init_pid), init);

    // Changed while it runs, and told to another server, too.
    let wider = Limits { memory_bytes: Some(96 * MIB), ..limits };
    lab.oci.set_limits(&project, &wider).await.unwrap();
    let other = lab.reopen().await;
    let mut heard = other.limit_hits();
    other.adopt(&project).await.unwrap().unwrap();
    lab.shell(&project, GROW).await;
    let (_, hit) = next(&mut heard).await;
    assert_eq!((hit.kind, hit.limit), (LimitKind::Memory, Some(96 * MIB)));
    assert_eq!(identity(running.init_pid), init);
    // Also one of processors, which no group was made for at the start.
    let slow = Limits { cpus: Some(0.25), ..wider };
    lab.oci.set_limits(&project, &slow).await.unwrap();
    if ours("cpu limit") {
        let quota = super::steps::groups_of(&project)
            .iter()
            .filter_map(|group| fs::read_to_string(group.join("cpu.cfs_quota_us")).ok())
            .find(|text| text.trim() != "-1");
        let v2 = super::steps::groups_of(&project).iter().any(|group| {
            fs::read_to_string(group.join("cpu.max")).is_ok_and(|t| t.starts_with("25000"))
        });
        assert!(v2 || quota.as_deref().map(str::trim) == Some("25000"), "{quota:?}");
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_all_share_their_room() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.oci.can().limits.iter().any(|name| name == "disk") {
        skip("disk limits", "nothing bounds disks here");
        return lab.close(&[]).await;
    }
    let mut hits = lab.oci.limit_hits();
    let room = lab.oci.room();
    let limits = Limits { disk_bytes: Some(24 * MIB), ..Limits::default() };
    let (project, _) = limited(&lab, limits).await;
    let looked = async {
        while room.borrow().free_bytes.is_none() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), looked).await.expect("it is looked at while a machine runs");
    let (out, code) = lab.shell(&project, "cat /dev/urandom > /home/project/fill; sync").await;
    assert!(code == Some(0) && out.to_lowercase().contains("quota"), "{code:?} {out}");
    let (whose, hit) = next(&mut hits).await;
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Disk, Some(24 * MIB)));
    let taken = lab.oci.disk(&project).await.unwrap();
    assert_eq!(taken.quota_bytes, Some(24 * MIB));
    assert!(taken.exclusive_bytes.is_some_and(|bytes| bytes > 16 * MIB), "{taken:?}");
    // What came with the image is nobody's own.
    let shared = lab.oci.shared_bytes(&project).await.unwrap();
    assert!(shared.is_some_and(|bytes| (100_000..16 * MIB).contains(&bytes)), "{shared:?}");
    lab.close(&[&project]).await;
}
