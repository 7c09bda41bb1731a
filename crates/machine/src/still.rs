//! A machine stands still while its disk is copied, so that the copy shows one moment. Shorter than
//! what `frozen` does on purpose, and without a mark: one that a killed server leaves so is let go on
//! by the next look at it.

use crate::{backend::MachineError, error::step, frozen, halt::Paused, state::State};
use std::{path::Path, time::Duration};
use toft_model::id::ProjectId;

/// How long a machine is waited for where a copy takes no time: most stand still within half a
/// millisecond.
const LIVE_PAUSE_TIMEOUT: Duration = Duration::from_millis(100);
/// The same where it must: a disk operation can take that long on a busy host.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How a machine is while its disk is copied.
#[derive(Debug)]
pub(crate) enum Still {
    /// It does not run.
    Stopped,
    /// It stands still until this is dropped, in whatever way its copying ends.
    Paused(#[expect(dead_code, reason = "held for its end")] Paused),
    /// It goes on writing.
    Running,
}

impl Still {
    /// Pauses a machine that runs until the answer is dropped. `live`: a copy is one moment anyway, so
    /// that it is only tried. `run`: its folder of sockets. The caller holds its turn.
    pub(crate) fn of(run: &Path, project: &ProjectId, live: bool) -> Result<Self, MachineError> {
        frozen::settle(run);
        let state = State::read(run).filter(|state| state.hold().is_some());
        let Some(state) = state else { return Ok(Self::Stopped) };
        if !live {
            let paused =
                state.pause(run, PAUSE_TIMEOUT).map_err(step(project, "pausing the machine"));
            return paused.map(Self::Paused);
        }
        // Not worth signals that programs could notice.
        Ok(match state.groups.pause(LIVE_PAUSE_TIMEOUT) {
            Ok(Some(paused)) => Self::Paused(Paused::Group(paused)),
            Ok(None) => Self::Running,
            Err(e) => {
                tracing::debug!(project.id = %project, "copied while it runs: {e}");
                Self::Running
            }
        })
    }

    /// Whether nobody writes to the disk meanwhile.
    pub(crate) fn is_one_moment(&self) -> bool {
        !matches!(self, Self::Running)
    }
}
