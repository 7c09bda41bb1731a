//! Programs: how they are started, what they print and read, how they are found again.

use crate::support::{Machine, line, ran, sh};
use rustix::{
    net::{Shutdown, shutdown},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};
use std::{os::fd::AsFd as _, time::Duration};
use toft_machine::init_client::{self, ExecEvent, InitError};
use toft_model::init::{ExecSpec, PtySize};

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
    assert_eq!(code, "not_executable");
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
async fn input_comes_from_connections_that_do_not_stay() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("asks".into()),
        stdin: true,
        detach: true,
        ..sh("while read -r line; do echo \"got $line\"; done; echo end")
    };
    let handle = machine.exec(spec).await;
    for word in ["one", "two"] {
        let giver = init_client::attach(machine.init().await, "asks", u64::MAX).await.unwrap();
        giver.input().stdin(format!("{word}\n").as_bytes()).await.unwrap();
    }
    let takes = async || {
        let all = init_client::list(machine.init().await).await.unwrap();
        all.into_iter().find(|status| status.id == "asks").unwrap().stdin
    };
    assert!(takes().await);
    let closer = init_client::attach(machine.init().await, "asks", u64::MAX).await.unwrap();
    closer.input().close_stdin().await.unwrap();
    drop(closer);
    assert_eq!(ran(handle).await.out, "got one\ngot two\nend\n");
    assert!(!takes().await);
}

#[tokio::test]
async fn init_closes_when_a_program_that_reads_late_has_been_given_all() {
    let machine = Machine::start();
    let go = machine.path("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.01; done; wc -c", go.display());
    let spec = ExecSpec { id: Some("late".into()), stdin: true, detach: true, ..sh(&script) };
    let program = machine.exec(spec).await;
    let stream = machine.init().await;
    let socket = stream.as_fd().try_clone_to_owned().unwrap();
    let mut giver = init_client::attach(stream, "late", u64::MAX).await.unwrap();
    // More than what lies in between takes before the program reads.
    let given = vec![b'x'; 2 << 20];
    let give = async {
        giver.input().stdin(&given).await.unwrap();
        giver.input().close_stdin().await.unwrap();
        shutdown(&socket, Shutdown::Write).unwrap();
        while let Ok(Some(_)) = giver.next().await {}
    };
    let late = async {
        // Longer than until init looks whether a caller has left.
        tokio::time::sleep(Duration::from_millis(600)).await;
        std::fs::write(&go, "").unwrap();
    };
    tokio::join!(give, late);
    assert_eq!(ran(program).await.out.trim(), given.len().to_string());
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

#[tokio::test]
async fn what_init_was_handed_by_exec_goes_no_further() {
    // As some container engines start their first process.
    let had = capabilities(None).unwrap();
    let handed = CapabilitySets { inheritable: had.permitted & CapabilitySet::CHOWN, ..had };
    set_capabilities(None, handed).unwrap();
    let machine = Machine::start();
    set_capabilities(None, had).unwrap();
    let none = format!("CapInh:\t{:016x}\n", 0);
    assert_eq!(machine.sh("grep CapInh /proc/self/status").await.out, none);
}
