//! Commands in the background: listed, read, given input, waited for, killed.

use crate::{
    ToolContext,
    host::{Shell, ShellError, ShellEvent, ShellRun},
    testing::Bench,
};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use toft_model::init::ExecSpec;

/// Has one program, which says these things each time it is looked at from these bytes on.
struct Says(Mutex<VecDeque<(u64, Vec<ShellEvent>)>>);

#[async_trait::async_trait]
impl Shell for Says {
    async fn start(&self, _: ExecSpec) -> Result<ShellRun, ShellError> {
        unreachable!("it runs already")
    }

    async fn kill(&self, _: &str, _: u64) -> Result<(), ShellError> {
        Ok(())
    }

    async fn forget(&self, _: &str) -> Result<(), ShellError> {
        Ok(())
    }

    async fn attach(&self, id: &str, from: u64) -> Result<ShellRun, ShellError> {
        let (at, events) = self.0.lock().unwrap().pop_front().unwrap();
        assert_eq!(from, at);
        let events = stream::iter(events).chain(stream::pending()).boxed();
        Ok(ShellRun { id: id.to_owned(), pid: 1, events })
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_and_counted_once() {
    let bench = Bench::new();
    let out = |text: &str| ShellEvent::Output(text.into());
    let says = VecDeque::from([
        (0, vec![out("one\n"), ShellEvent::Gap(1_000), out("two\n")]),
        (1_004, vec![ShellEvent::Gap(1_010), out("three\n")]),
        (1_016, vec![]),
    ]);
    let (ctx, _updates) = bench.context("c");
    let ctx = ToolContext { shell: Arc::new(Says(Mutex::new(says))), ..ctx };
    for said in [
        "one\ntwo\n\n[996 more bytes came meanwhile and are no longer kept.]\n\nIt runs.",
        "three\n\n[6 more bytes came meanwhile and are no longer kept.]\n\nIt runs.",
        "(nothing new)\n\nIt runs.",
    ] {
        let look = json!({"action": "output", "id": "a"});
        let outcome = bench.toolbox.run("process", &ctx, look).await;
        assert_eq!(outcome.said(), said);
    }
}

#[tokio::test]
async fn a_command_in_the_background_can_be_listed_read_and_killed() {
    let bench = Bench::new();
    let command = json!({"command": "echo ready; sleep 1000", "background": true});
    let started = bench.call_as("bg1", "bash", command).await;
    assert!(!started.is_error, "{}", started.said());
    let pid = started.details.as_ref().unwrap()["pid"].as_u64().unwrap();
    let listed = bench.call("process", json!({"action": "list"})).await.said();
    assert!(listed.contains(&format!("bg1: runs, pid {pid}: echo ready; sleep 1000")), "{listed}");
    let output = bench.call("process", json!({"action": "output", "id": "bg1"})).await.said();
    assert_eq!(output, "ready\n\nIt runs.");
    let output = bench.call("process", json!({"action": "output", "id": "bg1"})).await.said();
    assert_eq!(output, "(nothing new)\n\nIt runs.");
    let killed = bench.call("process", json!({"action": "kill", "id": "bg1"})).await;
    assert!(!killed.is_error, "{}", killed.said());
    let listed = bench.call("process", json!({"action": "list"})).await.said();
    assert!(listed.contains("bg1: ended with signal 15"), "{listed}");
}

#[tokio::test]
async fn a_call_that_only_reads_leaves_programs_alone_that_do_more() {
    let bench = Bench::new();
    let command = |command: &str| json!({"command": command, "background": true});
    bench.call_as("writes", "bash", command("read -r line; echo $line > made; sleep 1000")).await;
    bench.reading("reads", "bash", command("read -r line; echo got $line; sleep 1000")).await;
    for (id, refused) in [("writes", true), ("reads", false)] {
        let input = json!({"action": "input", "id": id, "text": "x\n"});
        let given = bench.reading("call-1", "process", input).await;
        assert_eq!(given.is_error, refused, "{}", given.said());
        let looked = bench.reading("call-2", "process", json!({"action": "output", "id": id}));
        assert!(!looked.await.is_error);
        let killed = bench.reading("call-3", "process", json!({"action": "kill", "id": id}));
        assert_eq!(killed.await.is_error, refused);
    }
    let listed = bench.call("process", json!({"action": "list"})).await.said();
    assert!(listed.contains("writes: runs"), "{listed}");
    assert!(!bench.path("made").exists());
}

#[tokio::test]
async fn a_command_is_given_input_and_waited_for() {
    let bench = Bench::new();
    let script = "while read -r line; do echo \"got $line\"; done; echo over; exit 3";
    bench.call_as("bg1", "bash", json!({"command": script, "background": true})).await;
    let said = async |arguments| bench.call("process", arguments).await.said();
    let input = json!({"action": "input", "id": "bg1", "text": "one\ntwo\n"});
    assert_eq!(said(input).await, "got one\ngot two\n\nIt runs.");
    let close =
        json!({"action": "input", "id": "bg1", "text": "three\n", "close": true, "wait": 20});
    assert_eq!(said(close).await, "got three\nover\n\nIt ended with exit code 3.");
    let late = json!({"action": "input", "id": "bg1", "text": "x"});
    assert!(said(late).await.contains("takes no input: it ended with exit code 3"));
    let nothing = json!({"action": "input", "id": "bg1"});
    assert!(said(nothing).await.contains("`text` of process is missing"));
}

#[tokio::test]
async fn a_wait_ends_with_the_command_and_with_the_call() {
    let bench = Bench::new();
    let script = json!({"command": "read -r; echo end", "background": true});
    bench.call_as("bg1", "bash", script.clone()).await;
    bench.call_as("bg2", "bash", script).await;
    let wait = json!({"action": "output", "id": "bg1", "wait": 500});
    let end = json!({"action": "input", "id": "bg1", "text": "\n"});
    let (waited, _) = tokio::join!(bench.call("process", wait), bench.call("process", end));
    assert!(waited.said().ends_with("It ended with exit code 0."), "{}", waited.said());
    let (ctx, _updates) = bench.context("w2");
    let wait = json!({"action": "output", "id": "bg2", "wait": 500});
    let work = bench.toolbox.run("process", &ctx, wait);
    let cancel = async {
        tokio::task::yield_now().await;
        ctx.cancel.cancel();
    };
    let (waited, ()) = tokio::join!(work, cancel);
    assert_eq!(waited.details.unwrap()["cancelled"], true);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let bench = Bench::new();
    assert_eq!(bench.call("process", json!({"action": "list"})).await.said(), "No process runs.");
    for action in ["output", "kill", "input"] {
        let order = json!({"action": action, "id": "x", "text": "y"});
        let outcome = bench.call("process", order).await;
        assert!(outcome.is_error && outcome.said().contains("no process `x`"));
    }
    assert!(bench.call("process", json!({"action": "output"})).await.said().contains("`id`"));
    let wrong = bench.call("process", json!({"action": "pause", "id": "x"})).await;
    assert!(wrong.said().contains("list, output, input or kill"), "{}", wrong.said());
}
