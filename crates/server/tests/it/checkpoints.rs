//! Checkpoints: taken, listed, compared, gone back to, before prompts, pruned; and what is left after a
//! server died in between.

use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};
use toft_model::{
    checkpoint::{CheckpointId, Place, Ticket},
    id::ProjectId,
};

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

#[tokio::test]
async fn the_rule_lets_automatic_ones_go_and_a_persons_stay() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.disk(&id).is_idle.store(true, Ordering::SeqCst);
    take(&world, &id, None).await;
    let mut seq = 0;
    for n in 1..=4 {
        prompt(&world, &id, &json!({"message": "x", "entryId": format!("e{n}")})).await;
        seq += 4;
        world.copied(&id, seq).await;
        until(&world, &id, |all| all.len() == n + 1 && !all[0]["message"].is_null()).await;
        world.advance(1_000);
    }
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
    world.machines.disk(&id).is_idle.store(true, Ordering::SeqCst);
    let mut seq = 0;
    for n in 1..=5 {
        prompt(&world, &id, &json!({"message": "x", "entryId": format!("e{n}")})).await;
        seq += 4;
        world.copied(&id, seq).await;
        until(&world, &id, |all| all.len() == n && !all[0]["message"].is_null()).await;
        world.advance(1_000);
    }
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
