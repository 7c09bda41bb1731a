//! A machine's tree, put together on the host from its disk and what it shows of the host, for
//! reading files while nobody inside can be asked. Paths are walked name by name and links are
//! followed in here, below the machine's own root: the kernel never gets more than one name, and no
//! link. Not for writing.

use super::{
    layers::{Folder, Found},
    open_below,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, openat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

/// Links on the way to one file, as the kernel has it (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// Names looked up for one path: many times the longest path, and milliseconds.
const STEPS_MAX: usize = 20_000;
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A part of the tree: what shows at `target` and below, as far as no other part does.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) target: PathBuf,
    pub(crate) source: Source,
}

/// Where a part comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A folder of the disk, by its path there.
    Disk(PathBuf),
    /// A file or folder of the machine's own beside its disk, by the host's path.
    Beside(PathBuf),
    /// A layer on the disk over a folder of the host's; for `ids` see [`Found::hosts`].
    Layer { upper: PathBuf, lower: PathBuf, ids: u32 },
    /// A file or folder of the host.
    Host { path: PathBuf, ids: u32 },
    /// It is there only while the machine runs.
    Absent,
}

/// Why a path could not be walked.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It lies in a part that is not there at rest.
    Absent,
    Failed(Errno),
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

/// Where a path ends.
#[derive(Debug)]
pub(crate) enum End {
    Folder(Folder),
    /// Anything else but a link.
    Other(Found),
}

/// A tree; see the module.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The top folder of the disk: once opened, always the same one.
    pub(crate) disk: OwnedFd,
    pub(crate) parts: Vec<Part>,
}

impl Tree {
    /// What is at an absolute path, links followed, and what the path is without them.
    pub(crate) fn walk(&self, path: &Path) -> Result<(End, PathBuf), Stop> {
        let mut walk = Walk { tree: self, names: PathBuf::from("/"), here: None, steps: 0 };
        walk.start()?;
        let mut links = 0;
        let mut ahead: Vec<Step> = steps(path);
        while let Some(step) = ahead.pop() {
            let Step::Down(name) = step else {
                match step {
                    Step::Top => walk.start()?,
                    Step::Up | Step::Down(_) => walk.up()?,
                }
                continue;
            };
            match walk.down(&name)? {
                None => {}
                Some(found) if found.kind() == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP.into());
                    }
                    let target = found.target()?;
                    if target.is_empty() {
                        return Err(Errno::NOENT.into());
                    }
                    ahead.extend(steps(Path::new(&target)));
                }
                Some(_) if !ahead.is_empty() => return Err(Errno::NOTDIR.into()),
                Some(found) => {
                    walk.names.push(&name);
                    return Ok((End::Other(found), walk.names));
                }
            }
        }
        let here = walk.here.ok_or(Stop::Absent)?;
        Ok((End::Folder(here), walk.names))
    }

    /// The part that begins at a path.
    fn part(&self, at: &Path) -> Option<&Part> {
        // What is shown later lies over what was shown before.
        self.parts.iter().rev().find(|part| part.target == at)
    }

    /// What a part shows at its place. `None`: the host has no such thing now.
    pub(crate) fn open(&self, part: &Part) -> Result<Option<End>, Stop> {
        let opened = match &part.source {
            Source::Absent => return Err(Stop::Absent),
            Source::Disk(path) if path.as_os_str().is_empty() => {
                openat(&self.disk, c".", LOOK, Mode::empty()).and_then(Found::own)
            }
            Source::Disk(path) => open_below(&self.disk, path, LOOK).and_then(Found::own),
            Source::Beside(path) => openat(CWD, path, LOOK, Mode::empty()).and_then(Found::own),
            Source::Host { path, ids } => {
                openat(CWD, path, LOOK, Mode::empty()).and_then(|fd| Found::hosts(fd, *ids))
            }
            Source::Layer { upper, lower, ids } => {
                let own = match open_below(&self.disk, upper, LOOK | OFlags::DIRECTORY) {
                    Err(Errno::NOENT) => None,
                    opened => Some(Found::own(opened?)?),
                };
                let below = openat(CWD, lower, LOOK | OFlags::DIRECTORY, Mode::empty())?;
                let folder = Folder::layered(own, Found::hosts(below, *ids)?);
                return Ok(Some(End::Folder(folder)));
            }
        };
        match opened {
            Ok(found) if found.kind() == FileType::Directory => {
                Ok(Some(End::Folder(Folder::plain(found))))
            }
            Ok(found) => Ok(Some(End::Other(found))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a path is on the way to a part.
    fn is_way(&self, path: &Path) -> bool {
        self.parts.iter().any(|part| part.target != path && part.target.starts_with(path))
    }

    /// Parts that begin right in a folder, by name.
    pub(crate) fn parts_in(&self, folder: &Path) -> impl Iterator<Item = (&OsStr, &Part)> {
        self.parts.iter().filter_map(move |part| {
            (part.target.parent()? == folder).then_some((part.target.file_name()?, part))
        })
    }
}

#[derive(Debug)]
enum Step {
    Top,
    Up,
    Down(OsString),
}

/// The steps of a path, the last one first.
fn steps(path: &Path) -> Vec<Step> {
    let steps = path.components().rev().filter_map(|part| match part {
        Component::RootDir => Some(Step::Top),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    });
    steps.collect()
}

struct Walk<'a> {
    tree: &'a Tree,
    /// Where it is: no link among them.
    names: PathBuf,
    /// The folder there. `None`: only a way to parts of the tree.
    here: Option<Folder>,
    steps: usize,
}

impl Walk<'_> {
    fn start(&mut self) -> Result<(), Stop> {
        self.names = PathBuf::from("/");
        self.here = None;
        if let Some(part) = self.tree.part(&self.names)
            && let Some(End::Folder(folder)) = self.tree.open(part)?
        {
            self.here = Some(folder);
        }
        Ok(())
    }

    /// To the folder above, from the top again: descriptors of all folders on the way would be as many
    /// as a hostile tree is deep.
    fn up(&mut self) -> Result<(), Stop> {
        let above = self.names.parent().unwrap_or(Path::new("/")).to_owned();
        self.start()?;
        for name in above.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        }) {
            // Changed meanwhile, by programs that are just being ended.
            if self.down(name)?.is_some() {
                return Err(Errno::NOTDIR.into());
            }
        }
        Ok(())
    }

    /// Into a folder; or what else is there, without going there.
    fn down(&mut self, name: &OsStr) -> Result<Option<Found>, Stop> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Errno::LOOP.into());
        }
        let there = self.names.join(name);
        let shown = match self.tree.part(&there) {
            Some(part) => self.tree.open(part)?,
            None => None,
        };
        let folder = match (shown, &self.here) {
            (Some(End::Other(found)), _) => return Ok(Some(found)),
            (Some(End::Folder(folder)), _) => Some(folder),
            (None, Some(here)) => match here.find(name) {
                Ok(found) if found.kind() == FileType::Directory => Some(here.enter(name, found)?),
                Ok(found) => return Ok(Some(found)),
                // Made on the disk at the first start.
                Err(Errno::NOENT) if self.tree.is_way(&there) => None,
                Err(error) => return Err(error.into()),
            },
            (None, None) if self.tree.is_way(&there) => None,
            (None, None) => return Err(Stop::Absent),
        };
        self.here = folder;
        self.names = there;
        Ok(None)
    }
}

/// Opens the top folder of a disk. `None`: there is none.
pub(crate) fn top(disk: &Path) -> io::Result<Option<OwnedFd>> {
    match super::open_disk(disk) {
        Ok(top) => Ok(Some(top)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
