//! Making, finding, renaming and deleting projects.

use crate::{client::Call, world::World};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_project_is_made_found_renamed_and_deleted() {
    let world = World::new().await;
    let made = world.ask(Call::post("/v1/projects", &json!({"name": "Shop"}))).await.data();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["created"], true);
    assert_eq!(made["state"], "running");
    assert_eq!(made["alias"], json!(null));
    assert_eq!(made["latestRunId"], json!(null));
    assert_eq!(made["agentStatus"], "idle");
    assert_eq!(made["url"], format!("http://{id}.localhost:{}", world.addr.port()));
    assert_eq!(made["createdAt"], "2023-11-14T22:13:20.000Z");

    let path = format!("/v1/projects/{id}");
    let renamed = world.ask(Call::new("PATCH", &path).json(&json!({"name": "Till"}))).await.data();
    assert_eq!(renamed["name"], "Till");
    let list = world.ask(Call::get("/v1/projects")).await.data();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(world.ask(Call::get("/v1/projects?offset=1")).await.data(), json!([]));

    let gone = world.ask(Call::new("DELETE", &path)).await.data();
    assert_eq!(gone, json!({"id": id, "deleted": true}));
    world.ask(Call::get(&path)).await.failure(404, "not_found");
    world.ask(Call::new("DELETE", &path)).await.failure(404, "not_found");
    assert!(!world.machines.is_running(&id.parse().unwrap()));
    let again = json!({"id": id});
    world.ask(Call::post("/v1/projects", &again)).await.failure(409, "conflict");
    world.end(true).await;
}

#[tokio::test]
async fn one_alias_is_one_project_however_many_ask_at_once() {
    let world = World::new().await;
    let body = json!({"id": "default", "name": "One"});
    let all = futures_util::future::join_all(
        (0..12).map(|_| world.ask(Call::post("/v1/projects", &body))),
    )
    .await;
    let data: Vec<_> = all.iter().map(crate::client::Answer::data).collect();
    assert_eq!(data.iter().filter(|d| d["created"] == true).count(), 1);
    assert!(data.iter().all(|d| d["id"] == data[0]["id"] && d["alias"] == "default"));
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), 1);
    let by_alias = world.ask(Call::get("/v1/projects/default")).await.data();
    assert_eq!(by_alias["id"], data[0]["id"]);

    // Found: what else is said is judged, and changes nothing.
    let settings = format!("/v1/projects/{}/egress", data[0]["id"].as_str().unwrap());
    let before = world.ask(Call::get(&settings)).await.data();
    let other = json!({"id": "default", "name": "Two", "egress": {"level": "none"}});
    let found = world.ask(Call::post("/v1/projects", &other)).await.data();
    assert_eq!((&found["created"], &found["name"]), (&json!(false), &json!("One")));
    assert_ne!(before["level"], "none");
    assert_eq!(world.ask(Call::get(&settings)).await.data(), before);
    for wrong in
        [json!({"name": ""}), json!({"image": "none"}), json!({"egress": {"level": "wide"}})]
    {
        let mut body = json!({"id": "default"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_ne!(world.ask(Call::post("/v1/projects", &body)).await.status, 200, "{wrong}");
    }
    world.end(true).await;
}

#[tokio::test]
async fn bad_bodies_get_a_code_and_a_sentence() {
    let world = World::new().await;
    let post = |body: &str| Call::new("POST", "/v1/projects").body(body);
    for (body, code) in [
        ("{", "invalid_json"),
        ("nonsense", "invalid_json"),
        ("[]", "invalid_argument"),
        (r#"{"name": 7}"#, "invalid_argument"),
        (r#"{"name": "  "}"#, "invalid_argument"),
        (r#"{"id": "../x"}"#, "invalid_argument"),
        (r#"{"id": ""}"#, "invalid_argument"),
    ] {
        world.ask(post(body)).await.failure(400, code);
    }
    let large = "x".repeat((1 << 20) + 1);
    world.ask(post(&large)).await.failure(413, "payload_too_large");
    for query in ["limit=0", "limit=x", "limit=1001", "offset=-1"] {
        let path = format!("/v1/projects?{query}");
        world.ask(Call::get(&path)).await.failure(400, "invalid_argument");
    }
    for path in ["/v1/projects/a23456789bcd", "/v1/projects/nothing", "/v1/projects/..%2f"] {
        world.ask(Call::get(path)).await.failure(404, "not_found");
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_machine_that_does_not_start_leaves_a_project_that_says_why() {
    let world = World::new().await;
    *world.machines.broken.lock().unwrap() = Some("no space for a namespace".into());
    let made = world.ask(Call::post("/v1/projects", &json!({}))).await.data();
    assert_eq!(made["state"], "error");
    assert!(made["stateReason"].as_str().unwrap().contains("no space for a namespace"));
    let id = made["id"].as_str().unwrap().to_owned();
    let world = world.restart().await;
    let path = format!("/v1/projects/{id}");
    let found = world.ask(Call::get(&path)).await.data();
    assert_eq!((&found["state"], &found["stateReason"]), (&made["state"], &made["stateReason"]));
    world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.failure(502, "machine_error");
    *world.machines.broken.lock().unwrap() = None;
    let started = world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
    assert_eq!((&started["state"], &started["stateReason"]), (&json!("running"), &json!(null)));
    world.end(true).await;
}
