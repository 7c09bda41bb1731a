//! Changes files so that a crash at any point neither loses, halves nor doubles it. New contents are
//! staged beside their places, then an intent with the ready-made outcome is recorded, then all are
//! put in place. Shared by `write`, `edit` and `apply_patch`.

mod diff;
mod intent;
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
use intent::Intent;
use serde::Deserialize as _;
use sha2::{Digest as _, Sha256};
use stage::{Commit, Staged};
use std::{
    convert::Infallible,
    fs::Metadata,
    io::{self, Read as _},
    panic::resume_unwind,
    path::{Path, PathBuf},
};
use toft_model::id::hex;

/// Bytes of a file that is read before it is changed. Larger ones can only be written whole, and
/// without a diff.
pub(crate) const FILE_BYTES_MAX: u64 = 10 << 20;

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
/// the same of the same. It may remove those of `removed`: of links these are the links, of all others
/// what they lead to.
pub(crate) async fn change(
    ctx: &ToolContext,
    tool: &str,
    locks: &FileLocks,
    paths: &[PathBuf],
    removed: &[&Path],
    plan: impl FnOnce(Vec<Before>) -> Plan + Send,
) -> ToolOutcome {
    let mut targets = match targets(ctx, paths, removed).await {
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
    let is_recorded = recorded.is_some();
    if let Some(intent) = recorded {
        let resumed = blocking(move || {
            let outcome = intent.resume(&targets);
            Ok::<_, Infallible>((targets, outcome))
        });
        let Ok((same, outcome)) = resumed.await;
        targets = same;
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
    if !is_recorded {
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
    let intent = Intent::new(tool, &made, &outcome);
    let staged = match blocking(move || Staged::new(made)).await {
        Ok(staged) => staged,
        Err((name, error)) => {
            return ToolOutcome::error(format!("{} Nothing was changed.", explain(&error, &name)));
        }
    };
    if known.is_none()
        && let Err(reason) = ctx.journal.record(&ctx.run_id, &intent.to_value()).await
    {
        let discard = move || {
            drop(staged);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = blocking(discard).await;
        return ToolOutcome::error(format!("{names} was not changed: {reason}"));
    }
    match blocking(move || staged.commit()).await {
        Ok(Commit { sights }) => {
            for (path, meta, content) in sights {
                ctx.seen.saw(&path, &meta, Some(content));
            }
            outcome
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
    change(ctx, tool, locks, &[path.to_owned()], &[], |before| {
        let before = before.into_iter().next().unwrap_or(Before::Nothing);
        plan(before).map(|(content, outcome)| (vec![After::Content(content)], outcome))
    })
    .await
}

async fn targets(
    ctx: &ToolContext,
    paths: &[PathBuf],
    removed: &[&Path],
) -> Result<Vec<Target>, Refused> {
    let mut targets: Vec<Target> = Vec::with_capacity(paths.len());
    for (place, path) in paths.iter().enumerate() {
        let real = real(path, removed.contains(&path.as_path())).await;
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

/// The path without links: the same before a file is made or removed and after it. `itself`: a link in the
/// last place stays.
async fn real(path: &Path, itself: bool) -> PathBuf {
    if !itself && let Ok(real) = tokio::fs::canonicalize(path).await {
        return real;
    }
    let (mut above, mut names) = (path, Vec::new());
    while let (Some(folder), Some(name)) = (above.parent(), above.file_name()) {
        names.push(name);
        if let Ok(mut real) = tokio::fs::canonicalize(folder).await {
            real.extend(names.iter().rev());
            return real;
        }
        above = folder;
    }
    path.to_owned()
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
    crate::blocking::blocking(work).await.unwrap_or_else(|panic| resume_unwind(panic))
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What [`crate::seen::Seen`] keeps of a content.
fn fingerprint(content: &[u8]) -> u64 {
    Fingerprint::of(content)
}
