//! A session grown from a branch of another one: its lines are copied as they are, byte for byte, below a
//! header that names the file they are from. The copy is whole, closed and on disk before it gets its
//! name, so that nobody ever goes on with half of one.

use super::{
    entry::{Body, Extra},
    file::{Header, Session, SessionError, file_name},
    tree,
};
use serde_json::{Map, Value};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};
use toft_model::{id::SessionId, time::rfc3339};

/// Ends the name of a copy that is not whole yet.
const PART: &str = ".part";

/// The version of the format whose lines are copied without a change.
const VERSION: u32 = 3;

/// A branch to be copied.
#[derive(Debug)]
pub struct Branch {
    from: PathBuf,
    version: u32,
    lines: Vec<Line>,
    /// Names of entries on the branch that were given elsewhere: target, name, Unix milliseconds.
    labels: Vec<(String, String, u64)>,
}

/// Which line of the file, and what older versions do not say in it.
#[derive(Debug)]
struct Line {
    number: u64,
    id: String,
    parent: Option<String>,
}

/// How a copy is made.
#[derive(Debug)]
pub struct Copy<'a> {
    /// The folder of sessions.
    pub dir: &'a Path,
    /// The folder that it works in.
    pub cwd: &'a str,
    /// Its name.
    pub name: Option<String>,
    /// Closes what the branch was in the middle of.
    pub why_cut: &'a str,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Session {
    /// The branch that ends at an entry; `None` is the one before the first.
    pub fn branch_to(&self, leaf: Option<&str>) -> Branch {
        let mut path: Vec<_> = self.up_from(leaf.and_then(|id| self.entry(id))).collect();
        path.reverse();
        // What the branch itself says of names is copied with it.
        let mut labels: Vec<_> = self
            .labels()
            .into_iter()
            .filter(|(target, given)| {
                path.iter().any(|entry| entry.id == *target)
                    && !path.iter().any(|entry| entry.line == given.line)
            })
            .filter_map(|(target, given)| {
                Some((given.line, target.to_owned(), tree::label(given)?, given.at_ms))
            })
            .collect();
        labels.sort_unstable();
        Branch {
            from: self.path().to_owned(),
            version: self.header().version.unwrap_or(1),
            lines: path
                .into_iter()
                .map(|entry| Line {
                    number: entry.line,
                    id: entry.id.clone(),
                    parent: self.parent_id(entry).map(str::to_owned),
                })
                .collect(),
            labels: labels.into_iter().map(|(_, target, name, at)| (target, name, at)).collect(),
        }
    }

    /// Removes copies that the process before this one did not finish. Blocks.
    pub fn sweep_copies(dir: &Path) -> io::Result<()> {
        for file in fs::read_dir(dir)? {
            let file = file?;
            if file.file_name().to_string_lossy().ends_with(PART) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }
}

impl Branch {
    /// Makes the copy; on disk when this returns. Blocks.
    pub fn copy(self, how: Copy<'_>) -> Result<Session, SessionError> {
        let id = SessionId::at(how.now_ms);
        let timestamp = rfc3339(how.now_ms);
        let path = how.dir.join(file_name(&timestamp, &id));
        let mut part = path.clone().into_os_string();
        part.push(PART);
        let part = PathBuf::from(part);
        let parent = self.from.display().to_string();
        let header = Header::new(id, timestamp, how.cwd, Some(parent));
        let made = self.make(&part, &header, how).and_then(|mut session| {
            let failed = |source| SessionError::Write { path: path.clone(), source };
            fs::rename(&part, &path).map_err(failed)?;
            session.is_now_at(path.clone());
            let folder = path.parent().unwrap_or(Path::new("/"));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(session)
        });
        if made.is_err() {
            // Neither half of a copy, nor one that nobody knows of, is to be left.
            let _ = fs::remove_file(&part);
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn make(&self, part: &Path, header: &Header, how: Copy<'_>) -> Result<Session, SessionError> {
        let failed = |source| SessionError::Write { path: part.to_owned(), source };
        let file = OpenOptions::new().write(true).create_new(true).open(part).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let header = serde_json::to_vec(header).expect("a header is plain data");
        out.write_all(&header).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        self.copy_lines(&mut out, part)?;
        out.into_inner().map_err(|error| failed(error.into_error()))?;
        let mut session = Session::open(part)?;
        for (target_id, label, at_ms) in &self.labels {
            let body = Body::Label { target_id: target_id.clone(), label: Some(label.clone()) };
            session.append(session.fresh_id(), body, Extra::default(), *at_ms)?;
        }
        session.close_cut(how.why_cut, how.now_ms)?;
        if how.name.is_some() {
            let body = Body::SessionInfo { name: how.name };
            session.append(session.fresh_id(), body, Extra::default(), how.now_ms)?;
        }
        session.sync()()?;
        Ok(session)
    }

    /// A parent is always before its children in a file, so the branch is in the order of its lines.
    fn copy_lines(&self, out: &mut impl io::Write, part: &Path) -> Result<(), SessionError> {
        let unreadable = |source| SessionError::Read { path: self.from.clone(), source };
        let failed = |source| SessionError::Write { path: part.to_owned(), source };
        let mut file = BufReader::new(File::open(&self.from).map_err(unreadable)?);
        let mut line = Vec::new();
        let mut number = 0;
        for wanted in &self.lines {
            while number < wanted.number {
                line.clear();
                let read = file.read_until(b'\n', &mut line).map_err(unreadable)?;
                if read == 0 {
                    return Err(unreadable(io::ErrorKind::UnexpectedEof.into()));
                }
                number += 1;
            }
            let newer = if self.version < VERSION { newer(&line, wanted) } else { None };
            out.write_all(newer.as_deref().unwrap_or(&line)).map_err(failed)?;
        }
        Ok(())
    }
}

/// A line of an older version as the newest one has it, with all its fields.
fn newer(line: &[u8], wanted: &Line) -> Option<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    fields.entry("id").or_insert_with(|| wanted.id.clone().into());
    fields.entry("parentId").or_insert_with(|| wanted.parent.clone().into());
    if let Some(role) = fields.get_mut("message").and_then(|message| message.get_mut("role"))
        && role == "hookMessage"
    {
        *role = "custom".into();
    }
    let mut line = serde_json::to_vec(&fields).ok()?;
    line.push(b'\n');
    Some(line)
}
