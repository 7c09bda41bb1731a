//! The routes as a client sees them: shapes, errors, and streams that lose nothing.

mod client;
mod once;
mod plans;
mod rules;
mod runs;
mod streams;
mod trees;
mod while_working;

use super::router;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use client::{Client, read};
use serde_json::{Value, json};
use toft_llm::testing::call;
use toft_model::message::Block;
use tower::ServiceExt as _;

fn hello() -> Vec<Vec<Block>> {
    vec![
        vec![call("c1", "bash", r#"{"command":"echo hi"}"#)],
        vec![Block::text("All of it is done now.")],
        vec![Block::text("And more.")],
    ]
}

/// Works until it is stopped, and says this if it is asked once more.
fn slow(then: &str) -> Vec<Vec<Block>> {
    vec![vec![call("c1", "bash", r#"{"command":"sleep 30"}"#)], vec![Block::text(then)]]
}

#[tokio::test]
async fn a_prompt_is_answered_when_it_is_on_disk_and_its_work_can_be_read() {
    let client = Client::new(hello()).await;
    let (status, answer) = client.post("/prompt", r#"{"message":"go"}"#).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(answer["command"], "prompt");
    assert_eq!(answer["data"]["queued"], Value::Null);
    let entry = answer["data"]["entryId"].as_str().unwrap().to_owned();
    let session = answer["data"]["sessionId"].as_str().unwrap().to_owned();
    let mut frames = client.events("?after=0", None).await;
    while frames.next().await.event != "agent_end" {}

    let (_, messages) = client.get("/messages").await;
    let list = messages["data"]["messages"].as_array().unwrap();
    assert_eq!(list.len(), 4);
    assert_eq!(list[0]["entryId"], entry.as_str());
    assert_eq!(list[1]["parentId"], entry.as_str());
    assert_eq!(list[3]["message"]["content"][0]["text"], "All of it is done now.");
    let (_, state) = client.get("/state").await;
    let state = &state["data"];
    assert_eq!(state["seq"], messages["data"]["seq"]);
    assert_eq!(state["sessionId"], session.as_str());
    assert_eq!((&state["status"], &state["isStreaming"]), (&json!("idle"), &json!(false)));
    assert_eq!((&state["model"]["demo"], &state["messageCount"]), (&json!(true), &json!(4)));
    assert_eq!(
        (&state["steeringMode"], &state["appPort"]),
        (&json!("one-at-a-time"), &json!(3000))
    );
    assert_eq!(state["usage"]["totalTokens"], 4);
    assert_eq!(state["question"], Value::Null);
    client.leave().await;
}

#[tokio::test]
async fn a_conversation_can_be_made_beside_the_current_one_and_prompted_once_by_id() {
    let client = Client::new(hello()).await;
    let (_, first) = client.post("/sessions/new", "{}").await;
    let body = r#"{"name":"nightly","current":false}"#;
    let (_, beside) = client.post("/sessions/new", body).await;
    let (_, listed) = client.get("/sessions").await;
    assert_eq!(listed["data"]["current"], first["data"]["sessionId"]);
    let session = beside["data"]["sessionId"].as_str().unwrap();
    let body = json!({"message": "go", "sessionId": session, "entryId": "firing-one1"}).to_string();
    let (_, one) = client.post("/prompt", body.clone()).await;
    assert_eq!(one["data"]["entryId"], "firing-one1");
    let (_, two) = client.post("/prompt", body).await;
    assert_eq!(two["data"]["entryId"], "firing-one1");
    let mut frames = client.events("?after=0", None).await;
    while frames.next().await.event != "agent_end" {}
    let (_, messages) = client.get(&format!("/messages?sessionId={session}")).await;
    let said = messages["data"]["messages"].as_array().unwrap().iter();
    assert_eq!(said.filter(|m| m["message"]["role"] == "user").count(), 1);
    let (status, refused) =
        client.post("/prompt", r#"{"message":"go","entryId":"a b c d e"}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused["error"].as_str().unwrap().contains("entryId"), "{refused}");
    client.leave().await;
}

#[tokio::test]
async fn bad_requests_are_told_what_to_do() {
    let client = Client::new(hello()).await;
    let png = "iVBORw0KGgo=";
    let image = |mime: &str, data: &str| {
        json!({"message": "x", "images": [{"data": data, "mimeType": mime}]}).to_string()
    };
    let many =
        json!({"images": vec![json!({"data": png, "mimeType": "image/png"}); 11]}).to_string();
    let cases = [
        ("/prompt", "{oh".to_owned(), 400, "invalid_json"),
        ("/prompt", "[1]".into(), 400, "invalid_argument"),
        ("/prompt", r#"{"message":5}"#.into(), 400, "invalid_argument"),
        ("/prompt", r#"{"message":"  "}"#.into(), 400, "invalid_argument"),
        ("/prompt", String::new(), 400, "invalid_argument"),
        (
            "/prompt",
            r#"{"message":"x","streamingBehavior":"later"}"#.into(),
            400,
            "invalid_argument",
        ),
        ("/prompt", r#"{"message":"x","sessionId":"nobody"}"#.into(), 404, "session_not_found"),
        ("/prompt", r#"{"message":"x","sessionId":"../x"}"#.into(), 400, "invalid_argument"),
        ("/prompt", image("image/tiff", png), 400, "invalid_argument"),
        ("/prompt", image("image/png", "not base64!"), 400, "invalid_argument"),
        ("/prompt", many, 400, "invalid_argument"),
        ("/steer", "{}".into(), 400, "invalid_argument"),
        ("/abort", r#"{"sessionId":"nobody"}"#.into(), 404, "session_not_found"),
        ("/queue", r#"{"steering":"x"}"#.into(), 400, "invalid_argument"),
        ("/queue", r#"{"steering":["x"," "]}"#.into(), 400, "invalid_argument"),
        ("/queue", json!({"followUp": vec!["x"; 257]}).to_string(), 409, "busy"),
        ("/config", json!({"sessionName": "n".repeat(201)}).to_string(), 400, "invalid_argument"),
        ("/sessions/new", json!({"name": "ä".repeat(201)}).to_string(), 400, "invalid_argument"),
        (
            "/sessions/new",
            json!({"parentSession": "p".repeat(5_000)}).to_string(),
            400,
            "invalid_argument",
        ),
        ("/answer", r#"{"toolCallId":"c9","answer":"x"}"#.into(), 404, "not_found"),
        ("/answer", r#"{"toolCallId":"c9"}"#.into(), 400, "invalid_argument"),
        ("/config", r#"{"provider":"nobody","modelId":"m"}"#.into(), 400, "unknown_model"),
        ("/config", r#"{"provider":"demo"}"#.into(), 400, "invalid_argument"),
        ("/config", r#"{"thinkingLevel":"huge"}"#.into(), 400, "invalid_argument"),
        ("/config", r#"{"appPort":0}"#.into(), 400, "invalid_argument"),
        ("/config", r#"{"appPort":70000}"#.into(), 400, "invalid_argument"),
        ("/config", r#"{"steeringMode":"some"}"#.into(), 400, "invalid_argument"),
        ("/sessions/switch", "{}".into(), 400, "invalid_argument"),
        ("/sessions/switch", r#"{"sessionId":"nobody"}"#.into(), 404, "session_not_found"),
        ("/sessions/switch", r#"{"sessionPath":"/etc/passwd"}"#.into(), 404, "session_not_found"),
        ("/sessions/compact", "{}".into(), 409, "nothing_to_compact"),
        ("/retry", "{}".into(), 409, "nothing_to_retry"),
        ("/retry", r#"{"sessionId":"nobody"}"#.into(), 404, "session_not_found"),
    ];
    for (path, body, status, code) in cases {
        let (got, answer) = client.post(path, body.clone()).await;
        assert_eq!(got.as_u16(), status, "{path} {body}: {answer}");
        assert_eq!(answer["code"], code, "{path} {body}");
        assert_eq!((&answer["type"], &answer["success"]), (&json!("response"), &json!(false)));
        assert!(answer["error"].as_str().unwrap().len() > 10, "{path} {body}: {answer}");
    }
    let (status, answer) = client.post("/answer", vec![b' '; (1 << 20) + 1]).await;
    assert_eq!((status.as_u16(), &answer["code"]), (413, &json!("payload_too_large")));
    let (_, messages) = client.get("/messages").await;
    assert_eq!(messages["data"]["messages"], json!([]), "nothing was taken");
    client.leave().await;
}

#[tokio::test]
async fn names_levels_and_modes_are_set_and_kept() {
    let client = Client::new(hello()).await;
    let state = client
        .data(
            "/config",
            json!({"sessionName": "N", "thinkingLevel": "low", "steeringMode": "all",
                   "autoCompactionEnabled": false, "provider": "demo", "modelId": "script",
                   "appPort": 4321}),
        )
        .await;
    let check = |state: &Value| {
        assert_eq!(state["sessionName"], "N");
        assert_eq!(state["thinkingLevel"], "low");
        assert_eq!(state["steeringMode"], "all");
        assert_eq!(state["autoCompactionEnabled"], false);
        assert_eq!(state["appPort"], 4321);
    };
    check(&state);
    client.runtime.stop();
    let again = client.house.bridge(None).await;
    let request = Request::get("/state").body(Body::empty()).unwrap();
    let (_, state) = read(router(again).oneshot(request).await.unwrap()).await;
    check(&state["data"]);
    client.leave().await;
}

#[tokio::test]
async fn skills_and_servers_can_be_seen() {
    let client = Client::new(hello()).await;
    let (status, answer) = client.get("/skills").await;
    assert_eq!((status, &answer["command"]), (StatusCode::OK, &json!("list_skills")));
    assert_eq!(answer["data"], json!({ "skills": [], "faults": [] }));
    let (_, answer) = client.get("/mcp").await;
    assert_eq!(answer["data"], json!({ "servers": [], "faults": [] }));
    let (status, answer) = client.get("/extensions").await;
    assert_eq!((status, &answer["command"]), (StatusCode::OK, &json!("list_extensions")));
    assert_eq!(answer["data"], json!({ "extensions": [] }));
    client.leave().await;
}
