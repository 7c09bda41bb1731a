//! The log folder of a machine, `/var/lib/toft` inside: init and bridge write to it, and whatever else
//! runs there only reads, so that no program fills the host's disk, forges what happened or removes it.

use anyhow::{Context as _, Result, ensure};
use std::fs;
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
