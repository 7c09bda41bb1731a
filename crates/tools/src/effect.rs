//! Changes one file so that a crash at any point neither loses nor doubles it: an intent with the
//! ready-made outcome is recorded before an atomic rename. Shared by `write` and `edit`.

use crate::{
    arguments::Refused,
    host::ToolContext,
    locks::FileLocks,
    outcome::{STOPPED, ToolOutcome},
    paths::{explain, shown},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use toft_model::{id::hex, message::Block};

/// Bytes of a file that is read before it is changed. Larger ones can only be written whole, and
/// without a diff.
pub(crate) const FILE_BYTES_MAX: u64 = 10 << 20;

/// What is recorded before a change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Intent {
    tool: String,
    path: PathBuf,
    /// SHA-256 of the content before, `None` when there was no file or it was too large to read.
    before: Option<String>,
    /// SHA-256 of the content after.
    after: String,
    content: Vec<Block>,
    details: Option<Value>,
    changed: Vec<PathBuf>,
}

impl From<Intent> for ToolOutcome {
    fn from(intent: Intent) -> Self {
        Self {
            content: intent.content,
            details: intent.details,
            is_error: false,
            changed: intent.changed,
        }
    }
}

/// What there was before a change.
pub(crate) enum Before {
    Nothing,
    Content(Vec<u8>),
    /// Larger than [`FILE_BYTES_MAX`]: how large.
    TooLarge(u64),
}

/// The content to write, and what to tell when it is done.
pub(crate) type Plan = Result<(Vec<u8>, ToolOutcome), Refused>;

/// Changes the file at `path` as `plan` makes of what is there; `plan` must always make the same of
/// the same.
pub(crate) async fn change(
    ctx: &ToolContext,
    tool: &str,
    locks: &FileLocks,
    path: &Path,
    plan: impl FnOnce(Before) -> Plan + Send,
) -> ToolOutcome {
    let name = shown(ctx, path);
    // The target of a link is changed, not the link.
    let target = tokio::fs::canonicalize(path).await.unwrap_or_else(|_| path.to_owned());
    let _guard = locks.lock(&target).await;
    if ctx.cancel.is_cancelled() {
        return ToolOutcome::cancelled(STOPPED);
    }
    let before = match read(&target).await {
        Ok(before) => before,
        Err(error) => return ToolOutcome::error(explain(&error, &name)),
    };
    let before_hash = match &before {
        Before::Content(bytes) => Some(hash(bytes)),
        Before::Nothing | Before::TooLarge(_) => None,
    };
    let recorded = ctx.journal.recorded(&ctx.run_id).await;
    let recorded = recorded.and_then(|intent| serde_json::from_value::<Intent>(intent).ok());
    let recorded = match recorded {
        // It was done, and perhaps something else changed the file since.
        Some(intent)
            if before_hash != intent.before || before_hash.as_deref() == Some(&intent.after) =>
        {
            return intent.into();
        }
        other => other,
    };
    let (after, mut outcome) = match plan(before) {
        Ok(planned) => planned,
        Err(refused) => return refused.into(),
    };
    outcome.changed = vec![target.clone()];
    if recorded.is_none() {
        let intent = Intent {
            tool: tool.to_owned(),
            path: target.clone(),
            before: before_hash,
            after: hash(&after),
            content: outcome.content.clone(),
            details: outcome.details.clone(),
            changed: outcome.changed.clone(),
        };
        let intent = serde_json::to_value(intent).expect("paths here come from text");
        if let Err(reason) = ctx.journal.record(&ctx.run_id, &intent).await {
            return ToolOutcome::error(format!("{name} was not changed: {reason}"));
        }
    }
    match replace(&target, &after, &ctx.run_id).await {
        Ok(()) => recorded.map_or(outcome, ToolOutcome::from),
        Err(error) => {
            ToolOutcome::error(format!("{} Nothing was changed.", explain(&error, &name)))
        }
    }
}

async fn read(path: &Path) -> io::Result<Before> {
    let meta = match tokio::fs::metadata(path).await {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
        Err(error) => return Err(error),
    };
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::other("this is no regular file and cannot be replaced"));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Ok(Before::TooLarge(meta.len()));
    }
    tokio::fs::read(path).await.map(Before::Content)
}

/// Writes beside, then renames; keeps mode and owner of what was there.
async fn replace(path: &Path, content: &[u8], run_id: &str) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("there is no such place"))?;
    tokio::fs::create_dir_all(folder).await?;
    // Always the same for the same call: a repeated run takes over what a crash left.
    let beside = folder.join(format!(".toft-{}.tmp", &hash(run_id.as_bytes())[..16]));
    let written = async {
        tokio::fs::write(&beside, content).await?;
        if let Ok(old) = tokio::fs::metadata(path).await {
            let mode = std::fs::Permissions::from_mode(old.mode() & 0o7777);
            tokio::fs::set_permissions(&beside, mode).await?;
            let new = tokio::fs::metadata(&beside).await?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                // Only root may; whoever may not gets a file of its own, as editors do.
                let _ = std::os::unix::fs::chown(&beside, Some(old.uid()), Some(old.gid()));
            }
        }
        tokio::fs::rename(&beside, path).await
    };
    let written = written.await;
    if written.is_err() {
        let _ = tokio::fs::remove_file(&beside).await;
    }
    written
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes of a diff that people are shown.
const DIFF_BYTES_MAX: usize = 50 * 1024;

/// How long a diff may take to compute, on a thread that others wait for; after that it is coarser.
const DIFF_TIME_MAX: std::time::Duration = std::time::Duration::from_millis(50);

/// Details for people: a unified diff and how many lines it adds and removes.
pub(crate) fn diff_details(
    name: &str,
    before: &str,
    after: &str,
) -> serde_json::Map<String, Value> {
    let diff = similar::TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(before, after);
    let (mut added, mut removed, mut first) = (0u64, 0u64, None);
    for change in diff.iter_all_changes() {
        let at = match change.tag() {
            similar::ChangeTag::Equal => continue,
            similar::ChangeTag::Insert => {
                added += 1;
                change.new_index()
            }
            similar::ChangeTag::Delete => {
                removed += 1;
                change.old_index()
            }
        };
        first = first.or(at.map(|index| index + 1));
    }
    let text = diff.unified_diff().context_radius(3).header(name, name).to_string();
    let shown = crate::output::cut_at_char(&text, DIFF_BYTES_MAX);
    let mut out = serde_json::Map::new();
    out.insert("path".into(), name.into());
    out.insert("diff".into(), shown.into());
    out.insert("diffTruncated".into(), (shown.len() < text.len()).into());
    out.insert("addedLines".into(), added.into());
    out.insert("removedLines".into(), removed.into());
    out.insert("firstChangedLine".into(), first.into());
    out
}
