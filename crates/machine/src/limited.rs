//! Changes the limits of a machine that runs, whatever walls it has. Not its disk's.

use crate::{backend::MachineError, cgroup::CgroupHost, error::step, state::State};
use std::{io, path::Path};
use toft_model::{id::ProjectId, machine::Limits};

/// Not running: does nothing. The caller holds the machine's turn.
pub(crate) fn set(
    folder: &Path,
    project: &ProjectId,
    host: &CgroupHost,
    limits: &Limits,
) -> Result<(), MachineError> {
    let changing = "changing the machine's limits";
    let state = State::read(folder).filter(|state| state.hold().is_some());
    let Some(mut state) = state else { return Ok(()) };
    let changed = host.limit_again(project.as_str(), &mut state.groups, limits);
    match changed {
        Ok(true) => state.write(folder).map_err(step(project, changing)),
        Ok(false) => Ok(()),
        // A v1 group does not go below what cannot be taken from it.
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            let used = state.groups.stats().memory_bytes.unwrap_or_default();
            Err(MachineError::Unable {
                what: "lowering the memory limit",
                why: format!(
                    "its processes hold {} MiB now; end some of them, or stop the machine first",
                    used >> 20
                ),
            })
        }
        Err(e) => Err(step(project, changing)(e)),
    }
}
