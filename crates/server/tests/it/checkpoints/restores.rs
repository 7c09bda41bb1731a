//! Going back to a checkpoint: what it keeps, what a failure leaves, what others meet meanwhile, and what
//! of it the copy shows.

use super::{listed, of, said, take, until};
use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};
use toft_model::checkpoint::{Place, Ticket};

#[tokio::test]
async fn a_restore_keeps_what_was_and_leaves_the_machine_as_it_was() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "old");
    let ck = take(&world, &id, Some("before the change")).await;
    let restore = of(&id, &format!("checkpoints/{}/restore", ck["id"].as_str().unwrap()));
    kept.write(&id, "/a", "new");
    let seq = world.machines.push(&id, "s1", "message_end", &said("a", None, "user"));
    world.copied(&id, seq).await;
    let starts = world.machines.starts.load(Ordering::SeqCst);
    let done = world.ask(Call::post(&restore, &json!({}))).await.data();
    assert_eq!(kept.text(&id, "/a").as_deref(), Some("old"));
    assert_eq!(done["checkpoint"], ck);
    assert_eq!(done["before"]["cause"], "restore");
    assert_eq!(done["before"]["seq"], seq);
    let affected = json!([{"sessionId": "s1", "name": "a conversation", "messagesAfter": 1}]);
    assert_eq!(done["affectedSessions"], affected);
    assert_eq!(done["machine"]["state"], "running");
    assert_eq!(done["machine"]["wakes"][0]["cause"], "it went back to a checkpoint");
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts + 1);
    let (project, ticket) = kept.tickets.lock().unwrap().last().unwrap().clone();
    let Ticket::Restore { checkpoint_id, label, place, .. } = ticket else { panic!("{ticket:?}") };
    assert_eq!((project, checkpoint_id.as_str()), (id.clone(), ck["id"].as_str().unwrap()));
    assert_eq!((label.as_deref(), place), (Some("before the change"), None));

    // Back again, with a place of the caller's own. One that a person has stopped stays so; one that
    // slept starts, because only its bridge can say where conversations stand.
    for (verb, state) in [("stop", "stopped"), ("start", "running"), ("sleep", "running")] {
        world.ask(Call::post(&of(&id, verb), &json!({}))).await.data();
        kept.write(&id, "/a", verb);
        let starts = world.machines.starts.load(Ordering::SeqCst);
        let body = json!({"place": {"sessionId": "s1", "leafEntryId": "a"}});
        let done = world.ask(Call::post(&restore, &body)).await.data();
        assert_eq!(done["machine"]["state"], state);
        let again = u64::from(state == "running");
        assert_eq!(world.machines.starts.load(Ordering::SeqCst) as u64, starts as u64 + again);
        assert_eq!(kept.text(&id, "/a").as_deref(), Some("old"));
        let before =
            of(&id, &format!("checkpoints/{}/restore", done["before"]["id"].as_str().unwrap()));
        world.ask(Call::post(&before, &json!({}))).await.data();
        assert_eq!(kept.text(&id, "/a").as_deref(), Some(verb));
        let (_, ticket) = kept.tickets.lock().unwrap().iter().nth_back(1).unwrap().clone();
        let want = Place { session_id: "s1".parse().unwrap(), leaf_entry_id: Some("a".into()) };
        assert!(matches!(ticket, Ticket::Restore { place: Some(place), .. } if place == want));
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_restore_that_fails_changes_nothing() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "old");
    let ck = take(&world, &id, None).await;
    let seq = world.machines.push(&id, "s1", "message_end", &said("a", None, "user"));
    world.copied(&id, seq).await;
    let restore = of(&id, &format!("checkpoints/{}/restore", ck["id"].as_str().unwrap()));
    kept.write(&id, "/a", "new");
    // Over other system programs: refused before anything is ended, unless forced.
    *kept.base.lock().unwrap() = "base-2".into();
    let starts = world.machines.starts.load(Ordering::SeqCst);
    let said = world.ask(Call::post(&restore, &json!({}))).await.failure(409, "base_changed");
    assert!(said.contains("force") && said.contains("base-1"), "{said}");
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts);
    // To a place that nobody knows: likewise.
    for (place, says) in [
        (json!({"sessionId": "s9", "leafEntryId": null}), "there is no conversation \"s9\""),
        (json!({"sessionId": "s1", "leafEntryId": "never"}), "no entry \"never\""),
    ] {
        let body = json!({"force": true, "place": place});
        let said = world.ask(Call::post(&restore, &body)).await.failure(404, "not_found");
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts);
    // The disk is full: it runs again, as it was, and no checkpoint tells of what did not happen.
    for broken in [&kept.is_full, &kept.breaks] {
        broken.store(true, Ordering::SeqCst);
        let force = json!({"force": true});
        world.ask(Call::post(&restore, &force)).await.failure(507, "disk_full");
        assert_eq!(kept.text(&id, "/a").as_deref(), Some("new"));
        let machine = world.ask(Call::get(&of(&id, "machine"))).await.data();
        assert_eq!(machine["state"], "running");
        assert_eq!(machine["wakes"][0]["cause"], "going back to a checkpoint failed");
        assert_eq!((listed(&world, &id).await.len(), kept.ids(&id).len()), (1, 1));
        broken.store(false, Ordering::SeqCst);
    }
    let done = world.ask(Call::post(&restore, &json!({"force": true}))).await.data();
    assert_eq!(done["machine"]["state"], "running");
    assert_eq!(kept.text(&id, "/a").as_deref(), Some("old"));
    world.end(true).await;
}

#[tokio::test]
async fn what_a_restore_left_behind_outlives_any_rule() {
    let world = World::new().await;
    let id = world.project().await;
    let rule = json!({"last": 0, "hourly": 0, "daily": 0, "automatic": true});
    world.ask(Call::new("PUT", &of(&id, "checkpoint-rule")).json(&rule)).await.data();
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "old");
    let one = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    let mut left = Vec::new();
    for text in ["newer", "newest"] {
        kept.write(&id, "/a", text);
        let restore = of(&id, &format!("checkpoints/{one}/restore"));
        let done = world.ask(Call::post(&restore, &json!({}))).await.data();
        left.push(done["before"]["id"].clone());
    }
    // The rule let the first one go when the second was taken, and never lets the newest go.
    let all = until(&world, &id, |all| all.iter().all(|c| c["id"] != left[0])).await;
    assert!(all.iter().any(|c| c["id"] == left[1]), "{all:?}");
    let back = of(&id, &format!("checkpoints/{}/restore", left[1].as_str().unwrap()));
    world.ask(Call::post(&back, &json!({}))).await.data();
    assert_eq!(kept.text(&id, "/a").as_deref(), Some("newest"));
    world.end(true).await;
}

#[tokio::test]
async fn two_restores_at_once_are_one_after_the_other_and_a_wake_waits_for_both() {
    let world = World::new().await;
    let id = world.project().await;
    let kept = &world.machines.kept;
    kept.write(&id, "/a", "1");
    let one = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    kept.write(&id, "/a", "2");
    let two = take(&world, &id, None).await["id"].as_str().unwrap().to_owned();
    *kept.takes.lock().unwrap() = Duration::from_millis(50);
    *world.machines.stop_takes.lock().unwrap() = Duration::from_millis(50);
    let back = |ck: &str| {
        world.ask(Call::post(&of(&id, &format!("checkpoints/{ck}/restore")), &json!({})))
    };
    let wake = world.ask(Call::post(&of(&id, "toft/prompt"), &json!({"message": "hi"})));
    // The fake backend fails the test if a restore meets a running machine.
    let (a, b, prompted) = tokio::join!(back(&one), back(&two), wake);
    let (a, b) = (a.data(), b.data());
    assert_eq!(prompted.status, 202, "{}", prompted.text());
    assert_eq!(
        (&a["machine"]["state"], &b["machine"]["state"]),
        (&json!("running"), &json!("running"))
    );
    let text = kept.text(&id, "/a").unwrap();
    // Each kept what the other had made of it.
    let before = listed(&world, &id).await.iter().filter(|c| c["cause"] == "restore").count();
    assert!(before == 2 && (text == "1" || text == "2"), "{before} {text}");
    world.end(true).await;
}

#[tokio::test]
async fn the_copy_shows_the_branch_that_a_restore_went_back_to() {
    let world = World::new().await;
    let id = world.project().await;
    let push = |kind: &str, data: &Value| world.machines.push(&id, "s1", kind, data);
    push("message_end", &said("a", None, "user"));
    push("message_end", &said("b", Some("a"), "assistant"));
    push("message_end", &said("c", Some("b"), "user"));
    let moved = json!([{"sessionId": "s1", "fromEntryId": "c", "toEntryId": "b"}]);
    push(
        "restored",
        &json!({"checkpointId": "a23456789bcd", "label": null, "takenAt": 1, "sessions": moved}),
    );
    let seq = push("message_end", &said("d", Some("leaf"), "user"));
    world.copied(&id, seq).await;
    world.ask(Call::post(&of(&id, "sleep"), &json!({}))).await.data();
    let told = world.ask(Call::get(&of(&id, "toft/messages?sessionId=s1"))).await.json();
    let entries: Vec<_> = told["data"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["entryId"].as_str().unwrap())
        .collect();
    assert_eq!(entries, ["a", "b", "d"]);
    let went = &told["data"]["restores"];
    assert_eq!(
        (&went[0]["afterEntryId"], &went[0]["checkpointId"]),
        (&json!("b"), &json!("a23456789bcd"))
    );
    assert_eq!((went.as_array().unwrap().len(), &went[0]["takenAt"]), (1, &json!(1)));
    world.end(true).await;
}
