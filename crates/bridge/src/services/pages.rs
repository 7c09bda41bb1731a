//! What a service printed, in a few files of bounded size; positions count from its first byte ever,
//! so a reader goes on where it stopped, also after old files went. Knows no processes.

use crate::processes::whole_characters;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// A file that reached this is followed by another one.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of a service; the oldest goes when one more begins. Four MiB hold days of an ordinary
/// server's log, and a machine's services together stay below what one build writes.
pub(super) const FILES_MAX: usize = 4;

/// Read at once.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// The end of the names of these files.
const EXTENSION: &str = "log";

/// Appends.
#[derive(Debug)]
pub(super) struct Pages {
    dir: PathBuf,
    key: String,
    file: Option<File>,
    /// Position of the first byte of `file`.
    start: u64,
    end: u64,
}

/// A part of what was printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) text: String,
    /// Position of its first byte.
    pub(super) from: u64,
    /// Position behind its last.
    pub(super) to: u64,
    /// The first position that is kept.
    pub(super) first: u64,
    /// Behind the last one.
    pub(super) end: u64,
}

impl Pages {
    /// Goes on behind what is there. Blocks.
    pub(super) fn open(dir: &Path, key: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let files = files(dir, key)?;
        let (start, length) = files.last().map_or((0, 0), |file| (file.start, file.length));
        let end = start + length;
        Ok(Self { dir: dir.to_owned(), key: key.to_owned(), file: None, start, end })
    }

    /// Position behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Appends; what does not fit on the disk is left out.
    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = FILE_BYTES_MAX.saturating_sub(self.end - self.start);
            if room == 0 {
                self.turn();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(to_len(room)));
            if let Err(error) = self.write(now) {
                tracing::debug!(%error, service = self.key, "output of a service is not kept");
            }
            // Positions count what was printed; a hole of a full disk reads as zeroes.
            self.end += now.len() as u64;
            bytes = later;
        }
    }

    /// A line of ours, on a line of its own.
    pub(super) fn note(&mut self, text: &str) {
        self.append(format!("[toft] {text}\n").as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let path = path(&self.dir, &self.key, self.start);
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            self.file = Some(file);
        }
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.write_all_at(bytes, self.end - self.start)
    }

    /// The next file.
    fn turn(&mut self) {
        if let Some(mut file) = self.file.take() {
            let _ = file.flush();
        }
        self.start = self.end;
        let Ok(files) = files(&self.dir, &self.key) else { return };
        for old in files.iter().take((files.len() + 1).saturating_sub(FILES_MAX)) {
            let _ = fs::remove_file(&old.path);
        }
    }
}

/// A page from a position on; from the last page on when there is none. `None`: nothing was ever
/// printed. Blocks.
pub(super) fn read(dir: &Path, key: &str, from: Option<u64>) -> io::Result<Option<Page>> {
    let files = files(dir, key)?;
    let (Some(oldest), Some(newest)) = (files.first(), files.last()) else { return Ok(None) };
    let (first, end) = (oldest.start, newest.start + newest.length);
    let from = from.unwrap_or(end.saturating_sub(PAGE_BYTES_MAX)).clamp(first, end);
    let mut bytes = Vec::new();
    for file in &files {
        let at = from + bytes.len() as u64;
        let left = PAGE_BYTES_MAX - bytes.len() as u64;
        if left == 0 || at < file.start || at >= file.start + file.length {
            continue;
        }
        let skip = at - file.start;
        let mut part = vec![0; to_len((file.length - skip).min(left))];
        let read = File::open(&file.path)?.read_at(&mut part, skip)?;
        bytes.extend_from_slice(&part[..read]);
    }
    let whole = whole_characters(&bytes);
    // At the very end an unfinished character may stay one.
    if whole > 0 || from + (bytes.len() as u64) < end {
        bytes.truncate(whole.max(1).min(bytes.len()));
    }
    let to = from + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Page { text, from, to, first, end }))
}

/// Keeps the logs of the services that were written last. Blocks.
pub(super) fn remove_old(dir: &Path, services_max: usize) -> io::Result<()> {
    let mut newest: Vec<(std::time::SystemTime, String)> = Vec::new();
    let mut all = Vec::new();
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in folder {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some(key) = key_of(&name) else { continue };
        let at = entry.metadata()?.modified()?;
        match newest.iter_mut().find(|(_, known)| known == key) {
            Some((newest, _)) => *newest = at.max(*newest),
            None => newest.push((at, key.to_owned())),
        }
        all.push((key.to_owned(), entry.path()));
    }
    newest.sort_unstable_by(|a, b| b.cmp(a));
    for (_, old) in newest.iter().skip(services_max) {
        for (_, path) in all.iter().filter(|(key, _)| key == old) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

struct Part {
    start: u64,
    length: u64,
    path: PathBuf,
}

fn path(dir: &Path, key: &str, start: u64) -> PathBuf {
    dir.join(format!("{key}:{start:016}.{EXTENSION}"))
}

fn key_of(name: &str) -> Option<&str> {
    name.strip_suffix(EXTENSION)?.rsplit_once(':').map(|(key, _)| key)
}

/// A service's files, oldest first.
fn files(dir: &Path, key: &str) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(parts),
        other => other?,
    };
    for entry in folder {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let start = name.strip_suffix(EXTENSION).and_then(|n| n.strip_suffix('.'));
        let start = start.and_then(|n| n.strip_prefix(key)?.strip_prefix(':'));
        let Some(start) = start.and_then(|text| text.parse().ok()) else { continue };
        let about = entry.metadata()?;
        if about.is_file() {
            parts.push(Part { start, length: about.len(), path: entry.path() });
        }
    }
    parts.sort_unstable_by_key(|part| part.start);
    Ok(parts)
}

fn to_len(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dir: &Path, key: &str, mut from: u64) -> (String, u64) {
        let mut text = String::new();
        loop {
            let page = read(dir, key, Some(from)).unwrap().unwrap();
            text.push_str(&page.text);
            if page.to == page.end {
                return (text, page.first);
            }
            from = page.to;
        }
    }

    #[test]
    fn a_log_goes_on_over_lives_and_is_read_from_any_place() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), "web", None).unwrap(), None);
        let mut pages = Pages::open(dir.path(), "web").unwrap();
        pages.append("grün ".as_bytes());
        drop(pages);
        let mut pages = Pages::open(dir.path(), "web").unwrap();
        assert_eq!(pages.end(), 6);
        pages.note("started");
        assert_eq!(all(dir.path(), "web", 0), ("grün [toft] started\n".into(), 0));
        assert_eq!(all(dir.path(), "web", 6).0, "[toft] started\n");
        let page = read(dir.path(), "web", Some(999)).unwrap().unwrap();
        assert_eq!((page.from, page.text.as_str()), (page.end, ""));
        Pages::open(dir.path(), "web:0").unwrap().append(b"another");
        assert_eq!(all(dir.path(), "web", 0).0.len(), 21);
    }

    #[test]
    fn a_flood_keeps_its_end_in_few_files_and_positions_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut pages = Pages::open(dir.path(), "web").unwrap();
        let line = [b'x'; 9_999];
        for _ in 0..1_000 {
            pages.append(&line);
        }
        pages.append(b"the end\n");
        let kept: u64 = files(dir.path(), "web").unwrap().iter().map(|f| f.length).sum();
        assert_eq!(files(dir.path(), "web").unwrap().len(), FILES_MAX);
        assert!(kept <= FILE_BYTES_MAX * FILES_MAX as u64, "{kept}");
        let (text, first) = all(dir.path(), "web", 0);
        assert_eq!((first + text.len() as u64, pages.end()), (pages.end(), 9_999_008));
        assert!(first > 0 && text.ends_with("the end\n"));
    }

    #[test]
    fn logs_of_services_that_are_long_gone_go() {
        let dir = tempfile::tempdir().unwrap();
        for (n, key) in ["old", "older", "new"].iter().enumerate() {
            Pages::open(dir.path(), key).unwrap().append(b"x");
            let at =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs([20, 10, 30][n]);
            File::open(path(dir.path(), key, 0)).unwrap().set_modified(at).unwrap();
        }
        remove_old(dir.path(), 2).unwrap();
        let left = |key: &str| read(dir.path(), key, None).unwrap().is_some();
        assert_eq!([left("new"), left("old"), left("older")], [true, true, false]);
    }
}
