//! Changes files so that a crash at any point neither loses, halves nor doubles it. New contents are
//! staged beside their places, then an intent with the ready-made outcome is recorded, then all are
//! put in place. Shared by `write`, `edit` and `apply_patch`.

mod diff;
mod stage;

pub(crate) use diff::diff_details;

use crate::{
    arguments::Refused,
    host::ToolContext,
    locks::FileLocks,
    outcome::{STOPPED, ToolOutcome},
    paths::{explain, open_regular, shown},
    seen::Fingerprint,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use stage::{Commit, Staged};
use std::{
    fs::Metadata,
    io::{self, Read as _},
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
    files: Vec<IntentFile>,
    content: Vec<Block>,
    details: Option<Value>,
    changed: Vec<PathBuf>,
}

/// One file of it, by its real path.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IntentFile {
    path: PathBuf,
    /// SHA-256 of the content before, `None` when there was no file or it was too large to read.
    before: Option<String>,
    /// SHA-256 of the content after, `None` when there is no file then.
    after: Option<String>,
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

/// What there is to be after a change.
pub(crate) enum After {
    Content(Vec<u8>),
    /// The file is removed.
    Nothing,
    /// It stays as it is.
    Same,
}

/// What to make of each file, in the order of the paths, and what to tell when it is done.
pub(crate) type Plan = Result<(Vec<After>, ToolOutcome), Refused>;

/// One file of a change.
struct Target {
    name: String,
    path: PathBuf,
    /// Where the new content waits.
    beside: PathBuf,
    before: Option<String>,
}

/// Changes the files at `paths` as `plan` makes of what is there, all or none; `plan` must always make
/// the same of the same.
pub(crate) async fn change(
    ctx: &ToolContext,
    tool: &str,
    locks: &FileLocks,
    paths: &[PathBuf],
    plan: impl FnOnce(Vec<Before>) -> Plan + Send,
) -> ToolOutcome {
    let mut targets = match targets(ctx, paths).await {
        Ok(targets) => targets,
        Err(refused) => return refused.into(),
    };
    let real: Vec<&Path> = targets.iter().map(|target| target.path.as_path()).collect();
    let _guards = tokio::select! {
        guards = locks.lock_all(&real) => guards,
        () = ctx.cancel.cancelled() => return ToolOutcome::cancelled(STOPPED),
    };
    if ctx.cancel.is_cancelled() {
        return ToolOutcome::cancelled(STOPPED);
    }
    let read = match read_all(&mut targets).await {
        Ok(read) => read,
        Err(told) => return ToolOutcome::error(told),
    };
    let known = ctx.journal.recorded(&ctx.run_id).await;
    let recorded = known
        .as_ref()
        .and_then(|intent| Intent::deserialize(intent).ok())
        .filter(|i| i.fits(paths));
    let recorded = match recorded {
        Some(intent) if intent.has_begun(&targets) => {
            finish(&targets, &intent).await;
            return intent.into();
        }
        other => other,
    };
    if recorded.is_none() {
        for (target, (before, meta)) in targets.iter().zip(&read) {
            if let (Before::Content(bytes), Some(meta)) = (before, meta)
                && ctx.seen.is_stale(&target.path, meta, bytes)
            {
                return ToolOutcome::error(format!(
                    "{} has changed on disk since you last read or wrote it. Read it again, then \
                     change it. Nothing was changed.",
                    target.name
                ));
            }
        }
    }
    let (afters, mut outcome) = match plan(read.into_iter().map(|(before, _)| before).collect()) {
        Ok(planned) => planned,
        Err(refused) => return refused.into(),
    };
    let made: Vec<(Target, After)> = targets
        .into_iter()
        .zip(afters)
        .filter(|(_, after)| !matches!(after, After::Same))
        .collect();
    outcome.changed = made.iter().map(|(target, _)| target.path.clone()).collect();
    let names: Vec<&str> = made.iter().map(|(target, _)| target.name.as_str()).collect();
    let names = names.join(", ");
    let files: Vec<IntentFile> = made.iter().map(IntentFile::of).collect();
    let staged = match blocking(move || Staged::new(made)).await {
        Ok(staged) => staged,
        Err((name, error)) => {
            return ToolOutcome::error(format!("{} Nothing was changed.", explain(&error, &name)));
        }
    };
    if known.is_none() {
        let intent = Intent {
            tool: tool.to_owned(),
            files,
            content: outcome.content.clone(),
            details: outcome.details.clone(),
            changed: outcome.changed.clone(),
        };
        let intent = serde_json::to_value(intent).expect("paths here come from text");
        if let Err(reason) = ctx.journal.record(&ctx.run_id, &intent).await {
            let discard = move || {
                staged.discard();
                Ok::<_, ()>(())
            };
            let _ = blocking(discard).await;
            return ToolOutcome::error(format!("{names} was not changed: {reason}"));
        }
    }
    match blocking(move || staged.commit()).await {
        Ok(Commit { sights }) => {
            for (path, meta, content) in sights {
                ctx.seen.saw(&path, &meta, Some(content));
            }
            recorded.map_or(outcome, ToolOutcome::from)
        }
        Err(failed) => ToolOutcome::error(failed.told()),
    }
}

/// [`change`] for one file that gets a content.
pub(crate) async fn change_one(
    ctx: &ToolContext,
    tool: &str,
    locks: &FileLocks,
    path: &Path,
    plan: impl FnOnce(Before) -> Result<(Vec<u8>, ToolOutcome), Refused> + Send,
) -> ToolOutcome {
    change(ctx, tool, locks, &[path.to_owned()], |before| {
        let before = before.into_iter().next().unwrap_or(Before::Nothing);
        plan(before).map(|(content, outcome)| (vec![After::Content(content)], outcome))
    })
    .await
}

impl Intent {
    /// Whether it is one of a change of so many files; older ones have another shape.
    fn fits(&self, paths: &[PathBuf]) -> bool {
        (1..=paths.len()).contains(&self.files.len())
    }

    /// Whether any of it was done: then the rest is done too. Else all begins anew. A file that is
    /// neither as before nor as after was changed by something else since.
    fn has_begun(&self, targets: &[Target]) -> bool {
        self.files.iter().any(|file| {
            let now = now(targets, &file.path);
            now != file.before.as_ref() || now == file.after.as_ref()
        })
    }
}

impl IntentFile {
    fn of((target, after): &(Target, After)) -> Self {
        let after = match after {
            After::Content(bytes) => Some(hash(bytes)),
            After::Nothing | After::Same => None,
        };
        Self { path: target.path.clone(), before: target.before.clone(), after }
    }
}

/// The hash of what is there now.
fn now<'a>(targets: &'a [Target], path: &Path) -> Option<&'a String> {
    targets.iter().find(|target| target.path == path).and_then(|target| target.before.as_ref())
}

/// Does what is left of a change that a crash cut.
async fn finish(targets: &[Target], intent: &Intent) {
    let mut left = Vec::new();
    for file in &intent.files {
        let Some(target) = targets.iter().find(|target| target.path == file.path) else { continue };
        let is_done = target.before != file.before || target.before == file.after;
        left.push((file.clone(), target.beside.clone(), is_done));
    }
    let work = blocking(move || {
        for (file, beside, is_done) in left {
            stage::finish(&file.path, &beside, file.after.as_deref(), is_done);
        }
        Ok::<_, ()>(())
    });
    let _ = work.await;
}

/// The targets of links are changed, not the links.
async fn targets(ctx: &ToolContext, paths: &[PathBuf]) -> Result<Vec<Target>, Refused> {
    let mut targets: Vec<Target> = Vec::with_capacity(paths.len());
    for (place, path) in paths.iter().enumerate() {
        let real = tokio::fs::canonicalize(path).await.unwrap_or_else(|_| path.clone());
        let name = shown(ctx, path);
        if let Some(other) = targets.iter().find(|other| other.path == real) {
            return Err(Refused::new(format!(
                "{name} and {} are the same file. Nothing was changed.",
                other.name
            )));
        }
        let Some(folder) = real.parent() else {
            return Err(Refused::new(format!("{name} is a folder. Nothing was changed.")));
        };
        // Always the same for the same call: a repeated run takes over what a crash left.
        let mark = hash(format!("{}/{place}", ctx.run_id).as_bytes());
        let beside = folder.join(format!(".toft-{}.tmp", &mark[..16]));
        targets.push(Target { name, path: real, beside, before: None });
    }
    Ok(targets)
}

/// What there is at each target.
async fn read_all(targets: &mut [Target]) -> Result<Vec<(Before, Option<Metadata>)>, String> {
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        let path = target.path.clone();
        let read = blocking(move || read(&path)).await;
        let (before, meta) = read.map_err(|error| explain(&error, &target.name))?;
        target.before = match &before {
            Before::Content(bytes) => Some(hash(bytes)),
            Before::Nothing | Before::TooLarge(_) => None,
        };
        all.push((before, meta));
    }
    Ok(all)
}

fn read(path: &Path) -> io::Result<(Before, Option<Metadata>)> {
    let (file, meta) = match open_regular(path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Before::Nothing, None));
        }
        Err(error) => return Err(error),
    };
    if meta.len() > FILE_BYTES_MAX {
        return Ok((Before::TooLarge(meta.len()), Some(meta)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((Before::Content(bytes), Some(meta)))
}

/// Files block; a thread that may.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What [`crate::seen::Seen`] keeps of a content.
fn fingerprint(content: &[u8]) -> u64 {
    Fingerprint::of(content)
}
