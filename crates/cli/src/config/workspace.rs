//! The source's names for how machines are made: a backend, and the folder of the one without walls.

use super::Refused;
use crate::args::BackendName;
use anyhow::Result;
use clap::ValueEnum as _;
use std::path::PathBuf;

/// In order: the first that is set counts.
const BACKEND: [&str; 2] = ["AGENT_WORKSPACE_BACKEND", "WORKSPACE_BACKEND"];
const ROOT: &str = "WORKSPACE_ROOT";

/// The backend that the environment names by the source's names.
pub(super) fn backend(tells: &dyn Fn(&str) -> Option<String>) -> Result<Option<BackendName>> {
    let Some((name, given)) = BACKEND.iter().find_map(|name| Some((*name, tells(name)?))) else {
        return Ok(None);
    };
    let given = given.trim().to_ascii_lowercase();
    if let Ok(known) = BackendName::from_str(&given, true) {
        return Ok(Some(known));
    }
    let message = format!("{name} is native, oci, host or e2b, not {given:?}");
    Err(Refused { code: "invalid_setting".into(), message }.into())
}

/// The folder in which projects live with the backend `host`.
pub(super) fn root(
    tells: &dyn Fn(&str) -> Option<String>,
    backend: BackendName,
) -> Option<PathBuf> {
    tells(ROOT).filter(|_| backend == BackendName::Host).map(PathBuf::from)
}
