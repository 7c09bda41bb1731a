//! The sign-ins at MCP servers that a project has.

use super::{
    brokered,
    connection::{Connection, MCP},
    open, unseal,
};
use crate::{api_error::ApiError, state::App};
use toft_model::{binding::Binding, id::ProjectId};

/// One that is kept.
pub(crate) struct Kept {
    /// The secret's name, and the revision at which it was set.
    pub(crate) name: String,
    pub(crate) revision: u64,
    pub(crate) binding: Option<Binding>,
    /// `None`: only the name is known, or it cannot be opened.
    pub(crate) connection: Option<Connection>,
}

/// Those of a project.
pub(crate) async fn all(app: &App, project: &ProjectId) -> Result<Vec<Kept>, ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(project).await?;
    let key = open(&vault, project, &found).and_then(Result::ok);
    let kept = found.rows.iter().filter(|row| row.kind == MCP).map(|row| {
        let value = || unseal(key.as_ref()?, project, row, row.sealed.as_deref()?).ok();
        Kept {
            name: row.name.clone(),
            revision: row.revision,
            binding: row.brokered.as_ref().and_then(brokered::read),
            connection: value().as_ref().and_then(Connection::read),
        }
    });
    Ok(kept.collect())
}
