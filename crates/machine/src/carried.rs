//! What a project carries from one backend to another: the same few folders, wherever a backend keeps them, as
//! archives of tar's. Not the system around them: that is the backend's.

use crate::{
    backend::{MachineError, Part},
    error::step,
    inside::{FOLDER, ROOT, open_below, open_disk},
};
use rustix::{fs::syncfs, process::geteuid};
use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio, id},
};
use toft_model::id::ProjectId;

/// Attributes that programs set. Those of the system say what the host's own files may do.
const WHOLE: [&str; 3] = ["--numeric-owner", "--xattrs", "--xattrs-include=user.*"];
/// Of what tar complains about, the last.
const SAID_BYTES_MAX: u64 = 4 << 10;
/// Bits of a mode that make no program somebody else.
const PLAIN_MODE: u32 = 0o777;
/// Two blocks of zeros end an archive (tar(5)).
const NOTHING: [u8; 1024] = [0; 1024];
const PACKING: &str = "writing what the project carries";
const UNPACKING: &str = "reading what the project carries";

/// A folder on this host that is a part of a project.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// A path of the host's own.
    top: PathBuf,
    /// From there; programs of the machine may have made anything of it.
    below: PathBuf,
    /// Toft's own in it, which is another part or none: paths from there.
    without: Vec<String>,
    /// Whether its files are those of the user that runs Toft, whoever they belong to in a machine.
    is_persons: bool,
}

impl Place {
    /// On a disk that machines see as a whole system.
    pub(crate) fn on_disk(disk: &Path, log: &Path, part: Part) -> Self {
        let (top, below) = match part {
            Part::Project => (disk, Path::new(ROOT).join("home/project")),
            Part::Home => (disk, Path::new(ROOT).join("root")),
            Part::Own => (disk, Path::new(ROOT).join("home/starter")),
            Part::Log => (log, PathBuf::from(".")),
        };
        Self { top: top.to_owned(), below, without: Vec::new(), is_persons: false }
    }

    /// A plain folder.
    pub(crate) fn of_person(folder: PathBuf, without: &[&str]) -> Self {
        let without = without.iter().map(|path| (*path).to_owned()).collect();
        Self { top: folder, below: PathBuf::from("."), without, is_persons: true }
    }

    /// A plain folder in a system that is all the project's: its files belong to whom they belonged.
    pub(crate) fn of_system(folder: PathBuf, without: Vec<String>) -> Self {
        Self { top: folder, below: PathBuf::from("."), without, is_persons: false }
    }

    /// The same place as one of such a system.
    pub(crate) fn in_system(self) -> Self {
        Self { is_persons: false, ..self }
    }

    fn open(&self) -> io::Result<OwnedFd> {
        Ok(open_below(open_disk(&self.top)?, &self.below, FOLDER)?)
    }
}

/// Whether this process may: files of machines belong to ids that an ordinary user may not give.
pub(crate) fn may() -> Result<(), String> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err("files of machines belong to other users, which only a server that runs as root may give to another machine".to_owned())
}

pub(crate) fn pack(project: &ProjectId, place: &Place, to: OwnedFd) -> Result<(), MachineError> {
    let pack = || -> io::Result<()> {
        let folder = place.open()?;
        let mut tar = tar(&folder, place);
        tar.args(["--create", "--sparse", "--file=-"]);
        if place.is_persons {
            // Whoever that is here, in a machine it is the first user.
            tar.args(["--owner=0", "--group=0"]);
        }
        tar.arg(".").stdin(Stdio::null()).stdout(to);
        done(tar)
    };
    pack().map_err(step(project, PACKING))
}

pub(crate) fn unpack(
    project: &ProjectId,
    place: &Place,
    from: OwnedFd,
) -> Result<(), MachineError> {
    let unpack = || -> io::Result<()> {
        let folder = place.open()?;
        let mut tar = tar(&folder, place);
        tar.args(["--extract", "--file=-"]);
        if place.is_persons {
            tar.args(["--no-same-owner", "--no-same-permissions"]);
        } else {
            tar.args(["--same-owner", "--preserve-permissions"]);
        }
        tar.stdin(from).stdout(Stdio::null());
        done(tar)?;
        tame(&path_of(&folder), place.is_persons)?;
        // It is to outlive a power cut before it takes another one's place.
        Ok(syncfs(&folder)?)
    };
    unpack().map_err(step(project, UNPACKING))
}

/// An archive of nothing, of what has no place here.
pub(crate) fn nothing(project: &ProjectId, to: OwnedFd) -> Result<(), MachineError> {
    File::from(to).write_all(&NOTHING).map_err(step(project, PACKING))
}

/// Reads to the end what has no place here.
pub(crate) fn pass_over(project: &ProjectId, from: OwnedFd) -> Result<(), MachineError> {
    let passed = io::copy(&mut File::from(from), &mut io::sink());
    passed.map(|_| ()).map_err(step(project, UNPACKING))
}

/// Removes what is neither file, folder nor link; a person's own files make no program somebody else.
fn tame(folder: &Path, is_persons: bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            tame(&path, is_persons)?;
        } else if kind.is_block_device() || kind.is_char_device() {
            fs::remove_file(&path)?;
        } else if is_persons && kind.is_file() {
            let mode = entry.metadata()?.permissions().mode();
            if mode & 0o7777 != mode & PLAIN_MODE {
                fs::set_permissions(&path, Permissions::from_mode(mode & PLAIN_MODE))?;
            }
        }
    }
    Ok(())
}

/// The folder itself, whatever its path leads to by now.
fn path_of(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", id(), folder.as_raw_fd()))
}

fn tar(folder: &OwnedFd, place: &Place) -> Command {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(path_of(folder)).args(WHOLE);
    if !place.without.is_empty() {
        tar.args(["--anchored", "--no-wildcards"]);
    }
    tar.args(place.without.iter().map(|path| format!("--exclude=./{path}")));
    tar
}

pub(crate) fn done(mut tar: Command) -> io::Result<()> {
    let mut child = tar.stderr(Stdio::piped()).spawn().map_err(|e| {
        io::Error::new(e.kind(), format!("`tar` cannot be started ({e}): install GNU tar"))
    })?;
    // Ours would keep the pipe open to whoever reads it.
    drop(tar);
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut first = stderr.take(SAID_BYTES_MAX);
        // What it names may be no text.
        let mut bytes = Vec::new();
        first.read_to_end(&mut bytes)?;
        said = String::from_utf8_lossy(&bytes).into_owned();
        io::copy(&mut first.into_inner(), &mut io::sink())?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("tar ended with {status}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn carry(from: &Place, to: &Place) -> Result<(), MachineError> {
        let project = ProjectId::random();
        let (read, write) = io::pipe().unwrap();
        std::thread::scope(|scope| {
            let packed = scope.spawn(|| pack(&project, from, write.into()));
            let unpacked = unpack(&project, to, read.into());
            packed.join().unwrap().and(unpacked)
        })
    }

    fn disk(top: &Path) -> PathBuf {
        fs::create_dir_all(top.join(ROOT).join("home/project")).unwrap();
        top.to_owned()
    }

    #[test]
    fn files_arrive_with_what_they_are_and_become_the_persons_own_in_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (disk(&dir.path().join("a")), disk(&dir.path().join("b")));
        let log = dir.path().join("log");
        let inner = |disk: &Path| disk.join(ROOT).join("home/project");
        for path in [".toft/log", ".toft/skills"] {
            fs::create_dir_all(inner(&a).join(path)).unwrap();
            fs::write(inner(&a).join(path).join("of-project"), "x").unwrap();
        }
        fs::write(inner(&a).join("run"), "go").unwrap();
        fs::set_permissions(inner(&a).join("run"), Permissions::from_mode(0o4755)).unwrap();
        symlink("/etc/passwd", inner(&a).join("link")).unwrap();
        let of = |disk: &Path| Place::on_disk(disk, &log, Part::Project);
        carry(&of(&a), &of(&b)).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        if may().is_ok() {
            assert_eq!(mode(&inner(&b).join("run")), 0o4755);
        }
        assert_eq!(fs::read_link(inner(&b).join("link")).unwrap(), Path::new("/etc/passwd"));

        let folder = dir.path().join("folder");
        fs::create_dir_all(folder.join(".toft/log")).unwrap();
        let person = Place::of_person(folder.clone(), &[".toft/home", ".toft/log"]);
        carry(&of(&b), &person).unwrap();
        assert_eq!(fs::read_to_string(folder.join("run")).unwrap(), "go");
        assert_eq!(mode(&folder.join("run")), 0o755, "nobody becomes somebody else by it");
        assert!(!folder.join(".toft/log/of-project").exists(), "Toft's own folder is another part");
        assert!(folder.join(".toft/skills/of-project").exists(), "and this is the project's");
        // And back, without what is Toft's.
        fs::write(folder.join(".toft/log/own"), "x").unwrap();
        let c = disk(&dir.path().join("c"));
        carry(&person, &of(&c)).unwrap();
        assert!(inner(&c).join("run").exists() && !inner(&c).join(".toft/log").exists());
        assert!(inner(&c).join(".toft/skills/of-project").exists());
        assert_eq!(fs::metadata(inner(&c).join("run")).unwrap().uid(), geteuid().as_raw());
    }

    #[test]
    fn a_system_of_the_projects_own_keeps_modes_and_leaves_out_what_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (home, to) = (dir.path().join("home"), dir.path().join("to"));
        for folder in [".toft", "projects/a", "projects/b", "own/.toft"] {
            fs::create_dir_all(home.join(folder)).unwrap();
            fs::write(home.join(folder).join("file"), folder).unwrap();
        }
        fs::set_permissions(home.join("own/.toft/file"), Permissions::from_mode(0o6711)).unwrap();
        fs::create_dir(&to).unwrap();
        let without = || vec![".toft".to_owned(), "projects/a".to_owned()];
        let plain = |folder: &Path| Place::of_system(folder.to_owned(), Vec::new());
        let some = |folder: &Path| Place::of_system(folder.to_owned(), without());
        // Left out by who gives and by who takes.
        for (from, into) in [(some(&home), plain(&to)), (plain(&home), some(&to))] {
            carry(&from, &into).unwrap();
            assert!(!to.join(".toft").exists() && !to.join("projects/a").exists());
            assert_eq!(fs::read_to_string(to.join("projects/b/file")).unwrap(), "projects/b");
            let kept = fs::metadata(to.join("own/.toft/file")).unwrap();
            if may().is_ok() {
                assert_eq!(kept.mode() & 0o7777, 0o6711);
            }
            fs::remove_dir_all(&to).unwrap();
            fs::create_dir(&to).unwrap();
        }
    }

    #[test]
    fn a_folder_that_became_a_link_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (disk(&dir.path().join("a")), disk(&dir.path().join("b")));
        let log = dir.path().join("log");
        fs::write(a.join(ROOT).join("home/project/file"), "x").unwrap();
        let target = dir.path().join("target");
        fs::create_dir(&target).unwrap();
        for made_link in ["home/project", "home"] {
            let place = b.join(ROOT).join(made_link);
            fs::remove_dir_all(&place).unwrap();
            symlink(&target, &place).unwrap();
            let of = |disk: &Path| Place::on_disk(disk, &log, Part::Project);
            assert!(carry(&of(&a), &of(&b)).is_err());
            assert!(carry(&of(&b), &of(&a)).is_err());
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
            fs::remove_file(&place).unwrap();
            fs::create_dir_all(b.join(ROOT).join("home/project")).unwrap();
        }
    }

    #[test]
    fn a_part_that_one_of_both_has_not_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let project = ProjectId::random();
        let (read, write) = io::pipe().unwrap();
        nothing(&project, write.into()).unwrap();
        let place = Place::of_person(dir.path().to_owned(), &[]);
        unpack(&project, &place, read.into()).unwrap();
        let (read, write) = io::pipe().unwrap();
        fs::write(dir.path().join("file"), vec![0; 1 << 20]).unwrap();
        std::thread::scope(|scope| {
            let packed = scope.spawn(|| pack(&project, &place, write.into()));
            pass_over(&project, read.into()).unwrap();
            packed.join().unwrap().unwrap();
        });
    }
}
