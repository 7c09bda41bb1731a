//! The log folder of a machine, `/var/lib/toft` inside: init and bridge write to it, and whatever else
//! runs there only reads, so that no program fills the host's disk, forges what happened or removes it.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fs, time::Duration};
use toft_stories::{
    podman::Podman,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Tries every way in that a program has, and prints what worked.
const ATTACK: &str = r#"cd /
try() { if sh -c "$1" >/dev/null 2>&1; then echo "worked: $1"; fi; }
for at in /var/lib/toft /proc/1/root/var/lib/toft /proc/1/cwd/var/lib/toft /proc/self/root/var/lib/toft; do
  try "echo x > $at/mine"
  try "echo x >> $at/events.jsonl"
  try "mkdir $at/mine"
  try "rm -rf $at/exec"
  try "ln $at/events.jsonl $at/mine"
  try "truncate -s 1G $at/events.jsonl"
  try "chmod 777 $at"
done
for pid in /proc/[0-9]*; do
  case $pid in /proc/$$) continue ;; esac
  for fd in $pid/fd/*; do try "echo x > $fd/mine"; try "ls $fd/intents"; done
done
for fd in 3 4 5 6 7 8 9 10 11 12 13 14 15; do try "echo x > /proc/self/fd/$fd/mine"; done
try 'mount -o remount,rw /var/lib/toft'
try 'mount -o remount,bind,rw /var/lib/toft'
try 'umount /var/lib/toft'
try 'unshare -m mount -o remount,bind,rw /var/lib/toft'
try 'mv /var/lib /var/lib2 && echo x > /var/lib2/toft/mine'
[ -d /var/lib ] || mv /var/lib2 /var/lib
echo tried"#;

async fn attacked(start: Start) -> Result<()> {
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Logs").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "run `seq 300000`").await?;
    let events = follow.until_agent_end().await?;
    let told = events.iter().find(|e| e.kind == "tool_end").context("it ran")?.data.to_string();
    // What init keeps of long output is told by a path that programs find.
    let kept = told.find("/var/lib/toft/exec/").context("its output is kept")?;
    let kept = told[kept..].split(|c: char| !c.is_alphanumeric() && !"/._-".contains(c)).next();
    let kept = kept.context("a path")?.trim_end_matches('.');
    let read = toft.exec(&project, &format!("tail -n 1 {kept}")).await?;
    ensure!(read["stdout"] == "300000\n", "{kept}: {read}");
    let log = toft.data.join("logs").join(&project);
    for start in 0..2 {
        let tried = toft.exec(&project, ATTACK).await?;
        ensure!(tried["stdout"] == "tried\n", "start {start}: {tried}");
        ensure!(!log.join("mine").exists() && log.join("exec").is_dir(), "start {start}");
        toft.call("POST", &format!("/v1/projects/{project}/stop"), None).await?;
        toft.call("POST", &format!("/v1/projects/{project}/start"), None).await?;
    }
    // The control: what is written there is seen.
    fs::write(log.join("mine"), "x")?;
    let seen = toft.exec(&project, "cat /var/lib/toft/mine").await?;
    ensure!(seen["stdout"] == "x", "{seen}");
    session::prompt(&toft, &project, "run `echo on`").await?;
    follow.until_agent_end().await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_writes_to_the_log_folder_and_all_read_it() -> Result<()> {
    attacked(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_in_a_container() -> Result<()> {
    let Some(podman) = Podman::start("the log folder of a container")? else { return Ok(()) };
    attacked(Start { args: podman.args(), ..Start::default() }).await
}

const MIB: u64 = 1 << 20;

/// Somebody who has come to write to the log folder fills the host's disk no further than its limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_log_folder_grows_past_its_limit_is_ended_and_starts_when_that_is_raised()
-> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Flooded").await?;
    let other = toft.new_project("Quiet").await?;
    let of = format!("/v1/projects/{project}");
    let limited = async |bytes: u64| {
        toft.request("PUT", &format!("{of}/limits"), Some(json!({"logBytes": bytes}))).await
    };
    let taken = async || -> Result<u64> {
        let disk = toft.call("GET", &format!("{of}/disk"), None).await?;
        disk["logBytes"].as_u64().with_context(|| disk.to_string())
    };
    ensure!(limited(128 * MIB).await?.0 == 200, "the limit can be set");

    // Neither what a link leads to counts, nor a hole.
    let outside = tempfile::tempdir()?;
    fs::write(outside.path().join("big"), vec![7; 200 << 20])?;
    let links = format!("ln -s '{0}' way && ln -s '{0}/big' big", outside.path().display());
    toft.in_log_folder(&project, &links)?;
    toft.in_log_folder(
        &project,
        "truncate -s 1T hole && mkdir -p a/b && head -c 100M /dev/zero > a/b/c",
    )?;
    let before = taken().await?;
    ensure!((100 * MIB..120 * MIB).contains(&before), "{before}");
    // One more look of the server's at least: the machine is there after it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    ensure!(machine["state"] == "running", "{machine}");
    ensure!(
        machine["can"]["limits"].as_array().is_some_and(|l| l.contains(&json!("log"))),
        "{machine}"
    );

    toft.in_log_folder(&project, "head -c 40M /dev/zero > a/more")?;
    let ended = toft.until(&of, |project| project["state"] == "error").await?;
    let reason = ended["stateReason"].as_str().unwrap_or_default();
    ensure!(
        reason.contains("limit of 128 MiB") && reason.contains(&format!("logs/{project}")),
        "{reason}"
    );
    ensure!(toft.machine_processes(&project).is_empty(), "nothing of it runs");
    for way in ["start", "wake"] {
        let (status, refused) = toft.request("POST", &format!("{of}/{way}"), None).await?;
        ensure!(
            status == 507 && refused["error"]["code"] == "log_full",
            "{way}: {status} {refused}"
        );
    }
    let (status, refused) = limited(130 * MIB).await?;
    ensure!(status == 400 && refused["error"]["code"] == "invalid_argument", "{refused}");
    ensure!(taken().await? >= 140 * MIB, "nothing is deleted");
    ensure!(toft.exec(&other, "echo on").await?["stdout"] == "on\n", "the other runs on");

    ensure!(limited(1 << 30).await?.0 == 200, "it can be raised");
    toft.call("POST", &format!("{of}/start"), None).await?;
    ensure!(toft.exec(&project, "echo on").await?["stdout"] == "on\n", "it runs again");
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let seen = follow.until(|event| event.kind == "limit").await?;
    let hit = &seen.last().context("it is told")?.data;
    ensure!(hit["kind"] == "log" && hit["limit"] == 128 * MIB, "{hit}");
    ensure!(hit["peak"].as_u64().is_some_and(|peak| peak > 128 * MIB), "{hit}");
    toft.down()
}
