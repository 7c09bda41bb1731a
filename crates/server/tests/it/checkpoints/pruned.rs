//! Checkpoints that go by themselves: by the project's rule, while room is scarce, and half of one that a
//! dead server left.

use super::{listed, of, prompt, take, until};
use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// So many prompts, a second apart, each with its checkpoint.
async fn prompted(world: &World, id: &ProjectId, times: usize) {
    world.machines.disk(id).is_idle.store(true, Ordering::SeqCst);
    let before = listed(world, id).await.len();
    let mut seq = 0;
    for n in 1..=times {
        prompt(world, id, &json!({"message": "x", "entryId": format!("e{n}")})).await;
        seq += 4;
        world.copied(id, seq).await;
        until(world, id, |all| all.len() == before + n && !all[0]["message"].is_null()).await;
        world.advance(1_000);
    }
}

#[tokio::test]
async fn the_rule_lets_automatic_ones_go_and_a_persons_stay() {
    let world = World::new().await;
    let id = world.project().await;
    take(&world, &id, None).await;
    prompted(&world, &id, 4).await;
    let all = listed(&world, &id).await;
    let oldest = all[3]["id"].as_str().unwrap();
    let path = of(&id, &format!("checkpoints/{oldest}"));
    world.ask(Call::new("PATCH", &path).json(&json!({"label": "keep"}))).await.data();
    let rule = json!({"last": 1, "hourly": 0, "daily": 0, "automatic": true});
    world.ask(Call::new("PUT", &of(&id, "checkpoint-rule")).json(&rule)).await.data();
    let left = until(&world, &id, |all| all.len() == 3).await;
    let causes: Vec<_> = left.iter().map(|c| (&c["cause"], &c["label"])).collect();
    let (prompt_, manual) = (json!("prompt"), json!("manual"));
    assert_eq!(
        causes,
        [(&prompt_, &Value::Null), (&prompt_, &json!("keep")), (&manual, &Value::Null)]
    );
    assert_eq!(world.machines.kept.ids(&id).len(), 3);
    // What is left out stays.
    let put = Call::new("PUT", &of(&id, "checkpoint-rule")).json(&json!({"daily": 2}));
    let want = json!({"last": 1, "hourly": 0, "daily": 2, "automatic": true});
    assert_eq!(world.ask(put).await.data(), want);
    for bad in [
        json!({"automatic": "yes"}),
        json!({"last": -1, "hourly": 0, "daily": 0, "automatic": true}),
        json!({"last": 10_001, "hourly": 0, "daily": 0, "automatic": true}),
        json!({"last": 1, "hourly": 0, "daily": 0, "automatic": true, "weekly": 1}),
    ] {
        let put = Call::new("PUT", &of(&id, "checkpoint-rule")).json(&bad);
        world.ask(put).await.failure(400, "invalid_argument");
    }
    world.end(true).await;
}

#[tokio::test]
async fn checkpoints_yield_while_room_is_scarce_and_the_list_says_so() {
    let world = World::new().await;
    let id = world.project().await;
    prompted(&world, &id, 5).await;
    world.machines.kept.is_scarce.store(true, Ordering::SeqCst);
    let all = world.ask(Call::get(&of(&id, "checkpoints"))).await.data();
    assert_eq!(all["rule"]["last"], 50, "the person's rule stays what it is");
    let why = all["why"].as_str().unwrap_or_default();
    assert!(why.contains("less than 4 MiB are free") && why.contains("the last 3"), "{all}");
    let same = json!({"automatic": true});
    world.ask(Call::new("PUT", &of(&id, "checkpoint-rule")).json(&same)).await.data();
    until(&world, &id, |all| all.len() == 3).await;
    assert_eq!(world.machines.kept.ids(&id).len(), 3);
    world.end(true).await;
}

#[tokio::test]
async fn what_a_dead_server_left_half_done_is_gone_with_the_next() {
    let world = World::new().await;
    let id = world.project().await;
    let (one, two) = (take(&world, &id, None).await, take(&world, &id, None).await);
    // A row whose copy is gone, and a copy that never got its row.
    world.machines.kept.lose(&id, &one["id"].as_str().unwrap().parse().unwrap());
    let half = CheckpointId::random();
    world.machines.kept.checkpoint(&id, &half).await.unwrap();
    let world = world.restart().await;
    assert_eq!(listed(&world, &id).await, std::slice::from_ref(&two));
    let ids = world.machines.kept.ids(&id);
    let left: Vec<&str> = ids.iter().map(CheckpointId::as_str).collect();
    assert_eq!(left, [two["id"].as_str().unwrap()]);
    world.end(true).await;
}
