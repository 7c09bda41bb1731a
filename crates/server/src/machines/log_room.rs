//! The bound of a machine's log folder, which lies on the host's disk beside its project's. Toft alone
//! writes there; should a project's code come to, the host's disk is not its to fill. While a machine
//! runs its folder is looked at, and one that is past its bound is ended: nothing is deleted, and it
//! starts again when a person has made room or raised the bound. Paused machines are not looked at:
//! nothing of them writes.

use super::{CHANGING, Machine, gone, observed};
use crate::{
    api_error::{ApiError, Code},
    state::App,
    tasks::finish,
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use toft_machine::taken::{self, Taken};
use toft_model::{
    event::{LimitHit, LimitKind, Observed},
    id::ProjectId,
    machine::{Ability, Limits, MachineState},
};
use toft_store::Wanted;
use tokio::time::{sleep, timeout};

/// The least bound: what services print (20 MiB at most with four of them), one long output that is
/// kept, and some days of events.
pub(super) const LOG_BYTES_MIN: u64 = 128 << 20;
/// What one machine may write in a second: into memory, whatever disk is below.
const WRITE_RATE_MAX: u64 = 2 << 30;
/// Between two looks: when there is room for what is written in that time, and at the least.
const LOOK: Duration = Duration::from_secs(2);
const LOOK_MIN: Duration = Duration::from_millis(50);
/// Until nothing of it runs any more.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// A log folder that is past its bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    taken: Taken,
    bound: u64,
}

impl Past {
    fn judge(taken: Taken, bound: Option<u64>) -> Option<Self> {
        let bound = bound?;
        (taken.bytes > bound || !taken.is_whole).then_some(Self { taken, bound })
    }

    /// What happened, and what to do.
    fn message(&self, id: &ProjectId) -> String {
        let what = if self.taken.bytes > self.bound {
            format!(
                "takes {} MiB, more than its limit of {} MiB",
                self.taken.bytes >> 20,
                self.bound >> 20
            )
        } else {
            "holds more than can be looked at (20,000 files, folders eight deep or closed ones)"
                .to_owned()
        };
        format!(
            "the log folder of this project's machine {what}, so it does not run. Nothing was \
             deleted: look into `logs/{id}` in the server's data folder, make room there or raise \
             the limit logBytes (`toft limits {id} --log SIZE`), and start it again"
        )
    }

    pub(crate) fn refusal(&self, id: &ProjectId) -> ApiError {
        ApiError::new(Code::LogFull, self.message(id))
    }
}

/// What `toft doctor` says of it.
pub(super) fn ability() -> Ability {
    Ability {
        name: "log limit".into(),
        enforced: true,
        how: "the server looks at the log folders of machines that run, and ends one that is past its \
              limit"
            .into(),
        remedy: None,
    }
}

/// What a machine's log folder takes.
pub(crate) async fn taken(app: &App, id: &ProjectId) -> io::Result<Taken> {
    look(app.backend.log_dir(id)).await
}

async fn look(folder: PathBuf) -> io::Result<Taken> {
    let looking = tokio::task::spawn_blocking(move || taken::look(&folder));
    looking.await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// Refuses a bound below what is there already: the machine would end at once.
pub(super) async fn fits(app: &App, id: &ProjectId, limits: &Limits) -> Result<(), ApiError> {
    let Some(wanted) = limits.log_bytes else { return Ok(()) };
    let taken = taken(app, id)
        .await
        .map_err(|e| ApiError::internal("the log folder could not be looked at", &e))?;
    if taken.bytes <= wanted {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "logBytes {wanted} is less than the {} bytes that the machine's log folder takes now: make \
         room in `logs/{id}` in the server's data folder first, or choose more",
        taken.bytes
    )))
}

/// Ends when the folder is past its bound, as it is set by then.
pub(crate) async fn until_past(app: &App, id: &ProjectId, bound: impl Fn() -> Option<u64>) -> Past {
    loop {
        let pause = match bound() {
            // One may be set.
            None => LOOK,
            Some(bound) => match taken(app, id).await {
                Ok(taken) => match Past::judge(taken, Some(bound)) {
                    Some(past) => return past,
                    None => pause(taken.bytes, bound),
                },
                Err(error) => {
                    tracing::warn!(project.id = %id, %error,
                        "a log folder cannot be looked at");
                    LOOK
                }
            },
        };
        sleep(pause).await;
    }
}

/// Nothing can come to its end before the next look but by more than is written in the shortest time.
fn pause(bytes: u64, bound: u64) -> Duration {
    let left = bound.saturating_sub(bytes);
    let micros = left.saturating_mul(1_000_000) / WRITE_RATE_MAX;
    Duration::from_micros(micros).clamp(LOOK_MIN, LOOK)
}

/// Refuses to start one that is past its bound.
pub(super) async fn refuse_past(app: &App, machine: &Machine) -> Result<(), ApiError> {
    match taken(app, &machine.id).await {
        Ok(taken) => match Past::judge(taken, machine.log_bytes_max()) {
            Some(past) => Err(past.refusal(&machine.id)),
            None => Ok(()),
        },
        Err(error) => Err(ApiError::internal("the log folder could not be looked at", &error)),
    }
}

/// Ends a machine that is past its bound, and says so. It goes on whoever stops waiting for it.
pub(super) async fn end_past(app: &App, machine: &Arc<Machine>, past: Past) {
    let (app2, machine2) = (app.clone(), Arc::clone(machine));
    // Before it ends: whoever starts it again then starts another one.
    let started_at = machine.view().started_at;
    let ending = async move {
        end(&app2, &machine2, past).await;
        settle(&app2, &machine2, started_at, past).await
    };
    if let Err(error) = finish(&app.tasks, CHANGING, ending).await {
        tracing::warn!(project.id = %machine.id, error = error.message, "why it ended is not kept");
    }
}

/// Ends its processes, whoever holds its life: each moment is room on the host's disk.
async fn end(app: &App, machine: &Machine, past: Past) {
    tracing::warn!(project.id = %machine.id, bytes = past.taken.bytes, limit = past.bound,
        "the machine is ended: its log folder is past its limit");
    // From here on who reads gets the copy.
    let _ending = machine.end();
    let stops = app.stop.token();
    while !stops.is_cancelled() {
        match timeout(END_TIMEOUT, app.backend.stop(&machine.id, Duration::ZERO)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(project.id = %machine.id, %error, "it runs on"),
            Err(_) => tracing::warn!(project.id = %machine.id, "it did not end in time"),
        }
        sleep(LOOK).await;
    }
}

/// Writes down why the one that was started then does not run.
async fn settle(
    app: &App,
    machine: &Arc<Machine>,
    started_at: Option<u64>,
    past: Past,
) -> Result<(), ApiError> {
    let _life = machine.lock_life().await;
    {
        let view = machine.view();
        let is_other = view.state == MachineState::Running && view.started_at != started_at;
        if is_other || view.state == MachineState::Destroyed {
            return Ok(());
        }
    }
    let Some(project) = app.store.project(machine.id.as_str()).await? else { return Ok(()) };
    let message = past.message(&machine.id);
    let hit = LimitHit {
        kind: LimitKind::Log,
        command: None,
        pid: None,
        peak: Some(past.taken.bytes),
        limit: Some(past.bound),
        message: message.clone(),
    };
    let (state, reason) = match project.wanted {
        Wanted::Running => (MachineState::Error, Some(message.as_str())),
        Wanted::Stopped => (MachineState::Stopped, None),
    };
    let now = app.clock.now_ms();
    let kept = app.store.set_wanted(&machine.id, project.wanted, reason, now).await;
    gone::no_longer_runs(app, machine, state, reason).await;
    observed::tell(app, machine, Observed::Limit(hit)).await;
    Ok(kept?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_written_between_two_looks_fits_into_what_is_left() {
        for (bytes, bound) in [(0, 4096 * MIB), (0, 128 * MIB), (4000 * MIB, 4096 * MIB)] {
            let millis = u64::try_from(pause(bytes, bound).as_millis()).unwrap();
            let written = WRITE_RATE_MAX / 1000 * millis;
            let least = WRITE_RATE_MAX / 1000 * u64::try_from(LOOK_MIN.as_millis()).unwrap();
            assert!(bytes + written <= bound.max(bytes + least), "{bytes} of {bound}: {millis} ms");
        }
        assert_eq!((pause(0, u64::MAX), pause(5, 3)), (LOOK, LOOK_MIN));
    }

    #[test]
    fn past_is_what_takes_more_or_cannot_be_looked_at_and_nothing_without_a_bound() {
        let check = |bytes, is_whole, bound, want: Option<&str>| {
            let id = ProjectId::random();
            let past = Past::judge(Taken { bytes, is_whole }, bound);
            assert_eq!(past.is_some(), want.is_some(), "{bytes} {is_whole} {bound:?}");
            if let (Some(past), Some(word)) = (past, want) {
                let error = past.refusal(&id);
                assert!(error.message.contains(word), "{}", error.message);
                assert_eq!(error.code_text(), "log_full");
            }
        };
        check(128 * MIB, true, Some(128 * MIB), None);
        check(128 * MIB + 1, true, Some(128 * MIB), Some("more than its limit of 128 MiB"));
        check(5, false, Some(128 * MIB), Some("more than can be looked at"));
        check(u64::MAX, true, None, None);
    }
}
