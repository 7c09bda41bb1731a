//! What can go wrong with machines, whatever makes them. Not with images.

use std::io;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// What went wrong with a machine, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// There is no such machine, or it does not run.
    #[error("the machine of {0} does not run")]
    NotRunning(ProjectId),
    /// There is no such checkpoint.
    #[error("there is no checkpoint {id} of {project}: it was deleted, or never finished")]
    NoCheckpoint {
        /// Of which project.
        project: ProjectId,
        /// Which.
        id: CheckpointId,
    },
    /// A checkpoint was taken over other system programs than the machine has now.
    #[error(
        "the checkpoint was taken over other system programs ({was}) than there are now ({now}): \
         what was installed in it may not run; fork it to look, or restore with force"
    )]
    BaseChanged {
        /// Identity of the base then.
        was: String,
        /// Identity of the base now.
        now: String,
    },
    /// It cannot be done here, or not now.
    #[error("{what} is not possible: {why}")]
    Unable {
        /// What was asked.
        what: &'static str,
        /// Why not, and what to do.
        why: String,
    },
    /// The host lacks something.
    #[error("this host cannot run machines: {missing}. {remedy}")]
    Unsupported {
        /// What is missing.
        missing: String,
        /// What to do.
        remedy: String,
    },
    /// The data folder is full.
    #[error("the disk of the data folder is full while {step}: free some space, then try again")]
    DiskFull {
        /// What was being done.
        step: &'static str,
    },
    /// The room that all projects share does not suffice.
    #[error("the disk is full for {step}: {why}")]
    NoRoom {
        /// What was to be done.
        step: &'static str,
        /// How much is left of what, and what to do.
        why: String,
    },
    /// A step failed.
    #[error("{step} failed for {project}: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// For which project.
        project: ProjectId,
        /// Why.
        source: io::Error,
    },
    /// Another server goes on with it. Nothing of this one's reaches it any more.
    #[error(
        "the machine of {0} is another server's now, which went on with it while this one was away: ask \
         again, and that one's address is said"
    )]
    Superseded(ProjectId),
    /// The machine did not come up; the text is what its first processes said.
    #[error("the machine of {project} did not start: {detail}")]
    DidNotStart {
        /// Which.
        project: ProjectId,
        /// What was said.
        detail: String,
    },
}

/// For `map_err`: this step failed for this project.
pub(crate) fn step<E: Into<io::Error>>(
    project: &ProjectId,
    step: &'static str,
) -> impl FnOnce(E) -> MachineError {
    let project = project.clone();
    move |source| {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                MachineError::DiskFull { step }
            }
            _ => MachineError::Step { step, project, source },
        }
    }
}
