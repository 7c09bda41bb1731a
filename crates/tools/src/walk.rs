//! Walks a folder as `grep` and `find` see it: hidden files too, what `.gitignore` names not, `.git`
//! never. With all processors, and yet what comes first by path comes first: of what was found only
//! the part that is shown is kept, and what lies behind it is not even looked at.

use ignore::{DirEntry, WalkBuilder, WalkState};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
};
use tokio_util::sync::CancellationToken;

/// Files that say what to leave out.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".ignore"];

/// What was found, by path.
#[derive(Debug)]
pub(crate) struct First<T> {
    /// Each with as many hits as it counts for.
    pub(crate) found: Vec<(PathBuf, T)>,
    /// A person stopped it.
    pub(crate) stopped: bool,
}

/// What `look` finds in the entries below `root`, first by path, until more than `hits_max` hits are
/// there. `look` says how many hits an entry counts for.
pub(crate) fn first<T: Send>(
    root: &Path,
    hits_max: usize,
    cancel: &CancellationToken,
    look: impl Fn(&DirEntry) -> Option<(usize, T)> + Sync,
) -> First<T> {
    let kept = Kept { hits_max, last: RwLock::default(), entries: Mutex::default() };
    if root.ancestors().all(is_readable) {
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .git_global(false)
            .git_exclude(false)
            .filter_entry(|entry| {
                let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
                entry.file_name() != ".git" && (!is_folder || is_readable(entry.path()))
            })
            .build_parallel();
        walk.run(|| {
            Box::new(|entry| {
                if cancel.is_cancelled() {
                    return WalkState::Quit;
                }
                // What may not be read is passed over, as grep does.
                let Ok(entry) = entry else { return WalkState::Continue };
                if entry.depth() == 0 {
                    return WalkState::Continue;
                }
                if kept.is_behind(entry.path()) {
                    return WalkState::Skip;
                }
                if let Some((hits, what)) = look(&entry) {
                    kept.keep(entry.into_path(), hits, what);
                }
                WalkState::Continue
            })
        });
    }
    let entries = kept.entries.into_inner().unwrap_or_else(PoisonError::into_inner);
    let found = entries.by_path.into_iter().map(|(path, (_, what))| (path, what)).collect();
    First { found, stopped: cancel.is_cancelled() }
}

/// Whether what says what to leave out can be read there: a pipe in its place would be waited for.
fn is_readable(folder: &Path) -> bool {
    IGNORE_FILES.iter().all(|name| {
        std::fs::metadata(folder.join(name)).map_or(true, |meta| meta.is_file() || meta.is_dir())
    })
}

/// The first entries by path that have more than `hits_max` hits together, or all.
struct Kept<T> {
    hits_max: usize,
    /// The last of them, once there are enough.
    last: RwLock<Option<PathBuf>>,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    by_path: BTreeMap<PathBuf, (usize, T)>,
    hits: usize,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { by_path: BTreeMap::new(), hits: 0 }
    }
}

impl<T> Kept<T> {
    /// Whether there are enough hits before this path. For a folder: before all that is in it.
    fn is_behind(&self, path: &Path) -> bool {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| path > last.as_path())
    }

    fn keep(&self, path: PathBuf, hits: usize, what: T) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { by_path, hits: all } = &mut *entries;
        *all += hits;
        by_path.insert(path, (hits, what));
        // One hit more than is shown tells that there is more.
        while let Some(last) = by_path.last_entry()
            && *all - last.get().0 > self.hits_max
        {
            *all -= last.remove().0;
        }
        if entries.hits > self.hits_max
            && let Some((path, _)) = entries.by_path.last_key_value()
        {
            let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
            *last = Some(path.clone());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_first_are_those_that_a_sorted_walk_finds_first(
            files in prop::collection::vec("([ab]{1,2}[/.]){0,3}[ab]", 1..30), hits_max in 0usize..12,
        ) {
            let bench = Bench::new();
            for file in &files {
                // One may be another's folder.
                let path = bench.path(file);
                if std::fs::create_dir_all(path.parent().unwrap()).is_ok() {
                    let _ = std::fs::write(path, "");
                }
            }
            let all = |hits_max| {
                let cancel = CancellationToken::new();
                let found = first(&bench.path(""), hits_max, &cancel, |entry| Some((1 + entry.depth() % 2, ())));
                found.found.into_iter().map(|(path, ())| path).collect::<Vec<_>>()
            };
            let whole = all(usize::MAX);
            let few = all(hits_max);
            prop_assert!(whole.is_sorted() && whole.starts_with(&few));
            prop_assert!(few.len() == whole.len() || few.len() > hits_max / 2);
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_an_ignore_file_is_not_waited_for() {
        let bench = Bench::new();
        bench.write("a/b", "");
        bench.write("c/d", "");
        let pipe = bench.path("a/.gitignore");
        assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let found = first(&bench.path(""), 99, &CancellationToken::new(), |_| Some((1, ())));
        let paths: Vec<&PathBuf> = found.found.iter().map(|(path, ())| path).collect();
        assert_eq!(paths, [&bench.path("c"), &bench.path("c/d")]);
    }
}
