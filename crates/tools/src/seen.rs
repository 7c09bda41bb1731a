//! Remembers what one conversation saw of each file, so that a change of a file that something else
//! changed meanwhile is refused instead of undone. In memory: a bridge that was restarted claims
//! nothing of files.

use std::{
    collections::HashMap,
    fs::Metadata,
    hash::{DefaultHasher, Hasher},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Files that are remembered at most; then all are forgotten. A conversation touches hundreds.
const FILES_MAX: usize = 10_000;

/// See the module. One per conversation.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<PathBuf, Sight>>);

/// What a file was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    bytes: u64,
    /// Seconds and nanoseconds of the last change.
    modified: (i64, i64),
    inode: u64,
    /// Of the content; `None` when not all of it was seen.
    content: Option<u64>,
}

impl Sight {
    fn new(meta: &Metadata, content: Option<u64>) -> Self {
        let modified = (meta.mtime(), meta.mtime_nsec());
        Self { bytes: meta.len(), modified, inode: meta.ino(), content }
    }
}

impl Seen {
    /// The file with this real path was read or written.
    pub(crate) fn saw(&self, path: &Path, meta: &Metadata, content: Option<u64>) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= FILES_MAX {
            files.clear();
        }
        files.insert(path.to_owned(), Sight::new(meta, content));
    }

    /// Whether it is another file now than the one that was seen.
    pub(crate) fn is_stale(&self, path: &Path, meta: &Metadata, content: &[u8]) -> bool {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = files.get(path) else { return false };
        let same = Sight { content: seen.content, ..Sight::new(meta, None) } == *seen;
        // Formatters and checkouts write files anew without changing them.
        !same && seen.content != Some(Fingerprint::of(content))
    }
}

/// A number for a content; equal for equal contents, and only by chance for others.
#[derive(Default)]
pub(crate) struct Fingerprint(DefaultHasher);

impl Fingerprint {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finish()
    }

    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut fingerprint = Self::default();
        fingerprint.add(bytes);
        fingerprint.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_stale_when_its_content_is_another_one() {
        let dir = std::env::temp_dir().join(format!("toft-seen-{}", toft_model::id::random_hex(8)));
        let write = |text: &str| {
            std::fs::write(&dir, text).unwrap();
            std::fs::metadata(&dir).unwrap()
        };
        let seen = Seen::default();
        let first = write("one");
        assert!(!seen.is_stale(&dir, &first, b"one"), "nothing is known of it");
        seen.saw(&dir, &first, Some(Fingerprint::of(b"one")));
        assert!(!seen.is_stale(&dir, &first, b"one"));
        let longer = write("longer");
        assert!(seen.is_stale(&dir, &longer, b"longer"));
        assert!(!seen.is_stale(&dir, &longer, b"one"), "written anew, the same");
        seen.saw(&dir, &longer, None);
        assert!(!seen.is_stale(&dir, &longer, b"longer"));
        assert!(seen.is_stale(&dir, &first, b"one"), "its content was not seen whole");
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let mut pieces = Fingerprint::default();
        for piece in [&b"ab"[..], b"", b"c"] {
            pieces.add(piece);
        }
        assert_eq!(pieces.value(), Fingerprint::of(b"abc"));
    }
}
