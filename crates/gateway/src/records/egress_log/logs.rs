//! The logs that somebody writes to, by project.

use super::EgressLog;
use crate::folder;
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};
use toft_model::id::ProjectId;

/// See the module. Two writers of one log would not know of each other.
pub(crate) struct EgressLogs {
    data_dir: PathBuf,
    written: Mutex<BTreeMap<ProjectId, Weak<EgressLog>>>,
}

impl EgressLogs {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), written: Mutex::default() }
    }

    /// The log of a project's way out.
    pub(crate) fn of(&self, project: &ProjectId) -> io::Result<Arc<EgressLog>> {
        let mut logs = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(project).and_then(Weak::upgrade) {
            return Ok(log);
        }
        logs.retain(|_, log| log.strong_count() > 0);
        let dir = folder::egress_dir(&self.data_dir, project);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let log = Arc::new(EgressLog::open(&dir)?);
        logs.insert(project.clone(), Arc::downgrade(&log));
        Ok(log)
    }
}
