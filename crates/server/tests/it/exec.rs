//! Running programs in a machine.

use crate::{
    box_init::FULL,
    client::Call,
    world::{AGENT_KEY, World},
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_program_is_run_and_told_whole() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}/exec");
    let run = async |body: Value| world.ask(Call::post(&path, &body)).await;

    let done = run(json!({"command": "echo out; echo err >&2; exit 3"})).await.data();
    assert_eq!(
        (&done["exitCode"], &done["stdout"], &done["stderr"], &done["signal"]),
        (&json!(3), &json!("out\n"), &json!("err\n"), &json!(null))
    );
    assert_eq!((&done["truncated"], &done["timedOut"]), (&json!(false), &json!(false)));
    let done = run(json!({"argv": ["cat"], "stdin": "hällo", "cwd": "/tmp"})).await.data();
    assert_eq!(done["stdout"], "hällo");
    let done = run(json!({"argv": ["sh", "-c", "echo $A"], "env": {"A": "b"}})).await.data();
    assert_eq!(done["stdout"], "b\n");
    let refused = run(json!({"argv": [FULL]})).await;
    assert!(refused.failure(409, "process_limit").contains("as many processes as it may"));
    let done = run(json!({"command": "kill -9 $$"})).await.data();
    assert_eq!((&done["exitCode"], &done["signal"]), (&json!(null), &json!(9)));
    let done = run(json!({"command": "yes | head -c 5000000"})).await.data();
    assert_eq!(done["truncated"], true);
    assert!(done["stdout"].as_str().unwrap().len() < (1 << 20) + 100);

    let message = run(json!({"argv": ["/no/such/program"]})).await.failure(400, "invalid_argument");
    assert!(message.contains("/no/such/program"), "{message}");
    run(json!({})).await.failure(400, "invalid_argument");
    run(json!({"command": "cat", "stdinOpen": true})).await.failure(400, "invalid_argument");
    run(json!({"command": "ls", "encoding": "base64"})).await.failure(400, "invalid_argument");
    run(json!({"command": "true", "timeoutMs": 0})).await.failure(400, "invalid_argument");
    world.end(true).await;
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_and_its_output_kept() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}/exec");
    let script = "echo begun; sleep 300 & sleep 300";
    let body = json!({"argv": ["sh", "-c", script], "timeoutMs": 1500});
    let done = world.ask(Call::post(&path, &body)).await.data();
    assert_eq!((&done["timedOut"], &done["stdout"]), (&json!(true), &json!("begun\n")));
    assert_eq!((&done["signal"], &done["paused"]), (&json!(9), &json!(null)));
    world.end(true).await;
}

#[tokio::test]
async fn a_program_whose_time_ends_while_the_disk_is_full_is_told_so() {
    let world = World::new().await;
    let id = world.project().await;
    *world.machines.paused.lock().unwrap() = Some("the disk is full".into());
    let path = format!("/v1/projects/{id}/exec");
    let late = json!({"argv": ["sleep", "300"], "timeoutMs": 100});
    let done = world.ask(Call::post(&path, &late)).await.data();
    assert_eq!((&done["timedOut"], &done["paused"]), (&json!(true), &json!("the disk is full")));
    let call = Call::post(&path, &late).key(AGENT_KEY).header("accept", "text/event-stream");
    let mut events = call.stream(world.addr).await;
    let mut last = events.next().await.unwrap();
    while let Some(event) = events.next().await {
        last = event;
    }
    assert_eq!((&*last.kind, &last.json()["paused"]), ("exit", &json!("the disk is full")));
    // Whoever ended by itself was not held up.
    let done = world.ask(Call::post(&path, &json!({"command": "true"}))).await.data();
    assert_eq!((&done["timedOut"], &done["paused"]), (&json!(false), &json!(null)));
    world.end(true).await;
}

#[tokio::test]
async fn output_streams_as_it_comes() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}/exec");
    let body = json!({"command": "echo one; read line; echo $line >&2; exit 5", "stdin": "two\n"});
    let call = Call::post(&path, &body).key(AGENT_KEY).header("accept", "text/event-stream");
    let mut events = call.stream(world.addr).await;
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push((event.kind.clone(), event.json()));
    }
    assert_eq!(all[0].0, "start");
    assert!(all[0].1["pid"].is_u64());
    assert!(all.contains(&("stdout".into(), json!({"text": "one\n"}))));
    assert!(all.contains(&("stderr".into(), json!({"text": "two\n"}))));
    let (name, exit) = all.last().unwrap();
    assert_eq!(
        (name.as_str(), &exit["exitCode"], &exit["timedOut"]),
        ("exit", &json!(5), &json!(false))
    );
    world.end(true).await;
}
