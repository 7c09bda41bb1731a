//! What a stop ends.

use super::bench::Bench;
use crate::{Command, session::Body};
use toft_llm::testing::{Prepared, call};
use toft_model::{id::SessionId, message::Message};

/// Names of the programs that the calls of each answer may have begun.
fn run_ids(bench: &Bench) -> Vec<String> {
    let session = bench.handle.conversation().session();
    let mut ids = Vec::new();
    for entry in session.branch() {
        let Body::Message(Message::Assistant(answer)) = &entry.body else { continue };
        let places = 0..answer.tool_calls().count();
        ids.extend(places.map(|place| format!("{}.{}.{place}", session.id(), entry.id)));
    }
    ids
}

#[tokio::test]
async fn a_stop_ends_what_its_prompt_left_in_the_background_and_nothing_older() {
    let order = r#"{"description":"count","prompt":"Count them."}"#;
    let bench = Bench::new([
        Prepared::call("old", "step", "{}"),
        Prepared::text("It runs."),
        Prepared::Says(vec![call("c1", "step", "{}"), call("t1", "task", order)]),
        Prepared::text("Seven."),
        Prepared::call("c2", "slow", "{}"),
    ]);
    bench.run("start the server").await;
    bench.prompt("and another one").await;
    bench.hear("tool_start", 4).await;
    let ids = run_ids(&bench);
    let [old, own, task, _] = ids.as_slice() else { panic!("{ids:?}") };
    let of_task = format!("{}.deadbeef.0", SessionId::of(task));
    let foreign = "mcp.server.1".to_owned();
    let known = [old.clone(), own.clone(), of_task.clone(), foreign.clone()];
    bench.shell.known.lock().unwrap().extend(known);
    bench.abort().await;
    bench.hear("agent_end", 3).await;
    let killed = bench.shell.killed.lock().unwrap().clone();
    assert!(killed.contains(own) && killed.contains(&of_task), "{killed:?}");
    assert!(!killed.contains(old) && !killed.contains(&foreign), "{killed:?}");
    assert!(bench.transcript().last().unwrap().starts_with("assistant Aborted"));
}

#[tokio::test]
async fn a_prompt_is_told_also_when_another_command_follows_at_once() {
    let bench = Bench::new([Prepared::text("hi")]);
    let name = |reply| Command::Change {
        model: None,
        thinking_level: None,
        name: Some("Named".into()),
        reply,
    };
    let (prompted, named) = tokio::join!(bench.prompt("go"), bench.handle.ask(name));
    assert!(prompted.entry_id.is_some() && named.is_ok());
    bench.hear("agent_end", 1).await;
    let told = bench.kinds().iter().filter(|kind| *kind == "message_end").count();
    assert_eq!(told, 2, "{:?}", bench.kinds());
}
