//! Which port of the host shows which preview, when previews have no names. Only what is written
//! down: which port is chosen, and whether anything listens on it, is the server's.

use crate::error::StoreError;
use async_trait::async_trait;
use toft_model::id::ProjectId;

/// A port that a preview has, or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewPort {
    /// Port of the host.
    pub port: u16,
    /// Whose.
    pub project: ProjectId,
    /// Port inside the machine; `None` for the app's own.
    pub app_port: Option<u16>,
    /// Unix milliseconds of the last time that it was opened.
    pub used_at: u64,
    /// Whether the project still exists. If not, another one may have the port.
    pub lives: bool,
}

/// Ports of previews.
#[async_trait]
pub trait PreviewPorts: Send + Sync {
    /// All of them, by port.
    async fn preview_ports(&self) -> Result<Vec<PreviewPort>, StoreError>;
    /// Gives a port to a project, or says that it was opened again. `Taken` when it belongs to
    /// another project that still exists, `Missing` when the project does not.
    async fn put_preview_port(
        &self,
        port: u16,
        project: &ProjectId,
        app_port: Option<u16>,
        now_ms: u64,
    ) -> Result<(), StoreError>;
}
