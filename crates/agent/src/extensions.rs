//! Extensions: folders of the project with an `extension.json` that declares programs to be asked when something
//! happens (hooks), tools, MCP servers, and a part of the prompt. Here: which there are. Where in the loop hooks are
//! asked is in [`crate::run`].
//!
//! They are looked for when work begins, with the skills, and stay as they were then until it ends.

pub(crate) mod config;
mod event;
pub(crate) mod hook;
pub(crate) mod said;
#[cfg(test)]
mod tests;

pub use config::{Extension, Hook};
pub use event::HookEvent;

use serde_json::Value;
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use toft_model::permission::fits;
use toft_tools::{Toolbox, mcp::Declaration};

/// Where they lie.
const FOLDER: &str = ".toft/extensions";

/// Extensions of a project at most: each may be asked about every call.
const EXTENSIONS_MAX: usize = 32;

/// Bytes that all of them add to the prompt; about 4,000 tokens.
const PROMPT_BYTES_MAX: usize = 16 * 1024;

/// Faults that are remembered as told.
const TOLD_MAX: usize = 1_000;

/// The extensions of a project.
pub struct Extensions {
    cwd: PathBuf,
    /// Whose names are taken.
    tools: Toolbox,
    told: Mutex<HashSet<(String, String)>>,
}

impl Extensions {
    /// Those of the project in `cwd`. Their tools have other names than `tools`.
    pub fn new(cwd: impl Into<PathBuf>, tools: Toolbox) -> Self {
        Self { cwd: cwd.into(), tools, told: Mutex::default() }
    }

    /// All of them, in the order of their folders, which is that in which they are asked. Blocks.
    pub fn find(&self) -> Vec<Extension> {
        let Ok(inside) = std::fs::read_dir(self.cwd.join(FOLDER)) else { return Vec::new() };
        let folders = inside.filter_map(Result::ok).map(|entry| entry.path());
        let mut folders: Vec<PathBuf> =
            folders.filter(|folder| folder.join(config::FILE).is_file()).collect();
        folders.sort();
        let mut found: Vec<Extension> = Vec::new();
        let mut taken: HashSet<String> = HashSet::new();
        for (n, folder) in folders.iter().enumerate() {
            let mut extension = Extension::read(folder);
            if n >= EXTENSIONS_MAX {
                extension.spoil(format!("There are more than {EXTENSIONS_MAX} extensions."));
            } else if let Some(other) = found.iter().find(|other| other.name == extension.name) {
                let other = other.folder.display();
                extension.spoil(format!("The extension in {other} has the same name."));
            }
            let tools = extension.tools.iter().map(|tool| &tool.spec.name);
            let mut own = HashSet::new();
            let clash = tools.clone().find(|name| {
                self.tools.get(name).is_some() || taken.contains(*name) || !own.insert(*name)
            });
            if let Some(name) = clash.cloned() {
                extension
                    .spoil(format!("There is another tool `{name}`: give its own another name."));
            }
            if extension.is_used() {
                taken.extend(extension.tools.iter().map(|tool| tool.spec.name.clone()));
            }
            found.push(extension);
        }
        found
    }

    /// The MCP servers of those that are used. Blocks.
    pub fn servers(&self) -> Vec<Declaration> {
        let found = self.find();
        found.iter().filter(|one| one.is_used()).filter_map(Extension::declaration).collect()
    }

    /// Those of the faults that were not told yet, with the name of whose they are; they count as told now.
    pub(crate) fn untold(&self, found: &[Extension]) -> Vec<(String, String)> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() > TOLD_MAX {
            told.clear();
        }
        let faults = found
            .iter()
            .filter_map(|extension| Some((extension.name.clone(), extension.fault.clone()?)));
        faults.filter(|fault| told.insert(fault.clone())).collect()
    }
}

/// Those that count for one piece of work.
#[derive(Clone, Default)]
pub(crate) struct Loaded(Arc<[Extension]>);

impl Loaded {
    pub(crate) fn new(found: Vec<Extension>) -> Self {
        Self(found.into_iter().filter(Extension::is_used).collect())
    }

    /// What the prompt says for them; nothing without any.
    pub(crate) fn prompt(&self) -> String {
        let mut text = String::new();
        for extension in &*self.0 {
            if let Some(part) = &extension.system_prompt {
                add_to_prompt(&mut text, &extension.name, part);
            }
        }
        text
    }

    /// The box with their tools.
    pub(crate) fn add_to(&self, mut tools: Toolbox) -> Toolbox {
        for tool in self.0.iter().flat_map(|extension| &extension.tools) {
            tools = tools.with(Arc::new(tool.clone()));
        }
        tools
    }

    /// The hooks that are asked then. Those of a call go by the names that its tool has.
    pub(crate) fn hooks(&self, event: HookEvent, tools: &[&str]) -> Vec<(&Extension, &Hook)> {
        let asked = |hook: &&Hook| {
            let one = |name: &&str| hook.tools.iter().any(|pattern| fits(pattern, name));
            hook.event == event && (hook.tools.is_empty() || tools.iter().any(one))
        };
        let all = self.0.iter();
        all.flat_map(|one| one.hooks.iter().filter(asked).map(move |hook| (one, hook))).collect()
    }

    /// Whether there is a hook for that at all.
    pub(crate) fn has(&self, event: HookEvent) -> bool {
        self.0.iter().flat_map(|extension| &extension.hooks).any(|hook| hook.event == event)
    }
}

/// Adds what an extension says to the prompt, as long as there is room.
pub(crate) fn add_to_prompt(text: &mut String, extension: &str, part: &str) {
    let part = part.trim();
    let left = PROMPT_BYTES_MAX.saturating_sub(text.len());
    text.push_str("\n\n# Instructions of the extension ");
    text.push_str(extension);
    text.push_str("\n\n");
    text.push_str(&part[..part.floor_char_boundary(left)]);
    if part.len() > left {
        text.push_str("\n[the rest was left out: extensions may add 16 KB in all]");
    }
}

/// What a program answers with: the whole of what it printed, or the last line that is a JSON object. Its error
/// output comes in the same stream.
fn last_object(said: &str) -> Option<Value> {
    let object =
        |text: &str| serde_json::from_str::<Value>(text.trim()).ok().filter(Value::is_object);
    object(said).or_else(|| said.lines().rev().find_map(object))
}
