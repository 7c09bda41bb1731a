//! What belongs to others: sandboxes of servers that are gone, those that another server went on with, and those of
//! projects that there are no more.

use super::Inner;
use crate::backend::{Far, MachineError};
use std::{fs, io};
use toft_model::id::ProjectId;

impl Inner {
    /// Whether its sandbox is one of the team's whose key this server has, and says that it is ours.
    pub(super) async fn reaches(&self, project: &ProjectId) -> Result<Option<Far>, MachineError> {
        let listed = self.api.list(Some(project)).await;
        let listed = listed.map_err(|fault| self.explain(project, fault))?;
        let far = |is_awake: bool| if is_awake { Far::Awake } else { Far::Paused };
        Ok(listed.first().map(|owned| far(owned.is_awake)))
    }

    /// Forgets what is here of it. The sandbox works for another server.
    pub(super) async fn let_go(&self, project: &ProjectId) -> Result<(), MachineError> {
        self.forget(project).await;
        self.forget_files(project)?;
        self.fences.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(project);
        Ok(())
    }

    /// Removes what is kept here of projects that are not this server's: another one went on with them while it was
    /// away. Nothing is touched at E2B.
    pub(super) async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        for project in self.recorded().map_err(|error| unread(&error))? {
            if known.contains(&project) {
                continue;
            }
            tracing::info!(project.id = %project, "what is here of another server's machine goes");
            self.let_go(&project).await?;
        }
        Ok(())
    }

    /// Projects of whose sandboxes something is written down here.
    fn recorded(&self) -> io::Result<Vec<ProjectId>> {
        let runs = self.folders.runs();
        let entries = match fs::read_dir(&runs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let named = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(named.filter(|project| self.record(project).is_some()).collect())
    }

    /// Deletes sandboxes that this server made and whose project there is no more.
    pub(super) async fn sweep_far(&self, known: &[ProjectId]) -> Result<(), MachineError> {
        let listed = self.api.list(None).await.map_err(|fault| self.api.explain(None, fault))?;
        for owned in listed {
            let project = &owned.project;
            if known.contains(project) {
                continue;
            }
            tracing::info!(project.id = %project, "deleting the sandbox of a project that there is no more");
            self.forget(project).await;
            self.api.delete(&owned.id).await.map_err(|fault| self.explain(project, fault))?;
            self.forget_files(project)?;
        }
        Ok(())
    }
}

fn unread(error: &io::Error) -> MachineError {
    MachineError::Unable {
        what: "looking for what is left of machines at E2B",
        why: format!("the data folder cannot be read: {error}"),
    }
}
