//! Routes over sessions: list, new, switch, compact, messages.

use super::session::{Wanted, answer, ask, session_id, session_name, status, wanted};
use crate::{
    answer::Failure,
    asked::{Asked, query},
    body::body,
    runtime::AgentRuntime,
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::to_raw_value};
use std::{borrow::Cow, sync::Arc};
use toft_agent::{
    Command, Handle,
    session::{Session, WentBack},
};
use toft_model::{id::SessionId, message::Message, plan::PlanState};

/// Bytes of the path of a session's file (`PATH_MAX` of Linux).
const PARENT_BYTES_MAX: usize = 4_096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    /// Conversations of tasks, too.
    #[serde(default)]
    tasks: bool,
}

pub(super) async fn list(
    State(runtime): State<Arc<AgentRuntime>>,
    asked: Asked<Which>,
) -> Response {
    let result = async {
        let tasks = query(asked)?.tasks;
        let listed = runtime.list().await?;
        let open = runtime.open_sessions().await;
        let sessions: Vec<Value> = listed
            .into_iter()
            .filter(|one| tasks || one.task.is_none())
            .map(|one| {
                let conversation = open.get(&one.id).map(Handle::conversation);
                let status = conversation.map_or("idle", |one| status(one));
                let session = conversation.map(|one| one.session());
                let proposes = session.map_or(one.proposes, |session| has_proposal(&session));
                let mut shown = json!({
                    "id": one.id,
                    "name": one.name,
                    "firstMessage": one.first_message,
                    "messageCount": one.message_count,
                    "createdAt": one.created_at,
                    "updatedAt": one.updated_at,
                    "status": status,
                    "planProposed": proposes,
                    "file": one.path,
                });
                if let Some(task) = one.task {
                    shown["parentSessionId"] = json!(task.parent);
                    shown["parentCallId"] = json!(task.call_id);
                }
                shown
            })
            .collect();
        Ok(json!({ "current": runtime.current().await?, "sessions": sessions }))
    };
    answer("list_sessions", StatusCode::OK, result.await)
}

/// Whether a plan waits for a person.
fn has_proposal(session: &Session) -> bool {
    session.plan().is_some_and(|(_, state)| state == PlanState::Proposed)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct New {
    name: Option<String>,
    parent_session: Option<String>,
    /// Whether it becomes the current one.
    current: Option<bool>,
}

pub(super) async fn create(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let New { name, parent_session, current } = body(request).await?;
        let name = session_name(name)?;
        if parent_session.as_ref().is_some_and(|parent| parent.len() > PARENT_BYTES_MAX) {
            return Err(Failure::invalid("parentSession is the path of a session's file."));
        }
        runtime.log().check().map_err(|trouble| toft_agent::Refused::Disk(trouble.to_string()))?;
        let handle = if current.unwrap_or(true) {
            runtime.create(name, parent_session).await?
        } else {
            runtime.create_beside(name, parent_session).await?
        };
        let session = handle.conversation().session();
        Ok(json!({ "sessionId": session.id(), "sessionFile": session.path(), "cancelled": false }))
    };
    answer("new_session", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Switch {
    session_id: Option<String>,
    session_path: Option<String>,
}

pub(super) async fn switch(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let wanted: Switch = body(request).await?;
        let id = match (session_id(wanted.session_id.as_deref())?, wanted.session_path) {
            (Some(id), _) => id,
            (None, Some(path)) => runtime.session_of_path(&path).await?,
            (None, None) => {
                return Err(Failure::invalid("Send `sessionId` or `sessionPath`."));
            }
        };
        let handle = runtime.switch(&id).await?;
        Ok(json!({ "sessionId": handle.conversation().id(), "cancelled": false }))
    };
    answer("switch_session", StatusCode::OK, result.await)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compact {
    custom_instructions: Option<String>,
    session_id: Option<String>,
}

pub(super) async fn compact(
    State(runtime): State<Arc<AgentRuntime>>,
    request: Request,
) -> Response {
    let result = async {
        let Compact { custom_instructions, session_id } = body(request).await?;
        let (_, done) = ask(&runtime, session_id.as_deref(), |reply| Command::Compact {
            instructions: custom_instructions.clone(),
            reply,
        })
        .await?;
        Ok(json!({
            "summary": done.summary,
            "firstKeptEntryId": done.first_kept_entry_id,
            "tokensBefore": done.tokens_before,
            "details": done.details,
        }))
    };
    answer("compact", StatusCode::OK, result.await)
}

/// Where this branch went back to a checkpoint, oldest first.
fn restores(session: &Session) -> Vec<Value> {
    let went_back = session.branch().into_iter().filter_map(|entry| {
        let went = WentBack::of(entry).filter(|went| !went.is_navigation())?;
        Some(json!({
            "afterEntryId": session.message_at(went.entry_id.as_deref()),
            "checkpointId": went.checkpoint_id,
            "label": went.label,
            "takenAt": went.taken_at,
            "at": went.at,
        }))
    });
    went_back.collect()
}

/// The answer to `GET messages`, as the session has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    session_id: &'a SessionId,
    messages: Vec<Told<'a>>,
    restores: Vec<Value>,
    seq: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    entry_id: &'a str,
    parent_id: Option<&'a str>,
    message: Cow<'a, Message>,
}

pub(super) async fn messages(
    State(runtime): State<Arc<AgentRuntime>>,
    asked: Asked<Wanted>,
) -> Response {
    let result = async {
        let handle = wanted(&runtime, asked).await?;
        let conversation = handle.conversation();
        // Under the session's lock: what is appended later has a later number.
        let session = conversation.session();
        let messages = session.transcript().map(|(entry, parent_id, message)| Told {
            entry_id: &entry.id,
            parent_id,
            message,
        });
        let answer = Listed {
            session_id: session.id(),
            messages: messages.collect(),
            restores: restores(&session),
            seq: conversation.follow_from(),
        };
        Ok(to_raw_value(&answer).expect("a conversation holds only JSON-able data"))
    };
    answer("get_messages", StatusCode::OK, result.await)
}
