//! What clients may do while the agent works: other conversations, queued messages, an abort, a retry.

use super::{client::Client, slow};
use axum::http::StatusCode;
use serde_json::{Value, json};
use toft_model::id::SessionId;

#[tokio::test]
async fn two_sessions_work_at_once_and_their_events_name_them() {
    let client = Client::new(slow("x")).await;
    let a = client.runtime.current().await.unwrap();
    let mut all = client.events("", None).await;
    all.next().await;
    let made = client.data("/sessions/new", json!({"name": "Second"})).await;
    let b: SessionId = made["sessionId"].as_str().unwrap().parse().unwrap();
    assert_ne!(a, b);
    assert_eq!(client.runtime.current().await.unwrap(), b);
    let mut of_b = client.events(&format!("?sessionId={b}"), None).await;
    of_b.next().await;
    for session in [&a, &b] {
        client.data("/prompt", json!({"message": "go", "sessionId": session})).await;
    }
    let mut running = Vec::new();
    while running.len() < 2 {
        let frame = all.next().await;
        if frame.event == "tool_start" {
            running.push(frame.data["sessionId"].as_str().unwrap().to_owned());
        }
    }
    running.sort();
    let mut both = [a.to_string(), b.to_string()];
    both.sort();
    assert_eq!(running, both);
    let (_, listed) = client.get("/sessions").await;
    let sessions = listed["data"]["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert!(sessions.iter().all(|s| s["status"] == "working"), "{listed}");
    assert_eq!(listed["data"]["current"], b.as_str());
    assert!(sessions.iter().any(|s| s["name"] == "Second"));

    // One is stopped; the other goes on.
    client.data("/abort", json!({"sessionId": a})).await;
    let (_, state) = client.get(&format!("/state?sessionId={a}")).await;
    assert_eq!(state["data"]["status"], "idle");
    let (_, state) = client.get(&format!("/state?sessionId={b}")).await;
    assert_eq!(state["data"]["status"], "working");
    client.data("/sessions/switch", json!({"sessionId": a})).await;
    assert_eq!(client.runtime.current().await.unwrap(), a);
    client.data("/abort", json!({"sessionId": b})).await;
    let mut kinds = Vec::new();
    loop {
        let frame = of_b.next().await;
        assert_eq!(frame.data["sessionId"], b.as_str());
        kinds.push(frame.event.clone());
        if frame.event == "agent_end" {
            assert_eq!(frame.data["reason"], "aborted");
            break;
        }
    }
    client.leave().await;
}

#[tokio::test]
async fn a_stopped_turn_is_retried_over_http_and_a_finished_one_is_not() {
    let client = Client::new(slow("done after all")).await;
    let mut frames = client.events("", None).await;
    client.data("/prompt", json!({"message": "go"})).await;
    while frames.next().await.event != "tool_start" {}
    let (status, answer) = client.post("/retry", "{}").await;
    assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("busy")));
    client.data("/abort", json!({})).await;
    while frames.next().await.event != "agent_end" {}
    let (status, answer) = client.post("/retry", "{}").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer["command"], "retry");
    let session = client.runtime.current().await.unwrap();
    assert_eq!(answer["data"], json!({ "sessionId": session }));
    loop {
        let frame = frames.next().await;
        assert!(frame.data["ts"].as_u64().unwrap() > 0, "{frame:?}");
        if frame.event == "agent_end" {
            assert_eq!(frame.data["reason"], "done");
            break;
        }
    }
    let (_, messages) = client.get("/messages").await;
    let list = messages["data"]["messages"].as_array().unwrap();
    let roles: Vec<_> = list.iter().map(|m| m["message"]["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "toolResult", "assistant", "assistant"]);
    assert!(list[..3].iter().all(|m| m["message"]["timestamp"].as_u64().unwrap() > 0));
    let (status, answer) = client.post("/retry", "{}").await;
    assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("nothing_to_retry")));
    client.leave().await;
}

#[tokio::test]
async fn messages_wait_while_the_agent_works_and_can_be_changed() {
    let client = Client::new(slow("after")).await;
    let mut frames = client.events("", None).await;
    client.data("/prompt", json!({"message": "go"})).await;
    while frames.next().await.event != "tool_start" {}
    let queued = client.data("/prompt", json!({"message": "one"})).await;
    assert_eq!((&queued["queued"], &queued["entryId"]), (&json!("followUp"), &Value::Null));
    let steered =
        client.data("/prompt", json!({"message": "two", "streamingBehavior": "steer"})).await;
    assert_eq!(steered["queued"], "steer");
    assert_eq!(client.data("/follow-up", json!({"message": "three"})).await["queued"], "followUp");
    assert_eq!(client.data("/steer", json!({"message": "four"})).await["queued"], "steer");
    let (_, state) = client.get("/state").await;
    assert_eq!(state["data"]["steering"], json!(["two", "four"]));
    assert_eq!(state["data"]["followUp"], json!(["one", "three"]));
    assert_eq!(state["data"]["pendingMessageCount"], 4);
    let set = client.data("/queue", json!({"steering": [], "followUp": ["three", "new"]})).await;
    assert_eq!(set, json!({"steering": [], "followUp": ["three", "new"]}));
    let stopped = client.data("/abort", json!({})).await;
    assert_eq!(stopped["followUp"], json!(["three", "new"]));
    let (_, state) = client.get("/state").await;
    assert_eq!(state["data"]["pendingMessageCount"], 0);
    let programs = client.runtime.around().shell.list().await.unwrap();
    assert!(programs.iter().all(|p| p.exit.is_some()), "{programs:?}");
    client.leave().await;
}
