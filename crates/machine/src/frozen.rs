//! Machines that are paused on purpose. A mark beside the state file tells them from one that a
//! killed server left paused while it copied a disk: the mark is there before the machine stands
//! still and goes after it goes on, so a half-done deed shows as a mark without a pause, or is whole.

use crate::{backend::MachineError, error::step, halt, state::State, steps};
use std::{
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};
use toft_model::id::ProjectId;

const MARK: &str = "frozen";
/// A disk operation can take that long on a busy host; most machines stand still within a
/// millisecond.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts right what a killed server left half done. The caller holds the machine's turn.
pub(crate) fn settle(folder: &Path) {
    let marked = folder.join(MARK).exists();
    let Some(state) = State::read(folder) else {
        if marked {
            unmark(folder);
        }
        return;
    };
    match (marked, state.is_held()) {
        (true, true) | (false, false) => {}
        (true, false) => unmark(folder),
        (false, true) => {
            if let Err(e) = state.thaw(folder) {
                tracing::warn!(folder = %folder.display(), "a machine stays paused: {e}");
            }
        }
    }
}

/// Pauses a machine that runs. The caller holds its turn.
pub(crate) fn freeze(folder: &Path, project: &ProjectId) -> Result<(), MachineError> {
    settle(folder);
    let state = State::read(folder).filter(|state| state.hold().is_some());
    let Some(state) = state else { return Err(MachineError::NotRunning(project.clone())) };
    if state.is_held() {
        return Ok(());
    }
    let freezing = "pausing the machine";
    File::create(folder.join(MARK)).map_err(step(project, freezing))?;
    steps::reached("freeze.marked");
    match state.freeze(folder, FREEZE_TIMEOUT) {
        Ok(()) => {
            steps::reached("freeze.frozen");
            Ok(())
        }
        Err(e) => {
            unmark(folder);
            Err(step(project, freezing)(e))
        }
    }
}

/// Lets a machine go on. Not frozen, or not running: does nothing.
pub(crate) fn thaw(folder: &Path, project: &ProjectId) -> Result<(), MachineError> {
    if let Some(state) = State::read(folder) {
        state.thaw(folder).or_else(gone).map_err(step(project, "letting the machine go on"))?;
        steps::reached("thaw.thawed");
    }
    unmark(folder);
    steps::reached("thaw.unmarked");
    Ok(())
}

/// Whether a machine stands still on purpose.
pub(crate) fn is_frozen(folder: &Path) -> bool {
    folder.join(MARK).exists() && State::read(folder).is_some_and(|state| state.is_held())
}

/// Forgets that a machine was paused: it goes on, or has ended.
pub(crate) fn unmark(folder: &Path) {
    let forgotten = halt::forget(folder);
    if let Err(e) = forgotten.and_then(|()| fs::remove_file(folder.join(MARK)).or_else(gone)) {
        tracing::warn!(folder = %folder.display(), "the mark of a paused machine stays: {e}");
    }
}

/// A machine that has ended took its groups along.
fn gone(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}
