//! Machines that start while there is no room on their disk: all of the system can be changed in them
//! as soon as there is some, or they do not start and say why. Never half.

use super::{
    full::SmallDisk,
    lab::{GRACE, Lab, is_root, spec},
};
use std::{fs, os::unix::fs::symlink};
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{id::ProjectId, machine::Limits};

const MIB: u64 = 1 << 20;
/// What a package manager does, in each of its folders: a new file, a changed one, a removed one.
const CHANGE: &str = "set -e; for d in /usr /usr/share/misc /var/lib/dpkg; do mkdir -p $d; \
                      echo new > $d/toft-$N; done; cp -p /usr/bin/env /usr/bin/env.new; \
                      mv /usr/bin/env.new /usr/bin/env; rm -f /usr/bin/yes; sync -f /usr; echo done";
/// Data until nothing more goes in, then names, then names that are as small as they can be.
const FILL: &str = "cat /dev/urandom > /home/project/fill; sync -f .; i=0; \
                    while [ $i -lt 3000 ] && : > /home/project/name-$i; do i=$((i+1)); done; \
                    mkdir /home/project/more; sync -f .";

impl Lab {
    async fn starts(&self, project: &ProjectId, disk_bytes: u64) -> Result<(), MachineError> {
        let mut spec = spec(project);
        spec.limits = Limits { disk_bytes: Some(disk_bytes), ..Limits::default() };
        self.native.start(spec).await.map(|_| ())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_disk_is_full_starts_with_a_system_that_can_be_changed_when_there_is_room()
{
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("disk limit").await {
        toft_lane::skip("a start on a full disk", "nothing bounds disks here");
        return lab.close(&[]).await;
    }
    let project = ProjectId::random();
    lab.native.create(&project).await.unwrap();
    lab.starts(&project, 32 * MIB).await.unwrap();
    assert_eq!(lab.says(&project, &format!("N=0; {CHANGE}")).await, "done");
    let bound = async || lab.native.disk(&project).await.unwrap().quota_bytes;
    // Again and again: what a start takes, it gives back.
    for n in 1..4 {
        lab.shell(&project, FILL).await;
        lab.native.stop(&project, GRACE).await.unwrap();
        lab.starts(&project, 32 * MIB).await.unwrap();
        assert_eq!(bound().await, Some(32 * MIB), "start {n}");
        let (out, exit) = lab.shell(&project, &format!("N={n}; {CHANGE}")).await;
        assert!(exit.code != Some(0), "{out}");
        assert!(!out.to_lowercase().contains("read-only"), "{out}");
        assert!(out.to_lowercase().contains("quota exceeded"), "{out}");
        let used = lab.native.disk(&project).await.unwrap().exclusive_bytes.unwrap();
        assert!(used <= 33 * MIB, "start {n}: {used}");
    }
    // Room is made from inside, and nothing is started again.
    lab.says(&project, "rm -rf fill name-* more; sync -f .").await;
    assert_eq!(lab.says(&project, &format!("N=4; {CHANGE}")).await, "done");
    lab.shell(&project, FILL).await;
    lab.native.stop(&project, GRACE).await.unwrap();
    lab.starts(&project, 32 * MIB).await.unwrap();
    // Room is given from outside.
    let more = Limits { disk_bytes: Some(64 * MIB), ..Limits::default() };
    lab.native.set_limits(&project, &more).await.unwrap();
    assert_eq!(lab.says(&project, &format!("N=5; {CHANGE}")).await, "done");
    // A bound far below what is in use.
    lab.native.stop(&project, GRACE).await.unwrap();
    lab.starts(&project, 2 * MIB).await.unwrap();
    assert_eq!(bound().await, Some(2 * MIB));
    let (out, _) = lab.shell(&project, &format!("N=6; {CHANGE}")).await;
    assert!(out.to_lowercase().contains("quota exceeded"), "{out}");
    lab.native.set_limits(&project, &Limits::default()).await.unwrap();
    assert_eq!(lab.says(&project, &format!("N=7; {CHANGE}")).await, "done");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_on_a_full_disk_leaves_the_hosts_that_a_machine_knows() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("disk limit").await {
        toft_lane::skip("a new name on a full disk", "nothing bounds disks here");
        return lab.close(&[]).await;
    }
    let project = ProjectId::random();
    lab.native.create(&project).await.unwrap();
    lab.starts(&project, 32 * MIB).await.unwrap();
    lab.shell(&project, FILL).await;
    lab.native.stop(&project, GRACE).await.unwrap();
    let mut renamed = spec(&project);
    renamed.name = "Another".to_owned();
    renamed.limits.disk_bytes = Some(32 * MIB);
    lab.native.start(renamed).await.unwrap();
    let hosts = lab.says(&project, "cat /etc/hosts; hostname; cat /etc/hostname; ls -A /etc").await;
    assert!(hosts.contains("gateway.internal") && hosts.contains("127.0.1.1\tanother"), "{hosts}");
    assert!(hosts.contains("another\nanother\n") && !hosts.contains(".toft-name"), "{hosts}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_without_room_for_the_systems_layers_nothing_starts_half() {
    if !is_root() {
        toft_lane::skip("layers without room", "only root mounts a small disk");
        return;
    }
    // Only what the machines' disks lie on is full: everything else of a start has room.
    let Some(disk) = SmallDisk::mount_with("size=200m,nr_inodes=6000") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/store")).unwrap();
    fs::write(dir.path().join("data/store/kind"), "plain").unwrap();
    symlink(disk.path(), dir.path().join("data/store/pool")).unwrap();
    let Some(lab) = Lab::open_in(dir).await else { return };
    let (project, _) = lab.machine().await;
    lab.native.stop(&project, GRACE).await.unwrap();
    let ballast = disk.path().join("ballast");
    fs::create_dir(&ballast).unwrap();
    let made = (0..6000).take_while(|n| fs::write(ballast.join(n.to_string()), "").is_ok()).count();
    println!("{made} more files went in");
    let refused = lab.native.start(spec(&project)).await.map(|_| ());
    assert!(matches!(refused, Err(MachineError::DiskFull { .. })), "{refused:?}");
    fs::remove_dir_all(&ballast).unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, &format!("N=0; {CHANGE}")).await, "done");
    lab.close(&[&project]).await;
}
