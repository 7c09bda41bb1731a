//! One text file at two moments, side by side and as a unified diff. Which files differ is the
//! backend's to say.

use crate::{api_error::ApiError, machines::Machine, state::App};
use schemars::JsonSchema;
use serde::Serialize;
use similar::TextDiff;
use std::time::Duration;
use toft_machine::backend::MachineError;
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// Of each version: what a person reads, not what a program makes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Comparing two texts that have nothing in common takes long; after this the diff is coarser.
const COMPARE_TIMEOUT: Duration = Duration::from_millis(500);
/// Lines around a change.
const CONTEXT_LINES: usize = 3;
/// Longest path of the kernel.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// A file at two moments.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileDiff {
    path: String,
    /// Its text then; none when there was no such file.
    before: Option<String>,
    after: Option<String>,
    /// Empty when both are the same.
    unified: String,
    /// Why there is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// What is known of one version.
enum Version {
    None,
    Text(String),
    Unshown(String),
}

/// A disk at a moment: a project's as it was at a checkpoint, or as it is.
pub(crate) type Side<'a> = (&'a ProjectId, Option<&'a CheckpointId>);

/// Compares.
pub(crate) async fn file(
    app: &App,
    machine: &Machine,
    from: &CheckpointId,
    to: Option<&CheckpointId>,
    path: &str,
) -> Result<FileDiff, ApiError> {
    between(app, (&machine.id, Some(from)), (&machine.id, to), path).await
}

/// Compares two disks, of which the later one may be a fork's.
pub(crate) async fn between(
    app: &App,
    from: Side<'_>,
    to: Side<'_>,
    path: &str,
) -> Result<FileDiff, ApiError> {
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return Err(ApiError::invalid("path must be absolute, as it is seen inside the machine"));
    }
    let (before, after) = tokio::join!(read(app, from, path), read(app, to, path));
    let path = path.to_owned();
    let (before, after) = (before?, after?);
    let work = tokio::task::spawn_blocking(move || compare(path, before, after));
    work.await.map_err(|e| ApiError::internal("comparing the file failed", &e))
}

/// The lines that came, and those that went; none where there is no text.
pub(crate) fn lines(diff: &FileDiff) -> Option<(usize, usize)> {
    if diff.note.is_some() {
        return None;
    }
    // The first two lines are its head, if there is one.
    let body = diff.unified.lines().skip(2);
    Some(body.fold((0, 0), |(added, removed), line| match line.as_bytes().first() {
        Some(b'+') => (added + 1, removed),
        Some(b'-') => (added, removed + 1),
        _ => (added, removed),
    }))
}

async fn read(app: &App, (project, at): Side<'_>, path: &str) -> Result<Version, ApiError> {
    match app.backend.read(project, at, path, FILE_BYTES_MAX).await {
        Ok(None) => Ok(Version::None),
        Ok(Some(bytes)) => Ok(match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Version::Text(text),
            Ok(_) | Err(_) => Version::Unshown("the file is binary".to_owned()),
        }),
        Err(MachineError::Unable { why, .. }) => Ok(Version::Unshown(why)),
        Err(error) => Err(super::take::refused(error)),
    }
}

fn compare(path: String, before: Version, after: Version) -> FileDiff {
    let mut note = None;
    let mut text = |version| match version {
        Version::None => None,
        Version::Text(text) => Some(text),
        Version::Unshown(why) => {
            note = Some(why);
            None
        }
    };
    let (before, after) = (text(before), text(after));
    if note.is_none() && before.is_none() && after.is_none() {
        note = Some(
            "there is no plain file of this path then or now, or it is the system's own".to_owned(),
        );
    }
    let unified = match (&before, &after) {
        _ if note.is_some() => String::new(),
        (None, None) => String::new(),
        (before, after) => {
            let name = |text: &Option<String>| match text {
                Some(_) => on_one_line(&path),
                None => "/dev/null".to_owned(),
            };
            let (old, new) = (name(before), name(after));
            TextDiff::configure()
                .timeout(COMPARE_TIMEOUT)
                .diff_lines(before.as_deref().unwrap_or(""), after.as_deref().unwrap_or(""))
                .unified_diff()
                .context_radius(CONTEXT_LINES)
                .header(&old, &new)
                .to_string()
        }
    };
    FileDiff { path, before, after, unified, note }
}

/// A name may hold anything; the head of a diff is a line.
fn on_one_line(path: &str) -> String {
    let mut line = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Version {
        Version::Text(text.to_owned())
    }

    #[test]
    fn a_diff_has_both_texts_and_says_why_when_it_has_not() {
        let both = compare("/a".into(), text("one\ntwo\n"), text("one\n2\n"));
        assert_eq!(both.unified, "--- /a\n+++ /a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
        assert_eq!(lines(&both), Some((1, 1)));
        assert_eq!((both.before.as_deref(), both.note), (Some("one\ntwo\n"), None));
        let marks = compare("/a".into(), text("a\n"), text("a\n++ b\n-- c\n"));
        assert_eq!(lines(&marks), Some((2, 0)));
        let new = compare("/a".into(), Version::None, text("x\n"));
        assert_eq!(new.unified, "--- /dev/null\n+++ /a\n@@ -0,0 +1 @@\n+x\n");
        let odd = compare("/a\nb\u{1b}".into(), Version::None, text("x\n"));
        assert_eq!(odd.unified, "--- /dev/null\n+++ /a\\nb\\u{1b}\n@@ -0,0 +1 @@\n+x\n");
        let same = compare("/a".into(), text("x"), text("x"));
        assert_eq!(lines(&same), Some((0, 0)));
        assert_eq!((same.unified.as_str(), same.note), ("", None));
        let odd = compare("/a".into(), text("x"), Version::Unshown("binary".into()));
        assert_eq!(lines(&odd), None);
        assert_eq!(
            (odd.unified.as_str(), odd.after, odd.note.as_deref()),
            ("", None, Some("binary"))
        );
        assert!(compare("/a".into(), Version::None, Version::None).note.is_some());
    }
}
