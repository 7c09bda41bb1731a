//! The session file: made, opened (a torn end is cut off), appended to. One entry is one
//! `write(2)`; [`Session::sync`] puts it on disk. Not the reading of single lines.

use super::{
    entry::{Body, Entry, Extra},
    line,
    whole::{lines, read_all, whole_end},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::{
    id::{RunId, SessionId, random_hex},
    message::Message,
    provider::ModelRef,
    time::rfc3339,
};

/// First line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Always `session`.
    #[serde(rename = "type")]
    kind: String,
    /// 3; absent in the first version.
    #[serde(default)]
    pub version: Option<u32>,
    /// Which conversation.
    pub id: SessionId,
    /// RFC 3339, when it was made.
    #[serde(default)]
    pub timestamp: String,
    /// The folder that it works in.
    #[serde(default)]
    pub cwd: String,
    /// The session that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session: Option<String>,
    /// The call for which it works, when it is the conversation of a task.
    #[serde(default, rename = "toftTask", skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskOf>,
}

/// The call whose work a conversation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskOf {
    /// The conversation that the call belongs to.
    pub parent: SessionId,
    /// The call.
    pub call_id: String,
    /// The run that it belongs to: what the task costs is booked there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl Header {
    /// The first line of a new file.
    pub(super) fn new(
        id: SessionId,
        timestamp: String,
        cwd: &str,
        parent_session: Option<String>,
    ) -> Self {
        let cwd = cwd.to_owned();
        Self {
            kind: "session".into(),
            version: Some(3),
            id,
            timestamp,
            cwd,
            parent_session,
            task: None,
        }
    }

    /// Unix milliseconds when it was made.
    pub fn created_at(&self) -> u64 {
        line::unix_ms(&self.timestamp)
    }
}

/// A session file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It could not be read.
    #[error("the session file {} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is not a session file: its first line is not a session header", path.display())]
    NoHeader {
        /// Which.
        path: PathBuf,
    },
    /// It could not be written; nothing of the entry is in the file.
    #[error("the session file {} cannot be written ({source}): free some disk space, then try again", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A conversation, open for appending.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    file: Arc<File>,
    header: Header,
    entries: Vec<Entry>,
    by_id: HashMap<String, usize>,
    leaf: Option<usize>,
    /// Length of the file; everything below is whole lines.
    end: u64,
    /// The same before the entry that was appended last.
    last_start: u64,
    lines: u64,
    /// Asked before each sync: a disk that is slow, or broken.
    #[cfg(test)]
    disk: Option<TestDisk>,
}

/// See [`Session::set_disk_for_test`].
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct TestDisk(pub(crate) Arc<dyn Fn() -> io::Result<()> + Send + Sync>);

#[cfg(test)]
impl std::fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestDisk")
    }
}

impl Session {
    /// Makes `<dir>/<time>_<id>.jsonl` with its header, on disk when this returns.
    pub fn create(
        dir: &Path,
        cwd: &str,
        parent_session: Option<String>,
        now_ms: u64,
    ) -> Result<Self, SessionError> {
        let header = Header::new(SessionId::at(now_ms), rfc3339(now_ms), cwd, parent_session);
        Self::make(dir, header)
    }

    /// The same under an id that was made for it before.
    pub fn create_as(
        dir: &Path,
        id: SessionId,
        cwd: &str,
        now_ms: u64,
    ) -> Result<Self, SessionError> {
        Self::make(dir, Header::new(id, rfc3339(now_ms), cwd, None))
    }

    /// Makes the conversation of a task, on disk when this returns.
    pub fn create_task(
        dir: &Path,
        id: SessionId,
        cwd: &str,
        parent_session: Option<String>,
        task: TaskOf,
        now_ms: u64,
    ) -> Result<Self, SessionError> {
        let header = Header::new(id, rfc3339(now_ms), cwd, parent_session);
        Self::make(dir, Header { task: Some(task), ..header })
    }

    fn make(dir: &Path, header: Header) -> Result<Self, SessionError> {
        let path = dir.join(file_name(&header.timestamp, &header.id));
        let mut line = serde_json::to_vec(&header).expect("a header is plain data");
        line.push(b'\n');
        let make = || -> io::Result<File> {
            std::fs::create_dir_all(dir)?;
            let mut file =
                OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
            if let Err(error) = file.write_all(&line).and_then(|()| file.sync_data()) {
                // A file without a header would be no session for ever.
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|source| SessionError::Write { path: path.clone(), source })?;
        Ok(Self {
            path,
            file: Arc::new(file),
            header,
            entries: Vec::new(),
            by_id: HashMap::new(),
            leaf: None,
            end: line.len() as u64,
            last_start: line.len() as u64,
            lines: 1,
            #[cfg(test)]
            disk: None,
        })
    }

    /// Reads a session file whole. A torn last line is cut off; lines that are no entries are
    /// skipped and stay.
    pub fn open(path: &Path) -> Result<Self, SessionError> {
        let unreadable = |source| SessionError::Read { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        let end = whole_end(&bytes);
        if end < bytes.len() {
            tracing::warn!(bytes = bytes.len() - end, "a session's torn end was cut off");
            file.set_len(end as u64).map_err(unreadable)?;
            bytes.truncate(end);
        }
        let mut lines = lines(&bytes);
        let header = lines
            .next()
            .and_then(|line| serde_json::from_slice::<Header>(line).ok())
            .filter(|header| header.kind == "session")
            .ok_or_else(|| SessionError::NoHeader { path: path.to_owned() })?;
        let mut session = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            header,
            entries: Vec::new(),
            by_id: HashMap::new(),
            leaf: None,
            end: end as u64,
            last_start: end as u64,
            lines: 1,
            #[cfg(test)]
            disk: None,
        };
        let lines: Vec<&[u8]> = lines.collect();
        session.entries.reserve(lines.len());
        session.by_id.reserve(lines.len());
        for read in read_all(&lines, bytes.len()) {
            session.lines += 1;
            if let Some(read) = read {
                session.take(read);
            }
        }
        Ok(session)
    }

    fn take(&mut self, read: line::Read) {
        let id = read.id.unwrap_or_else(|| line::id_of_line(self.lines));
        let parent = match read.parent {
            line::Parent::Before => self.leaf,
            line::Parent::Root => None,
            line::Parent::Of(parent) => self.by_id.get(&parent).copied(),
        };
        self.push(Entry {
            id,
            parent,
            line: self.lines,
            at_ms: read.at_ms,
            body: read.body,
            extra: read.extra,
        });
    }

    fn push(&mut self, entry: Entry) {
        let place = self.entries.len();
        self.by_id.insert(entry.id.clone(), place);
        self.entries.push(entry);
        self.leaf = Some(place);
    }

    /// An id that no entry has yet.
    pub fn fresh_id(&self) -> String {
        loop {
            let id = random_hex(4);
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    /// Appends an entry below the leaf and makes it the leaf. In the page cache when this
    /// returns: safe against the end of this process; [`Session::sync`] makes it safe against
    /// power loss. On an error the file is as before.
    pub fn append(
        &mut self,
        id: String,
        body: Body,
        extra: Extra,
        now_ms: u64,
    ) -> Result<&Entry, SessionError> {
        // Read again, such a message has its line's time and no other.
        let now_ms = match &body {
            Body::Message(Message::Custom(custom)) => custom.timestamp,
            _ => now_ms,
        };
        let parent = self.leaf.map(|place| self.entries[place].id.as_str());
        let mut line = line::write(&id, parent, now_ms, &body, &extra)
            .expect("only kinds that we write are appended");
        line.push('\n');
        if let Err(source) = (&*self.file).write_all(line.as_bytes()) {
            // What got in would tear the next line.
            let _ = self.file.set_len(self.end);
            return Err(SessionError::Write { path: self.path.clone(), source });
        }
        self.last_start = self.end;
        self.end += line.len() as u64;
        self.lines += 1;
        let parent = self.leaf;
        self.push(Entry { id, parent, line: self.lines, at_ms: now_ms, body, extra });
        Ok(self.entries.last().expect("just pushed"))
    }

    /// Takes the entry back that was appended last: it could not be put on disk, and nobody was told of
    /// it. On an error, and when another one is the last, it stays.
    pub fn take_back(&mut self, id: &str) -> io::Result<()> {
        let last = self.entries.last().filter(|entry| entry.id == id);
        let Some(last) = last.filter(|_| self.last_start < self.end) else {
            return Err(io::Error::other("another entry follows it"));
        };
        let parent = last.parent;
        self.file.set_len(self.last_start)?;
        self.entries.pop();
        self.by_id.remove(id);
        self.leaf = parent;
        self.end = self.last_start;
        self.lines -= 1;
        Ok(())
    }

    /// The work of putting the file on disk, to be run where blocking is allowed.
    pub fn sync(&self) -> impl FnOnce() -> Result<(), SessionError> + Send + 'static {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        #[cfg(test)]
        let disk = self.disk.clone();
        move || {
            #[cfg(test)]
            let asked = disk.map_or(Ok(()), |disk| (disk.0)());
            #[cfg(not(test))]
            let asked = Ok(());
            let synced = asked.and_then(|()| file.sync_data());
            synced.map_err(|source| SessionError::Write { path, source })
        }
    }

    /// Asks this before each sync from now on.
    #[cfg(test)]
    pub(crate) fn set_disk_for_test(&mut self, disk: TestDisk) {
        self.disk = Some(disk);
    }

    /// Writes elsewhere from now on.
    #[cfg(test)]
    pub(crate) fn replace_file_for_test(&mut self, file: File) {
        self.file = Arc::new(file);
    }

    /// The open file was given another name.
    pub(super) fn is_now_at(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Which conversation.
    pub fn id(&self) -> &SessionId {
        &self.header.id
    }

    /// Lines of the file, the header included.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// All entries in the order of the file, those of other branches too.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry by its id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).map(|place| &self.entries[*place])
    }

    /// Id of an entry's parent.
    pub fn parent_id(&self, entry: &Entry) -> Option<&str> {
        entry.parent.map(|place| self.entries[place].id.as_str())
    }

    /// Where the conversation is now.
    pub fn leaf(&self) -> Option<&Entry> {
        self.leaf.map(|place| &self.entries[place])
    }

    /// Stands at another entry in memory only; an unknown one means before the first. Returns where
    /// it stood.
    pub(super) fn stand_at(&mut self, id: Option<&str>) -> Option<String> {
        let before = self.leaf().map(|entry| entry.id.clone());
        self.leaf = id.and_then(|id| self.by_id.get(id).copied());
        before
    }

    /// Places of the entries from the root to the leaf.
    pub(super) fn branch_places(&self) -> Vec<usize> {
        let places = std::iter::successors(self.leaf, |place| self.entries[*place].parent);
        let mut places: Vec<usize> = places.collect();
        places.reverse();
        places
    }

    /// The name that was given last, on whatever branch: going back does not unname a conversation.
    pub fn name(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match &entry.body {
            Body::SessionInfo { name } => Some(name.as_deref()),
            _ => None,
        })?
    }

    /// The model that was chosen for this session.
    pub fn model(&self) -> Option<&ModelRef> {
        self.ancestors().find_map(|entry| match &entry.body {
            Body::ModelChange(model) => Some(model),
            _ => None,
        })
    }

    /// The thinking level that was chosen for this session.
    pub fn thinking_level(&self) -> Option<&str> {
        self.ancestors().find_map(|entry| match &entry.body {
            Body::ThinkingLevelChange { level } => Some(level.as_str()),
            _ => None,
        })
    }
}

/// The name of a session's file, as Pi has it.
pub(super) fn file_name(timestamp: &str, id: &SessionId) -> String {
    format!("{}_{id}.jsonl", timestamp.replace([':', '.'], "-"))
}
