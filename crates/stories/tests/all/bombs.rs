//! Programs in a machine that take all they can get: the machine's bridge keeps its pid and start
//! time, what happened is an event that names the program, and the neighbour notices nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::{
    lane,
    processes::Process,
    session::Follow,
    toft::{Start, Toft},
};

/// Pid and start time on the host.
async fn identity(toft: &Toft, project: &str) -> Result<(u32, String)> {
    let pid = toft.bridge(project).await?;
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
    reached(Start::default()).await
}

/// The same on every backend.
pub(crate) async fn reached(start: Start) -> Result<()> {
    let toft = Toft::start(start).await?;
    for name in ["memory limit", "process limit"] {
        if !enforced(&toft, name).await? {
            lane::skip("a limit that is reached", name);
            return toft.down();
        }
    }
    let (project, other) = (toft.new_project("Bomb").await?, toft.new_project("Peer").await?);
    let before = identity(&toft, &project).await?;
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
    ensure!(identity(&toft, &project).await? == before, "the bridge is another one");
    ensure!(toft.exec(&other, "echo fine").await?["stdout"] == "fine\n", "the peer suffers");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_zombies_are_reaped() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Zombies").await?;
    let before = identity(&toft, &project).await?;
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
    ensure!(identity(&toft, &project).await? == before, "the bridge is another one");
    toft.down()
}

/// What a package manager does: a new file and a changed one below `/usr`, and its own records.
const INSTALL: &str = "set -e; echo x > /usr/lib/toft-$N; cp -p /usr/bin/env /usr/bin/env.new; \
                       mv /usr/bin/env.new /usr/bin/env; echo x > /var/lib/dpkg/toft-$N; sync -f /usr";

/// What a command prints in all, and its code.
async fn run(toft: &Toft, project: &str, command: &str) -> Result<(String, Value)> {
    let done = toft.exec(project, command).await?;
    let text = |name: &str| done[name].as_str().unwrap_or_default().to_lowercase();
    Ok((text("stdout") + &text("stderr"), done["exitCode"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_starts_with_a_full_disk_heals_when_there_is_room() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    if !enforced(&toft, "disk limit").await? {
        lane::skip("a start with a full disk", "nothing bounds disks here");
        return toft.down();
    }
    let project = toft.new_project("Brim").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let fill = "cat /dev/urandom > fill 2>/dev/null; sync -f .; i=0; while [ $i -lt 2000 ] && : > \
                name-$i; do i=$((i+1)); done 2>/dev/null; true";
    for n in 0..2u64 {
        // Another bound, so that it is news whether or not anybody saw the room in between.
        limit(&toft, &project, json!({"diskBytes": (64 + n) << 20})).await?;
        run(&toft, &project, fill).await?;
        hit(&mut follow, "disk").await?;
        toft.call("POST", &format!("/v1/projects/{project}/stop"), None).await?;
        let shown = toft.call("POST", &format!("/v1/projects/{project}/start"), None).await?;
        ensure!(shown["state"] == "running" && shown["stateReason"].is_null(), "{shown}");
        let (said, code) = run(&toft, &project, &format!("N={n}; {INSTALL}")).await?;
        ensure!(code != 0 && said.contains("quota exceeded"), "{said}");
        ensure!(!said.contains("read-only"), "{said}");
        // Said again, as for every start that finds no room.
        hit(&mut follow, "disk").await?;
        // Its bridge came up, and takes up where it was.
        let path = format!("/v1/projects/{project}/toft/sessions");
        toft.until(&path, |said| said["sessions"].is_array()).await?;
        let before = identity(&toft, &project).await?;
        if n == 0 {
            run(&toft, &project, "rm -f fill name-*; sync -f .").await?;
        } else {
            limit(&toft, &project, json!({"diskBytes": 128 << 20})).await?;
        }
        let (said, code) = run(&toft, &project, &format!("N={n}; {INSTALL}")).await?;
        ensure!(code == 0, "{said}");
        ensure!(identity(&toft, &project).await? == before, "the bridge is another one");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_reached_in_silence_whatever_changes_meanwhile() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    for name in ["memory limit", "process limit"] {
        if !enforced(&toft, name).await? {
            lane::skip("limits that change", name);
            return toft.down();
        }
    }
    let project = toft.new_project("Change").await?;
    let before = identity(&toft, &project).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let forks = "i=0; while [ $i -lt 80 ]; do sleep 1 & i=$((i+1)); done; wait";
    // Raised as soon as they were refused.
    limit(&toft, &project, json!({"pids": 40})).await?;
    run(&toft, &project, forks).await?;
    limit(&toft, &project, json!({"pids": 900})).await?;
    let pids = hit(&mut follow, "pids").await?;
    ensure!(pids["limit"] == 40 && pids["peak"] == 40, "{pids}");
    // Asleep as soon as something was killed.
    limit(&toft, &project, json!({"memoryBytes": 64 << 20})).await?;
    run(&toft, &project, "tail -n 3 /dev/zero").await?;
    for act in ["freeze", "thaw"] {
        toft.call("POST", &format!("/v1/projects/{project}/{act}"), None).await?;
    }
    let memory = hit(&mut follow, "memory").await?;
    ensure!(memory["limit"] == 64 << 20, "{memory}");
    // While no server is there; what was told before is not told again.
    limit(&toft, &project, json!({"pids": 30})).await?;
    let bomb = format!("sh -c 'sleep 1; {forks}' late-bomb >/dev/null 2>&1 &");
    run(&toft, &project, &bomb).await?;
    toft.kill_server();
    let is_bomb = |process: &Process| process.argv.iter().any(|word| word == "late-bomb");
    while toft.machine_processes(&project).iter().any(is_bomb) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    toft.up().await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    for (kind, limit) in [("pids", 40), ("memory", 64 << 20), ("pids", 30)] {
        let told = hit(&mut follow, kind).await?;
        ensure!(told["limit"] == limit, "{told}");
    }
    ensure!(identity(&toft, &project).await? == before, "the bridge is another one");
    toft.down()
}
