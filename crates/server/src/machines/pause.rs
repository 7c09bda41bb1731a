//! Pausing machines in memory, and letting them go on, for whoever holds their life. A paused machine
//! answers nobody, its init and bridge stand still too: who reads gets the copy, everybody else comes
//! by `life::ensure_running`. When that is done for a person is in `asked`, when without being asked
//! in `idle`.

use super::{Machine, cold_log, gone, machine::Lists, running, tailer, wishes::Wish};
use crate::{
    api_error::{ApiError, Code},
    bridge_client::BridgeError,
    secrets::tell,
    servers::still_here::still_here,
    state::App,
};
use http::StatusCode;
use serde::Deserialize as _;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use toft_machine::backend::{MachineError, Running};
use toft_model::machine::{Activity, MachineState};
use tokio::{sync::OwnedMutexGuard, time::timeout};

/// Stopping a thousand processes takes tens of milliseconds; one in a disk operation that hangs
/// never stops.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);
/// What the bridge may take to say what works. One that is busy elsewhere is no idle one.
const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(2);
/// The last look at a bridge before it stands still; a hung one must not hold that up.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Who wants it paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A person or a program: done whatever it is doing, unless it is taken back.
    Person(Wish),
    /// The rule: given up as soon as somebody comes.
    Rule,
}

/// Refuses where the backend cannot pause.
pub(super) fn can_freeze(app: &App, machine: &Machine) -> Result<(), ApiError> {
    let backend = app.backend.of(&machine.id);
    if backend.can().freeze {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Unavailable,
        format!(
            "the backend `{}` cannot pause machines on this host (`toft doctor` says why): put it to \
             sleep instead",
            backend.name()
        ),
    ))
}

/// Pauses a running machine whose life the caller holds; false: it is in use after all.
pub(super) async fn freeze_locked(
    app: &App,
    machine: &Arc<Machine>,
    by: By,
    _life: &OwnedMutexGuard<()>,
) -> Result<bool, ApiError> {
    can_freeze(app, machine)?;
    still_here(app, machine).await?;
    // From here on who reads gets the copy, and who wants more waits for the life that we hold.
    let _pausing = machine.end();
    let looked = match by {
        By::Person(_) => {
            // A person may pause a machine in the middle of its work.
            let at_work = is_at_work(app, machine);
            let looking = async { tokio::join!(last_look(app, machine), at_work) };
            timeout(LAST_LOOK_TIMEOUT, looking).await.unwrap_or_else(|_| (Lists::default(), true))
        }
        By::Rule => {
            let looking = async {
                if is_at_work(app, machine).await {
                    return None;
                }
                Some(timeout(LAST_LOOK_TIMEOUT, last_look(app, machine)).await.unwrap_or_default())
            };
            // Whoever comes does not wait for a bridge that thinks.
            let lists = tokio::select! {
                biased;
                () = machine.until_held(true) => return Ok(false),
                lists = looking => lists,
            };
            let Some(lists) = lists else {
                machine.used(app.clock.now_ms());
                return Ok(false);
            };
            (lists, false)
        }
    };
    let (lists, at_work) = looked;
    let for_wish = match by {
        By::Person(wish) => match machine.wishes.decide(wish) {
            None => return Ok(false),
            last => last,
        },
        By::Rule if machine.is_held() => return Ok(false),
        By::Rule => None,
    };
    let frozen = match timeout(FREEZE_TIMEOUT, app.backend.freeze(&machine.id)).await {
        Ok(frozen) => frozen.map_err(ApiError::from),
        Err(_) => Err(ApiError::new(
            Code::MachineError,
            "the machine's processes did not stand still in time: try again, or put it to sleep",
        )),
    };
    if let Err(error) = frozen {
        // Never half: what stands still already goes on.
        if let Err(error) = app.backend.thaw(&machine.id).await {
            tracing::warn!(project.id = %machine.id, %error, "it may be paused in part");
        }
        return Err(error);
    }
    is_frozen(app, machine, lists, at_work);
    if let Some(wish) = for_wish {
        machine.wishes.paused(wish);
    }
    // What its bridge wrote last, and nobody had read yet.
    cold_log::catch_up(app, machine).await;
    Ok(true)
}

/// Writes down that it is paused.
fn is_frozen(app: &App, machine: &Machine, lists: Lists, at_work: bool) {
    let mut view = machine.view();
    view.state = MachineState::Frozen;
    view.reason = None;
    view.frozen_at = Some(app.clock.now_ms());
    view.frozen_at_work = at_work;
    view.lists = Some(Box::new(lists));
    if let Some(following) = view.following.take() {
        following.cancel();
    }
}

/// A machine that an earlier server has paused. When, nobody knows.
pub(super) async fn found_frozen(app: &App, machine: &Arc<Machine>, found: Running) {
    machine.view().started_at = Some(found.started_at);
    let at_work = machine.view().statuses.any_works();
    is_frozen(app, machine, Lists::default(), at_work);
    machine.used(app.clock.now_ms());
    running::tell_gateway(app, machine, found);
    cold_log::catch_up(app, machine).await;
}

/// What came of letting a machine go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thawed {
    /// It runs.
    Runs,
    /// Its processes were ended from outside meanwhile: it is cold now.
    Gone,
}

/// Lets a paused machine go on whose life the caller holds.
pub(super) async fn thaw_locked(
    app: &App,
    machine: &Arc<Machine>,
    cause: &str,
    _life: &OwnedMutexGuard<()>,
) -> Result<Thawed, ApiError> {
    let going = async {
        app.backend.thaw(&machine.id).await?;
        // One that is dead is not paused either.
        app.backend.connect_bridge(&machine.id).await
    };
    match timeout(FREEZE_TIMEOUT, going).await {
        Ok(Ok(_)) => {}
        Ok(Err(MachineError::NotRunning(_))) => {
            gone::ended_from_outside(app, machine).await;
            return Ok(Thawed::Gone);
        }
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => {
            return Err(ApiError::new(
                Code::MachineError,
                "the machine did not go on in time: try again, or stop it",
            ));
        }
    }
    let told = tell::again(app, machine).await;
    {
        let mut view = machine.view();
        view.state = MachineState::Running;
        view.frozen_at = None;
        view.lists = None;
    }
    drop(told);
    machine.used(app.clock.now_ms());
    running::follow(app, machine);
    running::record_wake(app, machine, cause, MachineState::Frozen).await;
    Ok(Thawed::Runs)
}

/// Whether anything works in a machine that nobody asks for anything.
pub(super) async fn is_at_work(app: &App, machine: &Machine) -> bool {
    let asked = app.bridge.get_json(&machine.id, "/toft/activity");
    match timeout(ACTIVITY_TIMEOUT, asked).await {
        Ok(Ok(mut answer)) => {
            let data = answer.get_mut("data").map(Value::take).unwrap_or(answer);
            Activity::deserialize(data).map_or(true, |activity| !activity.busy.is_empty())
        }
        // A bridge of an earlier version: what its events say.
        Ok(Err(BridgeError::Status(status))) if status == StatusCode::NOT_FOUND.as_u16() => {
            machine.view().statuses.any_works()
        }
        // Nobody said that nothing does.
        Ok(Err(_)) | Err(_) => true,
    }
}

/// What its bridge says last.
async fn last_look(app: &App, machine: &Machine) -> Lists {
    let ((), lists) = tokio::join!(tailer::snapshot(app, machine), lists(app, machine));
    lists
}

async fn lists(app: &App, machine: &Machine) -> Lists {
    let list = async |path: &str| app.bridge.get_json(&machine.id, path).await.ok();
    let (processes, terminals, services) =
        tokio::join!(list("/toft/processes"), list("/toft/terminals"), list("/toft/services"));
    Lists { processes, terminals, services }
}
