//! Routes over one session as a tree: its entries, a copy of a branch, going to an entry, naming one, and the
//! branch as a page.

use super::session::{answer, ask, named, session_name};
use crate::{
    answer::{Failure, Refused},
    asked::{Asked, query},
    body::body,
    in_time,
    proxy::is_outside,
    runtime::{AgentRuntime, fork::Fork},
};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::json;
use std::{convert::Infallible, sync::Arc};
use toft_agent::{Command, session::Page};
use toft_model::plan::Mode;

/// Entries of one answer when it is not said how many: some 150 KiB.
const ENTRIES_DEFAULT: usize = 500;

/// Entries of one answer at most.
const ENTRIES_MAX: usize = 5_000;

/// Characters of a label: a few words in a list.
const LABEL_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
pub(super) struct Part {
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn tree(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    asked: Asked<Part>,
) -> Response {
    let result = async {
        let Part { after, limit } = query(asked)?;
        let limit = limit.unwrap_or(ENTRIES_DEFAULT);
        if !(1..=ENTRIES_MAX).contains(&limit) {
            return Err(Failure::invalid(format!("limit is 1 to {ENTRIES_MAX}.")));
        }
        let handle = runtime.session(Some(&named(&id)?)).await?;
        let conversation = handle.conversation();
        // Under the session's lock: what is appended later has a later number.
        let session = conversation.session();
        let from = match after {
            Some(after) => {
                let place = session.place(&after).ok_or_else(|| no_entry(&after))?;
                place + 1
            }
            None => 0,
        };
        let nodes = session.nodes(from, limit);
        let is_whole = from + nodes.len() >= session.entries().len();
        let next = nodes.last().map(|node| node.id.clone()).filter(|_| !is_whole);
        Ok(json!({
            "sessionId": session.id(),
            "parentSession": session.header().parent_session,
            "leafId": session.leaf().map(|leaf| &leaf.id),
            "entries": nodes,
            "next": next,
            "seq": conversation.follow_from(),
        }))
    };
    answer("get_tree", StatusCode::OK, result.await)
}

fn no_entry(id: &str) -> Failure {
    toft_agent::Refused::NoEntry(id.to_owned()).into()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Forked {
    entry_id: Option<String>,
    name: Option<String>,
    /// Whether it becomes the current one.
    current: Option<bool>,
}

pub(super) async fn fork(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        let from = named(&id)?;
        let Forked { entry_id, name, current } = body(request).await?;
        let name = label_text(session_name(name)?)?;
        runtime.log().check().map_err(|trouble| toft_agent::Refused::Disk(trouble.to_string()))?;
        let wanted = Fork { entry_id, name, current: current.unwrap_or(true) };
        let (handle, text) = runtime.fork(&from, wanted).await?;
        let session = handle.conversation().session();
        Ok(json!({
            "sessionId": session.id(),
            "sessionFile": session.path(),
            "text": text,
            "cancelled": false,
        }))
    };
    answer("fork", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Navigate {
    entry_id: String,
    #[serde(default)]
    summarize: bool,
    custom_instructions: Option<String>,
}

pub(super) async fn navigate(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        let outside = is_outside(&request);
        let headers = request.headers().clone();
        let Navigate { entry_id, summarize, custom_instructions } = body(request).await?;
        in_time::check(&headers)?;
        if !outside {
            // Where it leads, the mode may be another one: as in `plan::mode`.
            let handle = runtime.session(Some(&named(&id)?)).await?;
            if handle.conversation().session().mode() == Mode::Plan {
                return Err(Failure::only_outside("Going elsewhere in plan mode"));
            }
        }
        let (handle, arrived) = ask(&runtime, Some(&id), |reply| Command::Navigate {
            entry_id: entry_id.clone(),
            summarize,
            instructions: custom_instructions.clone(),
            reply,
        })
        .await?;
        Ok(json!({
            "sessionId": handle.conversation().id(),
            "entryId": arrived.entry_id,
            "text": arrived.text,
            "summaryEntryId": arrived.summary_entry_id,
            "cancelled": false,
        }))
    };
    answer("navigate", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    entry_id: String,
    label: Option<String>,
}

pub(super) async fn label(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        let Label { entry_id, label } = body(request).await?;
        let label = label_text(label)?;
        ask(&runtime, Some(&id), |reply| Command::Label {
            entry_id: entry_id.clone(),
            label: label.clone(),
            reply,
        })
        .await?;
        Ok(json!({ "entryId": entry_id, "label": label }))
    };
    answer("label", StatusCode::OK, result.await)
}

/// One short line; an empty one is none.
fn label_text(text: Option<String>) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.chars().nth(LABEL_CHARS_MAX).is_some() || text.chars().any(char::is_control) {
        return Err(Failure::invalid(format!(
            "A name must have at most {LABEL_CHARS_MAX} characters on one line."
        )));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

pub(super) async fn export(
    State(runtime): State<Arc<AgentRuntime>>,
    Path(id): Path<String>,
) -> Response {
    match page(&runtime, &id).await {
        Ok(response) => response,
        Err(failure) => Refused::into_response(failure.of("export_html")),
    }
}

/// As a file to be kept: what was said in a conversation is no page of the origin that it comes from.
async fn page(runtime: &AgentRuntime, id: &str) -> Result<Response, Failure> {
    let id = named(id)?;
    let handle = runtime.session(Some(&id)).await?;
    let conversation = Arc::clone(handle.conversation());
    let mut page = Page::of(&conversation.session());
    let pieces = std::iter::from_fn(move || {
        let piece = page.next(&conversation.session())?;
        Some(Ok::<_, Infallible>(piece))
    });
    let mut response = Response::new(Body::from_stream(futures_util::stream::iter(pieces)));
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let name = format!("attachment; filename=\"conversation-{id}.html\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
