//! A client of the routes, and the events that it reads off a stream.

use super::super::router;
use crate::{
    proxy::Origin,
    runtime::{AgentRuntime, tests::House},
};
use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_model::message::Block;
use tower::ServiceExt as _;

pub(super) struct Client {
    pub(super) house: House,
    pub(super) runtime: Arc<AgentRuntime>,
}

impl Client {
    pub(super) async fn new(answers: Vec<Vec<Block>>) -> Self {
        // The house's own event loop must not be dropped inside this one.
        let house = tokio::task::spawn_blocking(|| House::new(answers)).await.unwrap();
        let runtime = house.bridge(None).await;
        Self { house, runtime }
    }

    pub(super) async fn leave(self) {
        self.runtime.stop();
        let house = self.house;
        tokio::task::spawn_blocking(move || drop(house)).await.unwrap();
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response<Body> {
        router(Arc::clone(&self.runtime)).oneshot(request).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.send(Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        read(self.send(Request::post(path).body(body.into()).unwrap()).await).await
    }

    /// The same over the socket that only the server can reach.
    pub(super) async fn post_outside(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let mut request = Request::post(path).body(Body::from(body.to_string())).unwrap();
        request.extensions_mut().insert(Origin::Server);
        read(self.send(request).await).await
    }

    pub(super) async fn data(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body.to_string()).await;
        assert!(status.is_success(), "{path}: {answer}");
        assert_eq!((&answer["type"], &answer["success"]), (&json!("response"), &json!(true)));
        answer["data"].clone()
    }

    pub(super) async fn events(&self, query: &str, last: Option<&str>) -> Frames {
        let mut request = Request::get(format!("/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Frames { body: response.into_body(), text: String::new() }
    }

    pub(super) async fn work(&self, message: &str) {
        let mut frames = self.events("", None).await;
        self.data("/prompt", json!({ "message": message })).await;
        while frames.next().await.event != "agent_end" {}
    }
}

pub(super) async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

pub(super) struct Frames {
    body: Body,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub(super) event: String,
    pub(super) id: Option<u64>,
    pub(super) data: Value,
}

impl Frames {
    pub(super) async fn next(&mut self) -> Frame {
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

    pub(super) async fn take(&mut self, n: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        for _ in 0..n {
            frames.push(self.next().await);
        }
        frames
    }
}
