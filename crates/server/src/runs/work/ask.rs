//! What is asked of a run's bridge: small questions with small answers, each with its time.

use super::owned::Work;
use crate::bridge_client::BridgeError;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use std::time::Duration;
use toft_model::http::TAKE_BEFORE;
use tokio::time::timeout;

/// How long a bridge may take for an answer; right after a start it is still loading.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer: a run's plan.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;

impl Work {
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), BridgeError> {
        let broken = |e: &dyn std::fmt::Display| BridgeError::Broken(e.to_string());
        let work = async {
            let until = crate::clock::monotonic_ms() + 10_000;
            let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(TAKE_BEFORE, until)
                .body(body)
                .map_err(|e| broken(&e))?;
            let answer = self.app.bridge.send(&self.run.project, request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|e| broken(&e))?.to_bytes();
            let said = serde_json::from_slice(&bytes).ok().filter(Value::is_object);
            Ok((status, said.ok_or(BridgeError::NoJson)?))
        };
        timeout(ANSWER_TIMEOUT, work).await.map_err(|_| BridgeError::Timeout)?
    }

    /// How its conversation stands.
    pub(super) async fn conversation(&self) -> Option<Value> {
        let session = self.run.state.session.as_ref()?;
        let path = format!("/toft/state?sessionId={session}");
        let (_, mut answer) = self.ask(Method::GET, &path, None).await.ok()?;
        Some(answer["data"].take())
    }
}
