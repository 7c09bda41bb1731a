//! Files of Toft's own that lie where a machine's programs can put anything: opening a pipe in their place
//! would wait for ever.

use std::{fs, path::Path};

/// Puts aside what lies there and is no plain file. Not a guard against programs that race with it: they
/// only harm their own machine.
pub(crate) fn make_way(path: &Path) {
    let is_odd = fs::symlink_metadata(path).is_ok_and(|about| !about.is_file());
    if is_odd && let Err(error) = fs::rename(path, path.with_extension("odd")) {
        tracing::warn!(file = %path.display(), %error, "what is no plain file stays in the way");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_file_is_put_aside_and_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("said.jsonl");
        make_way(&path);
        fs::create_dir(&path).unwrap();
        make_way(&path);
        assert!(!path.exists() && dir.path().join("said.odd").is_dir());
        fs::write(&path, "kept").unwrap();
        make_way(&path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    }
}
