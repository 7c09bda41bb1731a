//! A disk that all projects share gets full: who writes is paused and told, and goes on when there
//! is room; nothing that was written is lost.

use super::lab::{GRACE, Lab, is_root};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use toft_lane::skip;
use toft_machine::{
    backend::{Backend as _, MachineError, RoomState},
    native::{self, NativeConfig},
};
use toft_model::{checkpoint::CheckpointId, event::LimitKind, id::ProjectId};
use tokio::time::timeout;

/// A slow disk, shared with other tests.
const LONG: Duration = Duration::from_mins(3);

/// A small disk of the host's, in memory.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        Self::mount_with(&format!("size={mebibytes}m"))
    }

    /// `None`, and says why: it cannot be had. The options are those of tmpfs(5).
    pub(super) fn mount_with(options: &str) -> Option<Self> {
        let path = tempfile::tempdir().unwrap().keep();
        let options = std::ffi::CString::new(options).unwrap();
        match mount("none", &path, "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(Self(path)),
            Err(e) => {
                fs::remove_dir(&path).unwrap();
                skip("a full disk", format!("no small disk can be mounted: {e}"));
                None
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_write_stand_still_while_the_disk_is_full() {
    if !is_root() {
        skip("a full disk", "only root mounts a small disk");
        return;
    }
    let Some(disk) = SmallDisk::mount(700) else { return };
    let Some(lab) = Lab::open_at(&disk.0).await else { return };
    let is_enforced = lab.enforced("full disk").await;
    if lab.native.storage() != "btrfs loop image" || !is_enforced {
        let storage = lab.native.storage();
        skip("a full disk", format!("{storage}, enforced: {is_enforced}"));
        return lab.close(&[]).await;
    }
    let (mut room, mut hits) = (lab.native.room(), lab.native.limit_hits());
    let (project, running) = lab.machine().await;
    lab.says(&project, "head -c 60000000 /dev/urandom > ballast; sync -f .").await;
    let id = CheckpointId::random();
    lab.native.checkpoint(&project, &id).await.unwrap();
    lab.says(&project, "head -c 80000000 /dev/urandom > rest; sync -f .").await;
    // Writes numbered lines with a little noise, slowly enough to be seen.
    let writer = "import os, time\nn = 0\nf = open('lines', 'w')\nwhile True:\n    n += 1\n    \
                  f.write('%d %s\\n' % (n, os.urandom(32768).hex())); f.flush()\n    \
                  n % 8 or os.fdatasync(f.fileno()); time.sleep(0.005)\n";
    lab.says(&project, &format!("cat > w.py <<'END'\n{writer}END\n")).await;
    lab.says(&project, "python3 w.py >/dev/null 2>&1 &").await;
    timeout(LONG, room.wait_for(|room| room.state == RoomState::Short)).await.unwrap().unwrap();
    println!("short: {:?}", *room.borrow());
    let (whose, hit) = timeout(LONG, hits.recv()).await.unwrap().unwrap();
    println!("{hit:?}");
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Disk, None));
    assert_eq!(hit.command.as_deref(), Some("python3 w.py"));
    let why = lab.native.why_paused(&project).await.expect("it is paused");
    assert!(why.contains("disk is full") && why.contains("Delete files, checkpoints"), "{why}");
    // It stands still; everybody else goes on, and what looks after the machine is what it was.
    let size = async || lab.says(&project, "stat -c %s lines").await.parse::<u64>().unwrap();
    let then = size().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(size().await, then);
    // A new server takes over, and a checkpoint yields.
    let second = lab.reopen().await;
    let found = second.adopt(&project).await.unwrap().unwrap();
    assert_eq!(found.init_pid, running.init_pid);
    lab.native.close().await.unwrap();
    lab.says(&project, "rm ballast").await;
    second.drop_checkpoint(&project, &id).await.unwrap();
    let go_on = async {
        while size().await <= then {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, go_on).await.expect("it goes on");
    assert_eq!(second.why_paused(&project).await, None);
    lab.says(&project, "pkill -9 python3 || kill -9 -1; true").await;
    // Not one line is missing or torn, but for the last.
    let check = "awk 'NR != $1 || length($2) != 65536 { bad = NR } END { print NR, bad+0 }' lines";
    let counted = lab.says(&project, check).await;
    let (lines, bad) = counted.split_once(' ').unwrap();
    assert!(bad == "0" || bad == lines, "{counted}");
    second.stop(&project, GRACE).await.unwrap();
    drop(second);
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_as_fast_as_memory_takes_it_stands_still_before_a_write_fails() {
    if !is_root() {
        skip("a full disk", "only root mounts a small disk");
        return;
    }
    // As large as disks are of which all of the margin is kept: a busy host looks late.
    let Some(disk) = SmallDisk::mount(3200) else { return };
    let Some(lab) = Lab::open_at(&disk.0).await else { return };
    let is_enforced = lab.enforced("full disk").await;
    if lab.native.storage() != "btrfs loop image" || !is_enforced {
        skip("a full disk", format!("{}, full disk {is_enforced}", lab.native.storage()));
        return lab.close(&[]).await;
    }
    let mut hits = lab.native.limit_hits();
    let (project, _) = lab.machine().await;
    // What can be made smaller takes room for a moment only: it goes on, and nobody is told.
    lab.says(&project, "head -c 1900000000 /dev/zero > zeroes; sync -f .; rm zeroes").await;
    assert!(hits.try_recv().is_err(), "there was room");
    lab.says(&project, "head -c 800000000 /dev/urandom > ballast; sync -f .").await;
    lab.says(&project, "cat /dev/urandom > fill 2> said &").await;
    let (whose, hit) = timeout(LONG, hits.recv()).await.unwrap().unwrap();
    println!("{hit:?}");
    assert_eq!((&whose, hit.kind, hit.limit), (&project, LimitKind::Disk, None));
    assert_eq!(hit.command.as_deref(), Some("cat /dev/urandom"));
    assert_eq!(lab.says(&project, "cat said").await, "", "a write failed before");
    // With room it goes on by itself.
    let size = async || lab.says(&project, "stat -c %s fill").await.parse::<u64>().unwrap();
    let then = size().await;
    lab.says(&project, "rm ballast").await;
    let go_on = async {
        while size().await <= then {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, go_on).await.expect("it goes on");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_disks_together_are_bounded() {
    if !is_root() {
        skip("a bound for all disks", "only root has a disk image");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let exe = super::lab::exe();
    let data_dir = dir.path().join("data");
    let config = |bytes| NativeConfig {
        data_dir: data_dir.clone(),
        exe: exe.clone(),
        disk_bytes_max: Some(bytes),
    };
    let native = native::open(config(512 << 20)).await.unwrap();
    if native.storage() != "btrfs loop image" {
        skip("a bound for all disks", native.storage());
        return;
    }
    let project = ProjectId::random();
    native.create(&project).await.unwrap();
    let free = native.disk(&project).await.unwrap().free_bytes.unwrap();
    assert!(free < 512 << 20, "{free}");
    native.destroy(&project).await.unwrap();
    native.close().await.unwrap();
    drop(native);
    // The image stays as large as it was; what may be in it is another size, and that is what ends.
    let native = native::open(config(48 << 20)).await.unwrap();
    let abilities = native.abilities().await;
    let how = &abilities.iter().find(|a| a.name == "total disk limit").unwrap().how;
    assert!(how.contains("may take 48 MiB") && how.contains("an image of 512 MiB"), "{how}");
    let refused = native.create(&ProjectId::random()).await.unwrap_err();
    assert!(matches!(refused, MachineError::NoRoom { .. }), "{refused:?}");
    let said = refused.to_string();
    for words in ["it takes 64 MiB", "left of the 48 MiB that --disk-max", "Delete files"] {
        assert!(said.contains(words), "{said}");
    }
    native.close().await.unwrap();
}
