//! How the runs of a comparison are to be, kept with it as JSON.

use crate::secrets::hand_down::Grant;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Options {
    /// JSON that came with the prompt.
    pub(super) input: Option<String>,
    pub(super) backend: Option<String>,
    pub(super) approval: bool,
    pub(super) priority: i64,
    /// What the forks get of the project's secrets.
    pub(super) secrets: Grant,
    /// User id of their owner.
    pub(super) by: String,
}
