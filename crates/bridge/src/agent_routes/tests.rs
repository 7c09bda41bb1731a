//! The routes as a client sees them: shapes, errors, and streams that lose nothing.

mod once;

use super::*;
use crate::runtime::tests::House;
use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use toft_llm::testing::call;
use toft_model::{event::EventBody, id::SessionId, message::Block};
use tower::ServiceExt as _;

struct Client {
    house: House,
    runtime: Arc<AgentRuntime>,
}

impl Client {
    async fn new(answers: Vec<Vec<Block>>) -> Self {
        // The house's own event loop must not be dropped inside this one.
        let house = tokio::task::spawn_blocking(|| House::new(answers)).await.unwrap();
        let runtime = house.bridge(None).await;
        Self { house, runtime }
    }

    async fn leave(self) {
        self.runtime.stop();
        let house = self.house;
        tokio::task::spawn_blocking(move || drop(house)).await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        router(Arc::clone(&self.runtime)).oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.send(Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        read(self.send(Request::post(path).body(body.into()).unwrap()).await).await
    }

    async fn data(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body.to_string()).await;
        assert!(status.is_success(), "{path}: {answer}");
        assert_eq!((&answer["type"], &answer["success"]), (&json!("response"), &json!(true)));
        answer["data"].clone()
    }

    async fn events(&self, query: &str, last: Option<&str>) -> Frames {
        let mut request = Request::get(format!("/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Frames { body: response.into_body(), text: String::new() }
    }

    async fn work(&self, message: &str) {
        let mut frames = self.events("", None).await;
        self.data("/prompt", json!({ "message": message })).await;
        while frames.next().await.event != "agent_end" {}
    }
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

struct Frames {
    body: Body,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Frame {
    event: String,
    id: Option<u64>,
    data: Value,
}

impl Frames {
    async fn next(&mut self) -> Frame {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let frame = std::mem::replace(&mut self.text, rest);
                if frame.starts_with(':') {
                    continue;
                }
                let field = |name: &str| {
                    frame.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
                };
                return Frame {
                    event: field("event").unwrap().to_owned(),
                    id: field("id").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                };
            }
            let piece = tokio::time::timeout(Duration::from_mins(1), self.body.frame()).await;
            let piece = piece.expect("the stream goes on").expect("the stream stays open").unwrap();
            self.text.push_str(std::str::from_utf8(piece.data_ref().unwrap()).unwrap());
        }
    }

    async fn take(&mut self, n: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        for _ in 0..n {
            frames.push(self.next().await);
        }
        frames
    }
}

fn hello() -> Vec<Vec<Block>> {
    vec![
        vec![call("c1", "bash", r#"{"command":"echo hi"}"#)],
        vec![Block::text("All of it is done now.")],
        vec![Block::text("And more.")],
    ]
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
async fn a_stream_says_hello_and_bad_numbers_are_refused() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    let newest = client.runtime.log().last_seq();
    let first = client.events("", None).await.next().await;
    assert_eq!((first.event.as_str(), first.id), ("hello", None));
    assert_eq!(first.data["seq"], newest);
    assert_eq!(first.data["project"], "a23456789bcd");
    let future = (newest + 1).to_string();
    for bad in ["x", "-1", "1.5", "99999999999999999999999", &future] {
        let request = Request::get("/events").header("last-event-id", bad);
        let (status, answer) = read(client.send(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_argument")), "{bad}");
        let (status, _) = client.get(&format!("/events?after={bad}")).await;
        assert_eq!(status.as_u16(), 400, "{bad}");
    }
    for twice in ["/events?after=1&after=2", "/state?sessionId=a&sessionId=b"] {
        let (status, answer) = client.get(twice).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_argument")));
    }
    client.leave().await;
}

#[tokio::test]
async fn a_client_that_reconnects_anywhere_gets_every_event_once() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    client.work("more").await;
    let newest = usize::try_from(client.runtime.log().last_seq()).unwrap();
    let all = {
        let mut frames = client.events("?after=0", None).await;
        frames.next().await;
        frames.take(newest).await
    };
    let ids: Vec<u64> = all.iter().map(|f| f.id.unwrap()).collect();
    assert_eq!(ids, (1..=newest as u64).collect::<Vec<_>>());
    for first in 0..newest {
        // The header of a browser that comes back counts, not the address it began with.
        let mut frames = client.events("?after=0", Some(&first.to_string())).await;
        frames.next().await;
        assert_eq!(frames.take(newest - first).await, all[first..], "from {first}");
    }
    // And what comes while the old ones are read.
    let mut frames = client.events("?after=3", None).await;
    frames.next().await;
    client.work("again").await;
    let now = usize::try_from(client.runtime.log().last_seq()).unwrap();
    let ids: Vec<u64> = frames.take(now - 3).await.iter().map(|f| f.id.unwrap()).collect();
    assert_eq!(ids, (4..=now as u64).collect::<Vec<_>>());
    client.leave().await;
}

#[tokio::test]
async fn two_sessions_work_at_once_and_their_events_name_them() {
    let slow = vec![vec![call("c1", "bash", r#"{"command":"sleep 30"}"#)], vec![Block::text("x")]];
    let client = Client::new(slow).await;
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
    let slow = vec![
        vec![call("c1", "bash", r#"{"command":"sleep 30"}"#)],
        vec![Block::text("done after all")],
    ];
    let client = Client::new(slow).await;
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
    let slow =
        vec![vec![call("c1", "bash", r#"{"command":"sleep 30"}"#)], vec![Block::text("after")]];
    let client = Client::new(slow).await;
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

#[tokio::test]
async fn a_client_that_reads_messages_in_mid_answer_can_follow_from_their_number() {
    let client = Client::new(vec![vec![Block::text("a b c d")]]).await;
    let handle = client.runtime.session(None).await.unwrap();
    let started = EventBody::MessageStart(toft_model::event::MessageStart {
        message_id: "m1".into(),
        role: "assistant".into(),
    });
    handle.conversation().emit(started);
    let begun = client.runtime.log().last_seq();
    client.runtime.log().append(None, EventBody::AgentStart {});
    let (_, messages) = client.get("/messages").await;
    assert_eq!(messages["data"]["seq"], begun - 1, "the shown part is sent again");
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
async fn a_slow_reader_does_not_hold_the_agent_up() {
    let words = "word ".repeat(2_000);
    let client = Client::new(vec![vec![Block::text(words)]]).await;
    let mut slow = client.events("", None).await;
    slow.next().await;
    client.work("go").await;
    let mut last = client.runtime.log().last_seq() - 2_000;
    let mut frames = futures_util::stream::unfold(slow, |mut frames| async move {
        let frame = frames.next().await;
        Some((frame, frames))
    })
    .boxed();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next().await {
        seen.push(frame.id.unwrap());
        if frame.event == "agent_end" {
            break;
        }
    }
    assert!(seen.windows(2).all(|w| w[1] == w[0] + 1), "no gap");
    last += 2_000;
    assert_eq!(seen.last(), Some(&last));
    client.leave().await;
}
