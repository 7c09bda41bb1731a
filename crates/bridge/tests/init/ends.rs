//! Ends: killing reaches everything that a program started, however it hides, and nothing else.

use crate::{
    bridge,
    support::{Machine, line, lives, ran, sh, until},
};
use std::time::Duration;
use toft_machine::init_client::{self, ExecEvent};
use toft_model::init::{ExecSpec, PtySize};

#[tokio::test]
async fn a_program_whose_caller_leaves_is_killed_with_its_children() {
    let machine = Machine::start();
    let mut handle =
        machine.exec(sh("sleep 1000 & echo $!; trap '' TERM; while :; do sleep 1; done")).await;
    let child: u32 = line(&mut handle).await.parse().unwrap();
    let parent = handle.pid;
    assert!(lives(child) && lives(parent));
    drop(handle);
    until(|| !lives(child) && !lives(parent)).await;
    until_forgotten(&machine).await;
}

async fn until_forgotten(machine: &Machine) {
    while !init_client::list(machine.init().await).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn killing_finds_children_that_hid_in_a_session_of_their_own() {
    let machine = Machine::start();
    let pids = machine.path("pids");
    // A grandchild in its own session whose parents are gone, one more that ignores TERM, and the
    // program itself.
    let script = format!(
        "(setsid sh -c 'echo $$ >> {0}; sleep 1000' &); \
         (setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 1; done' & ) ; \
         echo $$ >> {0}; while :; do sleep 1; done",
        pids.display()
    );
    let spec = ExecSpec { id: Some("hider".into()), detach: true, ..sh(&script) };
    let handle = machine.exec(spec).await;
    let read = || -> Vec<u32> {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        text.lines().map(|l| l.parse().unwrap()).collect()
    };
    until(|| read().len() == 3).await;
    init_client::kill(machine.init().await, "hider", 100).await.unwrap();
    for pid in read() {
        assert!(!lives(pid), "{pid} still lives");
    }
    assert!(ran(handle).await.exit.signal.is_some());
}

#[tokio::test]
async fn killing_an_ended_program_ends_what_it_left_behind_and_nothing_else() {
    let machine = Machine::start();
    let spec = |id: &str| ExecSpec {
        id: Some(id.into()),
        detach: true,
        ..sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!")
    };
    let left: u32 = ran(machine.exec(spec("a")).await).await.out.trim().parse().unwrap();
    let other: u32 = ran(machine.exec(spec("b")).await).await.out.trim().parse().unwrap();
    until(|| lives(left) && lives(other)).await;
    init_client::kill(machine.init().await, "a", 0).await.unwrap();
    assert!(!lives(left));
    assert!(lives(other));
}

#[tokio::test]
async fn an_interactive_shell_goes_when_its_terminal_hangs_up_and_is_not_killed() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("shell".into()),
        argv: vec!["sh".into(), "-i".into()],
        pty: Some(PtySize { cols: 80, rows: 24 }),
        stdin: true,
        ..ExecSpec::default()
    };
    let mut handle = machine.exec(spec).await;
    // The answer, not the echo: it has read its first command, so it ignores TERM by now.
    handle.input().stdin(b"echo $((40 + 2))\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(2).any(|at| at == b"42") {
        match handle.next().await.unwrap() {
            Some(ExecEvent::Stdout(bytes)) => seen.extend_from_slice(&bytes),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&seen)),
        }
    }
    init_client::kill(machine.init().await, "shell", 5_000).await.unwrap();
    let hung_up = rustix::process::Signal::HUP.as_raw();
    assert_eq!(ran(handle).await.exit.signal, Some(hung_up));
}

#[tokio::test]
async fn orphans_are_reaped() {
    let machine = Machine::start();
    let mut handle = machine.exec(sh("(sh -c 'echo $$; exec sleep 0.05' &)")).await;
    let orphan: u32 = line(&mut handle).await.parse().unwrap();
    until(|| !std::path::Path::new(&format!("/proc/{orphan}")).exists()).await;
}

#[tokio::test]
async fn stopping_ends_everything_and_init() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("a".into()),
        detach: true,
        ..sh("trap '' TERM; setsid sleep 1000 & echo $!; while :; do sleep 1; done")
    };
    let mut handle = machine.exec(spec).await;
    let child: u32 = line(&mut handle).await.parse().unwrap();
    let bridge = bridge(&machine, 1).await;
    init_client::stop(machine.init().await, 100).await.unwrap();
    assert!(!lives(child) && !lives(handle.pid) && !lives(bridge));
    let init = machine.pid.as_raw_nonzero().get().unsigned_abs();
    until(|| !lives(init)).await;
}

/// A group in the v2 hierarchy of this host, if one can be made.
struct Group(std::path::PathBuf);

impl Group {
    fn make() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let at = fields.next()?;
            (fields.next()? == "cgroup2").then(|| std::path::PathBuf::from(at))
        })?;
        let group = root.join(format!("toft-bridge-test-{}", std::process::id()));
        std::fs::create_dir(&group).ok()?;
        let made = Self(group);
        // As the host makes them for a machine.
        for name in ["program-00", "program-01"] {
            std::fs::create_dir(made.0.join(name)).ok()?;
        }
        Some(made)
    }

    /// Processes in each group for a single program.
    fn members(&self) -> Vec<Vec<u32>> {
        ["program-00", "program-01"]
            .map(|name| {
                let text = std::fs::read_to_string(self.0.join(name).join("cgroup.procs")).unwrap();
                text.lines().map(|l| l.parse().unwrap()).collect()
            })
            .into()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn in_a_group_of_its_own_a_program_cannot_hide_anything() {
    let Some(group) = Group::make() else {
        // What holds then is told by the tests above.
        toft_lane::skip("a group of its own", "an ordinary user has none here");
        return;
    };
    let procs = group.0.join("cgroup.procs").to_str().unwrap().to_owned();
    let machine = Machine::with(vec!["sleep".into(), "3600".into()], vec![procs]);
    assert_eq!(machine.sh("cat /proc/self/cgroup").await.out.matches("/program-0").count(), 1);
    // No mark, no session, no parent: only the group knows whose it is.
    let script = "(env -i setsid sleep 1000 >/dev/null 2>&1 &); sleep 1000";
    let spec = ExecSpec { id: Some("h".into()), detach: true, ..sh(script) };
    let handle = machine.exec(spec).await;
    let members = || group.members().concat();
    let hidden = |pids: &[u32]| {
        pids.iter().copied().find(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.is_empty())
                && std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.starts_with(b"sleep"))
        })
    };
    until(|| hidden(&members()).is_some()).await;
    let pid = hidden(&members()).unwrap();
    // A third one finds no free group, and is ended by its mark.
    let spare = |id: &str| ExecSpec { id: Some(id.into()), detach: true, ..sh("exec sleep 1000") };
    let (second, third) = (machine.exec(spare("s")).await, machine.exec(spare("t")).await);
    assert!(group.members().iter().all(|pids| !pids.is_empty()));
    init_client::kill(machine.init().await, "t", 100).await.unwrap();
    assert_eq!(ran(third).await.exit.signal, Some(15));
    init_client::kill(machine.init().await, "h", 100).await.unwrap();
    assert!(!lives(pid));
    assert!(ran(handle).await.exit.signal.is_some());
    assert!(lives(second.pid));
    // Its group is free again: an earlier owner has no power over who comes next.
    let fourth = machine.exec(spare("f")).await;
    until(|| group.members().iter().all(|pids| pids.len() == 1)).await;
    init_client::kill(machine.init().await, "h", 0).await.unwrap();
    assert!(lives(fourth.pid) && lives(second.pid));
}

#[tokio::test]
async fn stopping_finds_what_threw_its_mark_away() {
    let machine = Machine::start();
    let mut handle =
        machine.exec(sh("(env -i setsid sh -c 'echo $$; exec sleep 1000' &); sleep 1000")).await;
    let hidden: u32 = line(&mut handle).await.parse().unwrap();
    init_client::stop(machine.init().await, 100).await.unwrap();
    assert!(!lives(hidden));
}
