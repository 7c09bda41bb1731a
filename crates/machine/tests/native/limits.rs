//! Limits that are said to be in force, are.

use super::lab::{Lab, spec};
use toft_machine::backend::Backend as _;
use toft_model::{id::ProjectId, machine::Limits};

#[tokio::test(flavor = "multi_thread")]
async fn work_is_limited_and_init_is_not() {
    let Some(lab) = Lab::open().await else { return };
    let (memory, pids) = (lab.enforced("memory limit").await, lab.enforced("process limit").await);
    if !memory || !pids {
        println!("skipped: memory limit {memory}, process limit {pids}");
        return;
    }
    let project = ProjectId::random();
    lab.native.create(&project).await.unwrap();
    let mut small = spec(&project);
    small.limits =
        Limits { memory_bytes: Some(64 << 20), pids: Some(30), cpus: Some(1.0), disk_bytes: None };
    lab.native.start(small).await.unwrap();
    // `tail` keeps what has no line end in memory.
    let (_, exit) = lab.exec(&project, &["/usr/bin/tail", "/dev/zero"]).await;
    assert_eq!(exit.signal, Some(9), "{exit:?}");
    // No group can be made, and only those of single programs changed, which are below the limit.
    let (out, _) = lab
        .shell(
            &project,
            "cd /run/toft/cg; for d in pids unified; do mkdir $d/own; rmdir $d/program-00; \
             echo 9999 > $d/pids.max; for g in $d/*/; do echo max > $g/pids.max; mkdir $g/own; \
             done; done 2>/dev/null; find . -name own; ls -d */program-00",
        )
        .await;
    assert!(out.contains("/program-00") && !out.contains("own"), "{out}");
    let (out, _) = lab
        .shell(&project, "i=0; while [ $i -lt 60 ]; do sleep 1 & i=$((i+1)); done 2>&1; wait")
        .await;
    assert!(
        out.to_lowercase().contains("cannot fork") || out.contains("temporarily unavailable"),
        "{out}"
    );
    // Init lived through both, and the limits cannot be lifted from inside.
    let (out, exit) = lab
        .shell(
            &project,
            "ls /run/toft/cg; for f in /run/toft/cg/*; do echo 0 > $f; done; ls -d /sys/fs/cgroup",
        )
        .await;
    assert_ne!(exit.code, Some(0), "{out}");
    assert!(lab.native.stats(&project).await.unwrap().memory_bytes.unwrap() < 64 << 20);
    lab.close(&[&project]).await;
}
