//! Walks a folder as `grep` and `find` see it: hidden files too, what `.gitignore` names not, `.git`
//! never.

use ignore::{DirEntry, WalkBuilder};
use std::path::Path;

/// All entries below `root`, by path, without `root` itself.
pub(crate) fn entries(root: &Path) -> impl Iterator<Item = DirEntry> {
    WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .git_global(false)
        .sort_by_file_path(std::cmp::Ord::cmp)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
        // What may not be read is passed over, as grep does.
        .filter_map(Result::ok)
        .filter(|entry| entry.depth() > 0)
}

/// A glob as people mean it: without a slash it is for names at any depth.
pub(crate) fn glob(pattern: &str) -> Result<globset::GlobMatcher, String> {
    let pattern = pattern.trim_start_matches("./");
    let anywhere = if pattern.contains('/') || pattern.starts_with("**") {
        pattern.trim_start_matches('/').to_owned()
    } else {
        format!("**/{pattern}")
    };
    globset::GlobBuilder::new(&anywhere)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("{pattern:?} is no glob: {}.", error.kind()))
}
