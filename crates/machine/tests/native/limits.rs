//! Limits that are said to be in force, are.

use super::lab::{Lab, spec};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{id::ProjectId, machine::Limits};

const HOLD_80_MIB: &str = "head -c 83886080 /dev/zero | tail | wc -c";
const FORK_40: &str = "i=0; while [ $i -lt 40 ]; do sleep 0.2 & i=$((i+1)); done; wait";

#[tokio::test(flavor = "multi_thread")]
async fn work_is_limited_and_init_is_not() {
    let Some(lab) = Lab::open().await else { return };
    let (memory, pids) = (lab.enforced("memory limit").await, lab.enforced("process limit").await);
    if !memory || !pids {
        skip("limits", format!("memory limit {memory}, process limit {pids}"));
        return;
    }
    let project = ProjectId::random();
    lab.native.create(&project).await.unwrap();
    let mut small = spec(&project);
    small.limits = Limits {
        memory_bytes: Some(64 << 20),
        pids: Some(30),
        cpus: Some(1.0),
        ..Limits::default()
    };
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

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_a_machine_runs() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    let can = lab.native.can().limits;
    if !["memory", "pids"].iter().all(|l| can.iter().any(|c| c == l)) {
        skip("limits", format!("only {can:?} can be limited here"));
        lab.close(&[&project]).await;
        return;
    }
    let set = async |memory_mib: Option<u64>, pids: Option<u64>, cpus: Option<f64>| {
        let memory_bytes = memory_mib.map(|mib| mib << 20);
        let limits = Limits { memory_bytes, pids, cpus, ..Limits::default() };
        lab.native.set_limits(&project, &limits).await.unwrap();
    };
    lab.says(&project, HOLD_80_MIB).await;
    set(Some(64), Some(20), Some(0.5)).await;
    let (out, _) = lab.shell(&project, HOLD_80_MIB).await;
    // Its shell may say first that it was.
    assert!(out.lines().any(|line| line == "0"), "`tail` was killed: {out}");
    let (out, _) = lab.shell(&project, FORK_40).await;
    assert!(out.to_lowercase().contains("fork") || out.contains("unavailable"), "{out}");
    // Another server raises them, and lifts them.
    let second = lab.reopen().await;
    let limits = Limits { memory_bytes: Some(256 << 20), ..Limits::default() };
    second.set_limits(&project, &limits).await.unwrap();
    assert_eq!(lab.says(&project, HOLD_80_MIB).await, "83886080");
    lab.says(&project, FORK_40).await;
    set(None, None, None).await;
    assert_eq!(lab.says(&project, HOLD_80_MIB).await, "83886080");
    lab.says(&project, FORK_40).await;
    // Below what is in use: refused with the reason, or something is ended for it; nothing else
    // has changed, and the machine goes on.
    lab.says(&project, "(head -c 83886080 /dev/zero | tail -c 83886080 | (read -r n; sleep 20)) >/dev/null 2>&1 & sleep 0.5").await;
    let low = Limits { memory_bytes: Some(16 << 20), pids: Some(7), ..Limits::default() };
    match lab.native.set_limits(&project, &low).await {
        Ok(()) => {}
        Err(MachineError::Unable { why, .. }) => assert!(why.contains("MiB now"), "{why}"),
        Err(e) => panic!("{e}"),
    }
    set(Some(512), Some(500), None).await;
    lab.says(&project, FORK_40).await;
    let found = lab.native.adopt(&project).await.unwrap().unwrap();
    assert_eq!(found.init_pid, running.init_pid);
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_limit_holds_from_the_moment_it_is_set() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    if !lab.native.can().limits.iter().any(|l| l == "cpu") {
        skip("a processor limit", "none is in force here");
        lab.close(&[&project]).await;
        return;
    }
    lab.says(&project, "(while :; do :; done) >/dev/null 2>&1 &").await;
    let limits = Limits { cpus: Some(0.1), ..Limits::default() };
    lab.native.set_limits(&project, &limits).await.unwrap();
    let throttled = || {
        let groups = super::lab::groups_of(&project);
        let stats = groups.iter().flat_map(|g| [g.join("cpu.stat"), g.join("work/cpu.stat")]);
        stats
            .filter_map(|file| {
                let text = std::fs::read_to_string(file).ok()?;
                text.lines().find_map(|l| l.strip_prefix("nr_throttled ")?.parse::<u64>().ok())
            })
            .max()
            .unwrap_or(0)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while throttled() < 3 {
        assert!(std::time::Instant::now() < deadline, "what ran already is not limited");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    lab.native.set_limits(&project, &Limits::default()).await.unwrap();
    lab.close(&[&project]).await;
}
