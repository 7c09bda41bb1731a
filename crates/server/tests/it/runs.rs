//! Runs that are cancelled on their way to a bridge.

use crate::{
    box_runs::Says,
    client::Call,
    world::{AGENT_KEY, World},
};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use toft_model::{id::ProjectId, run::RunStatus};
use toft_store::{Runs as _, SqliteStore};
use tokio::time::sleep;

/// The path of a run that the project was asked for.
async fn asked(world: &World, project: &ProjectId) -> String {
    let runs = format!("/v1/projects/{project}/runs");
    let call = Call::post(&runs, &json!({"prompt": "go"})).header("idempotency-key", "k");
    let run = world.ask(call).await.data();
    format!("{runs}/{}", run["id"].as_str().unwrap())
}

/// A project whose bridge answers orders so, and a run that it is asked for.
async fn answered(says: Says) -> (World, ProjectId, String) {
    let world = World::new().await;
    let project = world.project().await;
    *world.machines.disk(&project).runs.says.lock().unwrap() = says;
    let run = asked(&world, &project).await;
    (world, project, run)
}

/// A project that a person has stopped, and a run that waits for it.
async fn waits_for_machine() -> (World, ProjectId, String) {
    let world = World::new().await;
    let project = world.project().await;
    world.ask(Call::post(&format!("/v1/projects/{project}/stop"), &json!({}))).await.data();
    let run = asked(&world, &project).await;
    world.eventually(&run, |run| run["waitsFor"] == "machine").await;
    (world, project, run)
}

async fn is_cancelled(world: &World, run: &str) {
    let answer = world.ask(Call::post(&format!("{run}/cancel"), &json!({}))).await.data();
    assert_eq!(answer["cancelled"], true, "{answer}");
    let over = world.eventually(run, |run| run["completedAt"].is_string()).await;
    assert_eq!(over["status"], "cancelled", "{over}");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_500 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn who_cancels_waits_for_no_machine_that_starts() {
    let world = World::new().await;
    let project = world.project().await;
    world.dies(&project).await;
    let starts = world.machines.starts.load(Ordering::SeqCst);
    // Much longer than a cancel takes.
    *world.machines.start_takes.lock().unwrap() = Duration::from_secs(8);
    let run = asked(&world, &project).await;
    until("it starts", || world.machines.starts.load(Ordering::SeqCst) > starts).await;
    is_cancelled(&world, &run).await;
    assert!(!world.machines.is_running(&project));
    // It comes to its end for whoever wants it next.
    until("it runs", || world.machines.is_running(&project)).await;
    assert!(world.machines.disk(&project).runs.ends().is_empty());
    world.end(true).await;
}

#[tokio::test]
async fn one_whose_machine_is_stopped_says_so_and_goes_on_when_it_is_started() {
    let (world, project, run) = waits_for_machine().await;
    world.ask(Call::post(&format!("/v1/projects/{project}/start"), &json!({}))).await.data();
    let runs = &world.machines.disk(&project).runs;
    until("it has the order", || runs.ends().len() == 1).await;
    world.eventually(&run, |run| run["waitsFor"].is_null()).await;
    is_cancelled(&world, &run).await;
    world.end(true).await;
}

#[tokio::test]
async fn a_cancel_of_which_no_signal_came_is_heard_also_while_a_stopped_machine_is_waited_for() {
    let (world, project, run) = waits_for_machine().await;
    // As by another server, while this one was not connected.
    let id = run.rsplit('/').next().unwrap().parse().unwrap();
    let beside = SqliteStore::open(&world.data.path().join("toft.db")).await.unwrap();
    let asked = beside.cancel_run(&project, &id, 1).await.unwrap().unwrap();
    assert!(asked.is_cancelled);
    world.eventually(&run, |run| run["status"] == "cancelled").await;
    world.end(true).await;
}

#[tokio::test]
async fn a_cancel_does_not_wait_until_the_project_has_nothing_more_to_tell() {
    let (world, project, run) = answered(Says::Now).await;
    let runs = &world.machines.disk(&project).runs;
    world.eventually(&run, |run| run["sessionId"].is_string()).await;
    let tells = async {
        loop {
            // Another conversation of the project.
            let said =
                json!({"messageId": "m", "type": "text_delta", "contentIndex": 0, "delta": "x"});
            world.machines.push(&project, "s2", "message_update", &said);
            tokio::task::yield_now().await;
        }
    };
    let ends = async {
        let cancel = Call::post(&format!("{run}/cancel"), &json!({}));
        assert_eq!(world.ask(cancel).await.data()["cancelled"], true);
        let is_asked = || runs.ends().iter().all(|(_, end)| *end == Some(RunStatus::Cancelled));
        until("its bridge is asked to end it", is_asked).await;
    };
    tokio::select! {
        () = ends => {}
        () = tells => {}
    }
    world.end(true).await;
}

#[tokio::test]
async fn what_no_bridge_answers_ends_nobodys_work_on_a_run() {
    let (world, project, run) = answered(Says::Odd(json!([]))).await;
    let runs = &world.machines.disk(&project).runs;
    for odd in [json!([]), json!("x")] {
        *runs.says.lock().unwrap() = Says::Odd(odd);
        let before = runs.orders.load(Ordering::SeqCst);
        until("it is asked again", || runs.orders.load(Ordering::SeqCst) > before + 1).await;
    }
    is_cancelled(&world, &run).await;
    world.end(true).await;
}

#[tokio::test]
async fn who_cancels_waits_for_no_checkpoint_and_leaves_none() {
    let world = World::new().await;
    let project = world.project().await;
    let disk = world.machines.disk(&project);
    disk.is_idle.store(true, Ordering::SeqCst);
    // Nearly as long as a prompt waits for one.
    *world.machines.kept.takes.lock().unwrap() = Duration::from_millis(1_500);
    let run = asked(&world, &project).await;
    until("one is begun", || world.machines.kept.begun.load(Ordering::SeqCst) == 1).await;
    is_cancelled(&world, &run).await;
    until("it is taken", || world.machines.kept.taken.load(Ordering::SeqCst) == 1).await;
    let path = format!("/v1/projects/{project}/checkpoints");
    world.eventually(&path, |all| all["checkpoints"] == json!([])).await;
    assert!(disk.runs.ends().is_empty(), "no bridge has it");
    world.end(true).await;
}

#[tokio::test]
async fn the_checkpoint_before_a_run_is_taken_once_whoever_goes_on_with_it() {
    let world = World::new().await;
    let project = world.project().await;
    let disk = world.machines.disk(&project);
    disk.is_idle.store(true, Ordering::SeqCst);
    let run = asked(&world, &project).await;
    until("it has the order", || !disk.runs.ends().is_empty()).await;
    let before = world.ask(Call::get(&run)).await.data()["checkpointId"].clone();
    assert!(before.is_string(), "{before}");
    let world = world.restart().await;
    // A client that was told more than a database that crashed still has goes on, and another one is told of its fault.
    let back = Call::get(&format!("{run}/stream")).header("last-event-id", "99");
    drop(back.key(AGENT_KEY).stream(world.addr).await);
    world.ask(Call::get(&format!("{run}/stream?after=99"))).await.failure(400, "invalid_argument");
    let orders = disk.runs.orders.load(Ordering::SeqCst);
    until("it is given again", || disk.runs.orders.load(Ordering::SeqCst) > orders).await;
    assert_eq!(world.ask(Call::get(&run)).await.data()["checkpointId"], before);
    let all = world.ask(Call::get(&format!("/v1/projects/{project}/checkpoints"))).await.data();
    assert_eq!(all["checkpoints"].as_array().unwrap().len(), 1, "{all}");
    is_cancelled(&world, &run).await;
    world.end(true).await;
}

#[tokio::test]
async fn who_goes_on_with_a_run_takes_its_checkpoint_where_no_bridge_has_it_and_else_none() {
    let world = World::new().await;
    let given = world.project().await;
    // It takes longer than is waited for: the run has none.
    *world.machines.kept.takes.lock().unwrap() = Duration::from_secs(3);
    let disk = world.machines.disk(&given);
    disk.is_idle.store(true, Ordering::SeqCst);
    let first = asked(&world, &given).await;
    until("it has the order", || !disk.runs.ends().is_empty()).await;
    // Another one begins, and its server ends while its machine starts.
    let waits = world.project().await;
    world.machines.disk(&waits).is_idle.store(true, Ordering::SeqCst);
    world.dies(&waits).await;
    *world.machines.start_takes.lock().unwrap() = Duration::from_secs(1);
    let starts = world.machines.starts.load(Ordering::SeqCst);
    let second = asked(&world, &waits).await;
    until("it starts", || world.machines.starts.load(Ordering::SeqCst) > starts).await;
    // What has begun takes as long as it does.
    *world.machines.kept.takes.lock().unwrap() = Duration::ZERO;
    *world.machines.start_takes.lock().unwrap() = Duration::ZERO;
    let world = world.restart().await;
    let orders = disk.runs.orders.load(Ordering::SeqCst);
    until("it is given again", || disk.runs.orders.load(Ordering::SeqCst) > orders).await;
    world.eventually(&second, |run| run["checkpointId"].is_string()).await;
    let before = world.ask(Call::get(&first)).await.data()["checkpointId"].clone();
    assert!(before.is_null(), "what it has done by now is not before it: {before}");
    for run in [&first, &second] {
        is_cancelled(&world, run).await;
    }
    world.end(true).await;
}

#[tokio::test]
async fn what_a_bridge_took_unheard_ends_when_it_is_cancelled() {
    let world = World::new().await;
    let project = world.project().await;
    let runs = &world.machines.disk(&project).runs;
    let run = asked(&world, &project).await;
    until("it has the order", || runs.ends().len() == 1).await;
    is_cancelled(&world, &run).await;
    until("it is ended", || runs.ends()[0].1 == Some(RunStatus::Cancelled)).await;
    world.end(true).await;
}
