//! Id ranges of projects: each has 65,536 host ids of its own while it exists. A slot is a link
//! `store/slots/<n>` to the project's id, so taking one is atomic and outlives the server.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Mutex,
};
use toft_model::id::ProjectId;

/// First host id. From here to [`SLOTS_MAX`] ranges on, nothing is handed out by systemd
/// ("Users, Groups, UIDs and GIDs on systemd Systems") or by `useradd`'s defaults.
const FIRST_ID: u32 = 0x7000_0000;
/// Ids of one project.
pub(crate) const SLOT_IDS: u32 = 1 << 16;
/// Ranges before systemd's foreign ids begin.
const SLOTS_MAX: u32 = 4094;

/// Slots of one data folder.
#[derive(Debug)]
pub(crate) struct Slots {
    folder: PathBuf,
    taken: Mutex<HashMap<ProjectId, u32>>,
    first: u32,
}

impl Slots {
    /// Reads what is taken. Data folders on one host begin at different places, so that their
    /// machines rarely share a range (they could not see each other even then).
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut taken = HashMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let slot = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
            let project = fs::read_link(&path).ok().and_then(|t| t.to_str()?.parse().ok());
            if let (Some(slot), Some(project)) = (slot, project) {
                taken.insert(project, slot);
            }
        }
        let first = crc32c::crc32c(folder.as_os_str().as_encoded_bytes()) % SLOTS_MAX;
        Ok(Self { folder: folder.to_owned(), taken: Mutex::new(taken), first })
    }

    /// The first host id of a project's range, taken now if it has none.
    pub(crate) fn base(&self, project: &ProjectId) -> io::Result<u32> {
        let mut taken = self.taken.lock().expect("no holder panics");
        if let Some(slot) = taken.get(project) {
            return Ok(FIRST_ID + slot * SLOT_IDS);
        }
        for step in 0..SLOTS_MAX {
            let slot = (self.first + step) % SLOTS_MAX;
            match symlink(project.as_str(), self.folder.join(slot.to_string())) {
                Ok(()) => {
                    taken.insert(project.clone(), slot);
                    return Ok(FIRST_ID + slot * SLOT_IDS);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other(format!("all {SLOTS_MAX} id ranges are taken: delete a project")))
    }

    /// Gives a range back. The project's processes must be gone.
    pub(crate) fn release(&self, project: &ProjectId) -> io::Result<()> {
        let mut taken = self.taken.lock().expect("no holder panics");
        let Some(slot) = taken.get(project) else { return Ok(()) };
        match fs::remove_file(self.folder.join(slot.to_string())) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                taken.remove(project);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_stays_with_its_project_and_is_used_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::open(dir.path()).unwrap();
        let (one, two) = (ProjectId::random(), ProjectId::random());
        let base = slots.base(&one).unwrap();
        assert_eq!(slots.base(&one).unwrap(), base);
        assert!(slots.base(&two).unwrap().abs_diff(base) >= SLOT_IDS);
        let again = Slots::open(dir.path()).unwrap();
        assert_eq!(again.base(&one).unwrap(), base);
        again.release(&one).unwrap();
        again.release(&one).unwrap();
        assert_eq!(again.base(&ProjectId::random()).unwrap(), base);
    }

    #[test]
    fn no_range_reaches_the_ids_of_others() {
        assert!(u64::from(FIRST_ID) + u64::from(SLOTS_MAX) * u64::from(SLOT_IDS) <= 0x7FFE_0000);
    }
}
