//! `toft openapi`: the HTTP API as a document, or as types in a folder. Asks no server.

use crate::output;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Prints the document, or writes the types.
///
/// # Errors
/// When the folder or a file in it cannot be written.
pub(crate) fn run(types: Option<&Path>) -> Result<()> {
    let Some(folder) = types else {
        output::piece(&toft_server::openapi(env!("CARGO_PKG_VERSION")));
        return Ok(());
    };
    let cannot = |path: &Path| format!("{} cannot be written", path.display());
    std::fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    for (name, text) in toft_server::typescript() {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| cannot(&path))?;
    }
    Ok(())
}
