//! Tool `apply_patch`: changes files by a patch in the envelope that OpenAI's coding models were
//! trained on (Codex). Offered to them in place of `edit`. All of a patch is done, or nothing.

pub(crate) mod apply;
pub(crate) mod parse;

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    effect::{After, Before, FILE_BYTES_MAX, Plan, change, diff_details},
    host::{Tool, ToolContext},
    locks::FileLocks,
    matching::BOM,
    outcome::ToolOutcome,
    output::cut_at_char,
    paths::{resolve, shown},
};
use async_trait::async_trait;
use parse::Section;
use serde_json::{Map, Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::tool::ToolSpec;

/// Files in one patch at most.
const FILES_MAX: usize = 500;

/// Bytes of all diffs together that people are shown.
const DIFF_BYTES_MAX: usize = 100 << 10;

/// See the module.
pub(crate) struct ApplyPatch {
    locks: Arc<FileLocks>,
}

impl ApplyPatch {
    pub(crate) fn new(locks: Arc<FileLocks>) -> Self {
        Self { locks }
    }
}

#[async_trait]
impl Tool for ApplyPatch {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "apply_patch".into(),
            description: "Change files by a patch: *** Begin Patch, then for each file *** Update \
                          File: PATH (optionally *** Move to: PATH; hunks begin with @@ and have \
                          lines starting with space, - or +, about 3 of context), *** Add File: PATH \
                          (all lines start with +) or *** Delete File: PATH, then *** End Patch. All \
                          of it is done or nothing."
                .into(),
            parameters: json!({
                "type": "object",
                "properties": { "input": { "type": "string", "description": "The whole patch" } },
                "required": ["input"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        let patch = peek(arguments, &["input"]).unwrap_or_default();
        // What cannot be read is not carried out either.
        let sections = parse::parse(&patch).unwrap_or_default();
        let paths = sections.into_iter().flat_map(|section| match section {
            Section::Add { path, .. } | Section::Delete { path } => vec![path],
            Section::Update { path, to, .. } => [path].into_iter().chain(to).collect(),
        });
        About::Paths(paths.collect())
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let parsed = Arguments::new("apply_patch", &["input"], arguments).and_then(|args| {
            let patch = args.some_text("input", "the patch")?;
            parse::parse(&patch).map_err(|why| Refused::new(format!("{why} Nothing was changed.")))
        });
        let sections = match parsed {
            Ok(sections) => sections,
            Err(refused) => return refused.into(),
        };
        let steps: Vec<Step> =
            sections.into_iter().map(|section| Step::new(ctx, section)).collect();
        let mut paths: Vec<PathBuf> = Vec::new();
        for path in steps.iter().flat_map(|step| std::iter::once(&step.path).chain(&step.to)) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        if paths.len() > FILES_MAX {
            return ToolOutcome::error(format!(
                "The patch has {} files; at most {FILES_MAX} can be changed at once. Nothing was \
                 changed.",
                paths.len()
            ));
        }
        let names: Vec<String> = paths.iter().map(|path| shown(ctx, path)).collect();
        let removed = |step: &Step| {
            matches!(step.section, Section::Delete { .. } | Section::Update { to: Some(_), .. })
        };
        let removed = steps.iter().filter(|step| removed(step)).map(|step| step.path.as_path());
        let removed: Vec<&Path> = removed.collect();
        change(ctx, "apply_patch", &self.locks, &paths, &removed, |before| {
            let mut tree = Tree::new(&paths, &names, before);
            for step in &steps {
                tree.take(step)
                    .map_err(|why| Refused::new(format!("{why} Nothing was changed.")))?;
            }
            tree.plan()
        })
        .await
    }
}

/// One section with its real paths.
struct Step {
    path: PathBuf,
    to: Option<PathBuf>,
    section: Section,
}

impl Step {
    fn new(ctx: &ToolContext, section: Section) -> Self {
        let (path, to) = match &section {
            Section::Add { path, .. } | Section::Delete { path } => (path, None),
            Section::Update { path, to, .. } => (path, to.as_deref()),
        };
        Self { path: resolve(ctx, path), to: to.map(|to| resolve(ctx, to)), section }
    }
}

/// The files of a patch as they are while its sections are done one after the other.
struct Tree<'a> {
    files: Vec<File<'a>>,
    /// Hunks that were found only with tolerance.
    tolerant: usize,
}

struct File<'a> {
    path: &'a PathBuf,
    name: &'a str,
    before: Option<Vec<u8>>,
    now: Option<Vec<u8>>,
    too_large: Option<u64>,
    /// Where its content came from, when it was moved.
    from: Option<&'a str>,
}

impl<'a> Tree<'a> {
    fn new(paths: &'a [PathBuf], names: &'a [String], before: Vec<Before>) -> Self {
        let files = paths.iter().zip(names).zip(before).map(|((path, name), before)| {
            let (before, too_large) = match before {
                Before::Nothing => (None, None),
                Before::Content(bytes) => (Some(bytes), None),
                Before::TooLarge(bytes) => (None, Some(bytes)),
            };
            File { path, name, now: before.clone(), before, too_large, from: None }
        });
        Self { files: files.collect(), tolerant: 0 }
    }

    fn place(&self, path: &PathBuf) -> usize {
        self.files.iter().position(|file| file.path == path).expect("every path has its file")
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        let at = self.place(&step.path);
        let name = self.files[at].name;
        if let Some(bytes) = self.files[at].too_large {
            return Err(format!(
                "{name} has {bytes} bytes, more than the {FILE_BYTES_MAX} that a patch takes. Use a \
                 command."
            ));
        }
        let is_there = self.files[at].now.is_some();
        match &step.section {
            Section::Add { .. } if is_there => {
                Err(format!("{name} exists already. Use *** Update File to change it."))
            }
            Section::Add { content, .. } => {
                self.files[at].now = Some(content.clone().into_bytes());
                Ok(())
            }
            Section::Delete { .. } | Section::Update { .. } if !is_there => {
                Err(format!("{name} does not exist. Use ls or find to see what is there."))
            }
            Section::Delete { .. } => {
                self.files[at].now = None;
                Ok(())
            }
            Section::Update { hunks, .. } => {
                let bytes = self.files[at].now.take().unwrap_or_default();
                let Ok(text) = String::from_utf8(bytes) else {
                    return Err(format!("{name} is no text file."));
                };
                let (bom, body) = match text.strip_prefix(BOM) {
                    Some(body) => (BOM, body),
                    None => ("", text.as_str()),
                };
                let applied = apply::apply(body, hunks).map_err(|why| format!("{name}: {why}"))?;
                self.tolerant += applied.tolerant;
                let text = format!("{bom}{}", applied.text).into_bytes();
                let Some(to) = &step.to else {
                    self.files[at].now = Some(text);
                    return Ok(());
                };
                let to = self.place(to);
                if to != at && (self.files[to].now.is_some() || self.files[to].too_large.is_some())
                {
                    return Err(format!("{} exists already.", self.files[to].name));
                }
                self.files[to].now = Some(text);
                self.files[to].from = (to != at).then_some(name);
                Ok(())
            }
        }
    }

    fn plan(self) -> Plan {
        let (mut told, mut files, mut diff) = (Vec::new(), Vec::new(), String::new());
        let (mut added, mut removed) = (0, 0);
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8(bytes.clone().unwrap_or_default()).unwrap_or_default()
        };
        for file in &self.files {
            let letter = match (&file.before, &file.now) {
                (before, now) if before == now => continue,
                (None, Some(_)) => 'A',
                (Some(_), None) => 'D',
                _ => 'M',
            };
            let name = file.name;
            told.push(match file.from {
                Some(from) => format!("{letter} {name} (from {from})"),
                None => format!("{letter} {name}"),
            });
            // A moved file is compared with what it was.
            let source = file.from.and_then(|from| self.files.iter().find(|f| f.name == from));
            let before = text(&source.unwrap_or(file).before);
            let one = diff_details(name, &before, &text(&file.now));
            if letter != 'D' || source.is_none() {
                diff.push_str(one["diff"].as_str().unwrap_or_default());
            }
            added += one["addedLines"].as_u64().unwrap_or_default();
            removed += one["removedLines"].as_u64().unwrap_or_default();
            files.push(json!({ "path": name, "change": letter.to_string(), "from": file.from }));
        }
        if told.is_empty() {
            return Err(Refused::new("The patch changes nothing: all is as it says already."));
        }
        let shown = cut_at_char(&diff, DIFF_BYTES_MAX);
        let mut details = Map::new();
        details.insert("files".into(), files.into());
        details.insert("diff".into(), shown.into());
        details.insert("diffTruncated".into(), (shown.len() < diff.len()).into());
        details.insert("addedLines".into(), added.into());
        details.insert("removedLines".into(), removed.into());
        details.insert("fuzzy".into(), self.tolerant.into());
        let note = if self.tolerant > 0 {
            "\nSome lines matched only when spaces or typographic characters were left out of account: \
             check the result."
        } else {
            ""
        };
        let text = format!("Done:\n{}{note}", told.join("\n"));
        let outcome = ToolOutcome::text(text).details(Value::Object(details));
        let afters = self.files.into_iter().map(|file| match (file.before, file.now) {
            (before, now) if before == now => After::Same,
            (_, Some(content)) => After::Content(content),
            (_, None) => After::Nothing,
        });
        Ok((afters.collect(), outcome))
    }
}

#[cfg(test)]
mod tests;
