//! Images of every backend whose disks lie in the pool. A backend says where its things are and what
//! its machines need of a root; who waits for whom, and what is done in which order, is the same.

use super::{
    Images,
    finish::finish,
    progress::Progress,
    registry::pull,
    resolve::{self, Resolved, What},
    root::Root,
    shelf::{Prepared, Shelf, free_for_images},
    uses::Uses,
    words::{ImageError, ImageKey, Source},
};
use crate::{
    backend::MachineError,
    blocking::blocking,
    disks::{CREATE_FREE_BYTES_MIN, Disks},
    folders::rand_name,
    steps,
};
use async_trait::async_trait;
use std::{fs, path::Path, sync::Arc};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// A backend whose disks lie in the pool. Cheap to clone.
#[async_trait]
pub(crate) trait Pooled: Clone + Send + Sync + 'static {
    /// What is said of folders of the host where machines see nothing of it: every image is a whole
    /// system then.
    const NO_FOLDERS: Option<&'static str>;

    fn disks(&self) -> &Disks;
    /// Taken after a project's turn.
    fn uses(&self) -> &Uses;

    /// Does what must be done before any disk is made.
    async fn prepare(&self) -> Result<(), MachineError> {
        Ok(())
    }

    /// Makes an image's root one of a machine; answers the shell of terminals.
    fn finish(root: &Root) -> Result<String, ImageError> {
        finish(root)
    }

    /// Makes a project's disk. Blocks.
    fn make_disk(&self, project: &ProjectId, image: &Prepared) -> Result<(), MachineError>;
}

/// Refuses an image that only adds folders to the host's programs, where machines see none of these.
fn check_whole<B: Pooled>(whole: bool) -> Result<(), ImageError> {
    match B::NO_FOLDERS {
        Some(why) if !whole => Err(ImageError::refused(why)),
        _ => Ok(()),
    }
}

fn import<B: Pooled>(
    backend: &B,
    resolved: &Resolved,
    layout: Option<&Path>,
    progress: &Progress,
) -> Result<u64, ImageError> {
    check_whole::<B>(!matches!(resolved.what, What::Folders(_)))?;
    Shelf::open(&backend.disks().pool)?.import(resolved, layout, progress, B::finish)
}

fn keep<B: Pooled>(
    backend: &B,
    project: &ProjectId,
    checkpoint: Option<&CheckpointId>,
    key: &ImageKey,
) -> Result<u64, ImageError> {
    let source = backend.disks().at(project, checkpoint)?;
    if checkpoint.is_none() && backend.disks().runs(project) {
        return Err(ImageError::Machine(MachineError::Unable {
            what: "making an image of a machine that runs",
            why: "stop it first, or name a checkpoint".to_owned(),
        }));
    }
    Shelf::open(&backend.disks().pool)?.keep(&source, key, B::NO_FOLDERS.is_some())
}

fn create_from<B: Pooled>(
    backend: &B,
    project: &ProjectId,
    key: &ImageKey,
) -> Result<(), ImageError> {
    let disks = backend.disks();
    if disks.pool.disk(project).exists() {
        return Ok(());
    }
    // Before the shelf, which on a full disk fails without saying what is full.
    disks.has_room("making the machine's disk", CREATE_FREE_BYTES_MIN)?;
    let shelf = Shelf::open(&disks.pool)?;
    let prepared = shelf.prepared(key)?;
    // It may be of another backend on the same data folder.
    check_whole::<B>(prepared.definition.whole)?;
    Ok(backend.make_disk(project, &prepared)?)
}

#[async_trait]
impl<B: Pooled> Images for B {
    async fn resolve(&self, source: &Source) -> Result<Resolved, ImageError> {
        let resolved = if let Source::Registry(from) = source {
            resolve::registry(from).await?
        } else {
            let (source, data) = (source.clone(), self.disks().folders.data().to_owned());
            blocking(move || resolve::on_this_host(&source, &data)).await?
        };
        check_whole::<B>(!matches!(resolved.what, What::Folders(_)))?;
        Ok(resolved)
    }

    async fn import(
        &self,
        resolved: &Resolved,
        progress: Arc<Progress>,
    ) -> Result<u64, ImageError> {
        let alone = tokio::select! {
            alone = self.uses().alone(&resolved.key) => alone,
            () = progress.cancelled() => return Err(ImageError::Cancelled),
        };
        let (backend, resolved) = (self.clone(), resolved.clone());
        let there = Shelf::open(&self.disks().pool)?.has(&resolved.key);
        let What::Registry { from, manifest } = resolved.what.clone() else {
            return blocking(move || {
                let done = import(&backend, &resolved, None, &progress);
                drop(alone);
                done
            })
            .await;
        };
        let layout = self.disks().pool.scratch().join(format!("pull-{}", rand_name()));
        let pulled = async {
            if there {
                return Ok(());
            }
            fs::create_dir(&layout).map_err(ImageError::step("pulling the image"))?;
            steps::reached("pull.folder");
            let room = free_for_images(&self.disks().pool);
            pull(&from, &manifest, &layout, room, Arc::clone(&progress)).await
        };
        let pulled = pulled.await;
        blocking(move || {
            let done = pulled.and_then(|()| {
                steps::reached("pull.pulled");
                import(&backend, &resolved, Some(&layout), &progress)
            });
            backend.disks().pool.drop_disk(&layout);
            steps::reached("pull.removed");
            drop(alone);
            done
        })
        .await
    }

    async fn keep(
        &self,
        project: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        key: &ImageKey,
    ) -> Result<u64, ImageError> {
        let turn = self.disks().turns.take(project).await;
        let alone = self.uses().alone(key).await;
        let (backend, project) = (self.clone(), project.clone());
        let (checkpoint, key) = (checkpoint.cloned(), key.clone());
        blocking(move || {
            let kept = keep(&backend, &project, checkpoint.as_ref(), &key);
            // Held here: a caller that is cancelled lets nobody in.
            drop((turn, alone));
            kept
        })
        .await
    }

    async fn create_from(&self, project: &ProjectId, key: &ImageKey) -> Result<(), ImageError> {
        let turn = self.disks().turns.take(project).await;
        self.prepare().await?;
        let using = self.uses().to_copy(key).await;
        let (backend, project, key) = (self.clone(), project.clone(), key.clone());
        blocking(move || {
            let made = create_from(&backend, &project, &key);
            drop((turn, using));
            made
        })
        .await
    }

    async fn has_disk(&self, project: &ProjectId) -> Result<bool, ImageError> {
        let (backend, project) = (self.clone(), project.clone());
        blocking(move || {
            let pool = &backend.disks().pool;
            pool.ensure().map_err(ImageError::step("mounting the storage"))?;
            Ok(pool.disk(&project).exists())
        })
        .await
    }

    async fn drop_image(&self, key: &ImageKey) -> Result<(), ImageError> {
        let alone = self.uses().alone(key).await;
        let (backend, key) = (self.clone(), key.clone());
        blocking(move || {
            let dropped = Shelf::open(&backend.disks().pool).and_then(|shelf| shelf.remove(&key));
            drop(alone);
            dropped
        })
        .await
    }

    async fn kept(&self) -> Result<Vec<ImageKey>, ImageError> {
        let backend = self.clone();
        blocking(move || Shelf::open(&backend.disks().pool)?.keys()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{folders::Folders, images::Definition, inside::ROOT, storage::Pool};
    use std::os::unix::fs::PermissionsExt as _;

    const NOTHING_SHOWS: &str = "nothing of the host shows here";

    struct Parts {
        dir: tempfile::TempDir,
        disks: Disks,
        uses: Uses,
    }

    /// Makes disks and starts nothing.
    #[derive(Clone)]
    struct Fake<const SEES_HOST: bool>(Arc<Parts>);

    impl<const SEES_HOST: bool> Pooled for Fake<SEES_HOST> {
        const NO_FOLDERS: Option<&'static str> = if SEES_HOST { None } else { Some(NOTHING_SHOWS) };

        fn disks(&self) -> &Disks {
            &self.0.disks
        }

        fn uses(&self) -> &Uses {
            &self.0.uses
        }

        fn make_disk(&self, project: &ProjectId, image: &Prepared) -> Result<(), MachineError> {
            let disk = self.0.disks.pool.disk(project);
            match &image.disk {
                Some(from) => self.0.disks.pool.storage.copy(from, &disk).unwrap(),
                None => self.0.disks.pool.storage.make(&disk).unwrap(),
            }
            image.definition.write(&disk).unwrap();
            Ok(())
        }
    }

    /// Two backends on one data folder, of which the second's machines see nothing of the host.
    fn backends() -> (Fake<true>, Fake<false>) {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::open(&dir.path().join("data")).unwrap();
        fs::create_dir_all(folders.store()).unwrap();
        fs::write(folders.store().join("kind"), "plain").unwrap();
        let pool = Pool::open(&folders.store(), None).unwrap();
        let parts =
            Arc::new(Parts { dir, disks: Disks::new(folders, pool), uses: Uses::default() });
        (Fake(Arc::clone(&parts)), Fake(parts))
    }

    #[tokio::test]
    async fn folders_of_the_host_are_refused_at_every_door_where_nothing_of_it_shows() {
        let (sees, blind) = backends();
        let tools = fs::canonicalize(sees.0.dir.path()).unwrap().join("tools");
        let tool = tools.join("bin/tool");
        fs::create_dir_all(tools.join("bin")).unwrap();
        fs::write(&tool, "").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let source = Source::Folders(vec![tools.clone()]);
        let found = sees.resolve(&source).await.unwrap();
        let (one, two) = (ProjectId::random(), ProjectId::random());
        let is_refused = |e: ImageError| assert_eq!(e.to_string(), NOTHING_SHOWS);
        is_refused(blind.resolve(&source).await.unwrap_err());
        is_refused(blind.import(&found, Arc::default()).await.unwrap_err());
        assert!(blind.kept().await.unwrap().is_empty());

        sees.import(&found, Arc::default()).await.unwrap();
        is_refused(blind.create_from(&one, &found.key).await.unwrap_err());
        assert!(!blind.has_disk(&one).await.unwrap());
        sees.create_from(&two, &found.key).await.unwrap();
        let said = Definition::read(&sees.disks().pool.disk(&two)).unwrap().unwrap();
        assert_eq!((said.folders, said.whole), (vec![tools], false));
        // There already: whoever made it.
        blind.create_from(&two, &found.key).await.unwrap();
    }

    #[tokio::test]
    async fn a_kept_disk_loses_what_was_the_projects_own_and_says_what_it_holds() {
        let (sees, blind) = backends();
        let project = ProjectId::random();
        let own = Path::new(ROOT).join("home/starter");
        let disk = sees.disks().pool.disk(&project);
        fs::create_dir_all(disk.join(&own).join("sessions")).unwrap();
        fs::write(disk.join(ROOT).join("file"), "kept").unwrap();
        for (whole, name) in [(false, "0"), (true, "1")] {
            let key: ImageKey = name.repeat(32).parse().unwrap();
            let keeper: &dyn Images = if whole { &blind } else { &sees };
            let bytes = keeper.keep(&project, None, &key).await.unwrap();
            let place = sees.disks().pool.root.join("img").join(key.as_str());
            assert_eq!(fs::read_to_string(place.join(ROOT).join("file")).unwrap(), "kept");
            assert_eq!(fs::read_dir(place.join(&own)).unwrap().count(), 0);
            let said = Definition::read(&place).unwrap().unwrap();
            assert_eq!((said.key.as_str(), said.whole), (key.as_str(), whole));
            fs::remove_file(disk.join(ROOT).join("file")).unwrap();
            assert_eq!(sees.keep(&project, None, &key).await.unwrap(), bytes, "it is there");
            fs::write(disk.join(ROOT).join("file"), "kept").unwrap();
        }
        let kept = sees.kept().await.unwrap();
        assert_eq!(kept.len(), 2);
        for key in &kept {
            sees.drop_image(key).await.unwrap();
            sees.drop_image(key).await.unwrap();
            let gone = sees.create_from(&ProjectId::random(), key).await.unwrap_err();
            assert!(matches!(gone, ImageError::Missing(_)), "{gone}");
        }
        assert!(sees.kept().await.unwrap().is_empty());
        assert_eq!(fs::read_dir(sees.disks().pool.scratch()).unwrap().count(), 0);
        assert!(disk.join(&own).join("sessions").is_dir(), "the project keeps its own");
    }
}
