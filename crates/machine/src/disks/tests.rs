//! Copies of disks in plain folders, over a base that a test chooses. Nothing runs: what kills and pauses do
//! is told by the stories.

use super::*;
use crate::inside::ROOT;
use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use toft_model::checkpoint::Ticket;

/// Starts nothing; its disks lie over whatever a test says.
struct Fake {
    disks: Disks,
    base: Mutex<&'static str>,
    given: AtomicUsize,
    /// Removed with everything in it.
    _dir: tempfile::TempDir,
}

impl Deref for Fake {
    type Target = Disks;

    fn deref(&self) -> &Disks {
        &self.disks
    }
}

impl Copied for Fake {
    fn base(&self, _disk: &Path, _project: &ProjectId) -> Result<String, MachineError> {
        Ok((*self.base.lock().unwrap()).to_owned())
    }

    fn give_ids(&self, _project: &ProjectId) -> Result<bool, MachineError> {
        self.given.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }
}

const FILE: &str = "home/project/file";

fn fake() -> Fake {
    let dir = tempfile::tempdir().unwrap();
    let folders = Folders::open(&dir.path().join("data")).unwrap();
    fs::create_dir_all(folders.store()).unwrap();
    fs::write(folders.store().join("kind"), "plain").unwrap();
    let pool = Pool::open(&folders.store(), None).unwrap();
    let disks = Disks::new(folders, pool);
    Fake { disks, base: Mutex::new("one"), given: AtomicUsize::default(), _dir: dir }
}

fn project(fake: &Fake) -> ProjectId {
    let project = ProjectId::random();
    for folder in ["home/starter/sessions", "home/project"] {
        fs::create_dir_all(fake.disk(&project).join(ROOT).join(folder)).unwrap();
    }
    write(fake, &project, "old");
    project
}

fn write(fake: &Fake, project: &ProjectId, text: &str) {
    fs::write(fake.disk(project).join(ROOT).join(FILE), text).unwrap();
}

fn read(fake: &dyn Copied, project: &ProjectId, at: Option<&CheckpointId>) -> String {
    let bytes = fake.read(project, at, &format!("/{FILE}"), 100).unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

fn ticket(id: &CheckpointId) -> Ticket {
    Ticket::Restore { checkpoint_id: id.clone(), label: None, at: 0, taken_at: 0, place: None }
}

#[test]
fn a_disk_goes_back_over_another_base_only_by_force_and_is_forked_once_that_is_taken_up() {
    let fake = fake();
    let copied: &dyn Copied = &fake;
    let (one, fork) = (project(&fake), ProjectId::random());
    let (first, second) = (CheckpointId::random(), CheckpointId::random());
    assert_eq!(copied.checkpoint(&one, &first).unwrap().base, "one");
    write(&fake, &one, "new");
    *fake.base.lock().unwrap() = "two";
    assert_eq!(copied.checkpoint(&one, &first).unwrap().base, "one", "it is there");
    assert_eq!(read(copied, &one, Some(&first)), "old");

    let refused = copied.restore(&one, &first, &ticket(&first), false).unwrap_err();
    assert!(matches!(refused, MachineError::BaseChanged { .. }), "{refused}");
    assert_eq!(read(copied, &one, None), "new");
    let old = copied.restore(&one, &first, &ticket(&first), true).unwrap();
    assert_eq!(read(copied, &one, None), "old");
    assert_eq!(fs::read_to_string(old.join(ROOT).join(FILE)).unwrap(), "new", "not waited for");
    assert_eq!(old.parent(), Some(&*fake.pool.scratch()), "where the next server removes it");
    copied.remove_replaced(&old, &one);

    // No bridge has seen that it went back: neither the disk nor what is kept of it is whole.
    copied.checkpoint(&one, &second).unwrap();
    for at in [None, Some(&second)] {
        let refused = copied.fork(&one, at, &fork, &ticket(&first)).unwrap_err();
        assert!(matches!(refused, MachineError::Unable { .. }), "{refused}");
    }
    assert_eq!(fake.given.load(Ordering::SeqCst), 0, "ids for a project that is not made");
    copied.fork(&one, Some(&first), &fork, &ticket(&first)).unwrap();
    assert_eq!(read(copied, &fork, None), "old");
    assert_eq!(fake.given.load(Ordering::SeqCst), 1);
    assert_eq!(fs::read_dir(fake.pool.scratch()).unwrap().count(), 0);
}

#[test]
fn halves_of_checkpoints_are_swept_and_the_last_one_takes_their_folder_along() {
    let fake = fake();
    let copied: &dyn Copied = &fake;
    let one = project(&fake);
    let (kept, half) = (CheckpointId::random(), CheckpointId::random());
    copied.checkpoint(&one, &kept).unwrap();
    let folder = fake.kept_folder(&one);
    // A server was killed before the copy.
    symlink("one", folder.join(format!("{half}.base"))).unwrap();
    let before = fs::read_dir(&folder).unwrap().count();
    fake.sweep_checkpoints(&one);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), before - 1);
    assert_eq!(fake.checkpoints(&one).unwrap(), std::slice::from_ref(&kept));
    assert_eq!(fake.projects_with_checkpoints(), std::slice::from_ref(&one));

    fake.drop_checkpoint(&one, &half).unwrap();
    fake.drop_checkpoint(&one, &kept).unwrap();
    assert!(!folder.exists());
    assert_eq!(fake.checkpoints(&one).unwrap(), []);
    copied.checkpoint(&one, &kept).unwrap();
    fake.drop_checkpoints(&one).unwrap();
    assert_eq!(fake.projects_with_checkpoints(), []);
    assert_eq!(read(copied, &one, None), "old", "the disk itself stays");
}
