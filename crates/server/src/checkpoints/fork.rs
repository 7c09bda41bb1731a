//! Growing projects from another one: from now, from a checkpoint, or from a user message. All of them
//! appear at once or none does; then each is a project like any other.

use super::{
    no_checkpoint, prune, reconcile,
    take::{self, Wish},
};
use crate::{
    api_error::{ApiError, Code},
    machines::{Machine, copy::moved, life, settings},
    secrets::hand_down::{self, Grant},
    state::App,
    tasks::finish,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::{collections::HashSet, sync::Arc, time::Duration};
use toft_model::{
    checkpoint::{Cause, Checkpoint, Place, Ticket},
    id::ProjectId,
    machine::{MachineState, ModelLimits},
    run::ComparisonId,
};
use toft_store::{ConversationStep, MachineSettings, NewProject, Project, TakenCheckpoint};
use tokio::time::timeout;

/// Copying a big tree file by file.
const FORK_TIMEOUT: Duration = Duration::from_mins(10);
/// Machines started at once: more only wait for the same processors.
const STARTS_AT_ONCE: usize = 4;
/// Disks made at once, which is all that one request may ask for: snapshots of one moment share a
/// commit. Where files are copied, the backend makes them one by one.
const DISKS_AT_ONCE: usize = 20;
/// Longest name of a project, as for those made by hand.
const NAME_CHARS_MAX: usize = 100;
/// Room in it for what is appended.
const NUMBER_CHARS_MAX: usize = 12;
const CANDIDATE_CHARS_MAX: usize = 16;

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Order {
    /// Name of the first; the others are numbered. None: after the project.
    pub(crate) name: Option<String>,
    pub(crate) count: usize,
    /// From which checkpoint; none: from now.
    pub(crate) from: Option<TakenCheckpoint>,
    /// The comparison of which they are the candidates.
    pub(crate) candidates_of: Option<ComparisonId>,
    /// User id of the new owner.
    pub(crate) owner: String,
    /// Secrets whose values they get.
    pub(crate) grant: Grant,
}

/// From where.
struct Source {
    checkpoint: Option<Checkpoint>,
    /// What was told up to here is theirs too.
    seq: u64,
    place: Option<Place>,
}

/// Makes them, and starts them.
pub(crate) async fn fork(
    app: &App,
    origin: &Project,
    machine: &Arc<Machine>,
    order: Order,
) -> Result<Vec<(Project, Arc<Machine>)>, ApiError> {
    let (app2, machine2, origin) = (app.clone(), Arc::clone(machine), origin.clone());
    finish(&app.tasks, "forking the project failed", async move {
        let _making = app2.machines.making.read().await;
        let made = make(&app2, &origin, &machine2, order).await?;
        let started = stream::iter(made)
            .map(|(project, machine)| start(&app2, project, machine))
            .buffered(STARTS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        Ok(started)
    })
    .await
}

/// Makes them and starts none: whoever works in one first does.
pub(crate) async fn candidates(
    app: &App,
    origin: &Project,
    machine: &Arc<Machine>,
    order: Order,
) -> Result<Vec<ProjectId>, ApiError> {
    let _making = app.machines.making.read().await;
    let made = make(app, origin, machine, order).await?;
    for (_, machine) in &made {
        if let Err(error) = settings::inherited(app, machine).await {
            tracing::warn!(project.id = %machine.id, error = error.message,
                "a fork rests by the server's own rule");
        }
    }
    Ok(made.into_iter().map(|(project, _)| project.id).collect())
}

async fn make(
    app: &App,
    origin: &Project,
    machine: &Arc<Machine>,
    order: Order,
) -> Result<Vec<(Project, Arc<Machine>)>, ApiError> {
    let names = names(app, origin, &order).await?;
    // That of what it is made of.
    let then = order.from.as_ref().and_then(|from| from.away.as_deref());
    let backend = then.unwrap_or_else(|| app.backend.of(&machine.id).name()).to_owned();
    let new: Vec<NewProject> = names
        .into_iter()
        .map(|name| NewProject {
            id: ProjectId::random(),
            alias: None,
            name,
            owner: order.owner.clone(),
            backend: Some(backend.clone()),
            settings: MachineSettings::default(),
        })
        .collect();
    let ids: Vec<ProjectId> = new.iter().map(|one| one.id.clone()).collect();
    let now = app.clock.now_ms();
    // From here until the end a server that dies leaves what the next one removes.
    app.store.begin_forks(&new, now).await?;
    toft_machine::steps::reached("fork.begun");
    let grown = async {
        let turn = reconcile::enter(app, machine).await?;
        let source = match order.from {
            // It may be gone since it was found.
            Some(from) => {
                let id = &from.checkpoint.id;
                let row = app.store.checkpoint(&machine.id, id).await?;
                let row = row.ok_or_else(no_checkpoint)?;
                let seq = seq_of(app, machine, &row).await?;
                Source { checkpoint: Some(row.checkpoint), seq, place: row.place }
            }
            // Many from now are many from one moment.
            None if ids.len() > 1 => {
                let taken = take::in_turn(app, machine, Wish::of(Cause::Fork), &turn).await?;
                let seq = taken.seq;
                Source { checkpoint: Some(taken), seq, place: None }
            }
            None => {
                let head = app.store.head(&machine.id).await?;
                Source { checkpoint: None, seq: head.seq, place: None }
            }
        };
        for id in &ids {
            hand_down::to(app, &origin.id, id, &order.grant, &order.owner).await?;
        }
        toft_machine::steps::reached("fork.secrets");
        let shown = moved::forked(&*app.store, machine, source.seq, source.checkpoint.as_ref());
        let (grown, shown) = tokio::join!(grow_disks(app, machine, &ids, &source, now), shown);
        grown?;
        let finished = app
            .store
            .finish_forks(&machine.id, source.seq, &ids, &shown?, order.candidates_of.as_ref())
            .await?;
        toft_machine::steps::reached("fork.recorded");
        // Told before a fork starts: it has its origin's limits, budget and fallbacks.
        let limits = app.store.model_limits(&machine.id).await;
        let budget = app.store.budget(Some(&machine.id)).await;
        let fallbacks = app.store.fallbacks(&machine.id).await;
        if limits.is_ok_and(|own| own != ModelLimits::default())
            || budget.is_ok_and(|own| !own.is_empty())
            || fallbacks.is_ok_and(|own| !own.is_empty())
        {
            app.gateway.push_config(&app.providers, &*app.store).await;
        }
        Ok(finished)
    };
    let grown: Result<Vec<Project>, ApiError> = grown.await;
    if ids.len() > 1 {
        prune::soon(app, machine);
    }
    match grown {
        Ok(projects) => Ok(projects
            .into_iter()
            .map(|project| {
                let fresh = Machine::new(project.id.clone(), MachineState::Creating, None);
                let machine = app.machines.put(fresh);
                (project, machine)
            })
            .collect()),
        Err(error) => {
            for id in &ids {
                if let Err(error) = life::destroy(app, id).await {
                    tracing::warn!(project.id = %id, error = error.message,
                        "half a fork stays until the next start");
                }
            }
            Err(error)
        }
    }
}

/// The last event of a checkpoint that is theirs too. One that was taken when its message had come is
/// forked before that.
async fn seq_of(app: &App, machine: &Machine, row: &TakenCheckpoint) -> Result<u64, ApiError> {
    let taken = &row.checkpoint;
    let (Some(_), Some(message)) = (&row.place, &taken.message) else { return Ok(taken.seq) };
    let steps = app.store.steps(&machine.id, message.session_id.as_str()).await?;
    let told = steps.iter().find_map(|step| match step {
        ConversationStep::Said { seq, entry_id, .. } => {
            (message.leaf_entry_id.as_ref() == Some(entry_id)).then_some(*seq)
        }
        ConversationStep::Moved { .. } => None,
    });
    Ok(told.and_then(|told| told.checked_sub(1)).map_or(taken.seq, |before| before.min(taken.seq)))
}

async fn grow_disks(
    app: &App,
    machine: &Machine,
    ids: &[ProjectId],
    source: &Source,
    now: u64,
) -> Result<(), ApiError> {
    let ticket = Ticket::Fork {
        from: machine.id.clone(),
        seq: source.seq,
        checkpoint_id: source.checkpoint.as_ref().map(|checkpoint| checkpoint.id.clone()),
        at: now,
        place: source.place.clone(),
    };
    let one = |id: ProjectId| {
        let ticket = &ticket;
        async move {
            let from = source.checkpoint.as_ref().map(|checkpoint| &checkpoint.id);
            let work = app.backend.fork(&machine.id, from, &id, ticket);
            match timeout(FORK_TIMEOUT, work).await {
                Ok(done) => done.map_err(take::refused),
                Err(_) => Err(ApiError::new(
                    Code::MachineError,
                    "the copy was not made in time: stop the project and try again",
                )),
            }
        }
    };
    stream::iter(ids.iter().cloned()).map(one).buffer_unordered(DISKS_AT_ONCE).try_collect().await
}

/// Starts a fork as a project that was just made; one that does not start says so in its state.
async fn start(app: &App, project: Project, machine: Arc<Machine>) -> (Project, Arc<Machine>) {
    let life = machine.lock_life().await;
    if let Err(error) = settings::inherited(app, &machine).await {
        tracing::warn!(project.id = %project.id, error = error.message,
            "a fork rests by the server's own rule");
    }
    let started =
        life::start_locked(app, &machine, &project, "the project was forked", &life).await;
    drop(life);
    if let Err(error) = started {
        tracing::warn!(project.id = %project.id, error = error.message, "forked, not started");
    }
    (project, machine)
}

/// As many names that no project has: `Shop fork`, `Shop fork 2`…
async fn names(app: &App, origin: &Project, order: &Order) -> Result<Vec<String>, ApiError> {
    if order.candidates_of.is_some() {
        let stem = cut(&origin.name, NAME_CHARS_MAX - CANDIDATE_CHARS_MAX);
        return Ok((1..=order.count).map(|n| format!("{stem}, candidate {n}")).collect());
    }
    let base = match &order.name {
        Some(name) => cut(name, NAME_CHARS_MAX),
        None => cut(&origin.name, NAME_CHARS_MAX - NUMBER_CHARS_MAX) + " fork",
    };
    let stem = cut(&base, NAME_CHARS_MAX - NUMBER_CHARS_MAX);
    let taken: HashSet<String> = match &order.name {
        // A person may give a name twice.
        Some(_) => HashSet::new(),
        None => app.store.project_names(&stem).await?.into_iter().collect(),
    };
    let numbered = (2..).map(|n: u64| format!("{stem} {n}"));
    let free = std::iter::once(base).chain(numbered).filter(|name| !taken.contains(name));
    Ok(free.take(order.count).collect())
}

fn cut(name: &str, chars: usize) -> String {
    let cut: String = name.chars().take(chars).collect();
    cut.trim_end().to_owned()
}
