//! A quick look at all session files: names, first messages, counts, and whether the last lines
//! look like unfinished work. Files only grow, so only what is new of a file is read; what is
//! known lies in `index.json` beside them. Losing that file costs time and nothing else.

use super::{TaskOf, entry::custom};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use toft_model::{
    id::SessionId,
    message::{UserContent, UserMessage},
};

/// Name of the file with what is known.
const INDEX_FILE: &str = "index.json";

/// Characters of the first message that lists show.
const FIRST_MESSAGE_CHARS_MAX: usize = 200;

/// Read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// One session in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: SessionId,
    /// Its file.
    pub path: PathBuf,
    /// Name given last.
    pub name: Option<String>,
    /// Beginning of the first thing a person said.
    pub first_message: Option<String>,
    /// Messages of all branches.
    pub message_count: u64,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds of the last change.
    pub updated_at: u64,
    /// Whole lines, header included.
    pub lines: u64,
    /// Whether the last lines look like work to go on with; [`super::Session::step`] decides.
    pub maybe_unfinished: bool,
    /// Whether the last lines look like a plan that waits for a person; [`super::Session::plan`] decides.
    pub proposes: bool,
    /// The call for which it works, when it is the conversation of a task.
    pub task: Option<TaskOf>,
}

/// See the module.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    known: BTreeMap<String, Known>,
    changed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    id: SessionId,
    created_at: u64,
    /// Read so far; always the end of a line.
    bytes: u64,
    lines: u64,
    messages: u64,
    name: Option<String>,
    first_message: Option<String>,
    maybe_unfinished: bool,
    #[serde(default)]
    proposes: bool,
    #[serde(default)]
    task: Option<TaskOf>,
}

impl Index {
    /// What is known of the sessions in `dir`. Blocks.
    pub fn open(dir: &Path) -> Self {
        let known = std::fs::read(dir.join(INDEX_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { dir: dir.to_owned(), known, changed: false }
    }

    /// Drops what is known: other files took the places of those that were read. Blocks.
    pub fn forget(dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(dir.join(INDEX_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// All sessions, newest change first, after reading what is new of each. Blocks.
    pub fn refresh(&mut self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut seen = BTreeMap::new();
        let folder = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed),
            other => other?,
        };
        for file in folder {
            let file = file?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if Path::new(&name).extension().is_none_or(|e| e != "jsonl") {
                continue;
            }
            let Ok(about) = file.metadata() else { continue };
            if !about.is_file() {
                continue;
            }
            // A shorter file than known is another file: read it anew.
            let old = self.known.remove(&name).filter(|known| known.bytes <= about.len());
            let unread = old.as_ref().is_none_or(|known| known.bytes < about.len());
            let known = if unread { read_new(&file.path(), old)? } else { old };
            self.changed |= unread;
            let Some(known) = known else { continue };
            let updated_at = about
                .modified()
                .ok()
                .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
                .and_then(|since| u64::try_from(since.as_millis()).ok())
                .unwrap_or(known.created_at);
            listed.push(Listed {
                id: known.id.clone(),
                path: file.path(),
                name: known.name.clone(),
                first_message: known.first_message.clone(),
                message_count: known.messages,
                created_at: known.created_at,
                updated_at,
                lines: known.lines,
                maybe_unfinished: known.maybe_unfinished,
                proposes: known.proposes,
                task: known.task.clone(),
            });
            seen.insert(name, known);
        }
        self.changed |= !self.known.is_empty();
        self.known = seen;
        listed.sort_by(|a, b| (b.updated_at, &b.id).cmp(&(a.updated_at, &a.id)));
        Ok(listed)
    }

    /// Keeps what is known for the next start, if it changed. Blocks.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let path = self.dir.join(INDEX_FILE);
        let beside = self.dir.join(format!(".{INDEX_FILE}.new"));
        std::fs::write(&beside, serde_json::to_vec(&self.known)?)?;
        std::fs::rename(beside, path)?;
        self.changed = false;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, borrow)]
    custom_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    message: Option<PeekMessage<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeekMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    stop_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct PlanLine<'a> {
    #[serde(borrow)]
    data: PlanData<'a>,
}

#[derive(Deserialize)]
struct PlanData<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
}

#[derive(Deserialize)]
struct First {
    message: UserMessage,
}

fn read_new(path: &Path, old: Option<Known>) -> io::Result<Option<Known>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    file.seek(SeekFrom::Start(old.as_ref().map_or(0, |known| known.bytes)))?;
    let mut known = old;
    let mut line = Vec::new();
    loop {
        line.clear();
        file.read_until(b'\n', &mut line)?;
        // The end of the file, or a line that is still being written.
        if line.last() != Some(&b'\n') {
            return Ok(known);
        }
        match &mut known {
            None => match header(&line) {
                Some(begun) => known = Some(begun),
                None => return Ok(None),
            },
            Some(known) => {
                known.bytes += line.len() as u64;
                known.lines += 1;
                if let Ok(peek) = serde_json::from_slice::<Peek<'_>>(&line) {
                    known.take(&peek, &line);
                }
            }
        }
    }
}

fn header(line: &[u8]) -> Option<Known> {
    let header: super::Header = serde_json::from_slice(line).ok()?;
    Some(Known {
        created_at: header.created_at(),
        task: header.task,
        id: header.id,
        bytes: line.len() as u64,
        lines: 1,
        messages: 0,
        name: None,
        first_message: None,
        maybe_unfinished: false,
        proposes: false,
    })
}

impl Known {
    fn take(&mut self, peek: &Peek<'_>, line: &[u8]) {
        match &*peek.kind {
            "session_info" => self.name.clone_from(&peek.name),
            "branch_summary" => self.maybe_unfinished = false,
            "custom" => match peek.custom_type.as_deref() {
                Some(custom::LEAF) => {
                    self.maybe_unfinished = false;
                    self.proposes = false;
                }
                Some(custom::PLAN) => self.proposes = is_proposal(line),
                Some(custom::RETRY | custom::CHECK) => self.maybe_unfinished = true,
                _ => {}
            },
            // What the check or an extension says may be for the model to answer.
            "custom_message"
                if matches!(
                    peek.custom_type.as_deref(),
                    Some(custom::CHECK | custom::EXTENSION)
                ) =>
            {
                self.maybe_unfinished = true;
            }
            "message" => {
                self.messages += 1;
                let Some(message) = &peek.message else { return };
                match &*message.role {
                    "user" => {
                        self.maybe_unfinished = true;
                        self.proposes = false;
                        if self.first_message.is_none() {
                            self.first_message = first_message(line);
                        }
                    }
                    "toolResult" => self.maybe_unfinished = true,
                    "assistant" => {
                        let over =
                            matches!(message.stop_reason.as_deref(), Some("error" | "aborted"));
                        self.maybe_unfinished = !over && has_call(line);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// Whether an answer may hold calls; text that quotes the mark only costs a closer look.
fn has_call(line: &[u8]) -> bool {
    line.windows(10).any(|w| w == b"\"toolCall\"")
}

/// Whether the line puts a plan before a person; the others say what became of one.
fn is_proposal(line: &[u8]) -> bool {
    serde_json::from_slice::<PlanLine<'_>>(line).is_ok_and(|line| line.data.state == "proposed")
}

fn first_message(line: &[u8]) -> Option<String> {
    let first: First = serde_json::from_slice(line).ok()?;
    let text = match first.message.content {
        UserContent::Text(text) => text,
        blocks @ UserContent::Blocks(_) => blocks.text(),
    };
    let text = crate::skills::typed(&text).unwrap_or(text);
    Some(text.chars().take(FIRST_MESSAGE_CHARS_MAX).collect())
}
