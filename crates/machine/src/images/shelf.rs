//! Images in the pool: `img/<key>` is a disk that projects get copies of, or, where an image only
//! adds folders to `host`, a disk with nothing but its definition. Half-made ones lie in scratch.
//! Blocks; who makes or removes an image is alone with it.

use super::{
    definition::Definition,
    finish::forget_project,
    oci::unpack_layers,
    progress::Progress,
    resolve::{Resolved, What},
    root::Root,
    saved::{is_saved, unpack_saved},
    unpack::{Room, unpack_archive},
    words::{ImageError, ImageKey},
};
use crate::{folders::rand_name, inside::ROOT, steps, storage::Pool};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the storage keeps free of images: projects must still be able to write.
const FREE_BYTES_MIN: u64 = 256 << 20;
/// Where the parts of a saved image lie until its root is made of them.
const PARTS: &str = "parts";

/// Variables that an image sets.
type Env = Vec<(String, String)>;

/// What a disk is made from.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// A disk to copy; without one the backend's own template is.
    pub(crate) disk: Option<PathBuf>,
    /// Written onto it.
    pub(crate) definition: Definition,
}

/// Bytes that an image may take.
pub(crate) fn free_for_images(pool: &Pool) -> u64 {
    pool.free_bytes().unwrap_or(u64::MAX).saturating_sub(FREE_BYTES_MIN)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shelf<'a>(&'a Pool);

impl<'a> Shelf<'a> {
    pub(super) fn open(pool: &'a Pool) -> Result<Self, ImageError> {
        let opening = "opening the folder of images";
        pool.ensure().map_err(ImageError::step(opening))?;
        let shelf = Self(pool);
        fs::create_dir_all(shelf.folder()).map_err(ImageError::step(opening))?;
        Ok(shelf)
    }

    fn folder(&self) -> PathBuf {
        self.0.root.join("img")
    }

    fn disk(&self, key: &ImageKey) -> PathBuf {
        self.folder().join(key.as_str())
    }

    /// Whether it is there whole.
    pub(super) fn has(&self, key: &ImageKey) -> bool {
        self.disk(key).is_dir()
    }

    /// All that are there whole.
    pub(super) fn keys(&self) -> Result<Vec<ImageKey>, ImageError> {
        let entries = fs::read_dir(self.folder()).map_err(ImageError::step("listing images"))?;
        let mut found: Vec<ImageKey> =
            entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// Makes `img/<key>` by filling a disk of its own; all of it or nothing. Answers its bytes, as
    /// `fill` does. There already: does nothing.
    fn make(
        &self,
        key: &ImageKey,
        fill: impl FnOnce(&Path) -> Result<u64, ImageError>,
    ) -> Result<u64, ImageError> {
        let place = self.disk(key);
        if place.is_dir() {
            return Ok(measured(&place));
        }
        let half = self.scratch();
        let made = fill(&half).and_then(|bytes| {
            let storing = "storing the image";
            // Its row says ready from then on: a power cut must not leave empty files.
            sync(&half).map_err(ImageError::step(storing))?;
            steps::reached("image.synced");
            fs::rename(&half, &place).map_err(ImageError::step(storing))?;
            steps::reached("image.placed");
            Ok(bytes)
        });
        if made.is_err() {
            self.0.drop_disk(&half);
        }
        made
    }

    /// Makes what was looked at. `layout`: what was pulled of an image in a registry. `finish` makes
    /// the root one of a machine, and answers the shell of its terminals.
    pub(super) fn import(
        &self,
        resolved: &Resolved,
        layout: Option<&Path>,
        progress: &Progress,
        finish: impl FnOnce(&Root) -> Result<String, ImageError>,
    ) -> Result<u64, ImageError> {
        let writing = "writing the image";
        self.make(&resolved.key, |half| {
            self.0.storage.make(half).map_err(ImageError::step(writing))?;
            steps::reached("unpack.made");
            let mut definition =
                Definition { key: resolved.key.to_string(), ..Definition::default() };
            let mut room = Room::of(free_for_images(self.0));
            if let What::Folders(folders) = &resolved.what {
                definition.folders.clone_from(folders);
            } else {
                let root;
                (root, definition.env) =
                    unpacked(half, &resolved.what, layout, &mut room, progress)?;
                steps::reached("unpack.unpacked");
                definition.shell = Some(finish(&root)?);
                steps::reached("unpack.finished");
                definition.whole = true;
            }
            definition.write(half).map_err(ImageError::step(writing))?;
            steps::reached("unpack.defined");
            Ok(room.taken)
        })
    }

    /// Makes one of a disk that nobody writes to, without what its project has of its own beside its
    /// files. `whole`: the disk is known to hold a whole system, whatever it says.
    pub(super) fn keep(
        &self,
        source: &Path,
        key: &ImageKey,
        whole: bool,
    ) -> Result<u64, ImageError> {
        let keeping = "copying the project's disk";
        self.make(key, |half| {
            self.0.storage.copy(source, half).map_err(ImageError::step(keeping))?;
            steps::reached("keep.copied");
            let mut definition =
                Definition::read(half).map_err(ImageError::step(keeping))?.unwrap_or_default();
            definition.key = key.to_string();
            definition.whole |= whole;
            definition.write(half).map_err(ImageError::step(keeping))?;
            steps::reached("keep.defined");
            Root::open(&half.join(ROOT))
                .and_then(|root| forget_project(&root))
                .map_err(ImageError::step("taking the project's own data out of the image"))?;
            steps::reached("keep.forgotten");
            Ok(measured(half))
        })
    }

    /// What a project's disk is made from.
    pub(super) fn prepared(&self, key: &ImageKey) -> Result<Prepared, ImageError> {
        let disk = self.disk(key);
        let definition = Definition::read(&disk).map_err(ImageError::step("reading the image"))?;
        let Some(definition) = definition else { return Err(ImageError::Missing(key.clone())) };
        let has_root = disk.join(ROOT).is_dir();
        Ok(Prepared { disk: has_root.then_some(disk), definition })
    }

    /// Not there: done.
    pub(super) fn remove(&self, key: &ImageKey) -> Result<(), ImageError> {
        let disk = self.disk(key);
        if !disk.is_dir() {
            return Ok(());
        }
        let removing = "removing the image";
        let gone = self.scratch();
        fs::rename(&disk, &gone).map_err(ImageError::step(removing))?;
        steps::reached("unimage.taken");
        self.0.storage.remove(&gone).map_err(ImageError::step(removing))?;
        steps::reached("unimage.removed");
        Ok(())
    }

    fn scratch(&self) -> PathBuf {
        self.0.scratch().join(format!("image-{}", rand_name()))
    }
}

/// Unpacks onto an empty disk what has a root.
fn unpacked(
    half: &Path,
    what: &What,
    pulled: Option<&Path>,
    room: &mut Room,
    progress: &Progress,
) -> Result<(Root, Env), ImageError> {
    let root = new_root(half)?;
    let (layout, manifest) = match (what, pulled) {
        (What::Tarball { path, sha256, bytes }, _) => {
            unpack_archive(path, sha256, *bytes, &root, room, progress)?;
            if is_saved(&root) {
                return from_saved(half, &root, room, progress);
            }
            return Ok((root, Env::new()));
        }
        (What::Layout { folder, manifest }, _) => (folder.as_path(), manifest),
        (What::Registry { manifest, .. }, Some(layout)) => (layout, manifest),
        (What::Registry { .. }, None) | (What::Folders(_), _) => {
            unreachable!("a registry's image was pulled before, folders need no root")
        }
    };
    let layout = Root::open(layout).map_err(ImageError::step("opening the layout"))?;
    let env = unpack_layers(&layout, manifest, &root, room, progress)?;
    Ok((root, env))
}

fn new_root(half: &Path) -> Result<Root, ImageError> {
    let top = half.join(ROOT);
    let made = fs::create_dir(&top).and_then(|()| Root::open(&top));
    made.map_err(ImageError::step("writing the image"))
}

/// Makes the root from what was unpacked in its place: an image in parts, which go.
fn from_saved(
    half: &Path,
    saved: &Root,
    room: &mut Room,
    progress: &Progress,
) -> Result<(Root, Env), ImageError> {
    let writing = "writing the image";
    let parts = half.join(PARTS);
    fs::rename(half.join(ROOT), &parts).map_err(ImageError::step(writing))?;
    let root = new_root(half)?;
    // They take room while both are there, and none of the image's.
    room.taken = 0;
    let env = unpack_saved(saved, &root, room, progress)?;
    toft_jail::tree::remove(&parts).map_err(ImageError::step(writing))?;
    Ok((root, env))
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
