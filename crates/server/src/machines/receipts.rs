//! The receipts of a project's programs, read from the machine's log folder on the host: no part of the machine
//! but its init has a say in them. Whether the project's tree is still the same is asked of init while it runs.
//! Wakes nothing.

use super::{Machine, reply};
use crate::{api_error::ApiError, state::App};
use axum::{extract::Query, http::Uri, response::Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_machine::{
    init_client,
    receipts::{self, Wanted},
};
use toft_model::{
    id::SessionId,
    receipt::{Receipt, Tree},
};

const COMMAND: &str = "list_receipts";

/// Receipts in one answer, unless it is said.
const LIMIT_DEFAULT: usize = 100;

/// And at most.
const LIMIT_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    session_id: Option<SessionId>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET receipts`.
pub(crate) async fn answer(
    app: &App,
    machine: &Arc<Machine>,
    path: &Uri,
) -> Result<Response, ApiError> {
    let asked = Query::<Asked>::try_from_uri(path);
    let Query(asked) = asked.map_err(|e| ApiError::invalid(e.body_text()))?;
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("`limit` must be 1 to {LIMIT_MAX}")));
    }
    let logs = app.backend.log_dir(&machine.id);
    let wanted = Wanted { session: asked.session_id, after: asked.after, limit };
    let read = tokio::task::spawn_blocking(move || receipts::read(&logs, &wanted));
    let (receipts, more) = read
        .await
        .unwrap_or_else(|e| Err(std::io::Error::other(e)))
        .map_err(|e| ApiError::internal("the receipts of a project could not be read", &e))?;
    // After them: what is newer than a receipt is what it is judged by.
    let stamped = receipts.iter().any(|receipt| receipt.tree.is_some());
    let tree = if stamped { now(app, machine).await } else { None };
    let receipts: Vec<Value> =
        receipts.iter().map(|receipt| shown(receipt, tree.as_ref())).collect();
    Ok(reply::response(COMMAND, json!({"receipts": receipts, "more": more, "tree": tree})))
}

/// The project's tree as it is; nothing where nobody can say.
async fn now(app: &App, machine: &Arc<Machine>) -> Option<Tree> {
    // Nobody pauses it in the middle of an answer.
    let _hold = machine.being_read();
    if !machine.answers() {
        return None;
    }
    let following = machine.view().following.clone().unwrap_or_default();
    let asked = async {
        let stream = app.backend.connect_init(&machine.id).await.ok()?;
        match init_client::tree(stream).await {
            Ok(tree) => tree,
            Err(error) => {
                tracing::debug!(project.id = %machine.id, %error, "the tree is not known");
                None
            }
        }
    };
    tokio::select! {
        () = following.cancelled() => None,
        tree = asked => tree,
    }
}

fn shown(receipt: &Receipt, now: Option<&Tree>) -> Value {
    let stamped = receipt.tree.as_ref();
    let stale = now.zip(stamped).map(|(now, stamped)| now.hash != stamped.tree.hash);
    let mut shown = json!(receipt);
    shown["stale"] = json!(stale);
    shown
}
