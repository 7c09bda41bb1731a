//! Images other than `host`, from real sources to machines that run.

mod archives;
mod oci;
mod over_host;
mod whole;

use super::lab::{GRACE, Lab, spec};
use archives::{busybox, gzip, rootfs};
use std::{fs, path::Path, sync::Arc};
use toft_machine::{
    backend::Backend as _,
    images::{ImageError, ImageKey, ImageKind, Images, Progress, Resolved, Source},
};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
};

fn images(lab: &Lab) -> &dyn Images {
    lab.native.images().unwrap()
}

async fn resolve(lab: &Lab, path: &Path) -> Resolved {
    images(lab).resolve(&Source::Path(path.to_owned())).await.unwrap()
}

async fn import(lab: &Lab, path: &Path) -> ImageKey {
    let found = resolve(lab, path).await;
    images(lab).import(&found, Arc::default()).await.unwrap();
    found.key
}

async fn machine_of(lab: &Lab, key: &ImageKey) -> ProjectId {
    let project = ProjectId::random();
    images(lab).create_from(&project, key).await.unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    project
}

#[tokio::test]
async fn a_root_tarball_becomes_machines_that_have_nothing_of_the_hosts_programs() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let path = lab.dir.path().join("little.tar.gz");
    fs::write(&path, gzip(&rootfs(&busybox))).unwrap();
    let found = resolve(&lab, &path).await;
    assert_eq!((found.kind, found.name.as_str()), (ImageKind::Tarball, "little"));
    let progress = Arc::new(Progress::default());
    let bytes = images(&lab).import(&found, Arc::clone(&progress)).await.unwrap();
    assert!(bytes > 2 << 20, "{bytes}");
    let seen = progress.seen();
    assert_eq!((seen.stage, seen.done_bytes), ("unpacking", seen.total_bytes));
    assert_eq!(images(&lab).kept().await.unwrap(), std::slice::from_ref(&found.key));

    let one = machine_of(&lab, &found.key).await;
    assert_eq!(lab.says(&one, "cat /etc/os-release").await, "ID=little");
    assert_eq!(lab.says(&one, "id -u").await, "0");
    assert_eq!(lab.says(&one, "ls /usr").await, "bin\nlocal\nshare-of-noise");
    assert_eq!(lab.says(&one, "echo $SHELL").await, "/bin/sh");
    // Whoever asks for bash gets the image's own shell.
    let (out, exit) = lab.exec(&one, &["/usr/local/bin/bash", "-lc", "echo $((6*7)) $0"]).await;
    assert_eq!((out.trim().split(' ').next(), exit.code), (Some("42"), Some(0)), "{out}");
    assert!(lab.says(&one, "cat /etc/hosts").await.contains("gateway.internal"));
    assert!(lab.says(&one, "cat /etc/passwd").await.starts_with("root:x:0:0:"));
    for path in ["/proc/self", "/dev/null", "/sys", "/run/toft/toft", "/home/project"] {
        lab.says(&one, &format!("ls -d {path}")).await;
    }

    // The second one is a copy that has cost nothing, and knows nothing of the first.
    lab.says(&one, "touch /etc/mine && rm /etc/drop-me").await;
    let two = machine_of(&lab, &found.key).await;
    assert_eq!(lab.says(&two, "cat /etc/drop-me").await, "old");
    assert_ne!(lab.shell(&two, "ls /etc/mine").await.1.code, Some(0));
    let used = lab.native.disk(&two).await.unwrap().exclusive_bytes;
    match used {
        Some(used) => assert!(used < 1 << 20, "its {used} bytes are not shared"),
        None => println!("not tried: nothing counts disks here"),
    }

    // A checkpoint is stamped with the image, and compares without any folder of the host.
    let id = CheckpointId::random();
    lab.native.stop(&one, GRACE).await.unwrap();
    let taken = lab.native.checkpoint(&one, &id).await.unwrap();
    assert_eq!(taken.base, found.key.as_str());
    lab.native.start(spec(&one)).await.unwrap();
    lab.says(&one, "echo new > /usr/bin/added").await;
    let diff = lab.native.diff(&one, &id, None, 100).await.unwrap();
    let changed: Vec<&str> = diff.changes.iter().map(|c| c.path.as_str()).collect();
    assert!(changed.contains(&"/usr/bin/added"), "{changed:?}");
    let read = lab.native.read(&one, None, "/usr/bin/added", 100).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"new\n"[..]));

    // Without the image the projects stay what they are: restored, forked, started again.
    images(&lab).drop_image(&found.key).await.unwrap();
    images(&lab).drop_image(&found.key).await.unwrap();
    assert_eq!(images(&lab).kept().await.unwrap(), []);
    lab.native.stop(&one, GRACE).await.unwrap();
    let ticket =
        Ticket::Restore { checkpoint_id: id.clone(), label: None, at: 1, taken_at: 1, place: None };
    lab.native.restore(&one, &id, &ticket, false).await.unwrap();
    lab.native.start(spec(&one)).await.unwrap();
    assert_ne!(lab.shell(&one, "ls /usr/bin/added").await.1.code, Some(0));
    let fork = ProjectId::random();
    let ticket =
        Ticket::Fork { from: one.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
    lab.native.fork(&one, Some(&id), &fork, &ticket).await.unwrap();
    lab.native.start(spec(&fork)).await.unwrap();
    assert_eq!(lab.says(&fork, "cat /etc/os-release").await, "ID=little");
    let gone = images(&lab).create_from(&ProjectId::random(), &found.key).await;
    assert!(matches!(gone, Err(ImageError::Missing(_))), "{gone:?}");
    lab.close(&[&one, &two, &fork]).await;
}
