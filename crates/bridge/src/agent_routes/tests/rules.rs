//! Rules and limits: people set them, and what runs in the machine does not.

use super::client::Client;
use axum::http::StatusCode;
use serde_json::{Value, json};
use toft_llm::testing::call;
use toft_model::message::Block;

fn pushing() -> Vec<Vec<Block>> {
    vec![
        vec![call("c1", "bash", r#"{"command":"cd . && echo pushed > pushed.txt"}"#)],
        vec![Block::text("Done.")],
    ]
}

#[tokio::test]
async fn rules_and_limits_are_kept_and_can_be_read() {
    let client = Client::new(pushing()).await;
    let rules = json!([{"tool": "bash", "argument": "git push *", "action": "ask", "reason": "It is public."}]);
    let limits = json!({"money": 2_000_000_000_u64, "steps": 40});
    let (status, state) =
        client.post_outside("/config", json!({"rules": rules, "limits": limits})).await;
    assert_eq!(status, StatusCode::OK, "{state}");
    assert_eq!((&state["data"]["rules"], &state["data"]["limits"]), (&rules, &limits));
    let kept = std::fs::read_to_string(client.house.dir.path().join("home/agent.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["settings"]["rules"], rules);
    // Replaced whole; what is left out stays.
    let (_, state) = client.post_outside("/config", json!({"limits": {}})).await;
    assert_eq!((&state["data"]["rules"], &state["data"]["limits"]), (&rules, &json!({})));
    for wrong in [
        json!({"rules": [{"tool": "", "action": "ask"}]}),
        json!({"rules": [{"tool": "bash", "argument": "", "action": "ask"}]}),
        json!({"rules": [{"tool": "bash", "action": "maybe"}]}),
        json!({"rules": [{"tool": "bash", "action": "deny", "reason": "x".repeat(5_000)}]}),
        json!({"rules": vec![json!({"tool": "bash", "action": "deny"}); 201]}),
        json!({"limits": {"hours": 1}}),
        json!({"limits": {"seconds": -1}}),
    ] {
        let (status, answer) = client.post_outside("/config", wrong.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {answer}");
    }
    client.leave().await;
}

#[tokio::test]
async fn a_change_of_a_setting_never_puts_back_rules_that_a_person_changes_meanwhile() {
    let client = Client::new(pushing()).await;
    let rules = json!([{"tool": "bash", "argument": "git push *", "action": "deny"}]);
    let modes = ["all", "one-at-a-time"].repeat(4);
    let inside = modes
        .iter()
        .map(|mode| client.post("/config", json!({ "steeringMode": mode }).to_string()));
    let (_, inside) = tokio::join!(
        client.post_outside("/config", json!({ "rules": rules })),
        futures_util::future::join_all(inside),
    );
    assert!(inside.iter().all(|(status, _)| *status == StatusCode::OK), "{inside:?}");
    let (_, state) = client.post_outside("/config", json!({})).await;
    assert_eq!(state["data"]["rules"], rules);
    client.leave().await;
}

#[tokio::test]
async fn the_agent_neither_changes_its_rules_nor_answers_for_people() {
    let client = Client::new(pushing()).await;
    let rules = json!({"rules": [{"tool": "bash", "argument": "echo *", "action": "ask"}]});
    let (status, refused) = client.post("/config", rules.to_string()).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("forbidden")),
        "{refused}"
    );
    client.post_outside("/config", rules).await;
    client.data("/prompt", json!({"message": "go"})).await;
    let mut frames = client.events("?after=0", None).await;
    let asked = loop {
        let frame = frames.next().await;
        if frame.event == "question" {
            break frame.data;
        }
    };
    assert_eq!((&asked["kind"], &asked["toolCallId"]), (&json!("permission"), &json!("c1")));
    let file = client.house.dir.path().join("project/pushed.txt");
    let yes = json!({"toolCallId": "c1", "answer": "Allow once"});
    let (status, _) = client.post("/answer", yes.to_string()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(!file.exists(), "it waits for a person");
    let (status, answer) = client.post_outside("/answer", yes).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "agent_end") {
        kinds.push(frames.next().await.event);
    }
    assert!(kinds.iter().any(|kind| kind == "answered"), "{kinds:?}");
    assert!(file.exists());
    client.leave().await;
}
