//! The command line as scripts and people use it: bytes stay bytes, exit codes and signals pass
//! through, errors have a shape, and `toft down` ends whatever is left.

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Output, Stdio},
    time::Instant,
};
use toft_stories::{
    processes,
    toft::{STEP_TIMEOUT, Start, Toft, binary},
};

fn toft(server: &Toft, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--data").arg(&server.data).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with these bytes on standard input.
fn fed(mut command: Command, input: Vec<u8>) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    let feeding = std::thread::spawn(move || {
        // A program that does not want all of it is none of our business.
        let _ = stdin.write_all(&input);
    });
    let out = child.wait_with_output()?;
    let _ = feeding.join();
    Ok(out)
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus> {
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > until {
            child.kill()?;
            anyhow::bail!("it did not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn send(child: &Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a child has a pid")?;
    Ok(kill_process(pid, signal)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_passes_bytes_through_both_ways() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Pipe").await?;
    // More than any buffer on the way, and no text.
    let bytes: Vec<u8> =
        (0..5_000_011u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let out = fed(toft(&server, &["exec", &project, "--", "cat"]), bytes.clone())?;
    ensure!(out.status.success() && out.stdout == bytes, "{} bytes came back", out.stdout.len());
    let out = fed(toft(&server, &["exec", &project, "--", "head", "-c", "3"]), bytes.clone())?;
    ensure!(out.status.success() && out.stdout == bytes[..3], "a program may stop reading");
    let out = fed(toft(&server, &["exec", "--no-stdin", &project, "--", "wc", "-c"]), bytes)?;
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "0");
    let out = fed(toft(&server, &["exec", &project, "--json", "--", "cat"]), b"hello".to_vec())?;
    assert_eq!(serde_json::from_slice::<Value>(&out.stdout)?["stdout"], "hello");
    server.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_the_commands_failures_from_ours() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Codes").await?;
    let code = |args: &[&str]| Ok::<_, anyhow::Error>(toft(&server, args).output()?.status.code());
    assert_eq!(code(&["exec", &project, "--", "sh", "-c", "exit 3"])?, Some(3));
    assert_eq!(code(&["exec", &project, "--", "sh", "-c", "kill -9 $$"])?, Some(137));
    assert_eq!(code(&["exec", &project, "--timeout", "1", "--", "sleep", "50"])?, Some(124));
    assert_eq!(code(&["exec", "nonesuch", "--", "true"])?, Some(125));
    assert_eq!(code(&["exec", &project, "--", "no-such-program"])?, Some(127));
    assert_eq!(code(&["stop", "nonesuch"])?, Some(1));
    assert_eq!(code(&["ps", "--bogus"])?, Some(2));
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let lost = toft(&server, &["ps"]).stdout(full).status()?;
    assert_eq!(lost.code(), Some(1), "output that could not be written is a failure");
    server.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_errors_are_json_on_standard_error() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Errors").await?;
    for (args, code) in [
        (vec!["stop", "nonesuch", "--json"], "not_found"),
        (vec!["exec", "nonesuch", "--json", "--", "true"], "not_found"),
        (vec!["exec", &project, "--json", "--", "no-such-program"], "not_executable"),
        (vec!["new", "", "--json"], "invalid_argument"),
        (vec!["ps", "--json", "--bogus"], "usage"),
        (vec!["--json"], "usage"),
    ] {
        let out = toft(&server, &args).output()?;
        ensure!(!out.status.success() && out.stdout.is_empty(), "{args:?}");
        let said: Value = serde_json::from_slice(&out.stderr)
            .with_context(|| format!("{args:?}: {}", String::from_utf8_lossy(&out.stderr)))?;
        assert_eq!(
            (&said["ok"], &said["error"]["code"]),
            (&json!(false), &json!(code)),
            "{args:?}"
        );
        ensure!(said["error"]["message"].as_str().is_some_and(|m| !m.is_empty()));
    }
    // After `--` it is the command's.
    let out = toft(&server, &["exec", &project, "--", "echo", "--json"]).output()?;
    assert_eq!(out.stdout, b"--json\n");
    server.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command_and_a_second_one_leaves_it() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Signals").await?;
    let start = |script: &str| -> Result<(Child, BufReader<std::process::ChildStdout>)> {
        let mut child = toft(&server, &["exec", &project, "--", "bash", "-c", script]).spawn()?;
        let mut out = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut ready = String::new();
        out.read_line(&mut ready)?;
        ensure!(ready == "ready\n", "{ready:?}");
        Ok((child, out))
    };
    let (mut child, mut out) =
        start("trap 'echo asked; exit 7' INT; echo ready; while :; do sleep 0.05; done")?;
    send(&child, Signal::INT)?;
    assert_eq!(wait(&mut child)?.code(), Some(7));
    let mut rest = String::new();
    out.read_to_string(&mut rest)?;
    assert_eq!(rest, "asked\n");
    let (mut child, _out) = start("echo ready; exec sleep 4111")?;
    send(&child, Signal::TERM)?;
    assert_eq!(wait(&mut child)?.code(), Some(143));

    let (mut child, mut out) =
        start("trap 'echo no' INT; echo ready; while :; do sleep 0.05; done; : 4112")?;
    send(&child, Signal::INT)?;
    let mut said = String::new();
    out.read_line(&mut said)?;
    assert_eq!(said, "no\n");
    send(&child, Signal::INT)?;
    assert_eq!(wait(&mut child)?.code(), Some(130));
    let until = Instant::now() + STEP_TIMEOUT;
    while processes::all().iter().any(|p| p.argv.iter().any(|a| a.contains(": 4112"))) {
        ensure!(Instant::now() < until, "the command outlived its caller");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_asks_is_answered_by_the_next_line() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Asked").await?;
    let out = fed(toft(&server, &["chat", &project]), b"Ask me a question\nteal\n".to_vec())?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success() && said.contains("teal"), "{said}");
    ensure!(!said.contains("> "), "nobody is invited to type into a pipe: {said}");

    // Without anybody to ask it ends and says what waits; the next chat takes it up.
    let out = toft(&server, &["chat", &project, "Ask me a question"]).output()?;
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(!out.status.success() && told.contains("toft chat"), "{told}");
    let out = fed(toft(&server, &["chat", &project]), b"maroon\n".to_vec())?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(out.status.success() && said.contains("? ") && said.contains("maroon"), "{said}");
    server.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn down_ends_what_a_lost_server_left() -> Result<()> {
    for end in [Signal::KILL, Signal::TERM, Signal::HUP] {
        let mut server = Toft::start(Start::default()).await?;
        let project = server.new_project("Left").await?;
        server.exec(&project, "echo kept > f").await?;
        let init = server.init_pid(&project).context("its machine runs")?;
        let pid = Pid::from_raw(i32::try_from(server.server_pid().context("it runs")?)?);
        kill_process(pid.context("a pid")?, end)?;
        // Reaps it, whichever way it ended.
        server.await_end()?;
        let out = toft(&server, &["doctor"]).output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        ensure!(processes::one(init).is_some(), "machines outlive a server that ends by {end:?}");
        let out = toft(&server, &["down"]).output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        ensure!(processes::one(init).is_none(), "the machine outlived `toft down`");
        server.up().await?;
        assert_eq!(server.exec(&project, "cat f").await?["stdout"], "kept\n");
        server.down()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_watches_has_no_colours() -> Result<()> {
    let server = Toft::start(Start::default()).await?;
    let project = server.new_project("Plain").await?;
    server.call("POST", &format!("/v1/projects/{project}/stop"), Some(json!({}))).await?;
    let log = server.log();
    ensure!(!log.is_empty() && !log.contains('\u{1b}'), "{log}");
    server.down()
}
