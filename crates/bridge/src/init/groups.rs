//! The control groups that programs join. The host makes a few empty groups below the one of all
//! work, and each program gets one to itself, so that ending it finds everything that it started,
//! wherever that hid. Nothing is made or removed here: a machine that could make groups could make
//! millions.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    rc::Rc,
};
use toft_jail::spec::PROGRAM_GROUP;

/// See the module.
pub(super) struct Groups {
    /// Joined by every program: limits, or one group for all work.
    shared: Vec<Rc<File>>,
    /// The group of all work that has groups for single programs below it.
    divided: Option<Divided>,
}

struct Divided {
    folder: PathBuf,
    /// Name of the file that a group is joined by.
    door: String,
    /// Joined when every single group is taken.
    common: Rc<File>,
    slots: RefCell<Vec<Rc<Slot>>>,
    /// Where the search begins: after the one that was given last.
    next: Cell<usize>,
}

/// A group for one program at a time.
struct Slot {
    folder: PathBuf,
    door: Rc<File>,
    /// Number of the program that got it last.
    owner: Cell<u64>,
    /// Nothing in it can fork any more.
    closed: Cell<bool>,
}

/// A group that a program got. It is the program's until that group is empty and another gets it.
pub(super) struct OwnGroup {
    slot: Rc<Slot>,
    number: u64,
}

/// What one program joins.
pub(super) struct ProgramGroups {
    pub(super) join: Vec<Rc<File>>,
    pub(super) own: Option<OwnGroup>,
}

impl Groups {
    /// Opens `files`, which programs join by.
    pub(super) fn open(files: &[String]) -> io::Result<Self> {
        let mut groups = Self { shared: Vec::new(), divided: None };
        for path in files.iter().map(Path::new) {
            let file = Rc::new(writable(path)?);
            let (Some(folder), Some(door)) = (path.parent(), path.file_name()) else { continue };
            let slots = find_slots(folder, &door.to_string_lossy());
            if slots.is_empty() || groups.divided.is_some() {
                groups.shared.push(file);
                continue;
            }
            groups.divided = Some(Divided {
                folder: folder.to_owned(),
                door: door.to_string_lossy().into_owned(),
                common: file,
                slots: RefCell::new(slots),
                next: Cell::new(0),
            });
        }
        Ok(groups)
    }

    /// What the program `number` joins; numbers never repeat.
    pub(super) fn for_program(&self, number: u64) -> ProgramGroups {
        let mut join = self.shared.clone();
        let mut own = None;
        if let Some(divided) = &self.divided {
            match divided.free() {
                Some(slot) => {
                    slot.owner.set(number);
                    join.push(Rc::clone(&slot.door));
                    own = Some(OwnGroup { slot, number });
                }
                None => join.push(Rc::clone(&divided.common)),
            }
        }
        ProgramGroups { join, own }
    }
}

impl Divided {
    fn free(&self) -> Option<Rc<Slot>> {
        if let Some(slot) = self.look() {
            return Some(slot);
        }
        // The host makes most of them while init starts.
        let found = find_slots(&self.folder, &self.door);
        let mut slots = self.slots.borrow_mut();
        let new: Vec<_> =
            found.into_iter().filter(|f| slots.iter().all(|s| s.folder != f.folder)).collect();
        if new.is_empty() {
            return None;
        }
        self.next.set(slots.len());
        slots.extend(new);
        drop(slots);
        self.look()
    }

    fn look(&self) -> Option<Rc<Slot>> {
        let slots = self.slots.borrow();
        for step in 0..slots.len() {
            let at = (self.next.get() + step) % slots.len();
            if slots[at].ready() {
                self.next.set(at + 1);
                return Some(Rc::clone(&slots[at]));
            }
        }
        None
    }
}

impl Slot {
    /// Whether nothing lives in it, and something may.
    fn ready(&self) -> bool {
        if !fs::read(self.folder.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty()) {
            return false;
        }
        if self.closed.get() && tell(&self.folder.join("pids.max"), "max").is_ok() {
            self.closed.set(false);
        }
        !self.closed.get()
    }
}

impl OwnGroup {
    /// Its folder, while it is still this program's.
    pub(super) fn folder(&self) -> Option<&Path> {
        (self.slot.owner.get() == self.number).then_some(self.slot.folder.as_path())
    }

    /// Kills everything in it where the kernel can do that at once; elsewhere keeps what lives
    /// there from forking, so that it can be killed one by one.
    pub(super) fn kill(&self) {
        let Some(folder) = self.folder() else { return };
        if tell(&folder.join("cgroup.kill"), "1").is_err() {
            self.slot.closed.set(tell(&folder.join("pids.max"), "0").is_ok());
        }
    }
}

fn find_slots(folder: &Path, door: &str) -> Vec<Rc<Slot>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_name().as_encoded_bytes().starts_with(PROGRAM_GROUP.as_bytes()))
        .map(|e| e.path())
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .filter_map(|folder| {
            let door = Rc::new(writable(&folder.join(door)).ok()?);
            Some(Rc::new(Slot { folder, door, owner: Cell::new(0), closed: Cell::new(false) }))
        })
        .collect()
}

/// Opens a file that the kernel made: never creates one.
fn writable(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

fn tell(path: &Path, text: &str) -> io::Result<()> {
    writable(path)?.write_all(text.as_bytes())
}
