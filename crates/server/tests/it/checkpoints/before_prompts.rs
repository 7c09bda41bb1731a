//! Checkpoints that are taken by themselves before prompts, and why there is sometimes none.

use super::{listed, of, prompt, said, until};
use crate::{client::Call, world::World};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use toft_model::checkpoint::{Place, Ticket};

#[tokio::test]
async fn before_each_prompt_one_is_taken_and_told_its_message() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.disk(&id).is_idle.store(true, Ordering::SeqCst);
    world.machines.kept.write(&id, "/a", "before");
    prompt(&world, &id, &json!({"message": "hi", "entryId": "e1"})).await;
    let bound = until(&world, &id, |all| all.iter().any(|c| !c["message"].is_null())).await;
    assert_eq!((bound.len(), &bound[0]["cause"]), (1, &json!("prompt")));
    assert_eq!(bound[0]["message"], json!({"sessionId": "s1", "leafEntryId": "e1"}));
    assert_eq!((&bound[0]["seq"], &bound[0]["sessions"]), (&json!(0), &json!([])));
    world.copied(&id, 4).await;
    world.machines.kept.write(&id, "/a", "after");
    let again = json!({"message": "more", "entryId": "e2", "parentId": "e1", "sessionId": "s1"});
    prompt(&world, &id, &again).await;
    until(&world, &id, |all| all.len() == 2 && !all[0]["message"].is_null()).await;

    // How its message begins is told to who asks for it.
    assert_eq!(listed(&world, &id).await[0].get("prompt"), None);
    let all = world.ask(Call::get(&of(&id, "checkpoints?prompts=true"))).await.data();
    let told: Vec<_> = [0, 1].iter().map(|n| &all["checkpoints"][*n]["prompt"]).collect();
    assert_eq!(told, ["more", "hi"]);

    // A prompt that is only queued leaves none.
    prompt(&world, &id, &json!({"message": "then", "streamingBehavior": "followUp"})).await;
    until(&world, &id, |all| all.len() == 2).await;

    // Back to before a message, and what is no such message.
    let to = |entry: &str, session: &str| {
        let body = json!({"sessionId": session, "entryId": entry});
        world.ask(Call::post(&of(&id, "restore-message"), &body))
    };
    let done = to("e1", "s1").await.data();
    assert_eq!(world.machines.kept.text(&id, "/a").as_deref(), Some("before"));
    assert_eq!(done["checkpoint"]["message"]["leafEntryId"], "e1");
    to("e9", "s1").await.failure(404, "not_found");
    to("e1", "s2").await.failure(404, "not_found");
    // One that is known and has none.
    let seq = world.machines.push(&id, "s1", "message_end", &said("e3", Some("e1"), "user"));
    world.copied(&id, seq).await;
    let told = to("e3", "s1").await.failure(409, "no_checkpoint");
    assert!(told.contains("GET"), "{told}");
    let fork = json!({"sessionId": "s1", "entryId": "e3"});
    world.ask(Call::post(&of(&id, "fork"), &fork)).await.failure(409, "no_checkpoint");
    world.end(true).await;
}

#[tokio::test]
async fn a_message_that_came_another_way_has_one_taken_at_once_and_stands_before_it() {
    let world = World::new().await;
    let id = world.project().await;
    // What reaches the server long after it was said has none: the disk is another by now.
    world.machines.push(&id, "s1", "message_end", &said("old", None, "user"));
    let seq =
        world.machines.push(&id, "s1", "message_end", &said("reply", Some("old"), "assistant"));
    world.copied(&id, seq).await;
    assert_eq!(listed(&world, &id).await.len(), 0);
    // The test's bridge says everything at about second one.
    world.now.store(1_010, Ordering::SeqCst);
    world.machines.push(&id, "s1", "message_end", &said("new", Some("reply"), "user"));
    let all = until(&world, &id, |all| all.len() == 1).await;
    assert_eq!(all[0]["message"], json!({"sessionId": "s1", "leafEntryId": "new"}));
    let body = json!({"sessionId": "s1", "entryId": "new"});
    world.ask(Call::post(&of(&id, "restore-message"), &body)).await.data();
    let (_, ticket) = world.machines.kept.tickets.lock().unwrap().last().unwrap().clone();
    let want = Place { session_id: "s1".parse().unwrap(), leaf_entry_id: Some("reply".into()) };
    assert!(
        matches!(&ticket, Ticket::Restore { place: Some(place), .. } if *place == want),
        "{ticket:?}"
    );
    world.end(true).await;
}

#[tokio::test]
async fn a_prompt_never_fails_for_want_of_a_checkpoint_and_the_list_says_why_there_is_none() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.disk(&id).is_idle.store(true, Ordering::SeqCst);
    let kept = &world.machines.kept;
    let why = async || {
        let all = world.ask(Call::get(&of(&id, "checkpoints"))).await.data();
        (all["automatic"].as_bool().unwrap(), all["why"].as_str().unwrap_or_default().to_owned())
    };
    kept.is_full.store(true, Ordering::SeqCst);
    prompt(&world, &id, &json!({"message": "full"})).await;
    let (automatic, said) = why().await;
    assert!(automatic && said.contains("full"), "{said}");
    kept.is_full.store(false, Ordering::SeqCst);
    world.copied(&id, 4).await;
    // One that hangs: the prompt goes on without it, and what comes of it is dropped.
    *kept.takes.lock().unwrap() = Duration::from_secs(3);
    prompt(&world, &id, &json!({"message": "slow", "entryId": "e2"})).await;
    let (_, said) = why().await;
    assert!(said.contains("longer than 2 s"), "{said}");
    *kept.takes.lock().unwrap() = Duration::ZERO;
    let is_over = || kept.taken.load(Ordering::SeqCst) == 1 && kept.ids(&id).is_empty();
    until(&world, &id, |all| all.is_empty() && is_over()).await;
    // A storage that copies file by file, and a project that is too large for it.
    {
        let mut can = kept.can.lock().unwrap();
        (can.live_checkpoint, can.freeze) = (false, true);
    }
    world.copied(&id, 8).await;
    prompt(&world, &id, &json!({"message": "small", "entryId": "e3"})).await;
    until(&world, &id, |all| all.len() == 1).await;
    let (automatic, said) = why().await;
    assert!(automatic && said.contains("file by file"), "{said}");
    kept.is_small.store(false, Ordering::SeqCst);
    world.copied(&id, 12).await;
    prompt(&world, &id, &json!({"message": "large", "entryId": "e4"})).await;
    let (_, said) = why().await;
    assert!(said.contains("5000 files"), "{said}");
    // One that cannot be paused meanwhile either.
    kept.can.lock().unwrap().freeze = false;
    let (automatic, said) = why().await;
    assert!(!automatic && said.contains("by hand"), "{said}");
    // Switched off, and a backend without any.
    let rule = json!({"last": 5, "hourly": 0, "daily": 0, "automatic": false});
    let put = world.ask(Call::new("PUT", &of(&id, "checkpoint-rule")).json(&rule)).await.data();
    assert_eq!(put, rule);
    assert_eq!(why().await, (false, String::new()));
    *kept.can.lock().unwrap() = toft_model::machine::Can::default();
    let (automatic, said) = why().await;
    assert!(!automatic && said.contains("native"), "{said}");
    prompt(&world, &id, &json!({"message": "none", "entryId": "e5"})).await;
    assert_eq!(listed(&world, &id).await.len(), 1);
    world.end(true).await;
}
