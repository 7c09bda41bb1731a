//! The runs of a test's bridge: it takes each order and its answer is lost, as where a line breaks, unless the test says
//! otherwise; it can be asked what it works on, and have it ended.

use crate::box_bridge::Bridge;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use toft_model::{
    id::SessionId,
    run::{JobId, Phase, RunNow, RunStatus},
};

/// Of one machine.
#[derive(Default)]
pub(crate) struct Runs {
    all: Mutex<Vec<RunNow>>,
    /// How often it was given an order.
    pub(crate) orders: AtomicUsize,
    /// What it answers to an order.
    pub(crate) says: Mutex<Says>,
}

/// See [`Runs::says`].
#[derive(Default)]
pub(crate) enum Says {
    #[default]
    Nothing,
    /// How the run stands, as bridges do.
    Now,
    /// What none does.
    Odd(Value),
}

impl Runs {
    /// How each ended that it was given; `None`: it is worked on.
    pub(crate) fn ends(&self) -> Vec<(JobId, Option<RunStatus>)> {
        self.all.lock().unwrap().iter().map(|now| (now.id.clone(), now.status)).collect()
    }
}

pub(crate) fn routes() -> Router<Bridge> {
    Router::new()
        .route("/toft/runs", get(list))
        .route("/toft/runs/{id}", put(take).get(one))
        .route("/toft/runs/{id}/cancel", post(cancel))
}

async fn list(State(bridge): State<Bridge>) -> Json<Value> {
    Json(json!({ "data": { "runs": *bridge.disk.runs.all.lock().unwrap() } }))
}

async fn one(State(bridge): State<Bridge>, Path(id): Path<JobId>) -> Response {
    let all = bridge.disk.runs.all.lock().unwrap();
    match all.iter().find(|now| now.id == id) {
        Some(now) => Json(json!({ "data": now })).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "code": "not_found" }))).into_response(),
    }
}

async fn take(
    State(bridge): State<Bridge>,
    Path(id): Path<JobId>,
    Json(order): Json<Value>,
) -> Response {
    let mut all = bridge.disk.runs.all.lock().unwrap();
    bridge.disk.runs.orders.fetch_add(1, Ordering::SeqCst);
    if all.iter().all(|now| now.id != id) {
        all.push(RunNow {
            id: id.clone(),
            fence: order["fence"].as_u64().unwrap(),
            attempt: 1,
            session_id: "s1".parse::<SessionId>().unwrap(),
            phase: Phase::Plan,
            status: None,
            waits_for: None,
            plan: None,
            commit: None,
            error: None,
            after_seq: 0,
            end_seq: None,
        });
    }
    match &*bridge.disk.runs.says.lock().unwrap() {
        Says::Nothing => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Says::Now => Json(json!({ "data": all.iter().find(|now| now.id == id) })).into_response(),
        Says::Odd(value) => Json(value).into_response(),
    }
}

async fn cancel(
    State(bridge): State<Bridge>,
    Path(id): Path<JobId>,
    Json(by): Json<Value>,
) -> StatusCode {
    let mut all = bridge.disk.runs.all.lock().unwrap();
    let now = all.iter_mut().find(|now| now.id == id).unwrap();
    assert_eq!(by["fence"], now.fence);
    now.status = Some(RunStatus::Cancelled);
    StatusCode::OK
}
