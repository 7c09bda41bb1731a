//! The life of machines: started or let go on once however many ask, stopped, deleted. Each change
//! runs to its end in a task of its own, whoever stops waiting for it. Pausing is in `pause`, what is
//! done without being asked in `idle`, what went by itself in `gone`.

use super::{
    CHANGING, Machine, gone, instructions, log_room,
    pause::{self, Thawed},
    running::{on_running, record_wake},
    settings, tailer,
};
use crate::{
    api_error::{ApiError, Code},
    images::disks::make_disk,
    secrets::tell,
    servers::{bind::bind, known::GONE_TOPIC, still_here::still_here},
    state::App,
    tasks::finish,
};
use futures_util::{StreamExt as _, stream};
use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use toft_machine::backend::{MachineError, StartSpec};
use toft_model::{id::ProjectId, machine::MachineState};
use toft_store::{Project, Wanted};
use tokio::{sync::OwnedMutexGuard, time::timeout};

/// From nothing to a running machine: a big disk on a busy host, with a wide margin.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Time between TERM and KILL when a machine is stopped.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// Beyond the grace, for killing and unmounting.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Removing a big disk takes a while.
const DESTROY_TIMEOUT: Duration = Duration::from_mins(2);
/// The last look at a bridge before it is stopped; a hung one must not hold that up.
const LAST_SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);
/// Machines adopted, or stopped, at once.
pub(super) const AT_ONCE: usize = 8;

/// Sees to it that a machine runs: the one function that wakes. A stopped one is refused. Whoever
/// goes on to ask it for something holds it ([`Machine::in_use`]) from before this until it is
/// answered, so that it is not put away in between.
pub(crate) async fn ensure_running(
    app: &App,
    machine: &Arc<Machine>,
    cause: &str,
) -> Result<(), ApiError> {
    start_for(app, machine, cause, false).await
}

/// Sees to it that a machine has a disk: that of a project which was made without a start is made when it is first
/// needed, as by whoever wakes it.
pub(crate) async fn ensure_made(
    app: &App,
    machine: &Arc<Machine>,
    cause: &str,
) -> Result<(), ApiError> {
    machine.settled().await;
    // A disk at somebody else's is not copied.
    let is_far = !app.backend.of(&machine.id).far().is_empty();
    if is_far || machine.runs() || app.backend.is_made(&machine.id).await? {
        return Ok(());
    }
    ensure_running(app, machine, cause).await
}

/// Starts a machine for a person, also a stopped one.
pub(crate) async fn start(app: &App, machine: &Arc<Machine>, cause: &str) -> Result<(), ApiError> {
    start_for(app, machine, cause, true).await
}

/// The refusal to wake a machine that a person has stopped.
pub(crate) fn stopped() -> ApiError {
    ApiError::new(Code::Unavailable, "this project is stopped: start it first")
}

async fn start_for(
    app: &App,
    machine: &Arc<Machine>,
    cause: &str,
    person: bool,
) -> Result<(), ApiError> {
    machine.here()?;
    machine.settled().await;
    machine.used(app.clock.now_ms());
    // One that is going away is waited for: then it is paused, stopped or cold, and goes on or is
    // started again.
    if machine.answers() {
        return Ok(());
    }
    let seen = machine.attempts.load(Ordering::Acquire);
    let (app2, machine, cause) = (app.clone(), Arc::clone(machine), cause.to_owned());
    let work = async move {
        let life = machine.lock_life().await;
        match machine.state() {
            MachineState::Running => return Ok(()),
            MachineState::Frozen => {
                match pause::thaw_locked(&app2, &machine, &cause, &life).await? {
                    Thawed::Runs => return Ok(()),
                    Thawed::Gone => {}
                }
            }
            MachineState::Creating
            | MachineState::Cold
            | MachineState::Stopped
            | MachineState::Error
            | MachineState::Destroyed => {}
        }
        // Those who waited for the same start share how it ended.
        if machine.attempts.load(Ordering::Acquire) != seen
            && let Some(error) = last_failure(&machine).clone()
        {
            return Err(error);
        }
        let project =
            app2.store.project(machine.id.as_str()).await?.ok_or_else(ApiError::no_project)?;
        match (project.wanted, person) {
            (Wanted::Running, _) => {}
            (Wanted::Stopped, false) => return Err(stopped()),
            (Wanted::Stopped, true) => {
                let now = app2.clock.now_ms();
                app2.store.set_wanted(&machine.id, Wanted::Running, None, now).await?;
                toft_machine::steps::reached("start.wanted");
            }
        }
        start_locked(&app2, &machine, &project, &cause, &life).await
    };
    finish(&app.tasks, CHANGING, work).await
}

fn stopping() -> ApiError {
    let message = "the server is being stopped, and its machines with it: start it and ask again";
    ApiError::new(Code::Unavailable, message)
}

fn last_failure(machine: &Machine) -> std::sync::MutexGuard<'_, Option<ApiError>> {
    machine.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a machine whose life the caller holds, and keeps the outcome.
pub(crate) async fn start_locked(
    app: &App,
    machine: &Arc<Machine>,
    project: &Project,
    cause: &str,
    _life: &OwnedMutexGuard<()>,
) -> Result<(), ApiError> {
    // `stop_all` waits for the lives of those that it saw; whatever else starts now outlives the server.
    if app.stop.wants_machines_stopped() {
        return Err(stopping());
    }
    // Another one may have gone on with it since this one asked for it.
    if let Some(elsewhere) = app.servers.elsewhere(project.host.as_deref()) {
        return Err(elsewhere.refusal());
    }
    bind(app, machine).await?;
    let was = machine.state();
    let limits = settings::limits(app, &machine.id).await?;
    machine.set_log_bytes_max(limits.log_bytes);
    let begins_with = instructions::of_new(app, machine).await;
    let spec = StartSpec {
        project: machine.id.clone(),
        name: project.name.clone(),
        limits,
        app_url: app.hosts.preview_origin(machine.id.as_str()),
        env: Vec::new(),
        awaits_environment: true,
    };
    let work = async {
        log_room::refuse_past(app, machine).await?;
        make_disk(app, &machine.id).await?;
        let running = app.backend.start(spec).await?;
        if running.adopted {
            // It ran without our knowing; it may stand still.
            app.backend.thaw(&machine.id).await?;
        }
        let told = match tell::first(app, machine).await {
            Ok(told) => told,
            // It ran: with what it has it goes on.
            Err(_) if running.adopted => tell::again(app, machine).await,
            Err(error) => {
                end_failed(app, machine).await;
                let (project, detail) = (machine.id.clone(), error.message);
                return Err(MachineError::DidNotStart { project, detail }.into());
            }
        };
        toft_machine::steps::reached("start.told");
        if let Some(text) = begins_with.filter(|_| !running.adopted) {
            instructions::give(app, machine, text).await;
        }
        Ok((running, told))
    };
    // Its init may write already, and answer late.
    let filling = log_room::until_past(app, &machine.id, || machine.log_bytes_max());
    let bounded = async {
        tokio::select! {
            biased;
            outcome = work => outcome,
            past = filling => {
                end_failed(app, machine).await;
                Err(past.refusal(&machine.id))
            }
        }
    };
    let outcome = match timeout(START_TIMEOUT, Box::pin(bounded)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::from(MachineError::DidNotStart {
            project: machine.id.clone(),
            detail: format!("it took longer than {} s", START_TIMEOUT.as_secs()),
        })),
    };
    machine.attempts.fetch_add(1, Ordering::AcqRel);
    match outcome {
        Ok((running, told)) => {
            *last_failure(machine) = None;
            if project.state_reason.is_some() {
                let now = app.clock.now_ms();
                app.store.set_wanted(&machine.id, Wanted::Running, None, now).await?;
            }
            on_running(app, machine, running);
            drop(told);
            record_wake(app, machine, cause, was).await;
            Ok(())
        }
        Err(error) => {
            tracing::warn!(project.id = %machine.id, error = error.message,
                "the machine did not start");
            *last_failure(machine) = Some(error.clone());
            {
                let mut view = machine.view();
                view.state = MachineState::Error;
                view.reason = Some(error.message.clone());
            }
            let now = app.clock.now_ms();
            let reason = Some(error.message.as_str());
            app.store.set_wanted(&machine.id, Wanted::Running, reason, now).await?;
            Err(error)
        }
    }
}

/// Ends what a start that failed has left.
async fn end_failed(app: &App, machine: &Machine) {
    let stopping = app.backend.stop(&machine.id, Duration::ZERO);
    if let Ok(Err(error)) = timeout(STOP_TIMEOUT, stopping).await {
        tracing::warn!(project.id = %machine.id, %error, "a failed start left processes");
    }
}

/// Stops a machine for a person: it stays stopped until a person starts it.
pub(crate) async fn stop(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    machine.here()?;
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _life = machine.lock_life().await;
        let now = app2.clock.now_ms();
        app2.store.set_wanted(&machine.id, Wanted::Stopped, None, now).await?;
        toft_machine::steps::reached("stop.wanted");
        end_processes(&app2, &machine, MachineState::Stopped).await
    })
    .await
}

/// Puts a running machine to sleep: its processes end, and the next request wakes it. One that a
/// person has stopped stays stopped.
pub(crate) async fn sleep(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    machine.here()?;
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _life = machine.lock_life().await;
        if !machine.runs() {
            return Ok(());
        }
        end_processes(&app2, &machine, MachineState::Cold).await
    })
    .await
}

/// Ends a machine's processes and takes in the last of what it wrote.
pub(crate) async fn end_processes(
    app: &App,
    machine: &Arc<Machine>,
    state: MachineState,
) -> Result<(), ApiError> {
    still_here(app, machine).await?;
    if machine.state() == MachineState::Running {
        // Too late for it afterwards; without an answer the last one stays. A paused one was asked.
        let _ = timeout(LAST_SNAPSHOT_TIMEOUT, tailer::snapshot(app, machine)).await;
    }
    // From here on who reads gets the copy.
    let _ending = machine.end();
    let work = app.backend.stop(&machine.id, STOP_GRACE);
    timeout(STOP_GRACE + STOP_TIMEOUT, work).await.map_err(|_| {
        ApiError::new(Code::MachineError, "the machine did not end in time: try again")
    })??;
    gone::no_longer_runs(app, machine, state, None).await;
    Ok(())
}

/// Ends every machine (they stay wanted) before the server ends.
pub(crate) async fn stop_all(app: &App) {
    stream::iter(app.machines.list())
        .for_each_concurrent(AT_ONCE, |machine| async move {
            let _life = machine.lock_life().await;
            if !machine.runs() {
                return;
            }
            if let Err(error) = end_processes(app, &machine, MachineState::Cold).await {
                tracing::warn!(project.id = %machine.id, error = error.message,
                    "the machine did not stop");
            }
        })
        .await;
}

/// Deletes a project: its machine, its disk, every copy. From the first step on it is gone for
/// everybody; what this server does not finish, the next one does, and the host of a machine that is another server's.
pub(crate) async fn delete(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let now = app2.clock.now_ms();
        if machine.here().is_err() {
            app2.store.delete_project(&machine.id, now).await?;
            // It looks by itself, too.
            let _ = app2.store.notify(GONE_TOPIC).await;
            remove_rows(&app2, &machine.id).await;
            return Ok(());
        }
        let _leaving = app2.servers.leaving(&machine.id);
        let _life = machine.lock_life().await;
        {
            // No event may come in between.
            let _taking = machine.taking.lock().await;
            app2.store.delete_project(&machine.id, now).await?;
            toft_machine::steps::reached("delete.recorded");
            destroyed(&machine);
        }
        app2.machines.remove(&machine.id);
        app2.gateway.remove_machine(&machine.id).await;
        remove_rows(&app2, &machine.id).await;
        destroy(&app2, &machine.id).await
    })
    .await
}

/// Removes what a deleted project's runs and conversations told: whether its machine goes is another matter. What is
/// left of it goes with that.
async fn remove_rows(app: &App, id: &ProjectId) {
    if let Err(error) = app.store.remove_left(id).await {
        tracing::warn!(project.id = %id, %error, "rows of a deleted project go with its machine");
    }
}

/// It is not followed any more.
fn destroyed(machine: &Machine) {
    let mut view = machine.view();
    view.state = MachineState::Destroyed;
    if let Some(following) = view.following.take() {
        following.cancel();
    }
}

/// Forgets a machine that another server goes on with. Nothing of it is ended.
pub(crate) async fn let_go(app: &App, machine: &Arc<Machine>) {
    app.machines.remove(&machine.id);
    if let Some(following) = machine.view().following.take() {
        following.cancel();
    }
    app.gateway.remove_machine(&machine.id).await;
    app.ports.close(&machine.id).await;
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    app.tasks.spawn(async move {
        // What waits for it gives up first: nothing of it answers any more.
        if let Err(error) = app2.backend.let_go(&machine.id).await {
            tracing::warn!(project.id = %machine.id, %error, "what is here of it stays until the next start");
        }
        let _life = machine.lock_life().await;
        let _taking = machine.taking.lock().await;
        destroyed(&machine);
    });
}

/// Removes what is here of a project that another server has deleted.
pub(crate) async fn remove(app: &App, id: &ProjectId) -> Result<(), ApiError> {
    let _leaving = app.servers.leaving(id);
    let machine = app.machines.get(id);
    // Whoever is just changing it comes to an end first.
    let _life = match &machine {
        Some(machine) => Some(machine.lock_life().await),
        None => None,
    };
    if let Some(machine) = &machine {
        let _taking = machine.taking.lock().await;
        destroyed(machine);
        app.machines.remove(id);
    }
    app.gateway.remove_machine(id).await;
    app.auth.take_back_of(id);
    app.ports.close(id).await;
    destroy(app, id).await
}

/// Removes what was written down about a machine's way out.
pub(crate) fn forget_egress_log(app: &App, id: &ProjectId) {
    if let Err(error) = toft_gateway::records::egress_log::remove(&app.data_dir, id) {
        tracing::warn!(project.id = %id, %error, "the log of its way out stays");
    }
}

/// Removes what is left of a deleted project on this host.
pub(crate) async fn destroy(app: &App, id: &ProjectId) -> Result<(), ApiError> {
    // Nobody has asked for it since the server began.
    if let Some(backend) = app.store.backend_of(id).await? {
        app.backend.assign(id, &backend).await?;
    }
    timeout(DESTROY_TIMEOUT, app.backend.destroy(id)).await.map_err(|_| {
        ApiError::new(
            Code::MachineError,
            "the project is deleted, but its disk was not removed in time: the next start of the \
             server tries again",
        )
    })??;
    forget_egress_log(app, id);
    let forgotten = app.runs.artifacts.forget(id).await;
    forgotten.map_err(|error| ApiError::internal("removing what its runs left", &error))?;
    app.store.remove_left(id).await?;
    app.store.set_destroyed(id, app.clock.now_ms()).await?;
    toft_machine::steps::reached("delete.destroyed");
    Ok(())
}
