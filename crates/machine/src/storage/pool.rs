//! Chooses a way to keep disks, once per data folder, and opens it: the first of btrfs, btrfs in a
//! loop image, copies that share blocks, plain copies. A folder that has disks stays with its way.

use super::{Storage, mount_points, plain::Plain, seed, subvolume::Subvolumes};
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::geteuid,
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};
use toft_jail::{btrfs, loopdev, quota::Quotas};

/// Smallest image: room for the template and a few small projects.
const IMAGE_BYTES_MIN: u64 = 256 << 20;
/// What an image leaves free on the host's file system, so that a full machine disk shows as "no
/// space left" inside, and not as an input/output error.
const HOST_RESERVE_BYTES: u64 = 1 << 30;
/// An image is grown when the host has this much more room than when it was made.
const GROW_STEP_BYTES: u64 = 1 << 30;
/// Time for machines that have ended to let go of an image that the kernel has given up.
const HELD_TIMEOUT: Duration = Duration::from_secs(1);
const HELD_PAUSE: Duration = Duration::from_millis(10);
/// With less room than this on the host's disk nothing is written to an image that can wait.
const COMMIT_FREE_BYTES_MIN: u64 = 64 << 20;
/// Zstandard at its fastest level: measured faster than writing through. Deleting must not need
/// real root inside later namespaces. `ssd`, because a loop device calls itself a turning disk:
/// btrfs then lets a sync that meets another thread's change wait one to three clock ticks for
/// company (4 to 12 ms at 250 Hz, instead of 0.15).
const MOUNT_OPTIONS: &std::ffi::CStr = c"compress=zstd:1,user_subvol_rm_allowed,ssd";

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
                open_image(&store, &root, bytes_max)?;
                Kind::Image
            }
            Some(kind) => kind,
            None => choose(&store, &root, bytes_max, &mut notes),
        };
        if settled.is_none() {
            fs::write(store.join("kind"), kind.word())?;
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
        if !self.image || (self.disks().is_dir() && !is_read_only(&self.root)) {
            return Ok(());
        }
        tracing::warn!("the storage could not be used any more; mounting it again");
        let store = self.root.parent().expect("the pool lies in the store");
        open_image(store, &self.root, self.bytes_max)
    }

    /// Folder of the projects' disks.
    pub(crate) fn disks(&self) -> PathBuf {
        self.root.join("p")
    }

    /// Folder of checkpoints: one in it for each project that has any.
    pub(crate) fn kept(&self) -> PathBuf {
        self.root.join("ck")
    }

    /// Folder of half-made and half-removed disks.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Bytes that new data may take, and how many there are in all; of an image and of the disk
    /// that it lies on the one that ends first.
    pub(crate) fn space(&self) -> Option<(u64, u64)> {
        let of = |path: &Path| {
            let fs = statvfs(path).ok()?;
            let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
            let used = bytes(fs.f_blocks.saturating_sub(fs.f_bfree));
            Some((bytes(fs.f_bavail), bytes(fs.f_blocks), used))
        };
        let (free, total, used) = of(&self.root)?;
        let host = self.root.parent().filter(|_| self.image).and_then(of);
        // An image that was larger once may hold more than it may by now.
        let bound = self.bytes_max.filter(|_| self.image);
        let bound = bound.map(|max| (max.saturating_sub(used), max.min(total)));
        let host = host.map(|(free, total, _)| (free, total));
        let spaces = [Some((free, total)), host, bound].into_iter().flatten();
        spaces.min()
    }

    /// Size of the image that all disks lie in, if they do.
    pub(crate) fn image_bytes(&self) -> Option<u64> {
        let store = self.root.parent().filter(|_| self.image)?;
        fs::metadata(image_path(store)).ok().map(|image| image.len())
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
        self.space().map(|(free, _)| free)
    }

    /// Unmounts an image that nobody uses; the kernel detaches its device then.
    pub(crate) fn close(&self) -> io::Result<()> {
        if !self.image || !is_mounted(&self.root)? {
            return Ok(());
        }
        match unmount(&self.root, UnmountFlags::empty()) {
            Err(Errno::BUSY) => Ok(unmount(&self.root, UnmountFlags::DETACH)?),
            other => Ok(other?),
        }
    }
}

fn choose(store: &Path, root: &Path, bytes_max: Option<u64>, notes: &mut Vec<String>) -> Kind {
    if btrfs::is_btrfs(root) {
        match try_subvolumes(root) {
            Ok(()) => return Kind::Btrfs,
            Err(e) => notes.push(format!("btrfs of the data folder: {e}")),
        }
    }
    if geteuid().is_root() {
        match make_image(store, root, bytes_max) {
            Ok(()) => return Kind::Image,
            Err(e) => notes.push(format!("btrfs loop image: {e}")),
        }
    } else {
        notes.push("btrfs loop image: only root may mount one".to_owned());
    }
    Kind::Plain
}

fn try_subvolumes(root: &Path) -> io::Result<()> {
    let (one, two) = (root.join(".probe-1"), root.join(".probe-2"));
    let storage = Subvolumes { image: false };
    let tried = storage.make(&one).and_then(|()| storage.copy(&one, &two));
    for path in [two, one] {
        storage.remove(&path)?;
    }
    tried
}

fn image_path(store: &Path) -> PathBuf {
    store.join("pool.img")
}

fn make_image(store: &Path, root: &Path, bytes_max: Option<u64>) -> io::Result<()> {
    let (image, half) = (image_path(store), store.join("pool.img.new"));
    let made = seed::write_image(&half, wanted_bytes(store, None, bytes_max)?)
        .and_then(|()| fs::rename(&half, &image))
        .and_then(|()| open_image(store, root, bytes_max));
    if made.is_err() {
        for path in [half, image] {
            // The next way is taken; an image without a mount is only lost space.
            let _ = fs::remove_file(path);
        }
    }
    made
}

/// As large as the host has room for, sparse.
fn wanted_bytes(store: &Path, image: Option<&File>, bytes_max: Option<u64>) -> io::Result<u64> {
    let host = statvfs(store)?;
    let free = host.f_bavail.saturating_mul(host.f_frsize);
    let taken = image.map_or(Ok(0), |f| f.metadata().map(|m| m.blocks() * 512))?;
    let room = (taken + free).saturating_sub(HOST_RESERVE_BYTES);
    let room = room.min(bytes_max.unwrap_or(u64::MAX));
    Ok((room.max(IMAGE_BYTES_MIN)) & !((1 << 20) - 1))
}

fn is_mounted(root: &Path) -> io::Result<bool> {
    Ok(mount_points()?.iter().any(|m| m.point == root && m.kind == "btrfs"))
}

/// Whether the kernel has stopped writing to a file system: btrfs does so when the disk below it
/// has no room for what must be written, and stays so until nobody has it mounted.
fn is_read_only(root: &Path) -> bool {
    statvfs(root).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Takes a read-only image away, so that it can be mounted afresh.
fn take_away(store: &Path, root: &Path) -> io::Result<()> {
    if statvfs(store).is_ok_and(|host| host.f_bavail == 0) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(unmount(root, UnmountFlags::empty())?)
}

/// Running machines hold a read-only image as it is, until the last of them has ended.
fn still_held(e: io::Error) -> io::Error {
    if is_held(&e) { io::ErrorKind::StorageFull.into() } else { e }
}

/// What the kernel says to a second mount of an image that it has given up, while somebody has the
/// first.
fn is_held(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::InvalidInput)
}

/// Mounts the image, unless an earlier server has.
fn open_image(store: &Path, root: &Path, bytes_max: Option<u64>) -> io::Result<()> {
    if is_mounted(root)? {
        if !is_read_only(root) {
            return Ok(());
        }
        take_away(store, root)?;
    }
    let path = image_path(store);
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    let mount_device = |device: &Path| -> io::Result<()> {
        Ok(mount(device, root, "btrfs", flags, MOUNT_OPTIONS)?)
    };
    // Machines of an earlier server keep the device although the mount is gone. A second device
    // on the same file would destroy it.
    let deadline = Instant::now() + HELD_TIMEOUT;
    while let Some(device) = loopdev::attached_to(&path).first() {
        match mount_device(device) {
            Err(e) if is_held(&e) && Instant::now() < deadline => sleep(HELD_PAUSE),
            other => return other.map_err(still_held),
        }
    }
    let image = File::options().read(true).write(true).open(&path)?;
    let (now, wanted) = (image.metadata()?.len(), wanted_bytes(store, Some(&image), bytes_max)?);
    if wanted > now + GROW_STEP_BYTES {
        image.set_len(wanted)?;
    }
    let device = loopdev::attach(&image, &path)?;
    mount_device(&device.path)?;
    btrfs::grow_to_device(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_the_way_it_settled_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kind"), "plain\n").unwrap();
        let pool = Pool::open(dir.path(), None).unwrap();
        assert!(matches!(pool.storage.name(), "plain copy" | "reflink copy"));
        assert!(pool.disks().is_dir() && pool.scratch().is_dir());
        pool.close().unwrap();
    }

    #[test]
    fn two_images_are_mounted_at_once_and_leave_no_device_behind() {
        if !geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            println!("skipped: needs root and loop devices");
            return;
        }
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let pools = dirs.each_ref().map(|d| Pool::open(d.path(), None).unwrap());
        for (pool, dir) in pools.iter().zip(&dirs) {
            if pool.storage.name() != "btrfs loop image" {
                println!("skipped: {:?}", pool.notes);
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
            unmount(&pool.root, UnmountFlags::empty()).unwrap();
            assert!(!pool.disks().exists());
            pool.ensure().unwrap();
            assert!(pool.disks().is_dir());
            let again = Pool::open(dir.path(), None).unwrap();
            assert_eq!(
                loopdev::attached_to(&image_path(&fs::canonicalize(dir.path()).unwrap())).len(),
                1
            );
            drop(again);
        }
        for (pool, dir) in pools.iter().zip(&dirs) {
            pool.close().unwrap();
            let image = image_path(&fs::canonicalize(dir.path()).unwrap());
            // A machine of another test that starts just now holds a copy of the mount for a moment.
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while !loopdev::attached_to(&image).is_empty() {
                assert!(std::time::Instant::now() < deadline, "the device stays attached");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let reopened = Pool::open(dir.path(), None).unwrap();
            assert_eq!(reopened.storage.name(), "btrfs loop image");
            reopened.close().unwrap();
        }
    }
}
