//! Saying a prompt once, however often it is sent: under an id it is looked for where it was said first,
//! and a known one is answered as it was then.

use super::{super::failures::is_full, ask};
use crate::{
    answer::Failure,
    log::LogTrouble,
    runtime::{AgentRuntime, RuntimeError, said::Claim},
};
use serde_json::{Value, json};
use std::io;
use toft_agent::{Command, Prompted, Refused, session::QueuedAs};
use toft_model::{id::SessionId, message::UserContent};

/// Says it in `session`, the current one when none is named; answers the data of `POST prompt`.
pub(super) async fn say(
    runtime: &AgentRuntime,
    session: Option<SessionId>,
    id: Option<String>,
    content: UserContent,
    waiting: QueuedAs,
) -> Result<Value, Failure> {
    let Some(id) = id else {
        let (session, prompted) = tell(runtime, session, None, content, waiting).await?;
        return Ok(data(&session, &prompted, false));
    };
    let known = runtime.prompts().session_of(&id);
    let place = match (known, session) {
        (Some(known), Some(wanted)) if known != wanted => return Err(other()),
        (Some(known), _) => known,
        // One that is not there takes no id.
        (None, wanted) => runtime.session(wanted.as_ref()).await?.conversation().id().clone(),
    };
    // What messages came is kept beside the event log.
    let failed = |source: io::Error| {
        if is_full(&source) {
            return Refused::Disk(LogTrouble(source.to_string()).to_string()).into();
        }
        RuntimeError::Io { step: "writing down that a message came", source }.into()
    };
    let (place, came_before) = match runtime.prompts().claim(&id, place, &content).await {
        Ok(Claim::New(place)) => (place, false),
        Ok(Claim::Begun(place)) => (place, true),
        Ok(Claim::Taken(place, prompted)) => return Ok(data(&place, &prompted, true)),
        Ok(Claim::Other) => return Err(other()),
        Err(error) => return Err(failed(error)),
    };
    let (place, prompted) = tell(runtime, Some(place), Some(id.clone()), content, waiting).await?;
    if let Err(error) = runtime.prompts().answered(&id, &prompted).await {
        // Its entry, or its place among those that wait, still says so.
        tracing::warn!(%error, "what became of a message was not kept");
    }
    Ok(data(&place, &prompted, came_before))
}

async fn tell(
    runtime: &AgentRuntime,
    session: Option<SessionId>,
    id: Option<String>,
    content: UserContent,
    waiting: QueuedAs,
) -> Result<(SessionId, Prompted), Failure> {
    let session = session.as_ref().map(SessionId::as_str);
    let (handle, prompted) = ask(runtime, session, |reply| Command::Prompt {
        id: id.clone(),
        content: content.clone(),
        waiting: Some(waiting),
        setting: None,
        reply,
    })
    .await?;
    Ok((handle.conversation().id().clone(), prompted))
}

fn data(session: &SessionId, prompted: &Prompted, repeated: bool) -> Value {
    let mut data = json!({
        "sessionId": session,
        "entryId": prompted.entry_id,
        "queued": prompted.queued,
    });
    if repeated {
        data["repeated"] = true.into();
    }
    data
}

fn other() -> Failure {
    Failure::conflict(
        "another message was sent under this entryId or Idempotency-Key before: send this one under a key of \
         its own",
    )
}
