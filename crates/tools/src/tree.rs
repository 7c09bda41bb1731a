//! One hash over a project's files: the same files give the same hash, whoever wrote them when. Of the files
//! that a version control would keep: what `.gitignore` names is left out, and so are caches, which say
//! themselves that they are some. The part `__tree` of the binary; init runs it beside itself, since it takes
//! a project's own files apart and may take a while.
//!
//! Usage: `__tree FOLDER [FINGERPRINT TREE]`, the latter two as it answered before. It prints one [`Seen`] as
//! JSON.

use ignore::{DirEntry, WalkBuilder};
use rustix::{
    fs::{Mode, OFlags, open},
    process::{Resource, nice},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    ffi::OsString,
    fs::{File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use toft_model::{id, receipt::Tree};

/// The part of the binary.
pub const PART: &str = "__tree";

/// Files of a tree at most: more than the largest repositories have.
const FILES_MAX: usize = 500_000;

/// Bytes of a tree at most: a minute of reading.
const BYTES_MAX: u64 = 16 << 30;

/// Memory that the part may map.
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// Seconds of processor time that it may take.
const CPU_SECONDS_MAX: u64 = 120;

/// How much it stands back for the project's own programs.
const NICE: i32 = 10;

/// A file that was changed so shortly before a look may change again without another time to show for it: the
/// kernel's clock for files goes in steps of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(100);

/// Names that are never a project's own.
const NOT_OWN: [&str; 3] = [".git", "node_modules", "__pycache__"];

/// How folders say that they are a cache (the Cache Directory Tagging Specification).
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// What it begins with.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What was seen of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The tree.
    pub tree: Tree,
    /// When the newest change of any file was, in Unix milliseconds.
    pub newest_ms: u64,
    /// Stands for sizes and times of all files: while it stays the same, so does the tree. `None`: a file was
    /// changed too shortly before.
    pub fingerprint: Option<String>,
}

/// A file as a look at its folder shows it.
struct Found {
    path: PathBuf,
    about: Metadata,
}

/// Looks at a folder. `known` is what was seen before: where its fingerprint still holds, nothing is read.
/// Blocks.
pub fn look(folder: &Path, known: Option<&Seen>) -> io::Result<Seen> {
    look_at(unix_ms(), folder, known)
}

fn look_at(began: u64, folder: &Path, known: Option<&Seen>) -> io::Result<Seen> {
    let (mut found, folders_ms) = found(folder)?;
    found.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    let newest = found.iter().map(|file| changed_ms(&file.about)).max();
    let mut newest_ms = newest.unwrap_or(0).max(folders_ms);
    let settled = u64::try_from(SETTLED.as_millis()).is_ok_and(|ms| newest_ms + ms < began);
    let mut fingerprint = settled.then(|| fingerprint(&found));
    if let Some(known) = known
        && fingerprint.is_some()
        && fingerprint == known.fingerprint
    {
        return Ok(known.clone());
    }
    if found.iter().map(|file| file.about.len()).fold(0, u64::saturating_add) > BYTES_MAX {
        return Err(io::Error::other("the tree is too large"));
    }
    let mut whole = Sha256::new();
    let mut bytes = 0u64;
    for file in &found {
        let path = file.path.strip_prefix(folder).unwrap_or(&file.path).as_os_str().as_bytes();
        let (kind, content, about) = content(file)?;
        if about.as_ref().is_none_or(|about| times(about) != times(&file.about)) {
            // It was changed since the look at its folder.
            fingerprint = None;
            newest_ms = newest_ms.max(about.as_ref().map_or_else(unix_ms, changed_ms));
        }
        whole.update((path.len() as u64).to_be_bytes());
        whole.update(path);
        whole.update([kind]);
        whole.update(content);
        bytes += about.map_or(0, |about| about.len());
    }
    let tree = Tree { hash: hex(&whole), files: found.len() as u64, bytes };
    Ok(Seen { tree, newest_ms, fingerprint })
}

/// The files, and when a folder of theirs was given another name or mode last, in Unix milliseconds: that is no
/// change of any file.
fn found(folder: &Path) -> io::Result<(Vec<Found>, u64)> {
    let walk = WalkBuilder::new(folder)
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(is_own)
        .build();
    let (mut found, mut folders_ms) = (Vec::new(), 0);
    for entry in walk {
        // What went away meanwhile is not there; what may not be read is left out.
        let Ok(entry) = entry else { continue };
        let kind = entry.file_type();
        if entry.depth() > 0
            && kind.is_some_and(|kind| kind.is_dir())
            && let Ok(about) = entry.path().symlink_metadata()
            // Where both times are the same, something went into it or out of it, which may well be ignored.
            && (about.ctime(), about.ctime_nsec()) != (about.mtime(), about.mtime_nsec())
        {
            folders_ms = folders_ms.max(changed_ms(&about));
        }
        if !kind.is_some_and(|kind| kind.is_file() || kind.is_symlink()) {
            continue;
        }
        let Ok(about) = entry.path().symlink_metadata() else { continue };
        found.push(Found { path: entry.into_path(), about });
        if found.len() > FILES_MAX {
            return Err(io::Error::other("the tree has too many files"));
        }
    }
    Ok((found, folders_ms))
}

/// Whether an entry belongs to the project, and is no folder that holds a walk up.
fn is_own(entry: &DirEntry) -> bool {
    if entry.depth() > 0 && NOT_OWN.iter().any(|name| entry.file_name() == *name) {
        return false;
    }
    let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
    // A pipe in the place of a file that says what to leave out would be waited for.
    let ignores = || {
        let about = std::fs::metadata(entry.path().join(".gitignore"));
        about.map_or(true, |about| about.is_file() || about.is_dir())
    };
    !is_folder || ignores() && (entry.depth() == 0 || !is_cache(entry.path()))
}

fn is_cache(folder: &Path) -> bool {
    let mut begins = [0; CACHE_SIGNATURE.len()];
    let read = open_file(&folder.join(CACHE_TAG)).and_then(|mut tag| tag.read_exact(&mut begins));
    read.is_ok() && begins == CACHE_SIGNATURE
}

/// Kind of a file, the hash of what is in it, and what it was like when that had been read. One that goes
/// meanwhile is an empty one of another kind.
fn content(file: &Found) -> io::Result<(u8, [u8; 32], Option<Metadata>)> {
    let mut hash = Sha256::new();
    if file.about.is_symlink() {
        let target = std::fs::read_link(&file.path).unwrap_or_default();
        hash.update(target.as_os_str().as_bytes());
        let about = file.path.symlink_metadata().ok();
        return Ok((b'l', hash.finalize().into(), about));
    }
    // Version controls keep this one bit of a file's mode.
    let kind = if file.about.mode() & 0o100 == 0 { b'f' } else { b'x' };
    let mut file = match open_file(&file.path) {
        Ok(file) => file.take(BYTES_MAX),
        Err(_) => return Ok((b'-', [0; 32], None)),
    };
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => {
                let about = file.get_ref().metadata().ok();
                return Ok((kind, hash.finalize().into(), about));
            }
            n => hash.update(&piece[..n]),
        }
    }
}

/// Opens a plain file: no link is followed and no pipe is waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// What no change leaves as it is.
fn times(about: &Metadata) -> [i64; 6] {
    let [ino, size] = [about.ino(), about.size()].map(u64::cast_signed);
    [ino, size, about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()]
}

fn fingerprint(found: &[Found]) -> String {
    let mut whole = Sha256::new();
    for Found { path, about } in found {
        whole.update((path.as_os_str().len() as u64).to_be_bytes());
        whole.update(path.as_os_str().as_bytes());
        for number in [about.dev(), about.ino(), about.size(), u64::from(about.mode())] {
            whole.update(number.to_be_bytes());
        }
        for time in [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()] {
            whole.update(time.to_be_bytes());
        }
    }
    hex(&whole)
}

/// When a file was changed last, in content, name or mode. Programs cannot set this time.
fn changed_ms(about: &Metadata) -> u64 {
    u64::try_from(about.ctime() * 1_000 + about.ctime_nsec() / 1_000_000).unwrap_or(0)
}

fn hex(hash: &Sha256) -> String {
    format!("sha256:{}", id::hex(&hash.clone().finalize()))
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Plays the part. Blocks.
pub fn main(mut argv: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(folder) = argv.next() else { return ExitCode::FAILURE };
    let known = argv.next().and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let _ = nice(NICE);
    crate::aside::limit(Resource::As, MEMORY_BYTES_MAX);
    crate::aside::limit(Resource::Cpu, CPU_SECONDS_MAX);
    crate::aside::limit(Resource::Core, 0);
    let seen = match look(Path::new(&folder), known.as_ref()) {
        Ok(seen) => serde_json::to_vec(&seen).expect("it holds text and numbers"),
        Err(_) => return ExitCode::FAILURE,
    };
    match io::stdout().write_all(&seen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn hash(bench: &Bench) -> String {
        look(&bench.path(""), None).unwrap().tree.hash
    }

    #[test]
    fn the_same_files_have_the_same_hash_whoever_wrote_them_when() {
        let (one, two) = (Bench::new(), Bench::new());
        for (bench, names) in [(&one, ["a/b", "c"]), (&two, ["c", "a/b"])] {
            for name in names {
                bench.write(name, name);
            }
        }
        assert_eq!(hash(&one), hash(&two));
        assert_eq!(look(&one.path(""), None).unwrap().tree.files, 2);
    }

    #[test]
    fn every_change_that_a_version_control_would_see_is_another_tree() {
        let bench = Bench::new();
        bench.write("a", "one");
        bench.write("b", "two");
        let mut seen = vec![hash(&bench)];
        let mut changed = |what: &str, bench: &Bench| {
            let now = hash(bench);
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        bench.write("a", "two");
        changed("content", &bench);
        bench.write("b", "one");
        changed("contents are not exchanged", &bench);
        std::fs::rename(bench.path("a"), bench.path("d")).unwrap();
        changed("name", &bench);
        std::os::unix::fs::symlink("d", bench.path("e")).unwrap();
        changed("a link", &bench);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(bench.path("d"), mode).unwrap();
        changed("mode", &bench);
        std::fs::remove_file(bench.path("b")).unwrap();
        changed("one less", &bench);
    }

    #[test]
    fn what_is_ignored_and_caches_are_no_part_of_it() {
        let bench = Bench::new();
        bench.write("a", "one");
        bench.write(".gitignore", "out\n");
        let before = hash(&bench);
        bench.write("out/x", "x");
        bench.write(".git/HEAD", "x");
        bench.write("node_modules/x/y", "x");
        bench.write("__pycache__/x", "x");
        bench.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# x");
        bench.write("target/x", "x");
        assert_eq!(hash(&bench), before);
        bench.write("other/CACHEDIR.TAG", "no such thing");
        assert_ne!(hash(&bench), before);
    }

    #[test]
    fn a_folder_with_another_name_is_a_change_and_what_is_ignored_in_it_is_none() {
        let bench = Bench::new();
        bench.write("src/a", "one");
        bench.write("src/deep/b", "two");
        bench.write(".gitignore", "out\n");
        let newest = || look(&bench.path(""), None).unwrap().newest_ms;
        let before = newest();
        std::thread::sleep(SETTLED);
        bench.write("src/out", "x");
        assert_eq!(newest(), before);
        std::fs::rename(bench.path("src/deep"), bench.path("src/other")).unwrap();
        assert!(newest() > before);
    }

    #[test]
    fn a_file_that_changes_between_two_looks_at_it_shows() {
        let bench = Bench::new();
        bench.write("a", "one");
        let path = bench.path("a");
        let file = Found { about: path.symlink_metadata().unwrap(), path };
        std::thread::sleep(SETTLED);
        bench.write("a", "two");
        let (_, _, about) = content(&file).unwrap();
        let about = about.unwrap();
        assert!(
            times(&about) != times(&file.about) && changed_ms(&about) > changed_ms(&file.about)
        );
        std::fs::remove_file(&file.path).unwrap();
        assert!(content(&file).unwrap().2.is_none());
    }

    #[test]
    fn pipes_and_links_out_of_it_hold_nobody_up() {
        let bench = Bench::new();
        bench.write("a", "one");
        let fifo = |name: &str| {
            let made = std::process::Command::new("mkfifo").arg(bench.path(name)).status();
            assert!(made.unwrap().success());
        };
        fifo("pipe");
        bench.write("b/c", "x");
        fifo("b/.gitignore");
        bench.write("d/e", "x");
        fifo("d/CACHEDIR.TAG");
        std::os::unix::fs::symlink("/", bench.path("out")).unwrap();
        let seen = look(&bench.path(""), None).unwrap();
        assert_eq!(seen.tree.files, 3, "a, d/e and the link itself");
    }

    #[test]
    fn what_is_known_is_not_read_again_and_never_believed_past_a_change() {
        let bench = Bench::new();
        bench.write("a", "one");
        let look = |known| look_at(unix_ms(), &bench.path(""), known).unwrap();
        let later = |known| look_at(unix_ms() + 60_000, &bench.path(""), known).unwrap();
        let fresh = look(None);
        assert_eq!(fresh.fingerprint, None, "it was written just now");
        let seen = later(None);
        assert_eq!((&seen.tree, seen.fingerprint.is_some()), (&fresh.tree, true));
        // What a look that reads nothing says is what it was told.
        let told = Seen { tree: Tree { hash: "told".into(), ..seen.tree.clone() }, ..seen.clone() };
        assert_eq!(later(Some(&told)).tree.hash, "told");
        assert_eq!(look(Some(&told)).tree, seen.tree, "it may change yet");
        bench.write("a", "three");
        let after = later(Some(&told));
        assert!(after.tree.hash != "told" && after.tree.hash != seen.tree.hash);
        assert!(after.newest_ms >= seen.newest_ms);
    }
}
