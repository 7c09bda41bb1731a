//! What a new server does about the machines that it finds: those that run are followed again, all
//! others get the state that fits. Starting and stopping is in `life`.

use super::{
    Machine, cold_log,
    gone::{self, CUT_SHORT},
    life, pause, running, settings,
};
use crate::{checkpoints::moving, secrets::tell, state::App};
use futures_util::{StreamExt as _, stream};
use std::sync::Arc;
use toft_machine::backend::{MachineError, Running};
use toft_model::{id::ProjectId, machine::MachineState};
use toft_store::{Project, Wanted};
use tokio::{sync::OwnedMutexGuard, time::timeout};

/// A project of the store whose machine nobody has looked at yet.
pub(crate) type Unsettled = (Project, Arc<Machine>, OwnedMutexGuard<()>);

/// Finds machines that an earlier server started, and settles the state of all others.
pub(crate) async fn adopt_all(app: App, projects: Vec<Unsettled>) {
    stream::iter(projects)
        .for_each_concurrent(life::AT_ONCE, |(project, machine, guard)| {
            let app = app.clone();
            async move {
                settle(&app, &project, &machine).await;
                if project.state_reason.as_deref() == Some(CUT_SHORT) {
                    start_again(&app, &project, &machine, &guard).await;
                }
                machine.settle();
                drop(guard);
            }
        })
        .await;
    finish_deletions(&app).await;
    let alone = app.machines.making.write().await;
    let known: Vec<ProjectId> = app.machines.list().iter().map(|m| m.id.clone()).collect();
    let wanted = [known.clone(), app.images.builders()].concat();
    if let Err(error) = app.backend.sweep(&wanted).await {
        tracing::warn!(%error, "remains of old machines could not be removed");
    }
    sweep_far(&app, wanted).await;
    drop(alone);
    leave_others(&app, &known).await;
    for id in known {
        let Some(machine) = app.machines.get(&id).filter(|m| !m.runs()) else { continue };
        cold_log::catch_up(&app, &machine).await;
    }
}

/// The same where machines are at somebody else's: those that other servers have gone on with stay.
async fn sweep_far(app: &App, mut known: Vec<ProjectId>) {
    let swept = match app.store.projects(u32::MAX, 0).await {
        Ok(all) => {
            known.extend(all.into_iter().map(|project| project.id));
            app.backend.sweep_far(&known).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = swept {
        tracing::warn!(error, "machines that nobody has may stay where they are");
    }
}

/// One that another server had, which is gone. One that stands still there is not woken for this.
pub(crate) async fn taken_over(
    app: &App,
    project: &Project,
    machine: &Arc<Machine>,
    is_awake: bool,
) {
    if is_awake {
        settle(app, project, machine).await;
    } else if project.wanted == Wanted::Stopped {
        machine.view().state = MachineState::Stopped;
    }
    machine.settle();
}

/// Removes disks that an earlier server was about to move, or had moved away from.
async fn leave_others(app: &App, known: &[ProjectId]) {
    if app.backend.choices().len() < 2 {
        return;
    }
    for id in known {
        let Some(machine) = app.machines.get(id) else { continue };
        // Somebody may be moving it by now.
        let _life = machine.lock_life().await;
        if let Err(error) = app.backend.leave_others(id).await {
            tracing::warn!(project.id = %id, %error, "a disk that nobody needs stays for a while");
            moving::leave_later(app, &machine);
        }
    }
}

/// Destroys what an earlier server had deleted and not yet destroyed.
async fn finish_deletions(app: &App) {
    // Alone: forks that are being made count as deleted until they are whole.
    let alone = app.machines.making.write().await;
    let deleted = app.store.to_destroy().await;
    drop(alone);
    let deleted = match deleted {
        Ok(deleted) => deleted,
        Err(error) => {
            tracing::warn!(%error, "deleted projects could not be looked for");
            return;
        }
    };
    for id in deleted {
        if let Err(error) = life::destroy(app, &id).await {
            tracing::warn!(project.id = %id, error = error.message, "remains of a deleted project");
        }
    }
}

/// One whose processes an earlier server was about to end, and did not live to start again.
async fn start_again(
    app: &App,
    project: &Project,
    machine: &Arc<Machine>,
    life: &OwnedMutexGuard<()>,
) {
    let done = match (project.wanted, machine.runs()) {
        (Wanted::Stopped, _) => Ok(()),
        (Wanted::Running, false) => {
            life::start_locked(app, machine, project, CUT_SHORT, life).await
        }
        (Wanted::Running, true) => {
            let now = app.clock.now_ms();
            app.store.set_wanted(&machine.id, Wanted::Running, None, now).await.map_err(Into::into)
        }
    };
    if let Err(error) = done {
        tracing::warn!(project.id = %machine.id, error = error.message, "it does not run again");
    }
}

/// One that runs, or stands still.
async fn take_over(app: &App, machine: &Arc<Machine>, found: Running) {
    let asked = timeout(gone::ADOPT_TIMEOUT, app.backend.is_frozen(&machine.id)).await;
    let is_frozen = matches!(asked, Ok(Ok(true)));
    if is_frozen {
        pause::found_frozen(app, machine, found).await;
    } else {
        let told = tell::again(app, machine).await;
        running::on_running(app, machine, found);
        drop(told);
    }
    // They may have been changed, and the server killed before they were in force.
    if let Err(error) = settings::enforce(app, machine).await {
        tracing::warn!(project.id = %machine.id, error = error.message, "its limits are older");
    }
}

async fn settle(app: &App, project: &Project, machine: &Arc<Machine>) {
    let found = match timeout(gone::ADOPT_TIMEOUT, app.backend.adopt(&machine.id)).await {
        Ok(found) => found,
        Err(_) => Err(MachineError::DidNotStart {
            project: machine.id.clone(),
            detail: "it did not say in time whether it runs".into(),
        }),
    };
    let (state, reason) = match (found, project.wanted) {
        (Ok(Some(running)), Wanted::Running) => {
            let kinds = ["agent_start", "agent_end", "question"];
            if let Ok(Some(mark)) = app.store.last_mark(&machine.id, &kinds).await {
                machine.view().statuses.take(&mark.kind, mark.session.as_deref(), &mark.data);
            }
            take_over(app, machine, running).await;
            return;
        }
        (Ok(Some(_)), Wanted::Stopped) => {
            // The server died between the wish and the deed.
            if let Err(error) = life::end_processes(app, machine, MachineState::Stopped).await {
                (MachineState::Error, Some(error.message))
            } else {
                return;
            }
        }
        (Ok(None), Wanted::Stopped) => (MachineState::Stopped, None),
        (Ok(None), Wanted::Running) => match &project.state_reason {
            Some(reason) if reason == gone::ENDED_FROM_OUTSIDE || reason == CUT_SHORT => {
                (MachineState::Cold, Some(reason.clone()))
            }
            Some(reason) => (MachineState::Error, Some(reason.clone())),
            None => (MachineState::Cold, None),
        },
        (Err(error), _) => (MachineState::Error, Some(error.to_string())),
    };
    let mut view = machine.view();
    view.state = state;
    view.reason = reason;
}
