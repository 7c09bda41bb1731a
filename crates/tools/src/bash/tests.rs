//! What the tool `bash` promises, on real processes of this system.

use crate::{
    host::{ShellError, ShellRun},
    testing::Bench,
};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::{
    event::{LimitHit, LimitKind},
    init::ExecSpec,
};
use tokio::time::Instant;

async fn bash(bench: &Bench, command: &str) -> crate::ToolOutcome {
    bench.call("bash", json!({ "command": command })).await
}

#[tokio::test]
async fn output_and_exit_code_are_told() {
    let bench = Bench::new();
    let fine = bash(&bench, "echo out; echo err >&2").await;
    assert_eq!((fine.said().as_str(), fine.is_error), ("out\nerr", false));
    assert_eq!(fine.details.unwrap()["exitCode"], 0);
    let failed = bash(&bench, "echo no; exit 3").await;
    assert_eq!(failed.said(), "no\n\nThe command ended with exit code 3.");
    assert!(failed.is_error);
    assert_eq!(bash(&bench, "true").await.said(), "(no output)");
    let killed = bash(&bench, "kill -9 $$").await;
    assert!(killed.said().contains("signal 9"), "{}", killed.said());
    assert_eq!(killed.details.unwrap()["exitCode"], 137);
}

#[tokio::test]
async fn it_runs_in_the_projects_folder() {
    let bench = Bench::new();
    assert_eq!(
        bash(&bench, "pwd -P").await.said(),
        bench.path("").canonicalize().unwrap().display().to_string()
    );
}

#[tokio::test]
async fn a_flood_keeps_its_end_and_says_where_the_rest_is() {
    let bench = Bench::new();
    let outcome = bash(&bench, "seq 1 100000").await;
    assert!(!outcome.is_error);
    assert!(outcome.said().len() < 60 * 1024);
    assert!(outcome.said().contains("\n100000\n\n[Showing lines "), "{}", &outcome.said()[..80]);
    let details = outcome.details.unwrap();
    assert_eq!(details["truncated"], true);
    let path = details["fullOutputPath"].as_str().unwrap();
    assert!(outcome.content.iter().any(|b| format!("{b:?}").contains(path)));
    assert!(std::fs::read_to_string(path).unwrap().starts_with("1\n2\n"));
}

#[tokio::test]
async fn a_time_limit_ends_it_and_all_its_children() {
    let bench = Bench::new();
    let command = "sleep 1000 & echo $! > child; wait";
    let outcome = bench.call("bash", json!({"command": command, "timeout": 0.3})).await;
    assert!(
        outcome.is_error && outcome.said().contains("time limit of 0.3 seconds"),
        "{}",
        outcome.said()
    );
    assert_eq!(outcome.details.unwrap()["timedOut"], true);
    assert!(!bench.runs(bench.read("child").trim()));
}

#[tokio::test]
async fn stopping_ends_all_that_it_started() {
    let bench = Bench::new();
    let (ctx, _updates) = bench.context("stop1");
    let cancel = ctx.cancel.clone();
    let command = "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! > child; echo begun; wait";
    let call = bench.toolbox.run("bash", &ctx, json!({ "command": command }));
    let stop = async {
        bench.appears("child").await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(call, stop);
    assert_eq!(outcome.said(), "begun\n\nStopped by a person before it ended.");
    assert_eq!(outcome.details.unwrap()["cancelled"], true);
    assert!(!bench.runs(bench.read("child").trim()));
}

#[tokio::test]
async fn people_see_output_as_it_comes() {
    let bench = Bench::new();
    let (ctx, mut updates) = bench.context("u1");
    let command = "printf 'h\\303'; sleep 0.1; printf '\\251llo\\n'; touch done; sleep 1000";
    let cancel = ctx.cancel.clone();
    let call = bench.toolbox.run("bash", &ctx, json!({ "command": command }));
    let watch = async {
        let mut seen = String::new();
        while !seen.contains("llo") {
            seen.push_str(&updates.recv().await.expect("updates come").text);
        }
        cancel.cancel();
        seen
    };
    let (_, seen) = tokio::join!(call, watch);
    assert_eq!(seen, "héllo\n");
}

#[tokio::test]
async fn a_server_goes_to_the_background_and_tells_how_to_see_more() {
    let bench = Bench::new();
    let command = "echo Listening on port 3000; sleep 1000";
    let outcome =
        bench.call_as("bg", "bash", json!({"command": command, "background": true})).await;
    assert!(!outcome.is_error);
    let said = outcome.said();
    assert!(said.starts_with("It runs in the background as `bg` (pid "), "{said}");
    assert!(said.contains("Listening on port 3000") && said.contains("\"output\""), "{said}");
    let pid = outcome.details.unwrap()["pid"].to_string();
    assert!(bench.runs(&pid));
    // The same call again finds the same process.
    let again = bench.call_as("bg", "bash", json!({"command": command, "background": true})).await;
    assert_eq!(again.details.unwrap()["pid"].to_string(), pid);
}

#[tokio::test]
async fn what_does_not_stay_in_the_background_is_an_error() {
    let bench = Bench::new();
    let outcome =
        bench.call("bash", json!({"command": "echo oops; exit 1", "background": true})).await;
    assert!(outcome.is_error);
    assert!(
        outcome.said().contains("oops") && outcome.said().contains("exit code 1"),
        "{}",
        outcome.said()
    );
}

#[tokio::test]
async fn a_call_repeated_after_a_crash_runs_once() {
    let bench = Bench::new();
    let arguments = json!({"command": "echo x >> ran; echo done"});
    let first = bench.call_as("once", "bash", arguments.clone()).await;
    let again = bench.call_as("once", "bash", arguments).await;
    assert_eq!(first.said(), again.said());
    assert_eq!(bench.read("ran"), "x\n");
}

#[tokio::test]
async fn a_bridge_that_dies_in_the_middle_finds_the_command_again() {
    let bench = Bench::new();
    let arguments = json!({"command": "echo x >> ran; echo one; while [ ! -e go ]; do sleep 0.02; done; echo two"});
    let (ctx, _updates) = bench.context("middle");
    {
        let call = bench.toolbox.run("bash", &ctx, arguments.clone());
        tokio::select! {
            _ = call => panic!("it waits for a file"),
            () = bench.appears("ran") => {}
        }
    }
    bench.write("go", "");
    let outcome = bench.call_as("middle", "bash", arguments).await;
    assert_eq!(outcome.said(), "one\ntwo");
    assert_eq!(bench.read("ran"), "x\n");
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_again_and_nothing_is_told_twice() {
    let bench = Bench::new();
    let (ctx, mut updates) = bench.context("lost");
    bench.shell.lose_after_bytes(4);
    let command = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two";
    let call = bench.toolbox.run("bash", &ctx, json!({ "command": command }));
    let go = async {
        let first = updates.recv().await.expect("the first line comes");
        bench.write("go", "");
        first
    };
    let (outcome, first) = tokio::join!(call, go);
    assert_eq!(outcome.said(), "one\ntwo");
    drop(ctx);
    let mut seen = first.text;
    while let Ok(Some(more)) = tokio::time::timeout(Duration::from_millis(50), updates.recv()).await
    {
        seen.push_str(&more.text);
    }
    assert_eq!(seen, "one\ntwo\n");
}

#[tokio::test]
async fn what_is_kept_is_dropped_once_the_result_is_stored() {
    let bench = Bench::new();
    for (id, command, stays) in
        [("a", "true", false), ("b", "seq 1 100000", true), ("c", "sleep 1000", true)]
    {
        let (ctx, _updates) = bench.context(id);
        let arguments = json!({ "command": command, "background": id == "c" });
        let outcome = bench.toolbox.run("bash", &ctx, arguments).await;
        bench.toolbox.settled("bash", &ctx, &outcome).await;
        let kept = bench.call("process", json!({"action": "list"})).await.said();
        assert_eq!(kept.lines().any(|l| l.starts_with(&format!("{id}:"))), stays, "{kept}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_start_says_so() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.path("")).unwrap();
    let outcome = bash(&bench, "true").await;
    assert!(
        outcome.is_error && outcome.said().starts_with("The command was not run"),
        "{}",
        outcome.said()
    );
    let empty = bench.call("bash", Value::Object(serde_json::Map::new())).await;
    assert!(empty.said().contains("`command` of bash is missing"));
}

/// The local shell on a host that saw limits reached.
struct AtItsLimit(std::sync::Arc<crate::testing::LocalShell>);

#[async_trait::async_trait]
impl crate::host::Shell for AtItsLimit {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        self.0.start(spec).await
    }
    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        self.0.kill(id, grace_ms).await
    }
    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        self.0.forget(id).await
    }
    async fn limit_hit(&self, kind: LimitKind, _: Instant, wait: Duration) -> Option<LimitHit> {
        if kind == LimitKind::Disk {
            return Some(LimitHit {
                kind,
                command: None,
                pid: None,
                peak: None,
                limit: None,
                message: "0 MiB are left of the 1 GiB that --disk-max lets take.".into(),
            });
        }
        // A command that was killed is worth waiting for; one that failed otherwise is not.
        (wait > Duration::ZERO).then(|| LimitHit {
            kind,
            command: Some("python3 eat.py".into()),
            pid: Some(7),
            peak: Some(64 << 20),
            limit: Some(64 << 20),
            message: "out of memory".into(),
        })
    }
}

#[tokio::test]
async fn a_command_that_was_ended_for_memory_says_so_with_the_limit() {
    let bench = Bench::new();
    for (n, (command, told)) in
        [("kill -9 $$", true), ("sh -c 'kill -9 $$'", true), ("exit 1", false), ("true", false)]
            .into_iter()
            .enumerate()
    {
        let (mut ctx, _updates) = bench.context(&format!("memory{n}"));
        ctx.shell = std::sync::Arc::new(AtItsLimit(std::sync::Arc::clone(&bench.shell)));
        let outcome = bench.toolbox.run("bash", &ctx, json!({ "command": command })).await;
        let said = outcome.said();
        assert_eq!(said.contains("Out of memory: `python3 eat.py`"), told, "{command}: {said}");
        assert_eq!(said.contains("memory limit of 64 MiB"), told, "{command}: {said}");
        assert_eq!(outcome.details.unwrap()["memoryLimit"]["limit"] == 64 << 20, told);
    }
}

#[tokio::test]
async fn a_command_that_stood_still_on_a_full_disk_says_so() {
    let bench = Bench::new();
    for (n, (arguments, told)) in [
        (json!({"command": "sleep 9", "timeout": 0.1}), true),
        (json!({"command": "false"}), false),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut ctx, _updates) = bench.context(&format!("disk{n}"));
        ctx.shell = std::sync::Arc::new(AtItsLimit(std::sync::Arc::clone(&bench.shell)));
        let outcome = bench.toolbox.run("bash", &ctx, arguments).await;
        let said = outcome.said();
        assert_eq!(said.contains("disk was full") && said.contains("--disk-max"), told, "{said}");
        assert_eq!(outcome.details.unwrap()["diskLimit"].is_object(), told);
    }
}
