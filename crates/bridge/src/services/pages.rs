//! Takes down what a service prints, in a few files of bounded size; positions count from its first
//! byte ever, so a reader goes on where it stopped, also after old files went. Knows no processes, and
//! does not read: that is `toft_machine::service_log`.

use crate::own_file::make_way;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};
use toft_machine::service_log::{FILE_BYTES_MAX, FILES_MAX, file_name, parse};

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
            let path = self.dir.join(file_name(&self.key, self.start));
            make_way(&path);
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
        let Some((key, _)) = parse(&name) else { continue };
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
        let Some((_, start)) = parse(&name).filter(|(own, _)| *own == key) else { continue };
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
    use toft_machine::service_log::{self, FOLDER, Page};

    fn read(dir: &Path, key: &str, from: Option<u64>) -> Option<Page> {
        service_log::read(dir.parent().unwrap(), key, from).unwrap()
    }

    /// The folder of the logs, as a bridge has it.
    struct Logs {
        dir: PathBuf,
        _top: tempfile::TempDir,
    }

    impl Logs {
        fn new() -> Self {
            let top = tempfile::tempdir().unwrap();
            Self { dir: top.path().join(FOLDER), _top: top }
        }

        fn path(&self) -> &Path {
            &self.dir
        }
    }

    fn all(dir: &Path, key: &str, mut from: u64) -> (String, u64) {
        let mut text = String::new();
        loop {
            let page = read(dir, key, Some(from)).unwrap();
            text.push_str(&page.text);
            if page.to == page.end {
                return (text, page.first);
            }
            from = page.to;
        }
    }

    #[test]
    fn a_log_goes_on_over_lives_and_is_read_from_any_place() {
        let dir = Logs::new();
        assert_eq!(read(dir.path(), "web", None), None);
        let mut pages = Pages::open(dir.path(), "web").unwrap();
        pages.append("grün ".as_bytes());
        drop(pages);
        let mut pages = Pages::open(dir.path(), "web").unwrap();
        assert_eq!(pages.end(), 6);
        pages.note("started");
        assert_eq!(all(dir.path(), "web", 0), ("grün [toft] started\n".into(), 0));
        assert_eq!(all(dir.path(), "web", 6).0, "[toft] started\n");
        let page = read(dir.path(), "web", Some(999)).unwrap();
        assert_eq!((page.from, page.text.as_str()), (page.end, ""));
        Pages::open(dir.path(), "web:0").unwrap().append(b"another");
        assert_eq!(all(dir.path(), "web", 0).0.len(), 21);
    }

    #[test]
    fn a_flood_keeps_its_end_in_few_files_and_positions_go_on() {
        let dir = Logs::new();
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
        let dir = Logs::new();
        for (n, key) in ["old", "older", "new"].iter().enumerate() {
            Pages::open(dir.path(), key).unwrap().append(b"x");
            let at =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs([20, 10, 30][n]);
            File::open(dir.path().join(file_name(key, 0))).unwrap().set_modified(at).unwrap();
        }
        remove_old(dir.path(), 2).unwrap();
        let left = |key: &str| read(dir.path(), key, None).is_some();
        assert_eq!([left("new"), left("old"), left("older")], [true, true, false]);
    }
}
