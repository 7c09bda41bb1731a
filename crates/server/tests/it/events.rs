//! The copy of events: exact under cuts and restarts, and true to what came first.

use crate::{
    client::{Call, Event},
    world::{AGENT_KEY, World},
};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::id::ProjectId;

fn events_path(id: &ProjectId, query: &str) -> String {
    format!("/v1/projects/{id}/toft/events{query}")
}

fn delta(n: u64) -> Value {
    json!({"messageId": "m", "type": "text_delta", "contentIndex": 0, "delta": format!("{n} ")})
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|e| e.id.unwrap()).collect()
}

#[tokio::test]
async fn a_stream_says_hello_then_replays_then_follows() {
    let world = World::new().await;
    let id = world.project().await;
    for n in 1..=3 {
        world.machines.push(&id, "s1", "message_update", &delta(n));
    }
    world.copied(&id, 3).await;
    let stream = |query: &str| Call::get(&events_path(&id, query)).key(AGENT_KEY);

    let mut live = stream("").stream(world.addr).await;
    let hello = live.next().await.unwrap();
    assert_eq!((hello.kind.as_str(), hello.id), ("hello", None));
    assert_eq!(hello.json()["seq"], 3);
    assert_eq!(hello.json()["project"], id.as_str());
    let mut all = stream("?after=0").stream(world.addr).await;
    let mut rest = stream("?after=0").header("last-event-id", "2").stream(world.addr).await;
    let mut other = stream("?after=0&session=s2").stream(world.addr).await;

    world.machines.push(&id, "s2", "notify", &json!({"message": "hi"}));
    assert_eq!(numbers(&live.until(4).await), [4]);
    let got = all.until(4).await;
    assert_eq!(numbers(&got), [1, 2, 3, 4]);
    assert_eq!(
        got[0].json(),
        json!({"messageId":"m","type":"text_delta","contentIndex":0,"delta":"1 ",
               "ts":1001,"sessionId":"s1"})
    );
    assert_eq!((got[3].kind.as_str(), &got[3].json()["type"]), ("notify", &json!("notify")));
    assert_eq!(numbers(&rest.until(4).await), [3, 4]);
    assert_eq!(numbers(&other.until(4).await), [4]);

    for bad in ["?after=x", "?after=-1", "?session=../x"] {
        world.ask(Call::get(&events_path(&id, bad))).await.failure(400, "invalid_argument");
    }
    // A number from the future waits for nothing.
    let mut future = stream("?after=999").stream(world.addr).await;
    assert_eq!(future.next().await.unwrap().json()["seq"], 4);
    world.machines.push(&id, "s1", "notify", &json!({}));
    assert_eq!(numbers(&future.until(5).await), [5]);
    // One that the bridge has given and the copy does not have yet is not sent when it comes.
    let mut ahead = stream("?after=6").stream(world.addr).await;
    assert_eq!(ahead.next().await.unwrap().json()["seq"], 5);
    world.machines.push(&id, "s1", "notify", &json!({}));
    world.machines.push(&id, "s1", "notify", &json!({}));
    assert_eq!(numbers(&ahead.until(7).await), [7]);
    world.end(true).await;
}

/// A client that is cut at random places and comes back with its last number, a bridge whose
/// streams are cut, and a server that restarts: the client has every event once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_once_whatever_is_cut() {
    const EVENTS: u64 = 600;
    let mut world = World::new().await;
    let id = world.project().await;
    let machines = world.machines.clone();
    let writer = {
        let id = id.clone();
        tokio::spawn(async move {
            for n in 1..=EVENTS {
                machines.push(&id, "s1", "message_update", &delta(n));
                if n.is_multiple_of(37) {
                    machines.disk(&id).cut_streams();
                }
                if n.is_multiple_of(10) {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            }
        })
    };
    let mut seen: Vec<Event> = Vec::new();
    let mut round = 0u64;
    while seen.len() < usize::try_from(EVENTS).unwrap() {
        round += 1;
        let last = seen.last().map_or(0, |e| e.id.unwrap());
        let call = Call::get(&events_path(&id, "?after=0")).key(AGENT_KEY);
        let mut stream = call.header("last-event-id", &last.to_string()).stream(world.addr).await;
        assert_eq!(stream.next().await.unwrap().kind, "hello");
        // Between 1 and 40 events, then the connection is dropped in the middle of things.
        let want = last + 1 + (round * 7919) % 40;
        seen.extend(stream.until(want.min(EVENTS)).await);
        drop(stream);
        if round.is_multiple_of(9) {
            world = world.restart().await;
        }
    }
    writer.await.unwrap();
    assert_eq!(numbers(&seen), (1..=EVENTS).collect::<Vec<_>>());
    for (n, event) in (1..).zip(&seen) {
        assert_eq!(event.json()["delta"], format!("{n} "), "event {n}");
    }
    world.end(true).await;
}

#[tokio::test]
async fn many_clients_get_a_burst_whole_the_slow_ones_too() {
    const EVENTS: u64 = 3000;
    let world = World::new().await;
    let id = world.project().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams
            .push(Call::get(&events_path(&id, "?after=0")).key(AGENT_KEY).stream(world.addr).await);
    }
    // Nobody reads while the burst comes in.
    let big = "x".repeat(2000);
    for n in 1..=EVENTS {
        let data = json!({"message": format!("{n} {big}")});
        let disk = world.machines.disk(&id);
        disk.push(std::path::Path::new("/nonexistent"), "s1", "notify", &data);
    }
    for stream in &mut streams {
        assert_eq!(numbers(&stream.until(EVENTS).await), (1..=EVENTS).collect::<Vec<_>>());
    }
    world.end(true).await;
}

#[tokio::test]
async fn what_comes_under_a_known_number_is_kept_out_and_told() {
    let world = World::new().await;
    let id = world.project().await;
    for n in 1..=3 {
        world.machines.push(&id, "s1", "notify", &json!({"message": n.to_string()}));
    }
    world.copied(&id, 3).await;
    let disk = world.machines.disk(&id);
    disk.forge("event: notify\nid: 2\ndata: {\"type\":\"notify\",\"message\":\"forged\"}\n\n");
    let path = format!("/v1/projects/{id}");
    let found = world.eventually(&path, |p| !p["stateReason"].is_null()).await;
    assert!(found["stateReason"].as_str().unwrap().contains("event 2"), "{found}");
    assert_eq!(found["state"], "running");
    // What follows is taken in, what was kept stays.
    world.machines.push(&id, "s1", "notify", &json!({"message": "4"}));
    let mut all = Call::get(&events_path(&id, "?after=0")).key(AGENT_KEY).stream(world.addr).await;
    let got = all.until(4).await;
    let messages: Vec<_> = got.iter().map(|e| e.json()["message"].clone()).collect();
    assert_eq!(messages, ["1", "2", "3", "4"]);
    // A number that comes too early is asked for again, not skipped.
    disk.forge("event: notify\nid: 99\ndata: {\"type\":\"notify\"}\n\n");
    world.machines.push(&id, "s1", "notify", &json!({"message": "5"}));
    assert_eq!(numbers(&all.until(5).await), [5]);
    // Text that would break a frame does not get through as one. Sent again and again, because the
    // server may just be asking anew.
    let forging = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            disk.forge(
                "event: bad kind\nid: 6\ndata: {}\n\nevent: notify\nid: 6\ndata: no json\n\n",
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }));
    let six = all.until(6).await;
    drop(forging);
    assert!(six[0].json()["omitted"].is_string(), "{six:?}");
    world.end(true).await;
}

#[tokio::test]
async fn what_a_cold_machine_had_logged_is_read_from_its_log() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}");
    let prompt = Call::post(&format!("{path}/toft/prompt"), &json!({"message": "hello"}));
    world.ask(prompt).await;
    world.copied(&id, 4).await;
    world.eventually(&format!("{path}/machine"), |m| m["appPort"] == 5173).await;
    let machines = world.machines.clone();
    let data = world.data;
    world.stop.stop(false);
    // The server is away: the bridge goes on, then the machine dies.
    machines.push(&id, "s1", "agent_start", &json!({}));
    machines.push(
        &id,
        "s1",
        "message_end",
        &json!({"messageId":"m3","entryId":"e3","parentId":"e1",
               "message":{"role":"assistant","content":[],"timestamp":2}}),
    );
    machines.kill(&id);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let world = World::reopen(data, machines, world.now).await;
    world.copied(&id, 6).await;
    let found = world.ask(Call::get(&path)).await.data();
    assert_eq!((&found["state"], &found["agentStatus"]), (&json!("cold"), &json!("idle")));
    let messages = world.ask(Call::get(&format!("{path}/toft/messages"))).await.json();
    assert_eq!(messages["command"], "get_messages");
    assert_eq!(messages["data"]["sessionId"], "s1");
    assert_eq!(messages["data"]["seq"], 6);
    let entries: Vec<_> = messages["data"]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["entryId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(entries, ["e1", "e3"]);
    let state = world.ask(Call::get(&format!("{path}/toft/state"))).await.json();
    assert_eq!(state["data"]["status"], "idle");
    assert_eq!(state["data"]["isStreaming"], false);
    assert_eq!(state["data"]["seq"], 6);
    let sessions = world.ask(Call::get(&format!("{path}/toft/sessions"))).await.json();
    assert_eq!(sessions["data"]["sessions"][0]["status"], "idle");
    assert!(!world.machines.is_running(&id));
    world.end(true).await;
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_told_and_followed_again_once_it_is_beyond_the_copy() {
    let world = World::new().await;
    let id = world.project().await;
    for n in 1..=5 {
        world.machines.push(&id, "s1", "notify", &json!({"message": n.to_string()}));
    }
    world.copied(&id, 5).await;
    let disk = world.machines.disk(&id);
    disk.lose_after(3);
    disk.cut_streams();
    let path = format!("/v1/projects/{id}");
    world.eventually(&path, |p| !p["stateReason"].is_null()).await;
    for n in 4..=6 {
        world.machines.push(&id, "s1", "notify", &json!({"message": format!("new {n}")}));
    }
    let mut all = Call::get(&events_path(&id, "?after=0")).key(AGENT_KEY).stream(world.addr).await;
    let got = all.until(6).await;
    let messages: Vec<_> = got.iter().map(|e| e.json()["message"].clone()).collect();
    assert_eq!(messages, ["1", "2", "3", "4", "5", "new 6"]);
    world.end(true).await;
}
