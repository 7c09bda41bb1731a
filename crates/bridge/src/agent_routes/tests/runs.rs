//! Runs as the server sees them, and what runs in the machine does not.

use super::client::{Client, read};
use crate::proxy::Origin;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use toft_llm::testing::call;
use toft_model::message::Block;

const ID: &str = "/runs/r23456789bcd";

const PLAN: &str = r#"```json
{"summary": "A file.", "todos": [{"id": "a", "title": "Make it"}]}
```"#;

fn planning() -> Vec<Vec<Block>> {
    vec![
        vec![Block::text(PLAN)],
        vec![call("c1", "write", r#"{"path":"made.txt","content":"made"}"#)],
        vec![Block::text("Built.")],
    ]
}

fn order(with: &Value) -> Value {
    let mut order = json!({
        "fence": 7, "prompt": "a file", "plan": true, "approval": true, "commit": true,
        "planTimeoutS": 60, "buildTimeoutS": 60,
    });
    order.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    order
}

impl Client {
    async fn put(&self, from: Origin, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut request = Request::put(path).body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(from);
        read(self.send(request).await).await
    }

    /// Asks until it is so.
    async fn run(&self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (status, run) = self.get(ID).await;
            assert_eq!((status, &run["command"]), (StatusCode::OK, &json!("get_run")));
            if holds(&run["data"]) {
                return run["data"].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_run_is_ordered_once_approved_and_shown() {
    let client = Client::new(planning()).await;
    let (status, none) = client.get(ID).await;
    assert_eq!((status, &none["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let (status, refused) = client.put(Origin::Machine, ID, &order(&json!({}))).await;
    assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    let (status, first) = client.put(Origin::Server, ID, &order(&json!({}))).await;
    assert_eq!((status, &first["command"]), (StatusCode::OK, &json!("order_run")), "{first}");
    let first = &first["data"];
    assert_eq!(
        (&first["id"], &first["fence"], &first["status"], &first["repeated"]),
        (&json!("r23456789bcd"), &json!(7), &Value::Null, &Value::Null)
    );
    let waiting = client.run(|run| run["waitsFor"] == "approval").await;
    assert_eq!((&waiting["phase"], &waiting["endSeq"]), (&json!("plan"), &Value::Null));
    assert_eq!(waiting["plan"]["summary"], "A file.");
    let (_, again) = client.put(Origin::Server, ID, &order(&json!({"fence": 8}))).await;
    let again = &again["data"];
    assert_eq!((&again["repeated"], &again["fence"]), (&json!(true), &json!(8)));
    assert_eq!(again["sessionId"], first["sessionId"]);
    let cases = [
        (order(&json!({})), 409, "stale_fence"),
        (order(&json!({"fence": 8, "prompt": "else"})), 409, "conflict"),
        (order(&json!({"prompt": " "})), 400, "invalid_argument"),
        (order(&json!({"planTimeoutS": 0})), 400, "invalid_argument"),
        (order(&json!({"author": {"name": "a\nb", "email": "e"}})), 400, "invalid_argument"),
        (json!({"fence": 8}), 400, "invalid_argument"),
    ];
    for (body, status, code) in cases {
        let (got, refused) = client.put(Origin::Server, ID, &body).await;
        assert_eq!((got.as_u16(), &refused["code"]), (status, &json!(code)), "{body}: {refused}");
    }
    let said = json!({"message": "x", "entryId": "run-s23456789bcd"}).to_string();
    let (status, refused) = client.post("/prompt", said).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "only a run says its prompt: {refused}");
    let named = order(&json!({"sessionId": "nobody"}));
    let (status, refused) = client.put(Origin::Server, "/runs/s23456789bcd", &named).await;
    assert_eq!((status.as_u16(), &refused["code"]), (404, &json!("session_not_found")));
    let (status, _) = client.put(Origin::Server, "/runs/..x", &named).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let taken = order(&json!({"sessionId": first["sessionId"]}));
    let (status, refused) = client.put(Origin::Server, "/runs/s23456789bcd", &taken).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("busy")), "{refused}");

    let approve = format!("{ID}/approve");
    let (status, _) = client.post(&approve, "{}").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let bad = json!({"plan": {"summary": "", "todos": []}});
    let (status, refused) = client.post_outside(&approve, bad).await;
    assert_eq!((status.as_u16(), &refused["code"]), (400, &json!("invalid_argument")));
    let plan_id = waiting["plan"]["planId"].clone();
    let (status, approved) = client.post_outside(&approve, json!({"planId": plan_id})).await;
    assert_eq!(status, StatusCode::OK, "{approved}");
    assert_eq!((&approved["data"]["planId"], &approved["data"]["runId"]), (&plan_id, &first["id"]));
    let over = client.run(|run| !run["status"].is_null()).await;
    assert_eq!((&over["status"], &over["phase"]), (&json!("completed"), &json!("over")), "{over}");
    assert_eq!(over["commit"], json!({"result": "skipped", "reason": "not_git_repo"}));
    let (status, late) = client.post_outside(&approve, json!({})).await;
    assert_eq!((status.as_u16(), &late["code"]), (409, &json!("no_plan")));

    // Its events lie between the two numbers.
    let after = over["afterSeq"].as_u64().unwrap();
    let mut frames = client.events(&format!("?after={after}"), None).await;
    let mut phases = Vec::new();
    loop {
        let frame = frames.next().await;
        if frame.event == "run_step" {
            assert_eq!(
                (&frame.data["type"], &frame.data["runId"]),
                (&json!("run_step"), &first["id"])
            );
            phases.push(frame.data["phase"].as_str().unwrap().to_owned());
            if frame.data["status"] == "completed" {
                assert_eq!(frame.id, over["endSeq"].as_u64());
                break;
            }
        }
    }
    assert_eq!(phases, ["plan", "plan", "build", "commit", "over"]);
    let (_, listed) = client.get("/runs").await;
    assert_eq!(listed["command"], "list_runs");
    assert_eq!(listed["data"]["runs"][0]["endSeq"], over["endSeq"]);
    client.leave().await;
}

#[tokio::test]
async fn a_plan_is_refused_and_a_run_cancelled_from_outside_only() {
    let client = Client::new(planning()).await;
    client.put(Origin::Server, ID, &order(&json!({}))).await;
    client.run(|run| run["waitsFor"] == "approval").await;
    for (route, body) in [("reject", json!({})), ("cancel", json!({"fence": 7}))] {
        let (status, refused) = client.post(&format!("{ID}/{route}"), body.to_string()).await;
        assert_eq!((status, &refused["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    }
    let (status, rejected) = client.post_outside(&format!("{ID}/reject"), json!({})).await;
    assert_eq!(
        (status, &rejected["data"]["entryId"]),
        (StatusCode::OK, &Value::Null),
        "{rejected}"
    );
    let cancel = format!("{ID}/cancel");
    for (body, status, code) in
        [(json!({}), 400, "invalid_argument"), (json!({"fence": 6}), 409, "stale_fence")]
    {
        let (got, refused) = client.post_outside(&cancel, body).await;
        assert_eq!((got.as_u16(), &refused["code"]), (status, &json!(code)), "{refused}");
    }
    let (status, over) = client.post_outside(&cancel, json!({"fence": 7})).await;
    assert_eq!((status, &over["data"]["status"]), (StatusCode::OK, &json!("cancelled")), "{over}");
    let (status, none) =
        client.post_outside("/runs/s23456789bcd/cancel", json!({"fence": 7})).await;
    assert_eq!((status.as_u16(), &none["code"]), (404, &json!("not_found")));
    client.leave().await;
}
