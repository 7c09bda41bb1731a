//! An image is there whole or not at all, also when a source changes, somebody gives up, several make
//! the same one, or it goes while a project is made of it.

use super::{
    archives::{MANY, append, busybox, gzip, of_many_files, rootfs},
    images, import, resolve,
};
use crate::lab::Lab;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tar::Builder;
use toft_machine::images::{ImageError, Images, Progress};
use toft_model::id::ProjectId;

#[tokio::test]
async fn an_image_is_there_whole_or_not_at_all() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let dir = lab.dir.path();
    let whole = gzip(&rootfs(&busybox));
    let path = dir.join("cut.tar.gz");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = |path: PathBuf, progress: Arc<Progress>| {
        let lab = &lab;
        async move {
            let found = resolve(lab, &path).await;
            images(lab).import(&found, progress).await.unwrap_err()
        }
    };
    let cut = refused(path.clone(), Arc::default()).await;
    assert!(matches!(cut, ImageError::Refused(_)), "{cut}");
    // Changed between the look and the making.
    fs::write(&path, &whole).unwrap();
    let found = resolve(&lab, &path).await;
    let mut other = Builder::new(Vec::new());
    append(&mut other, "bin/sh", 0o755, &vec![b'x'; whole.len()]);
    fs::write(&path, &other.into_inner().unwrap()[..whole.len()]).unwrap();
    let changed = images(&lab).import(&found, Arc::default()).await.unwrap_err();
    assert!(changed.to_string().contains("cannot be unpacked"), "{changed}");
    // Given up.
    fs::write(&path, &whole).unwrap();
    let progress = Arc::new(Progress::default());
    progress.cancel();
    let given_up = refused(path.clone(), progress).await;
    assert!(matches!(given_up, ImageError::Cancelled), "{given_up}");
    let data = lab.data();
    let left = |name: &str| {
        let entries = fs::read_dir(data.join("store/pool").join(name)).into_iter().flatten();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("image") || name.len() == 32).count()
    };
    assert_eq!((left("img"), left("tmp")), (0, 0));
    // What a killed server has left half made.
    fs::create_dir_all(data.join("store/pool/tmp/image-half/rootfs/etc")).unwrap();
    let again = lab.reopen().await;
    assert_eq!((left("img"), left("tmp")), (0, 0));
    drop(again);
    lab.close(&[]).await;
}

/// How many of the many files a root has.
fn many_in(root: &Path) -> usize {
    let folders = fs::read_dir(root.join("data")).into_iter().flatten().flatten();
    folders.map(|f| fs::read_dir(f.path()).into_iter().flatten().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_goes_while_a_project_is_made_of_it_leaves_that_one_whole() {
    let Some(lab) = Lab::open_plain().await else { return };
    let path = of_many_files(lab.dir.path());
    let key = import(&lab, &path).await;
    let project = ProjectId::random();
    let making = {
        let (native, project, key) = (lab.native.clone(), project.clone(), key.clone());
        tokio::spawn(async move { Images::create_from(&native, &project, &key).await })
    };
    // Until the copy has begun.
    let scratch = lab.data().join("store/pool/tmp");
    let begun = || {
        let halves = fs::read_dir(&scratch).unwrap().flatten();
        let mut ours =
            halves.filter(|e| e.file_name().to_string_lossy().starts_with(project.as_str()));
        ours.any(|e| e.path().join("rootfs/data").exists())
    };
    while !begun() && !making.is_finished() {
        tokio::task::yield_now().await;
    }
    images(&lab).drop_image(&key).await.unwrap();
    making.await.unwrap().unwrap();
    let disk = lab.data().join("store/pool/p").join(project.as_str());
    assert_eq!(many_in(&disk.join("rootfs")), MANY);
    assert_eq!(images(&lab).kept().await.unwrap(), []);
    let late = images(&lab).create_from(&ProjectId::random(), &key).await;
    assert!(matches!(late, Err(ImageError::Missing(_))), "{late:?}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_the_same_image_waits_for_the_first_and_may_give_up() {
    let Some(lab) = Lab::open().await else { return };
    let found = resolve(&lab, &of_many_files(lab.dir.path())).await;
    let begin = |progress: &Arc<Progress>| {
        let (native, found, progress) = (lab.native.clone(), found.clone(), Arc::clone(progress));
        tokio::spawn(async move { Images::import(&native, &found, progress).await })
    };
    let given_up = Arc::new(Progress::default());
    let all: Vec<_> = (0..3).map(|_| begin(&Arc::default())).collect();
    let other = begin(&given_up);
    given_up.cancel();
    for one in all {
        assert!(one.await.unwrap().unwrap() > 0);
    }
    let other = other.await.unwrap();
    assert!(matches!(other, Ok(_) | Err(ImageError::Cancelled)), "{other:?}");
    assert_eq!(images(&lab).kept().await.unwrap(), std::slice::from_ref(&found.key));
    // Half of what one left does not keep the next from it.
    images(&lab).drop_image(&found.key).await.unwrap();
    assert!(begin(&Arc::default()).await.unwrap().unwrap() > 0);
    lab.close(&[]).await;
}
