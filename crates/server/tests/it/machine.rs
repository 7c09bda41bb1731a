//! The life of machines: waking, stopping, dying.

use crate::{client::Call, world::World};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn many_wakes_at_once_are_one_start() {
    let world = World::new().await;
    let id = world.project().await;
    world.dies(&id).await;
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
    world.dies(&id).await;
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
        Call::new("DELETE", &format!("{path}/toft/files?path=x")),
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
    world.dies(&id).await;
    let path = format!("/v1/projects/{id}");
    // Reading does not wake it.
    let reads = READS.iter().map(|read| format!("toft/{read}"));
    for read in reads.chain(["machine".to_owned()]) {
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
        // Connections that are open end a moment later; what is sent on one of them has an outcome that nobody knows.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let path = format!("/v1/projects/{id}");
        if round % 2 == 0 {
            let told = world.ask(Call::new("DELETE", &format!("{path}/toft/files?path=x"))).await;
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

const READS: [&str; 6] =
    ["messages", "inspect", "state", "sessions", "files", "files/content?path=f"];

/// Reads that come while a machine is being stopped, put to sleep or has just died are answered
/// from the copy, and none of them starts it again.
#[tokio::test]
async fn reading_while_a_machine_goes_away_is_answered_and_does_not_wake_it() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let prompt = Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hello"}));
    world.ask(prompt).await;
    world.copied(&id, 4).await;
    world.eventually(&format!("{path}/machine"), |m| m["appPort"] == 5173).await;
    *world.machines.stop_takes.lock().unwrap() = Duration::from_millis(150);
    for how in ["sleep", "stop"] {
        let starts = world.machines.starts.load(Ordering::SeqCst);
        let going = Call::post(&format!("{path}/{how}"), &json!({}));
        let read = async {
            let mut rounds = 0;
            // Before, while and after its bridge goes.
            while world.machines.is_running(&id) || rounds < 3 {
                for read in READS {
                    let answer = world.ask(Call::get(&format!("{path}/toft/{read}"))).await;
                    assert_eq!(answer.status, 200, "{how} {read}: {}", answer.text());
                }
                rounds += 1;
            }
        };
        let (gone, ()) = tokio::join!(world.ask(going), read);
        gone.data();
        assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts, "{how} woke it");
        world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
        // What no copy has waits for the end: then it is refused, or wakes the machine.
        let going = Call::post(&format!("{path}/{how}"), &json!({}));
        let look = async {
            while !world.machines.has_hung_up(&id) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            world.ask(Call::new("DELETE", &format!("{path}/toft/files?path=x"))).await
        };
        let (_, looked) = tokio::join!(world.ask(going), look);
        assert_eq!(looked.status, if how == "stop" { 409 } else { 200 }, "{}", looked.text());
        world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
    }
    for read in READS {
        world.machines.kill(&id);
        let answer = world.ask(Call::get(&format!("{path}/toft/{read}"))).await;
        assert_eq!(answer.status, 200, "dead {read}: {}", answer.text());
        assert!(!world.machines.is_running(&id), "{read} woke it");
        world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_bridge_that_cannot_be_reached_in_a_running_machine_is_said_not_papered_over() {
    let world = World::new().await;
    let id = world.project().await;
    world.machines.hang_up(&id);
    let path = format!("/v1/projects/{id}/toft/state");
    let message = world.ask(Call::get(&path)).await.failure(502, "machine_error");
    assert!(message.contains("try again"), "{message}");
    world.end(true).await;
}

#[tokio::test]
async fn a_session_that_does_not_exist_is_told_the_same_way_by_a_stopped_machine() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let prompt = Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hello"}));
    world.ask(prompt).await;
    world.copied(&id, 4).await;
    let other = json!({"messageId": "m9", "entryId": "e9", "parentId": null,
        "message": {"role": "user", "content": "x", "timestamp": 9}});
    world.machines.push(&id, "s2", "message_end", &other);
    world.copied(&id, 5).await;
    world.eventually(&format!("{path}/machine"), |m| m["appPort"] == 5173).await;
    world.ask(Call::post(&format!("{path}/stop"), &json!({}))).await.data();
    for read in ["messages", "state"] {
        let ask =
            async |query: &str| world.ask(Call::get(&format!("{path}/toft/{read}?{query}"))).await;
        let unknown = ask("sessionId=nope").await;
        assert_eq!(unknown.status, 404, "{read}");
        let unknown = unknown.json();
        assert_eq!(
            (&unknown["code"], &unknown["success"]),
            (&json!("session_not_found"), &json!(false))
        );
        assert_eq!(unknown["command"], format!("get_{read}"));
        let bad = ask("sessionId=..%2Fx").await;
        assert_eq!((bad.status.as_u16(), &bad.json()["code"]), (400, &json!("invalid_argument")));
        for session in ["s1", "s2"] {
            let known = ask(&format!("sessionId={session}")).await;
            assert_eq!(known.status, 200, "{read} {session}");
            assert_eq!(known.json()["data"]["sessionId"], session);
        }
    }
    let messages = world.ask(Call::get(&format!("{path}/toft/messages?sessionId=s2"))).await.json();
    assert_eq!(messages["data"]["messages"][0]["message"]["timestamp"], 9);
    let state = world.ask(Call::get(&format!("{path}/toft/state?sessionId=s2"))).await.json();
    assert_eq!((&state["data"]["appPort"], &state["data"]["model"]), (&json!(5173), &json!(null)));
    world.end(true).await;
}

#[tokio::test]
async fn a_bridge_that_never_comes_up_is_told_at_once_and_a_slow_answer_is_waited_for() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let compact = Call::post(&format!("{path}/toft/sessions/compact"), &json!({}));
    assert_eq!(world.ask(compact).await.status, 200);
    world.machines.break_bridge(&id);
    let asked = async {
        for call in [
            Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hi"})),
            Call::get(&format!("{path}/toft/files?path=/")),
            Call::get(&format!("{path}/toft/messages")),
        ] {
            let message = world.ask(call).await.failure(502, "machine_error");
            assert!(message.contains("5 times") && message.contains("toft exec"), "{message}");
        }
    };
    // Far below the limits of answers that take long.
    tokio::time::timeout(Duration::from_secs(50), asked).await.expect("it is not waited for");
    // The machine runs, and commands in it do.
    let done = world.ask(Call::post(&format!("{path}/exec"), &json!({"command": "echo hi"}))).await;
    assert_eq!(done.data()["stdout"], "hi\n");
    world.end(true).await;
}

#[tokio::test]
async fn a_machine_that_was_ended_from_outside_says_so_until_it_is_started_again() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    world.machines.kill(&id);
    let cold = world.eventually(&path, |p| p["state"] == "cold").await;
    let reason = cold["stateReason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("from outside") && reason.contains("next request"), "{cold}");
    let world = world.restart().await;
    for read in [path.clone(), format!("{path}/machine")] {
        let told = world.ask(Call::get(&read)).await.data();
        assert_eq!((&told["state"], &told["stateReason"]), (&json!("cold"), &json!(reason)));
    }
    let wakes = Call::new("DELETE", &format!("{path}/toft/files?path=x"));
    assert_eq!(world.ask(wakes).await.status, 200);
    let world = world.restart().await;
    let told = world.eventually(&path, |p| p["state"] == "running").await;
    assert_eq!(told["stateReason"], json!(null));
    // One that sleeps was not ended from outside.
    world.ask(Call::post(&format!("{path}/sleep"), &json!({}))).await.data();
    let told = world.ask(Call::get(&path)).await.data();
    assert_eq!((&told["state"], &told["stateReason"]), (&json!("cold"), &json!(null)));
    world.end(true).await;
}

#[tokio::test]
async fn a_conversation_that_the_machine_has_lost_is_shown_from_the_copy() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}/toft");
    let said = |entry: &str, text: &str| {
        json!({"messageId": entry, "entryId": entry, "parentId": null,
            "message": {"role": "user", "content": text, "timestamp": 9}})
    };
    world.machines.push(&id, "old", "message_end", &said("e1", "build a shop"));
    world.machines.push(&id, "old", "message_end", &said("e2", "and a cart"));
    world.machines.push(&id, "s1", "message_end", &said("e3", "hello"));
    world.copied(&id, 3).await;
    let list = world.ask(Call::get(&format!("{path}/sessions"))).await.json();
    let sessions = list["data"]["sessions"].as_array().unwrap();
    let of: Vec<_> = sessions.iter().map(|s| (&s["id"], &s["lost"])).collect();
    assert_eq!(of, [(&json!("s1"), &json!(null)), (&json!("old"), &json!(true))]);
    assert_eq!(sessions[1]["firstMessage"], "build a shop");
    assert_eq!((&sessions[1]["messageCount"], &sessions[1]["status"]), (&json!(2), &json!("idle")));
    assert_eq!(list["data"]["current"], "s1");
    let kept = world.ask(Call::get(&format!("{path}/messages?sessionId=old"))).await.json();
    assert_eq!(kept["data"]["messages"].as_array().unwrap().len(), 2);
    assert_eq!((&kept["data"]["lost"], &kept["data"]["sessionId"]), (&json!(true), &json!("old")));
    // The server has taken the bridge's own answers in.
    world.eventually(&format!("/v1/projects/{id}/machine"), |m| m["appPort"] == 5173).await;
    let state = world.ask(Call::get(&format!("{path}/state?sessionId=old"))).await.json();
    assert_eq!((&state["data"]["lost"], &state["data"]["status"]), (&json!(true), &json!("idle")));
    // What neither knows is still not there.
    let none = world.ask(Call::get(&format!("{path}/messages?sessionId=nope"))).await;
    assert_eq!((none.status.as_u16(), &none.json()["code"]), (404, &json!("session_not_found")));
    // The bridge's own answer is not marked.
    let live = world.ask(Call::get(&format!("{path}/messages?sessionId=s1"))).await.json();
    assert_eq!(live["data"]["lost"], json!(null));
    world.end(true).await;
}

#[tokio::test]
async fn a_broken_json_body_is_refused_also_where_no_body_is_needed() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let broken = |method: &str, path: &str| {
        Call::new(method, path).header("content-type", "application/json").body("{\"a\":")
    };
    for verb in ["stop", "start", "sleep", "wake"] {
        let call = broken("POST", &format!("{path}/{verb}"));
        world.ask(call).await.failure(400, "invalid_json");
    }
    world.ask(broken("DELETE", &path)).await.failure(400, "invalid_json");
    let there = world.ask(Call::get(&path)).await.data();
    assert_eq!(there["state"], "running");
    // No body, or a good one, is fine.
    world.ask(Call::new("POST", &format!("{path}/stop"))).await.data();
    world.ask(Call::post(&format!("{path}/start"), &json!({"x": 1}))).await.data();
    world.end(true).await;
}
