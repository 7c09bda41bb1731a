//! Programs in a machine that take all they can get: the machine's bridge keeps its pid and start
//! time, what happened is an event that names the program, and the neighbour notices nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::{
    lane,
    session::Follow,
    toft::{Start, Toft},
};

/// Pid and start time on the host.
fn identity(toft: &Toft, project: &str) -> Result<(u32, String)> {
    let pid = toft.bridge_pid(project).context("there is a bridge")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("a name in parentheses")?.1;
    Ok((pid, fields.split(' ').nth(20).context("a start time")?.to_owned()))
}

async fn enforced(toft: &Toft, name: &str) -> Result<bool> {
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let abilities = doctor["abilities"].as_array().context("abilities")?;
    Ok(abilities.iter().any(|a| a["name"] == name && a["enforced"] == true))
}

async fn limit(toft: &Toft, project: &str, limits: Value) -> Result<Value> {
    toft.call("PUT", &format!("/v1/projects/{project}/limits"), Some(limits)).await
}

async fn hit(follow: &mut Follow, kind: &str) -> Result<Value> {
    loop {
        let event = follow.next().await?;
        if event.kind == "limit" {
            ensure!(event.data["kind"] == kind, "{event:?}");
            return Ok(event.data);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_reached_is_an_event_and_the_bridge_lives_on() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    for name in ["memory limit", "process limit"] {
        if !enforced(&toft, name).await? {
            lane::skip("a limit that is reached", name);
            return toft.down();
        }
    }
    let (project, other) = (toft.new_project("Bomb").await?, toft.new_project("Peer").await?);
    let before = identity(&toft, &project)?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let small = json!({"memoryBytes": 64 << 20, "cpus": null, "pids": 60, "diskBytes": null});
    limit(&toft, &project, small).await?;
    toft.exec(&project, "tail -n 3 /dev/zero").await?;
    let memory = hit(&mut follow, "memory").await?;
    ensure!(memory["limit"] == 64 << 20 && memory["peak"].is_u64(), "{memory}");
    let command = memory["command"].as_str().unwrap_or("tail");
    ensure!(command.contains("tail"), "{memory}");
    let forks = "i=0; while [ $i -lt 80 ]; do sleep 4 & i=$((i+1)); done; wait";
    toft.exec(&project, forks).await?;
    let pids = hit(&mut follow, "pids").await?;
    ensure!(pids["limit"] == 60 && pids["peak"] == 60, "{pids}");
    ensure!(pids["command"] == "sleep 4", "{pids}");
    if enforced(&toft, "disk limit").await? {
        let small = json!({"memoryBytes": null, "cpus": null, "pids": null, "diskBytes": 64 << 20});
        limit(&toft, &project, small).await?;
        let filled = toft.exec(&project, "cat /dev/urandom > fill 2>/dev/null; sync -f .").await?;
        let disk = hit(&mut follow, "disk").await?;
        ensure!(disk["limit"] == 64 << 20, "{disk}, {filled}");
    } else {
        lane::skip("a disk that is full", "nothing bounds disks here");
    }
    ensure!(identity(&toft, &project)? == before, "the bridge is another one");
    ensure!(toft.exec(&other, "echo fine").await?["stdout"] == "fine\n", "the peer suffers");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_zombies_are_reaped() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Zombies").await?;
    let before = identity(&toft, &project)?;
    // Orphans: their parents end first, so that they are init's.
    let orphans = "python3 -c 'import os\nfor n in range(10000):\n    p = os.fork()\n    if p == 0:\n        \
                   os.fork(); os._exit(0)\n    os.waitpid(p, 0)'; echo made";
    ensure!(toft.exec(&project, orphans).await?["stdout"] == "made\n", "orphans");
    // Children that nobody waits for, until their parent ends with all of them.
    let unwaited =
        "python3 -c 'import os\nfor n in range(2000):\n    os.fork() or os._exit(0)'; echo made";
    ensure!(toft.exec(&project, unwaited).await?["stdout"] == "made\n", "unwaited");
    let count = "grep -l \"^State:.Z\" /proc/[0-9]*/status 2>/dev/null | wc -l";
    let mut left = String::new();
    for _ in 0..50 {
        let counted = toft.exec(&project, count).await?;
        counted["stdout"].as_str().unwrap_or_default().trim().clone_into(&mut left);
        if left == "0" {
            break;
        }
    }
    ensure!(left == "0", "{left} zombies stay");
    ensure!(identity(&toft, &project)? == before, "the bridge is another one");
    toft.down()
}
