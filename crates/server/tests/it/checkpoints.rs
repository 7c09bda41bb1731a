//! Checkpoints: taken, listed and compared by hand. What takes them by itself, goes back to them and lets
//! them go is told in the files below.

mod before_prompts;
mod pruned;
mod restores;

use crate::{client::Call, world::World};
use serde_json::{Value, json};
use toft_model::id::ProjectId;

fn of(id: &ProjectId, rest: &str) -> String {
    format!("/v1/projects/{id}/{rest}")
}

async fn take(world: &World, id: &ProjectId, label: Option<&str>) -> Value {
    world.ask(Call::post(&of(id, "checkpoints"), &json!({"label": label}))).await.data()
}

async fn listed(world: &World, id: &ProjectId) -> Vec<Value> {
    let all = world.ask(Call::get(&of(id, "checkpoints"))).await.data();
    all["checkpoints"].as_array().unwrap().clone()
}

async fn prompt(world: &World, id: &ProjectId, body: &Value) {
    let sent = world.ask(Call::post(&of(id, "toft/prompt"), body)).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

/// Waits until the list is as wanted.
async fn until(world: &World, id: &ProjectId, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let all = world
        .eventually(&of(id, "checkpoints"), |all| fits(all["checkpoints"].as_array().unwrap()))
        .await;
    all["checkpoints"].as_array().unwrap().clone()
}

fn said(entry: &str, parent: Option<&str>, role: &str) -> Value {
    json!({"messageId": entry, "entryId": entry, "parentId": parent,
        "message": {"role": role, "content": entry, "timestamp": 1}})
}

#[tokio::test]
async fn a_checkpoint_is_taken_named_listed_renamed_and_deleted() {
    let world = World::new().await;
    let id = world.project().await;
    let seq = world.machines.push(&id, "s1", "message_end", &said("a", None, "user"));
    world.copied(&id, seq).await;
    let one = take(&world, &id, Some("  good  ")).await;
    assert_eq!((&one["label"], &one["cause"]), (&json!("good"), &json!("manual")));
    assert_eq!(
        (&one["projectId"], &one["base"], &one["seq"]),
        (&json!(id), &json!("base-1"), &json!(seq))
    );
    assert_eq!(one["sessions"], json!([{"sessionId": "s1", "leafEntryId": "a"}]));
    let two = take(&world, &id, None).await;
    let all = world.ask(Call::get(&of(&id, "checkpoints"))).await.data();
    assert_eq!(all["checkpoints"], json!([two, one]), "newest first");
    assert_eq!(all["rule"], json!({"last": 50, "hourly": 24, "daily": 14}));
    assert_eq!((&all["automatic"], all.get("why")), (&json!(true), None));

    let path = of(&id, &format!("checkpoints/{}", one["id"].as_str().unwrap()));
    assert_eq!(world.ask(Call::get(&path)).await.data(), one);
    let named = world.ask(Call::new("PATCH", &path).json(&json!({"label": "best"}))).await.data();
    assert_eq!(named["label"], "best");
    let bare = world.ask(Call::new("PATCH", &path).json(&json!({"label": null}))).await.data();
    assert_eq!(bare["label"], Value::Null);
    world.ask(Call::new("PATCH", &path).json(&json!({}))).await.failure(400, "invalid_argument");
    let long = json!({"label": "x".repeat(101)});
    world.ask(Call::new("PATCH", &path).json(&long)).await.failure(400, "invalid_argument");
    let gone = world.ask(Call::new("DELETE", &path)).await.data();
    assert_eq!(gone, json!({"id": one["id"], "deleted": true}));
    assert_eq!(world.machines.kept.ids(&id).len(), 1, "its copy went with it");
    for call in [Call::get(&path), Call::new("DELETE", &path)] {
        world.ask(call).await.failure(404, "not_found");
    }
    world.end(true).await;
}

#[tokio::test]
async fn ids_that_are_wrong_or_of_another_project_are_not_found() {
    let world = World::new().await;
    let (id, other) = (world.project().await, world.project().await);
    let theirs = take(&world, &other, None).await["id"].as_str().unwrap().to_owned();
    for wrong in [theirs.as_str(), "nothing", "a23456789bcd", "%2e%2e"] {
        let path = of(&id, &format!("checkpoints/{wrong}"));
        for call in [
            Call::get(&path),
            Call::new("DELETE", &path),
            Call::new("PATCH", &path).json(&json!({"label": "x"})),
            Call::get(&format!("{path}/diff")),
            Call::post(&format!("{path}/restore"), &json!({})),
            Call::post(&of(&id, "fork"), &json!({"checkpointId": wrong})),
        ] {
            world.ask(call).await.failure(404, "not_found");
        }
    }
    let mine = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    let diff = of(&id, &format!("checkpoints/{mine}/diff?to={theirs}"));
    world.ask(Call::get(&diff)).await.failure(404, "not_found");
    assert!(world.machines.is_running(&id) && listed(&world, &other).await.len() == 1);
    // With the project its checkpoints are gone.
    world.ask(Call::new("DELETE", &format!("/v1/projects/{other}"))).await.data();
    world.ask(Call::get(&of(&other, "checkpoints"))).await.failure(404, "not_found");
    world.end(true).await;
}

#[tokio::test]
async fn a_diff_names_files_and_conversations_and_shows_one_text() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/home/project/a", "one\n");
    world.machines.push(&id, "s1", "message_end", &said("a", None, "user"));
    let seq = world.machines.push(&id, "s2", "message_end", &said("x", None, "user"));
    world.copied(&id, seq).await;
    let first = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    kept.write(&id, "/home/project/a", "two\n");
    kept.write(&id, "/home/project/b", "new\n");
    world.machines.push(&id, "s1", "message_end", &said("b", Some("a"), "assistant"));
    let seq = world.machines.push(&id, "s3", "message_end", &said("y", None, "user"));
    world.copied(&id, seq).await;
    let diff = of(&id, &format!("checkpoints/{first}/diff"));
    let found = world.ask(Call::get(&diff)).await.data();
    assert_eq!(
        found["changes"],
        json!([{"path": "/home/project/a", "kind": "modified", "sizeBefore": 4, "sizeAfter": 4},
               {"path": "/home/project/b", "kind": "added", "sizeBefore": null, "sizeAfter": 4}])
    );
    assert_eq!(found["truncated"], false);
    let name = "a conversation";
    assert_eq!(
        found["affectedSessions"],
        json!([{"sessionId": "s1", "name": name, "messagesAfter": 1},
               {"sessionId": "s3", "name": name, "messagesAfter": 1}])
    );
    let text = world.ask(Call::get(&format!("{diff}?to=now&path=/home/project/a"))).await.data();
    assert_eq!((&text["before"], &text["after"]), (&json!("one\n"), &json!("two\n")));
    assert_eq!(
        text["unified"],
        "--- /home/project/a\n+++ /home/project/a\n@@ -1 +1 @@\n-one\n+two\n"
    );
    let none = world.ask(Call::get(&format!("{diff}?path=/home/project/none"))).await.data();
    assert!(none["note"].as_str().is_some_and(|note| !note.is_empty()), "{none}");
    kept.write(&id, "/big", &"x".repeat((1 << 20) + 1));
    let big = world.ask(Call::get(&format!("{diff}?path=/big"))).await.data();
    assert!(big["note"].as_str().unwrap().contains("1048576"), "{}", big["note"]);
    world.ask(Call::get(&format!("{diff}?path=relative"))).await.failure(400, "invalid_argument");
    // Between two checkpoints.
    let second = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    let same = world.ask(Call::get(&of(&id, &format!("checkpoints/{second}/diff?to={second}"))));
    assert_eq!(
        same.await.data(),
        json!({"changes": [], "truncated": false, "affectedSessions": []})
    );
    world.end(true).await;
}
