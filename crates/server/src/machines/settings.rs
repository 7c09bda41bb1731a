//! What a person has set for one machine: its limits, in force at once, and when it is put away.
//! What is possible is checked here; how a limit is enforced is the backend's.

use super::{CHANGING, Machine, log_room};
use crate::{
    api_error::{ApiError, Code},
    state::App,
    tasks::finish,
};
use std::{sync::Arc, time::Duration};
use toft_machine::backend::{MachineError, Report};
use toft_model::{
    id::ProjectId,
    machine::{Ability, Can, IdleRule, Limits},
};
use tokio::time::timeout;

/// A shell, a compiler's driver and the page cache of what they read: with less, nothing that is
/// started in a machine comes up.
const MEMORY_BYTES_MIN: u64 = 32 << 20;
/// A terminal, its shell and a pipe of programs.
const PIDS_MIN: u64 = 16;
/// Most processes: half of what the kernel has numbers for (`PID_MAX_LIMIT`), since init's and the bridge's
/// come on top.
const PIDS_MAX: u64 = 2 << 20;
/// The shortest share that the kernel's scheduler takes is a hundredth of a processor; with less
/// than a twentieth a shell takes seconds to start.
const CPUS_MIN: f64 = 0.05;
/// No host has more.
const CPUS_MAX: f64 = 4096.0;
/// A machine's own files when it is made, and room to delete something in.
const DISK_BYTES_MIN: u64 = 64 << 20;
/// Kernel interfaces count in signed 64 bits.
const COUNT_MAX: u64 = i64::MAX as u64;
/// Longest wait that a rule may name: a year.
const IDLE_S_MAX: u64 = 366 * 24 * 3600;
/// Changing control groups; memory may have to be given back first.
const SET_TIMEOUT: Duration = Duration::from_secs(20);

/// What can be done with machines here: the backend's part, and the server's.
pub(crate) fn can(app: &App, id: &ProjectId) -> Can {
    let mut can = app.backend.of(id).can();
    can.limits.push("log".into());
    can
}

/// What is in force with a backend and how, with what its machines lie in.
pub(crate) async fn look_at(app: &App, backend: &str) -> Result<Report, MachineError> {
    let mut found = app.backend.look_at(backend).await?;
    found.abilities.push(log_room::ability());
    Ok(found)
}

/// What is in force for a machine and how.
pub(crate) async fn abilities(app: &App, id: &ProjectId) -> Vec<Ability> {
    let mut all = app.backend.of(id).abilities().await;
    all.push(log_room::ability());
    all
}

/// The limits that a machine has, its own or the server's.
pub(crate) async fn limits(app: &App, id: &ProjectId) -> Result<Limits, ApiError> {
    let own = app.store.machine_settings(id).await?.limits;
    Ok(own.unwrap_or_else(|| app.limits.clone()))
}

/// Changes the limits: of a machine that runs at once, of any other from its next start. Kept only
/// if they could be put in force.
pub(crate) async fn set_limits(
    app: &App,
    machine: &Arc<Machine>,
    change: impl FnOnce(&mut Limits) + Send + 'static,
) -> Result<Limits, ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _life = machine.lock_life().await;
        let before = app2.store.machine_settings(&machine.id).await?.limits;
        let mut wanted = before.clone().unwrap_or_else(|| app2.limits.clone());
        change(&mut wanted);
        check_limits(&wanted)?;
        fits_disk(&app2, &machine.id, &wanted).await?;
        log_room::fits(&app2, &machine.id, &wanted).await?;
        // First: a server that is killed in between puts them in force when it comes back.
        let now = app2.clock.now_ms();
        app2.store.put_limits(&machine.id, Some(&wanted), now).await?;
        if let Err(error) = enforce(&app2, &machine).await {
            app2.store.put_limits(&machine.id, before.as_ref(), now).await?;
            if let Err(again) = enforce(&app2, &machine).await {
                tracing::warn!(project.id = %machine.id, error = again.message, "limits are mixed");
            }
            return Err(error);
        }
        Ok(wanted)
    })
    .await
}

/// Puts in force what is written down.
pub(super) async fn enforce(app: &App, machine: &Machine) -> Result<(), ApiError> {
    let limits = limits(app, &machine.id).await?;
    machine.set_log_bytes_max(limits.log_bytes);
    let work = app.backend.set_limits(&machine.id, &limits);
    match timeout(SET_TIMEOUT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ApiError::new(
            Code::MachineError,
            "the limits were not in force in time: try again when the machine is less busy",
        )),
    }
}

fn check_limits(limits: &Limits) -> Result<(), ApiError> {
    let within = |name: &str, value: Option<u64>, (min, max): (u64, u64), why: &str| match value {
        Some(value) if value < min => Err(ApiError::invalid(format!(
            "{name} must be at least {min}{why}, or null for no limit"
        ))),
        Some(value) if value > max => {
            Err(ApiError::invalid(format!("{name} can be at most {max}: give null for no limit")))
        }
        _ => Ok(()),
    };
    let shell = " (32 MiB: with less, not even a shell starts)";
    within("memoryBytes", limits.memory_bytes, (MEMORY_BYTES_MIN, COUNT_MAX), shell)?;
    within("pids", limits.pids, (PIDS_MIN, PIDS_MAX), " (a terminal, its shell and what it runs)")?;
    within(
        "diskBytes",
        limits.disk_bytes,
        (DISK_BYTES_MIN, COUNT_MAX),
        " (64 MiB: the machine's own files)",
    )?;
    let outputs = " (128 MiB: long outputs and services' logs)";
    within("logBytes", limits.log_bytes, (log_room::LOG_BYTES_MIN, COUNT_MAX), outputs)?;
    match limits.cpus {
        Some(cpus) if !(CPUS_MIN..=CPUS_MAX).contains(&cpus) => Err(ApiError::invalid(format!(
            "cpus must be {CPUS_MIN} to {CPUS_MAX} processors, or null for no limit"
        ))),
        _ => Ok(()),
    }
}

/// A disk that is over its bound takes no write, not even the one that frees room.
async fn fits_disk(app: &App, id: &ProjectId, limits: &Limits) -> Result<(), ApiError> {
    let Some(wanted) = limits.disk_bytes else { return Ok(()) };
    // One that has no disk yet has nothing on it.
    let used = app.backend.disk(id).await.unwrap_or_default().exclusive_bytes.unwrap_or(0);
    if used <= wanted {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "diskBytes {wanted} is less than the {used} bytes that the project and its checkpoints take \
         now: delete files or checkpoints first, or choose more"
    )))
}

/// Changes when a machine is put away.
pub(crate) async fn set_idle(
    app: &App,
    machine: &Machine,
    wanted: IdleRule,
) -> Result<(), ApiError> {
    for (name, value) in
        [("freezeAfterS", wanted.freeze_after_s), ("coldAfterS", wanted.cold_after_s)]
    {
        if value.is_some_and(|s| !(1..=IDLE_S_MAX).contains(&s)) {
            return Err(ApiError::invalid(format!(
                "{name} must be 1 to {IDLE_S_MAX} seconds, or null for never"
            )));
        }
    }
    app.store.put_idle(&machine.id, Some(&wanted), app.clock.now_ms()).await?;
    machine.view().idle = Some(wanted);
    Ok(())
}

/// Takes note of what a fork was given when it was made: it is like its origin.
pub(crate) async fn inherited(app: &App, fork: &Machine) -> Result<(), ApiError> {
    fork.view().idle = app.store.machine_settings(&fork.id).await?.idle;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_nothing_could_live_with_is_refused_in_a_sentence() {
        let check = |limits: Limits| check_limits(&limits).map_err(|e| e.message);
        let none = Limits {
            memory_bytes: None,
            cpus: None,
            pids: None,
            disk_bytes: None,
            log_bytes: None,
        };
        assert_eq!(check(none.clone()), Ok(()));
        assert_eq!(check(Limits::default()), Ok(()));
        let least = Limits {
            memory_bytes: Some(MEMORY_BYTES_MIN),
            cpus: Some(CPUS_MIN),
            pids: Some(PIDS_MIN),
            disk_bytes: Some(DISK_BYTES_MIN),
            log_bytes: Some(log_room::LOG_BYTES_MIN),
        };
        assert_eq!(check(least), Ok(()));
        for (limits, word) in [
            (Limits { memory_bytes: Some(MEMORY_BYTES_MIN - 1), ..none.clone() }, "memoryBytes"),
            (Limits { memory_bytes: Some(u64::MAX), ..none.clone() }, "memoryBytes"),
            (Limits { pids: Some(0), ..none.clone() }, "pids"),
            (Limits { disk_bytes: Some(1), ..none.clone() }, "diskBytes"),
            (Limits { log_bytes: Some(1), ..none.clone() }, "logBytes"),
            (Limits { cpus: Some(0.0), ..none.clone() }, "cpus"),
            (Limits { cpus: Some(f64::NAN), ..none.clone() }, "cpus"),
            (Limits { cpus: Some(-1.0), ..none }, "cpus"),
        ] {
            let said = check(limits).unwrap_err();
            assert!(said.starts_with(word) && said.contains("null"), "{said}");
        }
    }
}
