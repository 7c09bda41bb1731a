//! Images in the pool: `img/<key>` is a disk that projects get copies of, or, where an image only
//! adds folders to `host`, a disk with nothing but its definition. Half-made ones lie in scratch.

use super::{
    Inner, Native,
    base::{Base, Definition},
};
use crate::{
    backend::MachineError,
    folders::rand_name,
    images::{
        ImageError, ImageKey, Images, Progress, Resolved, Room, Root, Source, What, finish,
        forget_project, in_registry, on_this_host, pull, unpack_archive, unpack_layers,
    },
    inside::ROOT,
    running::{blocking, step},
    state::State,
};
use async_trait::async_trait;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// What the storage keeps free of images: projects must still be able to write.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// What a disk is made from, beside the host's template.
pub(super) struct Prepared {
    /// A disk to copy; without one the host's template is.
    pub(super) disk: Option<PathBuf>,
    /// Written onto it.
    pub(super) definition: Definition,
}

impl Inner {
    fn images(&self) -> PathBuf {
        self.pool.root.join("img")
    }

    fn image_disk(&self, key: &ImageKey) -> PathBuf {
        self.images().join(key.as_str())
    }

    fn open_images(&self) -> Result<(), ImageError> {
        let opening = "opening the folder of images";
        self.pool.ensure().map_err(ImageError::step(opening))?;
        fs::create_dir_all(self.images()).map_err(ImageError::step(opening))
    }

    /// What a disk lies over.
    pub(super) fn base(&self, disk: &Path) -> io::Result<Base> {
        Base::of(disk, &self.image)
    }

    /// The same of a project's, or why not.
    pub(super) fn base_for(&self, disk: &Path, project: &ProjectId) -> Result<Base, MachineError> {
        self.base(disk).map_err(step(project, "reading what the machine's image is"))
    }

    fn free_for_images(&self) -> u64 {
        self.pool.free_bytes().unwrap_or(u64::MAX).saturating_sub(FREE_BYTES_MIN)
    }

    /// Makes `img/<key>` by filling a disk of its own; all of it or nothing.
    fn make_image(
        &self,
        key: &ImageKey,
        fill: impl FnOnce(&Path) -> Result<u64, ImageError>,
    ) -> Result<u64, ImageError> {
        self.open_images()?;
        let place = self.image_disk(key);
        if place.is_dir() {
            return Ok(measured(&place));
        }
        let half = self.pool.scratch().join(format!("image-{}", rand_name()));
        let made = fill(&half).and_then(|bytes| {
            let storing = "storing the image";
            // Its row says ready from then on: a power cut must not leave empty files.
            sync(&half).map_err(ImageError::step(storing))?;
            fs::rename(&half, &place).map_err(ImageError::step(storing))?;
            Ok(bytes)
        });
        if made.is_err() {
            self.drop_disk(&half);
        }
        made
    }

    fn import(
        &self,
        resolved: &Resolved,
        layout: Option<&Path>,
        progress: &Progress,
    ) -> Result<u64, ImageError> {
        let writing = "writing the image";
        self.make_image(&resolved.key, |half| {
            self.pool.storage.make(half).map_err(ImageError::step(writing))?;
            let mut definition =
                Definition { key: resolved.key.to_string(), ..Definition::default() };
            let mut room = Room::of(self.free_for_images());
            if let What::Folders(folders) = &resolved.what {
                definition.folders.clone_from(folders);
            } else {
                let top = half.join(ROOT);
                fs::create_dir(&top).map_err(ImageError::step(writing))?;
                let root = Root::open(&top).map_err(ImageError::step(writing))?;
                match (&resolved.what, layout) {
                    (What::Tarball { path, sha256, bytes }, _) => {
                        unpack_archive(path, sha256, *bytes, &root, &mut room, progress)?;
                    }
                    (What::Layout { folder, manifest }, _) => {
                        definition.env =
                            unpack_layers(folder, manifest, &root, &mut room, progress)?;
                    }
                    (What::Registry { manifest, .. }, Some(layout)) => {
                        definition.env =
                            unpack_layers(layout, manifest, &root, &mut room, progress)?;
                    }
                    (What::Registry { .. }, None) | (What::Folders(_), _) => {
                        unreachable!("a registry's image was pulled before, folders need no root")
                    }
                }
                definition.shell = Some(finish(&root)?);
                definition.whole = true;
            }
            definition.write(half).map_err(ImageError::step(writing))?;
            Ok(room.taken)
        })
    }

    fn keep_image(
        &self,
        project: &ProjectId,
        checkpoint: Option<&CheckpointId>,
        key: &ImageKey,
    ) -> Result<u64, ImageError> {
        let keeping = "copying the project's disk";
        let source = self.kept_or_live(project, checkpoint)?;
        let runs = State::read(&self.folders.run(project)).is_some_and(|s| s.hold().is_some());
        if checkpoint.is_none() && runs {
            return Err(ImageError::Machine(MachineError::Unable {
                what: "making an image of a machine that runs",
                why: "stop it first, or name a checkpoint".to_owned(),
            }));
        }
        self.make_image(key, |half| {
            self.pool.storage.copy(&source, half).map_err(ImageError::step(keeping))?;
            let mut definition =
                Definition::read(half).map_err(ImageError::step(keeping))?.unwrap_or_default();
            definition.key = key.to_string();
            definition.write(half).map_err(ImageError::step(keeping))?;
            Root::open(&half.join(ROOT))
                .and_then(|root| forget_project(&root))
                .map_err(ImageError::step("taking the project's own data out of the image"))?;
            Ok(measured(half))
        })
    }

    fn prepared(&self, key: &ImageKey) -> Result<Prepared, ImageError> {
        self.open_images()?;
        let disk = self.image_disk(key);
        let definition = Definition::read(&disk).map_err(ImageError::step("reading the image"))?;
        let Some(definition) = definition else { return Err(ImageError::Missing(key.clone())) };
        let whole = disk.join(ROOT).is_dir();
        Ok(Prepared { disk: whole.then_some(disk), definition })
    }

    fn drop_image(&self, key: &ImageKey) -> Result<(), ImageError> {
        self.open_images()?;
        let disk = self.image_disk(key);
        if !disk.is_dir() {
            return Ok(());
        }
        let removing = "removing the image";
        let gone = self.pool.scratch().join(format!("image-{}", rand_name()));
        fs::rename(&disk, &gone).map_err(ImageError::step(removing))?;
        self.pool.storage.remove(&gone).map_err(ImageError::step(removing))
    }

    fn kept_images(&self) -> Result<Vec<ImageKey>, ImageError> {
        self.open_images()?;
        let entries = fs::read_dir(self.images()).map_err(ImageError::step("listing images"))?;
        let mut found: Vec<ImageKey> =
            entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        found.sort();
        Ok(found)
    }
}

fn sync(disk: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(disk)?)?)
}

/// Bytes of all files of a disk that nobody writes to. What cannot be looked at does not count.
fn measured(disk: &Path) -> u64 {
    let mut folders = vec![disk.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) if meta.is_file() => bytes += meta.len(),
                _ => {}
            }
        }
    }
    bytes
}

#[async_trait]
impl Images for Native {
    async fn resolve(&self, source: &Source) -> Result<Resolved, ImageError> {
        if let Source::Registry(from) = source {
            return in_registry(from).await;
        }
        let (source, data) = (source.clone(), self.0.folders.data().to_owned());
        blocking(move || on_this_host(&source, &data)).await
    }

    async fn import(
        &self,
        resolved: &Resolved,
        progress: Arc<Progress>,
    ) -> Result<u64, ImageError> {
        let (inner, resolved) = (Arc::clone(&self.0), resolved.clone());
        let What::Registry { from, manifest } = &resolved.what else {
            return blocking(move || inner.import(&resolved, None, &progress)).await;
        };
        let layout = inner.pool.scratch().join(format!("pull-{}", rand_name()));
        let pulled = async {
            self.0.open_images()?;
            fs::create_dir(&layout).map_err(ImageError::step("pulling the image"))?;
            let room = inner.free_for_images();
            pull(from, manifest, &layout, room, Arc::clone(&progress)).await
        };
        let pulled = pulled.await;
        blocking(move || {
            let done = pulled.and_then(|()| inner.import(&resolved, Some(&layout), &progress));
            inner.drop_disk(&layout);
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
        let (checkpoint, key) = (checkpoint.cloned(), key.clone());
        self.in_turn(project, move |inner, project| {
            inner.keep_image(project, checkpoint.as_ref(), &key)
        })
        .await
    }

    async fn create_from(&self, project: &ProjectId, key: &ImageKey) -> Result<(), ImageError> {
        let turn = self.0.turns.take(project).await;
        self.template().await?;
        let (inner, project, key) = (Arc::clone(&self.0), project.clone(), key.clone());
        blocking(move || {
            let made = if inner.disk(&project).exists() {
                Ok(())
            } else {
                let prepared = inner.prepared(&key)?;
                inner.create(&project, Some(&prepared)).map_err(ImageError::from)
            };
            drop(turn);
            made
        })
        .await
    }

    async fn drop_image(&self, key: &ImageKey) -> Result<(), ImageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        blocking(move || inner.drop_image(&key)).await
    }

    async fn kept(&self) -> Result<Vec<ImageKey>, ImageError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.kept_images()).await
    }
}
