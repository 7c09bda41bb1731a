//! Machines that are at somebody else's, and whose server is gone: another one goes on with them, when a run waits for
//! that or somebody asks for something that takes the machine. And the other side: a server that was away notices that
//! another one has. What it still wants then is refused by the database, and by the machine itself, both by a number
//! that grows with each server; here it is made to end.

use super::{elsewhere::Elsewhere, still_here::is_far};
use crate::{
    api_error::{ApiError, Code},
    machines::{Machine, adopt, life},
    schedules::worker,
    state::App,
    tasks::finish,
};
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use toft_machine::backend::Far;
use toft_model::id::{ProjectId, random_hex};
use toft_store::{Project, StoreError};
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};

/// Projects that are looked for at once; the next look finds others.
const LOOK_MAX: u32 = 200;
/// How long asking whether a machine is reached may take.
const REACH_TIMEOUT: Duration = Duration::from_secs(20);
/// How long somebody who asks for a machine waits for others to be taken over.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Before one is tried again that was not reached.
const AGAIN: Duration = Duration::from_secs(30);
/// Before the database is asked again that did not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of randomness in the name of an installation.
const NAME_BYTES: usize = 16;
/// Said when it breaks.
const TAKING: &str = "going on with another server's machine failed";

/// Before this server's machines are looked for: tells its backends how servers on its database call themselves, and
/// which number it has for each project.
pub(crate) async fn prepare(app: &App) -> Result<(), StoreError> {
    let far = app.backend.far();
    if far.is_empty() || !app.store.is_shared() {
        return Ok(());
    }
    app.backend.called(&app.store.installation(&random_hex(NAME_BYTES)).await?);
    for (project, fence) in app.store.held_projects(&far).await? {
        app.backend.fenced(&project, fence);
    }
    Ok(())
}

/// Takes over what waits for a server that is gone, in a task of its own.
pub(super) fn look(app: &App) {
    let far = app.backend.far();
    let Ok(turn) = Arc::clone(&app.servers.turn).try_lock_owned() else { return };
    // Runs of a machine are worked on by its server alone.
    if far.is_empty() || app.runs.settings.at_once == 0 {
        return;
    }
    let (app2, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        if let Err(error) = take_waiting(&app2, &far, &turn).await {
            tracing::warn!(%error, "projects of servers that are gone cannot be looked for");
        }
    }));
}

async fn take_waiting(
    app: &App,
    far: &[&str],
    turn: &OwnedMutexGuard<()>,
) -> Result<(), StoreError> {
    let now = app.clock.now_ms();
    let mut any = false;
    for id in app.store.abandoned_projects(far, LOOK_MAX, now).await? {
        if was_tried(app, &id) {
            continue;
        }
        match take(app, &id, turn).await {
            Ok(Some(_)) => any = true,
            Ok(None) => tried(app, &id),
            Err(error) => {
                tried(app, &id);
                tracing::warn!(project.id = %id, error = error.message,
                    "a machine whose server is gone is not reached");
            }
        }
    }
    if any {
        // Those that waited for their host have one.
        super::tell_runs(app, false, app.clock.now_ms()).await?;
    }
    Ok(())
}

fn was_tried(app: &App, id: &ProjectId) -> bool {
    let mut all = app.servers.unreached.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, at| at.elapsed() < AGAIN);
    all.contains_key(id)
}

fn tried(app: &App, id: &ProjectId) {
    let mut all = app.servers.unreached.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(id.clone(), Instant::now());
}

/// The machine of a project whose server is gone, taken over for who asks for it; else the refusal.
pub(crate) async fn instead(
    app: &App,
    project: &Project,
    refusal: ApiError,
) -> Result<Arc<Machine>, ApiError> {
    let waits = app.servers.elsewhere(project.host.as_deref()).is_some_and(|e| !e.is_alive);
    let is_far = project.backend.as_deref().is_some_and(|of| app.backend.far().contains(&of));
    if !waits || !is_far || !app.servers.is_sure() || app.runs.settings.at_once == 0 {
        return Err(refusal);
    }
    let (app2, id) = (app.clone(), project.id.clone());
    let taken = finish(&app.tasks, TAKING, async move {
        let turn = timeout(TURN_TIMEOUT, Arc::clone(&app2.servers.turn).lock_owned()).await;
        let Ok(turn) = turn else { return Ok(None) };
        let taken = take(&app2, &id, &turn).await?;
        if taken.is_some() {
            super::tell_runs(&app2, false, app2.clock.now_ms()).await?;
        }
        Ok(taken)
    });
    match taken.await {
        Ok(Some(machine)) => {
            machine.settled().await;
            Ok(machine)
        }
        Ok(None) => Err(refusal),
        Err(error) => {
            tracing::warn!(project.id = %project.id, error = error.message,
                "a machine whose server is gone is not reached");
            Err(refusal)
        }
    }
}

/// Makes a project this server's, if its own is gone and its machine is reached from here. `None`: nothing was done.
async fn take(
    app: &App,
    id: &ProjectId,
    _turn: &OwnedMutexGuard<()>,
) -> Result<Option<Arc<Machine>>, ApiError> {
    let Some(project) = app.store.project(id.as_str()).await? else { return Ok(None) };
    let Some(host) = project.host.clone() else { return Ok(None) };
    match app.servers.elsewhere(Some(&host)) {
        // Somebody else who asked was faster.
        None => return Ok(app.machines.get(id)),
        Some(Elsewhere { is_alive: true, .. }) => return Ok(None),
        Some(_) => {}
    }
    let far = app.backend.far();
    let Some(of) = project.backend.as_deref().filter(|of| far.contains(of)) else {
        return Ok(None);
    };
    app.backend.assign(id, of).await?;
    // Whose sandbox is not seen with this server's key stays whose it is.
    let reached = match timeout(REACH_TIMEOUT, app.backend.reaches(id)).await {
        Ok(reached) => reached.map_err(ApiError::from),
        Err(_) => {
            Err(ApiError::new(Code::MachineError, "it was not said in time whether it is reached"))
        }
    };
    let far = match reached {
        Ok(Some(far)) => far,
        Ok(None) => {
            tracing::info!(project.id = %id, from = host, "a machine whose server is gone is not seen from here");
            app.backend.let_go(id).await?;
            return Ok(None);
        }
        Err(error) => {
            app.backend.let_go(id).await?;
            return Err(error);
        }
    };
    // Before it is written down: from then on it is looked for here.
    app.machines.remove(id);
    let (machine, life) = Machine::unsettled(id.clone());
    machine.set_bound();
    let machine = app.machines.put(machine);
    let Some(fence) = recorded(app, id, &host, of).await else {
        app.machines.remove(id);
        app.backend.let_go(id).await?;
        return Ok(None);
    };
    app.backend.fenced(id, fence);
    tracing::warn!(project.id = %id, fence, from = host, "going on with a machine whose server is gone");
    match app.store.idle_rules().await {
        Ok(rules) => {
            machine.view().idle = rules.into_iter().find(|(of, _)| of == id).map(|(_, rule)| rule);
        }
        Err(error) => tracing::warn!(project.id = %id, %error, "its rule of rest is not known"),
    }
    let (app2, machine2, ends) = (app.clone(), Arc::clone(&machine), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        settle(&app2, &project, &machine2, far).await;
        drop(life);
    }));
    Ok(Some(machine))
}

/// The number that this server has for it now. `None`: it is not this one's.
async fn recorded(app: &App, id: &ProjectId, host: &str, backend: &str) -> Option<u64> {
    let mut done = app.store.take_project(id, host, app.clock.now_ms()).await;
    loop {
        match done {
            Ok(fence) => return fence,
            // A commit may be done although it failed.
            Err(error) => {
                tracing::warn!(project.id = %id, %error, "whose a machine is is not known yet");
                sleep(RETRY_PAUSE).await;
            }
        }
        let held = app.store.held_projects(&[backend]).await;
        done = held.map(|all| all.into_iter().find(|(of, _)| of == id).map(|(_, fence)| fence));
    }
}

async fn settle(app: &App, project: &Project, machine: &Arc<Machine>, far: Far) {
    adopt::taken_over(app, project, machine, far == Far::Awake).await;
    if let Err(error) = worker::take_up_of(app, &machine.id).await {
        tracing::warn!(project.id = %machine.id, %error, "what schedules have begun waits for the next start");
    }
}

/// Lets go of machines that other servers have gone on with while this one was away.
pub(super) async fn let_go(app: &App) -> Result<(), StoreError> {
    let far = app.backend.far();
    let Ok(_turn) = app.servers.turn.try_lock() else { return Ok(()) };
    let own: Vec<_> = app.machines.list().into_iter().filter(|m| m.is_bound()).collect();
    let own: Vec<_> = own.into_iter().filter(|machine| is_far(app, machine)).collect();
    if own.is_empty() {
        return Ok(());
    }
    let held: HashSet<ProjectId> =
        app.store.held_projects(&far).await?.into_iter().map(|(id, _)| id).collect();
    for machine in own.into_iter().filter(|machine| !held.contains(&machine.id)) {
        // It may have moved to another backend, or be deleted.
        let project = app.store.project(machine.id.as_str()).await?;
        let host = project.and_then(|project| project.host);
        if app.servers.elsewhere(host.as_deref()).is_none() {
            continue;
        }
        tracing::warn!(project.id = %machine.id,
            "another server went on with this machine while this one was away");
        worker::let_go_of(app, &machine.id).await?;
        life::let_go(app, &machine).await;
    }
    Ok(())
}
