//! The life of machines: waking, stopping, dying.

use crate::{client::Call, world::World};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn many_wakes_at_once_are_one_start() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.kill(&id);
    world.eventually(&format!("/v1/projects/{id}"), |p| p["state"] == "cold").await;
    let before = world.machines.starts.load(Ordering::SeqCst);
    *world.machines.start_takes.lock().unwrap() = Duration::from_millis(50);
    let path = format!("/v1/projects/{id}/wake");
    let all =
        futures_util::future::join_all((0..20).map(|_| world.ask(Call::post(&path, &json!({})))))
            .await;
    assert!(all.iter().all(|a| a.data()["state"] == "running"));
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), before + 1);
    world.end(true).await;
}

#[tokio::test]
async fn those_who_waited_for_a_failed_start_share_its_failure() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.kill(&id);
    world.eventually(&format!("/v1/projects/{id}"), |p| p["state"] == "cold").await;
    let before = world.machines.starts.load(Ordering::SeqCst);
    *world.machines.start_takes.lock().unwrap() = Duration::from_millis(50);
    *world.machines.broken.lock().unwrap() = Some("broken".into());
    let path = format!("/v1/projects/{id}/wake");
    let all =
        futures_util::future::join_all((0..20).map(|_| world.ask(Call::post(&path, &json!({})))))
            .await;
    for answer in &all {
        answer.failure(502, "machine_error");
    }
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), before + 1);
    // A later wish tries again.
    *world.machines.broken.lock().unwrap() = None;
    world.ask(Call::post(&path, &json!({}))).await.data();
    world.end(true).await;
}

#[tokio::test]
async fn a_stopped_machine_is_started_by_a_person_only_and_remembers_that() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let stopped = world.ask(Call::post(&format!("{path}/stop"), &json!({}))).await.data();
    assert_eq!(stopped["state"], "stopped");
    assert!(!world.machines.is_running(&id));
    let world = world.restart().await;
    assert_eq!(world.ask(Call::get(&path)).await.data()["state"], "stopped");
    for call in [
        Call::post(&format!("{path}/wake"), &json!({})),
        Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hi"})),
        Call::post(&format!("{path}/exec"), &json!({"command": "true"})),
        Call::get(&format!("{path}/toft/files")),
    ] {
        let message = world.ask(call).await.failure(409, "unavailable");
        assert!(message.contains("start it first"), "{message}");
    }
    let started = world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
    assert_eq!(started["state"], "running");
    assert_eq!(started["wakes"][0]["cause"], "started by a person");
    world.end(true).await;
}

#[tokio::test]
async fn a_request_wakes_a_cold_machine_with_its_cause_and_is_answered() {
    let world = World::new().await;
    let id = world.project().await;
    let none = world.ask(Call::get(&format!("/v1/projects/{id}/machine"))).await.data();
    assert_eq!(none["wakes"][0]["cause"], "the project was made");
    world.eventually(&format!("/v1/projects/{id}/machine"), |m| m["appPort"] == 5173).await;
    world.machines.kill(&id);
    let path = format!("/v1/projects/{id}");
    world.eventually(&path, |p| p["state"] == "cold").await;
    // Reading does not wake it.
    for read in ["toft/messages", "toft/inspect", "toft/state", "toft/sessions", "machine"] {
        assert_eq!(world.ask(Call::get(&format!("{path}/{read}"))).await.status, 200, "{read}");
    }
    assert!(!world.machines.is_running(&id));
    let prompt = Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hi"}));
    assert_eq!(world.ask(prompt).await.status, 202);
    let machine = world.ask(Call::get(&format!("{path}/machine"))).await.data();
    assert_eq!(machine["wakes"][0]["cause"], "POST prompt");
    assert_eq!(machine["wakes"].as_array().unwrap().len(), 2);
    assert_eq!(machine["memoryBytes"], 1);
    assert_eq!(machine["appPort"], 5173);
    world.end(true).await;
}

#[tokio::test]
async fn a_machine_that_died_unnoticed_is_woken_by_the_request_that_finds_out() {
    let world = World::new().await;
    let id = world.project().await;
    for round in 0..5 {
        world.machines.kill(&id);
        let path = format!("/v1/projects/{id}");
        if round % 2 == 0 {
            let told = world.ask(Call::get(&format!("{path}/toft/files?path=/"))).await;
            assert_eq!(told.status, 200, "{}", told.text());
        } else {
            let body = json!({"command": "echo hi"});
            let done = world.ask(Call::post(&format!("{path}/exec"), &body)).await.data();
            assert_eq!(done["stdout"], "hi\n");
        }
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_machine_of_a_deleted_project_is_gone_even_if_it_was_just_woken() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let (deleted, _) = tokio::join!(
        world.ask(Call::new("DELETE", &path)),
        world.ask(Call::post(&format!("{path}/start"), &json!({}))),
    );
    deleted.data();
    assert!(!world.machines.is_running(&id));
    world.end(true).await;
}

#[tokio::test]
async fn a_project_made_while_the_server_sweeps_is_no_leftover() {
    let world = World::new().await;
    let old = world.project().await;
    *world.machines.sweep_takes.lock().unwrap() = Duration::from_millis(200);
    let world = world.restart().await;
    let new = world.project().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    for id in [&old, &new] {
        assert!(world.machines.is_running(id), "{id}");
        let found = world.ask(Call::get(&format!("/v1/projects/{id}"))).await.data();
        assert_eq!(found["state"], "running");
    }
    world.end(true).await;
}
