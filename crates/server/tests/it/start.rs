//! Starting and ending a server.

use crate::{
    backend::Machines,
    client::Call,
    world::{AGENT_KEY, START_MS, World, config},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_server::ServerError;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_second_server_on_the_same_folder_and_a_taken_port_are_refused() {
    let world = World::new().await;
    let now = Arc::new(AtomicU64::new(START_MS));
    let second = config(world.data.path(), &now);
    let run = |config| toft_server::run(config, Machines::new(), CancellationToken::new(), |_| {});
    assert!(matches!(run(second).await, Err(ServerError::Running { .. })));

    let other = tempfile::tempdir().unwrap();
    let mut third = config(other.path(), &now);
    third.listen = world.addr;
    let error = run(third).await.unwrap_err();
    assert!(matches!(error, ServerError::PortInUse { .. }));
    assert!(error.to_string().contains(&world.addr.port().to_string()), "{error}");

    let mut fourth = config(other.path(), &now);
    fourth.domain = Some("toft.example.org".into());
    fourth.preview_domain = Some("apps.toft.example.org".into());
    assert!(matches!(run(fourth).await, Err(ServerError::Host { .. })));
    world.end(false).await;
}

#[tokio::test]
async fn it_says_what_it_is_without_credentials() {
    let world = World::new().await;
    let root = world.send(Call::get("/")).await.json();
    assert_eq!(root, world.send(Call::get("/v1")).await.data());
    assert_eq!(world.send(Call::get("/health")).await.json()["status"], "ok");
    assert_eq!(world.send(Call::get("/v1/health")).await.data()["status"], "ok");
    let bare = world.send(Call::get("/capabilities")).await.json();
    assert_eq!(world.send(Call::get("/v1/capabilities")).await.data(), bare);
    assert!(bare["constraints"]["noArbitraryShell"].is_boolean());
    assert_eq!(world.send(Call::get("/v1")).await.data()["version"], "1.2.3");
    let page = world.send(Call::get("/").header("accept", "text/html")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"));
    assert!(policy.contains(&format!("http://*.localhost:{};", world.addr.port())), "{policy}");
    world.end(false).await;
}

#[tokio::test]
async fn a_regular_end_leaves_machines_running_and_shutdown_may_stop_them() {
    let world = World::new().await;
    let id = world.project().await;
    let world = world.restart().await;
    assert!(world.machines.is_running(&id));
    let found = world.ask(Call::get(&format!("/v1/projects/{id}"))).await.data();
    assert_eq!(found["state"], "running");

    let shutdown = Call::post("/v1/shutdown", &json!({"stopMachines": true}));
    world.ask(shutdown.clone()).await.failure(403, "forbidden");
    let token = world.cli_token();
    world.send(shutdown.key(&token)).await.data();
    let machines = world.machines.clone();
    world.end(false).await;
    assert!(!machines.is_running(&id));
}

#[tokio::test]
async fn no_machine_starts_once_all_are_being_stopped() {
    let world = World::new().await;
    let id = world.project().await;
    *world.machines.kept.takes.lock().unwrap() = Duration::from_millis(300);
    let fork = Call::post(&format!("/v1/projects/{id}/fork"), &json!({"count": 2}));
    let addr = world.addr;
    let asked = tokio::spawn(async move { fork.key(AGENT_KEY).send(addr).await });
    world.eventually("/v1/me", |_| world.machines.kept.begun.load(Ordering::SeqCst) > 0).await;
    let machines = Arc::clone(&world.machines);
    world.end(true).await;
    // Its answer may be cut off.
    let _ = asked.await;
    let tickets = machines.kept.tickets.lock().unwrap().clone();
    assert_eq!(tickets.len(), 2);
    assert!(!tickets.iter().any(|(fork, _)| machines.is_running(fork)));
}

#[tokio::test]
async fn a_cold_machine_stays_wanted_after_the_machines_were_stopped_with_the_server() {
    let world = World::new().await;
    let id = world.project().await;
    world.stop.stop(true);
    let world = world.restart().await;
    let found = world.ask(Call::get(&format!("/v1/projects/{id}"))).await.data();
    assert_eq!(found["state"], "cold");
    let path = format!("/v1/projects/{id}/wake");
    assert_eq!(world.ask(Call::post(&path, &json!({}))).await.data()["state"], "running");
    world.end(true).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_envelope() {
    let world = World::new().await;
    for call in [
        Call::get("/v1/nothing"),
        Call::get("/v1/projects/x/y/z"),
        Call::get("/llm"),
        Call::get("/v1/nothing").header("accept", "text/html"),
    ] {
        world.send(call).await.failure(404, "not_found");
    }
    for (method, path, allow) in
        [("DELETE", "/v1/me", "GET,HEAD,PATCH"), ("OPTIONS", "/v1/projects/x/exec", "POST")]
    {
        let answer = world.send(Call::new(method, path)).await;
        answer.failure(405, "method_not_allowed");
        assert_eq!(answer.headers["allow"], allow);
    }
    let page = world.send(Call::get("/settings").header("accept", "text/html")).await;
    assert_eq!(page.status, 200);
    world.end(false).await;
}
