//! Machines that stand still: who is answered from the copy, who lets them go on, and when they are
//! put away by themselves.

use crate::{
    client::Call,
    world::{AGENT_KEY, World},
};
use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use toft_model::{
    event::{LimitHit, LimitKind},
    id::ProjectId,
    machine::Busy,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

/// As long as a rule's wait in these tests.
const MINUTE_MS: u64 = 60_000;

async fn world() -> (World, ProjectId) {
    let world = World::new().await;
    world.machines.kept.can.lock().unwrap().freeze = true;
    let id = world.project().await;
    let disk = world.machines.disk(&id);
    *disk.rest.busy() = Some(Vec::new());
    disk.is_idle.store(true, Ordering::SeqCst);
    (world, id)
}

async fn set_idle(world: &World, id: &ProjectId, rule: Value) {
    let call = Call::new("PUT", &format!("/v1/projects/{id}/idle")).json(&rule);
    world.ask(call).await.data();
}

async fn post(world: &World, id: &ProjectId, verb: &str) -> Value {
    world.ask(Call::post(&format!("/v1/projects/{id}/{verb}"), &json!({}))).await.data()
}

async fn state(world: &World, id: &ProjectId, wanted: &str) -> Value {
    world.eventually(&format!("/v1/projects/{id}/machine"), |m| m["state"] == wanted).await
}

fn thaws(world: &World) -> usize {
    world.machines.resting.thaws.load(Ordering::SeqCst)
}

async fn socket(
    world: &World,
    host: &str,
    path: &str,
) -> tokio_tungstenite::WebSocketStream<tokio::net::TcpStream> {
    let mut req = format!("ws://{}{path}", world.addr).into_client_request().unwrap();
    let headers = req.headers_mut();
    headers.insert("host", host.parse().unwrap());
    headers.insert("x-agent-api-key", AGENT_KEY.parse().unwrap());
    let stream = tokio::net::TcpStream::connect(world.addr).await.unwrap();
    tokio_tungstenite::client_async(req, stream).await.unwrap().0
}

#[tokio::test]
async fn a_paused_machine_is_read_from_the_copy_and_nothing_of_that_lets_it_go_on() {
    let (world, id) = world().await;
    let of = format!("/v1/projects/{id}");
    world.ask(Call::post(&format!("{of}/toft/prompt"), &json!({"message": "hi"}))).await;
    let frozen = post(&world, &id, "freeze").await;
    assert_eq!(frozen["state"], "frozen");
    assert!(frozen["frozenAt"].is_string() && frozen["startedAt"].is_string(), "{frozen}");
    assert_eq!(frozen["can"]["freeze"], true);
    // The copy has what its bridge wrote last.
    let said = world.ask(Call::get(&format!("{of}/toft/messages"))).await.json();
    assert_eq!(said["data"]["messages"][0]["message"]["content"], "hi", "{said}");
    for route in ["state", "sessions", "inspect", "messages?sessionId=s1", "processes", "services"]
    {
        let answer = world.ask(Call::get(&format!("{of}/toft/{route}"))).await;
        assert_eq!(answer.status, 200, "{route}: {}", answer.text());
    }
    let terminals = world.ask(Call::get(&format!("{of}/toft/terminals"))).await.json();
    assert_eq!(terminals["data"]["terminals"][0]["id"], "t1", "as they were");
    let activity = world.ask(Call::get(&format!("{of}/toft/activity"))).await.json();
    assert_eq!(activity["data"], json!({"busy": []}));
    let mut events = Call::get(&format!("{of}/toft/events?after=0")).key(AGENT_KEY);
    events.stream(world.addr).await.until(4).await;
    events = Call::get(&format!("{of}/machine"));
    let machine = world.ask(events).await.data();
    assert_eq!((&machine["state"], thaws(&world)), (&json!("frozen"), 0));
    assert_eq!(machine["wakes"], frozen["wakes"]);
    // Asked for again it stays as it is, and is let go on by a person's wish too.
    assert_eq!(post(&world, &id, "freeze").await["frozenAt"], frozen["frozenAt"]);
    let gone_on = post(&world, &id, "thaw").await;
    assert_eq!((&gone_on["state"], &gone_on["frozenAt"]), (&json!("running"), &Value::Null));
    assert_eq!(gone_on["wakes"][0]["was"], "frozen");
    assert_eq!(post(&world, &id, "thaw").await["wakes"], gone_on["wakes"], "nothing to do");
    world.end(true).await;
}

#[tokio::test]
async fn fifty_requests_at_once_are_one_wake_and_all_are_answered() {
    let (world, id) = world().await;
    let host = format!("{id}.localhost");
    for (verb, was) in [("freeze", "frozen"), ("sleep", "cold")] {
        let before = post(&world, &id, verb).await;
        assert_eq!(before["state"], was);
        let posts = join_all((0..50usize).map(|n| {
            let call = Call::new("POST", "/submit").body(vec![b'x'; n * 1_000]);
            world.send(call.host(&host).key(AGENT_KEY))
        }));
        let spoken = async {
            let mut socket = socket(&world, &host, "/ws").await;
            socket.send(Message::text("hello")).await.unwrap();
            socket.next().await.unwrap().unwrap()
        };
        let (answers, said) = tokio::join!(posts, spoken);
        assert_eq!(said, Message::text("hello"));
        for (n, answer) in answers.into_iter().enumerate() {
            let told = answer.json();
            assert_eq!((&told["method"], &told["bytes"]), (&json!("POST"), &json!(n * 1_000)));
        }
        let after = world.ask(Call::get(&format!("/v1/projects/{id}/machine"))).await.data();
        let wakes = |m: &Value| m["wakes"].as_array().unwrap().len();
        assert_eq!(wakes(&after), wakes(&before) + 1, "{after}");
        assert_eq!(after["wakes"][0]["was"], was);
        assert_eq!(after["wakes"][0]["cause"], format!("a visit to {id}"));
    }
    world.end(true).await;
}

#[tokio::test]
async fn requests_that_come_while_a_machine_is_being_paused_are_all_answered() {
    let (world, id) = world().await;
    let host = format!("{id}.localhost");
    for _ in 0..20 {
        let visits = join_all((0..8).map(|_| {
            world.send(Call::new("POST", "/x").body(vec![1; 64]).host(&host).key(AGENT_KEY))
        }));
        let (_, answers) = tokio::join!(post(&world, &id, "freeze"), visits);
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    }
    world.end(true).await;
}

#[tokio::test]
async fn an_idle_machine_is_paused_then_goes_cold_and_use_starts_it_anew() {
    let (world, id) = world().await;
    let of = format!("/v1/projects/{id}");
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": 600})).await;
    let rule = world.ask(Call::get(&format!("{of}/idle"))).await.data();
    assert_eq!(rule, json!({"freezeAfterS": 60, "coldAfterS": 600}));
    // An open stream of events is no use of it, nor is reading.
    let _tab = Call::get(&format!("{of}/toft/events")).key(AGENT_KEY).stream(world.addr).await;
    world.advance(MINUTE_MS);
    state(&world, &id, "frozen").await;
    assert_eq!(world.ask(Call::get(&format!("{of}/toft/files"))).await.status, 200);
    state(&world, &id, "frozen").await;
    world.ask(Call::new("DELETE", &format!("{of}/toft/files?path=x"))).await;
    state(&world, &id, "running").await;
    world.advance(MINUTE_MS);
    state(&world, &id, "frozen").await;
    world.advance(9 * MINUTE_MS);
    let cold = state(&world, &id, "cold").await;
    assert_eq!(cold["frozenAt"], Value::Null);
    assert!(!world.machines.is_running(&id));
    world.end(true).await;
}

#[tokio::test]
async fn a_machine_in_use_is_never_put_away() {
    let (world, id) = world().await;
    let host = format!("{id}.localhost");
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": null})).await;
    let freezes = || world.machines.resting.freezes.load(Ordering::SeqCst);
    let looked = async || {
        // Another machine that is idle has been put away: everybody was looked at.
        let other = world.project().await;
        *world.machines.disk(&other).rest.busy() = Some(Vec::new());
        set_idle(&world, &other, json!({"freezeAfterS": 1, "coldAfterS": null})).await;
        world.advance(MINUTE_MS);
        state(&world, &other, "frozen").await;
        world.ask(Call::new("DELETE", &format!("/v1/projects/{other}"))).await.data();
    };
    // The agent works, or a program in a terminal.
    let disk = world.machines.disk(&id);
    *disk.rest.busy() = Some(vec![Busy { kind: "terminal".into(), what: "vim".into() }]);
    looked().await;
    // A bridge of an earlier version: its events say so.
    *disk.rest.busy() = None;
    world.machines.push(&id, "s1", "agent_start", &json!({}));
    world.eventually(&format!("/v1/projects/{id}"), |p| p["agentStatus"] == "working").await;
    looked().await;
    world.machines.push(&id, "s1", "agent_end", &json!({"reason": "done"}));
    world.eventually(&format!("/v1/projects/{id}"), |p| p["agentStatus"] == "idle").await;
    *disk.rest.busy() = Some(Vec::new());
    // A connection of the app.
    let open = socket(&world, &host, "/ws").await;
    looked().await;
    looked().await;
    assert_eq!(state(&world, &id, "running").await["state"], "running");
    let before = freezes();
    drop(open);
    // Nobody uses it: now it is. When its end was noticed, nobody knows.
    while freezes() == before {
        world.advance(MINUTE_MS);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(freezes(), before + 1);
    world.end(true).await;
}

#[tokio::test]
async fn where_nothing_can_be_paused_an_idle_machine_goes_cold_by_its_own_rule() {
    let (world, id) = world().await;
    world.machines.kept.can.lock().unwrap().freeze = false;
    world
        .ask(Call::post(&format!("/v1/projects/{id}/freeze"), &json!({})))
        .await
        .failure(409, "unavailable");
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": 600})).await;
    world.advance(10 * MINUTE_MS);
    state(&world, &id, "cold").await;
    assert_eq!(world.machines.resting.freezes.load(Ordering::SeqCst), 0);
    let refused = Call::post(&format!("/v1/projects/{id}/freeze"), &json!({}));
    world.machines.kept.can.lock().unwrap().freeze = true;
    let message = world.ask(refused).await.failure(409, "unavailable");
    assert!(message.contains("does not run"), "{message}");
    for wrong in [json!({"freezeAfterS": 0}), json!({"coldAfterS": -1}), json!({"after": 1})] {
        let answer =
            world.ask(Call::new("PUT", &format!("/v1/projects/{id}/idle")).json(&wrong)).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    world.end(true).await;
}

#[tokio::test]
async fn the_page_that_waits_for_an_app_keeps_no_machine_awake() {
    let (world, id) = world().await;
    let host = format!("{id}.localhost");
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": null})).await;
    let look = || {
        let call = Call::new("HEAD", "/").header("x-toft-placeholder", "1");
        world.send(call.host(&host).key(AGENT_KEY))
    };
    world.advance(MINUTE_MS / 2);
    assert_eq!(look().await.status, 200, "the app answers");
    world.advance(MINUTE_MS / 2);
    state(&world, &id, "frozen").await;
    for was in ["frozen", "cold"] {
        for _ in 0..3 {
            let answer = look().await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.header("x-toft-placeholder"), "1");
        }
        assert_eq!(state(&world, &id, was).await["state"], was);
        post(&world, &id, "sleep").await;
    }
    // Somebody opens the page: that is a visit.
    let visit = Call::get("/").header("x-toft-placeholder", "1").host(&host).key(AGENT_KEY);
    assert_eq!(world.send(visit).await.status, 200);
    state(&world, &id, "running").await;
    world.end(true).await;
}

#[tokio::test]
async fn a_terminal_that_stays_open_is_no_use_and_a_key_stroke_lets_the_machine_go_on() {
    let (world, id) = world().await;
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": null})).await;
    let path = format!("/v1/projects/{id}/toft/ws");
    let mut terminal = socket(&world, &world.host(), &path).await;
    terminal.send(Message::binary("ls")).await.unwrap();
    assert_eq!(terminal.next().await.unwrap().unwrap(), Message::binary("ls"));
    world.advance(MINUTE_MS);
    state(&world, &id, "frozen").await;
    terminal.send(Message::binary("pwd")).await.unwrap();
    assert_eq!(terminal.next().await.unwrap().unwrap(), Message::binary("pwd"));
    let machine = state(&world, &id, "running").await;
    assert_eq!(machine["wakes"][0]["was"], "frozen");
    world.end(true).await;
}

#[tokio::test]
async fn a_new_server_finds_a_paused_machine_paused_and_its_idle_time_begins_there() {
    let (world, id) = world().await;
    set_idle(&world, &id, json!({"freezeAfterS": 60, "coldAfterS": 600})).await;
    let wakes = post(&world, &id, "freeze").await["wakes"].clone();
    // Written while no server listened.
    world.machines.push(&id, "s1", "session_created", &json!({}));
    let world = world.restart().await;
    let machine = state(&world, &id, "frozen").await;
    assert_eq!(machine["wakes"], wakes);
    world.copied(&id, 1).await;
    world.advance(9 * MINUTE_MS);
    let rule = world.ask(Call::get(&format!("/v1/projects/{id}/idle"))).await.data();
    assert_eq!(rule, json!({"freezeAfterS": 60, "coldAfterS": 600}), "the rule is kept");
    assert_eq!(state(&world, &id, "frozen").await["state"], "frozen");
    world.advance(MINUTE_MS);
    state(&world, &id, "cold").await;
    world.end(true).await;
}

#[tokio::test]
async fn a_paused_machine_can_be_stopped_put_to_sleep_deleted_and_found_dead() {
    let (world, id) = world().await;
    post(&world, &id, "freeze").await;
    assert_eq!(post(&world, &id, "sleep").await["state"], "cold");
    post(&world, &id, "wake").await;
    post(&world, &id, "freeze").await;
    assert_eq!(post(&world, &id, "stop").await["state"], "stopped");
    post(&world, &id, "start").await;
    // Its processes were ended from outside while it stood still.
    post(&world, &id, "freeze").await;
    world.machines.kill(&id);
    world.machines.disk(&id).rest.set_frozen(false);
    let told = world.send(Call::get("/x").host(&format!("{id}.localhost")).key(AGENT_KEY)).await;
    assert_eq!(told.json()["uri"], "/x");
    let machine = state(&world, &id, "running").await;
    assert_eq!(
        (&machine["wakes"][0]["was"], &machine["stateReason"]),
        (&json!("cold"), &Value::Null)
    );
    post(&world, &id, "freeze").await;
    world.ask(Call::new("DELETE", &format!("/v1/projects/{id}"))).await.data();
    assert!(!world.machines.is_running(&id));
    let other = world.project().await;
    post(&world, &other, "freeze").await;
    let machines = std::sync::Arc::clone(&world.machines);
    world.end(true).await;
    assert!(!machines.is_running(&other), "a shutdown ends paused ones too");
}

#[tokio::test]
async fn limits_are_in_force_at_once_and_kept_and_what_cannot_be_is_not() {
    let (world, id) = world().await;
    let path = format!("/v1/projects/{id}/limits");
    let put = async |body: Value| world.ask(Call::new("PUT", &path).json(&body)).await;
    let default = world.ask(Call::get(&path)).await.data();
    assert_eq!(default["limits"]["memoryBytes"], 4_u64 << 30);
    put(json!({"pids": 4_194_304})).await.failure(400, "invalid_argument");
    let set = put(json!({"memoryBytes": 1 << 30, "pids": null})).await.data();
    assert_eq!(
        set["limits"],
        json!({"memoryBytes": 1 << 30, "cpus": null, "pids": null,
        "diskBytes": null, "logBytes": 4_u64 << 30})
    );
    let in_force = || world.machines.resting.limits.lock().unwrap()[&id].clone();
    assert_eq!((in_force().memory_bytes, in_force().pids), (Some(1 << 30), None));
    for (wrong, word) in [
        (json!({"memoryBytes": 1 << 20}), "memoryBytes"),
        (json!({"diskBytes": 99 << 20}), "take now"),
        (json!({"logBytes": 64 << 20}), "logBytes"),
        (json!({"cpus": 0}), "cpus"),
    ] {
        let message = put(wrong).await.failure(400, "invalid_argument");
        assert!(message.contains(word), "{message}");
    }
    *world.machines.resting.refuses_limits.lock().unwrap() = true;
    assert!(!put(json!({"memoryBytes": 2_u64 << 30})).await.status.is_success());
    *world.machines.resting.refuses_limits.lock().unwrap() = false;
    assert_eq!(world.ask(Call::get(&path)).await.data(), set, "what is not in force is not kept");
    // The next start has them, and so does a server that finds them changed.
    post(&world, &id, "sleep").await;
    world.machines.resting.limits.lock().unwrap().clear();
    post(&world, &id, "wake").await;
    assert_eq!(in_force().memory_bytes, Some(1 << 30));
    world.machines.resting.limits.lock().unwrap().clear();
    let world = world.restart().await;
    state(&world, &id, "running").await;
    let in_force = world.machines.resting.limits.lock().unwrap()[&id].clone();
    assert_eq!(in_force.memory_bytes, Some(1 << 30));
    let disk = world.ask(Call::get(&format!("/v1/projects/{id}/disk"))).await.data();
    assert_eq!((&disk["exclusiveBytes"], &disk["sharedBytes"]), (&json!(100 << 20), &json!(7)));
    assert_eq!((&disk["capBytes"], &disk["quotaBytes"]), (&Value::Null, &Value::Null));
    assert!(disk["logBytes"].as_u64().is_some_and(|bytes| bytes < 1 << 20), "{disk}");
    world.end(true).await;
}

#[tokio::test]
async fn what_the_host_saw_reaches_the_bridge_once_it_runs_and_wakes_nothing() {
    let (world, id) = world().await;
    let hit = |peak| LimitHit {
        kind: LimitKind::Memory,
        command: Some("hog".into()),
        pid: Some(7),
        peak: Some(peak),
        limit: Some(9),
        message: "out of memory".into(),
    };
    let told = async |count: usize| {
        let disk = world.machines.disk(&id);
        world.eventually("/v1/projects", |_| disk.rest.told().len() == count).await;
        disk.rest.told().clone()
    };
    world.machines.resting.hits.send((id.clone(), hit(1))).unwrap();
    let first = told(1).await;
    assert_eq!((&first[0]["kind"], &first[0]["data"]["peak"]), (&json!("limit"), &json!(1)));
    post(&world, &id, "freeze").await;
    world.machines.resting.hits.send((id.clone(), hit(2))).unwrap();
    world.machines.resting.hits.send((id.clone(), hit(3))).unwrap();
    // Somebody else's, which arrives: the two before were seen too.
    let other = world.project().await;
    world.machines.resting.hits.send((other.clone(), hit(9))).unwrap();
    let disk = world.machines.disk(&other);
    world.eventually("/v1/projects", |_| disk.rest.told().len() == 1).await;
    assert_eq!((thaws(&world), told(1).await.len()), (0, 1));
    post(&world, &id, "thaw").await;
    let all = told(3).await;
    let peaks: Vec<&Value> = all.iter().map(|told| &told["data"]["peak"]).collect();
    assert_eq!(peaks, [&json!(1), &json!(2), &json!(3)]);
    let ids: std::collections::HashSet<&str> =
        all.iter().map(|told| told["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    // Nobody says so through the server.
    let forged = Call::post(&format!("/v1/projects/{id}/toft/observed"), &all[0]);
    world.ask(forged).await.failure(404, "not_found");
    assert_eq!(told(3).await.len(), 3);
    world.end(true).await;
}
