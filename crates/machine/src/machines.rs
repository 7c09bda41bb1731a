//! What every backend has, whatever its walls: where its machines lie in the data folder, whose turn it
//! is to change one, and who watches them.

use crate::{folders::Folders, state::State, turns::Turns, watch::Watches};
use toft_model::id::ProjectId;

/// See the module.
#[derive(Debug)]
pub(crate) struct Machines {
    pub(crate) folders: Folders,
    pub(crate) turns: Turns,
    pub(crate) watches: Watches,
}

impl Machines {
    pub(crate) fn new(folders: Folders) -> Self {
        Self { folders, turns: Turns::default(), watches: Watches::default() }
    }

    /// Whether a project's machine runs, or is paused.
    pub(crate) fn runs(&self, project: &ProjectId) -> bool {
        State::read(&self.folders.run(project)).is_some_and(|state| state.hold().is_some())
    }
}
