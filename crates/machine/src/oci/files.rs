//! Files of a machine that nobody inside can be asked for: its disk, which holds a whole system.

use super::{Inner, seat::ETC_FOLDER, tree::SHOWN};
use crate::{
    at_rest::Files,
    backend::MachineError,
    error::step,
    inside::{
        ROOT,
        tree::{Part, Source},
    },
};
use std::path::Path;
use toft_model::id::ProjectId;

impl Inner {
    /// `None`: there is no disk.
    pub(super) fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        self.ensure(project)?;
        let (disk, log) = (self.disk(project), self.log(project));
        // Written at each start; before the first one what lies on the disk shows.
        let etc = self.folders.run(project).join(ETC_FOLDER);
        let shown = SHOWN.iter().map(|name| Part {
            target: Path::new("/etc").join(name),
            source: Source::Beside(etc.join(name)),
        });
        let files = Files::of_system(&disk, ROOT, &log, || Ok(shown.collect()));
        files.map_err(step(project, "opening the machine's disk"))
    }
}
