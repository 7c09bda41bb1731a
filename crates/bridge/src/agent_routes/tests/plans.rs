//! Mode and plan: people set and decide, and what runs in the machine does not.

use super::client::Client;
use axum::http::StatusCode;
use serde_json::{Value, json};
use toft_llm::testing::call;
use toft_model::message::Block;

const PLAN: &str = r#"```json
{"summary": "A file.", "todos": [{"id": "a", "title": "Make it", "acceptanceCriteria": ["it is there"]}]}
```"#;

fn planning() -> Vec<Vec<Block>> {
    vec![
        vec![Block::text(PLAN)],
        vec![call("c1", "write", r#"{"path":"made.txt","content":"made"}"#)],
        vec![Block::text("Built.")],
    ]
}

async fn until_end(client: &Client) -> Vec<(String, Value)> {
    let mut frames = client.events("?after=0", None).await;
    let mut told = Vec::new();
    loop {
        let frame = frames.next().await;
        let over = frame.event == "agent_end";
        told.push((frame.event, frame.data));
        if over {
            return told;
        }
    }
}

#[tokio::test]
async fn a_plan_is_made_approved_and_carried_out() {
    let client = Client::new(planning()).await;
    let (_, state) = client.get("/state").await;
    assert_eq!((&state["data"]["mode"], &state["data"]["plan"]), (&json!("build"), &Value::Null));
    let session = state["data"]["sessionId"].as_str().unwrap().to_owned();
    let at = |route: &str| format!("/sessions/{session}/{route}");
    let (status, refused) = client.post(&at("mode"), r#"{"mode":"plan"}"#).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("forbidden")),
        "{refused}"
    );
    let (status, set) = client.post_outside(&at("mode"), json!({"mode": "plan"})).await;
    assert_eq!((status, &set["data"]["mode"]), (StatusCode::OK, &json!("plan")), "{set}");
    let (status, none) = client.post_outside(&at("plan"), json!({"action": "approve"})).await;
    assert_eq!((status, &none["code"]), (StatusCode::CONFLICT, &json!("no_plan")), "{none}");
    client.data("/prompt", json!({"message": "a file"})).await;
    let told = until_end(&client).await;
    let ready = told.iter().find(|(event, _)| event == "plan_ready").map(|(_, data)| data).unwrap();
    assert_eq!(
        (&ready["type"], &ready["summary"], &ready["source"]),
        (&json!("plan_ready"), &json!("A file."), &json!("json"))
    );
    let (_, now) = client.get(&at("plan")).await;
    let now = &now["data"];
    assert_eq!((&now["mode"], &now["planState"]), (&json!("plan"), &json!("proposed")));
    assert_eq!(
        now["plan"]["todos"],
        json!([{"id": "a", "title": "Make it", "acceptanceCriteria": ["it is there"]}])
    );
    let (_, state) = client.get("/state").await;
    assert_eq!(
        (&state["data"]["plan"], &state["data"]["planState"]),
        (&now["plan"], &now["planState"])
    );
    let approve = json!({"action": "approve", "planId": now["plan"]["planId"]});
    let (status, _) = client.post(&at("plan"), approve.to_string()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let bad = json!({"action": "approve", "plan": {"summary": "", "todos": []}});
    let (status, refused) = client.post_outside(&at("plan"), bad).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_argument")),
        "{refused}"
    );
    let (status, approved) = client.post_outside(&at("plan"), approve.clone()).await;
    assert_eq!(status, StatusCode::OK, "{approved}");
    let mut frames = client.events("?after=0", None).await;
    let mut ends = 0;
    while ends < 2 {
        ends += usize::from(frames.next().await.event == "agent_end");
    }
    assert_eq!(
        std::fs::read_to_string(client.house.dir.path().join("project/made.txt")).unwrap(),
        "made"
    );
    let (_, state) = client.get("/state").await;
    let state = &state["data"];
    assert_eq!((&state["mode"], &state["planState"]), (&json!("build"), &json!("approved")));
    assert_eq!(state["todos"], json!([{"content": "Make it", "status": "pending"}]));
    let (_, again) = client.post_outside(&at("plan"), approve).await;
    assert_eq!(again["data"], approved["data"], "an answer that was lost can be had again");
    for wrong in [json!({}), json!({"action": "burn"}), json!({"action": "approve", "plan": 7})] {
        let (status, answer) = client.post_outside(&at("plan"), wrong.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {answer}");
    }
    let (status, _) = client.post_outside(&at("mode"), json!({"mode": "dream"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    client.leave().await;
}

#[tokio::test]
async fn nothing_inside_takes_plan_mode_off_by_going_to_where_it_was_not_on() {
    let client = Client::new(vec![vec![Block::text("Hello.")]]).await;
    client.work("go").await;
    let (_, state) = client.get("/state").await;
    let session = state["data"]["sessionId"].as_str().unwrap().to_owned();
    let (_, said) = client.get(&format!("/messages?sessionId={session}")).await;
    let before = json!({"entryId": said["data"]["messages"][1]["entryId"]});
    let at = |route: &str| format!("/sessions/{session}/{route}");
    client.post_outside(&at("mode"), json!({"mode": "plan"})).await;
    let (status, refused) = client.post(&at("navigate"), before.to_string()).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("forbidden")),
        "{refused}"
    );
    let mode = async || client.get("/state").await.1["data"]["mode"].clone();
    assert_eq!(mode().await, "plan");
    let (status, went) = client.post_outside(&at("navigate"), before).await;
    assert_eq!(status, StatusCode::OK, "{went}");
    assert_eq!(mode().await, "build", "a person may");
    client.leave().await;
}

#[tokio::test]
async fn the_check_is_for_people_to_set() {
    let client = Client::new(planning()).await;
    let check = json!({"autoCheck": false, "checkCommand": "make lint"});
    let (status, _) = client.post("/config", check.to_string()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, state) = client.post_outside("/config", check).await;
    assert_eq!(status, StatusCode::OK, "{state}");
    assert_eq!(
        (&state["data"]["autoCheck"], &state["data"]["checkCommand"]),
        (&json!(false), &json!("make lint"))
    );
    let (_, state) = client.post_outside("/config", json!({"checkCommand": " "})).await;
    assert_eq!(
        (&state["data"]["autoCheck"], &state["data"]["checkCommand"]),
        (&json!(false), &Value::Null)
    );
    client.leave().await;
}
