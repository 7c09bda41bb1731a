//! Files of a machine that nobody inside can be asked for: its disk, over what it lies over.

use super::Inner;
use crate::{
    at_rest::{Files, roots_ids},
    backend::MachineError,
    error::step,
    inside::{
        ROOT,
        tree::{Part, Source},
    },
};
use std::path::PathBuf;
use toft_jail::spec::{Layer, Overlay};
use toft_model::id::ProjectId;

impl Inner {
    /// `None`: there is no disk.
    pub(super) fn files(&self, project: &ProjectId) -> Result<Option<Files>, MachineError> {
        self.ensure(project)?;
        let disk = self.disk(project);
        let log = self.log(project);
        let files = Files::of_system(&disk, ROOT, &log, || {
            let base = self.lies_over(&disk)?;
            let layers = base.overlays.iter().map(|overlay| self.layer(overlay));
            // Apart from the host's owners, whoever they are: what is open to everybody.
            let binds = base.binds.iter().map(|bind| Part {
                target: PathBuf::from(&bind.target),
                source: Source::Host { path: bind.source.clone(), ids: roots_ids(false) },
            });
            Ok(layers.chain(binds).collect())
        });
        files.map_err(step(project, "opening the machine's disk"))
    }

    /// A folder of the host below a layer, as it came up when the walls were tried.
    fn layer(&self, overlay: &Overlay) -> Part {
        let tried = self.facts.overlays.iter().find(|(target, _)| *target == overlay.target);
        let lower = overlay.lower.clone();
        let source = match tried.map(|(_, layer)| layer) {
            Some(Layer::ReadOnly) => Source::Host { path: lower, ids: roots_ids(false) },
            layer => Source::Layer {
                upper: overlay.upper.clone().into(),
                lower,
                ids: roots_ids(layer == Some(&Layer::Mapped)),
            },
        };
        Part { target: PathBuf::from(&overlay.target), source }
    }
}
