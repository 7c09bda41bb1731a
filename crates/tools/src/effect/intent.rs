//! What is recorded before a change, and what becomes of one that a crash cut.

use super::{After, Target, hash, stage};
use crate::{outcome::ToolOutcome, paths::explain};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_model::message::Block;

/// What is recorded before a change. Names that are no text are kept as nearly as text can.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Intent {
    tool: String,
    files: Vec<IntentFile>,
    content: Vec<Block>,
    details: Option<Value>,
    changed: Vec<String>,
}

/// One file of it, by its real path.
#[derive(Debug, Serialize, Deserialize)]
struct IntentFile {
    path: String,
    /// SHA-256 of the content before, `None` when there was no file or it was too large to read.
    before: Option<String>,
    /// SHA-256 of the content after, `None` when there is no file then.
    after: Option<String>,
}

/// How far a file has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    Done,
    Waits,
    /// Something else changed it before it was its turn.
    Overtaken,
}

impl From<Intent> for ToolOutcome {
    fn from(intent: Intent) -> Self {
        Self {
            content: intent.content,
            details: intent.details,
            is_error: false,
            changed: intent.changed.into_iter().map(PathBuf::from).collect(),
        }
    }
}

impl Intent {
    pub(super) fn new(tool: &str, made: &[(Target, After)], outcome: &ToolOutcome) -> Self {
        Self {
            tool: tool.to_owned(),
            files: made.iter().map(IntentFile::of).collect(),
            content: outcome.content.clone(),
            details: outcome.details.clone(),
            changed: outcome.changed.iter().map(|path| text(path)).collect(),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("it holds text")
    }

    /// Whether it is one of a change of so many files; older ones have another shape.
    pub(super) fn fits(&self, paths: &[PathBuf]) -> bool {
        (1..=paths.len()).contains(&self.files.len())
    }

    /// Does what is left of it, if any of it was done. Else all begins anew. Blocks.
    pub(super) fn resume(self, targets: &[Target]) -> Option<ToolOutcome> {
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let target = targets.iter().find(|target| text(&target.path) == file.path)?;
            files.push((file, target, file.stands(target)));
        }
        let shows = |(file, _, stands): &(&IntentFile, &Target, Stands)| {
            *stands == Stands::Done && file.before != file.after
        };
        let begun = files.iter().any(shows) || files.iter().all(|(.., s)| *s == Stands::Done);
        if !begun {
            return None;
        }
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (file, target, stands) in files {
            let result = match stands {
                Stands::Done => Ok(()),
                Stands::Waits => stage::finish(target, file.after.as_deref()),
                Stands::Overtaken => Err(io::Error::other("something else changed it meanwhile")),
            };
            let _ = fs::remove_file(&target.beside);
            match result {
                Ok(()) => done.push(target),
                Err(error) => failed.push(explain(&error, &target.name)),
            }
        }
        if failed.is_empty() {
            return Some(self.into());
        }
        let names: Vec<&str> = done.iter().map(|target| target.name.as_str()).collect();
        let mut outcome = ToolOutcome::error(format!(
            "This change was cut, and not all of it could be done afterwards. {} Done: {}. Look at \
             them.",
            failed.join(" "),
            names.join(", ")
        ));
        outcome.changed = done.iter().map(|target| target.path.clone()).collect();
        Some(outcome)
    }
}

impl IntentFile {
    fn of((target, after): &(Target, After)) -> Self {
        let after = match after {
            After::Content(bytes) => Some(hash(bytes)),
            After::Nothing | After::Same => None,
        };
        Self { path: text(&target.path), before: target.before.clone(), after }
    }

    fn stands(&self, target: &Target) -> Stands {
        let now = target.before.as_ref();
        if now == self.after.as_ref() {
            Stands::Done
        } else if now == self.before.as_ref() {
            Stands::Waits
        } else if self.after.is_some() && !target.beside.exists() {
            // The new content is no longer where it waited: it was in place, and changed since.
            Stands::Done
        } else {
            Stands::Overtaken
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
