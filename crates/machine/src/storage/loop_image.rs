//! A file of our own that holds a btrfs, for hosts whose data folder lies on something else: made,
//! mounted through a loop device, grown with the host's room. Says nothing of what is in it.

use super::{mount_points, seed};
use rustix::{
    fs::{StatVfsMountFlags, statvfs},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};
use toft_jail::{btrfs, loopdev};

/// Smallest image: room for the template and a few small projects.
pub(crate) const IMAGE_BYTES_MIN: u64 = 256 << 20;
/// What an image leaves free on the host's file system, so that a full machine disk shows as "no
/// space left" inside, and not as an input/output error.
const HOST_RESERVE_BYTES: u64 = 1 << 30;
/// An image is grown when the host has this much more room than when it was made.
const GROW_STEP_BYTES: u64 = 1 << 30;
/// Time for machines that have ended to let go of an image that the kernel has given up.
const HELD_TIMEOUT: Duration = Duration::from_secs(1);
const HELD_PAUSE: Duration = Duration::from_millis(10);
/// Zstandard at its fastest level: measured faster than writing through. Deleting must not need
/// real root inside later namespaces. `ssd`, because a loop device calls itself a turning disk:
/// btrfs then lets a sync that meets another thread's change wait one to three clock ticks for
/// company (4 to 12 ms at 250 Hz, instead of 0.15).
const MOUNT_OPTIONS: &std::ffi::CStr = c"compress=zstd:1,user_subvol_rm_allowed,ssd";

/// Where it lies.
pub(super) fn path(store: &Path) -> PathBuf {
    store.join("pool.img")
}

/// Makes one and mounts it at `root`: all of it or nothing.
pub(super) fn make(store: &Path, root: &Path, bytes_max: Option<u64>) -> io::Result<()> {
    let (image, half) = (path(store), store.join("pool.img.new"));
    let made = seed::write_image(&half, wanted_bytes(store, None, bytes_max)?)
        .and_then(|()| fs::rename(&half, &image))
        .and_then(|()| open(store, root, bytes_max))
        .inspect(|()| {
            // Made for the smallest file system, it has room for few names and no more is ever set aside
            // once data has all of the rest: then nothing starts, and no file is made, on a disk that is
            // not full.
            if let Err(e) = btrfs::move_metadata(root) {
                tracing::warn!("a disk that is nearly full will take no more files: {e}");
            }
        });
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
pub(super) fn is_read_only(root: &Path) -> bool {
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

/// Mounts it, unless an earlier server has, and lets it grow with the host's room.
pub(super) fn open(store: &Path, root: &Path, bytes_max: Option<u64>) -> io::Result<()> {
    if is_mounted(root)? {
        if !is_read_only(root) {
            return Ok(());
        }
        take_away(store, root)?;
    }
    let path = path(store);
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

/// Unmounts one that nobody uses; the kernel detaches its device then.
pub(super) fn close(root: &Path) -> io::Result<()> {
    if !is_mounted(root)? {
        return Ok(());
    }
    match unmount(root, UnmountFlags::empty()) {
        Err(Errno::BUSY) => Ok(unmount(root, UnmountFlags::DETACH)?),
        other => Ok(other?),
    }
}
