//! Checkpoints before prompts, taken by themselves. A prompt never fails because of one and never
//! waits long for one: what was not taken in time is dropped, and the list says why there is none.

use super::{
    delete, prune, reconcile,
    shelf::Early,
    take::{self, Wish},
};
use crate::{api_error::ApiError, machines::Machine, state::App};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc, time::Duration};
use toft_model::{
    checkpoint::{Cause, Checkpoint, CheckpointId, Place},
    id::SessionId,
    machine::MachineState,
    tool::TASK_PROMPT,
};
use toft_store::{CheckpointRule, Durable, NewEvent};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a prompt waits: a hundred times what a copy takes where it takes no time.
const PROMPT_WAITS_MAX: Duration = Duration::from_secs(2);
/// Where files are copied one by one: as many as that takes about a second for.
const SLOW_FILES_MAX: u64 = 5_000;
/// The same in bytes.
const SLOW_BYTES_MAX: u64 = 64 << 20;
/// A message that reached the server later than this was said in the past: the disk is another by now.
const LATE_MAX_MS: u64 = 5_000;
/// A message that does not come within this after its prompt does not come.
const EARLY_MAX_MS: u64 = 60_000;
/// Prompts of one project that are waited for at once.
const EARLY_COUNT_MAX: usize = 16;

/// Takes a checkpoint before a prompt to an idle conversation (`None`: the current one) is sent. The
/// answer is to be handed to [`not_sent`] when the prompt was refused or only queued.
pub(crate) async fn before_prompt(
    app: &App,
    machine: &Arc<Machine>,
    session: Option<SessionId>,
) -> Option<CheckpointId> {
    if matches!(
        machine.state(),
        MachineState::Stopped
            | MachineState::Creating
            | MachineState::Error
            | MachineState::Destroyed
    ) {
        // Nothing will be sent, or nothing is there yet.
        return None;
    }
    let works = match &session {
        Some(session) => machine.view().statuses.works_in(session.as_str()),
        None => machine.view().statuses.last_works(),
    };
    // It will be queued; the message's own event is the moment then.
    if works || !is_taken(app, machine).await {
        return None;
    }
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    let mut taking = app.tasks.spawn(async move {
        let turn = reconcile::enter(&app2, &machine2).await?;
        take::in_turn(&app2, &machine2, Wish::of(Cause::Prompt), &turn).await
    });
    let Ok(done) = timeout(PROMPT_WAITS_MAX, &mut taking).await else {
        machine.shelf.set_notice(Some(format!(
            "before the last prompt none was taken: it took longer than {} s",
            PROMPT_WAITS_MAX.as_secs()
        )));
        let (app2, machine) = (app.clone(), Arc::clone(machine));
        app.tasks.spawn(async move {
            // By now the agent has begun: it is not what its cause says.
            if let Ok(Ok(late)) = taking.await {
                discard(&app2, &machine, &late.id).await;
            }
        });
        return None;
    };
    let taken = taken(machine, done.ok()?);
    if let Some(taken) = &taken {
        let early = Early { id: taken.id.clone(), session, taken_at: taken.created_at };
        wait_for(machine, early);
    }
    // Also when the disk may be full: others yield.
    prune::soon(app, machine);
    taken.map(|taken| taken.id)
}

/// The same before a run that may be cancelled meanwhile: then nothing, at once, and what is taken is dropped.
pub(crate) async fn before_run(
    app: &App,
    machine: &Arc<Machine>,
    session: Option<SessionId>,
    unwanted: &CancellationToken,
) -> Option<Option<CheckpointId>> {
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    let mut taking = app.tasks.spawn(async move { before_prompt(&app2, &machine2, session).await });
    tokio::select! {
        taken = &mut taking => return Some(taken.ok().flatten()),
        () = unwanted.cancelled() => {}
    }
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move {
        if let Ok(Some(id)) = taking.await {
            not_sent(&app2, &machine, id);
        }
    });
    None
}

/// Keeps in mind how the last one went.
fn taken(machine: &Machine, done: Result<Checkpoint, ApiError>) -> Option<Checkpoint> {
    match done {
        Ok(taken) => {
            machine.shelf.set_notice(None);
            Some(taken)
        }
        Err(error) => {
            tracing::warn!(project.id = %machine.id, error = error.message,
                "no checkpoint before a prompt");
            let why = format!("before the last prompt none was taken: {}", error.message);
            machine.shelf.set_notice(Some(why));
            None
        }
    }
}

fn wait_for(machine: &Machine, early: Early) {
    let mut all = machine.shelf.early();
    // Two prompts at once to one conversation: their messages come in the order of their checkpoints.
    all.retain(|known| known.taken_at + EARLY_MAX_MS > early.taken_at);
    if all.len() >= EARLY_COUNT_MAX {
        all.remove(0);
    }
    all.push(early);
}

/// The prompt did not become a message at once: its checkpoint is dropped, in the background.
pub(crate) fn not_sent(app: &App, machine: &Arc<Machine>, id: CheckpointId) {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move {
        // Whoever takes it out of the list decides what becomes of it.
        let waited = {
            let mut all = machine.shelf.early();
            let before = all.len();
            all.retain(|early| early.id != id);
            all.len() < before
        };
        if waited {
            discard(&app2, &machine, &id).await;
        }
    });
}

async fn discard(app: &App, machine: &Machine, id: &CheckpointId) {
    let dropped = async {
        let turn = reconcile::enter(app, machine).await?;
        delete::in_turn(app, machine, id, Durable::Soon, &turn).await
    };
    if let Err(error) = dropped.await {
        tracing::debug!(project.id = %machine.id, error = error.message, "it stays until pruned");
    }
}

/// Whether one is taken before a prompt now. If not although it should be, the shelf says why.
async fn is_taken(app: &App, machine: &Machine) -> bool {
    let automatic = match app.store.checkpoint_rule(&machine.id).await {
        Ok(rule) => rule.automatic,
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "the checkpoint rule cannot be read");
            false
        }
    };
    let backend = app.backend.of(&machine.id);
    let can = backend.can();
    if !automatic || !can.checkpoint {
        return false;
    }
    if can.live_checkpoint {
        return true;
    }
    if !can.freeze && machine.runs() {
        // The list says so.
        return false;
    }
    match app.backend.is_small(&machine.id, SLOW_FILES_MAX, SLOW_BYTES_MAX).await {
        Ok(true) => true,
        Ok(false) => {
            machine.shelf.set_notice(Some(too_large(&backend.storage())));
            false
        }
        Err(error) => {
            let why = format!("before the last prompt none was taken: {error}");
            machine.shelf.set_notice(Some(why));
            false
        }
    }
}

fn too_large(storage: &str) -> String {
    format!(
        "before the last prompt none was taken: this storage ({storage}) copies file by file, and the \
         project has more than {SLOW_FILES_MAX} files or {} MiB, or folders that nobody may look into",
        SLOW_BYTES_MAX >> 20
    )
}

/// Whether checkpoints are taken before prompts, and what is to be known about it.
pub(crate) fn told(app: &App, machine: &Machine, rule: &CheckpointRule) -> (bool, Option<String>) {
    let backend = app.backend.of(&machine.id);
    let can = backend.can();
    if !can.checkpoint {
        let name = backend.name();
        return (false, Some(format!("the backend `{name}` keeps no copies of projects")));
    }
    if !rule.automatic {
        return (false, None);
    }
    if !can.live_checkpoint && !can.freeze {
        let why = "before prompts none is taken: files are copied one by one here, and this host cannot \
                   pause the machine meanwhile; stop the project to take one by hand";
        return (false, Some(why.to_owned()));
    }
    let slow = || {
        let storage = backend.storage();
        (!can.live_checkpoint).then(|| {
            format!(
                "this storage ({storage}) copies file by file: before a prompt one is taken only \
                 while the project has at most {SLOW_FILES_MAX} files and {} MiB",
                SLOW_BYTES_MAX >> 20
            )
        })
    };
    (true, machine.shelf.notice().or_else(slow))
}

/// What is looked at in a `message_end`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    entry_id: String,
    parent_id: Option<String>,
    #[serde(default)]
    ts: u64,
    #[serde(borrow)]
    message: Role<'a>,
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

/// A message came in: the checkpoint that was taken before it is told so; if none was, one is taken
/// now. Nobody waits for that.
pub(crate) fn on_message(app: &App, machine: &Machine, event: &NewEvent) {
    let Ok(said) = serde_json::from_str::<Said<'_>>(&event.data) else { return };
    let session = event.session.as_ref().and_then(|s| s.parse::<SessionId>().ok());
    let (true, Some(session)) = (said.message.role == "user", session) else { return };
    if said.entry_id == TASK_PROMPT {
        // No person said it: it is in the middle of what one said.
        return;
    }
    let Some(machine) = app.machines.get(&machine.id) else { return };
    let place = |leaf| Place { session_id: session.clone(), leaf_entry_id: leaf };
    let (message, parent) = (place(Some(said.entry_id)), place(said.parent_id));
    let now = app.clock.now_ms();
    let early = {
        let mut all = machine.shelf.early();
        all.retain(|early| early.taken_at + EARLY_MAX_MS > now);
        let at = all.iter().position(|early| early.session.as_ref() == Some(&session));
        let at = at.or_else(|| all.iter().position(|early| early.session.is_none()));
        at.map(|at| all.remove(at))
    };
    let is_fresh = now.saturating_sub(said.ts) <= LATE_MAX_MS && machine.runs();
    let app2 = app.clone();
    app.tasks.spawn(async move {
        match early {
            Some(early) => {
                let bound = app2.store.bind_checkpoint(&machine.id, &early.id, &message).await;
                if let Err(error) = bound {
                    tracing::warn!(project.id = %machine.id, %error,
                        "a checkpoint does not know its message");
                }
            }
            None if is_fresh => after_message(&app2, &machine, message, parent).await,
            None => {}
        }
    });
}

/// The message came another way: by an agent's own program, or out of the queue.
async fn after_message(app: &App, machine: &Arc<Machine>, message: Place, parent: Place) {
    if !is_taken(app, machine).await {
        return;
    }
    let wish = Wish { message: Some(message), place: Some(parent), ..Wish::of(Cause::Prompt) };
    if taken(machine, take::take(app, machine, wish).await).is_some() {
        prune::soon(app, machine);
    }
}
