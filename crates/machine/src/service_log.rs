//! What the services of a machine printed, as its bridge keeps it in the machine's log folder: a few
//! files for each, named after the position of their first byte. Read from inside and from the host
//! alike. Programs inside may have written anything there, so nothing is believed: no link is
//! followed, no pipe is waited for, and no length is taken. Does not write.

use crate::inside::{FOLDER as OPEN_FOLDER, open_below, open_disk};
use rustix::{
    fs::{Dir, FileType, OFlags, fstat},
    io::Errno,
};
use std::{fs::File, io, os::fd::OwnedFd, os::unix::fs::FileExt as _, path::Path};
use toft_model::hash::fnv1a;

/// Folder of the logs in a machine's log folder, outside of checkpoints: a restore does not take
/// them back.
pub const FOLDER: &str = "services";

/// A file that reached this is followed by another one.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of a service; the oldest goes when one more begins. Four MiB hold days of an ordinary
/// server's log, and a machine's services together stay below what one build writes.
pub const FILES_MAX: usize = 4;

/// Read at once.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// Names in the folder that are looked at. The bridge keeps the logs of 128 services there, of
/// five files each.
const ENTRIES_MAX: usize = 4_096;

/// Positions end here: as far as numbers are whole in every JSON reader.
const POSITION_MAX: u64 = 1 << 53;

/// The end of the names of these files.
const EXTENSION: &str = ".log";

/// Bytes of a row's id that are taken over as they are.
const KEY_BYTES_MAX: usize = 64;

/// A part of what was printed. Positions are bytes, counted from its first one ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What stands there; what is no text is replaced by U+FFFD.
    pub text: String,
    /// Position of its first byte.
    pub from: u64,
    /// Position behind its last.
    pub to: u64,
    /// The first position that is kept.
    pub first: u64,
    /// Behind the last one.
    pub end: u64,
}

/// A service's name for files and programs, of harmless characters: its row's id where it is that.
pub fn key(id: &str) -> String {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.is_empty() && id.len() <= KEY_BYTES_MAX && id.bytes().all(fits) {
        return id.to_owned();
    }
    format!("{:016x}", fnv1a(id.as_bytes()))
}

/// Name of the file whose first byte has position `start`.
pub fn file_name(key: &str, start: u64) -> String {
    format!("{key}:{start:016}{EXTENSION}")
}

/// Key and start of such a name.
pub fn parse(name: &str) -> Option<(&str, u64)> {
    let (key, start) = name.strip_suffix(EXTENSION)?.rsplit_once(':')?;
    Some((key, start.parse().ok()?))
}

/// A page of the service with this key from a position on; the last page when there is none. `None`:
/// nothing is kept. `logs` is the machine's log folder. Blocks.
pub fn read(logs: &Path, key: &str, from: Option<u64>) -> io::Result<Option<Page>> {
    let Some(folder) = nothing(open_disk(logs))? else { return Ok(None) };
    let opened = open_below(&folder, Path::new(FOLDER), OPEN_FOLDER).map_err(io::Error::from);
    let Some(folder) = nothing(opened)? else { return Ok(None) };
    let parts = parts(&folder, key)?;
    let (Some(oldest), Some(newest)) = (parts.first(), parts.last()) else { return Ok(None) };
    let (first, end) = (oldest.start, newest.start + newest.length);
    let mut from = from.unwrap_or(end.saturating_sub(PAGE_BYTES_MAX)).clamp(first, end);
    let mut bytes = Vec::new();
    for part in &parts {
        let at = from + bytes.len() as u64;
        let left = PAGE_BYTES_MAX - bytes.len() as u64;
        if left == 0 || at >= part.start + part.length {
            continue;
        }
        if at < part.start {
            // A file in between is gone.
            if !bytes.is_empty() {
                break;
            }
            from = part.start;
        }
        let skip = at.max(part.start) - part.start;
        let mut piece = vec![0; to_len((part.length - skip).min(left))];
        let read = part.file.read_at(&mut piece, skip)?;
        bytes.extend_from_slice(&piece[..read]);
        if read < piece.len() {
            // It became shorter.
            break;
        }
    }
    if bytes.is_empty() {
        return Ok(Some(Page { text: String::new(), from: end, to: end, first, end }));
    }
    if from + (bytes.len() as u64) < end {
        bytes.truncate(whole(&bytes));
    }
    let to = from + bytes.len() as u64;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Page { text, from, to, first, end }))
}

/// A file of a service, open.
struct Part {
    start: u64,
    length: u64,
    file: File,
}

/// A service's newest files, oldest first, none of which reaches into the next.
fn parts(folder: &OwnedFd, key: &str) -> io::Result<Vec<Part>> {
    let mut starts = Vec::new();
    for entry in Dir::read_from(folder)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if let Some((own, start)) = parse(name)
            && own == key
            && start < POSITION_MAX
        {
            starts.push((start, name.to_owned()));
        }
    }
    starts.sort_unstable();
    starts.dedup_by_key(|(start, _)| *start);
    let mut parts: Vec<Part> = Vec::new();
    for (start, name) in starts.split_off(starts.len().saturating_sub(FILES_MAX)) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = open_below(folder, Path::new(&name), flags).map_err(io::Error::from);
        let Some(file) = nothing(opened)? else { continue };
        let about = fstat(&file)?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            continue;
        }
        if let Some(before) = parts.last_mut() {
            before.length = before.length.min(start - before.start);
        }
        let length = u64::try_from(about.st_size).unwrap_or(0).min(FILE_BYTES_MAX);
        parts.push(Part { start, length, file: File::from(file) });
    }
    Ok(parts)
}

/// What is not there, is a link, or no file of ours, is nothing.
fn nothing(opened: io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    const NO_FILE: [Errno; 9] = [
        Errno::NOENT,
        Errno::LOOP,
        Errno::NOTDIR,
        Errno::NXIO,
        Errno::XDEV,
        Errno::NODEV,
        Errno::NAMETOOLONG,
        Errno::INVAL,
        Errno::ACCESS,
    ];
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if NO_FILE.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How many bytes can be shown: all but the beginning of a character at the end; at least one.
fn whole(bytes: &[u8]) -> usize {
    // A character has four bytes at most.
    for back in 1..=bytes.len().min(4) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        return if length > back { at.max(1) } else { bytes.len() };
    }
    bytes.len()
}

fn to_len(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    /// Writes such files, and reads all from the beginning; as text and from where.
    struct Logs(tempfile::TempDir);

    impl Logs {
        fn new() -> Self {
            let logs = Self(tempfile::tempdir().unwrap());
            fs::create_dir(logs.0.path().join(FOLDER)).unwrap();
            logs
        }

        fn path(&self, start: u64) -> std::path::PathBuf {
            self.0.path().join(FOLDER).join(file_name("web", start))
        }

        fn put(&self, start: u64, bytes: &[u8]) {
            fs::write(self.path(start), bytes).unwrap();
        }

        fn page(&self, from: Option<u64>) -> Option<Page> {
            read(self.0.path(), "web", from).unwrap()
        }

        /// Page after page to the end, as a reader does it.
        fn all(&self) -> String {
            let mut text = String::new();
            let mut from = 0;
            for _ in 0..100 {
                let page = self.page(Some(from)).unwrap();
                text.push_str(&page.text);
                if page.to == page.end {
                    return text;
                }
                from = page.to;
            }
            panic!("no end is reached");
        }
    }

    #[test]
    fn pages_follow_each_other_over_files_and_cut_no_character() {
        let logs = Logs::new();
        assert_eq!(logs.page(None), None);
        let text = "grün ".repeat(30_000);
        let (one, two) = text.as_bytes().split_at(100_003);
        logs.put(7, one);
        logs.put(7 + 100_003, two);
        assert_eq!(logs.all(), text);
        let page = logs.page(Some(0)).unwrap();
        assert_eq!((page.from, page.first, page.end), (7, 7, 7 + text.len() as u64));
        assert!(page.to - page.from <= PAGE_BYTES_MAX && !page.text.contains('\u{fffd}'));
        let last = logs.page(None).unwrap();
        assert_eq!((last.to, last.end), (page.end, page.end));
        assert_eq!(logs.page(Some(u64::MAX)).unwrap().from, page.end);
        assert_eq!(read(logs.0.path(), "we", None).unwrap(), None, "another service");
    }

    #[test]
    fn a_file_that_is_missing_or_shorter_ends_no_reading() {
        let logs = Logs::new();
        logs.put(0, b"one\n");
        logs.put(1_000, b"two\n");
        assert_eq!(logs.all(), "one\ntwo\n");
        // Longer than up to the next: what the next one has counts.
        logs.put(0, &[b'x'; 2_000]);
        assert_eq!(logs.all(), "x".repeat(1_000) + "two\n");
        // A hole of any size is a file of the largest size, and no memory.
        fs::File::create(logs.path(2_000)).unwrap().set_len(1 << 40).unwrap();
        let page = logs.page(None).unwrap();
        assert_eq!(page.end, 2_000 + FILE_BYTES_MAX);
        assert_eq!(logs.all().len() as u64, 1_004 + FILE_BYTES_MAX);
        logs.put(u64::MAX, b"far");
        logs.put(POSITION_MAX - 1, b"far");
        assert_eq!(logs.page(None).unwrap().end, POSITION_MAX + 2);
        assert!(logs.all().ends_with("far"));
    }

    #[test]
    fn what_was_put_there_leads_nowhere() {
        let logs = Logs::new();
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "secret").unwrap();
        symlink(secret.path(), logs.path(0)).unwrap();
        assert_eq!(logs.page(None), None, "a link");
        fs::create_dir(logs.path(5)).unwrap();
        let fifo = logs.path(6);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(logs.page(None), None, "a folder and a pipe");
        // The folder itself a link.
        let elsewhere = Logs::new();
        elsewhere.put(0, b"theirs");
        let folder = logs.0.path().join(FOLDER);
        fs::remove_dir_all(&folder).unwrap();
        symlink(elsewhere.0.path().join(FOLDER), &folder).unwrap();
        assert_eq!(logs.page(None), None);
        fs::remove_file(&folder).unwrap();
        fs::write(&folder, "no folder").unwrap();
        assert_eq!(logs.page(None), None);
    }

    #[test]
    fn any_id_has_a_key_of_harmless_characters() {
        assert_eq!(key("web-1_a"), "web-1_a");
        for id in ["", "../../etc", "a name", "a:b", "grün", &"x".repeat(4_000)] {
            let key = key(id);
            assert!(key.bytes().all(|b| b.is_ascii_hexdigit()) && key.len() == 16, "{id}: {key}");
            assert_eq!(parse(&file_name(&key, 12)), Some((key.as_str(), 12)));
        }
    }
}
