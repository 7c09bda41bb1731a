//! `GET activity`: what forbids pausing this machine. An agent that waits for a person does not, nor
//! do services, programs that a tool left in the background, and shells at their prompt.

mod foreground;

use crate::{
    answer::{Failure, Refused, done},
    runtime::AgentRuntime,
    services,
    shell::InitShell,
    terminals,
};
use axum::{Router, extract::State, response::Response, routing::get};
use std::sync::Arc;
use toft_agent::{Conversation, Handle};
use toft_model::{
    init::ExecStatus,
    machine::{Activity, Busy},
};

/// Characters of what is told of one.
const WHAT_CHARS_MAX: usize = 120;

#[derive(Clone)]
struct Looked {
    runtime: Arc<AgentRuntime>,
    shell: InitShell,
}

/// The route below `/toft`.
pub(crate) fn router(runtime: Arc<AgentRuntime>, shell: InitShell) -> Router {
    Router::new().route("/activity", get(activity)).with_state(Looked { runtime, shell })
}

async fn activity(State(looked): State<Looked>) -> Result<Response, Refused> {
    let command = "get_activity";
    let mut busy = agents(&looked.runtime).await;
    let all = looked.shell.list().await.map_err(|err| Failure::machine(&err).of(command))?;
    // Programs of tools are named after their session: the agent stands for them while it works.
    let sessions: Vec<String> = match looked.runtime.list().await {
        Ok(listed) => listed.into_iter().map(|one| format!("{}.", one.id)).collect(),
        Err(_) => Vec::new(),
    };
    let running = all.into_iter().filter(|exec| {
        exec.exit.is_none()
            && !exec.id.starts_with(services::ID_PREFIX)
            && !exec.id.starts_with(toft_tools::mcp::ID_PREFIX)
            && !sessions.iter().any(|session| exec.id.starts_with(session))
    });
    let running: Vec<ExecStatus> = running.collect();
    // A look into `/proc` of a few hundred processes.
    let programs = tokio::task::spawn_blocking(move || programs(&running)).await;
    busy.extend(programs.unwrap_or_default());
    Ok(done(command, Activity { busy }))
}

async fn agents(runtime: &AgentRuntime) -> Vec<Busy> {
    let open = runtime.open_sessions().await;
    let mut busy: Vec<Busy> = open
        .values()
        .map(Handle::conversation)
        .filter(|conversation| conversation.question().is_none())
        // The question of a task stands in the conversation that it belongs to.
        .filter(|conversation| !(conversation.is_task() && conversation.needs_person()))
        .filter(|conversation| conversation.is_working() || conversation.is_compacting())
        .map(|conversation| Busy {
            kind: if conversation.runs_tool() { "tool" } else { "agent" }.to_owned(),
            what: called(conversation),
        })
        .collect();
    // One that goes from one step to the next, commits, or has not begun.
    for session in runtime.runs_at_work().await {
        let conversation = open.get(&session).map(Handle::conversation);
        if !conversation.is_some_and(|one| one.is_working() || one.is_compacting()) {
            let what = conversation.map_or_else(|| session.to_string(), |one| called(one));
            busy.push(Busy { kind: "agent".to_owned(), what });
        }
    }
    busy.sort_by(|a, b| a.what.cmp(&b.what));
    busy
}

/// A conversation's name, or how it began.
fn called(conversation: &Conversation) -> String {
    let session = conversation.session();
    let first = || {
        session.transcript().find_map(|(_, _, message)| match &*message {
            toft_model::message::Message::User(m) => Some(m.content.text()),
            _ => None,
        })
    };
    let name = session.name().map(str::to_owned).or_else(first);
    short(&name.unwrap_or_else(|| session.id().to_string()))
}

fn programs(running: &[ExecStatus]) -> Vec<Busy> {
    let processes = foreground::processes();
    running
        .iter()
        .filter_map(|exec| {
            let terminal = exec.id.starts_with(terminals::ID_PREFIX);
            let what = if exec.pty {
                foreground::of_terminal(exec.pid, &processes)?
            } else {
                exec.label.clone()
            };
            let kind = if terminal { "terminal" } else { "exec" };
            Some(Busy { kind: kind.to_owned(), what: short(&what) })
        })
        .collect()
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(WHAT_CHARS_MAX).collect()
}
