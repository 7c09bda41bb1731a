//! A prompt that is sent again, or read too late.

use super::{
    client::{Client, read},
    hello, slow,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use toft_model::http::{PROMPT_ID, TAKE_BEFORE};

impl Client {
    /// Sends a prompt under an id as the server does it.
    async fn prompt_as(&self, id: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post("/prompt").header(PROMPT_ID, id);
        read(self.send(request.body(Body::from(body.to_string())).unwrap()).await).await
    }

    async fn said(&self, session: &str) -> Vec<String> {
        let (_, messages) = self.get(&format!("/messages?sessionId={session}")).await;
        let all = messages["data"]["messages"].as_array().unwrap().iter();
        let by_user = all.filter(|m| m["message"]["role"] == "user");
        by_user.map(|m| m["message"]["content"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_prompt_sent_again_is_answered_as_before_whatever_is_current_now() {
    let mut client = Client::new(hello()).await;
    let go = json!({"message": "go"});
    let (_, one) = client.prompt_as("0123456789abcdef", go.clone()).await;
    let session = one["data"]["sessionId"].as_str().unwrap().to_owned();
    let mut frames = client.events("?after=0", None).await;
    while frames.next().await.event != "agent_end" {}
    client.data("/sessions/new", json!({})).await;
    for bridge in 0..2 {
        let (status, again) = client.prompt_as("0123456789abcdef", go.clone()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{bridge}: {again}");
        for field in ["sessionId", "entryId", "queued"] {
            assert_eq!(again["data"][field], one["data"][field], "{bridge}: {field}");
        }
        assert_eq!(again["data"]["repeated"], true);
        assert_eq!(client.said(&session).await, ["go"]);
        // The next bridge knows it too.
        client.runtime.stop();
        client.runtime = client.house.bridge(None).await;
    }
    for other in [json!({"message": "go on"}), json!({"message": "go", "sessionId": "elsewhere-1"})]
    {
        let (status, refused) = client.prompt_as("0123456789abcdef", other).await;
        assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    }
    let (_, listed) = client.get("/sessions").await;
    for one in listed["data"]["sessions"].as_array().unwrap() {
        let id = one["id"].as_str().unwrap();
        assert_eq!(client.said(id).await.len(), usize::from(id == session), "{listed}");
    }
    client.leave().await;
}

#[tokio::test]
async fn a_message_that_waited_and_was_dropped_does_not_come_back_when_it_is_sent_again() {
    let client = Client::new(slow("after")).await;
    let mut frames = client.events("", None).await;
    let begun = client.data("/prompt", json!({"message": "go"})).await;
    while frames.next().await.event != "tool_start" {}
    let later = json!({"message": "later"});
    let (_, queued) = client.prompt_as("fedcba9876543210", later.clone()).await;
    assert_eq!(queued["data"]["queued"], "followUp");
    client.data("/abort", json!({})).await;
    let (_, again) = client.prompt_as("fedcba9876543210", later).await;
    assert_eq!(again["data"]["queued"], "followUp");
    let (_, state) = client.get("/state").await;
    assert_eq!(
        (&state["data"]["pendingMessageCount"], &state["data"]["status"]),
        (&json!(0), &json!("idle"))
    );
    assert_eq!(client.said(begun["sessionId"].as_str().unwrap()).await, ["go"]);
    client.leave().await;
}

#[tokio::test]
async fn a_prompt_that_nobody_waits_for_any_more_is_not_said() {
    let client = Client::new(hello()).await;
    let request =
        Request::post("/prompt").header(TAKE_BEFORE, "1").header(PROMPT_ID, "00000000aaaa");
    let request = request.body(Body::from(r#"{"message":"go"}"#)).unwrap();
    let (status, refused) = read(client.send(request).await).await;
    assert_eq!((status.as_u16(), &refused["code"]), (503, &json!("too_late")));
    let session = client.runtime.current().await.unwrap();
    assert!(client.said(session.as_str()).await.is_empty());
    // Sent again in time it is new.
    let (_, said) = client.prompt_as("00000000aaaa", json!({"message": "go"})).await;
    assert_eq!(
        (said["data"]["entryId"].as_str(), &said["data"]["repeated"]),
        (Some("00000000aaaa"), &Value::Null)
    );
    client.leave().await;
}
