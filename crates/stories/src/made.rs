//! What `.ci/prepare tests` makes once for the stories.

use std::path::PathBuf;

/// The folder that it lies in.
pub(crate) fn folder() -> Option<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("toft"))
}
