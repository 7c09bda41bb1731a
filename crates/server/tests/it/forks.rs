//! Forks: projects that grow out of another one, all of them or none.

use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use toft_model::{checkpoint::Ticket, id::ProjectId};

async fn fork(world: &World, id: &ProjectId, body: &Value) -> Vec<Value> {
    let made = world.ask(Call::post(&format!("/v1/projects/{id}/fork"), body)).await.data();
    made["projects"].as_array().unwrap().clone()
}

fn id_of(project: &Value) -> ProjectId {
    project["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_fork_is_a_project_with_its_own_machine_files_and_numbers() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "shared");
    let said = json!({"messageId": "m", "entryId": "e1", "parentId": null,
        "message": {"role": "user", "content": "hello", "timestamp": 1}});
    let seq = world.machines.push(&id, "s1", "message_end", &said);
    world.copied(&id, seq).await;
    let made = fork(&world, &id, &json!({})).await;
    assert_eq!(
        (made.len(), &made[0]["name"], &made[0]["state"]),
        (1, &json!("Shop fork"), &json!("running"))
    );
    let one = id_of(&made[0]);
    kept.write(&one, "/a", "its own");
    assert_eq!(kept.text(&id, "/a").as_deref(), Some("shared"));
    let (to, ticket) = kept.tickets.lock().unwrap().last().unwrap().clone();
    assert_eq!(to, one);
    assert!(
        matches!(&ticket, Ticket::Fork { from, seq: 1, checkpoint_id: None, .. } if *from == id),
        "{ticket:?}"
    );
    // Its events begin with its own; what was said before is read from its origin, also when that is
    // gone and the fork asleep.
    world.copied(&one, 1).await;
    world.ask(Call::post(&format!("/v1/projects/{one}/sleep"), &json!({}))).await.data();
    let read = async || {
        let path = format!("/v1/projects/{one}/toft/messages?sessionId=s1");
        let told = world.ask(Call::get(&path)).await.json();
        assert_eq!(told["data"]["seq"], 1, "{told}");
        told["data"]["messages"].clone()
    };
    let before = read().await;
    assert_eq!(before[0]["entryId"], "e1", "{before}");
    world.ask(Call::new("DELETE", &format!("/v1/projects/{id}"))).await.data();
    assert_eq!(read().await, before);
    let woken = world.ask(Call::post(&format!("/v1/projects/{one}/wake"), &json!({}))).await;
    assert_eq!(woken.data()["wakes"][1]["cause"], "the project was forked");
    world.end(true).await;
}

#[tokio::test]
async fn many_at_once_are_of_one_moment_with_names_of_their_own() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.kept.write(&id, "/a", "x");
    fork(&world, &id, &json!({})).await;
    let made = fork(&world, &id, &json!({"count": 3})).await;
    let names: Vec<_> = made.iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Shop fork 2", "Shop fork 3", "Shop fork 4"]);
    let tickets = world.machines.kept.tickets.lock().unwrap().clone();
    let from: Vec<_> = tickets[1..]
        .iter()
        .map(|(_, ticket)| match ticket {
            Ticket::Fork { checkpoint_id, .. } => checkpoint_id.clone().unwrap(),
            Ticket::Restore { .. } => panic!("{ticket:?}"),
        })
        .collect();
    assert!(from.len() == 3 && from.iter().all(|ck| *ck == from[0]), "{from:?}");
    let all = world.ask(Call::get(&format!("/v1/projects/{id}/checkpoints"))).await.data();
    assert_eq!(all["checkpoints"][0]["cause"], "fork");
    let named = fork(&world, &id, &json!({"count": 2, "name": "Try"})).await;
    assert_eq!((&named[0]["name"], &named[1]["name"]), (&json!("Try"), &json!("Try 2")));
    for bad in [
        json!({"count": 0}),
        json!({"count": 21}),
        json!({"name": " "}),
        json!({"sessionId": "s1"}),
        json!({"entryId": "e1"}),
        json!({"checkpointId": from[0], "sessionId": "s1", "entryId": "e1"}),
        json!({"what": 1}),
    ] {
        let call = Call::post(&format!("/v1/projects/{id}/fork"), &bad);
        world.ask(call).await.failure(400, "invalid_argument");
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_fork_of_a_checkpoint_has_its_files_and_its_rule() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "old");
    let path = format!("/v1/projects/{id}/checkpoints");
    let ck = world.ask(Call::post(&path, &json!({}))).await.data();
    kept.write(&id, "/a", "new");
    let rule = json!({"last": 7, "hourly": 0, "daily": 0, "automatic": false});
    let put = Call::new("PUT", &format!("/v1/projects/{id}/checkpoint-rule")).json(&rule);
    world.ask(put).await.data();
    // Also of another base: nothing is lost when its programs do not run.
    *kept.base.lock().unwrap() = "base-2".into();
    let made = fork(&world, &id, &json!({"checkpointId": ck["id"]})).await;
    let one = id_of(&made[0]);
    assert_eq!(kept.text(&one, "/a").as_deref(), Some("old"));
    let of_one = world.ask(Call::get(&format!("/v1/projects/{one}/checkpoints"))).await.data();
    assert_eq!((&of_one["rule"]["last"], &of_one["automatic"]), (&json!(7), &json!(false)));
    assert_eq!(of_one["checkpoints"], json!([]));
    world.end(true).await;
}

#[tokio::test]
async fn forks_that_cannot_be_made_leave_nothing() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.kept.is_full.store(true, Ordering::SeqCst);
    for count in [1, 3] {
        let call = Call::post(&format!("/v1/projects/{id}/fork"), &json!({"count": count}));
        world.ask(call).await.failure(507, "disk_full");
    }
    let all = world.ask(Call::get("/v1/projects")).await.data();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    world.machines.kept.is_full.store(false, Ordering::SeqCst);
    // One whose machine does not start is there, and says why.
    *world.machines.broken.lock().unwrap() = Some("broken".into());
    let made = fork(&world, &id, &json!({})).await;
    assert_eq!(made[0]["state"], "error");
    assert!(made[0]["stateReason"].as_str().unwrap().contains("broken"), "{}", made[0]);
    world.end(true).await;
}
