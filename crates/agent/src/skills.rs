//! Skills: folders with a `SKILL.md` that tells how a kind of work is done (the Agent Skills format). The prompt
//! names them, the model reads the file when it needs it; a person has one read with `/skill:name`.
//!
//! They are looked for when work begins, as `AGENTS.md` is: the prompt stays the same, byte for byte, until a
//! skill comes, goes or says something else of itself, and a new one counts from the next prompt on.

pub(crate) mod front_matter;

use crate::prompt::read_part;
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use toft_model::message::{Block, UserContent};

/// Folders of the project with skills; of two with one name the first counts.
const PROJECT_FOLDERS: [&str; 4] =
    [".toft/skills", ".agents/skills", ".pi/skills", ".claude/skills"];

/// The same below the home folder.
pub const HOME_FOLDER: &str = ".agents/skills";

const FILE: &str = "SKILL.md";

/// How a person asks for one.
const COMMAND: &str = "/skill:";

/// Characters of a name and of a description (the format's limits).
const NAME_CHARS_MAX: usize = 64;
const DESCRIPTION_CHARS_MAX: usize = 1_024;

/// Bytes of a file at most: far more than the format's advice of 5,000 tokens.
const FILE_BYTES_MAX: usize = 128 * 1024;

/// Bytes at the beginning in which the front matter must end.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the prompt that name skills; about 4,000 tokens.
const PROMPT_BYTES_MAX: usize = 16 * 1024;

/// Folders looked into at most, and how deep: links may lead in circles.
const FOLDERS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 4;

/// Faults that are remembered as told.
const TOLD_MAX: usize = 1_000;

/// A skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// At most 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for, on one line, 1,024 characters at most.
    pub description: String,
    /// Its `SKILL.md`.
    pub path: PathBuf,
    /// Whether it lies in the project; else in the home folder.
    pub of_project: bool,
    /// Only people ask for it: the prompt does not name it.
    pub only_people: bool,
}

/// A skill that cannot be used, or not as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub message: String,
}

/// What was found, in the order of the folders, by path within one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that can be used.
    pub skills: Vec<Skill>,
    /// What is wrong with others.
    pub faults: Vec<Fault>,
}

/// The skills of a project.
#[derive(Debug, Default)]
pub struct Skills {
    cwd: PathBuf,
    home: PathBuf,
    told: Mutex<HashSet<Fault>>,
}

impl std::hash::Hash for Fault {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.path, &self.message).hash(state);
    }
}

impl Skills {
    /// Those of the project in `cwd`, and of the home folder.
    pub fn new(cwd: impl Into<PathBuf>, home: impl Into<PathBuf>) -> Self {
        Self { cwd: cwd.into(), home: home.into(), told: Mutex::default() }
    }

    /// Looks for them. Blocks.
    pub fn find(&self) -> Found {
        let project = PROJECT_FOLDERS.map(|folder| (self.cwd.join(folder), true));
        let home = (self.home.join(HOME_FOLDER), false);
        let mut found = Found::default();
        let mut names: HashMap<String, PathBuf> = HashMap::new();
        let mut left = FOLDERS_MAX;
        for (folder, of_project) in project.into_iter().chain([home]) {
            for path in files(&folder, &mut left) {
                let Some(skill) = read(&path, of_project, &mut found.faults) else { continue };
                if let Some(first) = names.get(&skill.name) {
                    let message = format!(
                        "There is another skill `{}` in {}, which counts: give one of them another name.",
                        skill.name,
                        first.display()
                    );
                    found.faults.push(Fault { path, message });
                    continue;
                }
                names.insert(skill.name.clone(), path);
                found.skills.push(skill);
            }
        }
        if left == 0 {
            let message =
                format!("More than {FOLDERS_MAX} folders: skills in the rest are not looked for.");
            found.faults.push(Fault { path: self.cwd.clone(), message });
        }
        found
    }

    /// Those of the faults that were not told yet; they count as told now.
    pub(crate) fn untold(&self, faults: &[Fault]) -> Vec<Fault> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() > TOLD_MAX {
            told.clear();
        }
        faults.iter().filter(|fault| told.insert((*fault).clone())).cloned().collect()
    }

    /// What the prompt says of them; nothing without any.
    pub(crate) fn prompt(&self, found: &Found) -> String {
        let mut named = found.skills.iter().filter(|skill| !skill.only_people).peekable();
        let mut text = String::new();
        if named.peek().is_none() {
            return text;
        }
        text.push_str(
            "\n\n# Skills\nInstructions for kinds of work, each in a file. When one fits what you are about to do, \
             read its file first and follow it; relative paths in it start at its folder.",
        );
        let mut left_out = 0;
        for skill in named {
            let path = skill.path.strip_prefix(&self.cwd).unwrap_or(&skill.path).display();
            let line = format!("\n- {}: {} ({path})", skill.name, skill.description);
            if text.len() + line.len() > PROMPT_BYTES_MAX {
                left_out += 1;
            } else {
                text.push_str(&line);
            }
        }
        if left_out > 0 {
            let _ = write!(
                text,
                "\n[{left_out} more are left out here: look into the folders of these]"
            );
        }
        text
    }

    /// A prompt that begins with `/skill:name`, with the skill in that one's place (Pi's words); what follows the
    /// name comes behind it. `None`: it asks for none. The error says that there is no such skill. Blocks.
    fn expanded(&self, text: &str) -> Option<Result<String, String>> {
        let asked = text.strip_prefix(COMMAND)?;
        let (name, rest) = asked.split_once(char::is_whitespace).unwrap_or((asked, ""));
        let found = self.find();
        let Some(skill) = found.skills.iter().find(|skill| skill.name == name) else {
            let names: Vec<&str> = found.skills.iter().map(|skill| skill.name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Some(Err(format!(
                "There is no skill `{name}`; the prompt went to the agent as it was written. There are: {there}."
            )));
        };
        let Some(whole) = read_part(&skill.path, FILE_BYTES_MAX) else {
            return Some(Err(format!("{} can no longer be read.", skill.path.display())));
        };
        let body = front_matter::split(&whole).map_or(whole.as_str(), |(_, body)| body).trim();
        let folder = skill.path.parent().unwrap_or(&self.cwd).display();
        let mut text = format!(
            "<skill name=\"{name}\" location=\"{}\">\nReferences are relative to {folder}.\n\n{body}\n</skill>",
            skill.path.display()
        );
        if !rest.trim().is_empty() {
            text.push_str("\n\n");
            text.push_str(rest.trim());
        }
        Some(Ok(text))
    }

    /// The same for the content of a message, and what is to be told of it. Blocks.
    pub(crate) fn expand(&self, content: UserContent) -> (UserContent, Option<String>) {
        let text = match &content {
            UserContent::Text(text) => Some(text.as_str()),
            UserContent::Blocks(blocks) => blocks.iter().find_map(text_of),
        };
        let expanded = match text.and_then(|text| self.expanded(text)) {
            None => return (content, None),
            Some(Err(why)) => return (content, Some(why)),
            Some(Ok(expanded)) => expanded,
        };
        let content = match content {
            UserContent::Text(_) => UserContent::Text(expanded),
            UserContent::Blocks(mut blocks) => {
                if let Some(first) = blocks.iter_mut().find(|block| text_of(block).is_some()) {
                    *first = Block::text(expanded);
                }
                UserContent::Blocks(blocks)
            }
        };
        (content, None)
    }
}

/// Whether a prompt asks for a skill.
pub(crate) fn asks(content: &UserContent) -> bool {
    match content {
        UserContent::Text(text) => text.starts_with(COMMAND),
        UserContent::Blocks(blocks) => {
            blocks.iter().find_map(text_of).is_some_and(|text| text.starts_with(COMMAND))
        }
    }
}

/// What a person typed, of a prompt in which a skill was put in its place.
pub(crate) fn typed(text: &str) -> Option<String> {
    let rest = text.strip_prefix("<skill name=\"")?;
    let (name, rest) = rest.split_once("\" location=\"")?;
    let (_, said) = rest.split_once("\n</skill>")?;
    let said = said.trim();
    let space = if said.is_empty() { "" } else { " " };
    fit_name(name).then(|| format!("{COMMAND}{name}{space}{said}"))
}

fn text_of(block: &Block) -> Option<&str> {
    match block {
        Block::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// `SKILL.md` files below a folder, sorted. A folder that has one is not looked into further.
fn files(root: &Path, left: &mut usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let file = folder.join(FILE);
        if file.is_file() {
            found.push(file);
            continue;
        }
        let Ok(inside) = std::fs::read_dir(&folder) else { continue };
        for entry in inside.filter_map(Result::ok).take(FOLDERS_MAX) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let skipped = name.starts_with('.') || name == "node_modules";
            if depth < DEPTH_MAX && !skipped && entry.path().is_dir() {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path, of_project: bool, faults: &mut Vec<Fault>) -> Option<Skill> {
    let mut fault = |message: String| faults.push(Fault { path: path.to_owned(), message });
    let Some(head) = read_part(path, HEAD_BYTES_MAX) else {
        fault("The file cannot be read.".into());
        return None;
    };
    let Some((matter, _)) = front_matter::split(&head) else {
        fault(
            "It must begin with `---`, lines `name: …` and `description: …`, and `---`, within its first 16 KB.".into(),
        );
        return None;
    };
    let fields = front_matter::fields(matter);
    let field =
        |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let folder =
        path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = field("name").map(str::to_owned).or(folder).unwrap_or_default();
    if !fit_name(&name) {
        fault(format!(
            "`{}` is no name of a skill: use at most {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`.",
            name.chars().take(NAME_CHARS_MAX).collect::<String>()
        ));
        return None;
    }
    let Some(description) = field("description") else {
        fault("It has no `description`: say in a sentence what it does and when to use it.".into());
        return None;
    };
    let mut description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        fault(format!(
            "Its description is longer than {DESCRIPTION_CHARS_MAX} characters: the rest is left out."
        ));
        description = description.chars().take(DESCRIPTION_CHARS_MAX).collect();
    }
    let only_people = field("disable-model-invocation")
        .is_some_and(|value| ["true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()));
    Some(Skill { name, description, path: path.to_owned(), of_project, only_people })
}

fn fit_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests;
