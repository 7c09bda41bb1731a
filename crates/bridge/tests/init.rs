//! What init promises, asked of a real init process over its protocol.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::{net::TcpListener, os::fd::OwnedFd, time::Duration};
use support::{Machine, line, lives, ran, sh, until};
use toft_machine::init_client::{self, ExecEvent, InitError};
use toft_model::init::{ExecSpec, PtySize};

/// Not a test: init itself, when the tests start it.
#[test]
fn init_process() {
    if support::is_a_process() {
        toft_bridge::init::main(0).unwrap();
    }
}

#[tokio::test]
async fn outputs_come_apart_or_together_as_asked() {
    let machine = Machine::start();
    let apart = machine.sh("echo one; echo two >&2").await;
    assert_eq!((apart.out.as_str(), apart.err.as_str()), ("one\n", "two\n"));
    let spec = ExecSpec { merge_stderr: true, ..sh("echo one; echo two >&2; echo three") };
    let merged = ran(machine.exec(spec).await).await;
    assert_eq!((merged.out.as_str(), merged.err.as_str()), ("one\ntwo\nthree\n", ""));
    assert_eq!(merged.exit.output_bytes, 14);
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    let machine = Machine::start();
    let coded = machine.sh("exit 7").await;
    assert_eq!((coded.exit.code, coded.exit.signal), (Some(7), None));
    let killed = machine.sh("kill -9 $$").await;
    assert_eq!((killed.exit.code, killed.exit.signal), (None, Some(9)));
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let machine = Machine::start();
    let fails = async |spec: ExecSpec| match init_client::exec(machine.init().await, spec).await {
        Err(InitError::Refused { code, message }) => (code, message),
        other => panic!("{other:?}"),
    };
    let spec = ExecSpec { argv: vec!["no-such-program".into()], ..ExecSpec::default() };
    let (code, message) = fails(spec).await;
    assert_eq!(code, "spawn");
    assert!(message.contains("no-such-program"), "{message}");
    let (code, message) = fails(ExecSpec { cwd: Some("/no/such".into()), ..sh("true") }).await;
    assert_eq!(code, "spawn");
    assert!(message.contains("/no/such"), "{message}");
    let (code, message) = fails(sh(&"x".repeat(200_000))).await;
    assert_eq!(code, "spawn");
    assert!(message.contains("128 KiB"), "{message}");
    assert_eq!(fails(ExecSpec::default()).await.0, "invalid");
    assert_eq!(fails(ExecSpec { id: Some("../x".into()), ..sh("true") }).await.0, "invalid");
    assert_eq!(fails(ExecSpec { cwd: Some("a\0b".into()), ..sh("true") }).await.0, "invalid");
}

#[tokio::test]
async fn the_environment_is_the_machines_and_the_requests_own() {
    let machine = Machine::start();
    let spec = ExecSpec { env: vec![("A".into(), "b c".into())], ..sh("env; pwd") };
    let text = ran(machine.exec(spec).await).await.out;
    assert!(text.contains("\nA=b c\n"), "{text}");
    assert!(text.contains("TOFT_PROJECT=abcdefghijkl\n"), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
    assert!(text.ends_with(&format!("{}\n", machine.path("project").display())), "{text}");
}

#[tokio::test]
async fn standard_input_reaches_the_program_and_ends() {
    let machine = Machine::start();
    let mut handle = machine.exec(ExecSpec { stdin: true, ..sh("cat; echo end") }).await;
    let input = handle.input();
    let big = vec![b'x'; 300_000];
    let feed = async {
        input.stdin(&big).await.unwrap();
        input.close_stdin().await.unwrap();
    };
    let mut got = 0;
    let read = async {
        while let Some(event) = handle.next().await.unwrap() {
            if let ExecEvent::Stdout(bytes) = event {
                got += bytes.len();
            }
        }
    };
    tokio::join!(feed, read);
    assert_eq!(got, big.len() + "end\n".len());
    let without = machine.sh("cat; echo end").await;
    assert_eq!(without.out, "end\n");
}

#[tokio::test]
async fn a_terminal_has_a_size_and_follows_a_resize() {
    let machine = Machine::start();
    let spec = ExecSpec {
        pty: Some(PtySize { cols: 81, rows: 23 }),
        stdin: true,
        ..sh("tty >/dev/null && stty size; trap 'stty size; exit 3' WINCH; echo ready; \
              while :; do sleep 0.01; done")
    };
    let mut handle = machine.exec(spec).await;
    let mut seen = String::new();
    while !seen.contains("ready") {
        seen += &line(&mut handle).await;
    }
    assert!(seen.starts_with("23 81"), "{seen}");
    handle.input().resize(PtySize { cols: 100, rows: 40 }).await.unwrap();
    let rest = ran(handle).await;
    assert!(rest.out.contains("40 100"), "{rest:?}");
    assert_eq!(rest.exit.code, Some(3));
}

#[tokio::test]
async fn a_terminal_takes_control_characters() {
    let machine = Machine::start();
    let spec = ExecSpec {
        argv: vec!["cat".into()],
        pty: Some(PtySize { cols: 80, rows: 24 }),
        stdin: true,
        ..ExecSpec::default()
    };
    let mut handle = machine.exec(spec).await;
    handle.input().stdin(b"word\n").await.unwrap();
    // Once by the terminal's echo, once by the program, which runs then.
    let mut seen = String::new();
    while seen.matches("word").count() < 2 {
        seen += &line(&mut handle).await;
    }
    handle.input().stdin(b"\x03").await.unwrap();
    assert_eq!(ran(handle).await.exit.signal, Some(2));
}

#[tokio::test]
async fn a_detached_program_goes_on_and_is_attached_to_by_its_id() {
    let machine = Machine::start();
    let gate = machine.path("gate");
    let script =
        format!("echo one; while [ ! -e {} ]; do sleep 0.01; done; echo two", gate.display());
    let spec = ExecSpec { id: Some("job:1".into()), detach: true, ..sh(&script) };
    let mut first = machine.exec(spec.clone()).await;
    assert!(!first.attached);
    let pid = first.pid;
    assert_eq!(line(&mut first).await, "one");
    drop(first);
    // The same request again attaches instead of running twice.
    let second = machine.exec(spec.clone()).await;
    assert!(second.attached);
    assert_eq!(second.pid, pid);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(ran(second).await.out, "one\ntwo\n");
    // After the end too, until it is forgotten.
    let late = init_client::attach(machine.init().await, "job:1", 2).await.unwrap();
    let late = ran(late).await;
    assert_eq!(late.out, "e\ntwo\n");
    let file = late.exit.output_path.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\n");
    init_client::forget(machine.init().await, "job:1").await.unwrap();
    assert!(!std::path::Path::new(&file).exists());
    let gone = init_client::attach(machine.init().await, "job:1", 0).await.unwrap_err();
    assert_eq!(gone.code(), "not_found");
}

#[tokio::test]
async fn following_only_the_end_sends_no_output() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("a".into()),
        detach: true,
        stdin: true,
        ..sh("echo x; read y; echo z")
    };
    let handle = machine.exec(spec).await;
    let watch = init_client::attach(machine.init().await, "a", u64::MAX).await.unwrap();
    handle.input().stdin(b"\n").await.unwrap();
    let watched = ran(watch).await;
    assert_eq!(watched.all, "");
    assert_eq!(watched.exit.code, Some(0));
    assert_eq!(ran(handle).await.out, "x\nz\n");
}

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
async fn a_daemon_that_keeps_the_output_open_does_not_hold_back_the_end() {
    let machine = Machine::start();
    let gate = machine.path("gate");
    let script = format!(
        "(while [ ! -e {0} ]; do sleep 0.01; done; echo late; sleep 1000) & echo early",
        gate.display()
    );
    let spec = ExecSpec { id: Some("d".into()), detach: true, ..sh(&script) };
    let first = ran(machine.exec(spec).await).await;
    assert_eq!((first.out.as_str(), first.exit.code), ("early\n", Some(0)));
    // It may go on printing, and that can be read.
    std::fs::write(&gate, "").unwrap();
    loop {
        let again = init_client::attach(machine.init().await, "d", 0).await.unwrap();
        if ran(again).await.out == "early\nlate\n" {
            break;
        }
    }
}

#[tokio::test]
async fn a_gigabyte_of_output_neither_grows_memory_nor_stalls_others() {
    let machine = Machine::start();
    machine.sh("true").await;
    let (before, _) = machine.memory();
    // One that is followed: every byte arrives. One that nobody follows: it ends all the same.
    let spec = |id: &str| ExecSpec {
        id: Some(id.into()),
        detach: true,
        spill_bytes_max: 1 << 20,
        argv: ["head", "-c", "1G", "/dev/zero"].map(str::to_owned).to_vec(),
        ..ExecSpec::default()
    };
    let mut followed = machine.exec(spec("followed")).await;
    drop(machine.exec(spec("alone")).await);
    let others = async {
        for _ in 0..20 {
            assert_eq!(machine.sh("echo here").await.out, "here\n");
        }
    };
    let count = async {
        let (mut bytes, mut gaps) = (0u64, 0);
        loop {
            match followed.next().await.unwrap().unwrap() {
                ExecEvent::Stdout(piece) => bytes += piece.len() as u64,
                ExecEvent::Gap(_) => gaps += 1,
                ExecEvent::Stderr(_) => unreachable!("head prints no error"),
                ExecEvent::Exit(exit) => return (bytes, gaps, exit),
            }
        }
    };
    let ((bytes, gaps, exit), ()) = tokio::join!(count, others);
    assert_eq!((bytes, gaps, exit.output_bytes), (1 << 30, 0, 1 << 30));
    assert!(exit.truncated);
    assert_eq!(std::fs::metadata(exit.output_path.unwrap()).unwrap().len(), 1 << 20);
    let alone = init_client::attach(machine.init().await, "alone", 0).await.unwrap();
    let alone = ran(alone).await;
    assert_eq!(alone.exit.output_bytes, 1 << 30);
    assert_eq!(alone.gaps.len(), 1, "the middle is not kept");
    let (_, most) = machine.memory();
    assert!(most < before + (8 << 20), "from {before} to {most} bytes");
}

#[tokio::test]
async fn a_follower_that_does_not_read_gets_a_gap_and_the_program_goes_on() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("a".into()),
        detach: true,
        spill_bytes_max: 1,
        argv: ["head", "-c", "64M", "/dev/zero"].map(str::to_owned).to_vec(),
        ..ExecSpec::default()
    };
    let stuck = machine.exec(spec).await;
    let quick = init_client::attach(machine.init().await, "a", u64::MAX).await.unwrap();
    assert_eq!(ran(quick).await.exit.output_bytes, 64 << 20);
    let stuck = ran(stuck).await;
    assert!(!stuck.gaps.is_empty());
    assert!(stuck.out.len() < 64 << 20);
}

#[tokio::test]
async fn orphans_are_reaped() {
    let machine = Machine::start();
    let mut handle = machine.exec(sh("(sh -c 'echo $$; exec sleep 0.05' &)")).await;
    let orphan: u32 = line(&mut handle).await.parse().unwrap();
    until(|| !std::path::Path::new(&format!("/proc/{orphan}")).exists()).await;
}

#[tokio::test]
async fn the_bridge_is_started_again_and_what_runs_keeps_its_pid() {
    let machine = Machine::start();
    let spec = ExecSpec { id: Some("tool".into()), detach: true, ..sh("sleep 1000") };
    let tool = machine.exec(spec).await.pid;
    let first = bridge(&machine, 1).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let second = bridge(&machine, 2).await;
    assert_ne!(first, second);
    init_client::restart_bridge(machine.init().await).await.unwrap();
    assert!(!lives(second));
    bridge(&machine, 3).await;
    let list = init_client::list(machine.init().await).await.unwrap();
    assert_eq!((list[0].pid, list[0].exit.is_none()), (tool, true));
    assert!(lives(tool));
}

/// Pid of the bridge once it was started `starts` times.
async fn bridge(machine: &Machine, starts: u32) -> u32 {
    loop {
        let hello = init_client::hello(machine.init().await).await.unwrap();
        if let Some(pid) = hello.bridge_pid.filter(|_| hello.bridge_starts == starts) {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_bridge_that_cannot_run_does_not_hurt_init() {
    let machine = Machine::with_bridge(vec!["/no/such/bridge".into()]);
    assert_eq!(machine.sh("echo fine").await.out, "fine\n");
    let hello = init_client::hello(machine.init().await).await.unwrap();
    assert_eq!(hello.bridge_pid, None);
}

#[tokio::test]
async fn the_gateways_listeners_are_handed_over_and_stay_open() {
    let machine = Machine::start();
    for _ in 0..2 {
        let fds: Vec<OwnedFd> = init_client::gateway_listeners(machine.init().await).await.unwrap();
        let addresses: Vec<_> =
            fds.into_iter().map(|fd| TcpListener::from(fd).local_addr().unwrap()).collect();
        assert_eq!(addresses, machine.gateways);
    }
    // Nobody accepts now, but nobody is refused either.
    std::net::TcpStream::connect(machine.gateways[0]).unwrap();
}

#[tokio::test]
async fn only_the_newest_ended_programs_are_kept() {
    let machine = Machine::start();
    for n in 0..203 {
        let spec = ExecSpec {
            id: Some(format!("n{n}")),
            detach: true,
            argv: vec!["echo".into(), "x".into()],
            ..ExecSpec::default()
        };
        ran(machine.exec(spec).await).await;
    }
    let list = init_client::list(machine.init().await).await.unwrap();
    assert_eq!((list.len(), list[0].id.as_str()), (200, "n3"));
    let files = std::fs::read_dir(machine.path("log/exec")).unwrap().count();
    assert_eq!(files, 200);
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

#[tokio::test]
async fn nonsense_is_answered_and_ends_only_its_own_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let machine = Machine::start();
    for bytes in [
        &b"\0\0\0\x05\0{]}?"[..],
        &b"\xff\xff\xff\xff\0"[..],
        &b"\0\0\0\x02\x09x"[..],
        &b"\0\0\0\x02\x01x"[..],
        &b"\0\0\0\0"[..],
    ] {
        let mut stream = machine.init().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("\"invalid\""), "{bytes:?}");
    }
    assert_eq!(machine.sh("echo fine").await.out, "fine\n");
}

#[tokio::test]
async fn a_long_script_does_not_fill_the_list() {
    let machine = Machine::start();
    let script = format!("true # {}", "x".repeat(100_000));
    for n in 0..50 {
        let spec = ExecSpec { id: Some(format!("long{n}")), detach: true, ..sh(&script) };
        ran(machine.exec(spec).await).await;
    }
    let list = init_client::list(machine.init().await).await.unwrap();
    assert_eq!((list.len(), list[0].label.chars().count()), (50, 200));
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
        // An ordinary user has no groups; what holds then is told by the tests above.
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
