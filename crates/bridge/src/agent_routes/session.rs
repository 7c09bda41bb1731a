//! Which session a request is about, what that session does, and commands to it.

use crate::{
    answer::{Failure, Refused, done_as},
    asked::{Asked, query},
    runtime::AgentRuntime,
};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use toft_agent::{Command, Conversation, Handle, Reply};
use toft_model::{
    id::{InvalidId, SessionId},
    message::StopReason,
};

/// Characters of a session's name: a line that people read.
pub(super) const NAME_CHARS_MAX: usize = 200;

/// Times a command is sent again when its session was just closed for idleness.
const CLOSED_RETRIES: usize = 3;

/// Query of routes that read a session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted {
    session_id: Option<String>,
}

/// The session that a query names, or the current one.
pub(super) async fn wanted(
    runtime: &AgentRuntime,
    asked: Asked<Wanted>,
) -> Result<Handle, Failure> {
    let session = session_id(query(asked)?.session_id.as_deref())?;
    Ok(runtime.session(session.as_ref()).await?)
}

/// A session id from text.
pub(super) fn session_id(text: Option<&str>) -> Result<Option<SessionId>, Failure> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: InvalidId| Failure::invalid(format!("{error}.")))
}

/// A session id from a path.
pub(super) fn named(id: &str) -> Result<SessionId, Failure> {
    session_id(Some(id))?.ok_or_else(|| Failure::invalid("Name a session in the path."))
}

/// A session's name, if it is short enough to be one.
pub(super) fn session_name(name: Option<String>) -> Result<Option<String>, Failure> {
    if name.as_ref().is_some_and(|name| name.chars().nth(NAME_CHARS_MAX).is_some()) {
        return Err(Failure::invalid(format!(
            "The name is longer than {NAME_CHARS_MAX} characters: choose a shorter one."
        )));
    }
    Ok(name)
}

/// `idle working waiting error`.
pub(super) fn status(conversation: &Conversation) -> &'static str {
    if conversation.question().is_some() || conversation.needs_person() {
        "waiting"
    } else if conversation.is_working() || conversation.is_compacting() {
        "working"
    } else if conversation.last_stop() == Some(StopReason::Error) {
        "error"
    } else {
        "idle"
    }
}

/// Asks a session (the current one when none is named) to do something; gives it with its answer.
pub(super) async fn ask<T>(
    runtime: &AgentRuntime,
    session: Option<&str>,
    command: impl Fn(Reply<T>) -> Command,
) -> Result<(Handle, T), Failure> {
    let session = session_id(session)?;
    let mut tries = 0;
    loop {
        let handle = runtime.session(session.as_ref()).await?;
        match handle.ask(&command).await {
            Err(toft_agent::Refused::Closed) if tries < CLOSED_RETRIES => tries += 1,
            other => return Ok((handle, other?)),
        }
    }
}

/// The answer to a command.
pub(super) fn answer(
    command: &str,
    status: StatusCode,
    result: Result<impl Serialize, Failure>,
) -> Response {
    match result {
        Ok(data) => done_as(status, command, data),
        Err(failure) => Refused::into_response(failure.of(command)),
    }
}
