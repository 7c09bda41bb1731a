//! A disk that all projects share gets full: who writes is paused and told, and goes on when there
//! is room; nothing that was written is lost.

use super::lab::{GRACE, Lab, is_root};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{fs, path::PathBuf, time::Duration};
use toft_machine::{
    backend::{Backend as _, RoomState},
    native::{self, NativeConfig},
};
use toft_model::{checkpoint::CheckpointId, event::LimitKind, id::ProjectId};
use tokio::time::timeout;

/// A slow disk, shared with other tests.
const LONG: Duration = Duration::from_mins(3);

/// A small disk of the host's, in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Option<Self> {
        let path = tempfile::tempdir().unwrap().keep();
        let size = std::ffi::CString::new(format!("size={mebibytes}m")).unwrap();
        match mount("none", &path, "tmpfs", MountFlags::empty(), size.as_c_str()) {
            Ok(()) => Some(Self(path)),
            Err(e) => {
                fs::remove_dir(&path).unwrap();
                println!("skipped: no small disk can be mounted: {e}");
                None
            }
        }
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
        println!("skipped: only root mounts a small disk");
        return;
    }
    let Some(disk) = SmallDisk::mount(700) else { return };
    let Some(lab) = Lab::open_at(&disk.0).await else { return };
    let is_enforced = lab.enforced("full disk").await;
    if lab.native.storage() != "btrfs loop image" || !is_enforced {
        println!("skipped: {}, full disk {is_enforced}", lab.native.storage());
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
async fn all_disks_together_are_bounded() {
    if !is_root() {
        println!("skipped: only root has a disk image");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let exe = super::lab::exe();
    let data_dir = dir.path().join("data");
    let config = NativeConfig { data_dir, exe, disk_bytes_max: Some(512 << 20) };
    let native = native::open(config).await.unwrap();
    if native.storage() != "btrfs loop image" {
        println!("skipped: {}", native.storage());
        return;
    }
    let project = ProjectId::random();
    native.create(&project).await.unwrap();
    let free = native.disk(&project).await.unwrap().free_bytes.unwrap();
    assert!(free < 512 << 20, "{free}");
    native.destroy(&project).await.unwrap();
    native.close().await.unwrap();
}
