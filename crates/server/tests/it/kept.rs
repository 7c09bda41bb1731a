//! What a test's machines keep of their disks: plain texts by path, copied as a storage would.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use toft_machine::backend::{Checkpointed, MachineError};
use toft_model::{
    checkpoint::{Change, ChangeKind, CheckpointId, Diff, Ticket},
    id::ProjectId,
    machine::Can,
};

type Files = BTreeMap<String, String>;
/// Base and files by checkpoint.
type Copies = BTreeMap<CheckpointId, (String, Files)>;

/// Files of all machines, and their copies.
pub(crate) struct Kept {
    live: Mutex<HashMap<ProjectId, Files>>,
    copies: Mutex<HashMap<ProjectId, Copies>>,
    /// Of what lies below every disk.
    pub(crate) base: Mutex<String>,
    pub(crate) can: Mutex<Can>,
    /// How long a copy takes.
    pub(crate) takes: Mutex<Duration>,
    /// How many copies were begun.
    pub(crate) begun: AtomicUsize,
    /// Of a slow storage.
    pub(crate) is_small: AtomicBool,
    /// The next copies fail.
    pub(crate) is_full: AtomicBool,
    /// The next restores fail half-way.
    pub(crate) breaks: AtomicBool,
    /// There is little room for all projects.
    pub(crate) is_scarce: AtomicBool,
    pub(crate) tickets: Mutex<Vec<(ProjectId, Ticket)>>,
    /// Copies that were made so far.
    pub(crate) taken: AtomicUsize,
}

impl Default for Kept {
    fn default() -> Self {
        let can = Can { checkpoint: true, live_checkpoint: true, fork: true, ..Can::default() };
        Self {
            live: Mutex::default(),
            copies: Mutex::default(),
            base: Mutex::new("base-1".into()),
            can: Mutex::new(can),
            takes: Mutex::default(),
            begun: AtomicUsize::default(),
            is_small: AtomicBool::new(true),
            is_full: AtomicBool::new(false),
            breaks: AtomicBool::new(false),
            is_scarce: AtomicBool::new(false),
            tickets: Mutex::default(),
            taken: AtomicUsize::new(0),
        }
    }
}

impl Kept {
    pub(crate) fn write(&self, id: &ProjectId, path: &str, text: &str) {
        let mut live = self.live.lock().unwrap();
        live.entry(id.clone()).or_default().insert(path.into(), text.into());
    }

    pub(crate) fn text(&self, id: &ProjectId, path: &str) -> Option<String> {
        self.live.lock().unwrap().get(id)?.get(path).cloned()
    }

    pub(crate) fn ids(&self, id: &ProjectId) -> Vec<CheckpointId> {
        let copies = self.copies.lock().unwrap();
        copies.get(id).map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }

    /// As after a power cut, or by somebody's hand.
    pub(crate) fn lose(&self, id: &ProjectId, checkpoint: &CheckpointId) {
        self.copies.lock().unwrap().get_mut(id).unwrap().remove(checkpoint);
    }

    pub(crate) fn forget(&self, id: &ProjectId) {
        self.live.lock().unwrap().remove(id);
        self.copies.lock().unwrap().remove(id);
    }

    pub(crate) async fn checkpoint(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        if self.is_full.load(Ordering::SeqCst) {
            return Err(MachineError::DiskFull { step: "taking a checkpoint" });
        }
        let base = self.base.lock().unwrap().clone();
        let files = self.live.lock().unwrap().get(project).cloned().unwrap_or_default();
        let mut copies = self.copies.lock().unwrap();
        let of = copies.entry(project.clone()).or_default();
        of.insert(id.clone(), (base.clone(), files));
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(Checkpointed { base, copied_bytes: None, one_moment: true })
    }

    fn copy(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
    ) -> Result<(String, Files), MachineError> {
        let copies = self.copies.lock().unwrap();
        copies
            .get(project)
            .and_then(|all| all.get(id))
            .cloned()
            .ok_or_else(|| MachineError::NoCheckpoint { project: project.clone(), id: id.clone() })
    }

    pub(crate) fn restore(
        &self,
        project: &ProjectId,
        id: &CheckpointId,
        ticket: &Ticket,
        force: bool,
    ) -> Result<(), MachineError> {
        let (was, files) = self.copy(project, id)?;
        let now = self.base.lock().unwrap().clone();
        if was != now && !force {
            return Err(MachineError::BaseChanged { was, now });
        }
        if self.breaks.load(Ordering::SeqCst) {
            return Err(MachineError::DiskFull { step: "going back to a checkpoint" });
        }
        self.live.lock().unwrap().insert(project.clone(), files);
        self.tickets.lock().unwrap().push((project.clone(), ticket.clone()));
        Ok(())
    }

    pub(crate) fn fork(
        &self,
        from: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        to: &ProjectId,
        ticket: &Ticket,
    ) -> Result<(), MachineError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(MachineError::DiskFull { step: "forking a project" });
        }
        let files = match checkpoint {
            Some(id) => self.copy(from, id)?.1,
            None => self.live.lock().unwrap().get(from).cloned().unwrap_or_default(),
        };
        self.live.lock().unwrap().insert(to.clone(), files);
        self.tickets.lock().unwrap().push((to.clone(), ticket.clone()));
        Ok(())
    }

    fn at(&self, project: &ProjectId, at: Option<&CheckpointId>) -> Result<Files, MachineError> {
        match at {
            Some(id) => Ok(self.copy(project, id)?.1),
            None => Ok(self.live.lock().unwrap().get(project).cloned().unwrap_or_default()),
        }
    }

    pub(crate) fn diff(
        &self,
        project: &ProjectId,
        from: &CheckpointId,
        to: Option<&CheckpointId>,
        max: usize,
    ) -> Result<Diff, MachineError> {
        let (before, after) = (self.at(project, Some(from))?, self.at(project, to)?);
        let size = |files: &Files, path: &str| files.get(path).map(|text| text.len() as u64);
        let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
        paths.sort();
        paths.dedup();
        let mut changes: Vec<Change> = paths
            .into_iter()
            .filter(|path| before.get(*path) != after.get(*path))
            .map(|path| Change {
                path: path.clone(),
                kind: match (before.get(path), after.get(path)) {
                    (None, _) => ChangeKind::Added,
                    (_, None) => ChangeKind::Removed,
                    _ => ChangeKind::Modified,
                },
                size_before: size(&before, path),
                size_after: size(&after, path),
            })
            .collect();
        let truncated = changes.len() > max;
        changes.truncate(max);
        Ok(Diff { changes, truncated })
    }

    pub(crate) fn read(
        &self,
        project: &ProjectId,
        at: Option<&CheckpointId>,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        let text = self.at(project, at)?.remove(path);
        if text.as_ref().is_some_and(|text| text.len() as u64 > max) {
            let why = format!("it has more than {max} bytes");
            return Err(MachineError::Unable { what: "reading this file", why });
        }
        Ok(text.map(String::into_bytes))
    }

    pub(crate) fn drop(&self, project: &ProjectId, id: &CheckpointId) {
        if let Some(of) = self.copies.lock().unwrap().get_mut(project) {
            of.remove(id);
        }
    }
}
