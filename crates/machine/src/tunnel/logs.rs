//! The machine's log folder, copied to the server while it is written, so that it can be read there while
//! nobody in the machine answers: the end of the event log above all. Sends what grew; a file that is
//! another than the copy's is sent anew. The copy's side does not trust what comes.

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};
use toft_model::receipt;

/// What is copied beside the logs of services.
const FILES: [&str; 3] = ["events.jsonl", receipt::FILE, receipt::OLDER_FILE];
/// Bytes sent at once.
pub(crate) const PART_BYTES_MAX: u64 = 256 << 10;
/// By its last bytes it is judged whether a file goes on where the copy ends.
const END_BYTES: u64 = 4096;
/// Files in the folder of services that are copied: more than a machine has services, four for each.
const SERVICE_FILES_MAX: usize = 512;
/// Longest name.
const NAME_BYTES_MAX: usize = 128;

/// What the copy has of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Have {
    name: String,
    bytes: u64,
    /// CRC-32C of its last bytes.
    end: u32,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sent {
    /// So many bytes of a file follow, which begin there. At 0 the file is another one.
    Part { name: String, from: u64, bytes: u64 },
    /// All that there was when it was asked for has been sent; these are the files.
    UpToDate { files: Vec<String> },
}

/// What is there, by names that both sides take. Blocks.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut all: Vec<_> =
        FILES.iter().map(|name| ((*name).to_owned(), folder.join(name))).collect();
    let services = fs::read_dir(folder.join(crate::service_log::FOLDER)).into_iter().flatten();
    for entry in services.flatten().take(SERVICE_FILES_MAX) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{}/{name}", crate::service_log::FOLDER);
        if is_name(&name) {
            all.push((name, entry.path()));
        }
    }
    all
}

/// Whether a file of this name may be written below a copy.
fn is_name(name: &str) -> bool {
    let own = name.strip_prefix(crate::service_log::FOLDER).and_then(|rest| rest.strip_prefix('/'));
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    match own {
        Some(own) => {
            !own.is_empty()
                && own.len() <= NAME_BYTES_MAX
                && !own.starts_with('.')
                && own.chars().all(harmless)
        }
        None => FILES.contains(&name),
    }
}

/// A plain file, which no link leads to.
fn plain(path: &Path, flags: OFlags) -> io::Result<Option<File>> {
    let always = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match open(path, flags | always, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => {
            let file = File::from(fd);
            Ok(file.metadata()?.is_file().then_some(file))
        }
        Err(Errno::NOENT | Errno::LOOP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What a copy has. Blocks.
pub(crate) fn have(folder: &Path) -> Vec<Have> {
    let look = |(name, path): (String, PathBuf)| {
        let file = plain(&path, OFlags::RDONLY).ok()??;
        let bytes = file.metadata().ok()?.len();
        Some(Have { name, bytes, end: end_of(&file, bytes).ok()? })
    };
    files(folder).into_iter().filter_map(look).collect()
}

/// Of the bytes before this one.
fn end_of(file: &File, before: u64) -> io::Result<u32> {
    let count = before.min(END_BYTES);
    let mut end = vec![0; usize::try_from(count).map_err(io::Error::other)?];
    file.read_exact_at(&mut end, before - count)?;
    Ok(crc32c::crc32c(&end))
}

/// The machine's side: what has been sent of each file.
#[derive(Debug)]
pub(crate) struct Source {
    folder: PathBuf,
    had: HashMap<String, Have>,
    sent: HashMap<String, Position>,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    inode: u64,
    bytes: u64,
}

impl Source {
    pub(crate) fn new(folder: PathBuf, had: Vec<Have>) -> Self {
        let had = had.into_iter().map(|have| (have.name.clone(), have)).collect();
        Self { folder, had, sent: HashMap::new() }
    }

    /// The files that there are. Blocks.
    pub(crate) fn names(&self) -> Vec<String> {
        files(&self.folder).into_iter().map(|(name, _)| name).collect()
    }

    /// The next part that the copy lacks. Blocks.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Sent, Vec<u8>)>> {
        for (name, path) in files(&self.folder) {
            let Some(mut file) = plain(&path, OFlags::RDONLY)? else { continue };
            let meta = file.metadata()?;
            let (inode, size) = (meta.ino(), meta.len());
            let from = match (self.sent.get(&name), self.had.get(&name)) {
                (Some(sent), _) if sent.inode == inode && sent.bytes <= size => sent.bytes,
                (None, Some(had)) if had.bytes <= size && end_of(&file, had.bytes)? == had.end => {
                    had.bytes
                }
                _ => 0,
            };
            let known = self.sent.contains_key(&name);
            if from == size && (known || from > 0) {
                self.sent.insert(name, Position { inode, bytes: size });
                continue;
            }
            if size == 0 && !self.had.contains_key(&name) && !known {
                continue;
            }
            file.seek(SeekFrom::Start(from))?;
            let mut part = Vec::new();
            file.take(PART_BYTES_MAX).read_to_end(&mut part)?;
            let bytes = part.len() as u64;
            self.sent.insert(name.clone(), Position { inode, bytes: from + bytes });
            return Ok(Some((Sent::Part { name, from, bytes }, part)));
        }
        Ok(None)
    }
}

/// Writes a part to a copy. Blocks.
pub(crate) fn keep(folder: &Path, name: &str, from: u64, part: &[u8]) -> io::Result<()> {
    let bad = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    if !is_name(name) {
        return Err(bad("a file that is no log was sent"));
    }
    if name.contains('/') {
        crate::folders::private(&folder.join(crate::service_log::FOLDER))?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = plain(&folder.join(name), flags)?.ok_or_else(|| bad("a log is no plain file"))?;
    let has = file.metadata()?.len();
    if from == 0 && has > 0 {
        file.set_len(0)?;
    } else if from != has {
        return Err(bad("a part of a log does not follow what is there"));
    }
    let mut file = file;
    file.seek(SeekFrom::Start(from))?;
    file.write_all(part)
}

/// Removes the logs of services that the machine has removed. Blocks.
pub(crate) fn forget_others(folder: &Path, there: &[String]) {
    for (name, path) in files(folder) {
        if name.contains('/') && !there.contains(&name) {
            // A file that stays is only old.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy_all(source: &mut Source, to: &Path) -> usize {
        let mut parts = 0;
        while let Some((Sent::Part { name, from, .. }, part)) = source.next().unwrap() {
            keep(to, &name, from, &part).unwrap();
            parts += 1;
        }
        parts
    }

    #[test]
    fn a_copy_gets_what_it_lacks_and_a_file_that_was_replaced_anew() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (from.path(), to.path());
        let log = from.join("events.jsonl");
        let whole = "line\n".repeat(200_000);
        fs::write(&log, &whole).unwrap();
        fs::create_dir(from.join("services")).unwrap();
        fs::write(from.join("services/web:0.log"), "hello").unwrap();
        fs::write(from.join("said.jsonl"), "not copied").unwrap();
        let mut source = Source::new(from.to_owned(), Vec::new());
        assert_eq!(copy_all(&mut source, to), 5);
        assert_eq!(fs::read_to_string(to.join("events.jsonl")).unwrap(), whole);
        assert_eq!(fs::read_to_string(to.join("services/web:0.log")).unwrap(), "hello");
        assert!(!to.join("said.jsonl").exists());
        assert_eq!(copy_all(&mut source, to), 0, "nothing is sent twice");

        fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"more").unwrap();
        // Another server: it knows what it has.
        let mut source = Source::new(from.to_owned(), have(to));
        let (sent, part) = source.next().unwrap().unwrap();
        assert_eq!(part, b"more");
        let Sent::Part { name, from: at, .. } = sent else { panic!("{sent:?}") };
        keep(to, &name, at, &part).unwrap();
        assert_eq!(copy_all(&mut source, to), 0);

        // Turned over: the name is another file now.
        fs::rename(&log, from.join("old")).unwrap();
        fs::write(&log, "new").unwrap();
        assert_eq!(copy_all(&mut source, to), 1);
        assert_eq!(fs::read_to_string(to.join("events.jsonl")).unwrap(), "new");
    }

    #[test]
    fn what_the_machine_has_removed_of_services_goes() {
        let to = tempfile::tempdir().unwrap();
        keep(to.path(), "services/a:0.log", 0, b"x").unwrap();
        keep(to.path(), "services/b:0.log", 0, b"x").unwrap();
        keep(to.path(), "events.jsonl", 0, b"x").unwrap();
        forget_others(to.path(), &["services/b:0.log".to_owned()]);
        let left: Vec<String> = have(to.path()).into_iter().map(|have| have.name).collect();
        assert_eq!(left, ["events.jsonl", "services/b:0.log"]);
    }

    #[test]
    fn nothing_is_written_elsewhere_or_through_a_link() {
        let to = tempfile::tempdir().unwrap();
        for name in ["../x", "/etc/x", "services/../x", "services/.x", "services/", "init.log", ""]
        {
            assert!(keep(to.path(), name, 0, b"x").is_err(), "{name}");
        }
        let victim = to.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, to.path().join("events.jsonl")).unwrap();
        assert!(keep(to.path(), "events.jsonl", 0, b"x").is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(keep(to.path(), "receipts.jsonl", 5, b"x").is_err(), "a gap");
    }
}
