//! Chooses a way to keep disks, once per data folder, and opens it: the first of btrfs, btrfs in a
//! loop image, copies that share blocks, plain copies. A folder that has disks stays with its way.

use super::{
    Storage, loop_image,
    plain::Plain,
    space::{Bound, Space},
    subvolume::Subvolumes,
};
use rustix::{fs::statvfs, process::geteuid};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use toft_jail::{
    btrfs,
    quota::{self, Quotas},
};
use toft_model::id::ProjectId;

/// With less room than this on the host's disk nothing is written to an image that can wait.
const COMMIT_FREE_BYTES_MIN: u64 = 64 << 20;

/// The opened storage.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Folder that holds disks and templates.
    pub(crate) root: PathBuf,
    /// How they are kept.
    pub(crate) storage: Box<dyn Storage>,
    /// Why better ways were not taken.
    pub(crate) notes: Vec<String>,
    /// What counts and bounds the disks of each project: in an image of our own only.
    pub(crate) quotas: Option<Quotas>,
    image: bool,
    /// What all disks together may take, in an image of our own.
    pub(crate) bytes_max: Option<u64>,
}

/// Ways that a data folder may have settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Btrfs,
    Image,
    Plain,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Image => "image",
            Self::Plain => "plain",
        }
    }

    /// Whole or not at all, also after a power cut: without it the next server might choose another way
    /// and find no disks.
    fn write(self, store: &Path) -> io::Result<()> {
        let half = store.join("kind.new");
        fs::write(&half, self.word())?;
        File::open(&half)?.sync_all()?;
        fs::rename(&half, store.join("kind"))?;
        File::open(store)?.sync_all()
    }

    fn read(store: &Path) -> Option<Self> {
        let text = fs::read_to_string(store.join("kind")).ok()?;
        [Self::Btrfs, Self::Image, Self::Plain].into_iter().find(|k| k.word() == text.trim())
    }
}

impl Pool {
    /// Opens the storage below `store`, choosing a way the first time.
    /// `bytes_max`: what all disks together may take; only an image of our own is bounded by it.
    pub(crate) fn open(store: &Path, bytes_max: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(store.join("pool"))?;
        let store = fs::canonicalize(store)?;
        let root = store.join("pool");
        let mut notes = Vec::new();
        let settled = Kind::read(&store);
        let kind = match settled {
            Some(Kind::Image) => {
                loop_image::open(&store, &root, bytes_max)?;
                Kind::Image
            }
            Some(kind) => kind,
            None => choose(&store, &root, bytes_max, &mut notes)?,
        };
        if settled.is_none() {
            kind.write(&store)?;
        }
        let storage: Box<dyn Storage> = match kind {
            Kind::Btrfs => Box::new(Subvolumes { image: false }),
            Kind::Image => Box::new(Subvolumes { image: true }),
            Kind::Plain => Box::new(Plain::probe(&root)),
        };
        let image = kind == Kind::Image;
        let quotas = image.then(|| Quotas::enable(&root)).and_then(|quotas| {
            quotas.inspect_err(|e| tracing::info!("no disk limits on this kernel: {e}")).ok()
        });
        let pool = Self { root, storage, notes, quotas, image, bytes_max };
        for folder in [pool.disks(), pool.kept(), pool.scratch()] {
            fs::create_dir_all(folder)?;
        }
        Ok(pool)
    }

    /// Mounts the image again if somebody has unmounted it meanwhile: without it disks would seem
    /// to be missing. The same when a full host has made it read-only.
    pub(crate) fn ensure(&self) -> io::Result<()> {
        if !self.image || (self.disks().is_dir() && !loop_image::is_read_only(&self.root)) {
            return Ok(());
        }
        tracing::warn!("the storage could not be used any more; mounting it again");
        let store = self.root.parent().expect("the pool lies in the store");
        loop_image::open(store, &self.root, self.bytes_max)
    }

    /// Folder of the projects' disks. Whether one is there says its path, and never a listing: btrfs
    /// leaves a name out of one that goes on while a restore exchanges that disk.
    pub(crate) fn disks(&self) -> PathBuf {
        self.root.join("p")
    }

    /// The disk of a project, made or not.
    pub(crate) fn disk(&self, project: &ProjectId) -> PathBuf {
        self.disks().join(project.as_str())
    }

    /// Removes a disk that nobody needs: one that stays costs only room.
    pub(crate) fn drop_disk(&self, path: &Path) {
        if let Err(e) = self.storage.remove(path) {
            tracing::warn!("a disk that nobody needs stays: {e}");
        }
    }

    /// Folder of checkpoints: one in it for each project that has any.
    pub(crate) fn kept(&self) -> PathBuf {
        self.root.join("ck")
    }

    /// Folder of half-made and half-removed disks.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Room for new data: of an image, of the disk that it lies on and of what all may take the one
    /// that ends first.
    pub(crate) fn space(&self) -> Option<Space> {
        self.space_without(0)
    }

    /// The same less what programs have written and only memory holds: they may have filled the disk long
    /// before anything is on it, or may delete it again.
    pub(crate) fn space_now(&self) -> Option<Space> {
        self.space_without(quota::pending(&self.root).unwrap_or(0))
    }

    fn space_without(&self, pending: u64) -> Option<Space> {
        let of = |path: &Path| {
            let fs = statvfs(path).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
            let used = bytes(fs.f_blocks.saturating_sub(fs.f_bfree));
            Some((bytes(fs.f_bavail), bytes(fs.f_blocks), used))
        };
        let (free, total, used) = of(&self.root)?;
        let host = self.root.parent().filter(|_| self.image).and_then(of);
        // An image that was larger once may hold more than it may by now.
        let cap = self.bytes_max.filter(|_| self.image);
        let own = match cap {
            _ if !self.image => Bound::Host,
            // Made as large as that; whole mebibytes.
            Some(max) if max.saturating_sub(total) < 1 << 20 => Bound::Cap(max),
            _ => Bound::Image(total),
        };
        let own = Space { free, total, by: own };
        let host = host.map(|(free, total, _)| Space { free, total, by: Bound::Host });
        let cap = cap.map(|max| Space {
            free: max.saturating_sub(used),
            total: max.min(total),
            by: Bound::Cap(max),
        });
        let spaces = [Some(own), host, cap].into_iter().flatten();
        spaces
            .map(|space| Space { free: space.free.saturating_sub(pending), ..space })
            .min_by_key(|space| (space.free, space.total))
    }

    /// What all disks, templates and images in an image of our own take together, and what they may.
    pub(crate) fn taken(&self) -> Option<(u64, u64)> {
        let image = self.image_bytes()?;
        let fs = statvfs(&self.root).ok()?;
        let used = fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize);
        Some((used, self.bytes_max.map_or(image, |max| max.min(image))))
    }

    /// Size of the image that all disks lie in, if they do.
    pub(crate) fn image_bytes(&self) -> Option<u64> {
        let store = self.root.parent().filter(|_| self.image)?;
        fs::metadata(loop_image::path(store)).ok().map(|image| image.len())
    }

    /// Makes the room of what was deleted free now: in an image that takes up to half a minute.
    pub(crate) fn commit(&self) {
        let host = self.root.parent().filter(|_| self.image).and_then(|store| statvfs(store).ok());
        // A host without room cannot take what is pending, and the kernel would give up the image.
        let has_room =
            host.is_some_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= COMMIT_FREE_BYTES_MIN);
        if !has_room {
            return;
        }
        if let Err(e) = btrfs::sync(&self.root) {
            tracing::debug!("the storage could not be synced: {e}");
        }
    }

    /// Bytes that new data may take.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.space().map(|space| space.free)
    }

    /// Unmounts an image that nobody uses; the kernel detaches its device then.
    pub(crate) fn close(&self) -> io::Result<()> {
        if self.image { loop_image::close(&self.root) } else { Ok(()) }
    }
}

fn choose(
    store: &Path,
    root: &Path,
    bytes_max: Option<u64>,
    notes: &mut Vec<String>,
) -> io::Result<Kind> {
    // Of a server that was killed before it wrote down its way. It may still be mounted, and then the
    // folder looks like one on a btrfs of the host.
    if loop_image::path(store).exists() {
        loop_image::open(store, root, bytes_max)?;
        return Ok(Kind::Image);
    }
    if btrfs::is_btrfs(root) {
        match try_subvolumes(root) {
            Ok(()) => return Ok(Kind::Btrfs),
            Err(e) => notes.push(format!("btrfs of the data folder: {e}")),
        }
    }
    if geteuid().is_root() {
        match loop_image::make(store, root, bytes_max) {
            Ok(()) => return Ok(Kind::Image),
            Err(e) => notes.push(format!("btrfs loop image: {e}")),
        }
    } else {
        notes.push("btrfs loop image: only root may mount one".to_owned());
    }
    Ok(Kind::Plain)
}

fn try_subvolumes(root: &Path) -> io::Result<()> {
    let (one, two) = (root.join(".probe-1"), root.join(".probe-2"));
    let storage = Subvolumes { image: false };
    // A killed server may have left them.
    for path in [&two, &one] {
        storage.remove(path)?;
    }
    let tried = storage.make(&one).and_then(|()| storage.copy(&one, &two));
    for path in [two, one] {
        storage.remove(&path)?;
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{
        io::Errno,
        mount::{UnmountFlags, unmount},
    };
    use std::{
        thread::sleep,
        time::{Duration, Instant},
    };
    use toft_jail::loopdev;

    const LOOK_PAUSE: Duration = Duration::from_millis(5);

    #[test]
    fn a_data_folder_keeps_the_way_it_settled_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kind"), "plain\n").unwrap();
        let pool = Pool::open(dir.path(), None).unwrap();
        assert!(matches!(pool.storage.name(), "plain copy" | "reflink copy"));
        assert!(pool.disks().is_dir() && pool.scratch().is_dir());
        pool.close().unwrap();
    }

    /// A child of another test that starts just now has a copy of what is open there for a moment.
    fn unmount_soon(root: &Path) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(e) = unmount(root, UnmountFlags::empty()) {
            assert!(e == Errno::BUSY && Instant::now() < deadline, "{e}");
            sleep(LOOK_PAUSE);
        }
    }

    #[test]
    fn a_server_that_was_killed_before_it_wrote_down_its_way_has_lost_no_disk() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::open(dir.path(), None).unwrap();
        if pool.storage.name() != "btrfs loop image" {
            toft_lane::skip("an image without its word", format!("{:?}", pool.notes));
            return;
        }
        pool.storage.make(&pool.disks().join("one")).unwrap();
        let kind = dir.path().join("kind");
        for unmounted in [false, true] {
            fs::remove_file(&kind).unwrap();
            if unmounted {
                unmount_soon(&pool.root);
            }
            let next = Pool::open(dir.path(), None).unwrap();
            assert_eq!(next.storage.name(), "btrfs loop image");
            assert_eq!(fs::read_to_string(&kind).unwrap(), "image");
            assert!(next.disks().join("one").is_dir());
        }
        pool.close().unwrap();
    }

    #[test]
    fn two_images_are_mounted_at_once_and_leave_no_device_behind() {
        if !geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            toft_lane::skip("disk images", "they need root and loop devices");
            return;
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let pools = dirs.each_ref().map(|d| Pool::open(d.path(), None).unwrap());
        for (pool, dir) in pools.iter().zip(&dirs) {
            if pool.storage.name() != "btrfs loop image" {
                toft_lane::skip("disk images", format!("{:?}", pool.notes));
                return;
            }
            let (one, two) = (pool.disks().join("one"), pool.disks().join("two"));
            pool.storage.make(&one).unwrap();
            fs::write(one.join("file"), "kept").unwrap();
            pool.storage.copy(&one, &two).unwrap();
            btrfs::create(&two.join("nested")).unwrap();
            pool.storage.remove(&one).unwrap();
            assert_eq!(fs::read_to_string(two.join("file")).unwrap(), "kept");
            pool.storage.remove(&two).unwrap();
            assert!(!two.exists());
            assert!(pool.free_bytes().unwrap() > 100 << 20);
            // Somebody unmounts it under a server that goes on.
            unmount_soon(&pool.root);
            assert!(!pool.disks().exists());
            pool.ensure().unwrap();
            assert!(pool.disks().is_dir());
            let again = Pool::open(dir.path(), None).unwrap();
            let image = loop_image::path(&fs::canonicalize(dir.path()).unwrap());
            assert_eq!(loopdev::attached_to(&image).len(), 1);
            drop(again);
        }
        for (pool, dir) in pools.iter().zip(&dirs) {
            pool.close().unwrap();
            let image = loop_image::path(&fs::canonicalize(dir.path()).unwrap());
            // A machine of another test that starts just now holds a copy of the mount for a moment.
            let deadline = Instant::now() + Duration::from_secs(10);
            while !loopdev::attached_to(&image).is_empty() {
                assert!(Instant::now() < deadline, "the device stays attached");
                sleep(LOOK_PAUSE);
            }
            let reopened = Pool::open(dir.path(), None).unwrap();
            assert_eq!(reopened.storage.name(), "btrfs loop image");
            reopened.close().unwrap();
        }
    }
}
