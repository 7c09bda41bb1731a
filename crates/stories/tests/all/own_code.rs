//! A project that wants its own code in its machine's init or bridge, where it would have their way to
//! the log folder on the host's disk: by what their loader reads, by what a look-up of a name loads, by
//! what lies where they are started from, and by taking hold of a bridge that only just begins.
//!
//! The library marks whoever loads it: a file in the log folder where it can, else one of the
//! machine's own. That programs of the project load it is the control.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};
use toft_stories::{
    lane,
    podman::Podman,
    processes,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Its constructor says which process it is in, and writes below descriptor 11 what no program may.
const LIBRARY: &str = include_str!("own_code/library.c");

/// Tries to take hold of each process that begins, before it may have closed itself to others: writes
/// below its descriptor 11, takes that over, stops it as its tracer. Ends after a few seconds.
const GRAB: &str = include_str!("own_code/grab.c");

/// Tries every way from one process to the memory, the descriptors and the code of another.
const ROB: &str = include_str!("own_code/rob.c");

async fn says(toft: &Toft, project: &str, command: &str) -> Result<String> {
    let ran = toft.exec(project, command).await?;
    ensure!(ran["exitCode"] == 0, "{command}: {ran}");
    Ok(ran["stdout"].as_str().unwrap_or_default().trim().to_owned())
}

/// Compiles C for the machine; `None`, and says why, where that cannot be done.
fn compiled(source: &str, options: &[&str]) -> Result<Option<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("a.c"), folder.path().join("a"));
    fs::write(&from, source)?;
    let out = Command::new("cc").args(options).arg("-o").arg(&to).arg(from).output();
    match out {
        Ok(out) if out.status.success() => Ok(Some(fs::read(&to)?)),
        Ok(out) => anyhow::bail!("cc: {}", String::from_utf8_lossy(&out.stderr)),
        Err(e) => {
            lane::skip("code of a project in its bridge", format!("there is no C compiler: {e}"));
            Ok(None)
        }
    }
}

/// Puts a file where the machine has it, by its own means.
async fn put(toft: &Toft, project: &str, path: &str, bytes: &[u8]) -> Result<()> {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    for (index, piece) in hex.as_bytes().chunks(60_000).enumerate() {
        let to = if index == 0 { ">" } else { ">>" };
        let piece = std::str::from_utf8(piece)?;
        says(toft, project, &format!("perl -e 'print pack(q(H*), q({piece}))' {to} {path}"))
            .await?;
    }
    says(toft, project, &format!("chmod 755 {path}")).await.map(drop)
}

/// Its bridge is another one afterwards, and works.
async fn another_bridge(toft: &Toft, project: &str, follow: &mut Follow) -> Result<()> {
    // Wakes the machine.
    says(toft, project, "true").await?;
    for _ in 0..600 {
        if toft.bridge_pid(project).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let old = toft.bridge(project).await?;
    processes::kill9(old);
    for _ in 0..600 {
        if toft.bridge_pid(project).is_some_and(|pid| pid != old) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    session::prompt(toft, project, "run `echo still here`").await?;
    follow.until_agent_end().await?;
    let new = toft.bridge_pid(project).context("a bridge again")?;
    ensure!(new != old, "it was killed");
    Ok(())
}

/// Every way that a bridge or init begins: killed, paused and woken, stopped and started.
async fn begun_anew(toft: &Toft, project: &str, follow: &mut Follow) -> Result<()> {
    another_bridge(toft, project, follow).await?;
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    another_bridge(toft, project, follow).await?;
    toft.call("POST", &format!("{of}/stop"), None).await?;
    toft.call("POST", &format!("{of}/start"), None).await?;
    another_bridge(toft, project, follow).await
}

/// Who loaded the library, apart from programs of the project.
async fn marked(toft: &Toft, project: &str) -> Result<Vec<String>> {
    let marks = says(toft, project, "cat /root/marks; rm -f /root/marks").await?;
    let own = |line: &&str| {
        line.contains("/run/toft/toft ") && !line.contains("grep") && !line.contains("cat")
    };
    let mut all: Vec<String> = marks.lines().filter(own).map(str::to_owned).collect();
    ensure!(marks.lines().any(|line| !own(&line)), "the control: programs load it: {marks}");
    let marker = toft.data.join("logs").join(project).join("marker");
    all.extend(fs::read_to_string(&marker).ok());
    let _ = fs::remove_file(marker);
    Ok(all)
}

async fn by_what_is_read(start: Start) -> Result<()> {
    let Some(library) = compiled(LIBRARY, &["-shared", "-fPIC", "-O1"])? else { return Ok(()) };
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Own code").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    put(&toft, &project, "/usr/lib/libown.so", &library).await?;
    says(&toft, &project, "echo /usr/lib/libown.so > /etc/ld.so.preload").await?;
    begun_anew(&toft, &project, &mut follow).await?;
    let by_preload = marked(&toft, &project).await?;
    says(&toft, &project, "rm /etc/ld.so.preload").await?;
    // A library for names, and one for each name that the loader may look for.
    let names = "cd /usr/lib && for to in /usr/lib /lib/*-linux-gnu*; do \
                 for n in libnss_own.so.2 libnss_files.so.2; do cp libown.so $to/$n; done; done; \
                 echo 'hosts: own files' > /etc/nsswitch.conf; \
                 for n in passwd group shadow services; do echo \"$n: own files\"; done >> /etc/nsswitch.conf; \
                 getent hosts gateway.internal; true";
    says(&toft, &project, names).await?;
    begun_anew(&toft, &project, &mut follow).await?;
    let by_names = marked(&toft, &project).await?;
    says(&toft, &project, "printf 'hosts: files\\n' > /etc/nsswitch.conf").await?;
    ensure!(
        by_preload.is_empty() && by_names.is_empty(),
        "by /etc/ld.so.preload: {by_preload:?}\nby a look-up of names: {by_names:?}"
    );
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loader_and_names_read_in_a_machine_brings_no_code_into_init_or_bridge() -> Result<()>
{
    by_what_is_read(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_in_a_container() -> Result<()> {
    let Some(podman) = Podman::start("a project's own code in a container")? else { return Ok(()) };
    by_what_is_read(Start { args: podman.args(), ..Start::default() }).await
}

/// Tries to put something else where init starts the bridge from; prints what worked.
const MOVE: &str = r#"cd /
try() { if sh -c "$1" >/dev/null 2>&1; then echo "worked: $1"; fi; }
try 'mv /run/toft /run/moved'
try 'mv /run /moved'
try 'mv /proc /moved'
try 'mv /run/toft/lib /run/toft/moved'
try 'mkdir -p /run/toft/lib/glibc-hwcaps/x86-64-v2'
try 'echo x > /run/toft/lib/other.so'
try 'echo x > /run/toft/mine'
try 'rm -f /run/toft/toft'
try 'rm -rf /run/toft/lib'
try 'umount /run/toft'
try 'mount -o remount,rw /run/toft'
try 'mount -o remount,bind,rw /run/toft'
try 'chmod 777 /run/toft'
for f in /run/toft/lib/* /run/toft/toft; do try "echo x >> $f"; try "mv $f $f.moved"; try "rm -f $f"; done
echo tried"#;

async fn by_where_it_lies(start: Start, in_container: bool) -> Result<()> {
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Mover").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let of = format!("/v1/projects/{project}");
    assert_eq!(says(&toft, &project, MOVE).await?, "tried");
    toft.call("POST", &format!("{of}/stop"), None).await?;
    // What is a link when the machine starts could lead elsewhere when it runs. A disk may come so from
    // an image; that of a container is looked at by the engine.
    let root = toft.data.join("store/pool/p").join(&project).join("rootfs");
    for name in ["run", "proc"].iter().filter(|_| !in_container) {
        fs::remove_dir(root.join(name))?;
        std::os::unix::fs::symlink(format!("home/{name}2"), root.join(name))?;
        fs::create_dir_all(root.join(format!("home/{name}2")))?;
    }
    toft.call("POST", &format!("{of}/start"), None).await?;
    for name in ["run", "proc"] {
        let moved = format!("test ! -L /{name} && test -z \"$(ls -A /home/{name}2 2>/dev/null)\"");
        says(&toft, &project, &moved).await?;
    }
    assert_eq!(says(&toft, &project, MOVE).await?, "tried");
    another_bridge(&toft, &project, &mut follow).await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_takes_the_place_of_what_init_and_bridge_are_started_from() -> Result<()> {
    by_where_it_lies(Start::default(), false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_of_what_a_container_starts_from() -> Result<()> {
    let Some(podman) = Podman::start("what a container starts from")? else { return Ok(()) };
    by_where_it_lies(Start { args: podman.args(), ..Start::default() }, true).await
}

async fn while_it_begins(start: Start) -> Result<()> {
    let Some(grab) = compiled(GRAB, &["-static", "-O1"])? else { return Ok(()) };
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Grabber").await?;
    put(&toft, &project, "/root/grab", &grab).await?;
    let grabbing = says(&toft, &project, "/root/grab");
    let killing = async {
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(350)).await;
            if let Some(pid) = toft.bridge_pid(&project) {
                processes::kill9(pid);
            }
        }
        anyhow::Ok(())
    };
    let (grabbed, killed) = tokio::join!(grabbing, killing);
    killed?;
    let grabbed = grabbed?;
    ensure!(grabbed == "tried 1", "a bridge was taken hold of: {grabbed}");
    let log = toft.data.join("logs").join(&project);
    ensure!(Path::new(&log).is_dir(), "its log");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_only_just_begins_cannot_be_taken_hold_of() -> Result<()> {
    while_it_begins(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_one_whose_server_is_an_ordinary_users() -> Result<()> {
    if !lane::root() {
        lane::skip("a bridge of another user's", "only root makes users");
        return Ok(());
    }
    while_it_begins(Start { as_user: true, ..Start::default() }).await
}

/// What [`ROB`] does to a child of its own.
const WAYS: &[&str] = &[
    "read memory",
    "write memory",
    "open mem",
    "open fd",
    "list fd",
    "maps",
    "environ",
    "stack",
    "exe",
    "root",
    "namespaces",
    "take descriptors",
    "trace",
    "by its thread",
    "robust list",
    "done",
];

async fn by_every_other_way(start: Start) -> Result<()> {
    let Some(rob) = compiled(ROB, &["-static", "-O1"])? else { return Ok(()) };
    let toft = Toft::start(start).await?;
    let project = toft.new_project("Robber").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    put(&toft, &project, "/root/rob", &rob).await?;
    says(&toft, &project, "cp /root/rob /root/righted").await?;
    let own = says(&toft, &project, "/root/rob child /root/righted").await?;
    // Engines have filters of their own, which know this one.
    let own: Vec<&str> = own.lines().filter(|way| *way != "move pages").collect();
    assert_eq!(own, WAYS, "the control");
    let bridge = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | \
                  grep -q '[/]run/toft/toft bridge' && echo ${p#/proc/}; done; true";
    let bridge = says(&toft, &project, bridge).await?;
    for pid in ["1", bridge.as_str()] {
        assert_eq!(says(&toft, &project, &format!("/root/rob {pid}")).await?, "done", "pid {pid}");
    }
    // A core of it would hold what it had in memory.
    says(&toft, &project, &format!("kill -SEGV {bridge}")).await?;
    another_bridge(&toft, &project, &mut follow).await?;
    let cores = "ls -A / /root /home/project | grep -x 'core.*' || true";
    assert_eq!(says(&toft, &project, cores).await?, "");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_from_a_program_to_memory_or_descriptors_of_init_and_bridge() -> Result<()> {
    by_every_other_way(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_there_in_a_container() -> Result<()> {
    let Some(podman) = Podman::start("calls of a program in a container")? else { return Ok(()) };
    by_every_other_way(Start { args: podman.args(), ..Start::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_leads_there_where_the_server_is_an_ordinary_users() -> Result<()> {
    if !lane::root() {
        lane::skip("calls in a machine of another user's", "only root makes users");
        return Ok(());
    }
    by_every_other_way(Start { as_user: true, ..Start::default() }).await
}
